//! Which of a route's requests need its approval at all: `when`. A request that is not told to be of the other half needs
//! it, and what could be read in two ways is refused as for a summary.

use std::fmt;
use std::net::IpAddr;

use http::Method;

use super::hours::Hours;
use super::summary::{Asked, Field, Unreadable, method};
use crate::model::requirement::{Conditions, Network};
use crate::model::time::Timestamp;
use crate::policy::conditions;

/// All of it has to hold for the approval to be needed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct When {
    /// One of them; any, where none is named.
    pub methods: Vec<Method>,
    /// The client is in none of them.
    pub outside: Vec<Network>,
    /// It is within one of them; at any time, where there are none.
    pub hours: Vec<Hours>,
    /// Each field says more than so much.
    pub above: Vec<(Field, u64)>,
}

impl When {
    /// Whether it is told from the body, or needs it to be sure.
    pub fn reads_body(&self) -> bool {
        // A field of the query must not stand in a form as well.
        let mut fields = self.above.iter().map(|(field, _)| field);
        fields.any(|field| field.is_of_body() || matches!(field, Field::Query(_)))
    }
}

/// That a request needs no approval of that name. Only [`spared`] makes one.
#[derive(Debug)]
pub struct Spared {
    name: String,
}

impl Spared {
    /// Whether it is that approval which is not needed.
    pub(in crate::policy) fn is_of(&self, name: &str) -> bool {
        self.name == name
    }
}

/// `name`: of the approval whose `when` it is.
pub fn spared(
    name: &str,
    when: &When,
    method: &Method,
    client: IpAddr,
    asked: &Asked<'_>,
    now: Timestamp,
) -> Result<Option<Spared>, Unreadable> {
    // To some apps it is of the method that its query says.
    let other_method = !when.methods.is_empty()
        && !lists(&when.methods, method)
        && method::in_query(asked).next().is_none();
    let is_inside = !when.outside.is_empty() && is_within(&when.outside, client);
    let is_other_time =
        !when.hours.is_empty() && !when.hours.iter().any(|hours| hours.hold_at(now));
    let mut needs_none = other_method || is_inside || is_other_time;
    for (field, limit) in &when.above {
        let text = field.value(asked)?;
        needs_none |= !exceeds(&text, *limit);
    }
    Ok(needs_none.then(|| Spared {
        name: name.to_owned(),
    }))
}

/// HEAD is answered as GET is.
fn lists(methods: &[Method], method: &Method) -> bool {
    methods.contains(method) || (*method == Method::HEAD && methods.contains(&Method::GET))
}

fn is_within(networks: &[Network], client: IpAddr) -> bool {
    let within = Conditions {
        networks_any: networks.to_vec(),
        ..Conditions::NONE
    };
    conditions::networks(&within, client).is_ok()
}

/// Whether it is more, or is no plain number: an amount that an app may read as another one, with signs, exponents, or
/// marks between thousands, is never a small one. Two digits may stand behind a point; three would be thousands in half
/// of the world.
fn exceeds(text: &str, limit: u64) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) || fraction.len() > 2 {
        return true;
    }
    match whole.parse::<u64>() {
        Ok(whole) => whole > limit || (whole == limit && fraction.bytes().any(|byte| byte != b'0')),
        Err(_) => true,
    }
}

