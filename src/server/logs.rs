//! What the process says of itself, on stderr. The access and audit logs are `telemetry`'s.

use log::{Level, LevelFilter, Log, Metadata, Record};
use tracing_log::LogTracer;
use tracing_subscriber::EnvFilter;

/// What Pingora's proxy says of single requests is said by the access log, with a reason and without a query.
const FILTER: &str = "info,pingora_core=warn,pingora_proxy=off";

/// Once a process; a second call changes nothing.
pub(in crate::server) fn install(styled: bool) {
    // A subscriber or a logger that is there already belongs to whoever embeds this.
    let _first = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(FILTER))
        .with_writer(std::io::stderr)
        .with_ansi(styled)
        .try_init();
    if log::set_boxed_logger(Box::new(Capped(LogTracer::new()))).is_ok() {
        log::set_max_level(LevelFilter::Info);
    }
}

/// Hands records of the `log` crate over. For Pingora a client that hangs up is an error; for an operator it is none.
struct Capped<L>(L);

impl<L: Log> Log for Capped<L> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.0.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if record.level() == Level::Error && record.target().starts_with("pingora") {
            let capped = Record::builder()
                .level(Level::Warn)
                .target(record.target())
                .args(*record.args())
                .build();
            self.0.log(&capped);
        } else {
            self.0.log(record);
        }
    }

    fn flush(&self) {
        self.0.flush();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl Log for Kept {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            let line = format!("{} {} {}", record.level(), record.target(), record.args());
            self.0.lock().unwrap().push(line);
        }

        fn flush(&self) {}
    }

    #[test]
    fn pingora_has_no_errors() {
        let log = Capped(Kept::default());
        for (level, target) in [
            (Level::Error, "pingora_core::services"),
            (Level::Info, "pingora_core::services"),
            (Level::Error, "hyper"),
        ] {
            let record = |text| {
                Record::builder()
                    .level(level)
                    .target(target)
                    .args(text)
                    .build()
            };
            log.log(&record(format_args!("said")));
        }
        assert_eq!(
            *log.0.0.lock().unwrap(),
            [
                "WARN pingora_core::services said",
                "INFO pingora_core::services said",
                "ERROR hyper said"
            ]
        );
    }
}
