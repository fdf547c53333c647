//! What is open ends with Keycloak's session: by the session itself, by its user, and by whoever signs out elsewhere.

use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::browser::Browser;
use super::ends::ended;
use super::person::Person;
use super::server::keycloak;
use super::world::World;
use crate::harness::{Wire, bounded, status, upstream};

const SWITCHING: &str =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";

impl World {
    /// `/live/` is an app of WebSockets; nobody has to type a code for it.
    async fn live(&self) {
        let (app, _) = upstream(|_, mut wire: Wire| async move {
            wire.send(SWITCHING).await;
            wire.0.write_all(b"\x81\x02hi").await.unwrap();
            // It stays until the other side goes.
            wire.rest().await;
            None
        })
        .await;
        self.stepgate.edit("stepgate.toml", |config| {
            format!("{config}\n[upstreams.live]\nurl = \"http://{app}\"\n")
        });
        self.stepgate.edit("policies/payroll.toml", |policy| {
            format!(
                "{policy}\n[[routes]]\nid = \"live\"\npath = \"/live/**\"\nupstream = \"live\"\n"
            )
        });
        let reloaded = self.stepgate.reloader.reload().await;
        assert!(reloaded.is_applied(), "{}", reloaded.report(false));
    }

    async fn websocket(&self, browser: &Browser) -> Wire {
        let url: reqwest::Url = self.url("/live/ws").parse().unwrap();
        let mut wire = self.stepgate.wire().await;
        wire.send(&format!(
            "GET /live/ws HTTP/1.1\r\nHost: payroll.localhost:{}\r\nCookie: {}\r\nUpgrade: websocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            url.port().unwrap(),
            browser.cookies_for(&url)
        ))
        .await;
        let header = wire.header().await;
        assert_eq!(status(&header), 101, "{header}");
        assert_eq!(wire.exactly(4).await, b"\x81\x02hi");
        wire
    }
}

const SESSION_ENDED: &[u8] = b"\x88\x0f\x03\xf0session ended";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_open_ends_with_the_session_at_keycloak() {
    let Some(keycloak) = keycloak("what_is_open_ends_with_the_session_at_keycloak").await else {
        return;
    };
    let mut world = World::new(keycloak, "streams").await;
    world.live().await;
    let mut alice = Person::alice();
    world.visit("/orders", &mut alice).await;
    let older = world.admin.sessions(&world.realm, "alice").await;
    let first = std::mem::replace(&mut world.browser, Browser::new());
    world.visit("/orders", &mut alice).await;
    let mut of_the_first = world.websocket(&first).await;
    let mut of_the_second = world.websocket(&world.browser).await;
    let path = format!("/{}", world.realm);

    // An administrator ends one session.
    let sessions = world.admin.sessions(&world.realm, "alice").await;
    let newer = sessions.iter().find(|id| !older.contains(id)).unwrap();
    let session = format!("{path}/sessions/{newer}");
    world.admin.delete(&session).await;
    let told = bounded(of_the_second.exactly(SESSION_ENDED.len())).await;
    assert_eq!(told, SESSION_ENDED);
    ended(&world).await;
    // The other one's goes on: a frame gets through.
    let client_says = b"\x81\x82\0\0\0\0yo";
    of_the_first.0.write_all(client_says).await.unwrap();
    let mut third = world.websocket(&first).await;

    // And then all of the user's.
    let user = world.admin.user_id(&world.realm, "alice").await;
    let logout = format!("{path}/users/{user}/logout");
    world.admin.post(&logout, &json!({})).await;
    for open in [&mut of_the_first, &mut third] {
        let told = bounded(open.exactly(SESSION_ENDED.len())).await;
        assert_eq!(told, SESSION_ENDED);
    }
}
