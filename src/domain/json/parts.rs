//! Where the parts of a JSON text begin and end, noted in one pass over it.

use std::borrow::Cow;

/// How many objects and arrays deep a text is taken apart: more than anybody asks for. What is deeper is passed over, so
/// that a body of a million brackets takes no memory here.
pub const DEPTH: usize = 8;

/// Parts that there is room for from the beginning: few texts have more.
const USUAL: usize = 64;

/// A value, or the key of a member.
#[derive(Debug)]
pub struct Part<'a> {
    /// As it is written.
    pub text: &'a str,
    /// How many of the parts right before it are in it.
    pub inner: usize,
    /// Whether it is a string with an escape.
    pub escaped: bool,
}

impl<'a> Part<'a> {
    pub const NULL: Self = Self {
        text: "null",
        inner: 0,
        escaped: false,
    };

    /// The text of a string; `None` for other types and for escapes that stand for no character.
    pub fn string(&self) -> Option<Cow<'a, str>> {
        let inner = self.text.strip_prefix('"')?.strip_suffix('"')?;
        if self.escaped {
            serde_json::from_str(self.text).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(inner))
        }
    }

    /// A key. One with an escape that stands for no character must not cost the object: it is taken as it is written.
    pub fn key(&self) -> Cow<'a, str> {
        self.string().unwrap_or(Cow::Borrowed(self.text))
    }

    /// Whether it is the key of that name.
    pub fn is_named(&self, name: &str) -> bool {
        let quotes = 2;
        match self.text.len().checked_sub(name.len() + quotes) {
            None => false,
            Some(0) => self.text.get(1..=name.len()) == Some(name),
            // An escape is longer than what it stands for.
            Some(_) => self.escaped && self.key() == name,
        }
    }
}

/// Takes apart a text that is known to be JSON: its parts in the order in which they end.
pub fn parts(text: &str) -> Vec<Part<'_>> {
    let bytes = text.as_bytes();
    let mut parts = Vec::with_capacity(USUAL);
    let mut open = Vec::with_capacity(DEPTH);
    let mut at = 0;
    while let Some(sign) = bytes.get(at) {
        let mut begin = at;
        let mut before = parts.len();
        let mut escaped = false;
        match sign {
            b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => {
                at += 1;
                continue;
            }
            b'{' | b'[' if open.len() < DEPTH => {
                open.push((begin, before));
                at += 1;
                continue;
            }
            b'{' | b'[' => at = behind_brackets(bytes, at),
            b'}' | b']' => {
                (begin, before) = open.pop().unwrap_or_default();
                at += 1;
            }
            b'"' => (at, escaped) = behind_string(bytes, at),
            _ => at = behind_word(bytes, at),
        }
        parts.push(Part {
            // All of JSON's own signs are one byte long, so a place beside one is between two characters.
            text: text.get(begin..at).unwrap_or_default(),
            inner: parts.len() - before,
            escaped,
        });
    }
    parts
}

/// The place behind the string that begins at `start`, and whether there is an escape in it.
fn behind_string(bytes: &[u8], start: usize) -> (usize, bool) {
    let mut at = start + 1;
    let mut escaped = false;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return (at + 1, escaped),
            b'\\' => {
                escaped = true;
                at += 2;
            }
            _ => at += 1,
        }
    }
    (bytes.len(), escaped)
}

/// The place behind the number, the boolean or the null that begins at `start`.
fn behind_word(bytes: &[u8], start: usize) -> usize {
    let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t');
    let rest = bytes.iter().skip(start);
    start + rest.take_while(|byte| !ends(byte)).count()
}

/// The place behind the object or array that begins at `start`.
fn behind_brackets(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                (at, _) = behind_string(bytes, at);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_deep_is_one_part() {
        let brackets = |depth| "[".repeat(depth) + &"]".repeat(depth);
        let whole = brackets(DEPTH);
        assert_eq!(parts(&whole).len(), DEPTH);
        let deep = brackets(100_000);
        let parts = parts(&deep);
        assert_eq!(parts.len(), DEPTH + 1);
        assert_eq!(parts[0].text, brackets(100_000 - DEPTH));
        assert_eq!(parts[0].inner, 0);
        assert_eq!(parts[DEPTH].text, deep);
        assert_eq!(parts[DEPTH].inner, DEPTH);
    }
}
