//! Start, listeners, stop; the only reader of the clock.

mod clock;
mod instance;
mod logs;
mod run;

pub use clock::SystemClock;
pub use instance::{Instance, Listeners, StartError};
pub use run::{Ended, run};
