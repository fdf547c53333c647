//! What the channels send, as the shipped program sends it, read by receivers that others wrote.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use stepgate::config::{ChannelKind, Input, Options, parse};
use stepgate::model::time::Clock as _;
use stepgate::notify::{Detail, Event, Notice, Patience, Recipients, Sender, push};
use stepgate::seal::SystemRandom;
use stepgate::server::SystemClock;
use tempfile::TempDir;

use crate::keycloak::{free_port, not_run};
use crate::tls::pki::Authority;
use crate::upstreams::parts::{Part, start};

const SECRET: &str = "only-for-tests";

const KEY: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const SOUND: &str = r#"
version  = 1
policies = "policies"
[keycloak]
issuer        = "http://127.0.0.1:1/realms/none"
client_id     = "stepgate"
client_secret = { file = "secret" }
[[levels]]
name  = "password"
base  = true
proof = { acr = ["1", "pwd"] }
[upstreams.app]
url = "http://127.0.0.1:1"
[channels.it]
CHANNEL
"#;

const APP: &str =
    "url = \"http://app.localhost\"\nupstream = \"app\"\nrequire = { level = \"password\" }\n";

/// As `scripts/receivers fetch` puts them there.
fn packages() -> PathBuf {
    let cache = std::env::var_os("STEPGATE_CACHE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join(".cache"),
        PathBuf::from,
    );
    cache.join("receivers-1")
}

/// `None`, and said so, where they are not.
async fn receiver(test: &str, folder: TempDir, arguments: &[&str]) -> Option<Part> {
    if !packages().exists() {
        let required = std::env::var_os("STEPGATE_REQUIRE_REAL").is_some_and(|value| value == "1");
        assert!(!required, "`scripts/receivers fetch`, for {test}");
        not_run(test, "`scripts/receivers fetch` has not been run");
        return None;
    }
    let port = free_port();
    let mut command = Command::new("python3");
    command
        .env("PYTHONPATH", packages())
        .current_dir(folder.path())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/channels/receiver.py"))
        .arg(arguments[0])
        .arg(port.to_string())
        .args(&arguments[1..]);
    start(test, command, folder, vec![port]).await
}

/// `channel`: the table `[channels.it]`.
fn typed(channel: &str, files: &[(&str, &str)], arguments: &[&str]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("stepgate.toml", &SOUND.replace("CHANNEL", channel));
    write("secret", SECRET);
    write("key", KEY);
    for (name, text) in files {
        write(name, text);
    }
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    write("policies/app.toml", APP);
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_stepgate"))
        .args(arguments)
        .args(["--config", "stepgate.toml"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
    (status.code(), text)
}

fn heard(part: &Part) -> Vec<Value> {
    let said = part.said();
    let lines = said.lines().filter(|line| line.starts_with('{'));
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn a_webhook_is_what_its_receivers_own_library_believes() {
    let test = "webhooks, checked by Standard Webhooks' library";
    let folder = tempfile::tempdir().unwrap();
    let Some(part) = receiver(test, folder, &["webhook", KEY]).await else {
        return;
    };
    let url = format!("http://{}/hook", part.address(0));
    let channel = format!(
        "kind = \"webhook\"\nurl = \"{url}\"\nkeys = {{ file = \"key\" }}\nallow_private = true"
    );
    let (code, text) = typed(&channel, &[], &["channels", "test", "it"]);
    assert_eq!(
        (code, text.as_str()),
        (Some(0), "it: a test notice was sent\n")
    );
    let heard = heard(&part);
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0]["right"], true);
    assert_eq!(
        heard[0]["forged"],
        serde_json::json!([false, false, false, false])
    );
    assert_eq!(heard[0]["body"]["type"], "test");

    // Another key than the receiver's: what it says is told.
    let (code, text) = typed(
        &channel,
        &[("key", "whsec_c2Vjb25kc2Vjb25kc2Vjb25kc2Vjb25k")],
        &["channels", "test", "it"],
    );
    assert_eq!(code, Some(0), "this receiver takes everything: {text}");
    assert_eq!(self::heard(&part)[1]["right"], false);
}

#[tokio::test]
async fn mail_goes_out_by_tls_and_with_the_password_or_not_at_all() {
    let test = "mail, taken by aiosmtpd";
    let authority = Authority::new("mail");
    let folder = tempfile::tempdir().unwrap();
    authority
        .server(&["127.0.0.1"])
        .write(folder.path(), "mail");
    let Some(part) = receiver(test, folder, &["mail", "mail.pem", "mail.key"]).await else {
        return;
    };
    let channel = format!(
        "kind = \"smtp\"\nhost = \"127.0.0.1\"\nport = {}\nca = \"ca.pem\"\nusername = \"stepgate\"\n\
         password = {{ file = \"secret\" }}\nfrom = \"Step Gate <stepgate@example.com>\"\n\
         to = [\"leads@example.com\", \"boss@example.com\"]",
        part.ports[0]
    );
    let ca = authority.pem();
    let right = [("ca.pem", ca.as_str())];
    let (code, text) = typed(&channel, &right, &["doctor", "channels"]);
    assert_eq!((code, text.as_str()), (Some(0), "  ok     it (smtp)\n"));
    assert_eq!(heard(&part).len(), 0, "nobody is told by a look");
    let (code, text) = typed(&channel, &right, &["channels", "test", "it"]);
    assert_eq!(code, Some(0), "{text}\n{}", part.said());
    let mails = heard(&part);
    let recipients: Vec<_> = mails.iter().map(|mail| &mail["recipients"]).collect();
    assert_eq!(
        recipients,
        [
            &serde_json::json!(["leads@example.com"]),
            &serde_json::json!(["boss@example.com"])
        ]
    );
    for mail in &mails {
        assert_eq!(
            (&mail["tls"], &mail["user"]),
            (&true.into(), &"stepgate".into())
        );
        assert_eq!(mail["sender"], "stepgate@example.com");
        let text = mail["text"].as_str().unwrap();
        assert!(text.contains("Subject: Test notice\r\n"), "{text}");
        assert!(text.contains("http://app.localhost\r\n"), "{text}");
    }

    // Neither a stranger's certificate nor a wrong password gets a mail.
    let stranger = Authority::new("stranger").pem();
    for (files, command) in [
        ([("ca.pem", stranger.as_str()), ("more", "")], "test"),
        ([("ca.pem", ca.as_str()), ("secret", "wrong")], "test"),
    ] {
        let (code, text) = typed(&channel, &files, &["channels", command, "it"]);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.starts_with("it: not sent: "), "{text}");
    }
    assert_eq!(heard(&part).len(), 2);
}

