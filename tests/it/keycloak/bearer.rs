//! Access tokens of the real Keycloak: ordinary, lightweight and bound ones, and the example clients of the documents.

use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;
use reqwest::Url;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use stepgate::model::time::Clock as _;
use stepgate::server::SystemClock;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc;

use super::browser::Browser;
use super::browser::Factor::{self, Code, Password};
use super::person::Person;
use super::server::{keycloak, not_run};
use super::world::{Twist, World};
use crate::dpop::ProofKey;
use crate::harness::eventually_async;

#[allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "a program of its own"
)]
#[path = "../../../docs/clients/step-up.rs"]
mod example;

const BEARER: &str = "bearer = { audience = \"payroll\" }\n";
const DATED: &str = "bearer = { audience = \"payroll\" }\nbearer_age = \"auth_time\"\n";
const ASKED: &str =
    "bearer = { audience = \"payroll\" }\nbearer_age = \"auth_time\"\nintrospect = true\n";

/// Nothing listens there: the browser stops before.
const REDIRECT: &str = "http://127.0.0.1:1/callback";

/// What a client may have instead of its defaults.
#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    dpop: bool,
    lightweight: bool,
    without_audience: bool,
}

#[derive(Debug)]
struct Tokens {
    access: String,
    all: Value,
    asked: Vec<Factor>,
}

impl World {
    /// A public client of the realm, as a program on the user's machine is.
    async fn client(&self, name: &str, kind: Kind) {
        let mapper = |name: &str, mapper: &str, config: Value| {
            json!({
                "name": name, "protocol": "openid-connect", "protocolMapper": mapper, "config": config,
            })
        };
        let everywhere = |mut config: Value| {
            for name in ["access.token.claim", "introspection.token.claim"] {
                config[name] = json!("true");
            }
            config
        };
        let mut mappers = vec![
            // Keycloak never tells it by introspection.
            mapper(
                "amr",
                "oidc-amr-mapper",
                json!({ "access.token.claim": "true", "lightweight.claim": "true" }),
            ),
            mapper(
                "groups",
                "oidc-group-membership-mapper",
                everywhere(json!({ "claim.name": "groups", "full.path": "false" })),
            ),
        ];
        if !kind.without_audience {
            let audience = json!({ "included.custom.audience": "payroll" });
            mappers.push(mapper(
                "payroll",
                "oidc-audience-mapper",
                everywhere(audience),
            ));
            // Who asks about a token has to be in it.
            let audience = json!({ "included.client.audience": "stepgate" });
            mappers.push(mapper(
                "stepgate",
                "oidc-audience-mapper",
                everywhere(audience),
            ));
        }
        let client = json!({
            "clientId": name,
            "protocol": "openid-connect",
            "publicClient": true,
            "standardFlowEnabled": true,
            "directAccessGrantsEnabled": false,
            "redirectUris": ["http://127.0.0.1/callback"],
            "attributes": {
                "pkce.code.challenge.method": "S256",
                "dpop.bound.access.tokens": kind.dpop.to_string(),
                "client.use.lightweight.access.token.enabled": kind.lightweight.to_string(),
            },
            "defaultClientScopes": ["acr", "basic", "email", "profile", "roles"],
            "protocolMappers": mappers,
        });
        self.admin
            .post(&format!("/{}/clients", self.realm), &client)
            .await;
    }

