//! Flows under way, each in a sealed cookie of its own: a flood of strangers costs no memory here.

use std::time::Duration;

use http::{HeaderMap, HeaderValue};

use super::{Gate, cookies};
use crate::config::Origin;
use crate::model::flow::Flow;
use crate::model::session::Lineage;
use crate::model::time::Timestamp;

/// Longer than a person takes to find the phone.
pub(in crate::gate) const LIFE: Duration = Duration::from_secs(600);

/// In one browser at one time. Each is a cookie, and a header block is not endless.
const MOST: usize = 5;

/// A longer path and query would not fit into a cookie; the flow then leads to the app's root.
const LONGEST_RETURN: usize = 1500;

const PURPOSE: &str = "flow";

/// So much of a flow's id tells it from its siblings in the cookie's name.
const TAG: usize = 12;

impl Gate {
    /// Whether another one may start in this browser. Those of the time before the session that there is now, which
    /// Keycloak may never bring back, keep nobody waiting.
    pub(in crate::gate) fn has_room_for_a_flow(
        &self,
        headers: &HeaderMap,
        origin: &Origin,
        lineage: Option<&Lineage>,
        now: Timestamp,
    ) -> bool {
        self.open_flows(headers, origin)
            .filter(|flow| !is_over(flow, now) && flow.lineage.as_ref() == lineage)
            .count()
            < MOST
    }

    /// Where the flows lead that went out and did not come back, each place once, oldest first. Tabs that ask at once
    /// share one sign-in page at Keycloak, and then all come back as the same flow.
    pub(in crate::gate) fn unfinished(
        &self,
        headers: &HeaderMap,
        origin: &Origin,
        now: Timestamp,
    ) -> Vec<String> {
        let mut open: Vec<_> = self
            .open_flows(headers, origin)
            .filter(|flow| !is_over(flow, now))
            .collect();
        open.sort_by_key(|flow| flow.started);
        let mut places = Vec::new();
        for flow in open {
            if !places.contains(&flow.return_to) {
                places.push(flow.return_to);
            }
        }
        places
    }

    fn open_flows(&self, headers: &HeaderMap, origin: &Origin) -> impl Iterator<Item = Flow> {
        let prefix = prefix(origin);
        cookies::all(headers).filter_map(move |(name, value)| {
            let name = std::str::from_utf8(name).ok()?;
            name.strip_prefix(&prefix)?;
            self.open(name, value, origin)
        })
    }

    /// The flow of that `state`, when this browser started it here, and lately.
    pub(in crate::gate) fn flow(
        &self,
        headers: &HeaderMap,
        origin: &Origin,
        state: &str,
        now: Timestamp,
    ) -> Option<Flow> {
        let name = cookie_name(origin, state)?;
        let flow = self.open(&name, cookies::value(headers, &name)?.as_bytes(), origin)?;
        (flow.id.reveal() == state && !is_over(&flow, now)).then_some(flow)
    }

    fn open(&self, name: &str, value: &[u8], origin: &Origin) -> Option<Flow> {
        let sealed = std::str::from_utf8(value).ok()?;
        let json = self
            .parts
            .sealer
            .open(PURPOSE, &[name, &origin.text], sealed)
            .ok()?;
        serde_json::from_slice(&json).ok()
    }

    pub(in crate::gate) fn flow_cookie(&self, origin: &Origin, flow: &Flow) -> Option<HeaderValue> {
        let name = cookie_name(origin, flow.id.reveal())?;
        let json = serde_json::to_vec(flow).ok()?;
        let sealed = self
            .parts
            .sealer
            .seal(PURPOSE, &[&name, &origin.text], &json);
        cookies::short_lived(&name, &sealed, LIFE.as_secs())
    }
}

/// Takes the cookie of a flow that has ended out of the browser.
pub(in crate::gate) fn cleared(origin: &Origin, state: &str) -> Option<HeaderValue> {
    cookies::cleared(&cookie_name(origin, state)?)
}

/// Those of all flows that the browser has here.
pub(in crate::gate) fn all_cleared(
    headers: &HeaderMap,
    origin: &Origin,
) -> impl Iterator<Item = HeaderValue> {
    let prefix = prefix(origin);
    cookies::all(headers).filter_map(move |(name, _)| {
        let name = std::str::from_utf8(name).ok()?;
        name.strip_prefix(&prefix)?;
        cookies::cleared(name)
    })
}

/// As long as it fits.
pub(in crate::gate) fn return_to(path_and_query: &str) -> &str {
    if path_and_query.len() <= LONGEST_RETURN {
        path_and_query
    } else {
        "/"
    }
}

fn is_over(flow: &Flow, now: Timestamp) -> bool {
    // Before its start as well: a clock that goes back must not keep a flow for ever.
    now.since(flow.started) > LIFE || flow.started > now.plus(LIFE)
}

fn prefix(origin: &Origin) -> String {
    format!("{}-flow-", origin.cookie)
}

fn cookie_name(origin: &Origin, state: &str) -> Option<String> {
    let tag = state.get(..TAG)?;
    tag.bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        .then(|| format!("{}{tag}", prefix(origin)))
}
