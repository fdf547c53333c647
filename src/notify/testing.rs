//! An HTTP receiver that answers as it is told to, also badly, and notes what it hears.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Status(u16, String),
    /// Reads, and says nothing.
    Hang,
    /// Reads, and hangs up.
    Close,
}

/// `headers`: each with its line break.
pub(crate) fn status(status: u16, headers: &str) -> Answer {
    Answer::Status(status, headers.to_owned())
}

#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) line: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Receiver {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Receiver {
    /// The last answer is given for ever.
    pub(crate) async fn new(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(served(stream, answers.clone(), Arc::clone(&noted)));
            }
        });
        Self {
            address,
            heard,
            task,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Until there are so many.
    pub(crate) async fn hears(&self, count: usize) -> Vec<Heard> {
        let heard = async {
            loop {
                let heard = self.heard();
                if heard.len() >= count {
                    return heard;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let heard = tokio::time::timeout(Duration::from_secs(20), heard).await;
        heard.unwrap_or_else(|_| panic!("{count} were to come: {:?}", self.heard()))
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn served(mut stream: TcpStream, answers: Vec<Answer>, heard: Arc<Mutex<Vec<Heard>>>) {
    while let Some(request) = read(&mut stream).await {
        let answer = {
            let mut heard = heard.lock().unwrap();
            heard.push(request);
            answers[(heard.len() - 1).min(answers.len() - 1)].clone()
        };
        match answer {
            Answer::Status(status, headers) => {
                let length = match headers.contains("content-length") {
                    true => "",
                    false => "content-length: 0\r\n",
                };
                let text = format!("HTTP/1.1 {status} X\r\n{headers}{length}\r\n");
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
            Answer::Hang => std::future::pending().await,
            Answer::Close => return,
        }
    }
}

async fn read(stream: &mut TcpStream) -> Option<Heard> {
    let mut all = Vec::new();
    let end = loop {
        if let Some(at) = all.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(&mut all).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(all[..end].to_vec()).unwrap();
    let (line, rest) = head.split_once("\r\n").unwrap();
    let headers: HashMap<_, _> = rest
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = all[end + 4..].to_vec();
    while body.len() < length {
        if stream.read_buf(&mut body).await.ok()? == 0 {
            return None;
        }
    }
    Some(Heard {
        line: line.to_owned(),
        headers,
        body,
    })
}
