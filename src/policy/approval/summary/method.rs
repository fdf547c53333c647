//! `_method`, a field by which some frameworks are told another method than the one of the request: Rails in a form, Symfony
//! in the query as well, Laravel in JSON too, and Express wherever it is set up to look.
//!
//! Nobody has to be sure here of what an app reads, but that it reads no such field: what may be one is one.

use super::{Asked, Field, Unreadable, Why, form, json};

const NAME: &str = "_method";

/// Refused where an app may take the request for one of another method.
pub fn is_as_sent(asked: &Asked<'_>) -> Result<(), Unreadable> {
    let refused = |field, why| Err(Unreadable { field, why });
    if in_query(asked).next().is_some() {
        return refused(Field::Query(NAME.to_owned()), Why::Method);
    }
    let types = Types::of(asked.content_type);
    let field = match types.json {
        true => Field::Json(vec![NAME.to_owned()]),
        false => Field::Form(NAME.to_owned()),
    };
    match is_in_body(asked, &types) {
        Ok(false) => Ok(()),
        Ok(true) => refused(field, Why::Method),
        Err(why) => refused(field, why),
    }
}

/// What there says another method, as it stands there.
pub fn in_query<'r>(asked: &Asked<'r>) -> impl Iterator<Item = String> + use<'r> {
    let query = asked.target.query().unwrap_or_default();
    form::taken_for(query.as_bytes(), NAME).map(|pair| String::from_utf8_lossy(pair).into_owned())
}

/// What a body may be by what is said of it, in however many fields and however oddly.
struct Types {
    json: bool,
    form: bool,
    multipart: bool,
    /// In characters of which the first 128 are those of ASCII.
    ascii: bool,
}

impl Types {
    fn of(content_type: &[&[u8]]) -> Self {
        let lower = |value: &&[u8]| String::from_utf8_lossy(value).to_ascii_lowercase();
        let all: Vec<String> = content_type.iter().map(lower).collect();
        let says = |part: &str| all.iter().any(|value| value.contains(part));
        let mut kinds = all.iter().flat_map(|value| value.split([',', ';']));
        let mut charsets = all.iter().flat_map(|value| value.split("charset").skip(1));
        Self {
            json: kinds
                .any(|kind| kind.trim().ends_with("/json") || kind.trim().ends_with("+json")),
            form: says("x-www-form-urlencoded"),
            multipart: says("multipart/"),
            ascii: charsets.all(|value| {
                let value = value.trim_start_matches([' ', '\t', '=', '"', '\'']);
                ASCII.iter().any(|known| value.starts_with(known))
            }),
        }
    }
}

const ASCII: [&str; 5] = ["utf-8", "utf8", "us-ascii", "iso-8859-", "windows-125"];

fn is_in_body(asked: &Asked<'_>, types: &Types) -> Result<bool, Why> {
    let body = asked.body;
    if body.is_empty() {
        return Ok(false);
    }
    if (types.json || types.form || types.multipart) && !asked.content_encoding.is_empty() {
        return Err(Why::Encoded);
    }
    if (types.form || types.multipart) && !types.ascii {
        return Err(Why::ContentType);
    }
    let in_json = match (json::says(body, NAME), types.json) {
        (Err(why), true) => return Err(why),
        (read, _) => read.unwrap_or(false),
    };
    // Rack reads a form in a body of no type.
    let may_be_form = types.form || !(types.json || types.multipart);
    let in_form = may_be_form && form::taken_for(body, NAME).next().is_some();
    Ok(in_json || in_form || (types.multipart && names_a_part(body)))
}

/// Whether something there may be a part's name: where parts begin and their headers end, apps do not agree on.
fn names_a_part(body: &[u8]) -> bool {
    let body = body.to_ascii_lowercase();
    let mut places = body.windows(4).enumerate();
    places.any(|(at, window)| {
        window == b"name"
            && !body
                .get(..at)
                .is_some_and(|before| before.ends_with(b"file"))
            && body.get(at + 4..).is_some_and(is_given)
    })
}

/// `rest`: in lower case, what follows the word `name`.
fn is_given(rest: &[u8]) -> bool {
    // A quoted character is the same one.
    let mut rest = rest.iter().filter(|byte| **byte != b'\\').peekable();
    let mut is_extended = false;
    // RFC 2231: `name*`, `name*0`, `name*0*`.
    while let Some(byte) =
        rest.next_if(|byte| matches!(byte, b'*' | b'0'..=b'9') || is_blank(**byte))
    {
        is_extended |= *byte == b'*';
    }
    if rest.next() != Some(&b'=') {
        return false;
    }
    if is_extended {
        // Nobody names parts so.
        return true;
    }
    while rest
        .next_if(|byte| matches!(byte, b'"' | b'\'' | b'[' | b']') || is_blank(**byte))
        .is_some()
    {}
    let value: Vec<u8> = rest.take(NAME.len() + 1).copied().collect();
    // RFC 2047, which Tomcat undoes.
    if value.starts_with(b"=?") {
        return true;
    }
    let (name, end) = value.split_at(value.len().min(NAME.len()));
    let is_longer = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let is_name = std::str::from_utf8(name).is_ok_and(|name| form::may_be(name, NAME));
    is_name && !end.iter().any(is_longer)
}

fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace()
}
