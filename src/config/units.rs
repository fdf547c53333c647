//! Durations (`"15m"`) and sizes (`"64KiB"`): a whole number and one unit.

use std::time::Duration;

/// Ten years: beyond it, sums of times could leave their range.
const LONGEST: u64 = 10 * 365 * DAY;
const DAY: u64 = 24 * 60 * 60;

pub(super) const DURATION_UNITS: &str =
    "a whole number and one of `ms`, `s`, `m`, `h`, `d`, such as \"15m\"";
pub(super) const SIZE_UNITS: &str =
    "a whole number and one of `B`, `KiB`, `MiB`, `GiB`, such as \"64KiB\"";

pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)).filter(|d| d.as_secs() <= LONGEST),
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => DAY,
        _ => return None,
    };
    number
        .checked_mul(seconds)
        .filter(|seconds| *seconds <= LONGEST)
        .map(Duration::from_secs)
}

pub(super) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let bytes = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(bytes)
}

/// As config would spell it: `90s` stays `90s`, `120s` is `2m`.
pub fn spell_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_nanos() != 0 {
        return format!("{}ms", duration.as_millis());
    }
    for (unit, length) in [("d", DAY), ("h", 3600), ("m", 60)] {
        if seconds != 0 && seconds.is_multiple_of(length) {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_a_number_and_a_unit() {
        assert_eq!(duration("15m"), Some(Duration::from_secs(900)));
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("0s"), Some(Duration::ZERO));
        assert_eq!(size("64KiB"), Some(65536));
        for wrong in [
            "",
            "15",
            "m",
            "-1m",
            "1.5h",
            "1 m",
            "1M",
            "99999d",
            "18446744073709551615d",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
        for wrong in ["64K", "64kb", "-1B", "18446744073709551615GiB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_duration_is_spelled_as_it_would_be_written() {
        for text in ["15m", "90s", "12h", "2d", "250ms", "0s"] {
            assert_eq!(spell_duration(duration(text).unwrap()), text);
        }
    }
}
