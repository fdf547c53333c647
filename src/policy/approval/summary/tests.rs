#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::seeded;
use crate::model::target::Relaxations;
use crate::policy::example::alice;

const FORM: &[&[u8]] = &[b"application/x-www-form-urlencoded"];
const JSON: &[&[u8]] = &[b"application/json"];

/// Of `POST target` to `/payments/{id}/release`.
fn line(
    summary: &str,
    target: &str,
    content_type: &[&[u8]],
    body: &[u8],
) -> Result<String, &'static str> {
    let accept = Relaxations::from_name("encoded-slash").unwrap();
    let asked = Asked {
        pattern: &Pattern::parse("/payments/{id}/release").unwrap(),
        target: &Target::parse(target.as_bytes(), accept).unwrap(),
        content_type,
        content_encoding: &[],
        body,
        requester: &alice(),
    };
    let summary = Summary::parse(summary).unwrap();
    summary.of(&asked).map_err(|error| error.why.code())
}

fn path(target: &str) -> Result<String, &'static str> {
    line("{path.id}", target, &[], b"")
}

fn query(query: &str) -> Result<String, &'static str> {
    let target = format!("/payments/7/release?{query}");
    line("{query.amount}", &target, &[], b"")
}

fn form(body: &[u8]) -> Result<String, &'static str> {
    line("{form.amount}", "/payments/7/release", FORM, body)
}

fn json_of(body: &[u8]) -> Result<String, &'static str> {
    line("{json.payment.amount}", "/payments/7/release", JSON, body)
}

fn ok(text: &str) -> Result<String, &'static str> {
    Ok(text.to_owned())
}

#[test]
fn a_summary_is_text_and_fields() {
    let summary = Summary::parse("Release {{{path.id}}}: {form.amount} {json.a.b}").unwrap();
    let fields: Vec<_> = summary.fields().map(ToString::to_string).collect();
    assert_eq!(fields, ["path.id", "form.amount", "json.a.b"]);
    let of_body: Vec<_> = summary.fields().map(Field::is_of_body).collect();
    assert_eq!(of_body, [false, true, true]);
    for (wrong, why) in [
        ("", BadSummary::Empty),
        (" ", BadSummary::Empty),
        ("a\nb", BadSummary::Control),
        ("{", BadSummary::Brace(braces::Unmatched)),
        ("}", BadSummary::Brace(braces::Unmatched)),
        ("{path.id", BadSummary::Brace(braces::Unmatched)),
        ("{id}", BadSummary::Field("id".to_owned())),
        ("{path.}", BadSummary::Field("path.".to_owned())),
        ("{json.a..b}", BadSummary::Field("json.a..b".to_owned())),
        ("{header.x}", BadSummary::Field("header.x".to_owned())),
    ] {
        assert_eq!(Summary::parse(wrong), Err(why), "{wrong}");
    }
}

#[test]
fn a_line_of_every_kind_of_field() {
    let target = "/payments/7%20a/release?draft=no";
    let text =
        "Pay {{{path.id}}}, {form.amount} {form.currency}, draft {query.draft}, {claim.country}";
    let body = b"amount=12%2C50&currency=%e2%82%ac&note=+";
    let shown = line(text, target, FORM, body);
    assert_eq!(shown, ok("Pay {7 a}, 12,50 €, draft no, de"));
    let body = br#"{"payment": {"amount": 12.5, "to": "Bob", "urgent": true}}"#;
    let text = "{json.payment.amount} to {json.payment.to}, {json.payment.urgent}";
    let shown = line(text, "/payments/7/release", JSON, body);
    assert_eq!(shown, ok("12.5 to Bob, true"));
}

#[test]
fn a_parameter_of_the_path_is_one_thing() {
    assert_eq!(path("/payments/7/release"), ok("7"));
    assert_eq!(path("/payments/7/release/"), ok("7"));
    assert_eq!(path("/payments/%C3%A4/release"), ok("ä"));
    // The relaxation lets it in; who decides would see one of two paths.
    assert_eq!(path("/payments/7%2F8/release"), Err("ambiguous"));
    // Found by its lower-case reading.
    assert_eq!(path("/PAYMENTS/7/release"), Err("ambiguous"));
    let absent = line("{path.other}", "/payments/7/release", &[], b"");
    assert_eq!(absent, Err("absent"));
}

