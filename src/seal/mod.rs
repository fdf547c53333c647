//! Sealed values (authenticated encryption bound to purpose and place), and all randomness of ours.
//!
//! What is sealed for one purpose, cookie or host opens for no other. Nothing here knows what is inside.

mod key_file;
mod random;
mod sealer;

pub use key_file::{KeyFileError, make_key_file, read_key_file, write_new_file};
pub use random::{SystemRandom, session_id, session_key, token};
pub use sealer::{KeyError, MIN_KEY_BYTES, OpenError, Sealer, fresh_key, sealed_by};

pub use crate::model::random::Random;
