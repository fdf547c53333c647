//! Fields of a JSON body in which no key stands twice.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

use super::{Why, form, is_utf8, media_type, plain};

pub(super) fn is_json(content_type: &[&[u8]]) -> bool {
    let Some(value) = media_type(content_type) else {
        return false;
    };
    let mut parts = value.split(';');
    let kind = parts.next().map(str::trim_end).unwrap_or_default();
    let is_json = kind == "application/json"
        || kind
            .strip_prefix("application/")
            .is_some_and(|kind| kind.ends_with("+json"));
    is_json && is_utf8(parts)
}

pub(super) fn field(body: &[u8], keys: &[String]) -> Result<String, Why> {
    let (text, whole) = read(body)?;
    let mut value = &whole;
    for key in keys {
        let object = value.as_object().ok_or(Why::Absent)?;
        value = object.get(key).ok_or(Why::Absent)?;
    }
    let plain = plain(value)?;
    match value {
        Value::Number(_) => written(text, keys),
        _ => Ok(plain),
    }
}

/// Whether there is an object, and none of its keys may be taken for that name.
pub(super) fn lacks(body: &[u8], name: &str) -> Result<(), Why> {
    let (_, whole) = read(body)?;
    let object = whole.as_object().ok_or(Why::ContentType)?;
    match object.keys().any(|key| form::may_be(key, name)) {
        true => Err(Why::Repeated),
        false => Ok(()),
    }
}

/// Whether an object there has such a key, whatever else is in it: one value, or one after the other.
pub(super) fn says(body: &[u8], name: &str) -> Result<bool, Why> {
    let text = std::str::from_utf8(body).map_err(|_| Why::NotUtf8)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let value = value.map_err(|_| Why::Malformed)?.get();
        if !value.starts_with('{') {
            continue;
        }
        let object: HashMap<String, IgnoredAny> =
            serde_json::from_str(value).map_err(|_| Why::Malformed)?;
        if object.keys().any(|key| form::may_be(key, name)) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read(body: &[u8]) -> Result<(&str, Value), Why> {
    let text = std::str::from_utf8(body).map_err(|_| Why::NotUtf8)?;
    let Strict(whole) = serde_json::from_str(text).map_err(|error| {
        // The one error of this file; the others are the parser's.
        match error.to_string().starts_with(TWICE) {
            true => Why::DuplicateKey,
            false => Why::Malformed,
        }
    })?;
    Ok((text, whole))
}

/// A number in the digits in which it was sent, not in those of the nearest one of 64 bits. `text`: JSON in which no key
/// stands twice.
fn written(text: &str, keys: &[String]) -> Result<String, Why> {
    let mut text = text;
    for key in keys {
        let object: HashMap<String, &RawValue> =
            serde_json::from_str(text).map_err(|_| Why::Malformed)?;
        text = object.get(key).ok_or(Why::Absent)?.get();
    }
    Ok(text.to_owned())
}

const TWICE: &str = "a key stands twice";

/// JSON of which every reader makes the same: RFC 8259 section 4 leaves open which of two equal names counts, and some
/// readers do not tell cases apart.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader).map(Self)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a number"))?;
        Ok(Value::Number(number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(Strict(value)) = seq.next_element()? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let (mut object, mut seen) = (Map::new(), HashSet::new());
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.to_uppercase().to_lowercase()) {
                return Err(A::Error::custom(TWICE));
            }
            let Strict(value) = map.next_value()?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}
