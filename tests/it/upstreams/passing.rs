//! Answers without a body, interim ones, and requests that ask before they send: what the app says is what is told, and the
//! connection stays in step.

use super::parts::{nginx, tomcat};
use super::{before, body, folder};
use crate::harness::{BOUND, Stepgate, Wire, bounded, eventually, field, realm, status, upstream};

const STATUS_JSP: &str = r#"<%@ page session="false" trimDirectiveWhitespaces="true" %><%
    int code = Integer.parseInt(request.getParameter("code"));
    response.setStatus(code);
    response.setHeader("ETag", "\"a\"");
    if (code == 200) { response.setContentType("text/plain"); out.print("from tomcat"); }
%>"#;

const COUNT_JSP: &str = r#"<%@ page session="false" trimDirectiveWhitespaces="true" %><%
    long sum = 0;
    byte[] bytes = new byte[65536];
    for (int read; (read = request.getInputStream().read(bytes)) > 0; ) sum += read;
    response.setContentType("text/plain");
    out.print("read " + sum);
%>"#;

async fn ask(wire: &mut Wire, method: &str, target: &str, more: &str) -> String {
    wire.send(&format!(
        "{method} {target} HTTP/1.1\r\nHost: app.localhost\r\n{more}\r\n"
    ))
    .await;
    wire.header().await
}

