//! What is counted of flows: how they began, and how they came back.

use super::Gate;
use crate::model::flow::Flow;
use crate::model::time::Timestamp;
use crate::oidc::OidcError;
use crate::telemetry::metrics::{CallbackResult, StepUpOutcome};

impl Gate {
    pub(in crate::gate) fn count(&self, result: CallbackResult) {
        self.parts.metrics.callbacks.inc(result);
    }

    /// Nothing for a flow that is a login.
    pub(in crate::gate) fn count_step_up(&self, flow: &Flow, outcome: StepUpOutcome) {
        if flow.lineage.is_some()
            && let Some(level) = self.parts.config.ladder.by_name(&flow.level)
        {
            self.parts.metrics.step_up(level, outcome);
        }
    }

    /// Came back with tokens that were taken. `is_short`: and yet not with what was asked for.
    pub(in crate::gate) fn count_landing(
        &self,
        flow: &Flow,
        switched: bool,
        is_short: bool,
        answered: Timestamp,
    ) {
        self.count(match (switched, &flow.lineage, is_short) {
            (true, ..) => CallbackResult::UserSwitch,
            (_, Some(_), true) => CallbackResult::Short,
            (_, Some(_), false) => CallbackResult::SteppedUp,
            (_, None, _) => CallbackResult::SignedIn,
        });
        if switched {
            return;
        }
        if is_short {
            return self.count_step_up(flow, StepUpOutcome::Short);
        }
        self.count_step_up(flow, StepUpOutcome::Proven);
        if let (Some(_), Some(level)) =
            (&flow.lineage, self.parts.config.ladder.by_name(&flow.level))
        {
            let took = answered.since(flow.started);
            self.parts.metrics.step_up_took(level, took);
        }
    }

    /// Came back, and nothing could be made of it. An outage is counted by the answer's status.
    pub(in crate::gate) fn count_failure(&self, flow: &Flow, error: &OidcError) {
        match error {
            OidcError::Unavailable(_) => {}
            OidcError::Refused { .. } | OidcError::Misconfigured(_) => {
                self.count(CallbackResult::Refused);
            }
            OidcError::InvalidToken(_) | OidcError::ForeignResponse => {
                self.count(CallbackResult::Invalid);
            }
        }
        self.count_step_up(flow, StepUpOutcome::Failed);
    }
}
