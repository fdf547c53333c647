//! What can be wrong with being Keycloak's authentication channel.

use super::approvals::APPROVER_APP;
use super::*;

const CIBA: &str =
    "[keycloak.ciba]\nclients = { teller = \"The teller's desk\" }\ndevice  = \"none\"\n";

#[rustfmt::skip] // a table
pub(super) const CASES: &[Case] = &[
    ("SG0006-ciba-guarded-by-what", &[(MORE, APPROVER_APP), (MORE, "[keycloak.ciba]\nclients = { teller = \"The teller's desk\" }\n")]),
    ("SG0007-ciba-guarded-by-something", &[(MORE, APPROVER_APP), (MORE, CIBA), ("\"none\"", "\"optional\"")]),
    ("SG0010-ciba-without-end", &[(MORE, APPROVER_APP), (MORE, CIBA), ("\"none\"", "\"none\"\nper_user = 0\nper_client = 1000000")]),
    ("SG0012-ciba-for-nobody", &[(MORE, APPROVER_APP), (MORE, "[keycloak.ciba]\nclients = {}\ndevice = \"none\"\n")]),
    ("SG0301-ciba-at-no-level", &[(MORE, APPROVER_APP), (MORE, CIBA), ("\"none\"", "\"none\"\nlevel = \"mfaa\"")]),
    ("SG0702-ciba-without-an-app", &[(MORE, CIBA)]),
];

#[test]
fn ciba_is_at_the_level_of_the_app_and_counts_as_using_web_push() {
    let installation = format!(
        "{INSTALLATION}\n{APPROVER_APP}\n{CIBA}\n[channels.push]\nkind = \"web-push\"\n\
         vapid_key = {{ file = \"vapid.key\" }}\nsubject = \"mailto:admin@example.com\"\n"
    );
    let result = loaded(&installation, APP);
    let Loaded { config, warnings } = result.unwrap();
    assert_eq!(warnings.len(), 0, "{warnings:#?}");
    let ciba = config.ciba.unwrap();
    assert_eq!(ciba.level, config.approver_app.unwrap().level);
    assert_eq!((ciba.per_user, ciba.per_client), (10, 600));
    assert!(!ciba.by_device);
    assert_eq!(ciba.clients["teller"], "The teller's desk");
}

/// Whoever adds a device for it has to prove as much as the sign-ins need that it signs for.
#[test]
fn devices_are_added_at_the_level_of_what_they_sign() {
    for (ciba, enrols_at) in [
        (CIBA.to_owned(), "password"),
        (format!("{CIBA}level = \"mfa\"\n"), "password"),
        (CIBA.replace("none", "required"), "password"),
        (
            format!("{CIBA}level = \"mfa\"\n").replace("none", "required"),
            "mfa",
        ),
    ] {
        let app = format!("{APPROVER_APP}level = \"password\"\n");
        let installation = format!("{INSTALLATION}\n{app}\n{ciba}");
        let Loaded { config, warnings } = loaded(&installation, APP).unwrap();
        assert_eq!(warnings.len(), 0, "{warnings:#?}");
        let app = config.approver_app.unwrap();
        assert_eq!(config.ladder.name_of(app.device_level), enrols_at, "{ciba}");
    }
}
