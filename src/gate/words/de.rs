//! German, as far as all pages share it.

use super::Table;

pub(super) const WORDS: Table = &[
    ("request_id", "Anfrage"),
    ("session", "Meine Sitzung"),
    ("every", "Jede Anfrage „{summary}“ für {span}"),
    ("day", "Tag"),
    ("days", "Tage"),
    ("days_dative", "Tagen"),
    ("hour", "Stunde"),
    ("hours", "Stunden"),
    ("minute", "Minute"),
    ("minutes", "Minuten"),
    ("second", "Sekunde"),
    ("seconds", "Sekunden"),
    ("byte", "Byte"),
    ("bytes", "Byte"),
    ("decimal_point", ","),
];
