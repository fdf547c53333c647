//! Sealed values (authenticated encryption bound to purpose and place), and all randomness of ours.
//!
//! What is sealed for one purpose, cookie or host opens for no other. Nothing here knows what is inside.

mod random;
mod sealer;

pub use random::{SystemRandom, session_id, session_key, token};
pub use sealer::{KeyError, MIN_KEY_BYTES, OpenError, Sealer, fresh_key};

pub use crate::model::random::Random;
