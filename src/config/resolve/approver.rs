//! `[approver_app]`: the host where people decide on what others ask for. It becomes an app of its own, so that whatever
//! holds for an app's host holds there; but no policy file has it, and it has no upstream.

use std::time::Duration;

use super::app::AppDraft;
use super::{Names, require, urls};
use crate::config::code::Code;
use crate::config::fields::Fields;
use crate::config::keys;
use crate::config::problem::{Place, Problem, Report};
use crate::config::resolved::Origin;
use crate::model::level::Rank;
use crate::model::requirement::{Conditions, Requirement};

/// No policy file may have that name.
pub(super) const NAME: &str = "approver_app";

const TITLE: &str = "Approvals";

/// Long enough for its owner to be told by the others.
const DEVICE_COOLDOWN: Duration = Duration::from_secs(24 * 60 * 60);

const LONGEST_COOLDOWN: Duration = Duration::from_secs(90 * 24 * 60 * 60);

#[derive(Debug)]
pub(super) struct Approver {
    origin: Origin,
    place: Place,
    pub(super) level: Rank,
    pub(super) title: String,
    pub(super) device_cooldown: Duration,
}

pub(super) fn resolve(root: Fields<'_>, names: &Names) -> Option<Approver> {
    let fields = root.table("approver_app", &keys::APPROVER_APP)?;
    let url = fields.required_text("url");
    let level = if fields.has("level") {
        require::level(fields, names)
    } else {
        usual_level(names)
    };
    let title = fields.text("title").map_or(TITLE, |title| title.text);
    let device_cooldown = fields.duration("device_cooldown");
    let device_cooldown = device_cooldown.unwrap_or(DEVICE_COOLDOWN);
    if let Some(node) = fields.node("device_cooldown")
        && device_cooldown > LONGEST_COOLDOWN
    {
        root.report().push(Problem::error(
            Code::OutOfRange,
            &node.place,
            "a new device waits at most 90 days",
        ));
    }
    let url = url?;
    Some(Approver {
        origin: urls::origin(url, root.report())?,
        place: url.place.clone(),
        level: level?,
        title: title.to_owned(),
        device_cooldown,
    })
}

/// The first one above the base, where there is one.
fn usual_level(names: &Names) -> Option<Rank> {
    let above = names.ladder.iter().find(|level| !level.base);
    above
        .or_else(|| names.ladder.iter().next())
        .map(|level| level.rank)
}

impl Approver {
    pub(super) fn draft(&self) -> AppDraft {
        let requirement = Requirement {
            rank: self.level,
            max_age: None,
            conditions: Conditions::NONE,
            approval: None,
        };
        let origin = (self.origin.clone(), self.place.clone());
        AppDraft::of_our_own(NAME, origin, requirement)
    }
}

/// Whoever decides must not be at the mercy of an app: cookies do not tell ports apart, and what is one site to a browser
/// is trusted like one.
pub(super) fn check_host(approver: &Approver, apps: &[AppDraft], report: &Report) {
    let taken = apps
        .iter()
        .flat_map(|app| &app.origins)
        .find(|(origin, _)| origin.host() == approver.origin.host());
    if let Some((origin, place)) = taken {
        report.push(
            Problem::error(
                Code::ApproverHost,
                &approver.place,
                format!(
                    "the approver app is on the host of an app: `{}`",
                    origin.host()
                ),
            )
            .related(place, "the app")
            .help("a host of its own, such as https://approve.example.com; another port is the same host"),
        );
    }
}
