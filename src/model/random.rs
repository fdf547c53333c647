//! The port to randomness: `seal` holds the system's, tests hand in their own.

use std::fmt;

/// Never fails: without randomness nothing here can go on safely, and the system's source ends the process.
pub trait Random: Send + Sync + fmt::Debug {
    fn fill(&self, bytes: &mut [u8]);
}
