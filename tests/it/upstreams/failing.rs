//! Upstreams that do not answer as they should: each way has its status and its code, for page, problem and log alike.

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{NO_REALM, body, folder, get};
use crate::harness::{BOUND, Stepgate, TIMEOUT, field, nobody, status, upstream};

async fn told(url: &str, more: &str) -> (u16, Value) {
    let lines = format!("url = \"{url}\"\n{more}");
    let stepgate = Stepgate::serve(folder(&lines, NO_REALM, TIMEOUT)).unwrap();
    let answer = stepgate.ask(&get("/public/")).await;
    let problem: Value = serde_json::from_str(body(&answer)).unwrap();
    assert_eq!(problem["upstream"], "app", "{problem}");
    assert_eq!(problem["status"], status(&answer));
    assert_eq!(problem["request_id"], field(&answer, "x-request-id"));
    let line = &stepgate.access(1).await[0];
    assert_eq!(line["error"], problem["code"]);
    assert_eq!(line["id"], problem["request_id"]);
    assert!(!answer.contains("127.0.0.1"), "{answer}");
    (status(&answer), problem["code"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_way_not_to_answer_has_its_code() {
    let says = async |text: &'static str| {
        let (app, _) = upstream(move |_, mut wire| async move {
            wire.send(text).await;
            None
        })
        .await;
        format!("http://{app}")
    };
    let (silent, _) = upstream(|_, wire| async {
        tokio::time::sleep(BOUND * 2).await;
        Some(wire)
    })
    .await;
    let (_bound, nobody) = nobody();
    let nobody = format!("http://{nobody}");
    let no_tls = format!("https://{}", no_upstream().await);
    for (url, code, wanted) in [
        (nobody, "upstream-unreachable", 502),
        (
            "http://nowhere.invalid".to_owned(),
            "upstream-unreachable",
            502,
        ),
        (no_tls, "upstream-tls", 502),
        (says("").await, "upstream-closed", 502),
        (says("HTTP/1.1 200 O").await, "upstream-closed", 502),
        (says("What?\r\n\r\n").await, "upstream-invalid", 502),
        (
            says("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n").await,
            "upstream-invalid",
            502,
        ),
        (format!("http://{silent}"), "upstream-timeout", 504),
    ] {
        assert_eq!(told(&url, "").await, (wanted, code.into()), "{url}");
    }
}

/// Says something of its own to whoever connects.
async fn no_upstream() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            stream.write_all(b"220 mail.example.com\r\n").await.unwrap();
        }
    });
    address
}

/// A server whose queue of connections is full takes no further one, and says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_is_not_taken_is_a_504() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(TIMEOUT, TcpStream::connect(address)).await {
        waiting.push(stream);
    }
    let (status, code) = told(&format!("http://{address}"), "").await;
    assert_eq!((status, code), (504, "upstream-connect-timeout".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h2_to_what_speaks_none_is_a_502() {
    let app = no_upstream().await;
    let (status, code) = told(&format!("http://{app}"), "protocol = \"h2c\"").await;
    assert_eq!(status, 502);
    assert!(
        code == "upstream-invalid" || code == "upstream-closed",
        "{code}"
    );
}
