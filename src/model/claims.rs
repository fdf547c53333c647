//! The claims of a verified token, read leniently: an ill-typed `acr`, `amr` or `auth_time` is absent, never an error.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::time::Timestamp;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Claims(pub Map<String, Value>);

impl Claims {
    /// `acr` as the opaque string it is; a number, an array or nothing is no `acr`.
    pub fn acr(&self) -> Option<&str> {
        self.0.get("acr")?.as_str()
    }

    /// `amr` when it is an array of strings only.
    pub fn amr(&self) -> Option<Vec<&str>> {
        self.0
            .get("amr")?
            .as_array()?
            .iter()
            .map(Value::as_str)
            .collect()
    }

    /// `auth_time` when it is a non-negative integer.
    pub fn auth_time(&self) -> Option<Timestamp> {
        let seconds = self.0.get("auth_time")?.as_i64()?;
        (seconds >= 0).then_some(Timestamp::from_unix(seconds))
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    pub fn integer(&self, name: &str) -> Option<i64> {
        self.0.get(name)?.as_i64()
    }

    /// The literal key first, then `name` as a dotted path.
    pub fn lookup(&self, name: &str) -> Option<&Value> {
        if let Some(value) = self.0.get(name) {
            return Some(value);
        }
        let mut parts = name.split('.');
        let mut value = self.0.get(parts.next()?)?;
        for part in parts {
            value = value.as_object()?.get(part)?;
        }
        Some(value)
    }
}
