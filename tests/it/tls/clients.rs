//! Clients that show a certificate of their own.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rcgen::{DnType, SanType};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use stepgate::model::time::Clock as _;
use stepgate::server::SystemClock;

use super::pki::{Authority, named};
use super::{NO_REALM, Secure};
use crate::harness::{eventually_async, realm, serving_realm, status};
use crate::oracle::sample_app;

const OPTIONAL: &str = "[client_certificates]\nca = \"clients.pem\"\n";
const REQUIRED: &str = "[client_certificates]\nca = \"clients.pem\"\nrequire = true\n";

/// What the authorities of clients are, and who they have certified, has to be there before stepgate is.
fn secure(clients: &Authority, app: std::net::SocketAddr, issuer: &str, more: &str) -> Secure {
    let authority = Authority::new("Example Root");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("clients.pem"), clients.pem()).unwrap();
    let mut alice = named("alice");
    alice.push(DnType::OrganizationName, "Example, Inc.");
    let names = vec![
        SanType::Rfc822Name("alice@example.com".try_into().unwrap()),
        SanType::DnsName("laptop.example.com".try_into().unwrap()),
    ];
    clients.client(alice, names).write(folder.path(), "alice");
    Authority::new("Another Root")
        .client(named("mallory"), Vec::new())
        .write(folder.path(), "mallory");
    let erp = authority.server(super::HOSTS);
    let top = "plain = \"serve\"";
    Secure::serve(folder, authority, erp, app, issuer, top, more)
}

impl Secure {
    /// As the client of that name; nothing where there was no connection.
    async fn curl_as(&self, client: Option<&str>, arguments: &[&str]) -> Option<String> {
        let folder = self.stepgate.folder();
        let path = |kind: &str| {
            let name = client.unwrap_or_default();
            folder.join(format!("{name}.{kind}")).display().to_string()
        };
        let (cert, key) = (path("pem"), path("key"));
        let mut all = arguments.to_vec();
        if client.is_some() {
            all.extend(["--cert", &cert, "--key", &key]);
        }
        let output = self.curled(&all).await;
        let said = String::from_utf8(output.stdout).unwrap();
        output.status.success().then_some(said)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_is_told_whose_certificate_it_was() {
    let clients = Authority::new("Clients");
    let secure = secure(&clients, sample_app().await, &realm().await, OPTIONAL);
    let session = format!("Cookie: {}", secure.stepgate.log_in("alice").await);
    for flag in ["--http1.1", "--http2"] {
        let ask = async |client: Option<&str>| {
            let forged = [
                "-H",
                "X-Client-Subject: CN=root",
                "-H",
                "X-SSL-Client-S-DN: CN=root",
            ];
            let known = [flag, "-H", &session, "https://app.localhost/anything"];
            secure
                .curl_as(client, &[&known[..], &forged].concat())
                .await
        };
        let answer = ask(Some("alice")).await.unwrap();
        let pem = std::fs::read(secure.stepgate.folder().join("alice.pem")).unwrap();
        let der = rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap();
        let der: rustls::pki_types::CertificateDer<'_> = der;
        let print: String = digest(&SHA256, &der)
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        for line in [
            "x-client-subject: O=Example\\, Inc.,CN=alice\n",
            "x-client-names: email:alice@example.com,DNS:laptop.example.com\n",
            &format!("x-client-print: {print}\n"),
        ] {
            assert!(answer.contains(line), "{line:?} is missing:\n{answer}");
        }
        assert!(answer.contains(" O=Example\\, Inc.,CN=alice\n"), "{answer}");
        assert!(!answer.contains("root"), "{answer}");
        // The same session without one: nothing of the other connection is left.
        let without = ask(None).await.unwrap();
        assert_eq!(status(&without), 200, "{without}");
        assert!(!without.contains("x-client"), "{without}");
        assert!(!without.contains("root"), "{without}");
        // One that nobody believes is worse than none.
        assert_eq!(ask(Some("mallory")).await, None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_certificate_there_is_no_connection_where_one_is_required() {
    let clients = Authority::new("Clients");
    let secure = secure(&clients, sample_app().await, NO_REALM, REQUIRED);
    let ask = async |client| {
        secure
            .curl_as(client, &["https://erp.example.com/public/a"])
            .await
    };
    assert_eq!(ask(None).await, None);
    assert_eq!(ask(Some("mallory")).await, None);
    assert_eq!(status(&ask(Some("alice")).await.unwrap()), 200);
    assert!(secure.stepgate.access(1).await.len() == 1);

    // Another authority takes its place: who was let in before is let in no more, and the other way round.
    let next = Authority::new("Clients, too");
    next.client(named("mallory"), Vec::new())
        .write(secure.stepgate.folder(), "mallory");
    std::fs::write(secure.stepgate.folder().join("clients.pem"), next.pem()).unwrap();
    eventually_async("the new authority", async || ask(Some("mallory")).await).await;
    assert_eq!(ask(Some("alice")).await, None);
}

/// RFC 8705 3: a token that is bound to a certificate is of use to its owner alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_is_bound_to_a_certificate_goes_with_it() {
    let clients = Authority::new("Clients");
    let realm = serving_realm().await;
    let secure = secure(&clients, sample_app().await, &realm.issuer, OPTIONAL);
    clients
        .client(named("bob"), Vec::new())
        .write(secure.stepgate.folder(), "bob");
    secure.stepgate.edit("policies/erp.toml", |text| {
        format!("bearer = {{ audience = \"erp\" }}\n{text}")
    });
    assert!(secure.stepgate.reloader.reload().await.is_applied());

    let pem = std::fs::read(secure.stepgate.folder().join("alice.pem")).unwrap();
    let der: rustls::pki_types::CertificateDer<'_> =
        rustls::pki_types::pem::PemObject::from_pem_slice(&pem).unwrap();
    let print = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, &der));
    let now = SystemClock.now().as_unix();
    let token = |cnf: &Value| {
        let claims = json!({
            "iss": realm.issuer, "aud": "erp", "sub": "sub-alice", "azp": "batch", "typ": "Bearer",
            "iat": now, "auth_time": now, "exp": now + 300, "acr": "1", "cnf": cnf,
        });
        format!(
            "Authorization: Bearer {}",
            realm.sign("JWT", &claims).unwrap()
        )
    };
    let (bound, other) = (
        token(&json!({ "x5t#S256": print })),
        token(&json!({ "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2" })),
    );
    for flag in ["--http1.1", "--http2"] {
        for (client, token, expected) in [
            (Some("alice"), &bound, 200),
            // Somebody who has seen it, with a certificate of the same authority and with none.
            (Some("bob"), &bound, 401),
            (None, &bound, 401),
            (Some("alice"), &other, 401),
        ] {
            let arguments = [flag, "-H", token, "https://erp.example.com/orders"];
            let answer = secure.curl_as(client, &arguments).await.unwrap();
            assert_eq!(status(&answer), expected, "{client:?} {flag}: {answer}");
            assert_eq!(
                answer.contains("invalid_token"),
                expected == 401,
                "{answer}"
            );
        }
    }
}