    /// By a sign-in in that browser; `ask`: further parameters.
    async fn tokens(
        &self,
        browser: &mut Browser,
        person: &mut Person,
        client: &str,
        ask: &[(&str, &str)],
        key: Option<&ProofKey>,
    ) -> Tokens {
        let verifier = "a-verifier-of-this-test-that-is-long-enough-for-pkce";
        let challenge = BASE64URL.encode(digest(&SHA256, verifier.as_bytes()));
        let mut url: Url = format!("{}/protocol/openid-connect/auth", self.issuer)
            .parse()
            .unwrap();
        url.query_pairs_mut()
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", client),
                ("redirect_uri", REDIRECT),
                ("scope", "openid"),
                ("code_challenge_method", "S256"),
                ("code_challenge", &challenge),
            ])
            .extend_pairs(ask);
        browser.stop_at = Some(REDIRECT.to_owned());
        let walk = browser.walk(url.as_str(), person).await;
        browser.stop_at = None;
        let code = walk.page.url.query_pairs().find(|(name, _)| name == "code");
        let code =
            code.unwrap_or_else(|| panic!("no code: {} {}", walk.page.url, walk.page.text()));
        let endpoint = format!("{}/protocol/openid-connect/token", self.issuer);
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("redirect_uri", REDIRECT),
            ("code", &code.1),
            ("code_verifier", verifier),
        ];
        let mut request = reqwest::Client::new().post(&endpoint).form(&form);
        if let Some(key) = key {
            let claims = ProofKey::claims("POST", &endpoint, None, SystemClock.now().as_unix());
            request = request.header("dpop", key.sign(&claims));
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let all: Value = answer.json().await.unwrap();
        assert_eq!(status, 200, "{all}");
        Tokens {
            access: all["access_token"].as_str().unwrap().to_owned(),
            asked: walk.asked,
            all,
        }
    }

    /// The status, the problem's code, and the first challenge.
    async fn told(&self, path: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
        let url = self.url(path);
        let answer = Browser::new()
            .send("GET", &url, headers, String::new())
            .await;
        let status = answer.status().as_u16();
        let challenges = answer.headers().get_all("www-authenticate");
        let challenge = challenges
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect::<Vec<_>>()
            .join(", ");
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
        let code = body["code"].as_str().unwrap_or_default().to_owned();
        (status, code, challenge)
    }

    async fn bear(&self, path: &str, token: &str) -> (u16, String, String) {
        self.told(path, &[("authorization", &format!("Bearer {token}"))])
            .await
    }
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&BASE64URL.decode(part).unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_steps_up_by_the_challenge() {
    let Some(keycloak) = keycloak("a_program_steps_up_by_the_challenge").await else {
        return;
    };
    let twist = Twist {
        config: &[],
        app: DATED,
    };
    let mut world = World::twisted(keycloak, "bearer", twist).await;
    world.client("cli", Kind::default()).await;
    let other = Kind {
        without_audience: true,
        ..Kind::default()
    };
    world.client("other", other).await;
    let (mut browser, mut alice) = (Browser::new(), Person::alice());

    let (status, code, challenges) = world.told("/orders", &[]).await;
    assert_eq!((status, code.as_str()), (401, "login"));
    let told =
        "Cookie realm=\"stepgate\", Bearer realm=\"stepgate\", DPoP realm=\"stepgate\", algs=\"";
    assert!(challenges.starts_with(told), "{challenges}");
    let first = world
        .tokens(&mut browser, &mut alice, "cli", &[], None)
        .await;
    assert_eq!(first.asked, [Password]);
    let claims = part(&first.access, 1);
    assert_eq!(
        (&claims["acr"], &claims["typ"]),
        (&json!("pwd"), &json!("Bearer")),
        "{claims}"
    );
    assert_eq!(world.bear("/orders", &first.access).await.0, 200);
    let line = world.stepgate.access(2).await;
    let line = line
        .iter()
        .find(|line| line["decision"] == "allow")
        .unwrap()
        .clone();
    assert_eq!(
        (&line["credential"], &line["azp"]),
        (&json!("bearer"), &json!("cli"))
    );

    let (status, code, challenge) = world.bear("/fresh-mfa", &first.access).await;
    assert_eq!(
        (status, code.as_str()),
        (401, "insufficient_user_authentication")
    );
    assert!(
        challenge.ends_with(", acr_values=\"mfa\", max_age=\"60\""),
        "{challenge}"
    );
    let ask = [("acr_values", "mfa"), ("max_age", "60")];
    let second = world
        .tokens(&mut browser, &mut alice, "cli", &ask, None)
        .await;
    assert_eq!(second.asked, [Code], "on the same SSO session");
    for path in ["/orders", "/mfa", "/fresh-mfa"] {
        assert_eq!(world.bear(path, &second.access).await.0, 200, "{path}");
    }
    // What came before is not raised by it.
    assert_eq!(world.bear("/mfa", &first.access).await.0, 401);

    // Whatever else Keycloak gives is nothing here.
    let foreign = world
        .tokens(&mut browser, &mut alice, "other", &[], None)
        .await;
    for (what, token) in [
        ("ID token", second.all["id_token"].as_str().unwrap()),
        (
            "refresh token",
            second.all["refresh_token"].as_str().unwrap(),
        ),
        ("another app's", &foreign.access),
        ("cut", second.access.split_at(second.access.len() - 4).0),
    ] {
        let (status, code, challenge) = world.bear("/orders", token).await;
        assert_eq!((status, code.as_str()), (401, "invalid_token"), "{what}");
        assert!(!challenge.contains("acr"), "{challenge}");
    }

    // Signing out of the browser's session of the same SSO session ends the program's tokens with it.
    world.browser = browser;
    let page = world.open("/orders").await;
    assert_eq!(page.status, 200, "{}", page.text());
    for session in world.admin.sessions(&world.realm, "alice").await {
        world
            .admin
            .delete(&format!("/{}/sessions/{session}", world.realm))
            .await;
    }
    eventually_async("the end of the token", async || {
        let (status, ..) = world.bear("/orders", &second.access).await;
        (status == 401).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_token_goes_with_its_proof() {
    let Some(keycloak) = keycloak("a_bound_token_goes_with_its_proof").await else {
        return;
    };
    let twist = Twist {
        config: &[],
        app: BEARER,
    };
    let world = World::twisted(keycloak, "bound", twist).await;
    let kind = Kind {
        dpop: true,
        ..Kind::default()
    };
    world.client("cli", kind).await;
    let (mut browser, mut alice, key) = (Browser::new(), Person::alice(), ProofKey::new());
    let ask = [("acr_values", "mfa")];
    let tokens = world
        .tokens(&mut browser, &mut alice, "cli", &ask, Some(&key))
        .await;
    assert_eq!(tokens.all["token_type"], "DPoP");
    let token = tokens.access;
    assert_eq!(part(&token, 1)["cnf"]["jkt"], key.thumbprint());
    let value = format!("DPoP {token}");
    let proof = |path: &str, key: &ProofKey| {
        let now = SystemClock.now().as_unix();
        key.sign(&ProofKey::claims(
            "GET",
            &world.url(path),
            Some(&token),
            now,
        ))
    };
    let good = proof("/mfa", &key);
    let with = async |path: &str, proof: &str| {
        world
            .told(path, &[("authorization", &value), ("dpop", proof)])
            .await
    };
    let answer = with("/mfa", &good).await;
    assert_eq!(answer.0, 200, "{answer:?} {}", part(&token, 1));
    assert_eq!(with("/mfa", &proof("/mfa", &key)).await.0, 200);
    for (path, proof) in [
        ("/mfa", good.clone()),
        ("/mfa", proof("/orders", &key)),
        ("/mfa", proof("/mfa", &ProofKey::new())),
    ] {
        let (status, code, challenge) = with(path, &proof).await;
        assert_eq!((status, code.as_str()), (401, "invalid_dpop_proof"));
        assert!(challenge.starts_with("DPoP "), "{challenge}");
    }
    let (status, code, challenge) = world.bear("/mfa", &token).await;
    assert_eq!((status, code.as_str()), (401, "invalid_token"));
    assert!(challenge.starts_with("DPoP "), "{challenge}");
    // A time above the base level is nothing that a token shows, unless the app says so.
    let (status, code, _) = with("/fresh-mfa", &proof("/fresh-mfa", &key)).await;
    assert_eq!((status, code.as_str()), (403, "bearer_not_accepted"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lightweight_token_is_asked_about() {
    let Some(keycloak) = keycloak("a_lightweight_token_is_asked_about").await else {
        return;
    };
    let twist = Twist {
        config: &[],
        app: ASKED,
    };
    let world = World::twisted(keycloak, "lightweight", twist).await;
    let kind = Kind {
        lightweight: true,
        ..Kind::default()
    };
    world.client("light", kind).await;
    world.client("full", Kind::default()).await;
    let other = Kind {
        without_audience: true,
        ..kind
    };
    world.client("other", other).await;
    let (mut browser, mut alice) = (Browser::new(), Person::alice());
    let first = world
        .tokens(&mut browser, &mut alice, "light", &[], None)
        .await;
    let full = world
        .tokens(&mut browser, &mut alice, "full", &[], None)
        .await;
    let claims = part(&first.access, 1);
    for gone in ["sub", "aud", "acr", "auth_time"] {
        assert!(claims[gone].is_null(), "{claims}");
    }
    assert_eq!(world.bear("/orders", &first.access).await.0, 200);
    assert_eq!(world.bear("/orders", &full.access).await.0, 200);
    let (status, _, challenge) = world.bear("/mfa", &first.access).await;
    assert_eq!(status, 401);
    assert!(challenge.contains("acr_values=\"mfa\""), "{challenge}");
    let ask = [("acr_values", "mfa")];
    let second = world
        .tokens(&mut browser, &mut alice, "light", &ask, None)
        .await;
    assert_eq!(
        world.bear("/mfa", &second.access).await.0,
        200,
        "{}",
        part(&second.access, 1)
    );
    let stepped = world
        .tokens(&mut browser, &mut alice, "full", &ask, None)
        .await;
    assert_eq!(world.bear("/fresh-mfa", &stepped.access).await.0, 200);
    // The session is at `mfa` by now; this token was issued before.
    assert_eq!(world.bear("/mfa", &full.access).await.0, 401);
    let foreign = world
        .tokens(&mut browser, &mut alice, "other", &ask, None)
        .await;
    assert_eq!(
        world.bear("/orders", &foreign.access).await.1,
        "invalid_token"
    );

    // Never seen here, and its session has ended.
    let third = world
        .tokens(&mut browser, &mut alice, "light", &ask, None)
        .await;
    for session in world.admin.sessions(&world.realm, "alice").await {
        world
            .admin
            .delete(&format!("/{}/sessions/{session}", world.realm))
            .await;
    }
    assert_eq!(
        world.bear("/orders", &third.access).await.1,
        "invalid_token"
    );
}

/// Opens what a client shows, in one browser, until it shows nothing more; what was asked there.
fn opening(
    mut shown: mpsc::UnboundedReceiver<String>,
    mut person: Person,
) -> tokio::task::JoinHandle<Vec<Vec<Factor>>> {
    tokio::spawn(async move {
        let mut browser = Browser::new();
        let mut asked = Vec::new();
        while let Some(url) = shown.recv().await {
            let walk = browser.walk(&url, &mut person).await;
            assert!(walk.page.body.contains("signed in"), "{}", walk.page.text());
            asked.push(walk.asked);
        }
        asked
    })
}

async fn for_clients(keycloak: &super::server::Keycloak, name: &str) -> World {
    let twist = Twist {
        config: &[],
        app: DATED,
    };
    let world = World::twisted(keycloak, name, twist).await;
    world.client("cli", Kind::default()).await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rust_client_of_the_documents_steps_up() {
    let Some(keycloak) = keycloak("the_rust_client_of_the_documents_steps_up").await else {
        return;
    };
    let world = for_clients(keycloak, "client-rust").await;
    let (show, shown) = mpsc::unbounded_channel();
    let opened = opening(shown, Person::alice());
    let http = reqwest::Client::builder()
        .no_proxy()
        .resolve("payroll.localhost", ([127, 0, 0, 1], 0).into())
        .build()
        .unwrap();
    let show = move |url: &str| show.send(url.to_owned()).unwrap();
    let mut client = example::Client::new(http, &world.issuer, "cli", show);
    for (path, status) in [("/orders", 200), ("/fresh-mfa", 200), ("/mfa", 200)] {
        let answer = client.get(&world.url(path)).await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
    drop(client);
    assert_eq!(opened.await.unwrap(), [vec![Password], vec![Code]]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_javascript_client_of_the_documents_steps_up() {
    const TEST: &str = "the_javascript_client_of_the_documents_steps_up";
    let Some(keycloak) = keycloak(TEST).await else {
        return;
    };
    // Node asks the system for names, which may not know what browsers do.
    const NAMES: &str = "data:text/javascript,import dns from 'node:dns';const real=dns.lookup;\
        dns.lookup=(name,...rest)=>real(name.endsWith('.localhost')%3F'127.0.0.1':name,...rest);";
    let world = for_clients(keycloak, "client-js").await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/clients/step-up.mjs");
    let child = tokio::process::Command::new("node")
        .args([
            "--import",
            NAMES,
            script,
            &world.issuer,
            "cli",
            &world.url("/fresh-mfa"),
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            let real = std::env::var_os("STEPGATE_REQUIRE_REAL").is_some_and(|value| value == "1");
            assert!(!real, "there is no node: {error}");
            return not_run(TEST, "there is no node here");
        }
    };
    let (show, shown) = mpsc::unbounded_channel();
    let opened = opening(shown, Person::alice());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(60), async {
        while let Some(line) = lines.next_line().await.unwrap() {
            match line.strip_prefix("open ") {
                Some(url) => show.send(url.to_owned()).unwrap(),
                None => said.push(line),
            }
        }
        child.wait().await.unwrap()
    });
    let ended = ended.await.unwrap_or_else(|_| panic!("node hangs"));
    assert!(ended.success(), "{said:?}");
    assert_eq!(said.first().map(String::as_str), Some("200"), "{said:?}");
    drop(show);
    assert_eq!(opened.await.unwrap(), [vec![Password], vec![Code]]);
}

#[test]
fn the_clients_read_challenges_as_they_are_written() {
    let text = r#"realm="stepgate", error="insufficient_user_authentication", error_description="This, \"so\"", acr_values="mfa", max_age=60"#;
    let params = example::parse(text);
    for (name, value) in [
        ("realm", "stepgate"),
        ("error", "insufficient_user_authentication"),
        ("error_description", "This, \"so\""),
        ("acr_values", "mfa"),
        ("max_age", "60"),
    ] {
        assert_eq!(params[name], value);
    }
}
