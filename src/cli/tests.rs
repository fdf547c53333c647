//! What is typed, what is printed, how it ends; on the shipped example.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::path::Path;

use serde_json::Value;

use super::*;

const APP: &str = "http://payroll.localhost:8080";

#[derive(Debug)]
struct Said {
    code: u8,
    out: String,
    err: String,
}

/// `line`: arguments apart from the program's name; `APP` stands for the example's origin.
fn typed(line: &str) -> Said {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = root.join("config/stepgate.toml");
    let line = line.replace("APP", APP);
    let arguments = ["stepgate"]
        .into_iter()
        .chain(line.split_whitespace())
        .chain(["--config", config.to_str().unwrap()])
        .map(OsString::from);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = run(arguments, &mut out, &mut err);
    let text = |bytes: Vec<u8>| {
        let folder = format!("{}/", root.display());
        String::from_utf8(bytes).unwrap().replace(&folder, "")
    };
    Said {
        code,
        out: text(out),
        err: text(err),
    }
}

fn explained(line: &str) -> Value {
    let said = typed(&format!("explain {line} --format json"));
    assert_eq!(said.code, 0, "{line}: {said:?}");
    serde_json::from_str(&said.out).unwrap()
}

#[test]
fn what_decides_is_what_is_told() {
    let rows = [
        // Public, and the same path read in another case.
        ("GET APP/static/a.css", "static", "allow", None),
        ("POST APP/static/a.css", "default", "login", Some(401)),
        ("GET APP/Static/a.css", "default", "login", Some(303)),
        // Levels.
        ("GET APP/", "default", "login", Some(303)),
        ("GET APP/ --anonymous", "default", "login", Some(303)),
        ("GET APP/ --level password", "default", "allow", None),
        ("GET APP/ --groups clerks", "default", "allow", None),
        (
            "GET APP/payroll --level password",
            "payroll",
            "step-up",
            Some(303),
        ),
        ("GET APP/payroll --level mfa", "payroll", "allow", None),
        (
            "GET APP/payroll --level mfa --held",
            "payroll",
            "allow",
            None,
        ),
        (
            "GET APP/payroll --level hardware-key",
            "payroll",
            "allow",
            None,
        ),
        // `lasts` is 2 minutes, of the level above it 5.
        (
            "GET APP/payroll --level mfa --age 2m",
            "payroll",
            "allow",
            None,
        ),
        (
            "GET APP/payroll --level mfa --age 121s",
            "payroll",
            "step-up",
            Some(303),
        ),
        (
            "GET APP/payroll --level hardware-key --age 4m",
            "payroll",
            "allow",
            None,
        ),
        // Ages.
        (
            "POST APP/payroll/7/release --level mfa --age 1m",
            "release",
            "allow",
            None,
        ),
        (
            "POST APP/payroll/7/release --level mfa --age 61s",
            "release",
            "step-up",
            Some(303),
        ),
        (
            "POST APP/payroll/7/release --level mfa --held",
            "release",
            "step-up",
            Some(303),
        ),
        (
            "PATCH APP/payroll/7/release --level mfa --held",
            "release",
            "step-up",
            Some(303),
        ),
        (
            "GET APP/payroll/7/release --level mfa --held",
            "payroll",
            "allow",
            None,
        ),
        // Conditions: no factor helps.
        (
            "GET APP/admin --level hardware-key",
            "admin",
            "deny",
            Some(403),
        ),
        (
            "GET APP/admin --level password --groups clerks,admins",
            "admin",
            "allow",
            None,
        ),
        ("GET APP/admin --groups Admins", "admin", "deny", Some(403)),
        // A floor over everything.
        (
            "DELETE APP/x --level password",
            "default",
            "step-up",
            Some(303),
        ),
        ("DELETE APP/x --level mfa", "default", "allow", None),
    ];
    for (line, route, decision, page) in rows {
        let told = explained(line);
        assert_eq!(told["route"]["id"], route, "{line}");
        assert_eq!(told["answer"]["decision"], decision, "{line}");
        assert_eq!(told["answer"]["page"], Value::from(page), "{line}");
        let asks = matches!(decision, "login" | "step-up");
        assert_eq!(told["pushed"].is_object(), asks, "{line}");
    }
}

