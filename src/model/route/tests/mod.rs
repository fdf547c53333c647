//! Patterns, how two of them relate, and which route a request falls under.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

mod against_slow;
mod lookup;
mod patterns;
mod relations;

use std::time::Duration;

use http::Method;

use super::*;
use crate::model::level::Rank;
use crate::model::requirement::Conditions;
use crate::model::target::{Relaxations, Target};

fn pattern(text: &str) -> Pattern {
    Pattern::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn target(raw: &str) -> Target {
    Target::parse(raw.as_bytes(), Relaxations::NONE).unwrap()
}

/// `"POST,PUT /payments/** 2"`: methods (`*` for none listed), path, rank (0 = public). The id is the whole text.
fn route(text: &str) -> Route {
    let [methods, path, rank] = text.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{text}: methods, path, rank");
    };
    Route {
        id: text.to_owned(),
        pattern: pattern(path),
        methods: (methods != "*").then(|| {
            let methods = methods.split(',');
            methods.map(|name| name.parse().unwrap()).collect()
        }),
        requirement: requirement(rank.parse().unwrap()),
        upstream: 0,
        exact_case: false,
        challenge: Challenge::Auto,
        on_lapse: OnLapse::default(),
        source: source(),
    }
}

fn floor(methods: Option<&[Method]>, path: Option<&str>, rank: u8) -> Floor {
    Floor {
        id: format!("floor {rank}"),
        pattern: path.map(pattern),
        methods: methods.map(<[_]>::to_vec),
        requirement: requirement(rank),
        source: source(),
    }
}

fn requirement(rank: u8) -> Requirement {
    Requirement {
        rank: Rank::new(rank),
        max_age: (rank > 1).then(|| Duration::from_secs(600)),
        conditions: Conditions::NONE,
        approval: None,
    }
}

fn source() -> Source {
    Source {
        file: "policies/erp.toml".to_owned(),
        line: 1,
    }
}
