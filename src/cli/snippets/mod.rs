//! `stepgate snippets`: what the proxy before an app has to be told, by the configuration that stepgate runs with.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, Value, context};
use serde::Serialize;
use url::Url;

use super::{FINDINGS, Protocol, Snippets, USAGE, loaded, say};
use crate::config::{App, Config, ForwardAuth, Origin, PRESETS, Upstream, UpstreamHost};
use crate::edge::{NEVER_A_CLIENTS, NEVER_A_CLIENTS_FAMILIES};

const NGINX: &str = include_str!("nginx.conf");
const TRAEFIK: &str = include_str!("traefik.yaml");
const CADDY: &str = include_str!("caddy.Caddyfile");
const ENVOY: &str = include_str!("envoy.yaml");

/// By which the question itself is put; from a client they would be a lie.
const OF_A_QUESTION: &[&str] = &[
    "Forwarded",
    "X-Forwarded-Method",
    "X-Forwarded-Host",
    "X-Forwarded-Uri",
    "X-Forwarded-Path",
    "X-Original-Host",
    "X-Original-Uri",
    "X-Rewrite-Url",
    "X-Http-Method",
    "X-Http-Method-Override",
    "X-Method-Override",
];

/// Of the families that stepgate itself drops whole, where the other proxy can only clear names: what is found in the
/// field, beside the presets.
const OF_FAMILIES: &[&str] = &[
    "ssl-client-s-dn",
    "ssl-client-verify",
    "x-auth-request-access-token",
    "x-auth-request-email",
    "x-auth-request-groups",
    "x-auth-request-preferred-username",
    "x-auth-request-user",
    "x-authenticated-user",
    "x-authentik-email",
    "x-authentik-groups",
    "x-authentik-username",
    "x-client-cert",
    "x-forwarded-access-token",
    "x-forwarded-client-cert",
    "x-remote-user",
    "x-ssl-client-s-dn",
    "x-ssl-client-verify",
    "x-webauth-user",
];

/// Those that every proxy sets itself.
const OF_THE_PROXY: &[&str] = &["x-real-ip", "x-request-id"];

#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error("no app has the host `{0}`")]
    Host(String),
    #[error(
        "`{app}` does not stand behind {wanted}: it takes `forward_auth = \"{wanted}\"` in its policy{is}"
    )]
    Kind {
        app: String,
        wanted: &'static str,
        is: String,
    },
    #[error("stepgate listens on no plain address: --stepgate HOST:PORT says where it is asked")]
    NoListener,
    #[error("`{0}` is no HOST:PORT")]
    Address(String),
    #[error("the snippet cannot be filled: {0}")]
    Template(#[from] minijinja::Error),
}

/// A header's name, as each proxy's language needs it.
#[derive(Debug, Serialize)]
struct Name {
    /// `X-Forwarded-User`
    text: String,
    lower: String,
    snake: String,
    /// Of nginx, where it is short (`variables_hash_bucket_size`) and belongs to one app.
    variable: String,
}

#[derive(Debug, Serialize)]
struct Server {
    host: String,
    port: u16,
}

pub(super) fn run(path: &Path, typed: &Snippets, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let Some(config) = loaded(path, err) else {
        return FINDINGS;
    };
    match snippet(&config, typed) {
        Ok(text) => {
            say(out, &text);
            0
        }
        Err(wrong) => {
            say(err, &format!("error: {wrong}\n"));
            USAGE
        }
    }
}

fn snippet(config: &Config, typed: &Snippets) -> Result<String, Wrong> {
    let place = config
        .place(&typed.host)
        .ok_or_else(|| Wrong::Host(typed.host.clone()))?;
    let (app, origin) = config
        .apps
        .get(place.app)
        .zip(config.origin(place))
        .ok_or_else(|| Wrong::Host(typed.host.clone()))?;
    let kind = typed.kind.into();
    if app.forward_auth != Some(kind) {
        return Err(Wrong::Kind {
            app: app.name.clone(),
            wanted: kind.name(),
            is: app
                .forward_auth
                .map_or(String::new(), |is| format!(", and has `{}`", is.name())),
        });
    }
    let stepgate = stepgate(config, typed.stepgate.as_deref())?;
    let route = app.table.routes().last();
    let upstream = route.and_then(|route| config.upstreams.get(route.upstream));
    fill(
        kind,
        place.app,
        app,
        origin,
        upstream,
        &stepgate,
        typed.protocol,
    )
}