/// Every fact that can be told of a caller takes part in the decision.
#[test]
fn what_is_said_of_the_caller_counts() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "stepgate.toml",
        r#"
        version = 1
        policies = "policies"
        [keycloak]
        issuer        = "https://sso.example.com/realms/corp"
        client_id     = "stepgate"
        client_secret = { file = "secret" }
        [[levels]]
        name  = "password"
        base  = true
        proof = { acr = "1" }
        [upstreams.app]
        url = "http://127.0.0.1:1"
        [networks]
        office = ["192.0.2.0/24", "2001:db8::/32"]
        [approver_app]
        url = "https://approve.example.com"
        [channels.hook]
        kind        = "webhook"
        url         = "https://hooks.example.com/"
        keys        = { file = "out.key" }
        decide_keys = { file = "in.key" }
        [channels.device]
        kind = "ciba"
        "#,
    );
    write("secret", "only-for-tests");
    for (name, letter) in [("out.key", "A"), ("in.key", "B")] {
        write(name, &format!("whsec_{}", letter.repeat(32)));
    }
    std::fs::create_dir(folder.path().join("policies")).unwrap();
    write(
        "policies/app.toml",
        r#"
        url      = "https://app.example.com"
        upstream = "app"
        require  = { level = "password" }
        [[routes]]
        id      = "roles"
        path    = "/roles"
        require = { roles_all = ["approver", "clerk"] }
        [[routes]]
        id      = "claims"
        path    = "/claims"
        require = { claims = { department = "sales", "address.floor" = [3, 4] } }
        [[routes]]
        id      = "office"
        path    = "/office"
        require = { networks_any = ["office"] }
        [[routes]]
        id       = "four-eyes"
        path     = "/pay/{id}"
        approval = "four-eyes"
        [approvals.four-eyes]
        summary   = "Pay {path.id}"
        approvers = { groups_any = ["leads"], claim = "manager", need = 2 }
        mode      = "number-matching"
        break_glass = { groups_any = "emergency" }
        escalate  = { after = "5m", to = { groups_any = ["board"], people = ["carol"] } }
        [[routes]]
        id       = "checked"
        path     = "/checked/{id}"
        approval = "checked"
        [approvals.checked]
        summary   = "Check {path.id}"
        approvers = { groups_any = ["leads"], webhook = "hook" }
        [[routes]]
        id       = "confirmed"
        path     = "/confirmed/{id}"
        approval = "confirmed"
        [approvals.confirmed]
        summary   = "Confirm {path.id}"
        approvers = { ciba = "device" }
        [[routes]]
        id       = "exports"
        path     = "/exports/{year}/{id}"
        approval = "exports"
        [[routes]]
        id       = "sheets"
        path     = "/sheets/{year}/{id}"
        methods  = ["PUT"]
        approval = "sheets"
        [approvals.sheets]
        summary   = "Sheet {path.id}"
        approvers = { groups_any = ["leads"] }
        grant     = { window = "15m" }
        [approvals.exports]
        summary   = "Export {path.year}"
        approvers = { groups_any = ["leads"] }
        grant     = { window = "15m", per = "year" }
        when      = { hours = { from = "18:00", to = "08:00", days = ["mon", "tue"], zone = "Europe/Berlin" } }
        "#,
    );
    let path = folder.path().join("stepgate.toml");
    for (line, decision) in [
        ("roles --roles approver,clerk", "allow"),
        ("roles --roles approver", "deny"),
        ("roles --groups approver,clerk", "deny"),
        (
            "claims --claims department=sales --claims address.floor=3",
            "allow",
        ),
        (
            "claims --claims department=sales --claims address.floor=\"3\"",
            "deny",
        ),
        ("claims --claims department=sales", "deny"),
        ("office --level password --from 192.0.2.7", "allow"),
        ("office --level password --from 2001:db8::7", "allow"),
        ("office --level password --from 203.0.113.5", "deny"),
        ("office --level password", "deny"),
        ("office --anonymous --from 192.0.2.7", "login"),
        ("pay/7", "login"),
        ("pay/7 --level password", "approve"),
    ] {
        let arguments = format!(
            "stepgate --config {} explain GET https://app.example.com/{line} --format json",
            path.display()
        );
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(
            arguments.split_whitespace().map(OsString::from),
            &mut out,
            &mut err,
        );
        assert_eq!(code, 0, "{line}: {}", String::from_utf8_lossy(&err));
        let told: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(told["answer"]["decision"], decision, "{line}");
        let asks = told["approval"]["approvers"].as_str();
        let wanted = (decision == "approve").then_some("groups_any leads or claim manager");
        assert_eq!(asks, wanted, "{line}");
    }
    let explained = |what: &str| {
        let line = format!(
            "stepgate --config {} explain POST https://app.example.com/{what} --level password",
            path.display()
        );
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let arguments = line.split_whitespace().map(OsString::from);
        assert_eq!(run(arguments, &mut out, &mut err), 0);
        String::from_utf8(out).unwrap()
    };
    let told = explained("exports/2026/7");
    for part in [
        "when      hours 18:00 to 08:00 on mon, tue (Europe/Berlin); else it is allowed",
        "for       10m, and 15m from the yes on; for every request of the same year",
    ] {
        assert!(told.contains(part), "{told}");
    }
    for (what, part) in [
        (
            "checked/7",
            "of        one of groups_any leads or webhook hook, at password",
        ),
        ("confirmed/7", "of        one of ciba device, at password"),
    ] {
        let told = explained(what);
        assert!(told.contains(part), "{told}");
    }
    // By a method that the route does not list, the approval is that route's, and so are the values that are the same.
    let told = explained("sheets/2026/7");
    assert!(
        told.contains("every request of the same year, id"),
        "{told}"
    );
    let told = explained("pay/7");
    for part in [
        "decision  approve: it needs the approval app/four-eyes",
        "answer    202 to the page that waits for a browser, 403 for a program",
        "asks      Pay {path.id}",
        "of        2 of groups_any leads or claim manager, at password; number-matching",
        "without   groups_any emergency, by break-glass",
        "also      groups_any board or people carol after 5m",
        "for       10m, and 10m from the yes on",
    ] {
        assert!(told.contains(part), "{told}");
    }
}

