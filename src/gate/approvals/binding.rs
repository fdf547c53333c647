//! What a yes is bound to: the request as it waits, every part of it that an app may act on.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::config::{ApprovalRule, Grant, Reason, Upstream};
use crate::model::approval::{Action, Digest};
use crate::model::evidence::Identity;
use crate::model::level::Ladder;
use crate::model::parked::ParkedRequest;
use crate::model::requirement::{Network, Requirement};
use crate::model::route::{Pattern, Route};
use crate::model::target::{METHOD_OVERRIDES, Relaxations, Target};
use crate::model::time::Timestamp;
use crate::policy::approval::summary::{Asked, Field, Summary, Unreadable, method};
use crate::policy::approval::when::{self, Spared, When};

/// A field that has to be there once or not at all stands there twice: which of them an app takes is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the field `{0}` stands there more than once")]
pub struct RepeatedField(pub HeaderName);

/// `route`: app and id. `policy`: of all by which it was judged. `also`: fields that the policy names, such as
/// `Idempotency-Key`.
///
/// However the body came, by its length, in chunks or in frames, it is the same bytes.
pub fn action(
    request: &ParkedRequest,
    route: &str,
    policy: Digest,
    also: &[HeaderName],
) -> Result<Action, RepeatedField> {
    let mut names = vec![header::CONTENT_TYPE, header::CONTENT_ENCODING];
    for name in also {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    let headers: Result<Vec<_>, _> = names
        .into_iter()
        .map(|name| {
            let value = only(&request.headers, &name)?;
            Ok((name.as_str().to_owned(), value))
        })
        .collect();
    let mut headers = headers?;
    headers.extend(overrides(&request.headers));
    Ok(Action {
        origin: request.origin.clone(),
        route: route.to_owned(),
        policy,
        method: request.method.as_str().to_owned(),
        target: request.target.clone(),
        headers,
        parameters: Vec::new(),
        body: sha256(&request.body),
    })
}

/// Which requests a grant for a while holds for, by one of them.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'s> {
    pub origin: &'s str,
    /// App and id.
    pub route: &'s str,
    pub policy: Digest,
    /// The route whose approval it is.
    pub asking: &'s Route,
    /// Parameters of its path; all, without.
    pub per: Option<&'s [String]>,
    pub method: &'s Method,
    pub headers: &'s HeaderMap,
}

/// Of all those requests.
pub fn window(scope: &Scope<'_>, asked: &Asked<'_>) -> Result<Action, Unreadable> {
    let names: Vec<&str> = match scope.per {
        Some(per) => per.iter().map(String::as_str).collect(),
        None => scope.asking.pattern.parameters().collect(),
    };
    let parameters: Result<Vec<_>, _> = names
        .into_iter()
        .map(|name| {
            let value = Field::Path(name.to_owned()).value(asked)?;
            Ok((name.to_owned(), value))
        })
        .collect();
    // Those of one request are in the target.
    let in_query = method::in_query(asked).map(|field| (field, None));
    Ok(Action {
        origin: scope.origin.to_owned(),
        route: scope.route.to_owned(),
        policy: scope.policy,
        // One that the route does not list has only come here on its way; it stands for itself.
        method: match scope.asking.has(scope.method) {
            true => ANY.to_owned(),
            false => scope.method.as_str().to_owned(),
        },
        target: scope.asking.pattern.text().to_owned(),
        headers: overrides(scope.headers).chain(in_query).collect(),
        parameters: parameters?,
        body: sha256(b""),
    })
}

/// In place of a method: whichever the route lists.
const ANY: &str = "*";

