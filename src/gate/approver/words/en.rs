//! English.

use crate::gate::words::Table;

pub(super) const WORDS: Table = &[
    // Around every page.
    ("inbox", "Inbox"),
    ("history", "History"),
    ("menu", "Pages"),
    ("signed_in", "Signed in as {user}"),
    ("to_inbox", "Go to the inbox"),
    ("news", "Something has changed on this page."),
    // Spans of time.
    ("ago", "{span} ago"),
    ("just_now", "just now"),
    ("left", "{span} left"),
    // Lists.
    ("waiting", "Waiting for you"),
    ("nothing_waiting", "Nothing waits for you."),
    ("asked", "What you asked for"),
    ("nothing_asked", "You asked for nothing in the last days."),
    ("decided", "What you decided"),
    (
        "nothing_decided",
        "You decided on nothing in the last days.",
    ),
    ("asked_by", "{who} asks"),
    (
        "needs_level",
        "A request. To read it, confirm that it is you: {level}",
    ),
    // Web Push.
    ("push", "In this browser"),
    (
        "push_about",
        "The browser can tell you that something waits, also while this page is closed. It says no more than that.",
    ),
    ("push_on", "Tell me"),
    ("push_off", "Tell me no more"),
    ("push_test", "Send a test"),
    ("push_is_on", "This browser tells you."),
    ("push_is_off", "This browser tells you no more."),
    ("push_sent", "A test is on its way."),
    (
        "push_failed",
        "That did not work. Does the browser allow notifications of this page?",
    ),
    // States.
    ("state_pending", "Waiting"),
    ("state_approved", "Approved"),
    ("state_denied", "Denied"),
    ("state_reported", "Reported as wrong"),
    ("state_number", "Denied: the number was wrong"),
    ("state_expired", "Expired"),
    ("state_cancelled", "Taken back"),
    ("state_revoked", "Revoked"),
    ("state_consumed", "Done"),
    (
        "about_pending",
        "It goes on when enough people have said yes.",
    ),
    (
        "about_approved",
        "It goes on as soon as {who} comes back to it, within {span}. After that the yes is void.",
    ),
    (
        "about_denied",
        "Nothing was done. Whoever asked has been told, and may ask again later.",
    ),
    (
        "about_reported",
        "Nothing was done. The report is in the log, for whoever looks after this system.",
    ),
    (
        "about_number",
        "Nothing was done. Whoever asked can ask again, and then there is another number.",
    ),
    (
        "about_expired",
        "Nothing was done: there was no answer, or no use of it, in time. Whoever asked can ask again.",
    ),
    ("about_cancelled", "Nothing was done: {who} took it back."),
    (
        "about_revoked",
        "Nothing was done: the yes was taken back before it was used.",
    ),
    (
        "about_consumed",
        "It was done with your colleagues' yes, once. The app answered {status}.",
    ),
    (
        "about_consumed_unknown",
        "It was sent to the app once; what the app answered is not known.",
    ),
    // One request.
    ("question", "Do you agree?"),
    ("what", "What"),
    ("who", "Who asks"),
    ("why", "Reason given"),
    ("app", "In the app"),
    ("route", "Kind of request"),
    ("address", "From the address"),
    ("when", "Asked"),
    ("time_left", "Time left"),
    ("lately", "Asked lately"),
    (
        "lately_text",
        "{count} times in the last 24 hours, of which {denied} denied",
    ),
    ("lately_once", "only this once in the last 24 hours"),
    ("votes", "Said yes so far"),
    ("votes_text", "{yes} of {need}"),
    ("vote_yes", "{name} said yes"),
    ("vote_no", "{name} said no"),
    ("vote_report", "{name} reported it"),
    ("mine_yes", "You said yes."),
    ("mine_no", "You said no."),
    ("mine_report", "You reported it."),
    (
        "own_request",
        "You asked for this yourself, so somebody else decides. The number, if there is one, is on the page where you asked.",
    ),
    // Forms.
    ("yes", "Approve"),
    ("no", "Deny"),
    ("report", "Report: this looks wrong"),
    ("report_own", "Report: this was not me"),
    (
        "report_about",
        "Ends the request at once and raises an alarm.",
    ),
    ("reason", "Your reason"),
    ("reason_optional", "Your reason (optional)"),
    ("reason_no", "Say why"),
    ("pick", "Which number does {who} see?"),
    (
        "pick_about",
        "Ask, by phone or in person. Do not guess: one wrong number denies the request.",
    ),
    ("type", "The number that {who} sees"),
    (
        "type_about",
        "Ask, by phone or in person: {digits} digits. A wrong number may be given {tries} more time(s), by all who decide together; the last one denies the request.",
    ),
    // What did not work.
    ("refused_over", "It was over before your answer came."),
    (
        "refused_expired",
        "The time for it ran out before your answer came.",
    ),
    (
        "refused_requester",
        "You asked for this yourself, so somebody else decides.",
    ),
    (
        "refused_voted",
        "You have answered already; each person answers once.",
    ),
    ("refused_no_reason", "A reason is needed."),
    ("refused_no_number", "The number is needed."),
    (
        "refused_wrong_number",
        "The number is wrong. Tries left: {tries}.",
    ),
    (
        "refused_last_number",
        "The number is wrong, and there is no try left: the request is denied.",
    ),
    ("refused_other", "This answer cannot be taken."),
    (
        "refused_form",
        "The form cannot be read. Nothing was decided.",
    ),
    (
        "refused_cross_site",
        "Only a page of this host can decide. Nothing was decided.",
    ),
    ("nothing_here", "There is nothing here"),
    (
        "nothing_here_about",
        "It does not exist, is over for long, or is not yours to decide.",
    ),
    ("not_done", "That did not work"),
    ("confirm", "Confirm that it is you"),
    (
        "confirm_level",
        "To see and decide on this request you need: {level}.",
    ),
    ("confirm_go", "Confirm"),
    (
        "confirm_again",
        "Nothing was decided: first confirm that it is you. Then you come back to the request.",
    ),
    ("go_on", "Go on"),
    (
        "unavailable",
        "That cannot be told at the moment. Nothing was decided.",
    ),
];
