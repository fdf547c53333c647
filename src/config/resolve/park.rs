//! `[park]`: how much of a request is kept while its user signs in, for how long, and how much of all users' together.

use std::time::Duration;

use crate::config::code::Code;
use crate::config::fields::Fields;
use crate::config::keys;
use crate::config::problem::Problem;
use crate::config::resolved::Park;

const BUDGET: u64 = 64 << 20;
const BODY_BYTES: u64 = 64 << 10;
/// A flow lives no longer, and the mark of a logout outlives it.
const LASTS: Duration = Duration::from_secs(600);
const SHORTEST: Duration = Duration::from_secs(60);

/// What a body and its header may take of the budget; a user may take twice as much.
const PART: u64 = 8;

pub(super) fn resolve(root: Fields<'_>) -> Park {
    let fields = root.table("park", &keys::PARK);
    let budget = fields.and_then(|fields| fields.size("budget", 1 << 20, 1 << 40));
    let budget = budget.unwrap_or(BUDGET);
    let most = budget / PART;
    let given = fields.and_then(|fields| bytes(fields, "body_bytes", most));
    Park {
        body_bytes: given.unwrap_or(BODY_BYTES.min(most)),
        lasts: fields.and_then(lasts).unwrap_or(LASTS),
        budget,
    }
}

/// Of the installation, an app or a route; `0B`: nothing is kept.
pub(super) fn bytes(fields: Fields<'_>, key: &str, most: u64) -> Option<u64> {
    fields.size(key, 0, most)
}

/// The largest body that `budget` allows.
pub(super) fn most(park: &Park) -> u64 {
    park.budget / PART
}

fn lasts(fields: Fields<'_>) -> Option<Duration> {
    let given = fields.span("lasts")?;
    if (SHORTEST..=LASTS).contains(&given) {
        return Some(given);
    }
    fields.report().push(
        Problem::error(
            Code::OutOfRange,
            &fields.node("lasts")?.place,
            "`lasts` lies between 1 and 10 minutes",
        )
        .help("a sign-in that takes longer begins anew, whatever is kept"),
    );
    None
}
