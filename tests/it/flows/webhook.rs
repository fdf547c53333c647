//! A program as an approver: it is told by a signed webhook, and says yes or no by one; what is not its word, or not new,
//! decides nothing.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::routing::post;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;
use serde_json::{Value, json};

use super::world::{Twist, World, heading};
use crate::harness::eventually;
use crate::keycloak::Page;
use crate::oracle;

const NETWORKS: &str = "[networks]";
const LAST: &str = "require = { networks_any = [\"office\"] }\n";
const MORE: &str = r#"require = { networks_any = ["office"] }
[[routes]]
id       = "pay"
path     = "/pay/{id}"
methods  = ["POST"]
approval = "by-program"
[[routes]]
id       = "transfer"
path     = "/transfer/{id}"
methods  = ["POST"]
approval = "by-both"
[[routes]]
id       = "close"
path     = "/close/{id}"
methods  = ["POST"]
approval = "by-people"
[approvals.by-program]
summary   = "Pay {path.id}"
approvers = { webhook = "fraud" }
cooldown  = "0s"
[approvals.by-both]
summary   = "Transfer {path.id}"
approvers = { groups_any = ["leads"], webhook = "fraud", need = 2 }
[approvals.by-people]
summary   = "Close {path.id}"
approvers = { groups_any = ["leads"] }
"#;

/// While the program goes over from one to the other.
const BOTH_KEYS: &str = "[{ file = \"in.key\" }, { file = \"next.key\" }]";
const NEXT_KEY: &str = "[{ file = \"next.key\" }]";

/// What the program was told, and the keys that it has.
struct Program {
    notices: Arc<Mutex<Vec<Value>>>,
}

/// What goes with a message.
#[derive(Clone, Copy)]
struct Message<'m> {
    to: &'m str,
    key: &'m str,
    id: &'m str,
    /// Seconds from now.
    at: i64,
}

const FINE: Message<'static> = Message {
    to: "fraud",
    key: "in.key",
    id: "msg_1",
    at: 0,
};

async fn world() -> (World, Program) {
    let notices: Arc<Mutex<Vec<Value>>> = Arc::default();
    let told = Arc::clone(&notices);
    let take = move |_: HeaderMap, body: Bytes| async move {
        told.lock()
            .unwrap()
            .push(serde_json::from_slice(&body).unwrap());
    };
    let address = oracle::serve(Router::new().route("/hook", post(take))).await;
    let channel = |name: &str, keys: &str| {
        format!(
            "[channels.{name}]\nkind = \"webhook\"\nurl = \"http://{address}/hook\"\nallow_private = true\n\
             detail = true\nkeys = {{ file = \"out.key\" }}\ndecide_keys = {keys}\n"
        )
    };
    let config = format!(
        "[approver_app]\nurl = \"APPROVER\"\n{}{}[networks]",
        channel("fraud", BOTH_KEYS),
        channel("other", "{ file = \"other.key\" }")
    );
    let mut world = World::twisted(Twist {
        config: &[(NETWORKS, &config)],
        policy: &[(LAST, MORE)],
        ..Twist::default()
    })
    .await;
    world.lands("/", "alice").await;
    (world, Program { notices })
}

impl Program {
    /// The id of what it was asked last.
    async fn asked(&self, summary: &str) -> String {
        let notice = eventually("a notice", || {
            let notices = self.notices.lock().unwrap();
            let mut found = notices.iter().rev();
            found
                .find(|notice| notice["data"]["summary"] == summary)
                .cloned()
        })
        .await;
        assert_eq!(notice["type"], "approval.asked");
        notice["data"]["approval"].as_str().unwrap().to_owned()
    }
}

impl World {
    pub(super) fn lines_because(&self, event: &str, reason: &str) -> Vec<Value> {
        let log = self.stepgate.log("audit.log");
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines
            .filter(|line| line["event"] == event && line["reason"] == reason)
            .collect()
    }

    async fn reloads(&self) {
        let reloaded = self.stepgate.reloader.reload().await;
        assert!(reloaded.is_applied(), "{}", reloaded.report(false));
    }

    async fn asks(&mut self, path: &str) -> Page {
        let url = self.url(path).parse().unwrap();
        let form = vec![("amount".to_owned(), "1".to_owned())];
        let page = self.browser.post(url, form).await;
        assert_eq!(
            heading(&page),
            "Waiting for somebody to agree",
            "{}",
            page.text()
        );
        page
    }

    async fn program_says(&self, message: Message<'_>, body: &str) -> (u16, Value) {
        self.program_sends(message, body, body).await
    }

    /// `signed` may be something else than what is sent.
    async fn program_sends(&self, message: Message<'_>, signed: &str, body: &str) -> (u16, Value) {
        let at = (self.clock.seconds() + message.at).to_string();
        let text = std::fs::read_to_string(self.stepgate.path(message.key)).unwrap();
        let key = BASE64_STANDARD
            .decode(text.trim().strip_prefix("whsec_").unwrap())
            .unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let tag = hmac::sign(&key, format!("{}.{at}.{signed}", message.id).as_bytes());
        let signature = format!("v1,AAAA v1,{}", BASE64_STANDARD.encode(tag));
        let headers = [
            ("webhook-id", message.id),
            ("webhook-timestamp", &at),
            ("webhook-signature", &signature),
        ];
        let approver = self.origin.replace("payroll.", "approve.");
        let url = format!("{approver}/.stepgate/approvals/webhook/{}", message.to);
        let answer = self
            .browser
            .send("POST", &url, &headers, body.to_owned())
            .await;
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str(&text).unwrap_or_default())
    }
}

