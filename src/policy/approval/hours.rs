//! Hours of the week, by the clocks on the walls of a place.

use std::fmt;

use jiff::civil::Weekday;
use jiff::tz::TimeZone;

use crate::model::time::Timestamp;

/// Of a day, in minutes.
pub const DAY: u16 = 24 * 60;

/// Whether an instant lies within is told by what the wall shows then: in an hour that a place skips nothing lies, and one
/// that it has twice counts twice.
#[derive(Clone, Debug, PartialEq)]
pub struct Hours {
    /// Minutes since midnight.
    pub from: u16,
    /// Not part of it any more. Before `from`: on the day after.
    pub to: u16,
    /// On which it begins; any, where none is named.
    pub days: Vec<Weekday>,
    pub zone: TimeZone,
}

impl Hours {
    pub fn hold_at(&self, now: Timestamp) -> bool {
        let Ok(instant) = jiff::Timestamp::from_second(now.as_unix()) else {
            // No clock shows it: the stricter of the two.
            return true;
        };
        let wall = self.zone.to_datetime(instant);
        let hour = u16::try_from(wall.hour()).unwrap_or_default();
        let minute = hour * 60 + u16::try_from(wall.minute()).unwrap_or_default();
        let today = wall.date().weekday();
        if self.from < self.to {
            return self.begins_on(today) && (self.from..self.to).contains(&minute);
        }
        (self.begins_on(today) && minute >= self.from)
            || (self.begins_on(today.previous()) && minute < self.to)
    }

    fn begins_on(&self, day: Weekday) -> bool {
        self.days.is_empty() || self.days.contains(&day)
    }
}

/// As config spells it, more or less.
impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |minutes: u16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        write!(f, "{} to {}", time(self.from), time(self.to))?;
        let days: Vec<_> = self.days.iter().map(|day| name(*day)).collect();
        if !days.is_empty() {
            write!(f, " on {}", days.join(", "))?;
        }
        write!(f, " ({})", self.zone.iana_name().unwrap_or("UTC"))
    }
}

/// As config spells them, Monday first.
pub const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

fn name(day: Weekday) -> &'static str {
    let found = DAYS.iter().find(|(_, known)| *known == day);
    found.map_or("", |(name, _)| name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use jiff::tz::TimeZoneDatabase;
    use proptest::prelude::*;

    use super::*;
    use crate::model::seeded;

    fn hours(from: u16, to: u16, days: &[Weekday]) -> Hours {
        Hours {
            from: from * 60,
            to: to * 60,
            days: days.to_vec(),
            zone: TimeZoneDatabase::bundled().get("Europe/Berlin").unwrap(),
        }
    }

    fn at(instant: &str) -> Timestamp {
        let instant: jiff::Timestamp = instant.parse().unwrap();
        Timestamp::from_unix(instant.as_second())
    }

    #[test]
    fn a_day_is_that_of_the_place() {
        // In winter an hour ahead, in summer two.
        let office = hours(8, 18, &[]);
        let rows = [
            ("2027-01-15T06:59:59Z", false),
            ("2027-01-15T07:00:00Z", true),
            ("2027-01-15T16:59:59Z", true),
            ("2027-01-15T17:00:00Z", false),
            ("2027-07-15T05:59:59Z", false),
            ("2027-07-15T06:00:00Z", true),
            ("2027-07-15T16:00:00Z", false),
        ];
        for (instant, expected) in rows {
            assert_eq!(office.hold_at(at(instant)), expected, "{instant}");
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_begins() {
        // 2027-01-15 is a Friday.
        let night = hours(22, 6, &[Weekday::Friday]);
        let rows = [
            ("2027-01-14T23:30:00Z", false),
            ("2027-01-15T20:59:00Z", false),
            ("2027-01-15T21:00:00Z", true),
            ("2027-01-16T04:59:00Z", true),
            ("2027-01-16T05:00:00Z", false),
            ("2027-01-16T22:00:00Z", false),
        ];
        for (instant, expected) in rows {
            assert_eq!(night.hold_at(at(instant)), expected, "{instant}");
        }
        let until_midnight = hours(22, 24, &[]);
        assert!(until_midnight.hold_at(at("2027-01-15T22:59:59Z")));
        assert!(!until_midnight.hold_at(at("2027-01-15T23:00:00Z")));
    }

    /// 2027-03-28: 02:00 is followed by 03:00. 2027-10-31: 02:59 is followed by 02:00.
    #[test]
    fn an_hour_that_is_skipped_never_holds_and_one_that_comes_twice_does_twice() {
        let small = hours(2, 3, &[]);
        for skipped in ["2027-03-28T00:59:59Z", "2027-03-28T01:00:00Z"] {
            assert!(!small.hold_at(at(skipped)), "{skipped}");
        }
        for twice in ["2027-10-31T00:00:00Z", "2027-10-31T01:59:59Z"] {
            assert!(small.hold_at(at(twice)), "{twice}");
        }
        assert!(!small.hold_at(at("2027-10-31T02:00:00Z")));
        // A night over either change holds all through.
        let night = hours(22, 6, &[]);
        for (begin, end) in [
            ("2027-03-27T21:00:00Z", "2027-03-28T04:00:00Z"),
            ("2027-10-30T20:00:00Z", "2027-10-31T05:00:00Z"),
        ] {
            let (begin, end) = (at(begin).as_unix(), at(end).as_unix());
            for second in (begin..end).step_by(60) {
                assert!(night.hold_at(Timestamp::from_unix(second)), "{second}");
            }
            assert!(!night.hold_at(Timestamp::from_unix(begin - 1)));
            assert!(!night.hold_at(Timestamp::from_unix(end)));
        }
    }

    #[test]
    fn they_are_spelled_as_they_are_written() {
        let hours = hours(18, 8, &[Weekday::Saturday, Weekday::Sunday]);
        let text = "18:00 to 08:00 on sat, sun (Europe/Berlin)";
        assert_eq!(hours.to_string(), text);
    }

    proptest! {
        #![proptest_config(seeded::cases(2000))]

        /// Each instant lies in one of the two halves of a day, whatever the place does to its clocks.
        #[test]
        fn a_day_has_two_halves(second in 0..4_000_000_000_i64, from in 0..24_u16, to in 0..24_u16) {
            prop_assume!(from != to);
            let now = Timestamp::from_unix(second);
            prop_assert_ne!(hours(from, to, &[]).hold_at(now), hours(to, from, &[]).hold_at(now));
        }

        /// What no clock shows needs the approval.
        #[test]
        fn no_instant_is_too_far(second in any::<i64>()) {
            let held = hours(0, 24, &[]).hold_at(Timestamp::from_unix(second));
            prop_assert!(held);
        }
    }
}