/// As config spells it, more or less.
impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods: Vec<_> = self.methods.iter().map(Method::as_str).collect();
        let methods = (!methods.is_empty()).then(|| format!("methods {}", methods.join(", ")));
        let outside: Vec<_> = self.outside.iter().map(|one| one.name.as_str()).collect();
        let outside = (!outside.is_empty()).then(|| format!("outside {}", outside.join(", ")));
        let hours: Vec<_> = self.hours.iter().map(Hours::to_string).collect();
        let hours = (!hours.is_empty()).then(|| format!("hours {}", hours.join(" or ")));
        let above = self.above.iter();
        let above = above.map(|(field, limit)| format!("{field} above {limit}"));
        let all = methods.into_iter().chain(outside).chain(hours);
        let all: Vec<_> = all.chain(above).collect();
        f.write_str(&all.join(" and "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::evidence::Identity;
    use crate::model::route::Pattern;
    use crate::model::target::{Relaxations, Target};
    use crate::policy::approval::summary::Why;

    /// 2027-01-15T08:00:00Z, a Friday.
    const NOW: i64 = 1_800_000_000;

    const FORM: &[u8] = b"application/x-www-form-urlencoded";

    fn of(when: &When, method: &Method, client: &str, body: &str) -> Result<bool, Why> {
        let pattern = Pattern::parse("/pay/{id}").unwrap();
        let target = Target::parse(b"/pay/7", Relaxations::NONE).unwrap();
        let requester = Identity::default();
        let asked = Asked {
            pattern: &pattern,
            target: &target,
            content_type: &[FORM],
            content_encoding: &[],
            body: body.as_bytes(),
            requester: &requester,
        };
        let now = Timestamp::from_unix(NOW);
        let spared = spared("a/b", when, method, client.parse().unwrap(), &asked, now);
        spared
            .map(|spared| spared.is_some())
            .map_err(|unreadable| unreadable.why)
    }

    /// In the digits in which it stands there, whichever number of 64 bits is the nearest one.
    #[test]
    fn a_number_of_json_is_compared_as_it_was_written() {
        let pattern = Pattern::parse("/pay/{id}").unwrap();
        let when = When {
            above: vec![(Field::Json(vec!["amount".to_owned()]), 1000)],
            ..When::default()
        };
        let requester = Identity::default();
        let of = |target: &str, amount: &str| {
            let target = Target::parse(target.as_bytes(), Relaxations::NONE).unwrap();
            let body = format!("{{\"amount\":{amount}}}");
            let asked = Asked {
                pattern: &pattern,
                target: &target,
                content_type: &[b"application/json"],
                content_encoding: &[],
                body: body.as_bytes(),
                requester: &requester,
            };
            let client = "192.0.2.1".parse().unwrap();
            let now = Timestamp::from_unix(NOW);
            let spared = spared("a/b", &when, &Method::POST, client, &asked, now);
            spared
                .map(|spared| spared.is_some())
                .map_err(|unreadable| unreadable.why)
        };
        for small in ["0", "1000", "1000.0", "999.99", "\"1000\""] {
            assert_eq!(of("/pay/7", small), Ok(true), "{small}");
        }
        for large in [
            "1001",
            "1000.01",
            "1000.0000000000000000001",
            "999.99999999999999999999",
            "0.000",
            "1e3",
            "1e2",
            "1E-3",
            "-5",
            "\"1e3\"",
        ] {
            assert_eq!(of("/pay/7", large), Ok(false), "{large}");
        }
        let twice = of("/pay/7?amount=5000", "1");
        assert_eq!(twice, Err(Why::Repeated));
    }

    fn above(limit: u64) -> When {
        When {
            above: vec![(Field::Form("amount".to_owned()), limit)],
            ..When::default()
        }
    }

    #[test]
    fn only_what_is_surely_no_more_is_spared() {
        for small in ["0", "7", "1000", "1000.0", "1000.00", "0001000", "999.99"] {
            let body = format!("amount={small}");
            let spared = of(&above(1000), &Method::POST, "192.0.2.1", &body);
            assert_eq!(spared, Ok(true), "{small}");
        }
        for large in [
            "1001",
            "1000.01",
            "1000.1",
            "1.000",
            "1,000",
            "1e9",
            "-5",
            "%2B5",
            "0x10",
            "5%20",
            "%20",
            "1.2.3",
            ".5",
            "5.",
            "99999999999999999999",
            "%D9%A1",
            "five",
            "NaN",
        ] {
            let body = format!("amount={large}");
            let spared = of(&above(1000), &Method::POST, "192.0.2.1", &body);
            assert_eq!(spared, Ok(false), "{large}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_spares_nobody() {
        let rows = [
            ("", Why::Absent),
            ("amount=1&amount=5000", Why::Repeated),
            ("amount=%ff", Why::NotUtf8),
        ];
        for (body, why) in rows {
            let spared = of(&above(1000), &Method::POST, "192.0.2.1", body);
            assert_eq!(spared, Err(why), "{body}");
            // Whatever else would spare it.
            let other = When {
                methods: vec![Method::PUT],
                ..above(1000)
            };
            assert_eq!(of(&other, &Method::POST, "192.0.2.1", body), Err(why));
        }
    }

    /// A framework may take it for a DELETE.
    #[test]
    fn another_method_in_the_query_spares_nobody() {
        let pattern = Pattern::parse("/pay/{id}").unwrap();
        let requester = Identity::default();
        let when = When {
            methods: vec![Method::DELETE],
            ..When::default()
        };
        let rows = [
            ("/pay/7", true),
            ("/pay/7?method=DELETE", true),
            ("/pay/7?_method=DELETE", false),
            ("/pay/7?x=1;_METHOD", false),
            ("/pay/7?%5Fmethod=GET", false),
        ];
        for (target, expected) in rows {
            let target = Target::parse(target.as_bytes(), Relaxations::NONE).unwrap();
            let asked = Asked {
                pattern: &pattern,
                target: &target,
                content_type: &[],
                content_encoding: &[],
                body: b"",
                requester: &requester,
            };
            let client = "192.0.2.1".parse().unwrap();
            let now = Timestamp::from_unix(NOW);
            let spared = spared("a/b", &when, &Method::POST, client, &asked, now);
            assert_eq!(spared.unwrap().is_some(), expected, "{target:?}");
        }
    }

    #[test]
    fn all_of_it_has_to_hold() {
        let office = Network {
            name: "office".to_owned(),
            ranges: vec!["192.0.2.0/24".parse().unwrap()],
        };
        let when = When {
            methods: vec![Method::POST, Method::GET],
            outside: vec![office],
            ..above(10)
        };
        let rows = [
            (Method::POST, "198.51.100.1", "amount=11", false),
            (Method::HEAD, "198.51.100.1", "amount=11", false),
            (Method::PUT, "198.51.100.1", "amount=11", true),
            (Method::POST, "192.0.2.1", "amount=11", true),
            (Method::POST, "::ffff:192.0.2.1", "amount=11", true),
            (Method::POST, "198.51.100.1", "amount=10", true),
        ];
        for (method, client, body, expected) in rows {
            let spared = of(&when, &method, client, body);
            assert_eq!(spared, Ok(expected), "{method} {client} {body}");
        }
        let at = |from: u16, to: u16| When {
            hours: vec![Hours {
                from,
                to,
                days: Vec::new(),
                zone: jiff::tz::TimeZone::UTC,
            }],
            ..when.clone()
        };
        let rows = [(480, 481, false), (481, 480, true)];
        for (from, to, expected) in rows {
            let when = at(from, to);
            let spared = of(&when, &Method::POST, "198.51.100.1", "amount=11");
            assert_eq!(spared, Ok(expected), "{when}");
        }
        assert!(when.reads_body());
        let always = When::default();
        assert!(!always.reads_body());
        assert_eq!(of(&always, &Method::POST, "192.0.2.1", ""), Ok(false));
        assert_eq!(
            when.to_string(),
            "methods POST, GET and outside office and form.amount above 10"
        );
    }
}
