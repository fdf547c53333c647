//! `app_cookies`: the names of the app's own session cookies.

use crate::config::code::Code;
use crate::config::fields::Fields;
use crate::config::problem::Problem;

/// Names of stepgate's own begin with it.
const OURS: &str = "__Host-stepgate";

pub(super) fn resolve(app: Fields<'_>) -> Vec<String> {
    app.texts("app_cookies")
        .unwrap_or_default()
        .into_iter()
        .filter_map(|given| {
            let token = given
                .text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
            let ours = given
                .text
                .get(..OURS.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(OURS));
            let message = match (token, ours) {
                (false, _) => format!("`{}` is not a cookie's name", given.text),
                (true, true) => format!("`{}` is stepgate's own", given.text),
                (true, false) => return Some(given.text.to_owned()),
            };
            app.report()
                .push(Problem::error(Code::BadCookie, given.place, message));
            None
        })
        .collect()
}
