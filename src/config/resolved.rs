//! The configuration as the program uses it: everything checked, every name resolved to an index or a value.

mod identity;
mod upstream;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::certificate::{Certificate, ClientCertificates};
use super::channel::Channel;
use super::ciba::CibaChannel;
use crate::model::approval::Terms;
use crate::model::level::{Ladder, Rank};
use crate::model::requirement::Requirement;
use crate::model::route::RouteTable;
use crate::model::session::Secret;
use crate::model::target::Relaxations;
use crate::policy::approval::summary::Summary;
use crate::policy::approval::when::When;
use crate::policy::approval::who::Approvers;
use crate::policy::evidence::BearerAge;

pub use identity::{IdentityHeaders, Part, Template};
pub use upstream::{
    ClientCertificate, Health, Protocol, Timeouts, Upstream, UpstreamHost, UpstreamTls,
};

#[derive(Debug)]
pub struct Config {
    /// Plain HTTP.
    pub listen: Vec<SocketAddr>,
    pub listen_tls: Vec<SocketAddr>,
    pub plain: Plain,
    /// The first one is shown to clients that name no host, or one that none is for. Empty without `listen_tls`.
    pub certificates: Vec<Certificate>,
    pub client_certificates: Option<ClientCertificates>,
    /// `max-age` of `Strict-Transport-Security`.
    pub hsts: Option<Duration>,
    /// Whose `Forwarded` and `X-Forwarded-*` are believed; nobody's by default.
    pub trusted_proxies: Vec<IpNet>,
    pub sessions: Sessions,
    pub keycloak: Keycloak,
    pub ladder: Ladder,
    /// The first seals, all open. Empty: `server` draws one, for the process or, with the file store, into its folder.
    pub seal_keys: Vec<Secret>,
    pub upstreams: Vec<Upstream>,
    pub apps: Vec<App>,
    /// Where people decide on what others ask for.
    pub approver_app: Option<ApproverApp>,
    /// `host[:port]` in lower case, without the scheme's default port → index into `apps` and its `origins`.
    pub hosts: HashMap<String, HostIndex>,
    pub limits: Limits,
    pub park: Park,
    pub quiet: Quiet,
    pub log: Log,
    pub channels: Vec<Channel>,
    /// For whom stepgate is the realm's authentication channel.
    pub ciba: Option<CibaChannel>,
    pub admin: Admin,
    /// Every claim name that proofs, conditions and identity templates read, for what a session keeps.
    pub kept_claims: Vec<String>,
    /// `app/route` of what can never be met where Keycloak offers no pushed requests.
    pub needs_push: Vec<String>,
}