fn yes(approval: &str) -> String {
    json!({ "approval": approval, "decision": "approve" }).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_agrees_and_it_goes_on_once() {
    let (mut world, program) = world().await;
    let hits = world.hit_count();
    let waiting = world.asks("/pay/7").await;
    assert!(waiting.body.contains("fraud"), "{}", waiting.text());
    let approval = program.asked("Pay 7").await;
    let (status, answer) = world.program_says(FINE, &yes(&approval)).await;
    assert_eq!(
        (status, &answer["status"]),
        (200, &json!("approved")),
        "{answer}"
    );
    let page = world.browser.open(waiting.url.as_str()).await;
    assert_eq!(page.body, "app POST /pay/7", "{}", page.text());
    assert_eq!(world.hit_count(), hits + 1);
    let voted = world.audited("approval-voted", "yes").await;
    assert_eq!(voted["channel"], "webhook:fraud");
    let metrics = world.stepgate.metrics();
    let line = r#"stepgate_channel_decisions_total{channel="fraud",result="approved"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_its_word_or_not_new_decides_nothing() {
    let (mut world, program) = world().await;
    let hits = world.hit_count();
    let waiting = world.asks("/pay/7").await;
    let approval = program.asked("Pay 7").await;
    let body = yes(&approval);
    let rows = [
        (
            "forged",
            Message {
                key: "out.key",
                ..FINE
            },
            401,
        ),
        (
            "of another webhook",
            Message {
                key: "other.key",
                ..FINE
            },
            401,
        ),
        (
            "to another webhook",
            Message {
                to: "other",
                ..FINE
            },
            401,
        ),
        (
            "by another webhook",
            Message {
                to: "other",
                key: "other.key",
                ..FINE
            },
            404,
        ),
        ("late", Message { at: -301, ..FINE }, 401),
        ("early", Message { at: 301, ..FINE }, 401),
        (
            "to nobody",
            Message {
                to: "nobody",
                ..FINE
            },
            404,
        ),
    ];
    for (what, message, expected) in rows {
        let (status, answer) = world.program_says(message, &body).await;
        assert_eq!(status, expected, "{what}: {answer}");
    }
    let changed = body.replace("approve", "report");
    assert_eq!(world.program_sends(FINE, &changed, &body).await.0, 401);
    for odd in ["", "{}", "[]", &body.replace("approve", "yes")] {
        let message = Message {
            id: "msg_odd",
            ..FINE
        };
        assert_eq!(world.program_says(message, odd).await.0, 400, "{odd}");
    }
    let elsewhere = Message {
        id: "msg_2",
        ..FINE
    };
    assert_eq!(world.program_says(elsewhere, &yes("nothing")).await.0, 404);
    // What people decide on is not the program's, whatever it signs.
    world.asks("/close/7").await;
    let people = world.audited("approval-asked", "payroll/by-people").await;
    let people = people["approval"].as_str().unwrap().to_owned();
    let message = Message {
        id: "msg_3",
        ..FINE
    };
    assert_eq!(world.program_says(message, &yes(&people)).await.0, 404);

    let page = world.browser.open(waiting.url.as_str()).await;
    assert_eq!(
        heading(&page),
        "Waiting for somebody to agree",
        "{}",
        page.text()
    );
    assert_eq!(world.hit_count(), hits);

    let no = json!({ "approval": approval, "decision": "deny", "reason": "a known mule" });
    let (status, answer) = world.program_says(FINE, &no.to_string()).await;
    assert_eq!(
        (status, &answer["status"]),
        (200, &json!("denied")),
        "{answer}"
    );
    let page = world.browser.open(waiting.url.as_str()).await;
    assert_eq!(heading(&page), "It was not agreed to", "{}", page.text());
    assert!(page.body.contains("a known mule"), "{}", page.text());
    // The same message again; and another one, too late.
    let (status, answer) = world.program_says(FINE, &no.to_string()).await;
    assert_eq!((status, &answer["code"]), (409, &json!("webhook-replayed")));
    let message = Message {
        id: "msg_4",
        ..FINE
    };
    let (status, answer) = world.program_says(message, &body).await;
    assert_eq!((status, &answer["code"]), (409, &json!("over")));
    world.audited("webhook-refused", "signature").await;
    world.audited("webhook-refused", "timestamp").await;
    world.audited("webhook-refused", "replayed").await;
    let refused = world.audited("webhook-refused", "over").await;
    assert_eq!(refused["channel"], "webhook:fraud");
}

/// Anybody may send what nobody has signed.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_forged_messages_is_a_few_lines_and_their_number() {
    let (world, _) = world().await;
    let forged = Message {
        key: "out.key",
        ..FINE
    };
    for _ in 0..100 {
        assert_eq!(world.program_says(forged, &yes("any")).await.0, 401);
    }
    let line = r#"stepgate_channel_decisions_total{channel="fraud",result="refused"} 100"#;
    let metrics = world.stepgate.metrics();
    assert!(metrics.contains(line), "{metrics}");
    let lines = || world.lines_because("webhook-refused", "signature");
    eventually("the first ones", || (lines().len() == 3).then_some(())).await;
    // Whoever signs with a key of theirs is heard beside it.
    assert_eq!(world.program_says(FINE, &yes("any")).await.0, 404);
    world.audited("webhook-refused", "no-such-approval").await;
    world.clock.advance(60);
    let last = eventually("how many were left out", || lines().get(3).cloned()).await;
    assert_eq!(last["left_out"], 97, "{last}");
    assert_eq!(last["channel"], "webhook:fraud");
    assert_eq!(lines().len(), 4);
}