/// Of everything that a request is judged by: what its route and all floors demand, the approval, and where it would go. A
/// yes of before a change of any of it is none after.
pub fn policy(
    ladder: &Ladder,
    demand: &[&Requirement],
    rule: &ApprovalRule,
    upstream: &Upstream,
) -> Digest {
    let network = |network: &Network| {
        let ranges: Vec<_> = network.ranges.iter().map(ToString::to_string).collect();
        json!({ "name": network.name, "ranges": ranges })
    };
    let mut parts: Vec<Value> = demand
        .iter()
        .map(|part| {
            let conditions = &part.conditions;
            let networks: Vec<_> = conditions.networks_any.iter().map(network).collect();
            json!({
                "level": ladder.name_of(part.rank),
                "max_age": part.max_age.map(|age| age.as_millis().to_string()),
                "groups_any": conditions.groups_any,
                "groups_all": conditions.groups_all,
                "roles_any": conditions.roles_any,
                "roles_all": conditions.roles_all,
                "scopes_any": conditions.scopes_any,
                "scopes_all": conditions.scopes_all,
                "networks_any": networks,
                "claims": conditions.claims,
                "approval": part.approval,
            })
        })
        .collect();
    // They hold together, whichever comes first.
    parts.sort_by_key(Value::to_string);
    let (terms, approvers) = (&rule.terms, &rule.approvers);
    let bind_headers: Vec<_> = rule.bind_headers.iter().map(HeaderName::as_str).collect();
    let urls: Vec<_> = upstream.urls.iter().map(|url| url.as_str()).collect();
    let all = json!({
        "demand": parts,
        "approval": {
            "name": rule.name,
            "summary": rule.summary.to_string(),
            "self": approvers.by_self,
            "groups_any": approvers.groups_any,
            "claim": approvers.claim,
            "people": approvers.people,
            "escalate": approvers.second.as_ref().map(|second| {
                json!([terms.escalate_after.map(|after| after.as_secs()), second.groups_any, second.people])
            }),
            "webhook": approvers.webhook,
            "ciba": approvers.ciba,
            "need": terms.need,
            "deny": terms.deny,
            "mode": terms.mode.name(),
            "digits": rule.digits,
            "window": match &rule.grant {
                Grant::Once => Value::Null,
                Grant::Window { per } => json!([terms.redeem_ttl.as_secs(), per]),
            },
            "reason": rule.reason == Reason::Required,
            "break_glass": rule.break_glass.as_ref().map(ToString::to_string),
            "level": ladder.name_of(rule.level),
            "bind_headers": bind_headers,
            "when": rule.when.as_ref().map(|when| {
                let outside: Vec<_> = when.outside.iter().map(network).collect();
                json!([when.to_string(), outside])
            }),
        },
        "upstream": { "name": upstream.name, "urls": urls },
    });
    // The keys always come in the same order.
    sha256(all.to_string().as_bytes())
}

/// What fields of a request are read from.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'r> {
    pub request: &'r ParkedRequest,
    /// The request's, parsed.
    pub target: &'r Target,
    pub pattern: &'r Pattern,
    pub requester: &'r Identity,
    /// Where it would go.
    pub upstream: Option<&'r Upstream>,
}

impl Reading<'_> {
    /// Nobody sees another method than the request's, so there must be none, but where an upstream's relaxation lets one
    /// through.
    fn is_as_sent(&self) -> Result<(), Unreadable> {
        let accepts = |it: &Upstream| it.accept.contains(Relaxations::METHOD_OVERRIDE);
        match self.upstream.is_some_and(accepts) {
            true => Ok(()),
            false => self.read(method::is_as_sent),
        }
    }

    pub fn read<T>(&self, read: impl FnOnce(&Asked<'_>) -> T) -> T {
        let all = |name: &HeaderName| -> Vec<&[u8]> {
            let values = self.request.headers.get_all(name).iter();
            values.map(HeaderValue::as_bytes).collect()
        };
        read(&Asked {
            pattern: self.pattern,
            target: self.target,
            content_type: &all(&header::CONTENT_TYPE),
            content_encoding: &all(&header::CONTENT_ENCODING),
            body: &self.request.body,
            requester: self.requester,
        })
    }
}

/// What people are asked of it.
pub fn summary(summary: &Summary, reading: &Reading<'_>) -> Result<String, Unreadable> {
    let line = reading.read(|asked| summary.of(asked))?;
    reading.is_as_sent()?;
    Ok(line)
}

