//! Start, listeners, stop; the only reader of the clock.

mod clock;

pub use clock::SystemClock;
