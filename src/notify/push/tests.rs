//! Against the vectors of the RFCs, and against what a browser may send that is no push service.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use p256::SecretKey;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature, VerifyingKey};
use proptest::prelude::*;
use serde_json::Value;

use super::testing::{AUTH, UA_PUBLIC, bytes, opened};
use super::*;
use crate::config::{Channel, ChannelKind, VapidKey};
use crate::notify::testing::{Answer, Receiver, status};
use crate::notify::{Event, Patience, Sender};
use crate::seal::SystemRandom;

const NOW: Timestamp = Timestamp::from_unix(1_453_480_568);

fn push(services: &[&str], allow_private: bool) -> WebPush {
    WebPush {
        key: VapidKey::new(bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")).unwrap(),
        subject: "mailto:push@example.com".to_owned(),
        services: services.iter().map(|host| (*host).to_owned()).collect(),
        reach: crate::config::Reach {
            allow_private,
            // None: nobody is asked by TLS here, and a system may have no authorities.
            ca: Some(Vec::new().into()),
        },
    }
}

fn subscription(endpoint: &str, push: &WebPush) -> Result<Subscription, SubscriptionError> {
    Subscription::new(endpoint, UA_PUBLIC, AUTH, push)
}

/// RFC 8291 section 5, with the values of its appendix A.
#[test]
fn a_message_is_encrypted_as_the_rfc_has_it() {
    let push = push(&["push.example.net"], false);
    let to = subscription(
        "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV",
        &push,
    );
    let sender = SecretKey::from_slice(&bytes("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"));
    let message = encrypt::encrypt_with(
        b"When I grow up, I want to be a watermelon",
        &to.unwrap(),
        &sender.unwrap(),
        bytes("DGv6ra1nlYgDCS1FRnbzlw").try_into().unwrap(),
    );
    assert_eq!(
        BASE64_URL_SAFE_NO_PAD.encode(message.unwrap()),
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27ml\
         mlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT\
         pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    );
}

/// RFC 8292 section 2.4: whoever can check the example can check ours.
#[test]
fn a_token_is_signed_as_the_rfc_has_it() {
    let verified = |token: &str, key: &[u8]| {
        let (signed, signature) = token.rsplit_once('.').unwrap();
        let key = VerifyingKey::from_sec1_bytes(key).unwrap();
        let signature = Signature::from_slice(&bytes(signature)).unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let json = |part: &str| serde_json::from_slice::<Value>(&bytes(part)).unwrap();
        key.verify(signed.as_bytes(), &signature).unwrap();
        (json(header), json(claims))
    };
    let example = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA";
    let key = bytes(
        "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs",
    );
    let theirs = verified(example, &key);

    let push = push(&["push.example.net"], false);
    let endpoint = "https://push.example.net/p/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV";
    let value = vapid::authorization(&push, &endpoint.parse().unwrap(), NOW).unwrap();
    let (token, key) = value
        .strip_prefix("vapid t=")
        .unwrap()
        .split_once(", k=")
        .unwrap();
    let ours = verified(token, &bytes(key));
    assert_eq!(ours, theirs);
    assert_eq!(Some(key.to_owned()), public_key(&push.key));
}

#[test]
fn only_the_services_of_the_configuration_are_taken() {
    let push = push(&["push.example.net", "*.notify.example.com"], false);
    for endpoint in [
        "https://push.example.net/p/1",
        "https://PUSH.example.net/p/1?q",
        "https://wns2.notify.example.com/w/",
        "https://a.b.notify.example.com/",
    ] {
        assert!(subscription(endpoint, &push).is_ok(), "{endpoint}");
    }
    for endpoint in [
        "http://push.example.net/p/1",
        "https://push.example.net:8443/p/1",
        "https://push.example.net@127.0.0.1/p/1",
        "https://me@push.example.net/p/1",
        "https://push.example.net.evil.example/p/1",
        "https://evil.example/?https://push.example.net/",
        "https://evil.example/#push.example.net",
        "https://evilpush.example.net/",
        "https://notify.example.com/",
        "https://.notify.example.com/",
        "https://xnotify.example.com/",
        "https://push.example.net\\@evil.example/",
        "https://push.example.net%2f@evil.example/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://localhost/",
        "https://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "push.example.net",
        "",
    ] {
        let refused = subscription(endpoint, &push);
        assert!(refused.is_err(), "{endpoint}: {refused:?}");
    }
    let long = format!("https://push.example.net/{}", "p".repeat(2048));
    assert!(subscription(&long, &push).is_err());
}

#[test]
fn keys_are_a_point_and_sixteen_bytes() {
    let push = push(&["push.example.net"], false);
    let with =
        |key: &str, auth: &str| Subscription::new("https://push.example.net/p", key, auth, &push);
    assert!(with(UA_PUBLIC, &format!("{AUTH}==")).is_ok());
    let off_the_curve = format!("{}A", UA_PUBLIC.split_at(86).0);
    for (key, auth) in [
        ("", AUTH),
        (UA_PUBLIC, ""),
        (UA_PUBLIC, "BTBZ"),
        (UA_PUBLIC.split_at(44).0, AUTH),
        (off_the_curve.as_str(), AUTH),
        ("not base64!", AUTH),
    ] {
        assert_eq!(
            with(key, auth),
            Err(SubscriptionError::Keys),
            "{key} {auth}"
        );
    }
}

fn channel(push: WebPush) -> Channel {
    Channel {
        name: "push".to_owned(),
        kind: ChannelKind::WebPush(push),
        detail: false,
        decided: false,
        timeout: Duration::from_secs(2),
        fallback: None,
    }
}

fn notice() -> Notice {
    Notice {
        id: "kY3vXw0S1mC9b2uQ7rT5Lg-asked".to_owned(),
        event: Event::Asked,
        approval: "kY3vXw0S1mC9b2uQ7rT5Lg".to_owned(),
        name: "erp/four-eyes".to_owned(),
        link: "https://approve.example.com/approvals/kY3vXw0S1mC9b2uQ7rT5Lg".to_owned(),
        at: NOW,
        until: NOW.plus(Duration::from_secs(600)),
        detail: Some(crate::notify::Detail::new("Release payment 7", "alice")),
    }
}

#[derive(Debug)]
struct Still;

impl crate::model::time::Clock for Still {
    fn now(&self) -> Timestamp {
        NOW
    }
}

async fn told(push: WebPush, to: &mut Recipients) -> Result<(), Failure> {
    let _first = rustls::crypto::ring::default_provider().install_default();
    let patience = Patience {
        tries: 3,
        first: Duration::from_millis(1),
        longest: Duration::from_secs(3),
    };
    let random = std::sync::Arc::new(SystemRandom::new());
    let sender = Sender::new(&channel(push), patience, random);
    sender.deliver(&notice(), to, &Still).await
}

#[tokio::test]
async fn each_browser_is_told_an_id_and_those_that_are_gone_are_named() {
    let (well, gone, busy) = (
        Receiver::new(vec![status(201, "")]).await,
        Receiver::new(vec![status(410, "")]).await,
        Receiver::new(vec![status(429, "retry-after: 1\r\n"), status(201, "")]).await,
    );
    let push = push(&["127.0.0.1"], true);
    let of = |receiver: &Receiver| subscription(&receiver.url("/p/1"), &push).unwrap();
    let mut to = Recipients {
        push: vec![of(&well), of(&gone), of(&busy)],
        ..Recipients::default()
    };
    assert_eq!(told(push.clone(), &mut to).await, Ok(()));
    assert_eq!((to.push, to.gone), (Vec::new(), vec![of(&gone)]));
    assert_eq!((well.heard().len(), gone.heard().len()), (1, 1));
    assert_eq!(busy.heard().len(), 2);

    let heard = well.heard().remove(0);
    assert_eq!(heard.line, "POST /p/1 HTTP/1.1");
    let header = |name: &str| heard.headers[name].as_str();
    assert_eq!(header("ttl"), "600");
    assert_eq!(header("urgency"), "high");
    assert_eq!(header("topic"), "kY3vXw0S1mC9b2uQ7rT5Lg");
    assert_eq!(header("content-encoding"), "aes128gcm");
    assert!(header("authorization").starts_with("vapid t="));
    let message: Value = serde_json::from_slice(&opened(&heard.body)).unwrap();
    assert_eq!(
        message,
        json!({ "id": "kY3vXw0S1mC9b2uQ7rT5Lg", "event": "asked" })
    );
    let again = busy.heard();
    assert_ne!(again[0].body, again[1].body, "no key is used twice");
}

#[tokio::test]
async fn an_endpoint_that_leads_home_is_not_pushed_to() {
    let receiver = Receiver::new(vec![status(201, "")]).await;
    let allowed = push(&["127.0.0.1", "localhost"], true);
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{}/", receiver.port());
        let kept = subscription(&url, &allowed).unwrap();
        for now in [
            push(&["push.example.net"], true),
            push(&["127.0.0.1", "localhost"], false),
        ] {
            let mut to = Recipients {
                push: vec![kept.clone()],
                ..Recipients::default()
            };
            assert!(told(now, &mut to).await.is_err(), "{host}");
        }
    }
    assert_eq!(receiver.heard().len(), 0);
}

