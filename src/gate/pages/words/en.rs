//! English.

use crate::gate::words::Table;

pub(super) const WORDS: Table = &[
    // On several pages.
    ("go_on", "Go on"),
    ("try_again", "Try again"),
    ("confirm", "Confirm"),
    ("reason", "Reason"),
    ("sign_in", "Sign in"),
    ("sign_out", "Sign out"),
    ("signed_in_as", "You are signed in as {user}."),
    ("to_start", "Go to the start page"),
    ("to_app", "Go back to the app"),
    ("continue_as", "Continue as {user}"),
    (
        "form_dropped",
        "The form that was kept for it was dropped, and the app has not seen it.",
    ),
    // Signing in.
    ("continue_title", "You are signed in"),
    (
        "continue_about",
        "As {user}. This sign-in had been finished before, so there is nothing more to do here.",
    ),
    (
        "continue_others",
        "Several tabs of this browser asked for it. Where did this one want to go?",
    ),
    ("continue_go", "Continue"),
    ("failed_cancelled_title", "The sign-in was cancelled"),
    (
        "failed_cancelled",
        "Nothing has changed: you are as signed in as you were before.",
    ),
    (
        "failed_late_title",
        "This sign-in took too long, or was already used",
    ),
    (
        "failed_late",
        "A sign-in has to be finished within ten minutes, in the browser in which it began, and counts once. Start again; it usually takes a moment only.",
    ),
    ("failed_invalid_title", "The sign-in could not be trusted"),
    (
        "failed_invalid",
        "The sign-in service's answer did not pass the checks, so it was not used. Start again. If this happens twice, tell whoever runs this service, and give them the number below.",
    ),
    ("failed_provider-error_title", "The sign-in did not work"),
    (
        "failed_provider-error",
        "The sign-in service said that it could not do this. Try again in a moment. If it goes on, tell whoever runs this service, and give them the number below.",
    ),
    (
        "unavailable_title",
        "Signing in is not possible at the moment",
    ),
    (
        "unavailable_about",
        "The service that checks who you are does not answer. You have not been signed out, and nothing is lost. Try again in a moment.",
    ),
    ("many_title", "Too many sign-ins at once"),
    (
        "many_about",
        "There are more sign-ins from your network than can be handled. Try again in {span}.",
    ),
    ("tabs_title", "Finish signing in in another tab"),
    (
        "tabs_about",
        "Five tabs of this browser are signing in already. Finish in one of them; this page goes on by itself as soon as you have.",
    ),
    (
        "tabs_forgotten",
        "A sign-in that was left alone is forgotten after ten minutes.",
    ),
    ("tabs_go", "Try now"),
    ("else_title", "Somebody else is signed in here"),
    (
        "else_about",
        "While you signed in, {user} signed in in this browser. Nothing was changed: this browser still belongs to {user}.",
    ),
    ("switched_title", "You are now {user}"),
    (
        "switched_about",
        "The sign-in was finished as another user than it began with. The earlier session has ended, and nothing of it was carried over.",
    ),
    // Confirming who it is.
    ("being_title", "Confirm in your other tab"),
    (
        "being_about",
        "This needs {need}, and another tab of this browser is asking you for it. Once you have confirmed there, this page goes on by itself.",
    ),
    ("being_here", "Confirm here instead"),
    ("done_title", "Confirmed"),
    (
        "done_about",
        "The page that asked for it goes on by itself. You can close this window.",
    ),
    ("frame_title", "This needs {need}"),
    (
        "frame_about",
        "This part of the page cannot be shown before you have confirmed it. That has to happen outside of the frame.",
    ),
    ("enough_title", "This needs a stronger sign-in"),
    (
        "enough_enrolled_title",
        "Your new factor is set up; now use it",
    ),
    ("enough_old_title", "This needs a fresh confirmation"),
    ("enough_have", "You have"),
    ("enough_nothing", "nothing"),
    ("enough_need", "This needs"),
    (
        "enough_need_recent",
        "{need}, confirmed within the last {span}",
    ),
    (
        "enough_enrolled",
        "You set up {need} just now. Setting it up does not count as using it: confirm once more, and then you are through.",
    ),
    (
        "enough_held",
        "You set up {need} only a short while ago. For your safety a new factor does not open this yet. If it was not you who set it up, tell your administrator now.",
    ),
    (
        "enough_provider",
        "Your account comes from another organisation, and the confirmation has to come from there. Sign out, then sign in again through it.",
    ),
    (
        "enough_old",
        "You confirmed it too long ago for this, or it cannot be told when.",
    ),
    (
        "enough_refused",
        "You signed in, but the sign-in service did not grant {need}. Perhaps you have not set it up yet; then set it up in your account, or ask your administrator.",
    ),
    ("enough_confirm", "Confirm now"),
    ("forbidden_title", "You may not open this"),
    (
        "forbidden_user",
        "You are signed in as {user}. Signing in again would not change this.",
    ),
    (
        "forbidden_networks_any",
        "It can be opened from certain networks only, and you are not in one of them:",
    ),
    (
        "forbidden_groups_any",
        "It is for members of one of these groups:",
    ),
    (
        "forbidden_groups_all",
        "It is for members of all of these groups:",
    ),
    (
        "forbidden_roles_any",
        "It is for people who have one of these roles:",
    ),
    (
        "forbidden_roles_all",
        "It is for people who have all of these roles:",
    ),
    (
        "forbidden_scopes_any",
        "The sign-in would have to carry one of these scopes:",
    ),
    (
        "forbidden_scopes_all",
        "The sign-in would have to carry all of these scopes:",
    ),
    ("forbidden_claims", "Your account would have to have:"),
    (
        "forbidden_ask",
        "If you think that you should have access, ask your administrator, and give them the number below.",
    ),
    ("forbidden_else", "Sign in as somebody else"),
    // One's session.
    ("me_user", "Signed in as"),
    ("me_groups", "Groups"),
    ("me_ends", "Ends"),
    ("me_ends_in", "in {most}, or after {idle} without use"),
    ("me_levels", "How you have confirmed that it is you"),
    ("me_proven_now", "confirmed just now"),
    ("me_proven", "confirmed {span} ago"),
    ("me_held", "held; when it was confirmed is not known"),
    ("me_lapsed", "no longer valid"),
    ("me_missing", "not confirmed"),
    ("me_left", ", good for another {span}"),
    ("logout_title", "Sign out?"),
    ("logout_stay", "Stay signed in"),
    ("out_title", "You are signed out"),
    ("out_both", "Close this tab, or sign in again."),
    (
        "out_here",
        "Here, that is. The sign-in service could not be told, so you may still be signed in there: on a shared computer, close the browser.",
    ),
    // Forms that are kept.
    ("kept_title", "What you sent is kept"),
    (
        "kept_about",
        "It needs {need} first. You are asked for that now, and then whether to send it.",
    ),
    ("send_title", "Send it now?"),
    (
        "send_about",
        "You are signed in as {user}. What you sent before was kept, and has not reached the app yet.",
    ),
    ("send_to", "To"),
    ("send_action", "Action"),
    ("send_what", "What"),
    ("send_bare", "nothing but the request itself"),
    ("send_form", "the form as you filled it in, {size}"),
    ("send_kept", "Kept"),
    ("send_left", "for another {span}"),
    ("send_now", "Send it now"),
    ("send_drop", "Do not send it"),
    ("still_title", "It is still kept"),
    (
        "still_about",
        "The app behind this address, which whoever runs it knows as {upstream}, cannot be reached. Nothing of what you sent has arrived there, and it is kept for another {span}.",
    ),
    ("gone_sent_title", "This was sent already"),
    (
        "gone_sent",
        "It went to the app when you said so, and is not sent a second time. What became of it, the app knows.",
    ),
    ("gone_title", "Nothing is kept here"),
    (
        "gone_about",
        "There is nothing to be sent: it was dropped, you signed out meanwhile, or it was longer ago than {lasts}. Nothing was changed in the app.",
    ),
    ("another_title", "This was not yours to send"),
    (
        "another_about",
        "Another user of this browser sent it. You are signed in as {user}, so it was dropped, and the app has not seen it.",
    ),
    ("unsent_title", "This was not sent yet"),
    (
        "unsent_about",
        "What you did ({method}) needs {need}, so nothing was passed on to the app, and nothing was changed there.",
    ),
    (
        "unsent_large",
        "It could not be kept either: it is larger than {most}.",
    ),
    (
        "unsent_room",
        "It could not be kept either: too much is being kept at the moment.",
    ),
    (
        "unsent_nobody",
        "It was not kept either: nobody is signed in here whose it could be.",
    ),
    (
        "unsent_foreign",
        "It was not kept either: it did not come from a page of this site.",
    ),
    ("unsent_off", "It was not kept either."),
    (
        "unsent_then",
        "Confirm in a new tab, then come back to the form with your browser's Back button, and send it again.",
    ),
    ("unsent_go", "Confirm in a new tab"),
    // What needs somebody's yes.
    ("asked_title", "Somebody has to agree to this"),
    (
        "asked_about",
        "They were asked. On the next page you see how it stands.",
    ),
    ("other_title", "Something else is waiting for a yes"),
    (
        "other_mine",
        "You have asked for this already, and nobody has decided on it yet:",
    ),
    (
        "other_elsewhere",
        "You have asked for this in another session, and nobody has decided on it yet. It is over in {span} at the latest:",
    ),
    (
        "other_about",
        "One thing is asked for at a time. What you sent now has not reached the app.",
    ),
    ("other_look", "See how it stands"),
    ("other_replace", "Cancel that and ask for this"),
    ("other_cancel", "Cancel that"),
    ("why_title", "Say why you need this"),
    (
        "why_about",
        "Somebody has to agree to this first. They are asked as soon as you have said why; nothing was sent until now.",
    ),
    ("why_reason", "Why do you need it?"),
    ("why_ask", "Ask for it"),
    ("wait_pending", "Waiting for somebody to agree"),
    ("wait_approved", "It was agreed to"),
    ("wait_denied", "It was not agreed to"),
    ("wait_expired", "The time is over"),
    ("wait_cancelled", "You have cancelled it"),
    ("wait_revoked", "The yes was taken back"),
    ("wait_consumed", "It was sent"),
    (
        "wait_pick",
        "Whoever agrees picks this number. Tell it to nobody who has not been asked:",
    ),
    (
        "wait_type",
        "Whoever agrees types this number. Tell it to nobody who has not been asked:",
    ),
    ("wait_who", "Who can agree"),
    ("wait_self", "yourself, on another device of yours"),
    ("wait_group", "anybody in {group}"),
    (
        "wait_device",
        "you, on your other device, which shows {code}",
    ),
    (
        "wait_window",
        "A yes holds for every such request for {span}, not for this one alone.",
    ),
    (
        "wait_holds",
        "It holds for every such request for another {span}, as often as you send one. Each is written down.",
    ),
    ("wait_also", "Also, since {at} ({span} ago)"),
    ("wait_also_now", "Also, since {at}"),
    ("wait_glass", "It cannot wait"),
    (
        "wait_glass_about",
        "You may pass this without anybody's agreement. Everybody who could have agreed finds it in the approver app, with your name, and is told where they are told of requests. It is written down with your reason.",
    ),
    ("wait_glass_reason", "Your reason"),
    ("wait_glass_go", "Go on without agreement"),
    ("wait_so_far", "So far"),
    ("wait_given", "{given} of {need}"),
    ("wait_left", "Time left"),
    (
        "wait_left_then",
        "{span}; then it is over, and nothing is sent",
    ),
    (
        "wait_about",
        "This page looks again by itself, and goes on when it is agreed to. You can leave it and come back.",
    ),
    ("wait_look", "Look again"),
    ("wait_cancel", "Cancel"),
    ("wait_remind", "Remind them"),
    ("wait_reminded_now", "They were told again just now."),
    ("wait_reminded", "They were told again {span} ago."),
    ("wait_remind_again", "They can be told again in {span}."),
    (
        "wait_limited",
        "Nobody was told this time: they have been told often enough lately. It is in their inbox all the same.",
    ),
    ("wait_link", "Link for whoever decides"),
    (
        "wait_link_about",
        "For sending it to them yourself. It opens nothing for anybody else, and does not hold the number.",
    ),
    ("wait_copy", "Copy link"),
    ("wait_copied", "Copied."),
    (
        "wait_goes",
        "It goes on to the app now. If nothing happens within {span}, it is over.",
    ),
    (
        "wait_program",
        "The program that asked for it sends it on, within {span}.",
    ),
    ("wait_wrong_number", "The number was wrong too often."),
    ("wait_reported", "Somebody reported it as wrong."),
    ("wait_reported_by", "{who} reported it as wrong."),
    ("wait_no", "Somebody said no."),
    ("wait_no_by", "{who} said no."),
    ("wait_reason", "The reason: {reason}"),
    (
        "wait_talk",
        "Nothing was sent. Talk to them before you ask again.",
    ),
    ("wait_answered", "The app answered it with {status}."),
    (
        "wait_unknown",
        "What the app made of it is not known. Look there before you ask again: it is not sent a second time.",
    ),
    (
        "wait_late",
        "Nobody agreed in time, or it was not used in time.",
    ),
    (
        "wait_taken_back",
        "Somebody took it back before it was used.",
    ),
    (
        "wait_again",
        "Nothing was sent. You can ask again by sending it again.",
    ),
    // What is refused.
    ("refused_title", "This request was refused"),
    ("refused_404", "There is nothing here"),
    ("refused_500", "Something went wrong"),
    ("refused_check", "Check the address, and try again."),
    ("silent_title", "The app does not answer"),
    ("silent_about", "Whoever runs it knows it as {upstream}."),
];
