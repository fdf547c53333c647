//! What programs have open by their tokens, of each kind.

use std::time::Instant;

use serde_json::json;
use stepgate::admin::Control as _;
use stepgate::gate::Whose;
use stepgate::sandbox::Outage;

use super::super::asking::claims;
use super::site::Site;
use super::{IN_TIME, goes_on};
use crate::dpop::ProofKey;

/// An open request's token is looked at again after so many seconds at the latest.
const LOOK: i64 = 31;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_token_opened_ends_with_it() {
    let mut site = Site::with_keys("bearer = { audience = \"erp\" }").await;
    let clock = site.world.clock.clone();
    site.token = Some(site.world.token(&json!({})));
    let (mut open, mut app) = site.websocket("/mfa/ws", false).await;
    let (mut call, _call_app) = site.call("/mfa/grpc/call").await;
    site.token = Some(
        site.world
            .token(&json!({ "sid": "another", "exp": clock.seconds() + 100 })),
    );
    let (mut short, _short_app) = site.events("/mfa/events", false).await;
    // A token counts for a minute more, and is looked at meanwhile.
    for _ in 0..4 {
        clock.advance(31);
        goes_on(&mut open, &mut app).await;
    }
    clock.advance(40);
    assert_eq!(short.last_event().await, "invalid-token");
    goes_on(&mut open, &mut app).await;
    let gate = site.world.stepgate.operations().gate();
    let whose = Whose::Sid("of-the-cli".to_owned());
    gate.revoke(&whose, 0).await.unwrap();
    let start = Instant::now();
    assert_eq!(open.closed().await, "1008 session ended");
    assert!(call.grpc_status().await.starts_with("16 The access token"));
    assert!(start.elapsed() < IN_TIME, "{:?}", start.elapsed());
}

/// Of which Keycloak alone knows what it stands for, and whether it still does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_opaque_token_opened_ends_when_keycloak_says_so() {
    let mut site = Site::asking_keycloak().await;
    let clock = site.world.clock.clone();
    let (mut open, mut app) = site.websocket("/mfa/ws", false).await;
    let (mut events, _events_app) = site.events("/mfa/events", false).await;
    let (mut call, _call_app) = site.call("/mfa/grpc/call").await;
    for _ in 0..2 {
        clock.advance(LOOK);
        goes_on(&mut open, &mut app).await;
    }
    site.world.realm.quirks().opaque_token = None;
    clock.advance(LOOK);
    assert_eq!(open.closed().await, "1008 session ended");
    assert_eq!(events.last_event().await, "invalid-token");
    assert!(call.grpc_status().await.starts_with("16 The access token"));
}

/// Whether it may go on cannot be found out: not allowed, and not signed out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_opaque_token_opened_ends_while_keycloak_is_away() {
    let mut site = Site::asking_keycloak().await;
    let clock = site.world.clock.clone();
    let (mut open, mut app) = site.websocket("/mfa/ws", false).await;
    let (mut events, _events_app) = site.events("/mfa/events", false).await;
    let (mut call, _call_app) = site.call("/mfa/grpc/call").await;
    site.world.realm.quirks().outage = Outage::ServerError;
    // As long as the last answer holds.
    goes_on(&mut open, &mut app).await;
    let ticking = tokio::spawn(async move {
        loop {
            clock.advance(LOOK);
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
    assert_eq!(open.closed().await, "1013 try again");
    assert_eq!(events.last_event().await, "unavailable");
    assert!(
        call.grpc_status()
            .await
            .starts_with("14 This cannot be decided")
    );
    ticking.abort();
}

/// Its proof was for the beginning (RFC 9449 4.3); what is open goes on as long as the token is good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_bound_token_opened_ends_with_it() {
    let mut site = Site::with_keys("bearer = { audience = \"erp\" }").await;
    let key = ProofKey::new();
    let bound = json!({ "cnf": { "jkt": key.thumbprint() } });
    site.bind(site.world.token(&bound), key);
    let clock = site.world.clock.clone();
    let (mut open, mut app) = site.websocket("/mfa/ws", false).await;
    let (mut events, _events_app) = site.events("/mfa/events", false).await;
    let (mut call, _call_app) = site.call("/mfa/grpc/call").await;
    for _ in 0..3 {
        clock.advance(LOOK);
        goes_on(&mut open, &mut app).await;
    }
    let gate = site.world.stepgate.operations().gate();
    gate.revoke(&Whose::Sid("of-the-cli".to_owned()), 0)
        .await
        .unwrap();
    assert_eq!(open.closed().await, "1008 session ended");
    assert_eq!(events.last_event().await, "invalid-token");
    assert!(call.grpc_status().await.starts_with("16 The access token"));
}

/// What no sign-in gives, in the words of each kind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_is_demanded_meanwhile_ends_what_is_open() {
    let mut site = Site::with_keys("bearer = { audience = \"erp\" }").await;
    site.token = Some(site.world.token(&json!({})));
    let (mut open, _app) = site.websocket("/mfa/ws", false).await;
    let (mut events, _events_app) = site.events("/mfa/events", false).await;
    let (mut call, _call_app) = site.call("/mfa/grpc/call").await;
    site.world.stepgate.edit("policies/payroll.toml", |policy| {
        policy.replace(
            "level = \"mfa\" }\n",
            "level = \"mfa\", groups_any = [\"nobody\"] }\n",
        )
    });
    assert!(site.world.stepgate.reloader.reload().await.is_applied());
    assert_eq!(open.closed().await, "1008 not allowed");
    assert_eq!(events.last_event().await, "forbidden");
    assert_eq!(
        call.grpc_status().await,
        "7 You may not do this, however you sign in."
    );
}

impl Site {
    /// With an opaque token that holds for an hour.
    async fn asking_keycloak() -> Self {
        let keys = "bearer = { audience = \"erp\" }\nintrospect = true";
        let mut site = Self::with_keys(keys).await;
        let world = &site.world;
        let told = world.claims(&json!({ "exp": world.clock.seconds() + 3600 }));
        world.realm.quirks().opaque_token = Some(claims(&told));
        site.token = Some("an-opaque-token".to_owned());
        site
    }
}