#[tokio::test]
async fn a_push_is_read_by_a_browsers_library_and_known_by_its_key() {
    crate::harness::install_crypto();
    let test = "Web Push, decrypted by http_ece";
    let folder = tempfile::tempdir().unwrap();
    let Some(part) = receiver(test, folder, &["push"]).await else {
        return;
    };
    let installation = SOUND.replace(
        "CHANNEL",
        "kind = \"web-push\"\nvapid_key = { file = \"vapid\" }\nsubject = \"mailto:admin@example.com\"\n\
         services = [\"127.0.0.1\"]\nallow_private = true",
    );
    let random = SystemRandom::new();
    let key = push::fresh_key(&random).unwrap();
    let read = |path: &Path| match path.ends_with("vapid") {
        true => Ok(key.reveal().to_owned()),
        false => Ok(SECRET.to_owned()),
    };
    let input = Input {
        sources: &[("stepgate.toml", &installation), ("app.toml", APP)],
        read: &read,
    };
    let channel = parse(&input, &Options::default())
        .unwrap()
        .config
        .channels
        .remove(0);
    let ChannelKind::WebPush(web_push) = &channel.kind else {
        panic!("it is one");
    };
    let browser = heard(&part).remove(0);
    let subscription = push::Subscription::new(
        &format!("http://{}/p", part.address(0)),
        browser["p256dh"].as_str().unwrap(),
        browser["auth"].as_str().unwrap(),
        web_push,
    );
    let mut to = Recipients {
        push: vec![subscription.unwrap()],
        ..Recipients::default()
    };
    let now = SystemClock.now();
    let notice = Notice {
        id: "kY3vXw0S1mC9b2uQ7rT5Lg-asked".to_owned(),
        event: Event::Asked,
        approval: "kY3vXw0S1mC9b2uQ7rT5Lg".to_owned(),
        name: "erp/four-eyes".to_owned(),
        link: "https://approve.example.com/approvals/kY3vXw0S1mC9b2uQ7rT5Lg".to_owned(),
        at: now,
        until: now.plus(Duration::from_secs(600)),
        detail: Some(Detail::new("Release payment 7", "alice")),
    };
    let sender = Sender::new(&channel, Patience::default(), Arc::new(SystemRandom::new()));
    let sent = sender.deliver(&notice, &mut to, &SystemClock).await;
    assert_eq!(sent, Ok(()), "{}", part.said());
    let heard = heard(&part).remove(1);
    let text: Value = serde_json::from_str(heard["text"].as_str().unwrap()).unwrap();
    assert_eq!(
        text,
        serde_json::json!({ "id": "kY3vXw0S1mC9b2uQ7rT5Lg", "event": "asked" })
    );
    assert_eq!(heard["topic"], "kY3vXw0S1mC9b2uQ7rT5Lg");
    let by = &heard["sender"];
    assert_eq!(
        (&by["scheme"], &by["alg"]),
        (&"vapid".into(), &"ES256".into())
    );
    assert_eq!(by["sub"], "mailto:admin@example.com");
    assert_eq!(by["aud"], format!("http://{}", part.address(0)));
    assert_eq!(by["key"], push::public_key(&web_push.key).unwrap());
    let expires = by["exp"].as_i64().unwrap();
    assert!((1..=86_400).contains(&(expires - now.as_unix())));
}

#[test]
fn what_is_not_there_is_a_finding() {
    let closed = "kind = \"ntfy\"\nurl = \"http://127.0.0.1:9\"\ntopic = \"a\"\nallow_private = true\ntoken = { file = \"secret\" }";
    let (code, text) = typed(closed, &[], &["doctor", "channels"]);
    assert_eq!(code, Some(1));
    assert!(
        text.starts_with("  wrong  it (ntfy): it cannot be reached"),
        "{text}"
    );
    let (code, text) = typed(closed, &[], &["channels", "test", "other"]);
    assert_eq!(
        (code, text.as_str()),
        (Some(2), "error: there is no channel `other`\n")
    );
    let unreadable = closed.replace("\"secret\"", "\"nowhere\"");
    let (code, text) = typed(&unreadable, &[], &["doctor", "channels"]);
    assert_eq!(code, Some(2));
    assert!(text.contains("SG0106"), "{text}");
}
