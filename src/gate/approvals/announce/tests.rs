//! Several channels at once: each for itself.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::*;
use crate::config::{Input, Options, parse};
use crate::gate::ledger::Ledger;
use crate::notify::Outcome;
use crate::notify::testing::{Answer, Receiver, status};
use crate::policy::example::given;
use crate::seal::{Sealer, SystemRandom, fresh_key};
use crate::store::{Capacity, MemoryStore};
use crate::telemetry::metrics::Format;

const NOW: Timestamp = Timestamp::from_unix(1_800_000_000);

const QUICK: Patience = Patience {
    tries: 2,
    first: Duration::from_millis(1),
    longest: Duration::from_secs(1),
};

#[derive(Debug, Default)]
struct Still(AtomicI64);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        NOW.shifted(self.0.load(Ordering::SeqCst))
    }
}

struct World {
    announcer: Announcer,
    metrics: Arc<Metrics>,
    clock: Arc<Still>,
}

fn around(metrics: &Arc<Metrics>, clock: &Arc<Still>) -> Around {
    let random: Arc<dyn Random> = Arc::new(SystemRandom::new());
    let sealer = Sealer::new(&[fresh_key(&*random)], Arc::clone(&random)).unwrap();
    let store = MemoryStore::new(Capacity::default(), Duration::from_secs(3600));
    let (store, sealer) = (Arc::new(store), Arc::new(sealer));
    let ledger = Ledger::new("test", store, sealer, "issuer", "stepgate");
    Around {
        metrics: Arc::clone(metrics),
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        browsers: Browsers::new(&ledger),
        random,
        quiet: Quiet::default(),
    }
}

fn audience() -> Audience {
    Audience::Approvers(Box::new((given(), Approvers::default())))
}

impl World {
    /// `channels`: name, where it leads, and what else its table has.
    fn new(channels: &[(&str, String, &str)]) -> Self {
        let mut installation = String::new();
        for (name, url, more) in channels {
            installation += &format!(
                "[channels.{name}]\nkind = \"ntfy\"\nurl = \"{url}\"\ntopic = \"{name}\"\nallow_private = true\n{more}\n"
            );
        }
        Self::over(&installation)
    }

    fn over(channels: &str) -> Self {
        let _first = rustls::crypto::ring::default_provider().install_default();
        let mut installation = "version = 1\n[keycloak]\nissuer = \"http://127.0.0.1:1/realms/none\"\nclient_id = \"stepgate\"\n\
             client_secret = { file = \"secret\" }\n[[levels]]\nname = \"password\"\nbase = true\nproof = { acr = \"1\" }\n\
             [upstreams.app]\nurl = \"http://127.0.0.1:1\"\n"
            .to_owned();
        installation += channels;
        let app = "url = \"http://app.localhost\"\nupstream = \"app\"\nrequire = { level = \"password\" }\n";
        let read = |_: &Path| Ok("only-for-tests".to_owned());
        let input = Input {
            sources: &[("stepgate.toml", &installation), ("app.toml", app)],
            read: &read,
        };
        let config = parse(&input, &Options::default()).unwrap().config;
        let metrics = Arc::new(Metrics::new());
        let clock = Arc::new(Still::default());
        let around = Around {
            quiet: config.quiet,
            ..around(&metrics, &clock)
        };
        let announcer = Announcer::new(&config.channels, QUICK, around, None);
        Self {
            announcer,
            metrics,
            clock,
        }
    }

    fn count(&self, channel: &str, result: &str) -> u64 {
        let text = self.metrics.encode(Format::Prometheus).unwrap();
        let series =
            format!("stepgate_notifications_total{{channel=\"{channel}\",result=\"{result}\"}} ");
        text.lines()
            .find_map(|line| line.strip_prefix(&series))
            .map_or(0, |count| count.parse().unwrap())
    }

    fn state(&self, channel: &str) -> ChannelState {
        let mut states = self.announcer.states().into_iter();
        states.find(|state| state.name == channel).unwrap()
    }
}

