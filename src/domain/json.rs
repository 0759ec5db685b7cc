//! Reading JSON that nobody promised anything about: any depth, repeated keys, numbers of any size.
//!
//! Values are looked at only as far as they are asked for; what is not asked for is checked for being JSON and passed
//! over without recursion, so a body of a million brackets costs time in proportion to its length and no stack.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of a JSON object in the order they came, values unread. Of a repeated key the last counts.
pub struct Members<'a>(Vec<(Cow<'a, [u8]>, &'a RawValue)>);

/// Why a text is no JSON object.
#[derive(Debug, PartialEq, Eq)]
pub enum NoObject {
    /// It is JSON, of another type (named with its article).
    OtherType(&'static str),
    /// It is no JSON; the text says what is wrong with it and where, without quoting it (a syntax error names a place).
    NoJson(String),
}

impl<'a> Members<'a> {
    /// Takes a JSON object apart.
    ///
    /// # Errors
    /// When the text is not one whole JSON object.
    pub fn of(text: &'a str) -> Result<Self, NoObject> {
        let syntax = |error: serde_json::Error| NoObject::NoJson(error.to_string());
        if !text.trim_start().starts_with('{') {
            let other: &RawValue = serde_json::from_str(text).map_err(syntax)?;
            return Err(NoObject::OtherType(type_name(other)));
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let members = deserializer
            .deserialize_map(MembersVisitor)
            .map_err(syntax)?;
        deserializer.end().map_err(syntax)?;
        // Keys were taken as bytes, without a look for the control characters that JSON forbids in them unless escaped.
        if members.have_control_characters() {
            let _whole: &RawValue = serde_json::from_str(text).map_err(syntax)?;
        }
        Ok(members)
    }

    fn have_control_characters(&self) -> bool {
        let mut bytes = self.0.iter().flat_map(|(key, _)| key.iter());
        bytes.any(|byte| *byte < b' ')
    }

    /// The value of a member; the last one where the key is repeated. A JSON null is as good as absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key.as_ref() == name.as_bytes())
            .map(|(_, value)| *value)
            .filter(|value| value.get() != "null")
    }

    /// All members in order, a repeated key once, at its last place.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, &'a RawValue)> {
        let mut seen = std::collections::HashSet::new();
        let mut last: Vec<_> = self
            .0
            .iter()
            .rev()
            .filter(|(key, _)| seen.insert(key.as_ref()))
            .map(|(key, value)| (String::from_utf8_lossy(key), *value))
            .collect();
        last.reverse();
        last.into_iter()
    }
}

/// The JSON type of a value, with its article, for messages.
#[must_use]
pub fn type_name(value: &RawValue) -> &'static str {
    match value.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// The items of a JSON array, unread; `None` when the value is no array.
#[must_use]
pub fn items(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

/// The text of a JSON string; `None` for other types and for escapes that stand for no character.
#[must_use]
pub fn string(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(key) = map.next_key_seed(KeyBytes)? {
            members.push((key, map.next_value()?));
        }
        Ok(Members(members))
    }
}

/// Keys are taken as bytes: an escape like `\ud800` in a key stands for no character, and must not cost the object.
struct KeyBytes;

impl<'de> DeserializeSeed<'de> for KeyBytes {
    type Value = Cow<'de, [u8]>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_bytes(self)
    }
}

impl<'de> Visitor<'de> for KeyBytes {
    type Value = Cow<'de, [u8]>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(bytes))
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(Cow::Owned(bytes.to_vec()))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text.as_bytes()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.as_bytes().to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_repeated_key_counts() {
        let members = Members::of(r#"{"a":1,"b":2,"a":3}"#).unwrap();
        assert_eq!(members.get("a").unwrap().get(), "3");
        let keys: Vec<_> = members
            .iter()
            .map(|(key, value)| (key.into_owned(), value.get()))
            .collect();
        assert_eq!(keys, [("b".to_owned(), "2"), ("a".to_owned(), "3")]);
    }

    #[test]
    fn a_member_beside_a_hundred_thousand_brackets_is_read() {
        let depth = 100_000;
        let text = format!(
            r#"{{"deep":{}{},"id":"x"}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        );
        let members = Members::of(&text).unwrap();
        assert_eq!(string(members.get("id").unwrap()).unwrap(), "x");
    }

    #[test]
    fn digits_past_any_number_type_are_kept() {
        let members = Members::of(r#"{"n":1e400,"m":123456789012345678901234567890}"#).unwrap();
        assert_eq!(members.get("n").unwrap().get(), "1e400");
        assert_eq!(
            members.get("m").unwrap().get(),
            "123456789012345678901234567890"
        );
    }

    #[test]
    fn an_escape_for_no_character_costs_only_its_own_value() {
        let members = Members::of(r#"{"\ud800":1,"bad":"\ud800","id":"x"}"#).unwrap();
        assert!(string(members.get("bad").unwrap()).is_none());
        assert_eq!(string(members.get("id").unwrap()).unwrap(), "x");
    }

    #[test]
    fn a_control_character_in_a_key_is_json_only_as_an_escape() {
        for bare in ["{\"\u{0}a\":1}", "{\"a\nb\":1}", "{\"\\u0061\t\":1}"] {
            assert!(
                matches!(Members::of(bare), Err(NoObject::NoJson(_))),
                "{bare:?}"
            );
        }
        let escaped = Members::of(r#"{"\u0000a":1,"id":"x"}"#).unwrap();
        assert_eq!(string(escaped.get("id").unwrap()).unwrap(), "x");
    }

    #[test]
    fn other_json_and_no_json_are_told_apart() {
        assert_eq!(
            Members::of("[1]").err(),
            Some(NoObject::OtherType("an array"))
        );
        assert_eq!(Members::of("null").err(), Some(NoObject::OtherType("null")));
        for text in ["", "{", "{}x", "{\"a\":}", "nul"] {
            assert!(
                matches!(Members::of(text), Err(NoObject::NoJson(_))),
                "{text}"
            );
        }
    }
}