/// `number`: the app's, among all.
fn fill(
    kind: ForwardAuth,
    number: usize,
    app: &App,
    origin: &Origin,
    upstream: Option<&Upstream>,
    stepgate: &Server,
    protocol: Protocol,
) -> Result<String, Wrong> {
    let id: String = app
        .name
        .chars()
        .map(|character| {
            if character.is_ascii_alphanumeric() {
                character
            } else {
                '_'
            }
        })
        .collect();
    let name = Name::new;
    let copied: Vec<_> = copied(app)
        .iter()
        .enumerate()
        .map(|(index, text)| Name {
            variable: format!("stepgate{number}_{index}"),
            ..name(text)
        })
        .collect();
    let is_copied = |text: &str| copied.iter().any(|name| name.lower == text);
    let mut cleared: Vec<String> = NEVER_A_CLIENTS
        .iter()
        .flat_map(|names| names.iter())
        .map(|text| (*text).to_owned())
        .chain(
            PRESETS
                .iter()
                .flat_map(|(_, rows)| rows.iter().map(|(header, _)| (*header).to_owned())),
        )
        .chain(OF_FAMILIES.iter().map(|text| (*text).to_owned()))
        .chain(["forwarded".to_owned()])
        .filter(|text| !OF_THE_PROXY.contains(&text.as_str()))
        .collect();
    cleared.sort();
    cleared.dedup();
    let of_app = copied.iter().map(|name| name.lower.clone());
    // Before the question is asked, but for what the answer is found by.
    let first: Vec<_> = of_app
        .filter(|text| {
            !matches!(
                text.as_str(),
                "cookie" | "authorization" | "dpop" | "x-request-id"
            )
        })
        .chain(cleared.iter().filter(|text| !is_copied(text)).cloned())
        .map(|text| name(&text))
        .collect();
    let cleared: Vec<_> = cleared
        .iter()
        .filter(|text| !is_copied(text))
        .map(|text| name(text))
        .collect();
    let asking_cleared: Vec<_> = OF_A_QUESTION.iter().map(|text| name(text)).collect();
    let urls: Vec<&Url> = upstream.map_or(Vec::new(), |upstream| upstream.urls.iter().collect());
    let endpoints: Vec<Server> = urls
        .iter()
        .filter_map(|url| {
            Some(Server {
                host: url.host_str()?.trim_matches(['[', ']']).to_owned(),
                port: url.port_or_known_default()?,
            })
        })
        .collect();
    let servers: Vec<String> = endpoints.iter().map(Server::to_text).collect();
    let app_https = urls.iter().any(|url| url.scheme() == "https");
    let scheme = if origin.https { "https" } else { "http" };
    let port = origin
        .authority
        .strip_prefix(origin.host())
        .and_then(|port| port.strip_prefix(':'))
        .unwrap_or(if origin.https { "443" } else { "80" });
    let template = match kind {
        ForwardAuth::Nginx => NGINX,
        ForwardAuth::Traefik => TRAEFIK,
        ForwardAuth::Caddy => CADDY,
        ForwardAuth::Envoy => ENVOY,
    };
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()?;
    environment.set_syntax(syntax);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    Ok(environment.render_str(
        template,
        context! {
            id,
            number,
            // Caddy's own are of one of them.
            families => NEVER_A_CLIENTS_FAMILIES.iter().copied().filter(|family| *family != "x-forwarded-").collect::<Vec<_>>(),
            name => app.name.as_str(),
            origin => origin.text.as_str(),
            authority => origin.authority.as_str(),
            host => origin.host(),
            https => origin.https,
            scheme,
            port,
            stepgate => stepgate.to_text(),
            stepgate_host => stepgate.host.as_str(),
            stepgate_port => stepgate.port,
            copied => Value::from(Serde(&copied)),
            cleared => Value::from(Serde(&cleared)),
            cleared_first => Value::from(Serde(&first)),
            asking_cleared => Value::from(Serde(&asking_cleared)),
            urls => urls.iter().map(|url| url.origin().ascii_serialization()).collect::<Vec<_>>(),
            servers,
            endpoints => Value::from(Serde(&endpoints)),
            app_https,
            app_scheme => if app_https { "https" } else { "http" },
            keep_host => upstream.is_none_or(|upstream| upstream.host == UpstreamHost::Keep),
            grpc => protocol == Protocol::Grpc,
        },
    )?)
}

/// What an answer may tell the app, in the names that it tells it by.
fn copied(app: &App) -> Vec<String> {
    let credentials = app
        .bearer
        .as_ref()
        .map_or(&[][..], |_| &["authorization", "dpop"]);
    ["cookie", "x-request-id"]
        .iter()
        .chain(credentials)
        .map(|text| (*text).to_owned())
        .chain(app.identity.all().map(|(name, _)| name.as_str().to_owned()))
        .collect()
}

/// Where the other proxy finds stepgate.
fn stepgate(config: &Config, typed: Option<&str>) -> Result<Server, Wrong> {
    if let Some(typed) = typed {
        let (host, port) = typed
            .rsplit_once(':')
            .ok_or_else(|| Wrong::Address(typed.to_owned()))?;
        let port = port.parse().map_err(|_| Wrong::Address(typed.to_owned()))?;
        return Ok(Server {
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
        });
    }
    let address = config.listen.first().ok_or(Wrong::NoListener)?;
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let address = SocketAddr::new(ip, address.port());
    Ok(Server {
        host: address.ip().to_string(),
        port: address.port(),
    })
}

impl Server {
    fn to_text(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

impl Name {
    fn new(text: &str) -> Self {
        let lower = text.to_ascii_lowercase();
        let parts: Vec<String> = lower
            .split('-')
            .map(|part| {
                let mut letters = part.chars();
                letters.next().map_or(String::new(), |first| {
                    first.to_ascii_uppercase().to_string() + letters.as_str()
                })
            })
            .collect();
        let snake: String = lower
            .chars()
            .map(|character| {
                if character.is_ascii_alphanumeric() {
                    character
                } else {
                    '_'
                }
            })
            .collect();
        Self {
            text: parts.join("-"),
            variable: String::new(),
            lower,
            snake,
        }
    }
}
