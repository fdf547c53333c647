//! `origin LISTEN`: answers every request with the same 100 bytes, and costs next to nothing.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const BODY: [u8; 100] = [b'x'; 100];

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let Some(listen) = std::env::args().nth(1) else {
        eprintln!("usage: origin LISTEN");
        std::process::exit(2);
    };
    let mut answer =
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\n".to_vec();
    answer.extend_from_slice(&BODY);
    let answer: &'static [u8] = Vec::leak(answer);
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(serve(stream, answer));
    }
}

/// Until the other side closes. Requests have no bodies, so that each ends with its header.
async fn serve(mut stream: TcpStream, answer: &[u8]) {
    let mut buffer = vec![0; 16 * 1024];
    let mut tail: Vec<u8> = Vec::new();
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(read) => tail.extend_from_slice(buffer.get(..read).unwrap_or_default()),
        }
        while let Some(end) = tail.windows(4).position(|four| four == b"\r\n\r\n") {
            tail.drain(..end + 4);
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}
