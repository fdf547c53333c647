//! `stepgate doctor forward-auth`: asks an app by way of the proxy before it, as a stranger would, and says what is wrong
//! with how the two are put together.

use std::io::Write;
use std::net::ToSocketAddrs as _;
use std::path::Path;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};

use super::{DoctorForwardAuth, FINDINGS, USAGE, loaded, say};
use crate::config::{App, Config, HostIndex, Origin};
use crate::model::target::Target;

const PATIENCE: Duration = Duration::from_secs(15);

/// Nobody's page; what is behind it does not matter.
const PROBE: &str = "/stepgate-doctor";

const PAGE: &[(&str, &str)] = &[
    ("accept", "text/html"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
];

/// What was looked at, and what is to be done where it is not as it should be.
struct Finding {
    about: &'static str,
    wrong: Option<String>,
}

#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error("no app has the host `{0}`")]
    Host(String),
    #[error("`{0}` does not stand behind another proxy: it has no `forward_auth`")]
    NotBehind(String),
    #[error("no app has `forward_auth`")]
    Nothing,
    #[error("`{0}` is no HOST:PORT that can be found")]
    Connect(String),
    #[error("{origin} cannot be asked: {why}")]
    Unreachable { origin: String, why: String },
    #[error("{0}")]
    System(String),
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

pub(super) fn forward_auth(
    path: &Path,
    typed: &DoctorForwardAuth,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let Some(config) = loaded(path, err) else {
        return USAGE;
    };
    match examined(&config, typed, out) {
        Ok(0) => 0,
        Ok(_) => FINDINGS,
        Err(wrong) => {
            say(err, &format!("error: {wrong}\n"));
            USAGE
        }
    }
}

/// How many findings there are.
fn examined(
    config: &Config,
    typed: &DoctorForwardAuth,
    out: &mut dyn Write,
) -> Result<usize, Wrong> {
    let places = places(config, typed.host.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Wrong::System(error.to_string()))?;
    let mut count = 0;
    for place in places {
        let Some((app, origin)) = config.apps.get(place.app).zip(config.origin(place)) else {
            continue;
        };
        let kind = app.forward_auth.map_or("", |kind| kind.name());
        say(out, &format!("{} behind {kind}\n", origin.text));
        let findings = runtime.block_on(probe(config, app, origin, typed.connect.as_deref()))?;
        for finding in &findings {
            match &finding.wrong {
                None => say(out, &format!("  ok     {}\n", finding.about)),
                Some(wrong) => say(out, &format!("  wrong  {}: {wrong}\n", finding.about)),
            }
        }
        count += findings
            .iter()
            .filter(|finding| finding.wrong.is_some())
            .count();
    }
    Ok(count)
}

fn places(config: &Config, host: Option<&str>) -> Result<Vec<HostIndex>, Wrong> {
    if let Some(host) = host {
        let place = config
            .place(host)
            .ok_or_else(|| Wrong::Host(host.to_owned()))?;
        let is_behind = |place: &HostIndex| {
            config
                .apps
                .get(place.app)
                .is_some_and(|app| app.forward_auth.is_some())
        };
        return Some(place)
            .filter(is_behind)
            .map(|place| vec![place])
            .ok_or_else(|| Wrong::NotBehind(host.to_owned()));
    }
    let all: Vec<_> = config
        .apps
        .iter()
        .enumerate()
        .filter(|(_, app)| app.forward_auth.is_some())
        .map(|(app, _)| HostIndex { app, origin: 0 })
        .collect();
    if all.is_empty() {
        return Err(Wrong::Nothing);
    }
    Ok(all)
}

async fn probe(
    config: &Config,
    app: &App,
    origin: &Origin,
    connect: Option<&str>,
) -> Result<Vec<Finding>, Wrong> {
    let front = Front::new(origin, connect)?;
    let lie = public_path(app).unwrap_or_else(|| "/.stepgate/ping".to_owned());
    let url = format!("{}{lie}", origin.text);
    let authority = origin.authority.as_str();
    let proto = if origin.https { "https" } else { "http" };

    let ping = front.get("/.stepgate/ping", &[]).await?;
    let mut findings = vec![Finding {
        about: "what is under /.stepgate/ goes to stepgate",
        wrong: (ping.status != StatusCode::OK || ping.body != "ok\n").then(|| {
            format!(
                "/.stepgate/ping is answered {}, by somebody else or from an address that is not in `trusted_proxies`",
                ping.status.as_u16()
            )
        }),
    }];
    let page = front.get(PROBE, PAGE).await?;
    let issuer = url::Url::parse(&config.keycloak.issuer)
        .map(|issuer| issuer.origin().ascii_serialization())
        .unwrap_or_default();
    let location = page
        .headers
        .get(header::LOCATION)
        .and_then(|location| location.to_str().ok())
        .unwrap_or_default();
    let wrong = match page.status {
        StatusCode::SEE_OTHER if !location.starts_with(&issuer) => Some(format!(
            "it leads to {location}, and not to {issuer}: somebody else asks for a sign-in"
        )),
        StatusCode::SEE_OTHER if !page.headers.contains_key(header::SET_COOKIE) => {
            Some("the cookie of the sign-in does not come through".to_owned())
        }
        StatusCode::SEE_OTHER => None,
        StatusCode::UNAUTHORIZED => Some(
            "401 arrives as it is: the proxy does not ask stepgate what to tell (`error_page` of the snippet)"
                .to_owned(),
        ),
        StatusCode::SERVICE_UNAVAILABLE => {
            Some("503: is Keycloak there? `stepgate` logs say so".to_owned())
        }
        status if status.is_success() => Some(format!(
            "{}: the app answers without a sign-in, the proxy does not ask stepgate",
            status.as_u16()
        )),
        status => Some(format!(
            "{}{}: the question did not get through, or was not believed",
            status.as_u16(),
            code(&page).map_or(String::new(), |code| format!(" ({code})"))
        )),
    };
    findings.push(Finding {
        about: "a browser that is not signed in is sent to Keycloak",
        wrong,
    });
    let program = front.get(PROBE, &[("accept", "application/json")]).await?;
    findings.push(Finding {
        about: "a program is told 401, with the challenge and the problem",
        wrong: (program.status != StatusCode::UNAUTHORIZED
            || !program.headers.contains_key(header::WWW_AUTHENTICATE)
            || code(&program).as_deref() != Some("login"))
        .then(|| format!("it is answered {}, or in part", program.status.as_u16())),
    });
    let forged: &[&[(&str, &str)]] = &[
        &[("x-forwarded-uri", &lie), ("x-forwarded-method", "GET")],
        &[
            ("x-forwarded-uri", &lie),
            ("x-forwarded-method", "GET"),
            ("x-forwarded-host", authority),
            ("x-forwarded-proto", proto),
        ],
        &[("x-original-url", &url), ("x-original-method", "GET")],
        &[("x-original-uri", &lie), ("x-rewrite-url", &lie)],
    ];
    let mut believed = Vec::new();
    for headers in forged {
        let answer = front.get(PROBE, headers).await?;
        if answer.status.is_success() || answer.status.is_server_error() {
            let names: Vec<_> = headers.iter().map(|(name, _)| *name).collect();
            believed.push(format!(
                "{} with {}",
                answer.status.as_u16(),
                names.join(", ")
            ));
        }
    }
    findings.push(Finding {
        about: "what a client says of another request is not believed",
        wrong: (!believed.is_empty()).then(|| believed.join("; ")),
    });
    let mut open = Vec::new();
    for own in ["/.stepgate/verify", "/.stepgate/challenge"] {
        let answer = front
            .get(
                own,
                &[("x-original-url", &url), ("x-original-method", "GET")],
            )
            .await?;
        if !matches!(answer.status, StatusCode::NOT_FOUND | StatusCode::FORBIDDEN) {
            open.push(format!("{own} is answered {}", answer.status.as_u16()));
        }
    }
    findings.push(Finding {
        about: "the question is the proxy's own, and nobody else can put it",
        wrong: (!open.is_empty()).then(|| open.join("; ")),
    });
    Ok(findings)
}

/// Of the problem that is told, or of the page.
fn code(answer: &Answer) -> Option<String> {
    let problem: serde_json::Value = serde_json::from_str(&answer.body).ok()?;
    Some(problem.get("code")?.as_str()?.to_owned())
}

/// What nobody has to sign in for, to be claimed falsely.
fn public_path(app: &App) -> Option<String> {
    ["/public/x", "/static/x", "/assets/x", "/favicon.ico", "/"]
        .iter()
        .find(|path| {
            Target::parse(path.as_bytes(), app.accept).is_ok_and(|target| {
                let found = app.table.find(&Method::GET, &target);
                found.demand.iter().all(|part| part.is_public())
            })
        })
        .map(|path| (*path).to_owned())
}

/// The proxy, asked as a stranger does.
struct Front {
    client: reqwest::Client,
    origin: String,
}

impl Front {
    fn new(origin: &Origin, connect: Option<&str>) -> Result<Self, Wrong> {
        // Whoever is second changes nothing.
        let _first = rustls::crypto::ring::default_provider().install_default();
        let mut client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE);
        if !origin.https {
            client = client.tls_certs_only([]);
        }
        if let Some(connect) = connect {
            let addresses: Vec<_> = connect
                .to_socket_addrs()
                .map_err(|_| Wrong::Connect(connect.to_owned()))?
                .collect();
            client = client.resolve_to_addrs(origin.host(), &addresses);
        }
        Ok(Self {
            client: client
                .build()
                .map_err(|error| Wrong::System(error.to_string()))?,
            origin: origin.text.clone(),
        })
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer, Wrong> {
        let unreachable = |error: reqwest::Error| Wrong::Unreachable {
            origin: self.origin.clone(),
            why: reason(&error),
        };
        let mut request = self.client.get(format!("{}{path}", self.origin));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.map_err(unreachable)?;
        Ok(Answer {
            status: answer.status(),
            headers: answer.headers().clone(),
            body: answer.text().await.map_err(unreachable)?,
        })
    }
}

/// The innermost, which says most.
fn reason(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
