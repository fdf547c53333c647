//! What is open when a level lapses or a session ends: each kind of stream is told, and in time.

mod agreed;
mod ends;
mod grpc;
mod site;
mod tokens;

use std::time::{Duration, Instant};

use stepgate::admin::Control as _;
use stepgate::gate::Whose;
use stepgate::telemetry::metrics::{Both, StreamEnd, StreamLabel};
use tokio::io::AsyncWriteExt as _;

use crate::harness::{Wire, bounded, eventually};
use site::{Answer, Call, MESSAGE, Open, Site, event_code, told};

/// `mfa` lasts 30 minutes.
const LASTS: i64 = 1800;

/// What is promised.
const IN_TIME: Duration = Duration::from_secs(2);

/// One of each kind, over plain and secure connections.
struct Everything {
    websocket: (Open, Wire),
    secure_websocket: (Open, Wire),
    events: (Open, Wire),
    secure_events: (Open, Wire),
    events_over_h2: (Answer, Wire),
    call: (Answer, Call),
}

impl Everything {
    async fn open(site: &mut Site) -> Self {
        let everything = Self {
            websocket: site.websocket("/mfa/ws", false).await,
            secure_websocket: site.websocket("/mfa/ws", true).await,
            events: site.events("/mfa/events", false).await,
            secure_events: site.events("/mfa/events", true).await,
            events_over_h2: site.events_over_h2("/mfa/events").await,
            call: site.call("/mfa/grpc/call").await,
        };
        let streams = &site.world.stepgate.counted().streams;
        let open = [
            StreamLabel::WebSocket,
            StreamLabel::Events,
            StreamLabel::Grpc,
        ]
        .map(|kind| streams.get(kind));
        assert_eq!(open, [2, 3, 1]);
        everything
    }

