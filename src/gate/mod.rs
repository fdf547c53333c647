//! Judges a request: own endpoints, sessions, the decision, and what a client is told when it is not `Allow`.
//!
//! Knows no Pingora: the edge hands in a canonical request and gets a [`Forward`] with its permit, or a [`Reply`].
//! A request goes `judge` → `sessions` (and `refresh`) → `policy::decide` → `challenge` → `start`; what comes back from
//! Keycloak goes `callback` → `land`. A form that falls short is kept by `park`, and goes on from there.

pub mod approvals;
mod approver;
mod audit;
mod authenticate;
mod bearer;
mod browsers;
mod callback;
mod challenge;
mod ciba;
mod cookies;
mod cors;
mod destination;
mod devices;
mod endpoints;
mod flows;
mod forward_auth;
mod grpc;
mod judge;
mod land;
mod ledger;
mod limits;
mod logout;
mod me;
mod negotiate;
mod operator;
mod pages;
mod park;
mod push;
mod refresh;
mod refusal;
mod reply;
mod script;
mod sessions;
mod start;
mod status;
mod strangers;
mod streams;
mod tally;
mod tell;
mod under_way;
mod words;

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::config::{App, Config, HostIndex, Origin};
use crate::model::random::Random;
use crate::model::target::Target;
use crate::model::time::Clock;
use crate::oidc::{OidcError, Provider};
use crate::policy::decision::{Have, Need, Permit};
use crate::seal::Sealer;
use crate::store::{Live, Store, SubjectTag};
use crate::telemetry::{Audit, Metrics};

pub use approvals::announce::ChannelState;
pub use approvals::{
    APPROVAL, ApprovalView, Changed, REASON, Redeeming, VoteView, Wanting, Which, Word,
};
pub use bearer::{DPOP, Told, Verified, told};
pub use cookies::{pairs, sets_reserved};
pub use forward_auth::Unbelievable;
pub use negotiate::is_page;
pub use operator::{LevelView, SessionView, Whose};
pub use park::{Intake, NotKept, Parking, Sending};
pub use refusal::{NoAnswer, Refusal};
pub use script::agent_src;
pub use streams::{Closing, Hand, Lack, News, OpenStream, StreamKind, Streams};

use approvals::Approvals;
use approvals::announce::{Announcer, Around};
use bearer::Bearers;
use browsers::Browsers;
use devices::Devices;
use ledger::Ledger;
use limits::Limits;
use pages::{Pages, PagesError};
use refresh::InFlight;
use under_way::UnderWay;

/// Of a body that is posted to one of our own endpoints, in bytes.
pub const BODY_LIMIT: usize = 64 << 10;

/// Everything under it is ours on every host, and never forwarded.
pub const OWN_PREFIX: &str = "/.stepgate/";

/// What the gate is made of: what one configuration says, and what outlives it.
#[derive(Debug)]
pub struct Parts {
    pub config: Arc<Config>,
    pub provider: Arc<Provider>,
    pub store: Arc<dyn Store>,
    pub sealer: Arc<Sealer>,
    pub clock: Arc<dyn Clock>,
    pub random: Arc<dyn Random>,
    pub audit: Audit,
    pub metrics: Arc<Metrics>,
    pub streams: Arc<Streams>,
}

pub struct Gate {
    parts: Parts,
    pages: Pages,
    desk: approver::Desk,
    limits: Limits,
    refreshes: Arc<InFlight>,
    under_way: UnderWay,
    in_hand: park::InHand,
    bearers: Bearers,
    browsers: Browsers,
    devices: Devices,
    announcer: Announcer,
    approvals: Approvals,
    sign_ins: ciba::SignIns,
    patience: approvals::Patience,
    strangers: strangers::Strangers,
    /// Claims that a session keeps: those that the configuration reads, and what a user is called.
    kept: Vec<String>,
    /// `always_asked` levels that came back without having been asked: the realm is not what the configuration says.
    broken: Mutex<HashSet<String>>,
}

#[derive(Debug, thiserror::Error)]
pub enum GateError {
    #[error(transparent)]
    Pages(#[from] PagesError),
    #[error("bearers: {0}")]
    Bearers(#[from] OidcError),
}

/// A canonical request.
#[derive(Clone, Copy, Debug)]
pub struct Incoming<'r> {
    pub place: HostIndex,
    pub method: &'r Method,
    pub target: &'r Target,
    pub headers: &'r HeaderMap,
    /// The client's address by `trusted_proxies`.
    pub client: IpAddr,
    /// SHA-256 of the certificate that the client showed, as `x5t#S256` of RFC 8705 has it.
    pub certificate: Option<&'r String>,
    pub request_id: &'r str,
    /// Of a POST to an endpoint of ours ([`Gate::reads_body`]), whole; else empty.
    pub body: &'r [u8],
    /// Whoever asks only wants to know whether it is allowed: nothing is begun at Keycloak, and nobody reads an answer.
    pub decision_only: bool,
}

#[derive(Debug)]
pub enum Verdict {
    Forward(Forward),
    Reply(Reply),
    /// Its body is to be read and given to [`Gate::take_in`], and then it to [`Gate::park`].
    Park(Box<Parking>),
    /// The same, and then it to [`Gate::ask_or_use`].
    Approve(Box<Wanting>),
}

/// May go to the upstream.
#[derive(Debug)]
pub struct Forward {
    pub permit: Permit,
    pub place: HostIndex,
    /// Index into `Config::upstreams`.
    pub upstream: usize,
    /// `None` where the route is public and the app has no cookies that depend on it.
    pub session: Option<Arc<Live>>,
    /// Instead of a session.
    pub bearer: Option<Arc<Verified>>,
    pub record: Record,
    /// What goes upstream instead of the request that came.
    pub sending: Option<Box<Sending>>,
    redeeming: Option<Box<Redeeming>>,
    is_redeemed: bool,
    /// It was written down that a yes that holds for a while lets it go.
    is_noted: bool,
    /// The approval that it is one of the requests of.
    within: Option<Box<crate::model::approval::Approval>>,
    key: Option<crate::model::session::SessionKey>,
}

/// An answer of ours: final but for its length, its request id, and the body's absence in answer to HEAD.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub record: Record,
}

