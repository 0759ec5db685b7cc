//! Reading JSON that nobody promised anything about: any depth, repeated keys, numbers of any size.
//!
//! A text is checked once, by serde_json and without recursion, so a body of a million brackets costs time in proportion
//! to its length and no stack. What was checked is then only cut into its parts, as far as somebody asks for them.

use std::borrow::Cow;

use serde_json::value::RawValue;

/// A value in a text that is known to be JSON, unread and without space around it.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a>(&'a str);

/// The members of a JSON object in the order they came, values unread. Of a repeated key the last counts.
pub struct Members<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

/// Why a text is no JSON object.
#[derive(Debug, PartialEq, Eq)]
pub enum NoObject {
    /// It is JSON, of another type (named with its article).
    OtherType(&'static str),
    /// It is no JSON; the text says what is wrong with it and where, without quoting it (a syntax error names a place).
    NoJson(String),
}

impl<'a> From<&'a RawValue> for Json<'a> {
    fn from(value: &'a RawValue) -> Self {
        Self(value.get())
    }
}

impl<'a> Json<'a> {
    /// The value as it is written.
    #[must_use]
    pub const fn text(self) -> &'a str {
        self.0
    }

    /// The JSON type of the value, with its article, for messages.
    #[must_use]
    pub fn type_name(self) -> &'static str {
        match self.0.as_bytes().first() {
            Some(b'{') => "an object",
            Some(b'[') => "an array",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "a boolean",
            Some(b'n') => "null",
            _ => "a number",
        }
    }

    /// The members of an object; `None` for other types.
    #[must_use]
    pub fn members(self) -> Option<Members<'a>> {
        let mut rest = self.0.strip_prefix('{')?;
        let mut members = Vec::with_capacity(8);
        loop {
            let member = behind(rest, b',');
            if !member.starts_with('"') {
                return Some(Members(members));
            }
            let (key, after) = cut(member);
            let (value, after) = cut(behind(after, b':'));
            members.push((Self(key).key(), Self(value)));
            rest = after;
        }
    }

    /// The items of an array; `None` for other types.
    #[must_use]
    pub fn items(self) -> Option<Vec<Self>> {
        let mut rest = self.0.strip_prefix('[')?;
        let mut items = Vec::new();
        loop {
            let item = behind(rest, b',');
            if item.starts_with(']') || item.is_empty() {
                return Some(items);
            }
            let (item, after) = cut(item);
            items.push(Self(item));
            rest = after;
        }
    }

    /// The text of a string; `None` for other types and for escapes that stand for no character.
    #[must_use]
    pub fn string(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if inner.as_bytes().contains(&b'\\') {
            serde_json::from_str(self.0).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inner))
        }
    }

    /// A key. One with an escape that stands for no character must not cost the object: it is taken as it is written.
    fn key(self) -> Cow<'a, str> {
        self.string().unwrap_or(Cow::Borrowed(self.0))
    }
}

impl<'a> Members<'a> {
    /// Takes a JSON object apart.
    ///
    /// # Errors
    /// When the text is not one whole JSON object.
    pub fn of(text: &'a str) -> Result<Self, NoObject> {
        let value: &RawValue =
            serde_json::from_str(text).map_err(|error| NoObject::NoJson(error.to_string()))?;
        let value = Json::from(value);
        value
            .members()
            .ok_or_else(|| NoObject::OtherType(value.type_name()))
    }

    /// The value of a member; the last one where the key is repeated. A JSON null is as good as absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Json<'a>> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| *value)
            .filter(|value| value.0 != "null")
    }

    /// All members in order, a repeated key once, at its last place.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Json<'a>)> {
        let mut seen = std::collections::HashSet::new();
        let mut last: Vec<_> = self
            .0
            .iter()
            .rev()
            .filter(|(key, _)| seen.insert(key.as_ref()))
            .map(|(key, value)| (key.as_ref(), *value))
            .collect();
        last.reverse();
        last.into_iter()
    }
}

/// Passes over white space, and over one sign that stands between two parts.
fn behind(text: &str, sign: u8) -> &str {
    let between = |byte: &u8| *byte == sign || matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    let start = text.bytes().take_while(between).count();
    text.get(start..).unwrap_or_default()
}

/// Cuts off the value at the beginning of a text that is known to be JSON.
fn cut(text: &str) -> (&str, &str) {
    let bytes = text.as_bytes();
    let end = match bytes.first() {
        Some(b'"') => behind_string(bytes, 0),
        Some(b'{' | b'[') => behind_brackets(bytes),
        _ => bytes
            .iter()
            .position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t'))
            .unwrap_or(bytes.len()),
    };
    split(text, end)
}

/// The place behind the string that begins at `start`.
fn behind_string(bytes: &[u8], start: usize) -> usize {
    let mut rest = bytes.iter().skip(start + 1);
    let mut escaped = false;
    let end = rest.position(|byte| match byte {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' => {
            escaped = true;
            false
        }
        byte => *byte == b'"',
    });
    end.map_or(bytes.len(), |end| start + end + 2)
}

/// The place behind the object or array that the bytes begin with.
fn behind_brackets(bytes: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = behind_string(bytes, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return at + 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// All of JSON's own signs are one byte long, so a place beside one is between two characters.
fn split(text: &str, at: usize) -> (&str, &str) {
    text.split_at_checked(at).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_of_a_repeated_key_counts() {
        let members = Members::of(r#"{"a":1,"b":2,"a":3}"#).unwrap();
        assert_eq!(members.get("a").unwrap().text(), "3");
        let keys: Vec<_> = members
            .iter()
            .map(|(key, value)| (key.to_owned(), value.text()))
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
        assert_eq!(members.get("id").unwrap().string().unwrap(), "x");
    }

    #[test]
    fn digits_past_any_number_type_are_kept() {
        let members = Members::of(r#"{"n":1e400,"m":123456789012345678901234567890}"#).unwrap();
        assert_eq!(members.get("n").unwrap().text(), "1e400");
        assert_eq!(
            members.get("m").unwrap().text(),
            "123456789012345678901234567890"
        );
    }

    #[test]
    fn an_escape_for_no_character_costs_only_its_own_value() {
        let members = Members::of(r#"{"\ud800":1,"bad":"\ud800","id":"x"}"#).unwrap();
        assert!(members.get("bad").unwrap().string().is_none());
        assert_eq!(members.get("id").unwrap().string().unwrap(), "x");
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
        assert_eq!(escaped.get("id").unwrap().string().unwrap(), "x");
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

    #[test]
    fn parts_are_cut_where_serde_json_cuts_them() {
        let text = "{ \"a\" :[1, \"]}\\\"\" ,{\"b\":[]}] , \"c\\u0064\": {} ,\n\"e\":-1.5e3\t, \"f\" :true}";
        let members = Members::of(text).unwrap();
        let parts: Vec<_> = members
            .iter()
            .map(|(key, value)| (key, value.text()))
            .collect();
        assert_eq!(
            parts,
            [
                ("a", "[1, \"]}\\\"\" ,{\"b\":[]}]"),
                ("cd", "{}"),
                ("e", "-1.5e3"),
                ("f", "true")
            ]
        );
        let items = members.get("a").unwrap().items().unwrap();
        let items: Vec<_> = items.iter().map(|item| item.text()).collect();
        assert_eq!(items, ["1", "\"]}\\\"\"", "{\"b\":[]}"]);
        assert!(members.get("c\u{64}").unwrap().members().is_some());
        assert!(members.get("e").unwrap().items().is_none());
    }
}