/// One vote beside those of people.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_has_one_vote() {
    let (mut world, program) = world().await;
    world.asks("/transfer/7").await;
    let approval = program.asked("Transfer 7").await;
    let (status, answer) = world.program_says(FINE, &yes(&approval)).await;
    assert_eq!(
        (status, &answer["status"]),
        (200, &json!("pending")),
        "{answer}"
    );
    let message = Message {
        id: "msg_2",
        ..FINE
    };
    let (status, answer) = world.program_says(message, &yes(&approval)).await;
    assert_eq!((status, &answer["code"]), (409, &json!("voted")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_goes_over_to_another_key() {
    let (mut world, program) = world().await;
    world.asks("/pay/7").await;
    let approval = program.asked("Pay 7").await;
    world.stepgate.edit("stepgate.toml", |config| {
        config.replace(BOTH_KEYS, NEXT_KEY)
    });
    world.reloads().await;
    assert_eq!(world.program_says(FINE, &yes(&approval)).await.0, 401);
    let next = Message {
        key: "next.key",
        ..FINE
    };
    assert_eq!(world.program_says(next, &yes(&approval)).await.0, 200);
    // While both held, either did.
    let (mut world, program) = self::world().await;
    let then = Message {
        id: "msg_2",
        ..next
    };
    for (nth, message) in [(7, FINE), (8, then)] {
        world.asks(&format!("/pay/{nth}")).await;
        let approval = program.asked(&format!("Pay {nth}")).await;
        assert_eq!(world.program_says(message, &yes(&approval)).await.0, 200);
    }
}

/// What is over stays over, and a yes is good for nothing that was not agreed to.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_widens_nothing() {
    let (mut world, program) = world().await;
    let hits = world.hit_count();
    let long = format!("{}{}", yes("a"), " ".repeat(64 << 10));
    assert_eq!(world.program_says(FINE, &long).await.0, 413);

    let waiting = world.asks("/pay/7").await;
    let approval = program.asked("Pay 7").await;
    world.clock.advance(601);
    let (status, answer) = world.program_says(FINE, &yes(&approval)).await;
    assert_eq!(
        (status, &answer["code"]),
        (409, &json!("expired")),
        "{answer}"
    );
    let page = world.browser.open(waiting.url.as_str()).await;
    assert_eq!(heading(&page), "The time is over", "{}", page.text());

    // Under another policy it is another request.
    let waiting = world.asks("/pay/8").await;
    let approval = program.asked("Pay 8").await;
    world.stepgate.edit("policies/payroll.toml", |policy| {
        policy.replace("Pay {path.id}", "Pay out {path.id}")
    });
    world.reloads().await;
    let message = Message {
        id: "msg_2",
        ..FINE
    };
    assert_eq!(world.program_says(message, &yes(&approval)).await.0, 200);
    let page = world.browser.open(waiting.url.as_str()).await;
    assert!(!page.body.starts_with("app POST"), "{}", page.text());

    // And under one that does not name it, it has no say.
    world.asks("/pay/9").await;
    let approval = program.asked("Pay out 9").await;
    world.stepgate.edit("policies/payroll.toml", |policy| {
        let people = "approvers = { groups_any = [\"leads\"] }";
        policy.replacen("approvers = { webhook = \"fraud\" }", people, 1)
    });
    world.reloads().await;
    let message = Message {
        id: "msg_3",
        ..FINE
    };
    assert_eq!(world.program_says(message, &yes(&approval)).await.0, 404);
    assert_eq!(world.hit_count(), hits);
}

/// People are told three times in ten minutes; a program has no inbox, and has to hear of each.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_told_however_often() {
    let (mut world, program) = world().await;
    for nth in 0..6 {
        world.asks(&format!("/pay/{nth}")).await;
        let approval = program.asked(&format!("Pay {nth}")).await;
        let id = format!("msg_{nth}");
        let message = Message { id: &id, ..FINE };
        let no = json!({ "approval": approval, "decision": "deny" }).to_string();
        assert_eq!(world.program_says(message, &no).await.0, 200);
    }
}
