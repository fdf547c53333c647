//! The one integration binary: each further one would link all of Pingora again.

mod architecture;