/// All on one connection: whoever takes a body for the next answer, or the other way round, is found out.
async fn bodiless(
    stepgate: &Stepgate,
    file: &str,
    says: &str,
    targets: &[(&str, &str, &str, u16)],
) {
    let mut wire = stepgate.wire().await;
    for (method, target, more, wanted) in targets {
        let header = ask(&mut wire, method, target, more).await;
        assert_eq!(status(&header), *wanted, "{method} {target}: {header}");
        assert!(!field(&header, "x-request-id").is_empty());
        if *wanted == 204 {
            // RFC 9110 8.6, RFC 9112 6.1
            assert_eq!(field(&header, "content-length"), "", "{header}");
            assert_eq!(field(&header, "transfer-encoding"), "", "{header}");
        }
        let whole = ask(&mut wire, "GET", file, "").await;
        assert_eq!(status(&whole), 200, "after {method} {target}: {whole}");
        let length = says.len();
        if field(&whole, "content-length").is_empty() {
            let chunked = format!("{length:X}\r\n{says}\r\n0\r\n\r\n");
            assert_eq!(wire.exactly(chunked.len()).await, chunked.as_bytes());
        } else {
            assert_eq!(wire.exactly(length).await, says.as_bytes());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_answers_without_a_body() {
    let servers = "server { listen PORT0; location /public/204 { return 204; } location /public/ {} }\n\
                   server { listen PORT1 http2; location /public/204 { return 204; } location /public/ {} }";
    let Some(part) = nginx("bodiless", servers).await else {
        return;
    };
    let www = part.folder.path().join("www/public");
    std::fs::create_dir_all(&www).unwrap();
    std::fs::write(www.join("file"), "from nginx").unwrap();
    for (index, protocol) in [(0, "http1"), (1, "h2c")] {
        let stepgate = before(&format!(
            "url = \"http://{}\"\nprotocol = \"{protocol}\"",
            part.address(index)
        ));
        let mut wire = stepgate.wire().await;
        let header = ask(&mut wire, "HEAD", "/public/file", "").await;
        assert_eq!(field(&header, "content-length"), "10", "{header}");
        let tag = format!("If-None-Match: {}\r\n", field(&header, "etag"));
        bodiless(
            &stepgate,
            "/public/file",
            "from nginx",
            &[
                ("HEAD", "/public/file", "", 200),
                ("GET", "/public/204", "", 204),
                ("HEAD", "/public/204", "", 204),
                ("GET", "/public/file", &tag, 304),
                ("HEAD", "/public/file", &tag, 304),
                ("HEAD", "/public/none", "", 404),
            ],
        )
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tomcat_answers_without_a_body_and_says_when_to_go_on() {
    let files = [("public/status.jsp", STATUS_JSP), ("count.jsp", COUNT_JSP)];
    let Some(part) = tomcat("tomcat", &files).await else {
        return;
    };
    let lines = format!("url = \"http://{}\"", part.address(0));
    let stepgate = Stepgate::serve(folder(&lines, &realm().await, BOUND)).unwrap();
    bodiless(
        &stepgate,
        "/public/status.jsp?code=200",
        "from tomcat",
        &[
            ("HEAD", "/public/status.jsp?code=200", "", 200),
            ("GET", "/public/status.jsp?code=204", "", 204),
            ("GET", "/public/status.jsp?code=304", "", 304),
            ("HEAD", "/public/status.jsp?code=304", "", 304),
        ],
    )
    .await;

    let session = stepgate.log_in("alice").await;
    let mut wire = stepgate.wire().await;
    for framing in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        let more = format!(
            "Cookie: {session}\r\nOrigin: http://app.localhost\r\nExpect: 100-continue\r\n{framing}"
        );
        let interim = ask(&mut wire, "POST", "/count.jsp", &more).await;
        assert_eq!(status(&interim), 100, "{interim}");
        wire.send(if framing.starts_with('C') {
            "hello"
        } else {
            "5\r\nhello\r\n0\r\n\r\n"
        })
        .await;
        let answer = wire.answer().await;
        assert_eq!(status(&answer), 200, "{answer}");
        assert_eq!(body(&answer), "read 5");
    }
}

/// The body is never sent: the refusal is there before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_first_hears_the_apps_no() {
    let servers = "server { listen PORT0; client_max_body_size 10; location / { proxy_pass http://PORT1; } }\n\
                   server { listen PORT1; location / { return 200 \"read\"; } }";
    let Some(part) = nginx("expect", servers).await else {
        return;
    };
    let (app, _) = upstream(|header, mut wire| async move {
        let code = field(&header, "x-wanted").to_owned();
        wire.send(&format!(
            "HTTP/1.1 {code} No\r\nContent-Length: 2\r\n\r\nno"
        ))
        .await;
        Some(wire)
    })
    .await;
    let issuer = realm().await;
    for (address, code) in [(part.address(0), "413"), (app, "417"), (app, "401")] {
        let lines = format!("url = \"http://{address}\"");
        let stepgate = Stepgate::serve(folder(&lines, &issuer, BOUND)).unwrap();
        let session = stepgate.log_in("alice").await;
        let mut wire = stepgate.wire().await;
        let more = format!(
            "Cookie: {session}\r\nOrigin: http://app.localhost\r\nX-Wanted: {code}\r\n\
             Expect: 100-continue\r\nContent-Length: 100000\r\n"
        );
        let header = ask(&mut wire, "POST", "/orders", &more).await;
        assert_eq!(status(&header).to_string(), code, "{header}");
    }
}

/// And ours: who has to sign in first uploads nothing for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_first_hears_our_no() {
    let (app, seen) = upstream(|_, _| async { None }).await;
    let stepgate = Stepgate::without_realm(app).await;
    let mut wire = stepgate.wire().await;
    let more = "Expect: 100-continue\r\nContent-Length: 100000\r\n";
    let header = ask(&mut wire, "POST", "/orders", more).await;
    assert_eq!(status(&header), 401, "{header}");
    // Whether the body still comes is not known, so the connection ends (RFC 9110 10.1.1).
    assert_eq!(field(&header, "connection"), "close", "{header}");
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interim_answers_come_first_and_are_not_for_http_1_0() {
    let (app, _) = upstream(|_, mut wire| async move {
        wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n")
            .await;
        wire.send("HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\n")
            .await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            .await;
        Some(wire)
    })
    .await;
    let stepgate = Stepgate::without_realm(app).await;
    let mut wire = stepgate.wire().await;
    for _ in 0..2 {
        let first = ask(&mut wire, "GET", "/public/", "").await;
        assert_eq!(status(&first), 103, "{first}");
        assert!(field(&first, "link").contains("a.css"), "{first}");
        assert!(field(&wire.header().await, "link").contains("b.css"));
        let last = wire.answer().await;
        assert_eq!(status(&last), 200, "{last}");
        assert_eq!(body(&last), "hello");
    }
    let old = "GET /public/ HTTP/1.0\r\nHost: app.localhost\r\n\r\n";
    let answer = stepgate.ask(old).await;
    assert_eq!(status(&answer), 200, "{answer}");
}

/// The app has nothing to do with it, and the next request of the connection is served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_refusals_leave_the_connection_usable() {
    let (app, seen) = upstream(|_, mut wire| async move {
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            .await;
        Some(wire)
    })
    .await;
    let stepgate = Stepgate::without_realm(app).await;
    let mut wire = stepgate.wire().await;
    for (request, wanted) in [
        ("GET /orders HTTP/1.1\r\nHost: app.localhost\r\n\r\n", 401),
        (
            "GET /public//x HTTP/1.1\r\nHost: app.localhost\r\n\r\n",
            400,
        ),
        ("GET / HTTP/1.1\r\nHost: unknown.localhost\r\n\r\n", 421),
        ("TRACE / HTTP/1.1\r\nHost: app.localhost\r\n\r\n", 405),
        (
            "POST /orders HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            401,
        ),
        ("GET /public/ HTTP/1.1\r\nHost: app.localhost\r\n\r\n", 200),
    ] {
        wire.send(request).await;
        let answer = wire.answer().await;
        assert_eq!(status(&answer), wanted, "{request}: {answer}");
    }
    eventually("the one that is allowed", || {
        (seen.lock().unwrap().len() == 1).then_some(())
    })
    .await;
    let mut head = stepgate.wire().await;
    let header = ask(&mut head, "HEAD", "/orders", "").await;
    assert_eq!(status(&header), 401);
    head.send("GET /public/ HTTP/1.1\r\nHost: app.localhost\r\nConnection: close\r\n\r\n")
        .await;
    let rest = bounded(head.rest()).await;
    assert_eq!(status(&rest), 200, "{rest}");
}