#[tokio::test]
async fn a_service_that_hangs_or_hangs_up_is_tried_as_often_as_may_be() {
    let closing = Receiver::new(vec![Answer::Close]).await;
    let push = push(&["127.0.0.1"], true);
    let mut to = Recipients {
        push: vec![subscription(&closing.url("/"), &push).unwrap()],
        ..Recipients::default()
    };
    assert!(told(push, &mut to).await.is_err());
    assert_eq!(closing.heard().len(), 3);
    assert_eq!(
        told(push_to_nobody(), &mut Recipients::default()).await,
        Err(Failure::Nobody)
    );
}

fn push_to_nobody() -> WebPush {
    push(&["push.example.net"], false)
}

proptest! {
    #![proptest_config(crate::model::seeded::cases(64))]

    #[test]
    fn whatever_is_encrypted_is_what_is_decrypted(text in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let push = push(&["push.example.net"], false);
        let to = subscription("https://push.example.net/p", &push).unwrap();
        let message = encrypt::encrypt(&text, &to, &SystemRandom::new()).unwrap();
        prop_assert_eq!(opened(&message), text);
    }
}

#[test]
fn what_is_longer_than_a_record_is_not_sent() {
    let push = push(&["push.example.net"], false);
    let to = subscription("https://push.example.net/p", &push).unwrap();
    let random = SystemRandom::new();
    assert!(encrypt::encrypt(&[0; 4096 - 17], &to, &random).is_some());
    assert!(encrypt::encrypt(&[0; 4096 - 16], &to, &random).is_none());
}
