//! What the service manager is told, where there is one (sd_notify(3)); without one nothing is said.

use std::time::Duration;

use sd_notify::NotifyState;

/// It listens, and what it needs is open.
pub(in crate::server) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// From here to [`ready`] a reload is under way.
pub(in crate::server) fn reloading() {
    // Without the time systemd takes the message for one of an older reload, and waits on.
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

pub(in crate::server) fn stopping(status: &str) {
    tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
}

pub(in crate::server) fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// Says that it is alive, twice as often as is asked for; for ever, where nobody asks for it.
pub(in crate::server) async fn watchdog() {
    let Some(within) = sd_notify::watchdog_enabled().filter(|within| !within.is_zero()) else {
        return std::future::pending().await;
    };
    let mut beat = tokio::time::interval((within / 2).max(Duration::from_millis(1)));
    loop {
        beat.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
