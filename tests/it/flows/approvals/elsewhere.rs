//! What waits is in its own user's way in no other session: it ends with the session that asked for it, and where that has
//! not ended, its user ends it from wherever they are.

use stepgate::gate::Whose;

use super::*;

impl World {
    /// Another browser from here on; the one of before.
    async fn moves_on(&mut self, user: &str) -> Browser {
        let before = std::mem::replace(&mut self.browser, Browser::new());
        self.lands("/", user).await;
        before
    }

    async fn signs_out(&mut self) {
        let asking = self.open("/.stepgate/logout").await;
        let page = self.browser.submit(&asking, &[]).await;
        assert_eq!(heading(&page), "You are signed out", "{}", page.text());
    }

    async fn is_cancelled_with_its_session(&self, id: &str) {
        let line = self.audited_of("approval-cancelled", id).await;
        assert_eq!(line["reason"], "session-ended", "{line}");
        assert_eq!(line["sub"], "sub-alice", "{line}");
        let late = self.vote(id, "carol", Answer::Yes).await;
        assert!(matches!(late, Changed::Refused(_)), "{late:?}");
    }

    /// Until the audit log has such an event of that approval.
    async fn audited_of(&self, event: &str, id: &str) -> Value {
        eventually(&format!("{event} of {id}"), || {
            let log = self.stepgate.log("audit.log");
            let mut lines = log
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            lines.find(|line: &Value| line["event"] == event && line["approval"] == id)
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_session_asked_for_ends_with_it() {
    let mut world = World::careful().await;
    // By its user; what another session of theirs, or another user, asks for elsewhere waits on.
    let id = is_waiting(&world.submits("/pay/7", "amount=42").await);
    let here = world.moves_on("alice").await;
    let told = world
        .told("POST", "/order", &[JSON], r#"{"what":"tea"}"#)
        .await;
    let others = told.id();
    let there = std::mem::replace(&mut world.browser, here);
    world.signs_out().await;
    world.is_cancelled_with_its_session(&id).await;
    world.browser = there;
    assert_eq!(world.standing(&others).await, "pending");
    let id = world.has_asked().await;

    // By the provider, of all her sessions.
    world.clock.advance(2);
    world.realm.end_sessions_of("alice").await;
    for id in [&id, &others] {
        world.is_cancelled_with_its_session(id).await;
    }
    world.clock.advance(2);
    world.moves_on("alice").await;

    // By an operator.
    let id = world.has_asked().await;
    let gate = world.stepgate.operations().gate();
    let whose = Whose::Subject("sub-alice".to_owned());
    gate.revoke(&whose, 0).await.unwrap();
    world.is_cancelled_with_its_session(&id).await;
    world.clock.advance(2);
    world.moves_on("alice").await;
    world.agreed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_user_ends_it_from_another_session_and_can_do_nothing_else_there() {
    let mut world = World::careful().await;
    let first = is_waiting(&world.submits("/pay/7", "amount=42").await);
    let phone = world.moves_on("alice").await;
    let told = world.told("POST", "/pay/8", &[FORM], "amount=43").await;
    assert_eq!(
        (told.status, told.code()),
        (409, "another-approval-pending"),
        "{told:?}"
    );
    assert_eq!(told.id(), first);
    let page = world.submits("/pay/8", "amount=43").await;
    assert_eq!(
        heading(&page),
        "Something else is waiting for a yes",
        "{}",
        page.text()
    );
    assert!(page.body.contains("Pay 7: 42"), "{}", page.text());
    assert!(page.body.contains("in another session"), "{}", page.text());
    let path = format!("/.stepgate/approval/{first}");
    assert!(page.link(&path).is_none(), "{}", page.text());

    // It is not seen, waited for, or anybody told of it once more.
    assert_eq!(world.state(&first).await.status, 404);
    assert_eq!(world.open(&path).await.status, 404);
    for wish in ["do=remind", "do=break-glass&reason=x", "do=send", ""] {
        let page = world.presses(&page, wish).await;
        assert_eq!(page.status, 404, "{wish}: {}", page.text());
    }
    let refused = world.pays("amount=42", Some(&first)).await;
    assert_eq!((refused.status, refused.code()), (403, "no-such-approval"));
    // Nor does another site end it, nor another user.
    let evil = [FORM, ("origin", "https://evil.example")];
    let (action, body) = (page.action().unwrap(), Some(b"do=cancel".to_vec()));
    let said = world
        .browser
        .navigate(reqwest::Method::POST, action, &evil, body)
        .await;
    assert_eq!(said.status, 403, "{}", said.text());
    let alice = world.moves_on("bob").await;
    assert_eq!(world.told("DELETE", &path, &[], "").await.status, 404);
    assert_eq!(world.presses(&page, "do=cancel").await.status, 404);
    world.browser = alice;

    let kept = page.body.split("name=\"kept\" value=\"").nth(1).unwrap();
    let kept = kept.split('"').next().unwrap();
    let replace = format!("do=replace&kept={kept}");
    let page = world.presses(&page, &replace).await;
    let second = is_waiting(&page);
    assert!(page.body.contains("Pay 8: 43"), "{}", page.text());
    let laptop = std::mem::replace(&mut world.browser, phone);
    assert_eq!(world.standing(&first).await, "cancelled");
    let page = world.open(&path).await;
    assert_eq!(heading(&page), "You have cancelled it", "{}", page.text());

    // By a program; and the yes of another session is not for it.
    let told = world.pays("amount=44", None).await;
    assert_eq!(told.id(), second);
    let path = format!("/.stepgate/approval/{second}");
    assert_eq!(world.told("DELETE", &path, &[], "").await.status, 204);
    let third = world.agreed().await;
    world.browser = laptop;
    assert_eq!(world.standing(&second).await, "cancelled");
    let hits = world.hit_count();
    let refused = world.pays("amount=42", Some(&third)).await;
    assert_eq!((refused.status, refused.code()), (403, "no-such-approval"));
    assert_eq!(world.hit_count(), hits);
}