#[test]
fn a_field_of_the_query_stands_there_once() {
    assert_eq!(query("amount=1"), ok("1"));
    assert_eq!(query("x=2&amount=1&&y"), ok("1"));
    assert_eq!(query("%61mount=1+1%2B1"), ok("1 1+1"));
    assert_eq!(query("amount="), ok(""));
    let rows = [
        ("", "absent"),
        ("x=1", "absent"),
        ("amount", "absent"),
        ("amount=1&amount=1", "repeated"),
        ("amount=1&%61mount=2", "repeated"),
        ("amount=1&Amount=2", "repeated"),
        ("amount=1&amount[]=2", "repeated"),
        ("amount[0]=2", "repeated"),
        ("amount=1&%20amount=2", "repeated"),
        ("amount=1&amount%00=2", "repeated"),
        ("amount=1&amount%00[x=2", "repeated"),
        ("amount=1&amount[=2", "repeated"),
        ("amount=1&amount[x=2", "repeated"),
        ("amount=1&amount[a][b=2", "repeated"),
        ("amount=1&[amount]=2", "repeated"),
        ("amount=1&amount]=2", "repeated"),
        ("amount=1&amount+=2", "repeated"),
        ("amount=1&amount.=2", "repeated"),
        ("amount=1;x=2", "malformed"),
        ("amount=%", "malformed"),
        ("amount=%1", "malformed"),
        ("amount=%zz", "malformed"),
        ("amount=%ff", "not-utf-8"),
        ("%ff=1&amount=1", "not-utf-8"),
    ];
    for (text, why) in rows {
        assert_eq!(query(text), Err(why), "{text}");
    }
}

/// As PHP names its variables (`php_register_variable_ex`), and older versions of Rack theirs.
#[test]
fn names_that_an_app_takes_for_one_are_one() {
    let rows = [
        // Leading blanks go.
        "%20pay_to",
        "++pay_to",
        // A blank and a point become `_`,
        "pay+to",
        "pay.to",
        // and so does a bracket that nothing closes, with what follows it, up to the name's end.
        "pay[to",
        "pay%5Bto",
        "%20pay%5Bto",
        "pay[to%00]",
        "pay[to%00x",
        // What follows a closed one is not read.
        "pay_to[]",
        "pay_to[a]b",
        "pay.to[a.b",
        // What is left of a name behind its brackets, and before others.
        "[pay_to]",
        "[[pay_to",
        "pay_to]",
        "]pay_to",
        "PAY[to",
    ];
    for name in rows {
        let body = format!("pay_to=Ada&{name}=Mallory");
        let of = line(
            "{form.pay_to}",
            "/payments/7/release",
            FORM,
            body.as_bytes(),
        );
        assert_eq!(of, Err("repeated"), "{name}");
    }
    for (field, name) in [
        ("pay_to_", "pay_to+"),
        ("pay_to_x", "pay[to.x"),
        ("pay_to_x", "pay[to[x"),
        ("pay_to_x", "pay[to+x"),
        ("pay_to__", "pay_to[+"),
    ] {
        let (summary, body) = (format!("{{form.{field}}}"), format!("{field}=Ada&{name}=M"));
        let of = line(&summary, "/payments/7/release", FORM, body.as_bytes());
        assert_eq!(of, Err("repeated"), "{field} {name}");
    }
    for other in [
        "pay",
        "to",
        "payto",
        "pay[to]",
        "x[pay_to]",
        "pay_to_2",
        "_",
    ] {
        let body = format!("pay_to=Ada&{other}=Bob");
        let of = line(
            "{form.pay_to}",
            "/payments/7/release",
            FORM,
            body.as_bytes(),
        );
        assert_eq!(of, ok("Ada"), "{other}");
    }
}