impl Config {
    /// Keys in which this differs from what the process began with, and which hold until its end.
    pub fn needs_restart(&self, began: &Self) -> Vec<&'static str> {
        let store = |config: &Self| match &config.sessions.store {
            SessionStore::Memory => (None, None, Some(config.sessions.idle)),
            SessionStore::File { path, cache } => (Some(path.clone()), Some(*cache), None),
        };
        let (mine, other) = (store(self), store(began));
        let (now, then) = (&self.admin, &began.admin);
        let differs = [
            ("listen", self.listen != began.listen),
            ("listen_tls", self.listen_tls != began.listen_tls),
            ("admin_listen", now.listen != then.listen),
            ("admin_hosts", now.hosts != then.hosts),
            ("admin_socket", now.socket != then.socket),
            ("sessions.store", mine.0.is_none() != other.0.is_none()),
            (
                "sessions.path",
                mine.0.is_some() && other.0.is_some() && mine.0 != other.0,
            ),
            (
                "sessions.cache",
                mine.1.is_some() && other.1.is_some() && mine.1 != other.1,
            ),
            // Sessions in memory are thrown away by the limit that the store began with.
            (
                "sessions.idle",
                mine.2.is_some() && other.2.is_some() && mine.2 != other.2,
            ),
        ];
        differs
            .into_iter()
            .filter_map(|(key, differs)| differs.then_some(key))
            .collect()
    }

    /// Which app a `Host` is for. The scheme's default port may be spelled out; a trailing dot is another host.
    pub fn place(&self, authority: &str) -> Option<HostIndex> {
        if let Some(place) = self.hosts.get(authority) {
            return Some(*place);
        }
        let lower = authority.to_ascii_lowercase();
        let known = |host: &str| self.hosts.get(host).copied();
        known(&lower).or_else(|| {
            let (host, https) = lower
                .strip_suffix(":443")
                .map(|host| (host, true))
                .or_else(|| Some((lower.strip_suffix(":80")?, false)))?;
            let place = known(host)?;
            let origin = self.apps.get(place.app)?.origins.get(place.origin)?;
            (origin.https == https).then_some(place)
        })
    }

    /// The app whose HTTPS a plain request for `authority` is to be sent to: the port that it came to is another one.
    pub fn secure_place(&self, authority: &str) -> Option<HostIndex> {
        let https = |place: &HostIndex| self.origin(*place).is_some_and(|origin| origin.https);
        self.place(authority).filter(https).or_else(|| {
            let lower = authority.to_ascii_lowercase();
            let host = host_of(&lower);
            let all = self.apps.iter().enumerate().flat_map(|(app, resolved)| {
                let place = move |(origin, _)| HostIndex { app, origin };
                resolved.origins.iter().enumerate().map(place)
            });
            all.filter(https).find(|place| {
                self.origin(*place)
                    .is_some_and(|origin| origin.host() == host)
            })
        })
    }

    /// Whether stepgate itself is the app there.
    pub fn is_approver(&self, place: HostIndex) -> bool {
        self.approver_app
            .as_ref()
            .is_some_and(|approver| approver.app == place.app)
    }

    /// Those that policy files have.
    pub fn policies(&self) -> impl Iterator<Item = &App> {
        let own = self.approver_app.as_ref().map(|approver| approver.app);
        let apps = self.apps.iter().enumerate();
        apps.filter(move |(index, _)| Some(*index) != own)
            .map(|(_, app)| app)
    }

    pub fn origin(&self, place: HostIndex) -> Option<&Origin> {
        self.apps.get(place.app)?.origins.get(place.origin)
    }

    /// By the name that a requirement has.
    pub fn approval(&self, name: &str) -> Option<&ApprovalRule> {
        self.apps
            .iter()
            .flat_map(|app| &app.approvals)
            .find(|rule| rule.name == name)
    }
}

/// What somebody has to say yes to, who may, and what the yes is good for.
#[derive(Clone, Debug, PartialEq)]
pub struct ApprovalRule {
    /// App and name, `erp/four-eyes`: what requirements and approvals have.
    pub name: String,
    pub summary: Summary,
    pub approvers: Approvers,
    /// Only what is of this kind needs it.
    pub when: Option<When>,
    pub terms: Terms,
    pub grant: Grant,
    /// Of the number that is typed.
    pub digits: u8,
    /// What approvers have to give with a yes.
    pub reason: Reason,
    /// Whether requesters have to say why they need it.
    pub requester_reason: Reason,
    /// For so long it can be decided on.
    pub request_ttl: Duration,
    /// After a no, the same requester asks for nothing on the route for so long.
    pub cooldown: Duration,
    /// What approvers need.
    pub level: Rank,
    /// At which a requester's own device was enrolled, at least: the highest that a route with it demands.
    pub device_level: Rank,
    /// Fields of the request that it is bound to, beside those that say what its body is.
    pub bind_headers: Vec<http::HeaderName>,
    /// Who may pass it in everybody's place.
    pub break_glass: Option<Approvers>,
    /// By which approvers are told of it.
    pub channels: Vec<usize>,
}

/// What a yes is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Grant {
    /// One request.
    #[default]
    Once,
    /// All of the route until it ends, of the same values of these parameters of the path; of all, where none are named.
    Window { per: Option<Vec<String>> },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reason {
    #[default]
    Optional,
    Required,
}

/// How often people are told of what waits, at most. What is beyond it waits all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    pub within: Duration,
    /// Of one requester and route.
    pub per_route: usize,
    /// Of one requester over all routes.
    pub per_requester: usize,
    /// Of all requesters, to those who decide on approvals of one name.
    pub per_approval: usize,
    /// To one person in their browsers.
    pub per_approver: usize,
}