/// What the access log says of the decision.
#[derive(Clone, Debug)]
pub struct Record {
    /// `allow login step-up approve deny unavailable own refuse`
    pub decision: &'static str,
    /// Stable.
    pub reason: Option<&'static str>,
    /// Index of the app, and of the route in its table.
    pub route: Option<(usize, usize)>,
    pub have: Option<Have>,
    pub need: Option<Need>,
    pub subject: Option<SubjectTag>,
    /// By what it was judged: `cookie` or `bearer`.
    pub credential: Option<&'static str>,
    /// The client that a bearer's token was issued to.
    pub client: Option<Arc<str>>,
}

impl Record {
    const fn of(decision: &'static str) -> Self {
        Self {
            decision,
            reason: None,
            route: None,
            have: None,
            need: None,
            subject: None,
            credential: None,
            client: None,
        }
    }
}

impl Gate {
    /// `before`: the gate that this one takes the place of. What is under way there goes on here.
    pub fn new(parts: Parts, before: Option<&Self>) -> Result<Self, GateError> {
        let provider = Url::parse(&parts.config.keycloak.issuer)
            .map(|issuer| issuer.origin().ascii_serialization())
            .unwrap_or_default();
        let mut kept = parts.config.kept_claims.clone();
        for name in NAMES {
            if !kept.iter().any(|known| known == name) {
                kept.push((*name).to_owned());
            }
        }
        let keycloak = &parts.config.keycloak;
        let ledger = Ledger::new(
            "approval",
            Arc::clone(&parts.store),
            Arc::clone(&parts.sealer),
            &keycloak.issuer,
            &keycloak.client_id,
        );
        let browsers = Browsers::new(&ledger);
        let around = Around {
            metrics: Arc::clone(&parts.metrics),
            clock: Arc::clone(&parts.clock),
            random: Arc::clone(&parts.random),
            browsers: browsers.clone(),
            quiet: parts.config.quiet,
        };
        Ok(Self {
            announcer: Announcer::new(
                &parts.config.channels,
                crate::notify::Patience::default(),
                around,
                before.map(|before| &before.announcer),
            ),
            browsers,
            devices: Devices::new(&ledger),
            pages: Pages::new(&[&provider])?,
            desk: approver::Desk::new(&parts.config)?,
            limits: Limits::new(
                &parts.config.limits,
                parts.metrics.limit_refusals.clone(),
                before.map(|before| &before.limits),
            ),
            refreshes: before.map_or_else(Arc::default, |before| Arc::clone(&before.refreshes)),
            under_way: before.map_or_else(UnderWay::default, |before| before.under_way.clone()),
            in_hand: before.map_or_else(park::InHand::default, |before| before.in_hand.clone()),
            bearers: Bearers::new(&parts.config)?,
            approvals: Approvals::new(
                Arc::clone(&parts.store),
                Arc::clone(&parts.sealer),
                Arc::clone(&parts.random),
                &parts.config.keycloak.issuer,
                &parts.config.keycloak.client_id,
                (parts.audit.clone(), Arc::clone(&parts.metrics)),
            ),
            sign_ins: ciba::SignIns::new(
                &ledger,
                Arc::clone(&parts.random),
                before.map(|before| &before.sign_ins),
            ),
            patience: before.map_or_else(Default::default, |before| before.patience.clone()),
            strangers: before.map_or_else(Default::default, |before| before.strangers.clone()),
            kept,
            broken: Mutex::default(),
            parts,
        })
    }

    /// A request whose body is for us.
    pub fn reads_body(&self, place: HostIndex, method: &Method, target: &Target) -> bool {
        *method == Method::POST
            && (self.answers(place, target)
                || park::marked(method, target).is_some()
                || approvals::marked(method, target).is_some())
    }

    /// Whether it is answered here whatever it is: nothing of it goes on to an upstream.
    pub fn answers(&self, place: HostIndex, target: &Target) -> bool {
        target.path().starts_with(OWN_PREFIX) || self.parts.config.is_approver(place)
    }

    pub fn config(&self) -> &Arc<Config> {
        &self.parts.config
    }

    /// For operators.
    pub fn approvals(&self) -> &Approvals {
        &self.approvals
    }

    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.parts.metrics
    }

    /// Of a request that has one: the edge took the place from this configuration.
    fn site(&self, place: HostIndex) -> Option<Site<'_>> {
        let app = self.parts.config.apps.get(place.app)?;
        let origin = app.origins.get(place.origin)?;
        Some(Site { app, origin })
    }
}

/// By which a user is called on pages and in `login_hint`, best first.
const NAMES: &[&str] = &["preferred_username", "email"];

/// Where a request is for.
#[derive(Clone, Copy, Debug)]
struct Site<'c> {
    app: &'c App,
    origin: &'c Origin,
}

impl Site<'_> {
    /// For a redirect. Behind an upstream that takes two slashes a path may begin with them, and by itself it would be
    /// another host.
    fn url(&self, path_and_query: &str) -> String {
        format!("{}{path_and_query}", self.origin.text)
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