#[test]
fn what_is_not_judged_is_refused_with_its_status() {
    let rows = [
        ("GET APP/a//b", 400),
        ("GET APP/a%2fb", 400),
        ("GET APP/a/../b", 400),
        ("GET APP/a;b", 400),
        ("GET APP/#a", 400),
        ("TRACE APP/", 405),
        ("get APP/", 405),
        ("GET http://elsewhere.localhost:8080/", 421),
        ("GET http://payroll.localhost/", 421),
    ];
    for (line, status) in rows {
        let told = explained(line);
        assert_eq!(told["answer"]["page"], status, "{line}");
        assert!(told["route"].is_null(), "{line}");
    }
}

#[test]
fn texts() {
    let lines = [
        "check",
        "explain GET APP",
        "explain GET APP/payroll/7?month=11 --level password --age 3m",
        "explain POST APP/payroll/7/release --level mfa --held --from 192.0.2.7",
        "explain PATCH APP/payroll/7/release --level mfa",
        "explain DELETE APP/Static/x --level password",
        "explain GET APP/admin --level mfa --groups clerks",
        "explain GET APP/a//b",
        "explain GET APP/.stepgate/me",
        "explain GET https://payroll.localhost:8080/",
    ];
    let all: String = lines
        .iter()
        .map(|line| format!("$ stepgate {line}\n{}\n", typed(line).out))
        .collect();
    insta::assert_snapshot!("texts", all);
}

