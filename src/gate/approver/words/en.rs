//! English.

use crate::gate::words::Table;

pub(super) const WORDS: Table = &[
    // Around every page.
    ("inbox", "Inbox"),
    ("history", "History"),
    ("devices", "My devices"),
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
    ("passed", "Passed without agreement"),
    (
        "passed_about",
        "You could have been asked. Somebody who may went on without.",
    ),
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
    ("state_untold", "Not passed on"),
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
        "It was done once, after the yes that it needed. The app answered {status}.",
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
    ("escalated", "Others were asked as well"),
    ("votes_text", "{yes} of {need}"),
    (
        "window_about",
        "A yes holds for every such request of this person for {span}, not for one alone.",
    ),
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
    // A sign-in elsewhere.
    ("sign_in_question", "Is this you?"),
    ("sign_in_what", "{client} wants to know that it is you."),
    ("sign_in_message", "It shows"),
    ("sign_in_client", "Who asks"),
    ("sign_in_detail", "It says ({name})"),
    ("sign_in_scope", "It would get"),
    (
        "sign_in_compare",
        "Say yes only if {client} shows you the same right now, and you began it yourself.",
    ),
    (
        "sign_in_begun",
        "Say yes only if you began something at {client} yourself right now.",
    ),
    ("sign_in_yes", "Yes, it is me"),
    (
        "sign_in_report_about",
        "Ends it at once and raises an alarm. Nobody can ask you this way for a quarter of an hour.",
    ),
    (
        "sign_in_approved",
        "You said yes; {client} is about to be told.",
    ),
    ("sign_in_consumed", "You said yes, and {client} was told."),
    ("sign_in_denied", "You said no. {client} gets nothing."),
    (
        "sign_in_reported",
        "You reported it. {client} gets nothing, and the report is in the log.",
    ),
    (
        "sign_in_expired",
        "There was no answer in time: {client} gets nothing.",
    ),
    (
        "sign_in_untold",
        "Your answer could not be passed on. Unless {client} says something else, it got nothing; begin there again.",
    ),
    // Forms.
    ("yes", "Approve"),
    ("no", "Deny"),
    ("take_back", "Take back"),
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
    // What somebody asked for and decides on by a device of their own.
    ("pick_own", "Which number do you see where you asked?"),
    (
        "pick_own_about",
        "It is on the page where you asked, on your other device. If you asked for nothing, deny it. Do not guess: one wrong number denies the request.",
    ),
    (
        "type_own_about",
        "It is on the page where you asked, on your other device, and has {digits} digits. If you asked for nothing, deny it. A wrong number may be given {tries} more time(s); the last one denies the request.",
    ),
    (
        "sign_needs_script",
        "To approve, this browser signs with the key of your device, and for that it needs its script. To deny, it needs nothing.",
    ),
    (
        "sign_failed",
        "This browser could not sign. Nothing was decided. Load the page again, and sign in if you are asked to.",
    ),
    (
        "device_signs",
        "This browser signs your answer as one of your devices.",
    ),
    (
        "device_missing",
        "Nothing was decided: your own yes has to be signed by one of your devices.",
    ),
    (
        "device_none",
        "This browser is none of your devices, or no more, so it can deny and not approve.",
    ),
    (
        "device_same",
        "You asked for this in this very sign-in, or added this device in it. Decide on another device, where you have signed in by itself. To deny, you need no other one.",
    ),
    ("device_new", "This device is too new to decide."),
    (
        "device_weak",
        "This device was added with a weaker proof than this request needs. Remove it, and add it again.",
    ),
    (
        "device_stale",
        "Nothing was done: what this browser signed is too old, or was used before. Try again.",
    ),
    (
        "device_forged",
        "Nothing was done: this is not signed by that device.",
    ),
    // My devices.
    (
        "devices_about",
        "What some requests need is your own yes, from a second device. A device is one browser: add the one on your phone, and you decide there on what you asked for here.",
    ),
    ("devices_none", "You have added none."),
    ("device_here", "this browser"),
    ("device_added", "Added"),
    ("device_used", "decided last"),
    ("device_unused", "has not decided yet"),
    ("device_wait", "It can decide in {span}"),
    ("device_remove", "Remove"),
    ("device_remove_it", "Remove: {name}"),
    ("device_rename", "Call it something else"),
    ("device_rename_do", "Save"),
    ("device_name", "Name"),
    (
        "device_name_about",
        "By which you know it again, such as: my phone.",
    ),
    ("device_add", "Add this browser"),
    (
        "device_too_many",
        "You have as many devices as anybody can have. Remove one to add another.",
    ),
    (
        "device_known",
        "This device was added already. Nothing was changed.",
    ),
    (
        "device_full",
        "No more devices can be added at the moment. Tell whoever looks after this system.",
    ),
    (
        "device_no_sid",
        "Nobody can tell your sign-ins apart here, so no device can be added. Tell whoever looks after this system.",
    ),
    (
        "confirm_device",
        "To add this browser to your devices, confirm that it is you: {level}.",
    ),
    (
        "enrol_about",
        "This browser makes a key that it never gives away, and signs your decisions with it. Do this on a device that only you use, and not on the one where you ask.",
    ),
    (
        "enrol_cooldown",
        "It can decide after {span}. Until then your other devices tell you that it was added.",
    ),
    (
        "enrol_needs_script",
        "Adding a device needs this page's script, and a browser that can keep a key.",
    ),
    (
        "enrol_failed",
        "This browser could not be added. A private window, or one that forgets everything, cannot keep a key.",
    ),
    ("to_devices", "Go to my devices"),
    ("fresh", "A device was added to yours:"),
    (
        "fresh_about",
        "If that was not you, remove it at once, and tell whoever looks after this system.",
    ),
    ("removed", "One of your devices was removed {span} ago."),
    ("removed_now", "One of your devices was removed just now."),
    (
        "removed_about",
        "If that was not you, tell whoever looks after this system: somebody else may be signed in as you.",
    ),
    ("try", "Try it"),
    (
        "try_about",
        "All browsers that are to tell you that something waits are told something now.",
    ),
    ("try_sent", "A test is on its way."),
    (
        "try_nobody",
        "No browser is to tell you anything yet. You can turn that on in the inbox, in each of them.",
    ),
    (
        "try_nowhere",
        "Browsers cannot be told anything here: this installation has no Web Push.",
    ),
    (
        "try_failed",
        "The test could not be sent. The inbox has everything all the same.",
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
