//! `hours` of a `when`: one table, or several of which one has to hold.

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::config::code::Code;
use crate::config::document::{Node, Value};
use crate::config::fields::{Fields, Text};
use crate::config::keys;
use crate::config::problem::{Problem, Report};
use crate::policy::approval::hours::{DAY, DAYS, Hours};

pub(super) fn resolve(when: Fields<'_>) -> Vec<Hours> {
    let Some(node) = when.node("hours") else {
        return Vec::new();
    };
    let report = when.report();
    let several: &[Node] = match &node.value {
        Value::List(_) => when.tables("hours"),
        _ => std::slice::from_ref(node),
    };
    if several.is_empty() {
        let problem = Problem::error(Code::EmptyValue, &node.place, "the list is empty");
        report.push(problem.help("without `hours` it holds at any time"));
    }
    several
        .iter()
        .filter_map(|one| hours(one, report))
        .collect()
}

fn hours(node: &Node, report: &Report) -> Option<Hours> {
    let fields = Fields::open(node, &keys::HOURS, report)?;
    let from = time(fields, "from", 0);
    let to = time(fields, "to", DAY);
    let zone = fields
        .required_text("zone")
        .and_then(|given| zone(given, report));
    let days = fields.texts("days").unwrap_or_default().into_iter();
    let days = days.filter_map(|given| {
        let found = DAYS.iter().find(|(name, _)| *name == given.text);
        if found.is_none() {
            let names = DAYS.iter().map(|(name, _)| *name);
            let message = format!("`{}` is no day of the week", given.text);
            let problem = Problem::error(Code::UnknownValue, given.place, message);
            report.push(problem.did_you_mean(given.text, names));
        }
        found.map(|(_, day)| *day)
    });
    let days = days.collect();
    let (from, to) = (from?, to?);
    if from == to || from == DAY {
        let problem = Problem::error(Code::BadTime, &node.place, "these hours have no length");
        report.push(problem.help("leave out `from` and `to` for whole days"));
        return None;
    }
    Some(Hours {
        from,
        to,
        days,
        zone: zone?,
    })
}

/// `18:00`, in minutes since midnight; `24:00` is the end of a day.
fn time(fields: Fields<'_>, key: &str, usual: u16) -> Option<u16> {
    if !fields.has(key) {
        return Some(usual);
    }
    let given = fields.text(key)?;
    let parsed = parsed(given.text);
    if parsed.is_none() {
        let message = format!("`{}` is not a time of day", given.text);
        let problem = Problem::error(Code::BadTime, given.place, message);
        let help = "hours and minutes, \"00:00\" to \"24:00\"";
        fields.report().push(problem.help(help));
    }
    parsed
}

fn parsed(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let is_plain = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is_plain(hours) || !is_plain(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    let all = hours * 60 + minutes;
    (minutes < 60 && all <= DAY).then_some(all)
}

/// Of the list that is built in, whatever the machine has.
fn zone(given: Text<'_>, report: &Report) -> Option<TimeZone> {
    let found = TimeZoneDatabase::bundled().get(given.text).ok();
    if found.is_none() {
        let message = format!("`{}` is not a time zone", given.text);
        let problem = Problem::error(Code::UnknownZone, given.place, message);
        report.push(problem.help("a name of the IANA list, such as \"Europe/Berlin\" or \"UTC\""));
    }
    found
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_of_day_have_four_digits() {
        let rows = [
            ("00:00", Some(0)),
            ("08:05", Some(485)),
            ("23:59", Some(1439)),
            ("24:00", Some(1440)),
            ("24:01", None),
            ("12:60", None),
            ("8:00", None),
            ("+8:00", None),
            ("08:00:00", None),
            ("0800", None),
            ("", None),
        ];
        for (text, expected) in rows {
            assert_eq!(super::parsed(text), expected, "{text}");
        }
    }
}
