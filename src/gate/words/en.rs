//! English, as far as all pages share it.

use super::Table;

pub(super) const WORDS: Table = &[
    ("request_id", "Request"),
    ("session", "My session"),
    ("every", "Every “{summary}” for {span}"),
    ("day", "day"),
    ("days", "days"),
    ("days_dative", "days"),
    ("hour", "hour"),
    ("hours", "hours"),
    ("minute", "minute"),
    ("minutes", "minutes"),
    ("second", "second"),
    ("seconds", "seconds"),
    ("byte", "byte"),
    ("bytes", "bytes"),
    ("decimal_point", "."),
];
