//! What can be wrong with what has to be agreed to.

use super::*;

/// Instead of [`METHODS`]: a route that needs [`APPROVAL`].
pub(super) const FOUR_EYES: &str = "methods = [\"POST\", \"PUT\"]\napproval = \"four-eyes\"";
const SUMMARY: &str = "summary   = \"Pay {form.amount}\"";
pub(super) const LEADS: &str = "approvers = { groups_any = [\"leads\"] }";
pub(super) const MODE: &str = "mode      = \"approve-deny\"";
pub(super) const APPROVAL: &str = r#"[approvals.four-eyes]
summary   = "Pay {form.amount}"
approvers = { groups_any = ["leads"] }
mode      = "approve-deny"
"#;
pub(super) const APPROVER_APP: &str = "[approver_app]\nurl = \"https://approve.example.com\"\n";

#[rustfmt::skip] // a table
pub(super) const CASES: &[Case] = &[
    ("SG0005-self-of-another-type", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = { self = \"yes\" }"), (MORE, APPROVER_APP)]),
    ("SG0007-approvers-in-a-word", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = \"leads\""), (MORE, APPROVER_APP)]),
    ("SG0010-device-cooldown", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = \"self\""), (MORE, APPROVER_APP), (MORE, "device_cooldown = \"91d\"\n")]),
    ("SG0010-cooldown-of-a-week", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "cooldown  = \"7d\""), (MORE, APPROVER_APP)]),
    ("SG0006-approval-without-a-summary", &[(METHODS, FOUR_EYES), (MORE_APP, "[approvals.four-eyes]\n"), (MORE, APPROVER_APP)]),
    ("SG0007-approval-by-another-mode", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "mode      = \"number\""), (MORE, APPROVER_APP)]),
    ("SG0010-approval-for-a-month", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "request_ttl = \"30d\"\nredeem_ttl  = \"8d\"\nneed = 0"), (MORE, APPROVER_APP)]),
    ("SG0011-need-twice", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = { groups_any = [\"leads\"], need = 2 }\nneed      = 3"), (MORE, APPROVER_APP)]),
    ("SG0301-approvers-at-no-level", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "level     = \"mfaa\""), (MORE, APPROVER_APP)]),
    ("SG0313-loosens-approval", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MORE, APPROVER_APP), (MORE_APP, "[[routes]]\nid      = \"drafts\"\npath    = \"/payments/drafts/**\"\nrequire = { level = \"mfa\", max_age = \"15m\", groups_any = [\"clerks\"] }\n")]),
    ("SG0314-public-and-approval", &[(STATIC, "path   = \"/static/**\"\napproval = \"four-eyes\""), (METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MORE, APPROVER_APP)]),
    ("SG0602-approval", &[(IDENTITY, "forward_auth = \"nginx\""), (METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MORE, APPROVER_APP), (LISTEN, TRUSTED)]),
    ("SG0701-unknown-approval", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MORE, APPROVER_APP), ("[approvals.four-eyes]", "[approvals.for-eyes]")]),
    ("SG0701-no-approvals", &[(METHODS, FOUR_EYES)]),
    ("SG0702-no-approver-app", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL)]),
    ("SG0702-no-approvers", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = {}"), (MORE, APPROVER_APP)]),
    ("SG0702-self-off", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = { self = false }"), (MORE, APPROVER_APP)]),
    ("SG0702-one-self-for-two", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = { self = true, need = 2 }"), (MORE, APPROVER_APP)]),
    ("SG0702-self-without-an-approver-app", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = \"self\"")]),
    ("SG0702-too-few", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = { people = [\"bob\", \"carol\"], need = 3 }\ndeny      = 4"), (MORE, APPROVER_APP)]),
    ("SG0702-nothing-can-wait", &[(METHODS, "methods = [\"POST\", \"PUT\"]\napproval = \"four-eyes\"\npark_bytes = \"0B\""), (MORE_APP, APPROVAL), (MORE, APPROVER_APP)]),
    ("SG0703-unused", &[(MORE_APP, APPROVAL), (MORE, APPROVER_APP)]),
    ("SG0704-open-brace", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (SUMMARY, "summary   = \"Pay {form.amount\""), (MORE, APPROVER_APP)]),
    ("SG0704-no-such-field", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (SUMMARY, "summary   = \"Pay {body.amount}\""), (MORE, APPROVER_APP)]),
    ("SG0705-no-such-parameter", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (SUMMARY, "summary   = \"Release {path.id}\""), (MORE, APPROVER_APP)]),
    ("SG0705-no-body", &[(METHODS, "methods = [\"GET\"]\napproval = \"four-eyes\""), (MORE_APP, APPROVAL), (MORE, APPROVER_APP)]),
    ("SG0706-digits-of-a-button", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "digits    = 7"), (MORE, APPROVER_APP)]),
    ("SG0707-two-approvals", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MORE_APP, "[approvals.six-eyes]\nsummary   = \"Pay\"\napprovers = { claim = \"manager\" }\n[[routes]]\nid      = \"deletions\"\npath    = \"/payments/**\"\nmethods = [\"DELETE\"]\napproval = \"six-eyes\"\nrequire = { level = \"mfa\", max_age = \"15m\", groups_any = [\"clerks\"] }\n"), (MORE, APPROVER_APP)]),
    ("SG0012-when-of-nothing", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "when      = {}"), (MORE, APPROVER_APP)]),
    ("SG0704-above-of-no-field", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "when      = { outside = [\"office\"], above = { amount = 1000, \"form.amount\" = \"1000\" } }"), (MORE, APPROVER_APP)]),
    ("SG0705-above-of-no-parameter", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "when      = { above = { \"path.id\" = 1000 } }"), (MORE, APPROVER_APP)]),
    ("SG0006-window-without-an-end", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (SUMMARY, "summary   = \"Pay\""), (MODE, "grant     = { per = [] }"), (MORE, APPROVER_APP)]),
    ("SG0010-window-for-a-month", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (SUMMARY, "summary   = \"Pay\""), (MODE, "grant     = { window = \"30d\" }"), (MORE, APPROVER_APP)]),
    ("SG0705-window-of-no-parameter", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (SUMMARY, "summary   = \"Pay\""), (MODE, "grant     = { window = \"15m\", per = [\"id\"] }"), (MORE, APPROVER_APP)]),
    ("SG0706-window-of-one-request", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (SUMMARY, "summary   = \"Pay\""), (MODE, "grant     = { window = \"15m\" }\nredeem_ttl = \"5m\"\nbind_headers = [\"Idempotency-Key\"]"), (MORE, APPROVER_APP)]),
    ("SG0709-window-of-any-amount", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "grant     = { window = \"15m\", per = [] }\nwhen      = { above = { \"json.amount\" = 10, \"query.amount\" = 10 } }"), (MORE, APPROVER_APP)]),
    ("SG0709-window-of-a-free-parameter", &[(METHODS, FOUR_EYES), (PATH, "path    = \"/payments/{id}\""), (MORE_APP, APPROVAL), (SUMMARY, "summary   = \"Pay {path.id}\""), (MODE, "grant     = { window = \"15m\", per = [] }"), (MORE, APPROVER_APP)]),
    ("SG0710-no-time-of-day", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "when      = { hours = [{ from = \"6pm\", to = \"8:00\", zone = \"UTC\" }, { from = \"08:00\", to = \"08:00\", zone = \"UTC\" }, { from = \"24:00\", zone = \"UTC\" }] }"), (MORE, APPROVER_APP)]),
    ("SG0711-no-time-zone", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "when      = { hours = { days = [\"mon\", \"sunday\"], zone = \"CEST\" } }"), (MORE, APPROVER_APP)]),
    ("SG0006-hours-of-nowhere", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "when      = { hours = { from = \"18:00\" } }"), (MORE, APPROVER_APP)]),
    ("SG0010-notices-without-end", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MORE, "[approver_app]\nurl = \"https://approve.example.com\"\n[approvals]\nnotices_within = \"5s\"\nnotices_per_route = 0\nnotices_per_approver = 2000\n")]),
    ("SG0702-glass-of-nobody", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "break_glass = {}"), (MORE, APPROVER_APP)]),
    ("SG0006-escalates-to-nobody", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "escalate  = { after = \"5m\" }"), (MORE, APPROVER_APP)]),
    ("SG0702-second-of-nobody", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "escalate  = { after = \"5m\", to = {} }"), (MORE, APPROVER_APP)]),
    ("SG0702-more-than-self-and-second", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = \"self\"\nneed      = 3"), (MODE, "escalate  = { after = \"5m\", to = { people = [\"carol\"] } }"), (MORE, APPROVER_APP)]),
    ("SG0712-escalates-too-late", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "escalate  = { after = \"10m\", to = { people = [\"carol\"] } }"), (MORE, APPROVER_APP)]),
    ("SG0708-bound-to-a-cookie", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "bind_headers = [\"Idempotency-Key\", \"Cookie\", \"a b\"]"), (MORE, APPROVER_APP)]),
];
