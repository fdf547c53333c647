//! What stays open on routes that need somebody's yes: by a yes of its own, by one that holds for a while, or because it is
//! none of those that need it.

use stepgate::gate::approvals::{Changed, Word};
use stepgate::model::approval::Answer;

use super::*;

const ROUTES: &str = r#"[[routes]]
id       = "agreed"
path     = "/agreed/events"
methods  = ["GET"]
approval = "once"
[[routes]]
id       = "half"
path     = "/half/events"
methods  = ["GET", "POST"]
approval = "half"
[[routes]]
id       = "while"
path     = "/while/{kind}"
methods  = ["GET"]
approval = "while"
[[routes]]
id       = "calls"
path     = "/calls/{name}"
methods  = ["POST"]
upstream = "grpc"
approval = "calls"
[[routes]]
id       = "watched"
path     = "/watched/events"
methods  = ["GET"]
require  = { level = "mfa" }
approval = "once"
[[routes]]
id       = "patient"
path     = "/patient/events"
methods  = ["GET"]
require  = { level = "mfa" }
on_lapse = "keep"
approval = "once"
[approvals.once]
summary   = "Listen"
approvers = { groups_any = ["admins"] }
[approvals.half]
summary   = "Listen by POST"
approvers = { groups_any = ["admins"] }
when      = { methods = ["POST"] }
[approvals.while]
summary   = "Listen for a while"
approvers = { groups_any = ["admins"] }
grant     = { window = "2h" }
[approvals.calls]
summary   = "Call for a while"
approvers = { groups_any = ["admins"] }
grant     = { window = "40m" }
"#;

impl Site {
    /// What was asked for and agreed to.
    async fn agreed(&self, method: &str, path: &str) -> String {
        let asked = self.world.told(method, path, &[], "").await;
        assert_eq!(asked.status, 403, "{asked:?}");
        let id = asked.id();
        let voted = self.world.vote(&id, "carol", Answer::Yes).await;
        assert!(matches!(voted, Changed::Done(_)), "{voted:?}");
        id
    }

    /// Until all that is open was looked at: each look takes them in the order in which they were opened, and ends this.
    async fn is_looked_at(&mut self) {
        let (mut last, _app) = self.events("/mfa/events", false).await;
        self.world.clock.advance(LASTS + 1);
        assert_eq!(last.last_event().await, "step-up");
    }
}

async fn still_tells(open: &mut Open, app: &mut Wire) {
    app.0.write_all(b"data: yo\n\n").await.unwrap();
    assert!(open.until(b"data: yo\n\n\r\n").await.contains("yo"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_agreed_to_or_needs_no_yes_stays_open() {
    let more = "[approver_app]\nurl = \"http://approve.localhost\"\n";
    let mut site = Site::signed_in_under(ROUTES, more).await;
    let id = site.agreed("GET", "/agreed/events").await;
    let named = format!("Stepgate-Approval: {id}\r\n");
    let (mut once, mut of_once) = site.events_by("/agreed/events", false, &named).await;
    let (mut half, mut of_half) = site.events("/half/events", false).await;
    let lasting = site.agreed("GET", "/while/events").await;
    let (mut lasts, mut of_lasts) = site.events("/while/events", false).await;
    site.agreed("POST", "/calls/one").await;
    let (mut call, _call) = site.call("/calls/one").await;

    site.is_looked_at().await;
    still_tells(&mut once, &mut of_once).await;
    still_tells(&mut half, &mut of_half).await;
    still_tells(&mut lasts, &mut of_lasts).await;
    // With its time a yes ends what it has opened, and with an operator's word.
    site.world.clock.advance(700);
    assert!(call.grpc_status().await.starts_with("7 "));
    let gate = site.world.stepgate.operations().gate();
    let revoked = gate.overrule(&lasting, Word::Revoke, "", 0).await.unwrap();
    assert!(matches!(revoked, Changed::Done(_)), "{revoked:?}");
    // It is looked for once a second.
    site.world.clock.advance(1);
    let start = Instant::now();
    assert_eq!(lasts.last_event().await, "forbidden");
    assert!(start.elapsed() < IN_TIME, "{:?}", start.elapsed());
    still_tells(&mut once, &mut of_once).await;
    still_tells(&mut half, &mut of_half).await;

    // What needs a yes by now had none.
    site.world.stepgate.edit("policies/payroll.toml", |policy| {
        policy.replace("when      = { methods = [\"POST\"] }", "")
    });
    let reloaded = site.world.stepgate.reloader.reload().await;
    assert!(reloaded.is_applied(), "{}", reloaded.report(false));
    assert_eq!(half.last_event().await, "forbidden");
    still_tells(&mut once, &mut of_once).await;
}

/// A yes is one thing, and the level of whoever has it another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_agreed_to_ends_with_the_level_all_the_same() {
    let more = "[approver_app]\nurl = \"http://approve.localhost\"\n";
    let mut site = Site::signed_in_under(ROUTES, more).await;
    let mut open = Vec::new();
    for path in ["/watched/events", "/patient/events"] {
        let id = site.agreed("GET", path).await;
        let named = format!("Stepgate-Approval: {id}\r\n");
        let (mut events, mut app) = site.events_by(path, false, &named).await;
        still_tells(&mut events, &mut app).await;
        open.push((events, app));
        // Used up by what is open: nothing else goes by it.
        let named = [("stepgate-approval", id.as_str())];
        let again = site.world.told("GET", path, &named, "").await;
        assert_eq!((again.status, again.code()), (409, "approval-used"));
    }
    let (mut patient, mut of_patient) = open.pop().unwrap();
    let (mut watched, mut of_watched) = open.pop().unwrap();
    site.world.clock.advance(LASTS - 1);
    still_tells(&mut watched, &mut of_watched).await;
    site.world.clock.advance(2);
    let start = Instant::now();
    assert_eq!(watched.last_event().await, "step-up");
    assert!(start.elapsed() < IN_TIME, "{:?}", start.elapsed());
    still_tells(&mut patient, &mut of_patient).await;
}
