//! What the operating system says of this process, asked when it is scraped.

use std::fmt;

use procfs::process::{LimitValue, Process};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::catalogue::{
    Definition, PROCESS_CPU, PROCESS_FDS, PROCESS_MAX_FDS, PROCESS_MEMORY, PROCESS_START,
    PROCESS_THREADS, PROCESS_VIRTUAL,
};

#[derive(Debug)]
pub(in crate::telemetry::metrics) struct ProcessCollector;

#[expect(
    clippy::cast_precision_loss,
    reason = "processor time in ticks, bytes below 2^53"
)]
impl Collector for ProcessCollector {
    /// What cannot be read is left out: no value is better than a wrong one.
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Ok(process) = Process::myself() else {
            return Ok(());
        };
        let mut gauge = |definition: &Definition, value: f64| {
            encoder
                .encode_descriptor(definition.name, definition.help, None, MetricType::Gauge)?
                .encode_gauge(&value)
        };
        if let Ok(count) = process.fd_count() {
            gauge(&PROCESS_FDS, count as f64)?;
        }
        if let Ok(limits) = process.limits()
            && let LimitValue::Value(most) = limits.max_open_files.soft_limit
        {
            gauge(&PROCESS_MAX_FDS, most as f64)?;
        }
        let Ok(stat) = process.stat() else {
            return Ok(());
        };
        let ticks = procfs::ticks_per_second().max(1) as f64;
        gauge(&PROCESS_MEMORY, (stat.rss * procfs::page_size()) as f64)?;
        gauge(&PROCESS_VIRTUAL, stat.vsize as f64)?;
        gauge(&PROCESS_THREADS, stat.num_threads as f64)?;
        if let Ok(boot) = procfs::boot_time_secs() {
            gauge(&PROCESS_START, boot as f64 + stat.starttime as f64 / ticks)?;
        }
        let used = (stat.utime + stat.stime) as f64 / ticks;
        let name = PROCESS_CPU.name.trim_end_matches("_total");
        encoder
            .encode_descriptor(name, PROCESS_CPU.help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, f64>(&used, None)
    }
}