impl Default for Quiet {
    fn default() -> Self {
        Self {
            within: Duration::from_secs(600),
            per_route: 3,
            per_requester: 10,
            per_approval: 30,
            per_approver: 20,
        }
    }
}

/// Where people decide. It is one of [`Config::apps`], so that its host is like any other, but no policy file's, and no
/// request to it ever reaches an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApproverApp {
    /// Index into [`Config::apps`].
    pub app: usize,
    /// What everybody needs there, whatever is to be decided.
    pub level: Rank,
    /// As people read it.
    pub title: String,
    /// For so long a new device decides on nothing.
    pub device_cooldown: Duration,
    /// At which devices are enrolled: what any approval, and a sign-in by CIBA, wants of them.
    pub device_level: Rank,
}

/// What is answered to plain HTTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plain {
    #[default]
    Serve,
    /// The way to the same address by HTTPS.
    Redirect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostIndex {
    pub app: usize,
    pub origin: usize,
}

#[derive(Clone, Debug)]
pub struct Sessions {
    pub store: SessionStore,
    /// Since the last request; default 1 h.
    pub idle: Duration,
    /// Since the login; default 12 h.
    pub absolute: Duration,
    /// How long a session goes on while refreshing fails without a refusal; default 1 h.
    pub refresh_grace: Duration,
}