    /// Each hears what it has to, in time, and its app that nobody listens any more; nothing of it is left.
    async fn end(mut self, site: &Site, websocket: &str, event: &str, grpc: &str, why: StreamEnd) {
        let start = Instant::now();
        assert_eq!(self.websocket.0.closed().await, websocket);
        assert_eq!(self.secure_websocket.0.closed().await, websocket);
        assert_eq!(self.events.0.last_event().await, event);
        assert_eq!(self.secure_events.0.last_event().await, event);
        assert_eq!(self.events_over_h2.0.last_event().await, event);
        assert_eq!(self.call.0.grpc_status().await, grpc);
        let took = start.elapsed();
        assert!(took < IN_TIME, "{took:?}");
        // The apps' sides: a Close frame of a client's, and ends of connections.
        for (_, mut app) in [self.websocket, self.secure_websocket] {
            let frame = app.exactly(2).await;
            assert_eq!(frame[0], 0x88);
            app.exactly(usize::from(frame[1] & 0x7f) + 4).await;
            app.0.write_all(b"\x88\x02\x03\xe8").await.unwrap();
            assert_eq!(app.rest().await, "");
        }
        for mut app in [self.events.1, self.secure_events.1, self.events_over_h2.1] {
            assert_eq!(app.rest().await, "");
        }
        let gone = bounded(self.call.1.request.data()).await;
        assert!(!matches!(gone, Some(Ok(_))), "{gone:?}");
        let metrics = site.world.stepgate.counted();
        for (kind, count) in [
            (StreamLabel::WebSocket, 2),
            (StreamLabel::Events, 3),
            (StreamLabel::Grpc, 1),
        ] {
            eventually("the end of all streams", || {
                (metrics.streams.get(kind) == 0).then_some(())
            })
            .await;
            assert_eq!(
                metrics.streams_closed.get(Both(kind, why)),
                count,
                "{kind:?}"
            );
        }
        let name = format!("stream-{}", stepgate::telemetry::metrics::Label::name(why));
        eventually("their lines in the access log", || {
            let lines = site.world.stepgate.log("access.log");
            let told = lines.matches(&format!("\"error\":\"{name}\"")).count();
            (told == 6).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_level_that_lapses_ends_what_it_opened() {
    let mut site = Site::signed_in("").await;
    let everything = Everything::open(&mut site).await;
    site.world.clock.advance(LASTS + 1);
    let message = "16 This needs a stronger or more recent sign-in.";
    everything
        .end(
            &site,
            "4401 step-up required",
            "step-up",
            message,
            StreamEnd::Level,
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sign_out_ends_what_is_open() {
    let mut site = Site::signed_in("").await;
    let everything = Everything::open(&mut site).await;
    let asking = site.world.open("/.stepgate/logout").await;
    site.world.browser.submit(&asking, &[]).await;
    everything
        .end(
            &site,
            "1008 session ended",
            "login",
            "16 Sign in first.",
            StreamEnd::Session,
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_provider_ends_what_is_open() {
    let mut site = Site::signed_in("").await;
    let everything = Everything::open(&mut site).await;
    site.world.realm.end_sessions_of("alice").await;
    everything
        .end(
            &site,
            "1008 session ended",
            "login",
            "16 Sign in first.",
            StreamEnd::Session,
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_ends_what_is_open() {
    let mut site = Site::signed_in("").await;
    let everything = Everything::open(&mut site).await;
    let gate = site.world.stepgate.operations().gate();
    let whose = Whose::Subject("sub-alice".to_owned());
    assert_eq!(gate.revoke(&whose, 0).await.unwrap().len(), 1);
    everything
        .end(
            &site,
            "1008 session ended",
            "login",
            "16 Sign in first.",
            StreamEnd::Session,
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_configuration_that_demands_more_ends_what_is_open() {
    let mut site = Site::signed_in("").await;
    let everything = Everything::open(&mut site).await;
    let demands = "level = \"mfa\" }\n";
    site.world.stepgate.edit("policies/payroll.toml", |policy| {
        policy.replace(demands, "level = \"hardware-key\" }\n")
    });
    let reloaded = site.world.stepgate.reloader.reload().await;
    assert!(reloaded.is_applied(), "{}", reloaded.report(false));
    let message = "16 This needs a stronger or more recent sign-in.";
    everything
        .end(
            &site,
            "4401 step-up required",
            "step-up",
            message,
            StreamEnd::Level,
        )
        .await;
}

/// It still streams, in both directions where there are two.
async fn goes_on(open: &mut Open, app: &mut Wire) {
    app.0.write_all(b"\x81\x02yo").await.unwrap();
    assert_eq!(open.exactly(4).await, b"\x81\x02yo");
    open.say(b"\x81\x82\0\0\0\0me").await;
    assert_eq!(app.exactly(8).await, b"\x81\x82\0\0\0\0me");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_up_in_time_prolongs_what_is_open() {
    let routes = "[[routes]]\nid = \"short\"\npath = \"/short/**\"\nrequire = { level = \"mfa\", max_age = \"10m\" }\n";
    let mut site = Site::signed_in(routes).await;
    let (mut open, mut app) = site.websocket("/mfa/ws", false).await;
    let (mut call, _one) = site.call("/mfa/grpc/call").await;
    site.world.clock.advance(LASTS - 60);
    let walk = site
        .world
        .visit(
            "/.stepgate/step-up?level=mfa&return=%2Fmfa%2Fordinary",
            "alice",
        )
        .await;
    assert_eq!(walk.typed, ["password", "code"], "{}", walk.page.text());
    // When this one is told, the others were looked at.
    let (mut short, _two) = site.websocket("/short/ws", false).await;
    site.world.clock.advance(601);
    assert_eq!(short.closed().await, "4401 step-up required");
    goes_on(&mut open, &mut app).await;
    site.world.clock.advance(LASTS - 600);
    assert_eq!(open.closed().await, "4401 step-up required");
    assert!(call.grpc_status().await.starts_with("16 "));
}

const PATIENT: &str = "[[routes]]\nid = \"graced\"\npath = \"/graced/**\"\nrequire = { level = \"mfa\" }\n\
    on_lapse = \"grace\"\nlapse_grace = \"5m\"\n\
    [[routes]]\nid = \"kept\"\npath = \"/kept/**\"\nrequire = { level = \"mfa\" }\non_lapse = \"keep\"\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_may_be_patient() {
    let mut site = Site::signed_in(PATIENT).await;
    let (mut grace, mut graced_app) = site.websocket("/graced/ws", false).await;
    let (mut keep, mut kept_app) = site.websocket("/kept/ws", false).await;
    let (mut events, mut events_app) = site.events("/kept/events", false).await;
    // The last one is told last.
    let (mut close, _three) = site.websocket("/mfa/ws", false).await;
    site.world.clock.advance(LASTS + 1);
    assert_eq!(close.closed().await, "4401 step-up required");
    goes_on(&mut grace, &mut graced_app).await;
    // Patience is for what is open.
    assert_eq!(site.world.status("/graced/ordinary").await, 401);
    site.world.clock.advance(300);
    assert_eq!(grace.closed().await, "4401 step-up required");
    goes_on(&mut keep, &mut kept_app).await;
    events_app.send("data: still\n\n").await;
    assert!(events.until(b"\n\n\r\n").await.contains("still"));
    site.world.realm.end_sessions_of("alice").await;
    assert_eq!(keep.closed().await, "1008 session ended");
    assert_eq!(events.last_event().await, "login");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_is_held_to_what_is_demanded_now() {
    let mut site = Site::signed_in(PATIENT).await;
    let (mut keep, _four) = site.websocket("/kept/ws", false).await;
    let (mut close, _five) = site.websocket("/mfa/ws", false).await;
    site.world.clock.advance(LASTS + 1);
    assert_eq!(close.closed().await, "4401 step-up required");
    site.world.stepgate.edit("policies/payroll.toml", |policy| {
        policy.replace(
            "level = \"mfa\" }\non_lapse",
            "level = \"hardware-key\" }\non_lapse",
        )
    });
    assert!(site.world.stepgate.reloader.reload().await.is_applied());
    assert_eq!(keep.closed().await, "4401 step-up required");
}

/// Not in the middle of an event, and nothing behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_finished_before_the_last_one() {
    let mut site = Site::signed_in("").await;
    let (mut open, mut app) = site.events("/mfa/events", false).await;
    let (mut h2, mut h2_app) = site.events_over_h2("/mfa/events").await;
    let (mut stuck, mut stuck_app) = site.events_over_h2("/mfa/events").await;
    for app in [&mut app, &mut h2_app, &mut stuck_app] {
        app.send("data: half").await;
    }
    assert!(open.until(b"half\r\n").await.ends_with("data: half\r\n"));
    assert_eq!(h2.piece().await, b"data: half");
    assert_eq!(stuck.piece().await, b"data: half");
    // The last one is told last.
    let (mut websocket, _six) = site.websocket("/mfa/ws", false).await;
    site.world.clock.advance(LASTS + 1);
    assert_eq!(websocket.closed().await, "4401 step-up required");
    for app in [&mut app, &mut h2_app] {
        app.send(" whole\n\ndata: too late\n\n").await;
    }
    let rest = String::from_utf8(open.rest().await).unwrap();
    assert!(
        rest.contains(" whole\n\n") && !rest.contains("too late"),
        "{rest}"
    );
    assert!(
        rest.contains("event: stepup-required\n") && rest.ends_with("\r\n0\r\n\r\n"),
        "{rest}"
    );
    let (rest, end) = h2.end().await;
    end.unwrap();
    let rest = String::from_utf8(rest).unwrap();
    assert_eq!(
        event_code(rest.strip_prefix(" whole\n\n").unwrap()),
        "step-up"
    );
    // One that is never finished is none, and the stream ends without another.
    let (rest, end) = stuck.end().await;
    end.unwrap();
    assert_eq!(rest, b"");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_cut_off() {
    let mut site = Site::signed_in("").await;
    let (mut packed, _seven) = site.events("/mfa/events/packed", false).await;
    let (mut h2, _eight) = site.events_over_h2("/mfa/events/packed").await;
    site.world.clock.advance(LASTS + 1);
    assert_eq!(packed.rest().await, b"", "no last chunk");
    let (rest, end) = h2.end().await;
    assert_eq!(rest, b"");
    assert!(end.unwrap_err().is_reset());
}

/// A message goes out whole, a call that was not answered is answered, and gRPC-Web has its status in a message.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_end_with_their_status() {
    let mut site = Site::signed_in("").await;
    let (mut half, mut half_app) = site.call("/mfa/grpc/half").await;
    let mut web = site
        .answer("/mfa/grpc/web", Some("application/grpc-web+proto"))
        .await;
    assert_eq!(web.piece().await, MESSAGE);
    let _web_app = bounded(site.apps.calls.recv()).await.unwrap();
    let answer = half_app.answer.as_mut().unwrap();
    answer.send_data(MESSAGE[..6].into(), false).unwrap();
    assert_eq!(half.piece().await, &MESSAGE[..6]);
    let (silent, mut request) = site
        .ask("/mfa/grpc/silent", Some("application/grpc+proto"))
        .await;
    request.send_data(MESSAGE.into(), false).unwrap();
    let _silent_app = bounded(site.apps.calls.recv()).await.unwrap();
    site.world.clock.advance(LASTS + 1);
    // When the silent one is told, the others are.
    let silent = bounded(silent).await.unwrap();
    assert_eq!(silent.status(), 200);
    assert!(
        told(silent.headers()).starts_with("16 "),
        "{:?}",
        silent.headers()
    );
    let rest = [&MESSAGE[6..], MESSAGE].concat();
    answer.send_data(rest.into(), false).unwrap();
    let (rest, trailers) = half.end().await;
    assert_eq!(rest, &MESSAGE[6..]);
    assert!(told(&trailers.unwrap()).starts_with("16 "));
    let (rest, _) = web.end().await;
    assert_eq!(rest[0], 0x80);
    let fields = String::from_utf8(rest[5..].to_vec()).unwrap();
    assert!(fields.contains("grpc-status: 16\r\n"), "{fields}");
    let _open = (half.request, request);
}

/// A client that reads nothing is not waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_does_not_listen_is_cut_off() {
    let mut site = Site::signed_in("").await;
    let (_deaf, mut app) = site.events("/mfa/events", false).await;
    let (_deaf_h2, mut app_h2) = site.events_over_h2("/mfa/events").await;
    let flood = "data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n\n".repeat(1000);
    let stop = tokio::time::Instant::now() + Duration::from_millis(500);
    for app in [&mut app, &mut app_h2] {
        // Until nothing goes any more.
        while tokio::time::timeout_at(stop, app.0.write_all(flood.as_bytes()))
            .await
            .is_ok()
        {}
    }
    site.world.clock.advance(LASTS + 1);
    let metrics = site.world.stepgate.counted();
    eventually("the end of both", || {
        (metrics.streams.get(StreamLabel::Events) == 0).then_some(())
    })
    .await;
}

/// An app that takes nothing more of what a client sends keeps nothing open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_held_up_by_its_app_is_cut_off() {
    let mut site = Site::signed_in("").await;
    let (mut websocket, _app) = site.websocket("/mfa/ws", false).await;
    let (mut call, _held_up) = site.call("/mfa/grpc/call").await;
    let frame = [&b"\x82\xff\0\0\0\0\0\x0f\0\0\0\0\0\0"[..], &[0; 0xf0000]].concat();
    let stop = tokio::time::Instant::now() + Duration::from_secs(1);
    while tokio::time::timeout_at(stop, websocket.0.write_all(&frame))
        .await
        .is_ok()
    {}
    let message = [&b"\0\0\x0f\0\0"[..], &[0; 0xf0000]].concat();
    call.request.send_data(message.into(), false).unwrap();
    // What the client may send is what stepgate has taken.
    eventually("a window that is used up", || {
        (call.request.capacity() == 0).then_some(())
    })
    .await;
    let start = Instant::now();
    site.world.clock.advance(LASTS + 1);
    websocket.rest().await;
    call.end().await.1.unwrap_err();
    assert!(start.elapsed() < 2 * IN_TIME, "{:?}", start.elapsed());
    let metrics = site.world.stepgate.counted();
    for kind in [StreamLabel::WebSocket, StreamLabel::Grpc] {
        eventually("its end", || (metrics.streams.get(kind) == 0).then_some(())).await;
        assert_eq!(metrics.streams_closed.get(Both(kind, StreamEnd::Level)), 1);
    }
}

/// What ends by itself leaves its connection to the next request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_ends_by_itself_ends_as_ever() {
    let mut site = Site::signed_in("").await;
    let (mut open, app) = site.events("/mfa/events", false).await;
    drop(app);
    assert_eq!(open.until(b"0\r\n\r\n").await, "0\r\n\r\n");
    let url: reqwest::Url = site.world.url("/").parse().unwrap();
    let next = format!(
        "GET /public/ordinary HTTP/1.1\r\nHost: payroll.localhost:{}\r\nConnection: close\r\n\r\n",
        url.port().unwrap()
    );
    open.say(next.as_bytes()).await;
    assert!(open.until(b"app ").await.starts_with("HTTP/1.1 200"));
    let metrics = site.world.stepgate.counted();
    let closed = Both(StreamLabel::Events, StreamEnd::Closed);
    eventually("its end", || {
        (metrics.streams_closed.get(closed) == 1).then_some(())
    })
    .await;
}
