//! Channels against receivers that behave, that misbehave, and that are not there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod mail;

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::*;
use crate::config::{Channel, ChannelKind, Input, Loaded, Ntfy, Options, Problem, Webhook, parse};
use crate::model::session::Secret;
use crate::model::time::{Clock, Timestamp};
use testing::{Answer, Receiver, status};

const NOW: Timestamp = Timestamp::from_unix(1_614_265_330);

/// A second later whenever it is looked at.
#[derive(Debug)]
struct Ticking(AtomicI64);

impl Ticking {
    fn new() -> Self {
        Self(AtomicI64::new(0))
    }
}

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        NOW.shifted(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

/// Of no use here but to be there.
#[derive(Debug)]
struct Same;

impl crate::model::random::Random for Same {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}

const QUICK: Patience = Patience {
    tries: 4,
    first: Duration::from_millis(1),
    longest: Duration::from_secs(5),
};

fn notice() -> Notice {
    Notice {
        id: "p5jXN8AQM9LWM0D4loKWxJek-asked".to_owned(),
        event: Event::Asked,
        approval: "p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
        name: "erp/four-eyes".to_owned(),
        link: "https://approve.example.com/approvals/p5jXN8AQM9LWM0D4loKWxJek".to_owned(),
        at: NOW,
        until: NOW.plus(Duration::from_secs(600)),
        detail: Some(Detail::new("Release payment 7: 900 EUR", "alice")),
    }
}

fn install() {
    let _first = rustls::crypto::ring::default_provider().install_default();
}

/// As the configuration makes them; `lines`: of `[channels.it]`.
fn configured(lines: &str) -> Channel {
    let installation = format!(
        "version = 1\n[keycloak]\nissuer = \"http://127.0.0.1:1/realms/none\"\nclient_id = \"stepgate\"\n\
         client_secret = {{ file = \"secret\" }}\n[[levels]]\nname = \"password\"\nbase = true\nproof = {{ acr = \"1\" }}\n\
         [upstreams.app]\nurl = \"http://127.0.0.1:1\"\n[channels.it]\n{lines}\n"
    );
    let app =
        "url = \"http://app.localhost\"\nupstream = \"app\"\nrequire = { level = \"password\" }\n";
    let read = |path: &std::path::Path| match path.file_name().and_then(|name| name.to_str()) {
        Some("secret") => Ok("only-for-tests".to_owned()),
        Some("one") => Ok("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        Some("two") => Ok(format!("whsec_{}", "c2Vjb25k".repeat(4))),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    let input = Input {
        sources: &[("stepgate.toml", &installation), ("app.toml", app)],
        read: &read,
    };
    match parse(&input, &Options::default()) {
        Ok(Loaded { mut config, .. }) => config.channels.remove(0),
        Err(problems) => panic!(
            "{}",
            problems
                .iter()
                .map(|problem| Problem::render(problem, false))
                .collect::<String>()
        ),
    }
}

fn webhook(url: &str) -> Channel {
    configured(&format!(
        "kind = \"webhook\"\nurl = \"{url}\"\nkeys = {{ file = \"one\" }}\nallow_private = true\ntimeout = \"300ms\""
    ))
}

fn sender_of(channel: &Channel) -> Sender {
    Sender::new(channel, QUICK, std::sync::Arc::new(Same))
}

async fn delivered(channel: &Channel, notice: &Notice) -> Result<(), Failure> {
    install();
    let sender = sender_of(channel);
    let mut to = sender.recipients(&[]);
    sender.deliver(notice, &mut to, &Ticking::new()).await
}

/// The example of Standard Webhooks' own libraries.
#[test]
fn a_signature_is_what_others_expect() {
    let channel = webhook("http://127.0.0.1:1/");
    let ChannelKind::Webhook(webhook) = &channel.kind else {
        panic!("it is one");
    };
    let signed = webhook::signature(
        &webhook.keys,
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "1614265330",
        b"{\"test\": 2432232314}",
    );
    assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[tokio::test]
async fn a_webhook_is_tried_again_under_the_same_id_and_a_new_time() {
    let receiver = Receiver::new(vec![status(503, ""), Answer::Close, status(204, "")]).await;
    let mut channel = webhook(&receiver.url("/hook?to=leads"));
    if let ChannelKind::Webhook(webhook) = &mut channel.kind {
        let both = configured(
            "kind = \"webhook\"\nurl = \"https://hooks.example.com\"\nkeys = [{ file = \"one\" }, { file = \"two\" }]",
        );
        let ChannelKind::Webhook(both) = both.kind else {
            panic!("it is one");
        };
        webhook.keys = both.keys;
    }
    assert_eq!(delivered(&channel, &notice()).await, Ok(()));
    let heard = receiver.heard();
    assert_eq!(heard.len(), 3);
    let mut times = Vec::new();
    for one in &heard {
        assert_eq!(one.line, "POST /hook?to=leads HTTP/1.1");
        assert_eq!(
            one.headers["webhook-id"],
            "msg_p5jXN8AQM9LWM0D4loKWxJek-asked"
        );
        assert_eq!(one.headers["webhook-signature"].split(' ').count(), 2);
        assert_eq!(one.headers["content-type"], "application/json");
        times.push(one.headers["webhook-timestamp"].clone());
    }
    times.dedup();
    assert_eq!(times.len(), 3, "a replay is told by its time");
    let body: Value = serde_json::from_slice(&heard[0].body).unwrap();
    assert_eq!(body["type"], "approval.asked");
    assert_eq!(body["data"]["name"], "erp/four-eyes");
    assert_eq!(body["data"]["expires_at"], "2021-02-25T15:12:10Z");
    assert_eq!(body["data"].get("summary"), None, "nobody asked for it");
    assert_eq!(body["data"].get("requester"), None);
}

#[tokio::test]
async fn details_go_out_where_the_configuration_says_so_and_as_data() {
    let receiver = Receiver::new(vec![status(200, "")]).await;
    let hostile = "Pay \"7\"\r\n{\"type\":\"approval.approved\"}\u{202e}</script>";
    let told = Notice {
        detail: Some(Detail::new(hostile, "alice\nBcc: x@example.com")),
        ..notice()
    };
    let channel = Channel {
        detail: true,
        ..webhook(&receiver.url("/"))
    };
    assert_eq!(delivered(&channel, &told).await, Ok(()));
    let ntfy = Channel {
        detail: true,
        ..configured(&format!(
            "kind = \"ntfy\"\nurl = \"{}\"\ntopic = \"approvals\"\ntoken = {{ file = \"secret\" }}\npriority = 5\nallow_private = true",
            receiver.url("/")
        ))
    };
    assert_eq!(delivered(&ntfy, &told).await, Ok(()));
    let heard = receiver.heard();
    let body: Value = serde_json::from_slice(&heard[0].body).unwrap();
    let shown = "Pay \"7\"\u{fffd}\u{fffd}{\"type\":\"approval.approved\"}\u{fffd}</script>";
    assert_eq!(body["type"], "approval.asked");
    assert_eq!(body["data"]["summary"], shown);
    assert_eq!(body["data"]["requester"], "alice\u{fffd}Bcc: x@example.com");

    assert_eq!(heard[1].headers["authorization"], "Bearer only-for-tests");
    let body: Value = serde_json::from_slice(&heard[1].body).unwrap();
    assert_eq!(body["topic"], "approvals");
    assert_eq!(body["title"], "Approval needed: erp/four-eyes");
    assert_eq!(body["click"], told.link);
    assert_eq!(body["priority"], 5);
    let text = body["message"].as_str().unwrap();
    assert_eq!(text.lines().count(), 2, "{text}");
    assert!(text.ends_with(shown), "{text}");
}

#[tokio::test]
async fn what_ntfy_says_of_itself_is_asked_for_below_its_own_address() {
    install();
    let receiver = Receiver::new(vec![status(200, ""), status(404, "")]).await;
    let channel = configured(&format!(
        "kind = \"ntfy\"\nurl = \"{}\"\ntopic = \"approvals\"\nallow_private = true",
        receiver.url("/below/")
    ));
    let sender = sender_of(&channel);
    assert_eq!(sender.reach().await, Ok(()));
    assert!(sender.reach().await.is_err());
    assert_eq!(receiver.heard()[0].line, "GET /below/v1/health HTTP/1.1");
}

/// What a receiver answers is where nobody else is sent.
#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::new(vec![status(200, "")]).await;
    for code in [301, 302, 303, 307, 308] {
        let location = format!("location: {}\r\n", elsewhere.url("/inner"));
        let receiver = Receiver::new(vec![status(code, &location)]).await;
        let failure = delivered(&webhook(&receiver.url("/")), &notice()).await;
        let refused = Failure::Status {
            status: code,
            after: None,
        };
        assert_eq!(failure, Err(refused));
        assert_eq!(receiver.heard().len(), 1, "tried once");
    }
    assert_eq!(elsewhere.heard().len(), 0);
}

#[tokio::test]
async fn a_receiver_that_hangs_takes_its_time_and_no_more() {
    let receiver = Receiver::new(vec![Answer::Hang]).await;
    let began = Instant::now();
    assert_eq!(
        delivered(&webhook(&receiver.url("/")), &notice()).await,
        Err(Failure::Late)
    );
    assert_eq!(receiver.heard().len(), 4, "tried as often as it may be");
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// An answer that never ends is not read.
#[tokio::test]
async fn what_is_answered_is_not_waited_for() {
    let endless = status(200, "content-length: 1000000000\r\n");
    let receiver = Receiver::new(vec![endless]).await;
    assert_eq!(
        delivered(&webhook(&receiver.url("/")), &notice()).await,
        Ok(())
    );
}

#[tokio::test]
async fn nobody_waits_longer_than_it_is_of_use() {
    let receiver = Receiver::new(vec![status(429, "retry-after: 3\r\n")]).await;
    let failure = Failure::Status {
        status: 429,
        after: Some(Duration::from_secs(3)),
    };
    let soon_over = Notice {
        until: NOW.plus(Duration::from_secs(4)),
        ..notice()
    };
    let channel = webhook(&receiver.url("/"));
    assert_eq!(delivered(&channel, &soon_over).await, Err(failure));
    assert_eq!(receiver.heard().len(), 1);

    let receiver = Receiver::new(vec![status(503, "retry-after: 3600\r\n")]).await;
    let channel = webhook(&receiver.url("/"));
    assert!(delivered(&channel, &notice()).await.is_err());
    assert_eq!(receiver.heard().len(), 1);
}

/// Not by a literal, and not by a name that leads there.
#[tokio::test]
async fn what_is_not_public_is_not_connected_to() {
    let receiver = Receiver::new(vec![status(200, "")]).await;
    let port = receiver.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f.1",
    ] {
        let mut channel = webhook(&receiver.url("/"));
        if let ChannelKind::Webhook(webhook) = &mut channel.kind {
            webhook.url = format!("http://{host}:{port}/").parse().unwrap();
            webhook.reach.allow_private = false;
        }
        let failure = delivered(&channel, &notice()).await;
        assert_eq!(failure, Err(Failure::Private), "{host}");
    }
    assert_eq!(receiver.heard().len(), 0);
}

#[tokio::test]
async fn a_token_and_keys_show_in_no_debug_text() {
    let ntfy = ChannelKind::Ntfy(Ntfy {
        token: Some(Secret::new("tk_secret")),
        ..match configured("kind = \"ntfy\"\nurl = \"https://ntfy.example.com\"\ntopic = \"a\"")
            .kind
        {
            ChannelKind::Ntfy(ntfy) => ntfy,
            _ => panic!("it is one"),
        }
    });
    let ChannelKind::Webhook(Webhook { keys, .. }) = webhook("http://127.0.0.1:1/").kind else {
        panic!("it is one");
    };
    let shown = format!("{ntfy:?} {keys:?}");
    assert!(
        !shown.contains("tk_secret") && !shown.contains("49"),
        "{shown}"
    );
}