/// Where sessions live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionStore {
    Memory,
    File {
        /// A folder.
        path: PathBuf,
        /// Bytes of sessions in memory, beside the file.
        cache: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keycloak {
    /// A URL, checked, but the text exactly as configured: `iss` is compared with it byte by byte, and `Url` would rewrite it.
    pub issuer: String,
    pub client_id: String,
    pub client_auth: ClientAuth,
    pub par: Par,
    /// Default `groups`.
    pub groups_claim: String,
    /// Default `realm_access.roles`.
    pub roles_claim: String,
    /// Of every call to Keycloak; default 5 s.
    pub timeout: Duration,
    /// Asymmetric signature algorithms that ID, access and logout tokens may use; default RS256, ES256, PS256, EdDSA.
    pub algorithms: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    Secret(Secret),
    /// PEM (PKCS#8) of the key for `private_key_jwt`; `kid` for its header when given; algorithm from the key's kind.
    PrivateKey {
        pem: Secret,
        kid: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Par {
    /// When discovery offers it.
    #[default]
    Auto,
    Require,
    Off,
}

/// One policy file.
#[derive(Debug)]
pub struct App {
    /// The policy file's stem (`erp`).
    pub name: String,
    /// At least one.
    pub origins: Vec<Origin>,
    pub table: Arc<RouteTable>,
    /// Union over the app's upstreams, by which its targets are parsed; the route's own upstream then narrows it.
    pub accept: Relaxations,
    pub identity: IdentityHeaders,
    /// The app's own session cookies: expired and not forwarded at logout, user switch and a new session.
    pub app_cookies: Vec<String>,
    pub login: Login,
    /// Of scripts that may read our answers, and whose preflights pass, as browsers send them; none by default.
    pub cors_origins: Vec<String>,
    /// `None`: `Authorization` passes untouched, and the cookie decides.
    pub bearer: Option<Bearer>,
    /// Bytes of a request's body, by the route's place in `table`.
    pub body_bytes: Vec<u64>,
    /// The same of one that is kept until its user has signed in; 0: none is.
    pub park_bytes: Vec<u64>,
    /// Into every HTML page.
    pub inject_agent: bool,
    /// How long before something lapses a page offers to renew it.
    pub renew_before: Option<Duration>,
    /// The proxy that stands before the app instead of stepgate, and asks here.
    pub forward_auth: Option<ForwardAuth>,
    pub approvals: Vec<ApprovalRule>,
}

/// Whose way of asking is understood, and nobody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardAuth {
    Nginx,
    Traefik,
    Caddy,
    Envoy,
}

impl ForwardAuth {
    pub const ALL: &[(&str, Self)] = &[
        ("nginx", Self::Nginx),
        ("traefik", Self::Traefik),
        ("caddy", Self::Caddy),
        ("envoy", Self::Envoy),
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
            Self::Envoy => "envoy",
        }
    }
}

/// `scheme://host[:port]` as browsers see it, without a trailing slash.
#[derive(Clone, Debug)]
pub struct Origin {
    pub text: String,
    /// `host[:port]` without the scheme's default port.
    pub authority: String,
    pub https: bool,
    /// Session cookie name: `__Host-stepgate`, or `__Host-stepgate-8443` when the port is not the default of the scheme.
    pub cookie: String,
}

impl Origin {
    /// Without a port.
    pub fn host(&self) -> &str {
        host_of(&self.authority)
    }
}

/// A `host[:port]` without its port.
fn host_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// How an app takes access tokens (RFC 6750, RFC 9449).
#[derive(Clone, Debug)]
pub struct Bearer {
    /// What `aud` has to name; no other app has it.
    pub audience: String,
    /// Default: those of `[keycloak]`.
    pub algorithms: Vec<String>,
    /// What every bearer needs, on top of whatever the route demands.
    pub required: Option<Requirement>,
    pub age: BearerAge,
    /// Keycloak is asked about every token (RFC 7662).
    pub introspect: bool,
    pub dpop: DpopUse,
    /// The app gets to see the token.
    pub forward_token: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DpopUse {
    /// Tokens that are bound to a key need its proof, others do not.
    #[default]
    Auto,
    /// Tokens that are not bound are refused.
    Require,
}

#[derive(Clone, Debug, Default)]
pub struct Login {
    pub kc_idp_hint: Option<String>,
    /// Extra authorization parameters, such as `ui_locales`.
    pub params: BTreeMap<String, String>,
}

/// Bounds on what a client can make grow; the defaults are the values in `config::limits`.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Total time for a request header, keep-alive wait included.
    pub header_time: Duration,
    /// Bytes of a request header block; over HTTP/2 of the decoded list, as RFC 9113 6.5.2 counts them.
    pub header_bytes: usize,
    /// Fields of a request header.
    pub header_count: usize,
    /// Of a request's body, where neither the route nor the app says otherwise.
    pub body_bytes: u64,
    /// Between two pieces of a request's body.
    pub body_time: Duration,
    pub connections: usize,
    pub connections_per_address: usize,
    /// Requests of one HTTP/2 connection at the same time.
    pub h2_streams: u32,
    /// Requests that a client may take back on one HTTP/2 connection in a minute.
    pub h2_resets: u32,
    /// Calls to Keycloak in flight that start a login.
    pub logins_in_flight: usize,
    /// Login starts a minute from one address.
    pub logins_per_minute: u32,
    /// Of one user on one origin; the one that was not used for the longest time goes.
    pub sessions_per_subject: usize,
    /// After SIGTERM.
    pub grace: Duration,
}

/// What is kept of requests whose users have to sign in first.
#[derive(Clone, Copy, Debug)]
pub struct Park {
    /// Of one request's body, where neither the route nor the app says otherwise.
    pub body_bytes: u64,
    pub lasts: Duration,
    /// Bytes of all together.
    pub budget: u64,
}

/// Where operators come in.
#[derive(Clone, Debug, Default)]
pub struct Admin {
    /// Plain HTTP, reads only; none by default.
    pub listen: Vec<SocketAddr>,
    /// `host[:port]`, beside the addresses, by which it may be called.
    pub hosts: Vec<String>,
    pub socket: AdminSocket,
    /// A Keycloak that cannot be reached turns `/readyz` red. Not by default: who is signed in is served without it, and
    /// no other instance has another Keycloak to offer.
    pub ready_needs_keycloak: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdminSocket {
    /// [`DEFAULT_ADMIN_SOCKET`], if its folder is there.
    #[default]
    WhereThereIsRoom,
    Off,
    At(PathBuf),
}

/// In the folder that `RuntimeDirectory=stepgate` of a systemd unit makes.
pub const DEFAULT_ADMIN_SOCKET: &str = "/run/stepgate/admin.sock";

#[derive(Clone, Debug, Default)]
pub struct Log {
    pub access: LogTarget,
    pub audit: LogTarget,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LogTarget {
    #[default]
    Stdout,
    Off,
    File(PathBuf),
}
