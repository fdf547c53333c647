//! What a handshake comes to, and what is answered behind it.

use rustls::ProtocolVersion;
use rustls::pki_types::CertificateDer;

use super::{NO_REALM, Secure, has, run, text};
use crate::harness::{field, status, upstream};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_shown_by_the_name_that_is_asked_for() {
    let secure = Secure::start().await;
    let subject = async |name: &str| {
        let stream = secure.connect(name, &["h2"]).await?;
        let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
        std::io::Result::Ok(shown)
    };
    let erp = CertificateDer::from(secure.erp.der.clone());
    assert_eq!(subject("erp.example.com").await.unwrap(), erp);
    let apps = subject("www.apps.example.com").await.unwrap();
    assert_ne!(apps, erp);
    assert_eq!(subject("other.apps.example.com").await.unwrap(), apps);
    // The first one for whoever is not known, so that the client says what is wrong.
    for stranger in ["a.b.apps.example.com", "example.org"] {
        let error = subject(stranger).await.unwrap_err().to_string();
        assert!(
            error.contains("certificate not valid for name"),
            "{stranger}: {error}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_protocols_are_offered_and_both_versions_of_tls() {
    let secure = Secure::start().await;
    for (offered, taken) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let stream = secure.connect("erp.example.com", offered).await.unwrap();
        let session = stream.get_ref().1;
        assert_eq!(session.alpn_protocol(), taken.map(str::as_bytes));
        assert_eq!(session.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    }
    assert!(
        secure
            .connect("erp.example.com", &["spdy/3"])
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openssl_and_stepgate_agree() {
    const TEST: &str = "openssl_and_stepgate_agree";
    if !has(TEST, "openssl").await {
        return;
    }
    let secure = Secure::start().await;
    let address = secure.tls.to_string();
    let ca = secure.stepgate.folder().join("ca.pem");
    let ask = async |more: &[&str]| {
        let mut all = vec!["s_client", "-connect", &address, "-CAfile"];
        all.push(ca.to_str().unwrap());
        all.extend(["-verify_return_error", "-brief"]);
        all.extend(more);
        text(&run("openssl", all).await)
    };
    let name = [
        "-servername",
        "erp.example.com",
        "-verify_hostname",
        "erp.example.com",
    ];
    for (version, shown) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = ask(&[&name[..], &[version]].concat()).await;
        assert!(
            said.contains(&format!("Protocol version: {shown}")),
            "{said}"
        );
        assert!(said.contains("Verification: OK"), "{said}");
        assert!(
            said.contains("Verified peername: erp.example.com"),
            "{said}"
        );
    }
    let old = ask(&[&name[..], &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]].concat()).await;
    assert!(!old.contains("Protocol version"), "{old}");
    // A health check by address names nobody.
    let nameless = ask(&["-noservername"]).await;
    assert!(nameless.contains("Verification: OK"), "{nameless}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_gets_its_answer_by_either_protocol() {
    let secure = Secure::start().await;
    for (flag, version) in [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2")] {
        let answer = secure
            .curl(&[
                flag,
                "https://erp.example.com/public/a?b=1",
                "-H",
                "Cookie: a=1",
            ])
            .await;
        assert!(answer.starts_with(&format!("{version} 200")), "{answer}");
        for line in [
            "GET /public/a?b=1\n",
            "host: erp.example.com\n",
            "x-forwarded-proto: https\n",
            "x-forwarded-host: erp.example.com\n",
            "x-forwarded-port: 443\n",
            "cookie: a=1\n",
        ] {
            assert!(
                answer.contains(line),
                "{version}: {line:?} is missing:\n{answer}"
            );
        }
        let refused = secure.curl(&[flag, "https://erp.example.com/orders"]).await;
        assert!(refused.starts_with(&format!("{version} 401")), "{refused}");
        let head = secure
            .curl(&[flag, "-I", "https://erp.example.com/public/a"])
            .await;
        assert!(head.starts_with(&format!("{version} 200")), "{head}");
        let own = secure
            .curl(&[flag, "-I", "https://erp.example.com/.stepgate/ping"])
            .await;
        assert!(own.starts_with(&format!("{version} 200")), "{own}");
    }
}

/// Answers that end with their header, and one after them over the same connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_gets_answers_without_a_body_by_either_protocol() {
    let (app, _) = upstream(|header, mut wire| async move {
        let answer = match header.split(' ').nth(1) {
            Some("/public/204") => "HTTP/1.1 204 No Content\r\n\r\n",
            Some("/public/304") => {
                "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n"
            }
            _ if header.starts_with("HEAD") => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        };
        wire.send(answer).await;
        Some(wire)
    })
    .await;
    let secure = Secure::before(app, NO_REALM, "", "");
    let whole = "https://erp.example.com/public/200";
    for (flag, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        for (url, expected, more) in [
            ("https://erp.example.com/public/204", 204, &[][..]),
            ("https://erp.example.com/public/304", 304, &[]),
            (whole, 200, &["-I"]),
        ] {
            // `--next`: the same connection again, if it is still of use.
            let mut arguments = vec![flag, "-w", "\n%{num_connects}"];
            arguments.extend(more);
            arguments.extend([url, "--next", "-sS", "-i", "--max-time", "20", flag]);
            let ca = secure
                .stepgate
                .folder()
                .join("ca.pem")
                .display()
                .to_string();
            let tls = format!("::127.0.0.1:{}", secure.tls.port());
            arguments.extend(["--cacert", &ca, "--connect-to", &tls]);
            arguments.extend(["-w", "\n%{num_connects}", whole]);
            let answers = secure.curl(&arguments).await.replace('\r', "");
            let first = format!("HTTP/{version} {expected}");
            assert!(answers.starts_with(&first), "{url} {flag}: {answers}");
            assert!(answers.contains("\n\n\n1"), "no body: {answers}");
            let second = format!("HTTP/{version} 200");
            assert!(answers.contains(&format!("\n1{second}")), "{answers}");
            assert!(answers.ends_with("hello\n0"), "{url} {flag}: {answers}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nghttp_gets_many_answers_over_one_connection() {
    const TEST: &str = "nghttp_gets_many_answers_over_one_connection";
    if !has(TEST, "nghttp").await {
        return;
    }
    let secure = Secure::start().await;
    let url = format!("https://{}/public/a", secure.tls);
    let said = run(
        "nghttp",
        [
            "-v",
            "-m",
            "20",
            "-H",
            ":authority: erp.example.com",
            "-H",
            "cookie: a=1",
            "-H",
            "cookie: b=2",
            &url,
        ],
    )
    .await;
    let said = text(&said);
    assert_eq!(said.matches(":status: 200").count(), 20, "{said}");
    assert_eq!(said.matches("cookie: a=1; b=2\n").count(), 20, "{said}");
    assert!(
        said.contains("SETTINGS_MAX_CONCURRENT_STREAMS(0x03):100"),
        "{said}"
    );
    let load = run(
        "h2load",
        [
            "-n",
            "400",
            "-c",
            "4",
            "-m",
            "10",
            "-H",
            ":authority: erp.example.com",
            &url,
        ],
    )
    .await;
    let load = text(&load);
    assert!(
        load.contains("400 succeeded, 0 failed, 0 errored"),
        "{load}"
    );
    assert!(load.contains("status codes: 400 2xx"), "{load}");
}

/// A browser may use a connection for every host of its certificate, and for no other (RFC 9113 9.1.1).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_is_for_the_hosts_of_its_certificate() {
    let secure = Secure::start().await;
    let ask = async |host: &str, named: &str| {
        let header = format!("Host: {host}");
        let url = format!("https://{named}/public/a");
        status(&secure.curl(&["-k", "--http1.1", "-H", &header, &url]).await)
    };
    assert_eq!(ask("erp.example.com", "erp.example.com").await, 200);
    assert_eq!(
        ask("www.apps.example.com", "other.apps.example.com").await,
        200
    );
    assert_eq!(ask("erp.example.com", "www.apps.example.com").await, 421);
    assert_eq!(ask("www.apps.example.com", "erp.example.com").await, 421);
    // By address there is no name to hold it to.
    assert_eq!(ask("erp.example.com", "127.0.0.1").await, 200);
    let reasons: Vec<_> = secure.stepgate.access(5).await;
    assert_eq!(reasons[2]["reason"], "misdirected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_is_sent_to_https() {
    let secure = Secure::start().await;
    let ask = async |request: &str, host: &str, more: &str| {
        secure
            .stepgate
            .ask(&format!(
                "{request} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n"
            ))
            .await
    };
    for (request, host, to) in [
        (
            "GET /orders?a=1",
            "erp.example.com",
            "https://erp.example.com/orders?a=1",
        ),
        ("HEAD /", "erp.example.com:8080", "https://erp.example.com/"),
        (
            "POST /orders",
            "ERP.example.com:80",
            "https://erp.example.com/orders",
        ),
        (
            "GET /public/a",
            "www.apps.example.com",
            "https://www.apps.example.com/public/a",
        ),
    ] {
        let answer = ask(request, host, "Content-Length: 0\r\n").await;
        assert_eq!(status(&answer), 308, "{answer}");
        assert_eq!(field(&answer, "location"), to, "{answer}");
        assert_eq!(field(&answer, "strict-transport-security"), "", "{answer}");
    }
    assert_eq!(status(&ask("GET /", "example.org", "").await), 421);
    assert_eq!(
        status(&ask("GET //example.org/", "erp.example.com", "").await),
        400
    );
    assert_eq!(
        status(&ask("GET /.stepgate/ping", "10.0.0.1", "").await),
        200
    );
    let line = &secure.stepgate.access(1).await[0];
    assert_eq!(line["decision"], "own");
    assert_eq!(line["reason"], "to-https");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_http_is_served_where_that_is_said_or_tls_ended_before() {
    let ask = async |secure: &Secure, more: &str| {
        let request = format!(
            "GET /public/a HTTP/1.1\r\nHost: erp.example.com\r\nConnection: close\r\n{more}\r\n"
        );
        status(&secure.stepgate.ask(&request).await)
    };
    let served = Secure::with("plain = \"serve\"", "").await;
    assert_eq!(ask(&served, "").await, 200);
    let behind = Secure::with("trusted_proxies = [\"127.0.0.1\"]", "").await;
    assert_eq!(ask(&behind, "X-Forwarded-Proto: https\r\n").await, 200);
    assert_eq!(ask(&behind, "X-Forwarded-Proto: http\r\n").await, 308);
    let direct = Secure::start().await;
    assert_eq!(ask(&direct, "X-Forwarded-Proto: https\r\n").await, 308);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn browsers_are_told_to_keep_to_https_if_the_configuration_says_so() {
    let with = Secure::with("hsts = \"180d\"", "").await;
    for path in ["/public/a", "/orders"] {
        let answer = with
            .curl(&[&format!("https://erp.example.com{path}")])
            .await;
        assert_eq!(
            field(&answer.replace('\r', ""), "strict-transport-security"),
            "max-age=15552000",
            "{answer}"
        );
    }
    let without = Secure::start().await;
    let answer = without.curl(&["https://erp.example.com/public/a"]).await;
    assert!(!answer.contains("strict-transport"), "{answer}");
}