#[test]
fn what_is_typed_wrongly_ends_with_2_and_says_what_to_do() {
    let rows = [
        ("explain GET payroll.localhost/", "write it as https://"),
        (
            "explain GET http://user@payroll.localhost:8080/",
            "write it as https://",
        ),
        ("explain G@T APP/", "is no method"),
        (
            "explain GET APP/ --level mfaa",
            "password, mfa, hardware-key",
        ),
        ("explain GET APP/ --level mfa --age 3", "90s, 15m"),
        ("explain GET APP/ --age 3m", "add --level"),
        ("explain GET APP/ --held", "add --level"),
        ("explain GET APP/ --claims department", "name=value"),
        (
            "explain GET APP/ --level mfa --age 3m --held",
            "cannot be used with",
        ),
        (
            "explain GET APP/ --anonymous --groups a",
            "cannot be used with",
        ),
        ("explain GET APP/ --from nowhere", "invalid"),
        ("explain GET", "required"),
        ("chekc", "check"),
        ("", "Usage"),
    ];
    for (line, help) in rows {
        let said = typed(line);
        assert_eq!(said.code, USAGE, "{line}: {said:?}");
        assert!(said.err.contains(help), "{line}: {said:?}");
        assert_eq!(said.out, "", "{line}");
    }
}

#[test]
fn an_approvals_id_may_begin_with_a_hyphen() {
    for line in [
        "show -a1",
        "revoke -a1",
        "approve -a1 --reason x",
        "deny -a1 --reason x",
    ] {
        let line = format!("stepgate approvals {line} --socket /nowhere");
        let typed = Cli::try_parse_from(line.split(' '));
        assert!(typed.is_ok(), "{line}: {typed:?}");
    }
}

#[test]
fn version_and_help_are_answers() {
    let said = typed("--version");
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, concat!("stepgate ", env!("CARGO_PKG_VERSION"), "\n"))
    );
    let said = typed("--help");
    assert!(
        said.code == 0 && said.out.contains("Exit codes"),
        "{said:?}"
    );
}

#[test]
fn findings_end_with_1_and_serve_with_64() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stepgate.toml");
    let run_on = |line: &str| {
        let arguments = ["stepgate", "--config", path.to_str().unwrap()]
            .into_iter()
            .chain(line.split_whitespace())
            .map(OsString::from);
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(arguments, &mut out, &mut err);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (code, text(out), text(err))
    };
    let (code, out, _) = run_on("check");
    assert_eq!(code, FINDINGS);
    assert!(out.contains("SG0002"), "no file: {out}");

    std::fs::write(&path, "version = 1\nlitsen = []\n").unwrap();
    let (code, out, _) = run_on("check");
    assert_eq!(code, FINDINGS);
    assert!(out.contains("did you mean `listen`?"), "{out}");
    let (code, out, _) = run_on("check --format json");
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, FINDINGS);
    assert!(found["errors"].as_u64().unwrap() > 1, "{found}");
    assert_eq!(
        found["problems"].as_array().unwrap().len() as u64,
        found["errors"]
    );
    let (code, out, err) = run_on("explain GET http://a/");
    assert_eq!((code, out.as_str()), (FINDINGS, ""));
    assert!(err.contains("SG0003"), "{err}");
    let (code, out, err) = run_on("serve");
    assert_eq!((code, out.as_str()), (64, ""));
    assert!(err.contains("SG0003"), "{err}");
}

#[test]
fn an_unreadable_secret_is_a_warning_unless_it_is_wanted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    std::fs::create_dir_all(folder.path().join("config")).unwrap();
    std::fs::create_dir_all(&policies).unwrap();
    for file in ["config/stepgate.toml", "policies/payroll.toml"] {
        std::fs::copy(root.join(file), folder.path().join(file)).unwrap();
    }
    let path = folder.path().join("config/stepgate.toml");
    let code = |line: &str| {
        let arguments = ["stepgate", "check", "--config", path.to_str().unwrap()]
            .into_iter()
            .chain(line.split_whitespace())
            .map(OsString::from);
        let mut out = Vec::new();
        let code = run(arguments, &mut out, &mut Vec::new());
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("SG0106"), "{text}");
        code
    };
    assert_eq!(code(""), 0);
    assert_eq!(code("--deny-warnings"), FINDINGS);
    assert_eq!(code("--secrets"), FINDINGS);
}
