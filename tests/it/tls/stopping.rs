//! Over TLS the end is told as well: by GOAWAY where HTTP/2 is spoken, by a Close frame on a WebSocket.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{NO_REALM, Secure};
use crate::harness::{bounded, eventually, status, upstream};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_under_way_over_http2_is_finished_and_nothing_new_begins() {
    let (app, seen) = upstream(|_, mut wire| async {
        // The stop comes meanwhile.
        tokio::time::sleep(Duration::from_millis(500)).await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            .await;
        Some(wire)
    })
    .await;
    let secure = Secure::before(app, NO_REALM, "", "");
    let stream = secure.connect("erp.example.com", &["h2"]).await.unwrap();
    let (client, connection) = bounded(h2::client::handshake(stream)).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut client = bounded(client.ready()).await.unwrap();
    let request = || {
        http::Request::get("https://erp.example.com/public/slow")
            .body(())
            .unwrap()
    };
    let (answer, _) = client.send_request(request(), true).unwrap();
    eventually("the request at the upstream", || {
        (!seen.lock().unwrap().is_empty()).then_some(())
    })
    .await;
    secure.stepgate.stop();
    let answer = bounded(answer).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut body = answer.into_body();
    assert_eq!(&bounded(body.data()).await.unwrap().unwrap()[..], b"hello");
    drop(body);
    // Without an error: it was told to go before it was left.
    bounded(connection).await.unwrap().unwrap();
    assert!(bounded(client.ready()).await.is_err(), "it takes another");
    bounded(secure.stepgate.serving).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_over_tls_is_told_to_go_away() {
    let (app, _) = upstream(|_, mut wire| async move {
        wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        )
        .await;
        let _closed = wire.0.read_to_end(&mut Vec::new()).await;
        None
    })
    .await;
    let secure = Secure::before(app, NO_REALM, "", "");
    let mut client = secure
        .connect("erp.example.com", &["http/1.1"])
        .await
        .unwrap();
    let request = "GET /public/ws HTTP/1.1\r\nHost: erp.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let mut header = Vec::new();
    while !header.ends_with(b"\r\n\r\n") {
        header.push(bounded(client.read_u8()).await.unwrap());
    }
    assert_eq!(status(std::str::from_utf8(&header).unwrap()), 101);
    secure.stepgate.stop();
    let mut rest = Vec::new();
    let _closed = bounded(client.read_to_end(&mut rest)).await;
    assert_eq!(rest, b"\x88\x0c\x03\xe9going away");
    bounded(secure.stepgate.serving).await.unwrap();
}