fn notice(event: Event) -> Notice {
    Notice {
        id: "id-asked".to_owned(),
        event,
        approval: "id".to_owned(),
        name: "erp/four-eyes".to_owned(),
        link: "https://approve.example.com/approvals/id".to_owned(),
        at: NOW,
        until: NOW.plus(Duration::from_secs(600)),
        detail: None,
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}

fn asked_by(sub: &str, route: &str) -> Approval {
    let mut approval = given();
    approval.requester.person.sub = sub.to_owned();
    approval.action.route = route.to_owned();
    approval
}

#[tokio::test]
async fn a_dead_channel_keeps_no_other_one_waiting() {
    let (hanging, well) = (
        Receiver::new(vec![Answer::Hang]).await,
        Receiver::new(vec![status(200, "")]).await,
    );
    let world = World::new(&[
        ("hanging", hanging.url("/"), "timeout = \"60s\""),
        ("closed", "http://127.0.0.1:9".to_owned(), ""),
        ("well", well.url("/"), ""),
    ]);
    world
        .announcer
        .tell(&notice(Event::Asked), &[0, 1, 2], audience());
    until("the living one is told", || {
        world.count("well", "sent") == 1
    })
    .await;
    until("the closed one is given up", || {
        world.count("closed", "failed") == 1
    })
    .await;
    until("the hanging one was begun", || hanging.heard().len() == 1).await;
    assert_eq!(world.count("hanging", "sent"), 0);
    assert_eq!(world.state("well").well, Some(NOW));
    let (since, why) = world.state("closed").failing.unwrap();
    assert_eq!(since, NOW);
    assert!(why.contains("cannot be reached"), "{why}");

    // It stays so since when it began, and is over with the first one that works.
    world.clock.0.store(60, Ordering::SeqCst);
    world
        .announcer
        .tell(&notice(Event::Asked), &[1], audience());
    until("it fails again", || world.count("closed", "failed") == 2).await;
    assert_eq!(world.state("closed").failing.unwrap().0, NOW);
}

#[tokio::test]
async fn a_fallback_takes_over_once() {
    let (gone, mail) = (
        Receiver::new(vec![status(404, "")]).await,
        Receiver::new(vec![status(200, "")]).await,
    );
    let world = World::new(&[
        ("a", gone.url("/"), "fallback = \"b\""),
        ("b", gone.url("/"), "fallback = \"mail\""),
        ("mail", mail.url("/"), ""),
    ]);
    world
        .announcer
        .tell(&notice(Event::Asked), &[0], audience());
    until("the last one is told", || world.count("mail", "sent") == 1).await;
    assert_eq!(gone.heard().len(), 2);

    // Where it tells it anyway, it tells it once.
    world
        .announcer
        .tell(&notice(Event::Asked), &[0, 1, 2], audience());
    until("both are given up", || {
        world.count("a", "failed") == 2 && world.count("b", "failed") == 2
    })
    .await;
    until("it is told", || world.count("mail", "sent") == 2).await;
    world
        .announcer
        .tell(&notice(Event::Asked), &[2], audience());
    until("it is told again", || world.count("mail", "sent") == 3).await;
    assert_eq!(mail.heard().len(), 3, "and nothing else was under way");
}

#[tokio::test]
async fn what_there_is_no_room_for_is_counted_and_goes_to_the_fallback() {
    let (hanging, well) = (
        Receiver::new(vec![Answer::Hang]).await,
        Receiver::new(vec![status(200, "")]).await,
    );
    let world = World::new(&[
        (
            "hanging",
            hanging.url("/"),
            "timeout = \"60s\"\nfallback = \"well\"",
        ),
        ("well", well.url("/"), ""),
    ]);
    for _ in 0..ROOM + 44 {
        world
            .announcer
            .tell(&notice(Event::Asked), &[0], audience());
    }
    assert_eq!(world.count("hanging", "dropped"), 44);
    until("the fallback tells the rest", || {
        world.count("well", "sent") == 44
    })
    .await;
    assert!(hanging.heard().len() <= 8, "so many at once");
}

#[tokio::test]
async fn a_decision_is_told_where_the_configuration_says_so() {
    let (quiet, keen) = (
        Receiver::new(vec![status(200, "")]).await,
        Receiver::new(vec![status(200, "")]).await,
    );
    let world = World::new(&[
        ("quiet", quiet.url("/"), ""),
        ("keen", keen.url("/"), "decided = true"),
    ]);
    let decided = notice(Event::Decided(Outcome::Denied));
    world.announcer.tell(&decided, &[0, 1], audience());
    until("one is told", || world.count("keen", "sent") == 1).await;
    world
        .announcer
        .tell(&notice(Event::Asked), &[0], audience());
    until("the other can be", || world.count("quiet", "sent") == 1).await;
    assert_eq!(quiet.heard().len(), 1);
}

#[tokio::test]
async fn whoever_asks_again_and_again_is_told_of_three_times() {
    let world = World::new(&[("phone", "http://127.0.0.1:9".to_owned(), "")]);
    let takes = |who: &str, route: &str| world.announcer.takes(&asked_by(who, route), &[0]);
    let told = (0..1_000).filter(|_| takes("alice", "erp/release")).count();
    assert_eq!(told, 3);
    assert_eq!(world.count("phone", "limited"), 997);
    // Somebody else, another route; and not as many routes as there are.
    assert!(takes("bob", "erp/release"));
    let told = (0..100)
        .filter(|number| takes("alice", &format!("erp/{number}")))
        .count();
    assert_eq!(told, 7);
    // Nor as many people as there are.
    let told = (0..100)
        .filter(|number| takes(&format!("user{number}"), "erp/release"))
        .count();
    assert_eq!(told, 30 - 3 - 1 - 7);
    world.clock.0.store(599, Ordering::SeqCst);
    assert!(!takes("alice", "erp/release"));
    world.clock.0.store(600, Ordering::SeqCst);
    assert!(takes("alice", "erp/release"));
}

/// In however many browsers, and for whomever it is that something waits.
#[test]
fn nobody_is_told_more_often_than_they_may_be() {
    let mut recent = Recent::default();
    let quiet = Quiet {
        per_approver: 2,
        ..Quiet::default()
    };
    let person = |name: &str| {
        Reader::Person(Person {
            iss: "issuer".to_owned(),
            sub: name.to_owned(),
        })
    };
    let mut told = |second: i64| {
        let all = vec![
            (person("bob"), "one"),
            (person("carol"), "hers"),
            (person("bob"), "two"),
        ];
        recent.spare(all, quiet, Timestamp::from_unix(second)).len()
    };
    assert_eq!([told(0), told(1), told(2), told(599)], [3, 3, 0, 0]);
    assert_eq!([told(600), told(600), told(601)], [3, 0, 3]);
    // By mail as well, and each way by itself.
    let mut mailed = || {
        let to = |name: &str| (Reader::Mail(format!("{name}@example.com")), ());
        let all = vec![to("bob"), to("carol")];
        recent.spare(all, quiet, Timestamp::from_unix(601)).len()
    };
    assert_eq!([mailed(), mailed(), mailed()], [2, 2, 0]);
}

/// Whom nobody tells is not told, and a channel that nobody tries does not work by that.
#[tokio::test]
async fn a_notice_for_nobody_is_not_sent_and_proves_nothing() {
    let installation = "[approvals]\nnotices_per_approver = 1\n[channels.mail]\nkind = \"smtp\"\nhost = \"127.0.0.1\"\n\
         port = 9\ntls = \"off\"\nfrom = \"stepgate@example.com\"\nto = [\"leads@example.com\"]\nfallback = \"other\"\n\
         [channels.other]\nkind = \"ntfy\"\nurl = \"http://127.0.0.1:9\"\ntopic = \"other\"\nallow_private = true\n";
    let world = World::over(installation);
    world
        .announcer
        .tell(&notice(Event::Asked), &[0], audience());
    until("it fails", || world.count("mail", "failed") == 1).await;
    until("so does the other", || world.count("other", "failed") == 1).await;
    world
        .announcer
        .tell(&notice(Event::Asked), &[0], audience());
    until("it is left out", || world.count("mail", "limited") == 1).await;
    // It is over when there is room again.
    let line = &world.announcer.0.lines[0];
    until("it is over", || line.room.available_permits() == ROOM).await;
    assert_eq!(world.count("mail", "sent"), 0);
    assert!(world.state("mail").failing.is_some());
    assert_eq!(world.state("mail").well, None);
    assert_eq!(world.count("other", "failed"), 1, "nor is anybody else");
}

/// Whoever reloads forgets nothing.
#[tokio::test]
async fn a_new_configuration_goes_on_with_what_is_known() {
    let world = World::new(&[("closed", "http://127.0.0.1:9".to_owned(), "")]);
    world
        .announcer
        .tell(&notice(Event::Asked), &[0], audience());
    until("it fails", || world.count("closed", "failed") == 1).await;
    for _ in 0..3 {
        assert!(
            world
                .announcer
                .takes(&asked_by("alice", "erp/release"), &[])
        );
    }
    let channel = world.announcer.0.lines[0].sender.channel().clone();
    let other = Channel {
        detail: true,
        ..channel.clone()
    };
    let next = |channel: &Channel| {
        Announcer::new(
            std::slice::from_ref(channel),
            QUICK,
            around(&world.metrics, &world.clock),
            Some(&world.announcer),
        )
    };
    assert!(next(&channel).states()[0].failing.is_some());
    assert!(next(&other).states()[0].failing.is_none());
    assert!(!next(&other).takes(&asked_by("alice", "erp/release"), &[]));
}
