//! The cases of channels.

use super::approvals::{APPROVAL, APPROVER_APP, FOUR_EYES, LEADS, MODE};
use super::*;

/// The approver app, a channel with a fallback, and a third one.
const TOLD: &str = r#"[approver_app]
url = "https://approve.example.com"

[channels.phone]
kind     = "ntfy"
url      = "https://ntfy.example.com"
topic    = "approvals"
fallback = "mail"

[channels.mail]
kind = "smtp"
host = "mail.example.com"
from = "stepgate@example.com"
to   = "leads@example.com"

[channels.forgotten]
kind  = "ntfy"
url   = "https://ntfy.example.com"
topic = "others"
"#;

const DEVICE: &str = "[channels.device]\nkind = \"ciba\"\n";

#[rustfmt::skip] // a table
pub(super) const CASES: &[Case] = &[
    ("SG0801-unknown-fallback", &[(MORE, "[channels.hook]\nkind = \"webhook\"\nurl = \"https://hooks.example.com/a?b\"\nkeys = { file = \"hook.key\" }\nfallback = \"mial\"\n\n[channels.mail]\nkind = \"smtp\"\nhost = \"mail.example.com\"\nfrom = \"stepgate@example.com\"\nto = \"leads@example.com\"\n")]),
    ("SG0801-told-by-nothing", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "channels  = [\"phone\", \"fone\"]"), (MORE, TOLD)]),
    ("SG0807-unused", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "channels  = \"phone\""), (MORE, TOLD)]),
    ("SG0802-each-other", &[(MORE, "[channels.a]\nkind = \"ntfy\"\nurl = \"https://ntfy.example.com\"\ntopic = \"a\"\nfallback = \"b\"\n\n[channels.b]\nkind = \"ntfy\"\nurl = \"https://ntfy.example.com\"\ntopic = \"b\"\nfallback = \"a\"\n")]),
    ("SG0802-itself", &[(MORE, "[channels.a]\nkind = \"ntfy\"\nurl = \"https://ntfy.example.com\"\ntopic = \"a\"\nfallback = \"a\"\n")]),
    ("SG0803-loopback", &[(MORE, "[channels.a]\nkind = \"ntfy\"\nurl = \"http://localhost:2586\"\ntopic = \"a\"\n")]),
    ("SG0803-private", &[(MORE, "[channels.a]\nkind = \"ntfy\"\nurl = \"https://10.0.0.7\"\ntopic = \"a\"\n")]),
    ("SG0104-webhook", &[(MORE, "[channels.a]\nkind = \"webhook\"\nurl = \"http://hooks.internal\"\nkeys = { file = \"hook.key\" }\nallow_private = true\n")]),
    ("SG0103-webhook-with-a-user", &[(MORE, "[channels.a]\nkind = \"webhook\"\nurl = \"https://me:secret@hooks.example.com/\"\nkeys = { file = \"hook.key\" }\n")]),
    ("SG0107-no-signing-key", &[(MORE, "[channels.a]\nkind = \"webhook\"\nurl = \"https://hooks.example.com/\"\nkeys = [{ file = \"hook.key\" }, { file = \"secret\" }]\n")]),
    ("SG0105-literal-signing-key", &[(MORE, "[channels.a]\nkind = \"webhook\"\nurl = \"https://hooks.example.com/\"\nkeys = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n")]),
    ("SG0012-no-signing-keys", &[(MORE, "[channels.a]\nkind = \"webhook\"\nurl = \"https://hooks.example.com/\"\nkeys = []\n")]),
    ("SG0107-one-key-for-both-ways", &[(MORE, "[channels.a]\nkind = \"webhook\"\nurl = \"https://hooks.example.com/\"\nkeys = { file = \"hook.key\" }\ndecide_keys = { file = \"hook.key\" }\n")]),
    ("SG0808-hook-without-decide-keys", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = { webhook = \"hook\" }"), (MORE, APPROVER_APP), (MORE, "[channels.hook]\nkind = \"webhook\"\nurl = \"https://hooks.example.com/\"\nkeys = { file = \"hook.key\" }\n")]),
    ("SG0808-ntfy-decides", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = { webhook = \"phone\" }"), (MORE, APPROVER_APP), (MORE, "[channels.phone]\nkind = \"ntfy\"\nurl = \"https://ntfy.example.com\"\ntopic = \"approvals\"\n")]),
    ("SG0801-decided-by-nothing", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = { webhook = \"hook\" }"), (MORE, APPROVER_APP)]),
    ("SG0706-a-program-that-knows-a-number", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = { webhook = \"hook\" }"), (MODE, "mode      = \"number-matching\""), (MORE, APPROVER_APP), (MORE, "[channels.hook]\nkind = \"webhook\"\nurl = \"https://hooks.example.com/\"\nkeys = { file = \"hook.key\" }\ndecide_keys = { file = \"decide.key\" }\n")]),
    ("SG0702-one-program-for-two", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = { webhook = \"hook\", need = 2 }"), (MORE, APPROVER_APP), (MORE, "[channels.hook]\nkind = \"webhook\"\nurl = \"https://hooks.example.com/\"\nkeys = { file = \"hook.key\" }\ndecide_keys = { file = \"decide.key\" }\n")]),
    ("SG0013-topic", &[(MORE, "[channels.a]\nkind = \"ntfy\"\nurl = \"https://ntfy.example.com\"\ntopic = \"a/b\"\n")]),
    ("SG0010-channel-timeout", &[(MORE, "[channels.a]\nkind = \"ntfy\"\nurl = \"https://ntfy.example.com\"\ntopic = \"a\"\ntimeout = \"5m\"\n")]),
    ("SG0006-channel-without-a-kind", &[(MORE, "[channels.a]\nurl = \"https://ntfy.example.com\"\n")]),
    ("SG0007-unknown-kind", &[(MORE, "[channels.a]\nkind = \"webhok\"\n")]),
    ("SG0003-key-of-another-kind", &[(MORE, "[channels.a]\nkind = \"ntfy\"\nurl = \"https://ntfy.example.com\"\ntopic = \"a\"\nto = \"leads@example.com\"\n")]),
    ("SG0003-ciba-with-a-timeout", &[(MORE, "[channels.a]\nkind = \"ciba\"\ntimeout = \"3s\"\n")]),
    ("SG0007-ciba-by-push", &[(MORE, "[channels.a]\nkind = \"ciba\"\ndelivery = \"push\"\n")]),
    ("SG0010-ciba-with-too-much", &[(MORE, "[channels.a]\nkind = \"ciba\"\nparams = { a = \"1\", b = \"1\", c = \"1\", d = \"1\", e = \"1\" }\n")]),
    ("SG0208-ciba-with-a-hint", &[(MORE, "[channels.a]\nkind = \"ciba\"\nparams = { login_hint = \"alice\" }\n")]),
    ("SG0807-unused-ciba", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MORE, APPROVER_APP), (MORE, DEVICE)]),
    ("SG0808-ntfy-confirms", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = { ciba = \"phone\" }"), (MORE, APPROVER_APP), (MORE, "[channels.phone]\nkind = \"ntfy\"\nurl = \"https://ntfy.example.com\"\ntopic = \"approvals\"\n")]),
    ("SG0809-ciba-tells", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (MODE, "channels  = \"device\""), (MORE, APPROVER_APP), (MORE, DEVICE)]),
    ("SG0810-ciba-and-people", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = { ciba = \"device\", groups_any = [\"leads\"] }"), (MORE, APPROVER_APP), (MORE, DEVICE)]),
    ("SG0810-ciba-with-a-number", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = { ciba = \"device\" }"), (MODE, "mode      = \"number-matching\"\nreason    = \"required\"\nlevel     = \"mfa\""), (MORE, APPROVER_APP), (MORE, DEVICE)]),
    ("SG0702-ciba-for-two", &[(METHODS, FOUR_EYES), (MORE_APP, APPROVAL), (LEADS, "approvers = { ciba = \"device\", need = 2 }"), (MODE, ""), (MORE, APPROVER_APP), (MORE, DEVICE)]),
    ("SG0107-no-vapid-key", &[(MORE, "[channels.a]\nkind = \"web-push\"\nvapid_key = { file = \"secret\" }\nsubject = \"mailto:admin@example.com\"\n")]),
    ("SG0804-nobody-to-write-to", &[(MORE, "[channels.a]\nkind = \"web-push\"\nvapid_key = { file = \"vapid.key\" }\nsubject = \"admin@example.com\"\n")]),
    ("SG0013-push-services", &[(MORE, "[channels.a]\nkind = \"web-push\"\nvapid_key = { file = \"vapid.key\" }\nsubject = \"https://example.com/\"\nservices = [\"*\", \"*.com\", \"https://push.example.net\", \"push.example.net:443\", \"*.push.example.net\"]\n")]),
    ("SG0003-details-by-web-push", &[(MORE, "[channels.a]\nkind = \"web-push\"\nvapid_key = { file = \"vapid.key\" }\nsubject = \"mailto:admin@example.com\"\ndetail = true\n")]),
    ("SG0804-no-mail-address", &[(MORE, "[channels.a]\nkind = \"smtp\"\nhost = \"mail.example.com\"\nfrom = \"stepgate@example.com\"\nto = [\"leads@example.com\\r\\nBcc: all@example.com\", \"leads\"]\n")]),
    ("SG0805-to-nobody", &[(MORE, "[channels.a]\nkind = \"smtp\"\nhost = \"mail.example.com\"\nfrom = \"stepgate@example.com\"\n")]),
    ("SG0806-plain-mail", &[(MORE, "[channels.a]\nkind = \"smtp\"\nhost = \"mail.example.com\"\ntls = \"off\"\nfrom = \"stepgate@example.com\"\nto_approvers = true\n")]),
    ("SG0013-mail-host", &[(MORE, "[channels.a]\nkind = \"smtp\"\nhost = \"mail.example.com:25\"\nfrom = \"stepgate@example.com\"\nto_approvers = true\n")]),
    ("SG0006-password-without-a-name", &[(MORE, "[channels.a]\nkind = \"smtp\"\nhost = \"mail.example.com\"\npassword = { file = \"secret\" }\nfrom = \"stepgate@example.com\"\nto_approvers = true\n")]),
];

