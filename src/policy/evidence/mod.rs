//! Evidence: what a token proves, and what that is worth later.

mod bearer;
mod derive;
mod standing;
mod token;

pub use bearer::{BearerAge, assumed_of_bearer, for_bearer, of_bearer};
pub use derive::{Asked, Derived, FlowFacts, Previous, derive, derive_without};
pub use standing::{Assumed, LevelStanding, Standing, assumed, have, standings};

pub(super) use standing::{enough_until, shortfall};