/// Rails and Laravel have one name space for all of them.
#[test]
fn query_and_json_are_one_name_space() {
    let body = br#"{"payment":{"amount":1}}"#;
    let of = |query: &str| {
        let target = format!("/payments/7/release?{query}");
        line("{json.payment.amount}", &target, JSON, body)
    };
    for query in [
        "payment=2",
        "Payment=2",
        "payment",
        "%70ayment=2",
        "payment[amount]=2",
        "payment%5Bamount%5D=2",
        "[payment]=2",
        "x=1;payment=2",
        "payment.amount=2",
        "payment_amount=2",
        "%ff=1",
        "%zz",
    ] {
        assert_eq!(of(query), Err("repeated"), "{query}");
    }
    for query in ["", "amount=2", "x=payment", "payments=2"] {
        assert_eq!(of(query), ok("1"), "{query}");
    }

    let target = "/payments/7/release?amount=1";
    let rows: [(&[u8], Result<String, &str>); 14] = [
        (b"{}", ok("1")),
        (br#"{"x":{"amount":2}}"#, ok("1")),
        (br#"{"amount":2}"#, Err("repeated")),
        (br#"{"Amount":2}"#, Err("repeated")),
        (br#"{"\u0061mount":2}"#, Err("repeated")),
        (br#"{"x":1,"amount":null}"#, Err("repeated")),
        (br#"{"x":1,"amount[]":[2]}"#, Err("repeated")),
        (br#"{"x":1,"x":2}"#, Err("duplicate-key")),
        (br#"[{"amount":2}]"#, Err("content-type")),
        (b"2", Err("content-type")),
        (b"amount=2", Err("malformed")),
        (b"{} {\"amount\":2}", Err("malformed")),
        (b"\xef\xbb\xbf{\"amount\":2}", Err("malformed")),
        (b"\xff", Err("not-utf-8")),
    ];
    for (body, expected) in rows {
        let of = line("{query.amount}", target, JSON, body);
        assert_eq!(of, expected, "{}", String::from_utf8_lossy(body));
    }
}

/// Whatever an app that reads decimals would read.
#[test]
fn a_number_of_json_is_shown_in_its_own_digits() {
    for number in [
        "1.10",
        "0.1000000000000000000001",
        "1234567.123456789123456789",
        "1000.0000000000000000001",
        "1e3",
        "1E+3",
        "-0",
        "1.0",
        "0.00000000001",
    ] {
        let body = format!(
            " {{\"x\": [{{\"payment\": 7}}], \"payment\" : {{\"\\u0061mount\" :\t{number} }} }}"
        );
        assert_eq!(json_of(body.as_bytes()), ok(number), "{body}");
    }
    let whole = line("{json.n}", "/payments/7/release", JSON, b"{\"n\":1.50}");
    assert_eq!(whole, ok("1.50"));
}

/// Java's `getParameter` gives the query's before the body's, others the body's.
#[test]
fn query_and_form_are_one_name_space() {
    let at = |target: &str, body: &[u8]| line("{form.amount}", target, FORM, body);
    let plain = "/payments/7/release";
    assert_eq!(at(plain, b"amount=1000"), ok("1000"));
    for query in ["amount=1", "AMOUNT=1", "x=1;amount=1", "amount", "%ff=1"] {
        let target = format!("{plain}?{query}");
        assert_eq!(at(&target, b"amount=1000"), Err("repeated"), "{query}");
    }
    let target = "/payments/7/release?amount=1";
    let in_query = |body: &[u8]| line("{query.amount}", target, FORM, body);
    assert_eq!(in_query(b"x=1"), ok("1"));
    assert_eq!(in_query(b"amount=1"), Err("repeated"));
    // Where it cannot be told what an app would find in the body, whatever stands there.
    let odd: [&[&[u8]]; 11] = [
        // Rack reads a form that has no type.
        &[],
        &[b""],
        &[b"text/plain"],
        &[b"application/octet-stream"],
        &[b"application/json; charset=utf-16"],
        &[b"text/json"],
        &[b"application/x-www-form-urlencoded; charset=iso-8859-1"],
        &[b"application/x-www-form-urlencoded, text/plain"],
        &[b"text/plain", b"application/x-www-form-urlencoded"],
        &[b"multipart/form-data; boundary=x"],
        &[b"Multipart/Mixed; boundary=x"],
    ];
    for kind in odd {
        let found = |body: &[u8]| line("{query.amount}", target, kind, body);
        assert_eq!(found(b"amount=1000"), Err("content-type"));
        assert_eq!(found(b""), ok("1"));
    }
    // Neither: to whoever looks into it, it is JSON.
    assert_eq!(in_query(br#"{"amount":1000}"#), Err("malformed"));
    assert_eq!(in_query(br#" {"x":"&y=1&"}"#), Err("malformed"));
    let in_form = at(plain, br#"{"x":"&amount=1&","amount":1000}"#);
    assert_eq!(in_form, Err("malformed"));
}

#[test]
fn a_form_is_one_by_its_type() {
    assert_eq!(form(b"amount=1&x=2"), ok("1"));
    assert_eq!(form(b""), Err("absent"));
    assert_eq!(form(b"amount=1&amount=2"), Err("repeated"));
    assert_eq!(form(b"amount=\xff"), Err("not-utf-8"));
    assert_eq!(form(b"amount=1;amount=2"), Err("malformed"));
    let of = |content_type: &[&[u8]]| {
        line(
            "{form.amount}",
            "/payments/7/release",
            content_type,
            b"amount=1",
        )
    };
    for good in [
        "Application/X-WWW-Form-Urlencoded",
        "application/x-www-form-urlencoded; charset=UTF-8",
        "application/x-www-form-urlencoded ;charset=\"utf-8\"",
    ] {
        assert_eq!(of(&[good.as_bytes()]), ok("1"), "{good}");
    }
    for bad in [
        "",
        "text/plain",
        "application/json",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded; charset=utf-16",
        "application/x-www-form-urlencoded; charset=utf-8; charset=utf-7",
        "application/x-www-form-urlencoded, text/plain",
        "application/x-www-form-urlencodedx",
    ] {
        assert_eq!(of(&[bad.as_bytes()]), Err("content-type"), "{bad}");
    }
    assert_eq!(of(&[]), Err("content-type"));
    assert_eq!(of(&[FORM, FORM].concat()), Err("content-type"));
}

#[test]
fn json_says_each_key_once() {
    assert_eq!(json_of(br#"{"payment":{"amount":1}}"#), ok("1"));
    assert_eq!(json_of(br#"{"payment":{"amount":"1,5"}}"#), ok("1,5"));
    assert_eq!(json_of(br#"{"payment":{"amount":-1.25}}"#), ok("-1.25"));
    assert_eq!(json_of(br#"{"payment":{"\u0061mount":1}}"#), ok("1"));
    let rows: [(&[u8], &str); 19] = [
        (b"", "malformed"),
        (b"{", "malformed"),
        (b"{} {}", "malformed"),
        (b"\xef\xbb\xbf{\"payment\":{\"amount\":1}}", "malformed"),
        (b"{\"payment\":{\"amount\":\"\xff\"}}", "not-utf-8"),
        (br#"{"payment":{"amount":NaN}}"#, "malformed"),
        (br#"{"payment":{"amount":1e999}}"#, "malformed"),
        (b"{}", "absent"),
        (b"[1]", "absent"),
        (br#"{"payment":[{"amount":1}]}"#, "absent"),
        (br#"{"Payment":{"amount":1}}"#, "absent"),
        (br#"{"payment":{"amount":null}}"#, "not-plain"),
        (br#"{"payment":{"amount":[1]}}"#, "not-plain"),
        (br#"{"payment":{"amount":9007199254740993}}"#, "not-plain"),
        (
            br#"{"payment":{"amount":123456789012345678901}}"#,
            "not-plain",
        ),
        (br#"{"payment":{"amount":1,"amount":2}}"#, "duplicate-key"),
        (br#"{"payment":{"amount":1,"Amount":2}}"#, "duplicate-key"),
        (br#"{"payment":{"amount":1},"payment":{}}"#, "duplicate-key"),
        (
            br#"{"payment":{"amount":1},"x":[{"y":1,"\u0079":2}]}"#,
            "duplicate-key",
        ),
    ];
    for (body, why) in rows {
        assert_eq!(json_of(body), Err(why), "{}", String::from_utf8_lossy(body));
    }
    let deep = "[".repeat(100_000);
    assert_eq!(json_of(deep.as_bytes()), Err("malformed"));
}

#[test]
fn what_is_encoded_is_not_read() {
    let pattern = Pattern::parse("/pay").unwrap();
    let target = Target::parse(b"/pay", Relaxations::NONE).unwrap();
    for (summary, content_type, body) in [
        ("{form.a}", FORM, &b"a=1"[..]),
        ("{json.a}", JSON, br#"{"a":1}"#),
    ] {
        let of = |content_encoding: &[&[u8]]| {
            let asked = Asked {
                pattern: &pattern,
                target: &target,
                content_type,
                content_encoding,
                body,
                requester: &alice(),
            };
            let summary = Summary::parse(summary).unwrap();
            summary.of(&asked).map_err(|error| error.why)
        };
        assert_eq!(of(&[]), Ok("1".to_owned()));
        assert_eq!(of(&[b"gzip"]), Err(Why::Encoded));
        assert_eq!(of(&[b"identity"]), Err(Why::Encoded));
    }
}

#[test]
fn claims_are_the_tokens() {
    let of = |summary| line(summary, "/payments/7/release", &[], b"");
    assert_eq!(of("{claim.country} {claim.age}"), ok("de 42"));
    assert_eq!(of("{claim.sites}"), Err("not-plain"));
    assert_eq!(of("{claim.manager}"), Err("absent"));
}

#[test]
fn what_is_not_seen_is_shown_and_what_is_long_is_cut() {
    let rows = [
        ("to%0aBob", "to\\u{a}Bob"),
        ("%e2%80%aeboB", "\\u{202e}boB"),
        ("a%e2%80%8bb", "a\\u{200b}b"),
        ("a%c2%a0b", "a\\u{a0}b"),
        ("%3cb%3e%26", "<b>&"),
        ("%7bpath.id%7d", "{path.id}"),
    ];
    for (given, expected) in rows {
        assert_eq!(query(&format!("amount={given}")), ok(expected), "{given}");
    }
    let cut = query(&format!("amount={}", "9".repeat(200))).unwrap();
    assert_eq!(cut, format!("{}… (200 characters)", "9".repeat(120)));
}

/// Whatever the summary reads.
#[test]
fn another_method_is_found_wherever_frameworks_look() {
    let pattern = Pattern::parse("/payments/{id}").unwrap();
    let of = |query: &str, content_type: &[&[u8]], encoding: &[&[u8]], body: &[u8]| {
        let target = format!("/payments/7{query}");
        let asked = Asked {
            pattern: &pattern,
            target: &Target::parse(target.as_bytes(), Relaxations::NONE).unwrap(),
            content_type,
            content_encoding: encoding,
            body,
            requester: &alice(),
        };
        method::is_as_sent(&asked).map_err(|it| (it.field.to_string(), it.why.code()))
    };
    let refused = |field: &str, why| Err((field.to_owned(), why));
    for query in [
        "?_method=DELETE",
        "?x=1&%5fMETHOD",
        "?x=1;_method=PUT",
        "?+.method[]=x",
        "?[_method=x",
    ] {
        let expected = refused("query._method", "method-override");
        assert_eq!(of(query, &[], &[], b""), expected, "{query}");
    }
    for query in ["", "?method=x", "?x=_method", "?_methods=x", "?%ff&%zz"] {
        assert_eq!(of(query, &[], &[], b""), Ok(()), "{query}");
    }

    let forms: [&[&[u8]]; 5] = [
        FORM,
        &[],
        &[b"text/plain"],
        &[b"application/x-www-form-urlencoded; charset=iso-8859-1"],
        &[b"text/plain", b"application/x-www-form-urlencoded"],
    ];
    for kind in forms {
        for body in [
            &b"amount=1&_method=DELETE"[..],
            b"_method",
            b"%5Fmethod=x",
            b".method=x",
            b"_method%00x=1",
            b"a=\xff&_Method=x",
            b"a=1;_method=x",
            br#"{"_method":"DELETE"}"#,
        ] {
            let expected = refused("form._method", "method-override");
            let text = String::from_utf8_lossy(body);
            assert_eq!(of("", kind, &[], body), expected, "{text}");
        }
        for body in [
            &b""[..],
            b"amount=1&method=DELETE",
            b"stra%DFe=%zz&\xff",
            b"x=%26_method%3DDELETE",
            b"\0\x01_method",
            br#"{"x":{"_method":"DELETE"}}"#,
        ] {
            let text = String::from_utf8_lossy(body);
            assert_eq!(of("", kind, &[], body), Ok(()), "{text}");
        }
    }
    let ebcdic: &[&[u8]] = &[b"application/x-www-form-urlencoded; charset=ibm037"];
    let expected = refused("form._method", "content-type");
    assert_eq!(of("", ebcdic, &[], b"%6d%94%85"), expected);

    let kinds: [&[u8]; 3] = [
        b"application/json",
        b"text/json",
        b"application/vnd.api+json; charset=utf-16",
    ];
    for kind in kinds {
        for (body, expected) in [
            (&br#"{"x":1}"#[..], Ok(())),
            (br#"[{"_method":"DELETE"}]"#, Ok(())),
            (br#"{"x":"&_method=DELETE&","x":{"_method":1}}"#, Ok(())),
            (b"{\"x\":1}\n{\"y\":2}\n", Ok(())),
            (br#"{"x":1,"_method":"DELETE"}"#, Err("method-override")),
            (br#"{"\u005fMethod":"DELETE"}"#, Err("method-override")),
            (br#"{"_method":1} {"#, Err("method-override")),
            (b"\xef\xbb\xbf{\"_method\":1}", Err("method-override")),
            (b"{} {\"_method\":1}", Err("method-override")),
            (b"/**/{\"_method\":1}", Err("malformed")),
            (b"\xff\xfe{\0", Err("not-utf-8")),
        ] {
            let expected = expected.map_err(|why| ("json._method".to_owned(), why));
            let text = String::from_utf8_lossy(body);
            assert_eq!(of("", &[kind], &[], body), expected, "{text}");
        }
    }

    let multipart: &[&[u8]] = &[b"Multipart/Form-Data; boundary=x"];
    let part = |name: &str| {
        format!("--x\r\nContent-Disposition: form-data; {name}\r\n\r\nDELETE\r\n--x--\r\n")
    };
    for name in [
        r#"name="_method""#,
        r#"NAME = "_Method""#,
        "name=_method",
        "name='_method'",
        r#"name="\_me\thod""#,
        r#"name=" .method[]""#,
        r#"filename="a"; name="_method""#,
        "\r\n name=\"_method\"",
        "name*=utf-8''%5Fmethod",
        "name*0=_met; name*1=hod",
        r#"name="=?utf-8?Q?=5Fmethod?=""#,
    ] {
        let expected = refused("form._method", "method-override");
        let body = part(name);
        assert_eq!(of("", multipart, &[], body.as_bytes()), expected, "{name}");
    }
    for name in [
        r#"name="method""#,
        r#"name="_method_id""#,
        r#"name="a"; filename="_method""#,
        r#"name="a"; filename*=utf-8''_method"#,
        r#"name="x_method""#,
        r#"x="_method""#,
    ] {
        let body = part(name);
        assert_eq!(of("", multipart, &[], body.as_bytes()), Ok(()), "{name}");
    }

    for kind in [FORM, JSON, multipart] {
        let (gzip, body): (&[&[u8]], _) = (&[b"gzip"], b"\x1f\x8b");
        let why = of("", kind, gzip, body).map_err(|(_, why)| why);
        assert_eq!(why, Err("encoded"));
        assert_eq!(of("", kind, gzip, b""), Ok(()));
        assert_eq!(of("", &[b"application/pdf"], gzip, body), Ok(()));
    }
}

proptest! {
    #![proptest_config(seeded::cases(1000))]

    /// What the common readers make of it is what is shown.
    #[test]
    fn a_form_that_is_read_is_read_like_by_others(
        pairs in proptest::collection::vec(("(amount|Amount|amount\\[\\]|x|%61mount)", "=?", "[a-z0-9%+;]{0,6}"), 0..4),
    ) {
        let pairs: Vec<_> = pairs.iter().map(|(key, eq, value)| format!("{key}{eq}{value}")).collect();
        let body = pairs.join("&");
        if let Ok(read) = form(body.as_bytes()) {
            let others: Vec<_> = form_urlencoded::parse(body.as_bytes())
                .filter(|(key, _)| key.to_lowercase().split('[').next() == Some("amount"))
                .map(|(_, value)| value.into_owned())
                .collect();
            prop_assert_eq!(others, [read]);
        }
    }

    #[test]
    fn json_that_is_read_is_read_like_by_others(amount in any::<i32>(), more in "[a-zA-Z\"{}:,0-9]{0,12}") {
        let body = format!("{{\"payment\":{{\"amount\":{amount}}}{more}}}");
        if let Ok(read) = json_of(body.as_bytes()) {
            let whole: Value = serde_json::from_str(&body).unwrap();
            prop_assert_eq!(&whole["payment"]["amount"], &json!(amount));
            prop_assert_eq!(read, amount.to_string());
        }
    }
}
