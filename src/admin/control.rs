//! What only the process as a whole can tell or do.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::answers::Reloaded;
use super::drain::Drain;
use super::readiness::Check;
use crate::gate::Gate;
use crate::model::time::Clock;
use crate::telemetry::Metrics;

/// `server` is it.
#[async_trait]
pub trait Control: Send + Sync + fmt::Debug {
    fn clock(&self) -> &dyn Clock;

    fn metrics(&self) -> &Metrics;

    fn drain(&self) -> &Drain;

    /// Of the configuration that serves now.
    fn gate(&self) -> Arc<Gate>;

    /// Everything that a request may need, asked now; and gauges that only the asking brings up to date.
    async fn checks(&self) -> Vec<Check>;

    /// Reads the files again. Every problem is told.
    async fn reload(&self) -> Reloaded;
}
