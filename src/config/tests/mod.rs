//! What loads, what it becomes, and the message for every problem.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::path::Path;

use super::*;

mod cases;

fn problems(result: &Result<Loaded, Vec<Problem>>) -> String {
    let all = match result {
        Ok(loaded) => &loaded.warnings,
        Err(problems) => problems,
    };
    all.iter()
        .map(|problem| problem.render(false) + "\n\n")
        .collect()
}

#[test]
fn the_shipped_example_loads_without_a_word() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let result = load(&root.join("config/stepgate.toml"), &Options::default());
    assert_eq!(problems(&result), "");
    let config = result.unwrap().config;
    assert_eq!(config.apps[0].origins[0].cookie, "__Host-stepgate-8080");
    assert_eq!(config.apps[0].table.routes().len(), 8);
    assert_eq!(config.needs_push, ["payroll/release"]);
}

/// The language's own example, word for word.
#[test]
fn the_languages_own_example_loads() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/design");
    let options = Options {
        secrets: Secrets::Optional,
        ..Options::default()
    };
    let result = load(&folder.join("config/stepgate.toml"), &options);
    let loaded = result.unwrap_or_else(|problems| panic!("{problems:#?}"));
    let rule = loaded.config.approval("erp/four-eyes").unwrap();
    assert_eq!((rule.terms.need, rule.digits), (2, 7));
    let routes = loaded.config.apps[0].table.routes().iter();
    let asking = routes.filter(|route| route.requirement.approval.is_some());
    let asking: Vec<_> = asking.map(|route| route.id.as_str()).collect();
    assert_eq!(asking, ["payment-release"]);
}