/// Whether nobody needs to be asked. `name`: of the approval.
pub fn spared(
    name: &str,
    when: &When,
    client: IpAddr,
    reading: &Reading<'_>,
    now: Timestamp,
) -> Result<Option<Spared>, Unreadable> {
    let method = &reading.request.method;
    let spared = reading.read(|asked| when::spared(name, when, method, client, asked, now))?;
    reading.is_as_sent()?;
    Ok(spared)
}

/// Where an upstream's relaxation lets one through, it makes another action of the same method.
fn overrides(headers: &HeaderMap) -> impl Iterator<Item = (String, Option<String>)> + '_ {
    METHOD_OVERRIDES.iter().flat_map(|name| {
        let values = headers.get_all(*name).iter();
        values.map(|value| ((*name).to_owned(), Some(text(value))))
    })
}

/// Its bytes are characters up to U+00FF, for not all of them are UTF-8.
fn text(value: &HeaderValue) -> String {
    value
        .as_bytes()
        .iter()
        .map(|byte| char::from(*byte))
        .collect()
}

fn only(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, RepeatedField> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Ok(Some(text(value))),
        (Some(_), Some(_)) => Err(RepeatedField(name.clone())),
    }
}

fn sha256(bytes: &[u8]) -> Digest {
    let mut sum = [0; 32];
    for (to, from) in sum.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    sum
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use std::path::Path;

    use bytes::Bytes;
    use http::{HeaderValue, Method};

    use super::*;
    use crate::config::{Config, Input, Options, parse};
    use crate::model::parked::ParkedBy;
    use crate::model::target::Relaxations;
    use crate::model::time::Timestamp;
    use crate::policy::approval::summary::Why;

    const POLICY: Digest = [1; 32];

    fn request() -> ParkedRequest {
        let mut headers = HeaderMap::new();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form);
        ParkedRequest {
            method: Method::POST,
            target: "/payments/7/release?a=1&b=2".to_owned(),
            headers,
            body: Bytes::from_static(b"amount=1&to=bob"),
            origin: "https://erp.example.com".to_owned(),
            owner: ParkedBy {
                iss: "https://sso.example.com".to_owned(),
                client: "stepgate".to_owned(),
                sub: "alice".to_owned(),
                sid: None,
                lineage: None,
                browser: "B".to_owned(),
            },
            at: Timestamp::from_unix(1_800_000_000),
            expires: Timestamp::from_unix(1_800_000_600),
        }
    }

    fn key() -> HeaderName {
        HeaderName::from_static("idempotency-key")
    }

    fn of(request: &ParkedRequest) -> Action {
        action(request, "erp/release", POLICY, &[key()]).unwrap()
    }

    type Edit = fn(&mut ParkedRequest);

    #[test]
    fn whatever_an_app_may_act_on_makes_another_action() {
        let edits: [(&str, Edit); 12] = [
            ("one byte of the body", |it| {
                it.body = Bytes::from_static(b"amount=2&to=bob");
            }),
            ("the order in the body", |it| {
                it.body = Bytes::from_static(b"to=bob&amount=1");
            }),
            ("no body", |it| it.body = Bytes::new()),
            ("the order in the query", |it| {
                it.target = "/payments/7/release?b=2&a=1".to_owned();
            }),
            ("no query", |it| {
                it.target = "/payments/7/release".to_owned()
            }),
            ("the path", |it| it.target = it.target.replace('7', "8")),
            ("the method", |it| it.method = Method::PUT),
            ("another method in a header", |it| {
                let name = HeaderName::from_static("x-http-method-override");
                it.headers.insert(name, HeaderValue::from_static("DELETE"));
            }),
            ("the host", |it| {
                it.origin = "https://hr.example.com".to_owned()
            }),
            ("the type", |it| {
                let text = HeaderValue::from_static("text/plain");
                it.headers.insert(header::CONTENT_TYPE, text);
            }),
            ("the encoding", |it| {
                let gzip = HeaderValue::from_static("gzip");
                it.headers.insert(header::CONTENT_ENCODING, gzip);
            }),
            ("a field that the policy names", |it| {
                it.headers.insert(key(), HeaderValue::from_static("k"));
            }),
        ];
        let action = of(&request());
        assert_eq!(of(&request()), action);
        for (what, edit) in edits {
            let mut other = request();
            edit(&mut other);
            assert_ne!(of(&other), action, "{what}");
        }
        let route = super::action(&request(), "erp/other", POLICY, &[key()]).unwrap();
        let policy = super::action(&request(), "erp/release", [2; 32], &[key()]).unwrap();
        assert!(route != action && policy != action);
        // An empty value is not an absent one.
        let mut empty = request();
        empty.headers.insert(key(), HeaderValue::from_static(""));
        assert_ne!(of(&empty), action);
        // What no app acts on by itself is not bound.
        let mut agent = request();
        let value = HeaderValue::from_static("x");
        agent.headers.insert(header::USER_AGENT, value);
        assert_eq!(of(&agent), action);
    }

    #[test]
    fn a_bound_field_stands_there_once() {
        for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING, key()] {
            let mut twice = request();
            for value in ["a", "a"] {
                twice.headers.append(&name, HeaderValue::from_static(value));
            }
            let refused = action(&twice, "erp/release", POLICY, &[key()]);
            assert_eq!(refused, Err(RepeatedField(name)));
        }
    }

    #[test]
    fn people_are_asked_of_what_waits() {
        let line = |text: &str, request: &ParkedRequest| {
            let target = Target::parse(request.target.as_bytes(), Relaxations::NONE).unwrap();
            let pattern = Pattern::parse("/payments/{id}/release").unwrap();
            let summary = Summary::parse(text).unwrap();
            let reading = Reading {
                request,
                target: &target,
                pattern: &pattern,
                requester: &Identity::default(),
                upstream: None,
            };
            super::summary(&summary, &reading)
        };
        let text = "Release {path.id}: {form.amount} to {form.to}";
        assert_eq!(line(text, &request()).unwrap(), "Release 7: 1 to bob");
        let mut encoded = request();
        let gzip = HeaderValue::from_static("gzip");
        encoded.headers.insert(header::CONTENT_ENCODING, gzip);
        assert_eq!(line(text, &encoded).unwrap_err().why, Why::Encoded);
        let mut bare = request();
        bare.headers.clear();
        assert_eq!(line(text, &bare).unwrap_err().why, Why::ContentType);
    }

    /// Whatever the summary says, which is not of a method.
    #[test]
    fn another_method_is_refused_unless_the_upstream_takes_it() {
        let pattern = Pattern::parse("/payments/{id}/release").unwrap();
        let of = |query: &str, body: &'static str, accept: &str| {
            let mut request = request();
            request.target = format!("/payments/7/release{query}");
            request.body = Bytes::from_static(body.as_bytes());
            let url = "[upstreams.erp]\n";
            let installation = INSTALLATION.replace(url, &format!("{url}{accept}"));
            let config = config_of(&installation, APP);
            let upstream = config.upstreams.iter().find(|one| one.name == "erp");
            let reading = Reading {
                request: &request,
                target: &Target::parse(request.target.as_bytes(), Relaxations::NONE).unwrap(),
                pattern: &pattern,
                requester: &Identity::default(),
                upstream: Some(upstream.unwrap()),
            };
            let summary = Summary::parse("Release {path.id}").unwrap();
            let asked = super::summary(&summary, &reading).map_err(|it| it.why);
            let client = "192.0.2.1".parse().unwrap();
            let now = Timestamp::from_unix(1_800_000_000);
            let spared = spared("a", &When::default(), client, &reading, now);
            let spared = spared.map(|spared| spared.is_some()).map_err(|it| it.why);
            assert_eq!(spared.err(), asked.clone().err(), "{query} {body}");
            asked
        };
        let accept = "accept = [\"method-override\"]\n";
        let shown = Ok("Release 7".to_owned());
        assert_eq!(of("?a=1", "amount=1", ""), shown);
        for (query, body) in [
            ("?_method=DELETE", ""),
            ("?_method=DELETE", "amount=1"),
            ("", "amount=1&_method=DELETE"),
        ] {
            assert_eq!(of(query, body, ""), Err(Why::Method), "{query} {body}");
            assert_eq!(of(query, body, accept), shown, "{query} {body}");
        }
    }

    const INSTALLATION: &str = r#"
