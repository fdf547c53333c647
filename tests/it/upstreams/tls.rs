//! Over TLS: whom stepgate believes, who it says it is, and which protocol they agree on.

use serde_json::Value;

use super::parts::{Authority, Leaf, nghttpd, nginx};
use super::tunnels::hasty;
use super::{NO_REALM, before, body, folder, get};
use crate::harness::{BOUND, Stepgate, eventually_async, field, status};
use crate::keycloak::free_port;
use crate::process::Process;

fn server(port: usize, leaf: &Leaf, more: &str) -> String {
    format!(
        "server {{ listen PORT{port} ssl {more}; ssl_certificate {}; ssl_certificate_key {};\n\
         location /public/ {{ default_type text/plain; return 200 \"$server_protocol $ssl_server_name $ssl_client_s_dn\"; }}\n",
        leaf.certificate.display(),
        leaf.key.display()
    )
}

/// A 502 that says what it was and where, to a program and to a person, and tells no address.
async fn refused(stepgate: &Stepgate, code: &str, secrets: &[&str]) {
    let answer = stepgate.ask(&get("/public/")).await;
    assert_eq!(status(&answer), 502, "{answer}");
    assert_eq!(field(&answer, "content-type"), "application/problem+json");
    let problem: Value = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["upstream"], "app", "{problem}");
    assert_eq!(problem["request_id"], field(&answer, "x-request-id"));
    let page = stepgate
        .ask(
            "GET /public/ HTTP/1.1\r\nHost: app.localhost\r\nAccept: text/html\r\nSec-Fetch-Mode: navigate\r\n\
             Sec-Fetch-Dest: document\r\nConnection: close\r\n\r\n",
        )
        .await;
    assert!((502..504).contains(&status(&page)), "{page}");
    assert!(field(&page, "content-type").starts_with("text/html"));
    for part in ["<code>app</code>", field(&page, "x-request-id")] {
        assert!(page.contains(part), "{part}:\n{page}");
    }
    for secret in secrets {
        assert!(
            !answer.contains(secret) && !page.contains(secret),
            "{secret}"
        );
    }
    let line = &stepgate.access(1).await[0];
    assert_eq!(line["error"], code);
    assert_eq!(line["upstream"], "app");
    assert_eq!(line["id"], field(&answer, "x-request-id"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_right_authority_and_name_are_believed() {
    let ours = Authority::new("ours");
    let leaf = ours.sign("app", "DNS:app.internal");
    let Some(nginx) = nginx("tls", &(server(0, &leaf, "") + "}")).await else {
        return;
    };
    let port = nginx.ports[0];
    let url = format!("url = \"https://127.0.0.1:{port}\"");
    let ca = ours.certificate.display();
    let others = Authority::new("others");
    let others_ca = others.certificate.display();

    let good = before(&format!(
        "{url}\ntls = {{ ca = \"{ca}\", server_name = \"app.internal\" }}"
    ));
    let answer = good.ask(&get("/public/")).await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(body(&answer).contains("HTTP/1.1 app.internal"), "{answer}");

    let secrets = [&*format!("127.0.0.1:{port}"), "app.internal"];
    for tls in [
        // The system's authorities do not know it.
        "tls = { server_name = \"app.internal\" }".to_owned(),
        // Another authority, which could sign anything.
        format!("tls = {{ ca = \"{others_ca}\", server_name = \"app.internal\" }}"),
        // The right one, and another name; by default the URL's host.
        format!("tls = {{ ca = \"{ca}\", server_name = \"other.internal\" }}"),
        format!("tls = {{ ca = \"{ca}\" }}"),
    ] {
        refused(&before(&format!("{url}\n{tls}")), "upstream-tls", &secrets).await;
    }

    let unverified = before(&format!("{url}\ntls = {{ insecure_skip_verify = true }}"));
    assert_eq!(status(&unverified.ask(&get("/public/")).await), 200);
}

/// Its file alone changes: what is believed is what it holds now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_authority_in_the_file_is_the_one_that_is_believed() {
    let (ours, others) = (Authority::new("ours"), Authority::new("others"));
    let leaf = ours.sign("app", "DNS:app.internal");
    let Some(nginx) = nginx("tls another authority", &(server(0, &leaf, "") + "}")).await else {
        return;
    };
    let ca = tempfile::NamedTempFile::new().unwrap();
    std::fs::copy(&others.certificate, ca.path()).unwrap();
    let port = free_port();
    let lines = format!(
        "url = \"https://127.0.0.1:{}\"\ntls = {{ ca = \"{}\", server_name = \"app.internal\" }}",
        nginx.ports[0],
        ca.path().display()
    );
    let folder = folder(&lines, NO_REALM, BOUND);
    let config = folder.path().join("stepgate.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        text.replace("127.0.0.1:0", &format!("127.0.0.1:{port}")),
    )
    .unwrap();
    let process = Process::start(folder, port).await;
    let answers = async |expected: u16| {
        eventually_async("the answer by the other authority", async || {
            let answer = process.get("/public/").await.answer().await;
            (status(&answer) == expected).then_some(())
        })
        .await;
    };
    answers(502).await;
    std::fs::copy(&ours.certificate, ca.path()).unwrap();
    answers(200).await;
    std::fs::copy(&others.certificate, ca.path()).unwrap();
    answers(502).await;
}

/// A connection that one upstream may use is not for another that would not have believed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooled_connection_is_not_believed_by_another_upstream() {
    let ours = Authority::new("ours");
    let leaf = ours.sign("app", "DNS:app.internal");
    let Some(nginx) = nginx("tls pool", &(server(0, &leaf, "") + "}")).await else {
        return;
    };
    let url = format!("url = \"https://127.0.0.1:{}\"", nginx.ports[0]);
    let files = folder(
        &format!(
            "{url}\ntls = {{ ca = \"{}\", server_name = \"app.internal\" }}\n\
             [upstreams.strict]\n{url}\ntls = {{ server_name = \"app.internal\" }}",
            ours.certificate.display()
        ),
        NO_REALM,
        BOUND,
    );
    let policy = files.path().join("policies/app.toml");
    let text = std::fs::read_to_string(&policy).unwrap()
        + "\n[[routes]]\nid = \"strict\"\npath = \"/public/strict\"\npublic = true\nupstream = \"strict\"\n";
    std::fs::write(&policy, text).unwrap();
    let stepgate = Stepgate::serve(files).unwrap();
    for _ in 0..3 {
        assert_eq!(status(&stepgate.ask(&get("/public/")).await), 200);
        let strict = status(&stepgate.ask(&get("/public/strict")).await);
        assert!((502..504).contains(&strict), "{strict}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stepgate_shows_its_own_certificate_where_it_has_one() {
    let ours = Authority::new("ours");
    let leaf = ours.sign("app", "IP:127.0.0.1");
    let client = ours.sign("stepgate", "DNS:stepgate.internal");
    let wants = format!(
        "ssl_verify_client on; ssl_client_certificate {};\n}}",
        ours.certificate.display()
    );
    let Some(nginx) = nginx("mtls", &(server(0, &leaf, "") + &wants)).await else {
        return;
    };
    let url = format!("url = \"https://127.0.0.1:{}\"", nginx.ports[0]);
    let ca = ours.certificate.display();
    let known = before(&format!(
        "{url}\ntls = {{ ca = \"{ca}\", client_cert = \"{}\", client_key = {{ file = \"{}\" }} }}",
        client.certificate.display(),
        client.key.display()
    ));
    let answer = known.ask(&get("/public/")).await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(body(&answer).contains("CN=stepgate"), "{answer}");
    let unknown = before(&format!("{url}\ntls = {{ ca = \"{ca}\" }}"));
    let answer = unknown.ask(&get("/public/")).await;
    assert_eq!(status(&answer), 400, "nginx's own answer: {answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_protocol_is_what_the_configuration_says() {
    let ours = Authority::new("ours");
    let leaf = ours.sign("app", "IP:127.0.0.1");
    let servers = server(0, &leaf, "http2")
        + "}\n"
        + &server(1, &leaf, "")
        + "}\n"
        + "server { listen PORT2 http2; location /public/ { return 200 \"$server_protocol\"; } }";
    let Some(nginx) = nginx("protocols", &servers).await else {
        return;
    };
    let ca = ours.certificate.display();
    let with = |scheme: &str, index: usize, protocol: &str| {
        let tls = if scheme == "https" {
            format!("tls = {{ ca = \"{ca}\" }}")
        } else {
            String::new()
        };
        before(&format!(
            "url = \"{scheme}://127.0.0.1:{}\"\nprotocol = \"{protocol}\"\n{tls}",
            nginx.ports[index]
        ))
    };
    for (scheme, index, protocol, spoken) in [
        ("https", 0, "http1", "HTTP/1.1"),
        ("https", 0, "auto", "HTTP/2.0"),
        ("https", 0, "h2", "HTTP/2.0"),
        ("https", 1, "auto", "HTTP/1.1"),
        ("http", 2, "h2c", "HTTP/2.0"),
    ] {
        let stepgate = with(scheme, index, protocol);
        for _ in 0..3 {
            let answer = stepgate.ask(&get("/public/")).await;
            assert_eq!(status(&answer), 200, "{protocol}: {answer}");
            assert!(body(&answer).starts_with(spoken), "{protocol}: {answer}");
        }
    }
    refused(&with("https", 1, "h2"), "upstream-tls", &[]).await;
    // This one does not know of ALPN, so it would be HTTP/1.1, and was not to be.
    let lines = format!(
        "url = \"https://{}\"\nprotocol = \"h2\"\ntls = {{ ca = \"{ca}\" }}",
        hasty(&leaf)
    );
    refused(&before(&lines), "upstream-invalid", &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nghttpd_is_asked_over_h2_and_h2c() {
    let ours = Authority::new("ours");
    let leaf = ours.sign("app", "IP:127.0.0.1");
    for certificate in [None, Some(&leaf)] {
        let Some(part) = nghttpd("nghttpd", &[], certificate).await else {
            return;
        };
        let address = part.address(0);
        let lines = match certificate {
            None => format!("url = \"http://{address}\"\nprotocol = \"h2c\""),
            Some(_) => format!(
                "url = \"https://{address}\"\nprotocol = \"h2\"\ntls = {{ ca = \"{}\" }}",
                ours.certificate.display()
            ),
        };
        let stepgate = before(&lines);
        let answer = stepgate.ask(&get("/public/file")).await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert_eq!(body(&answer), "from nghttpd");
        assert_eq!(status(&stepgate.ask(&get("/public/none")).await), 404);
        let head = get("/public/file").replacen("GET", "HEAD", 1);
        let answer = stepgate.ask(&head).await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert_eq!(body(&answer), "");
        // More at once than one connection may carry.
        let many = (0..150).map(async |_| stepgate.ask(&get("/public/file")).await);
        for answer in futures_util::future::join_all(many).await {
            assert_eq!(body(&answer), "from nghttpd");
        }
    }
}
