//! A JSON object that is written member by member, because some of them are JSON already and the rest is mostly text
//! that can be copied.

use std::fmt::Display;
use std::io::Write as _;

use serde::Serialize;

/// A JSON object on its way.
pub struct Object(Vec<u8>);

impl Object {
    /// One with no member, and room for so many bytes.
    #[must_use]
    pub fn of(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Begins a member; its value is to be written to what this gives. The name is one of ours and needs no escape.
    pub fn key(&mut self, name: &str) -> &mut Vec<u8> {
        self.0.push(if self.0.is_empty() { b'{' } else { b',' });
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        &mut self.0
    }

    /// A member of any type.
    pub fn put(&mut self, name: &str, value: &impl Serialize) {
        put(self.key(name), value);
    }

    /// A member that is text, or null.
    pub fn put_text(&mut self, name: &str, text: Option<&str>) {
        put_text(self.key(name), text);
    }

    /// A member that is shown by a text in which nothing needs an escape: a word of ours, a time, a hash.
    pub fn put_word(&mut self, name: &str, word: &impl Display) {
        // What is written to memory does not fail.
        let _ = write!(self.key(name), "\"{word}\"");
    }

    /// A member that is JSON already.
    pub fn put_json(&mut self, name: &str, json: &str) {
        self.key(name).extend_from_slice(json.as_bytes());
    }

    /// The whole.
    #[must_use]
    pub fn end(mut self) -> Vec<u8> {
        self.0
            .extend_from_slice(if self.0.is_empty() { b"{}" } else { b"}" });
        self.0
    }
}

/// Writes a value as JSON.
pub fn put(out: &mut Vec<u8>, value: &impl Serialize) {
    let begin = out.len();
    // These are texts, numbers, booleans and structs of them: always representable.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(begin);
        out.extend_from_slice(b"null");
    }
}

/// Writes a text as JSON. Most texts need no escape; finding that out for all of one at once is many times faster than
/// going through it.
pub fn put_text(out: &mut Vec<u8>, text: Option<&str>) {
    let Some(text) = text else {
        return out.extend_from_slice(b"null");
    };
    let escapes = |found, byte: &u8| found | (*byte < b' ') | (*byte == b'"') | (*byte == b'\\');
    if text.as_bytes().iter().fold(false, escapes) {
        return put(out, &text);
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_written_as_serde_json_writes_it() {
        let mut texts: Vec<String> = (0..0x250)
            .filter_map(char::from_u32)
            .map(String::from)
            .collect();
        let long = "a".repeat(100);
        texts.extend([
            String::new(),
            "\u{2028}\u{1f600}".to_owned(),
            long.clone() + "\n" + &long,
            long,
        ]);
        for text in texts {
            let mut out = Vec::new();
            put_text(&mut out, Some(&text));
            assert_eq!(out, serde_json::to_vec(&text).unwrap(), "{text:?}");
        }
    }

    #[test]
    fn members_stand_in_the_order_they_were_put() {
        let mut object = Object::of(0);
        object.put("a", &1);
        object.put_text("b", None);
        object.put_word("c", &"d");
        object.put_json("e", "[ ]");
        assert_eq!(object.end(), br#"{"a":1,"b":null,"c":"d","e":[ ]}"#);
        assert_eq!(Object::of(0).end(), b"{}");
    }
}