version = 1
[keycloak]
issuer        = "https://sso.example.com/realms/corp"
client_id     = "stepgate"
client_secret = { file = "secret" }
[[levels]]
name  = "password"
base  = true
proof = { acr = "1" }
ask   = { acr_values = "1" }
[[levels]]
name  = "mfa"
proof = { acr = "2" }
ask   = { acr_values = "2" }
[[floors]]
id      = "posts"
methods = ["POST"]
require = { groups_any = ["staff"] }
[networks]
office = ["192.0.2.0/24"]
[upstreams.erp]
url = "http://10.0.0.1"
[upstreams.other]
url = "http://10.0.0.1"
[approver_app]
url = "https://approve.example.com"
"#;

    const APP: &str = r#"
url      = "https://erp.example.com"
upstream = "erp"
require  = { level = "password", max_age = "8h", networks_any = ["office"] }
[[routes]]
id       = "pay"
path     = "/pay/{id}"
methods  = ["POST"]
approval = "four-eyes"
[approvals.four-eyes]
summary      = "Pay {path.id}"
approvers    = { groups_any = ["leads"], claim = "manager", people = ["bob"] }
need         = 2
deny         = 2
mode         = "number-challenge"
digits       = 7
reason       = "optional"
level        = "password"
bind_headers = ["Idempotency-Key"]
when         = { outside = ["office"], above = { "path.id" = 10 } }
request_ttl  = "10m"
"#;

    fn config_of(installation: &str, app: &str) -> Config {
        let read = |_: &Path| Ok("only-for-tests".to_owned());
        let input = Input {
            sources: &[("stepgate.toml", installation), ("erp.toml", app)],
            read: &read,
        };
        let options = Options::default();
        parse(&input, &options).unwrap().config
    }

    fn policy_of(installation: &str, app: &str) -> Digest {
        let config = config_of(installation, app);
        let target = Target::parse(b"/pay/7", Relaxations::NONE).unwrap();
        let found = config.apps[0].table.find(&Method::POST, &target);
        let rule = config.approval("erp/four-eyes").unwrap();
        let upstream = &config.upstreams[found.route.upstream];
        policy(&config.ladder, &found.demand, rule, upstream)
    }

    /// Whatever else a request is, a yes that holds for a while covers it; of other parameters it does not.
    #[test]
    fn a_while_holds_for_requests_of_one_kind() {
        let app = APP.replacen("/pay/{id}", "/pay/{id}/{line}", 1);
        let app = app.replacen("[\"POST\"]", "[\"POST\", \"GET\"]", 1);
        let config = config_of(INSTALLATION, &app);
        let with = |method: Method, path: &str, per: Option<&[String]>, headers: &HeaderMap| {
            let target = Target::parse(path.as_bytes(), Relaxations::NONE).unwrap();
            let found = config.apps[0].table.find(&Method::POST, &target);
            let scope = Scope {
                origin: "https://erp.example.com",
                route: "erp/pay",
                policy: POLICY,
                asking: found.route,
                per,
                method: &method,
                headers,
            };
            let requester = Identity::default();
            let asked = Asked {
                pattern: &found.route.pattern,
                target: &target,
                content_type: &[],
                content_encoding: &[],
                body: &[],
                requester: &requester,
            };
            window(&scope, &asked)
        };
        let of = |method, path: &str, per: Option<&[String]>| {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("*/*"))]);
            with(method, path, per, &headers)
        };
        let (post, get) = (Method::POST, Method::GET);
        let base = of(post.clone(), "/pay/7/1", None).unwrap();
        assert_eq!(of(get.clone(), "/pay/7/1?x=1", None).unwrap(), base);
        assert_eq!(of(Method::HEAD, "/pay/%37/1/", None).unwrap(), base);
        let name = HeaderName::from_static("x-http-method-override");
        let delete = HeaderMap::from_iter([(name, HeaderValue::from_static("DELETE"))]);
        let other = with(post.clone(), "/pay/7/1", None, &delete);
        assert_ne!(other.unwrap(), base, "another method in a header");
        let delete = of(post.clone(), "/pay/7/1?x=1&_method=DELETE", None);
        let put = of(post.clone(), "/pay/7/1?_method=PUT", None);
        assert!(delete != put && ![delete, put].contains(&Ok(base.clone())));
        for path in ["/pay/8/1", "/pay/7/2", "/pay/1/7"] {
            assert_ne!(of(post.clone(), path, None).unwrap(), base, "{path}");
        }
        // One that the route does not list is no other one that it does not list.
        let put = of(Method::PUT, "/pay/7/1", None).unwrap();
        assert!(put != base && put != of(Method::PATCH, "/pay/7/1", None).unwrap());
        let id = [String::from("id")];
        let by_id = |path: &str| of(get.clone(), path, Some(&id)).unwrap();
        assert_eq!(by_id("/pay/7/1"), by_id("/pay/7/2"));
        assert_ne!(by_id("/pay/7/1"), by_id("/pay/8/1"));
        let by_none = |path: &str| of(get.clone(), path, Some(&[])).unwrap();
        assert_eq!(by_none("/pay/7/1"), by_none("/pay/8/2"));
    }

    /// What a request is judged by, who may say yes, what they are asked, and where it goes.
    #[test]
    fn whatever_is_said_of_a_request_makes_another_policy() {
        let before = policy_of(INSTALLATION, APP);
        assert_eq!(policy_of(INSTALLATION, APP), before);
        let of_installation = [
            ("groups_any = [\"staff\"]", "groups_any = [\"clerks\"]"),
            ("192.0.2.0/24", "192.0.0.0/16"),
            (
                "[upstreams.erp]\nurl = \"http://10.0.0.1\"",
                "[upstreams.erp]\nurl = \"http://10.0.0.2\"",
            ),
        ];
        for (from, to) in of_installation {
            assert!(INSTALLATION.contains(from), "{from}");
            let other = INSTALLATION.replacen(from, to, 1);
            assert_ne!(policy_of(&other, APP), before, "{to}");
        }
        let of_app = [
            ("upstream = \"erp\"", "upstream = \"other\""),
            (
                "bind_headers = [\"Idempotency-Key\"]",
                "grant = { window = \"15m\" }",
            ),
            ("level = \"password\", max_age", "level = \"mfa\", max_age"),
            ("max_age = \"8h\"", "max_age = \"7h\""),
            ("Pay {path.id}", "Refund {path.id}"),
            ("[\"leads\"]", "[\"leads\", \"clerks\"]"),
            ("\"manager\"", "\"boss\""),
            ("[\"bob\"]", "[\"carol\"]"),
            ("need         = 2", "need         = 1"),
            ("deny         = 2", "deny         = 1"),
            ("digits       = 7", "digits       = 6"),
            ("\"optional\"", "\"required\""),
            ("level        = \"password\"", "level        = \"mfa\""),
            ("[\"Idempotency-Key\"]", "[\"X-Key\"]"),
            ("\"path.id\" = 10", "\"path.id\" = 11"),
            ("outside = [\"office\"], ", ""),
        ];
        for (from, to) in of_app {
            assert!(APP.contains(from), "{from}");
            let other = APP.replacen(from, to, 1);
            assert_ne!(policy_of(INSTALLATION, &other), before, "{to}");
        }
        // For how long it can be decided on is frozen when it is asked for.
        let later = APP.replacen("\"10m\"", "\"20m\"", 1);
        assert_eq!(policy_of(INSTALLATION, &later), before);
    }
}
