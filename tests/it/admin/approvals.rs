//! What operators see of approvals, and decide in everybody's place.

use serde_json::Value;

use super::{ADMIN, metric, typed};
use crate::flows::{LAST, Twist, World};

const MORE: &str = r#"require = { networks_any = ["office"] }
[[routes]]
id       = "pay"
path     = "/pay/{id}"
methods  = ["POST"]
approval = "four-eyes"
[approvals.four-eyes]
summary   = "Pay {path.id}: {form.amount}"
approvers = { groups_any = ["admins"], need = 2 }
mode      = "number-challenge"
"#;

async fn world() -> World {
    let mut world = World::twisted(Twist {
        config: &[
            ADMIN,
            (
                "[networks]",
                "[approver_app]\nurl = \"http://approve.localhost\"\n[networks]",
            ),
        ],
        policy: &[(LAST, MORE)],
        ..Twist::default()
    })
    .await;
    world.lands("/", "alice").await;
    world
}

/// Status, and the approval's id where it is asked for.
async fn pays(world: &World, approval: Option<&str>) -> (u16, String) {
    let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
    headers.extend(approval.map(|id| ("stepgate-approval", id)));
    let url = world.url("/pay/7");
    let body = "amount=42".to_owned();
    let answer = world.browser.send("POST", &url, &headers, body).await;
    let status = answer.status().as_u16();
    let told: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
    let id = told["approval_id"].as_str().unwrap_or_default();
    (status, id.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_breaks_the_glass_with_a_reason() {
    let world = world().await;
    let (status, id) = pays(&world, None).await;
    assert_eq!(status, 403);
    let listed = typed(&world, &["approvals", "list"]).await;
    assert_eq!(listed.code, 0, "{}", listed.err);
    assert!(listed.out.contains(&id), "{}", listed.out);
    assert!(listed.out.contains("Pay 7: 42"), "{}", listed.out);
    assert!(listed.out.contains("0 of 2"), "{}", listed.out);
    let pending = "stepgate_approvals_pending{approval=\"payroll/four-eyes\"}";
    assert_eq!(metric(&world, pending).await, 1.0);
    // Whoever has the number may be asked for it by people; it is not shown here.
    let shown = typed(&world, &["approvals", "show", &id, "--format", "json"]).await;
    let shown: Value = serde_json::from_str(&shown.out).unwrap();
    assert_eq!(shown[0]["status"], "pending");
    assert_eq!(shown[0].get("number"), None);

    let without = typed(&world, &["approvals", "approve", &id, "--reason", " "]).await;
    assert_eq!(without.code, 1, "{}", without.out);
    assert!(
        without.err.contains("a reason is needed"),
        "{}",
        without.err
    );
    assert_eq!(pays(&world, Some(&id)).await.0, 403);
    let reason = "nobody else is here, INC-7";
    let approved = typed(&world, &["approvals", "approve", &id, "--reason", reason]).await;
    assert_eq!(approved.code, 0, "{}", approved.err);
    assert!(
        approved.out.contains("status       approved"),
        "{}",
        approved.out
    );
    let event = world.audited("approval-break-glass", "approved").await;
    assert_eq!(event["words"], reason);
    assert_eq!(event["approval"], id.as_str());
    assert!(event["operator"].is_u64(), "{event}");
    let broken = "stepgate_break_glass_total{approval=\"payroll/four-eyes\"}";
    assert_eq!(metric(&world, broken).await, 1.0);
    assert_eq!(metric(&world, pending).await, 0.0);

    // It holds as anybody's yes does: once.
    let hits = world.hit_count();
    assert_eq!(pays(&world, Some(&id)).await.0, 200);
    assert_eq!(world.hit_count(), hits + 1);
    assert_ne!(pays(&world, Some(&id)).await.0, 200);
    assert_eq!(world.hit_count(), hits + 1);
    let again = typed(&world, &["approvals", "approve", &id, "--reason", reason]).await;
    assert_eq!(again.code, 1, "{}", again.out);
    for outcome in ["asked", "approved", "consumed"] {
        let series = format!(
            "stepgate_approvals_total{{approval=\"payroll/four-eyes\",outcome=\"{outcome}\"}}"
        );
        assert!(metric(&world, &series).await >= 1.0, "{outcome}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_denies_and_takes_back() {
    let world = world().await;
    let (_, id) = pays(&world, None).await;
    let reason = ["--reason", "freeze until Monday"];
    let denied = typed(&world, &[&["approvals", "deny", &id], &reason[..]].concat()).await;
    assert_eq!(denied.code, 0, "{}", denied.err);
    let event = world.audited("approval-decided", "denied").await;
    assert_eq!(event["words"], reason[1]);
    assert_ne!(pays(&world, Some(&id)).await.0, 200);
    let nobody = typed(&world, &["approvals", "show", "nobody"]).await;
    assert_eq!(nobody.code, 1, "{}", nobody.out);
    let subject = ["approvals", "list", "--subject", "sub-alice"];
    let of_alice = typed(&world, &subject).await;
    assert!(of_alice.out.contains("denied"), "{}", of_alice.out);

    world.clock.advance(120);
    let (_, id) = pays(&world, None).await;
    assert!(!id.is_empty());
    let approve = [&["approvals", "approve", &id], &reason[..]].concat();
    assert_eq!(typed(&world, &approve).await.code, 0);
    let revoked = typed(&world, &["approvals", "revoke", &id]).await;
    assert_eq!(revoked.code, 0, "{}", revoked.err);
    world.audited("approval-revoked", "revoked").await;
    let hits = world.hit_count();
    assert_ne!(pays(&world, Some(&id)).await.0, 200);
    assert_eq!(world.hit_count(), hits);
}
