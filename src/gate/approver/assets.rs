//! What is the same for everybody: the script, the service worker, the icon, and what a phone installs the app by (W3C Web
//! Application Manifest). Browsers fetch some of it without cookies.

use http::{HeaderValue, Method, header};
use serde_json::json;

use super::READ;
use crate::gate::script::served;
use crate::gate::{Gate, Incoming, Record, Reply};

const SCRIPT: &str = include_str!("app.js");
const DEVICE: &str = include_str!("device.js");
const WORKER: &str = include_str!("worker.js");
const ICON: &str = include_str!("icon.svg");

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";
const MANIFEST: &str = "application/manifest+json";

impl Gate {
    /// `None`: it is nothing of that.
    pub(super) fn approver_asset(&self, incoming: &Incoming<'_>, path: &str) -> Option<Reply> {
        if !matches!(
            path,
            "/app.js" | "/device.js" | "/worker.js" | "/icon.svg" | "/manifest.webmanifest"
        ) {
            return None;
        }
        if !matches!(*incoming.method, Method::GET | Method::HEAD) {
            return Some(self.wrong_method(READ, incoming));
        }
        Some(match path {
            "/app.js" => served(incoming, SCRIPT, JAVASCRIPT),
            "/device.js" => served(incoming, DEVICE, JAVASCRIPT),
            "/worker.js" => served(incoming, WORKER, JAVASCRIPT),
            "/icon.svg" => served(incoming, ICON, SVG),
            _ => self.manifest(incoming),
        })
    }

    fn manifest(&self, incoming: &Incoming<'_>) -> Reply {
        let title = self.desk.pages.title();
        let icon = |purpose: &str| json!({ "src": "/icon.svg", "type": SVG, "sizes": "any", "purpose": purpose });
        let manifest = json!({
            "id": "/",
            "name": title,
            "short_name": title,
            "lang": self.language(incoming).tag(),
            "start_url": "/",
            "scope": "/",
            "display": "standalone",
            "background_color": "#f4f5f7",
            "theme_color": "#0b57d0",
            "icons": [icon("any"), icon("maskable")],
        });
        let mut reply = Reply::new(
            http::StatusCode::OK,
            manifest.to_string(),
            Record::of("own"),
        );
        reply
            .headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(MANIFEST));
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::{Event, Outcome};

    /// What it does not know it takes for somebody who waits.
    #[test]
    fn the_worker_has_a_sentence_for_whatever_is_pushed() {
        let decided = [
            Outcome::Approved,
            Outcome::Denied,
            Outcome::Reported,
            Outcome::BrokenGlass,
        ];
        let others = [
            Event::Asked,
            Event::Reminded,
            Event::DeviceAdded,
            Event::DeviceRemoved,
            Event::Test,
        ];
        for event in decided.map(Event::Decided).into_iter().chain(others) {
            let word = event.word();
            let in_both = [format!(" {word}: '"), format!(" '{word}': '")]
                .iter()
                .any(|key| WORKER.matches(key).count() == 2);
            assert!(in_both, "{word}");
        }
    }
}
