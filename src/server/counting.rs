//! Counts what the adapters do, which know nothing of metrics: calls to Keycloak.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::oidc::{Endpoint, Outage, Watch};
use crate::telemetry::Metrics;
use crate::telemetry::metrics::{Both, OidcEndpoint, OidcOutcome};

#[derive(Debug)]
pub(in crate::server) struct Watching(pub(in crate::server) Arc<Metrics>);

impl Watch for Watching {
    fn called(&self, endpoint: Endpoint, outcome: Result<StatusCode, &Outage>, took: Duration) {
        let endpoint = match endpoint {
            Endpoint::Discovery => OidcEndpoint::Discovery,
            Endpoint::Keys => OidcEndpoint::Keys,
            Endpoint::Pushed => OidcEndpoint::Pushed,
            Endpoint::Token => OidcEndpoint::Token,
            Endpoint::Introspection => OidcEndpoint::Introspection,
        };
        let outcome = match outcome {
            Ok(_) => OidcOutcome::Answered,
            Err(Outage::Unreachable) => OidcOutcome::Unreachable,
            Err(Outage::NoAnswer) => OidcOutcome::NoAnswer,
            Err(
                Outage::Status(_) | Outage::Garbage(_) | Outage::CoolingDown | Outage::Clock(_),
            ) => OidcOutcome::Error,
        };
        let metrics = &self.0;
        metrics.oidc_requests.observe(Both(endpoint, outcome), took);
    }
}
