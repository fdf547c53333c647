//! Mail against a server that speaks as much SMTP as is needed, and says what it is told to.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Every line that it got, over all connections; `.` alone ends a mail.
type Lines = Arc<Mutex<Vec<String>>>;

/// `refuses`: what is answered to a recipient that contains it.
async fn server(refuses: &'static [(&'static str, &'static str)]) -> (u16, Lines) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let lines = Lines::default();
    let noted = Arc::clone(&lines);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(spoken(stream, refuses, Arc::clone(&noted)));
        }
    });
    (port, lines)
}

async fn spoken(stream: TcpStream, refuses: &[(&str, &str)], noted: Lines) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 mail.test\r\n").await?;
    let mut is_mail = false;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let line = line.trim_end_matches("\r\n").to_owned();
        noted.lock().unwrap().push(line.clone());
        if is_mail && line != "." {
            continue;
        }
        let refused = refuses
            .iter()
            .find(|(part, _)| line.starts_with("RCPT") && line.contains(part));
        let answer = match line.split(' ').next().unwrap_or_default() {
            "EHLO" => "250-mail.test\r\n250 8BITMIME",
            "DATA" => "354 go on",
            "QUIT" => "221 bye",
            _ => refused.map_or("250 fine", |(_, answer)| answer),
        };
        is_mail = line == "DATA";
        stream.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}

fn channel(port: u16, lines: &str) -> Channel {
    configured(&format!(
        "kind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {port}\nfrom = \"stepgate <stepgate@example.com>\"\ntimeout = \"2s\"\n{lines}"
    ))
}

#[tokio::test]
async fn each_gets_a_mail_of_their_own_and_nothing_of_it_is_a_header() {
    let (port, lines) = server(&[("gone@", "550 no such user")]).await;
    let channel = channel(
        port,
        "tls = \"off\"\nto = [\"leads@example.com\", \"gone@example.com\"]\nto_approvers = true\ndetail = true",
    );
    install();
    let sender = sender_of(&channel);
    let named = [
        "bob@example.com",
        "leads@example.com",
        "carol",
        "dave@example.com\r\nRCPT TO:<eve@example.com>",
    ];
    let mut to = sender.recipients(&named.map(str::to_owned));
    let told = Notice {
        detail: Some(Detail::new(
            "Pay 7\r\n.\r\nRCPT TO:<eve@example.com>\r\nBcc: eve@example.com",
            "alice\r\nBcc: eve@example.com",
        )),
        ..notice()
    };
    assert_eq!(
        sender.deliver(&told, &mut to, &Ticking::new()).await,
        Ok(())
    );

    let lines = lines.lock().unwrap().clone();
    let recipients: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("RCPT"))
        .collect();
    assert_eq!(
        recipients,
        [
            "RCPT TO:<leads@example.com>",
            "RCPT TO:<gone@example.com>",
            "RCPT TO:<bob@example.com>"
        ],
        "{lines:#?}"
    );
    let mails: Vec<Vec<String>> = lines
        .split(|line| line == "DATA")
        .skip(1)
        .map(|mail| {
            mail.iter()
                .take_while(|line| *line != ".")
                .cloned()
                .collect()
        })
        .collect();
    assert_eq!(mails.len(), 2);
    for mail in mails {
        let end = mail.iter().position(|line| line.is_empty()).unwrap();
        let names: Vec<_> = mail[..end]
            .iter()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            names,
            [
                "From",
                "To",
                "Subject",
                "Date",
                "Message-ID",
                "Auto-Submitted",
                "Content-Type",
                "Content-Transfer-Encoding"
            ]
        );
        assert!(mail.contains(&"Subject: Approval needed: erp/four-eyes".to_owned()));
        assert!(mail.contains(&"Date: Thu, 25 Feb 2021 15:02:10 +0000".to_owned()));
    }
}

/// Who was reached is not written to again.
#[tokio::test]
async fn only_those_are_tried_again_who_were_not_reached() {
    let (port, lines) = server(&[("slow@", "450 later")]).await;
    let channel = channel(
        port,
        "tls = \"off\"\nto = [\"leads@example.com\", \"slow@example.com\"]",
    );
    let failure = delivered(&channel, &notice()).await.unwrap_err();
    assert!(!failure.is_final(), "{failure}");
    let lines = lines.lock().unwrap().clone();
    let count = |wanted: &str| lines.iter().filter(|line| line.contains(wanted)).count();
    assert_eq!(count("RCPT TO:<leads@example.com>"), 1);
    assert_eq!(count("RCPT TO:<slow@example.com>"), 4);
    assert!(
        !lines.iter().any(|line| line.contains("alice")),
        "no details"
    );
}

/// Whoever is in between and takes STARTTLS out gets neither mail nor password.
#[tokio::test]
async fn nothing_is_said_to_a_server_without_tls() {
    let (port, lines) = server(&[]).await;
    let mut channel = channel(
        port,
        "to = \"leads@example.com\"\nusername = \"stepgate\"\npassword = { file = \"secret\" }",
    );
    if let ChannelKind::Smtp(smtp) = &mut channel.kind {
        // No authorities are needed for what never comes to a certificate.
        smtp.ca = Some(Vec::new().into());
    }
    assert!(delivered(&channel, &notice()).await.is_err());
    let lines = lines.lock().unwrap().clone();
    assert!(
        lines
            .iter()
            .all(|line| line.starts_with("EHLO") || line == "QUIT"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn mail_that_has_nobody_to_go_to_is_a_failure() {
    let channel = channel(1, "tls = \"off\"\nto_approvers = true");
    assert_eq!(delivered(&channel, &notice()).await, Err(Failure::Nobody));
}
