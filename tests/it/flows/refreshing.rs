//! Tokens are refreshed before they lapse: once at a time, without a change of level, and an outage ends nothing.

use std::time::Duration;

use serde_json::json;
use stepgate::sandbox::Outage;

use super::asking::claims;
use super::world::World;
use crate::harness::{eventually, eventually_async};

/// The access token lives five minutes.
const NEARLY: i64 = 280;
const LAPSED: i64 = 301;

impl World {
    async fn refreshed(&self, times: usize) {
        eventually(&format!("refresh {times}"), || {
            (self.realm.refreshes() >= times).then_some(())
        })
        .await;
    }

    async fn ends(&self, path: &str) {
        eventually_async("the session's end", async || {
            (self.status(path).await == 401).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_refresh_for_fifty_requests() {
    let world = World::signed_in("alice", "/").await;
    world.clock.advance(60);
    assert_eq!(world.status("/").await, 200);
    assert_eq!(world.realm.refreshes(), 0, "not before it is time");
    world.clock.advance(NEARLY - 60);
    for round in 1..=3 {
        let group = format!("round-{round}");
        world.realm.quirks().refreshed_claims = claims(&json!({ "groups": [group] }));
        let requests = (0..50).map(|_| world.status("/"));
        let statuses = futures_util::future::join_all(requests).await;
        assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
        // Until what it brought is there, and not only until it was asked for.
        eventually_async("the refresh", async || {
            world.status("/").await;
            (world.last_hit().header("x-forwarded-groups") == group).then_some(())
        })
        .await;
        assert_eq!(world.realm.refreshes(), round);
        world.clock.advance(NEARLY);
    }
    // After the lapse they wait for it.
    world.clock.advance(LAPSED);
    let requests = (0..50).map(|_| world.status("/"));
    let statuses = futures_util::future::join_all(requests).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert_eq!(world.realm.refreshes(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_refresh_ends_the_session() {
    let world = World::signed_in("alice", "/").await;
    world.realm.quirks().refuse_refresh = Some("invalid_grant".to_owned());
    world.clock.advance(LAPSED);
    assert_eq!(world.status("/").await, 401);
    world.audited("session-ended", "refresh-refused").await;
    assert_eq!(world.levels().await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_other_failure_ends_it_only_when_it_lasts() {
    for outage in [
        Outage::Garbage,
        Outage::ServerError,
        Outage::Slow(Duration::from_secs(4)),
    ] {
        let world = World::signed_in("alice", "/mfa/x").await;
        world.realm.quirks().outage = outage;
        world.clock.advance(LAPSED);
        assert_eq!(world.status("/").await, 200, "{outage:?}");
        assert_eq!(world.status("/mfa/x").await, 200, "{outage:?}");
        // `refresh_grace` is an hour from the first failure.
        for _ in 0..5 {
            world.clock.advance(11 * 60);
            assert_eq!(world.status("/").await, 200, "{outage:?}");
        }
        eventually_async("the end of the grace", async || {
            world.clock.advance(11 * 60);
            (world.status("/").await == 401).then_some(())
        })
        .await;
        world.audited("session-ended", "refresh-grace").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_provider_ends_nothing_and_a_working_one_mends_it() {
    let mut world = World::signed_in("alice", "/").await;
    world.provider_down().await;
    world.clock.advance(LAPSED);
    assert_eq!(world.status("/").await, 200);
    world.provider_up().await;
    world.clock.advance(60);
    assert_eq!(world.status("/").await, 200);
    world.refreshed(1).await;
    world.clock.advance(50 * 60);
    assert_eq!(world.status("/").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_neither_raises_nor_lowers_a_level_nor_moves_its_time() {
    for over in [
        json!({ "acr": "phr", "amr": ["pwd", "otp", "hwk"], "auth_time": 1_800_000_280 }),
        json!({ "acr": "pwd", "amr": ["pwd"] }),
        json!({ "acr": null, "amr": null, "auth_time": null }),
    ] {
        let world = World::signed_in("alice", "/mfa/x").await;
        world.realm.quirks().refreshed_claims = claims(&over);
        world.clock.advance(NEARLY);
        world.status("/").await;
        world.refreshed(1).await;
        world.clock.advance(10);
        assert_eq!(
            world.levels().await,
            "password=proven mfa=proven hardware-key=missing",
            "{over}"
        );
        let (_, me) = world.fetch("GET", "/.stepgate/me").await;
        assert_eq!(me["levels"][1]["age"], NEARLY + 10, "{over}");
        assert_eq!(world.status("/fresh/x").await, 401, "{over}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_brings_new_groups() {
    let world = World::signed_in("alice", "/mfa/x").await;
    assert_eq!(world.status("/admin/x").await, 403);
    world.realm.quirks().refreshed_claims = claims(&json!({ "groups": ["admins"] }));
    world.clock.advance(NEARLY);
    world.status("/").await;
    eventually_async("the new groups", async || {
        (world.status("/admin/x").await == 200).then_some(())
    })
    .await;
    assert_eq!(world.last_hit().header("x-forwarded-groups"), "admins");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_user_session_or_issuer_in_a_refresh_ends_the_session() {
    for over in [
        json!({ "sub": "sub-carol" }),
        json!({ "sid": "another" }),
        json!({ "sid": null }),
    ] {
        let world = World::signed_in("alice", "/").await;
        world.realm.quirks().refreshed_claims = claims(&over);
        world.clock.advance(LAPSED);
        world.ends("/").await;
        world
            .audited("session-ended", "refresh-changed-identity")
            .await;
    }
    // A token that fails its checks proves nothing, in either direction.
    for over in [
        json!({ "iss": "http://127.0.0.1:1/realms/demo" }),
        json!({ "aud": "another" }),
        json!({ "exp": 1 }),
    ] {
        let world = World::signed_in("alice", "/").await;
        world.realm.quirks().refreshed_claims = claims(&over);
        world.clock.advance(LAPSED);
        let status = world.status("/").await;
        assert!(status == 200 || status == 401, "{over}: {status}");
        world.refreshed(1).await;
        let (_, me) = world.fetch("GET", "/.stepgate/me").await;
        assert!(
            me["user"] == "alice" || me["code"] == "login",
            "{over}: {me}"
        );
    }
}
