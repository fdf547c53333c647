//! Text in; a resolved [`Config`], or all problems, out. The only floor that reads files and environment.

mod resolved;

pub use resolved::*;