#[test]
fn a_channel_has_what_its_table_says() {
    let of = |lines: &str| {
        let installation = format!("{INSTALLATION}\n[channels.it]\n{lines}");
        let result = loaded(&installation, APP);
        let Loaded {
            mut config,
            warnings,
        } = result.unwrap();
        // No approval has it.
        assert_eq!(warnings.len(), 1);
        config.channels.remove(0)
    };
    let hook = of(
        "kind = \"webhook\"\nurl = \"https://hooks.example.com/a?b\"\nkeys = { file = \"hook.key\" }",
    );
    assert!(!hook.detail && !hook.decided && hook.fallback.is_none());
    let ChannelKind::Webhook(webhook) = hook.kind else {
        panic!("it is one");
    };
    assert!(!webhook.reach.allow_private && webhook.reach.ca.is_none());
    assert_eq!(webhook.keys[0].reveal().len(), 24);
    let ports = [("starttls", 587), ("tls", 465)];
    for (tls, expected) in ports {
        let mail = of(&format!(
            "kind = \"smtp\"\nhost = \"mail.example.com\"\ntls = \"{tls}\"\nfrom = \"Step Gate <stepgate@example.com>\"\nto_approvers = true\nca = \"erp.pem\"\nusername = \"me\"\npassword = {{ file = \"secret\" }}\ndetail = true\ndecided = true\ntimeout = \"3s\""
        ));
        assert!(mail.detail && mail.decided && mail.timeout.as_secs() == 3);
        let ChannelKind::Smtp(smtp) = mail.kind else {
            panic!("it is one");
        };
        assert_eq!(smtp.port, expected);
        assert_eq!(smtp.ca.unwrap().len(), 1);
        assert_eq!(smtp.from.email.to_string(), "stepgate@example.com");
    }
}
