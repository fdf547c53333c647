//! Start, listeners, stop; the only reader of the clock.

mod certificates;
mod clock;
mod counting;
mod generation;
mod instance;
mod logs;
mod operations;
mod reload;
mod run;
mod running;
mod store;
mod systemd;

pub use certificates::ReloadError;
pub use clock::SystemClock;
pub use instance::{Handle, Instance, Listeners, StartError};
pub use operations::Operations;
pub use reload::{Refusal, Reloaded, Reloader, Source};
pub use run::{Ended, run};
pub use store::StoreError;
