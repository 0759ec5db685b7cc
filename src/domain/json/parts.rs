//! Where the parts of a JSON text begin and end, noted in one pass over it.

use std::borrow::Cow;

/// How many objects and arrays deep a text is taken apart: more than anybody asks for. What is deeper is passed over, so
/// that a body of a million brackets takes no memory here.
pub const DEPTH: usize = 8;

/// Parts that there is room for from the beginning: few texts have more.
const USUAL: usize = 64;

/// Where a value, or the key of a member, stands in the text. There is one for as little as two bytes of it, so it is small.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    begin: u32,
    end: u32,
    /// How many of the parts right behind it are in it, or [`ESCAPED`].
    inner: u32,
}

/// In place of the number of parts in a string, which is none: there is an escape in it.
const ESCAPED: u32 = u32::MAX;

impl Part {
    /// The whole of a text that is `null`.
    pub const NULL: Self = Self {
        begin: 0,
        end: 4,
        inner: 0,
    };

    /// How many of the parts right behind it are in it.
    pub const fn inner(self) -> usize {
        if self.is_escaped() {
            0
        } else {
            self.inner as usize
        }
    }

    const fn is_escaped(self) -> bool {
        self.inner == ESCAPED
    }

    /// The sign that it begins with, which tells its type.
    pub fn sign(self, of: &str) -> u8 {
        let sign = of.as_bytes().get(self.begin as usize);
        sign.copied().unwrap_or_default()
    }

    /// As it is written in the text that it is a part of.
    pub fn text(self, of: &str) -> &str {
        // All of JSON's own signs are one byte long, so a place beside one is between two characters.
        of.get(self.begin as usize..self.end as usize)
            .unwrap_or_default()
    }

    /// The text of a string; `None` for other types and for escapes that stand for no character.
    pub fn string(self, of: &str) -> Option<Cow<'_, str>> {
        if self.is_escaped() {
            return serde_json::from_str(self.text(of)).ok().map(Cow::Owned);
        }
        let quoted = || of.get(self.begin as usize + 1..self.end as usize - 1);
        (self.sign(of) == b'"').then(quoted)?.map(Cow::Borrowed)
    }

    /// A key. One with an escape that stands for no character must not cost the object: it is taken as it is written.
    pub fn key(self, of: &str) -> Cow<'_, str> {
        self.string(of).unwrap_or(Cow::Borrowed(self.text(of)))
    }

    /// Whether it is the key of that name.
    pub fn is_named(self, name: &str, of: &str) -> bool {
        let quotes = 2;
        let written = (self.end - self.begin) as usize;
        if written == name.len() + quotes && !self.is_escaped() {
            let inner = self.begin as usize + 1..self.end as usize - 1;
            return of.as_bytes().get(inner) == Some(name.as_bytes());
        }
        // An escape is longer than what it stands for.
        written > name.len() + quotes
            && self.is_escaped()
            && stands_for(self.text(of), name).unwrap_or_else(|| self.key(of) == name)
    }
}

/// Whether a key with escapes is that name, found without a copy of it: a body may be nothing but such keys. `None` where
/// an escape meets a character that is not ASCII, as no name has that is asked for.
fn stands_for(key: &str, name: &str) -> Option<bool> {
    let mut rest = key.as_bytes().get(1..)?;
    for &byte in name.as_bytes() {
        let (sign, behind) = match rest {
            [b'\\', ..] if !byte.is_ascii() => return None,
            [b'\\', b'u', b'0', b'0', high, low, behind @ ..] => {
                let digit = |sign: &u8| char::from(*sign).to_digit(16);
                (digit(high)? * 16 + digit(low)?, behind)
            }
            [b'\\', b'u', ..] => return Some(false),
            [b'\\', short, behind @ ..] => {
                let sign = match short {
                    b'b' => 0x08,
                    b'f' => 0x0c,
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    itself => *itself,
                };
                (sign.into(), behind)
            }
            [sign, behind @ ..] => ((*sign).into(), behind),
            [] => return Some(false),
        };
        if sign != u32::from(byte) {
            return Some(false);
        }
        rest = behind;
    }
    Some(rest == b"\"")
}

/// Takes apart a text that is known to be JSON: its parts in the order in which they begin.
///
/// # Errors
/// When it is so long that its places cannot be noted.
pub fn parts(text: &str) -> Result<Vec<Part>, String> {
    let bytes = text.as_bytes();
    if u32::try_from(bytes.len()).is_err() {
        return Err("it is longer than 4 GiB".to_owned());
    }
    // None is cut off: no place and no number of parts is past the length.
    let short = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mut parts: Vec<Part> = Vec::with_capacity(USUAL);
    let mut open = Vec::with_capacity(DEPTH);
    let mut at = 0;
    while let Some(sign) = bytes.get(at) {
        let begin = at;
        let mut inner = 0;
        match sign {
            b',' | b':' | b' ' | b'\n' | b'\r' | b'\t' => {
                at += 1;
                continue;
            }
            b'{' | b'[' if open.len() < DEPTH => {
                open.push(parts.len());
                at += 1;
            }
            b'{' | b'[' => at = behind_brackets(bytes, at),
            b'}' | b']' => {
                at += 1;
                let opened = open.pop().unwrap_or_default();
                let inner = parts.len().saturating_sub(opened + 1);
                if let Some(part) = parts.get_mut(opened) {
                    part.end = short(at);
                    part.inner = short(inner);
                }
                continue;
            }
            b'"' => {
                let escaped;
                (at, escaped) = behind_string(bytes, at);
                inner = if escaped { ESCAPED } else { 0 };
            }
            _ => at = behind_word(bytes, at),
        }
        parts.push(Part {
            begin: short(begin),
            end: short(at),
            inner,
        });
    }
    Ok(parts)
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
    use std::mem;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_too_deep_is_one_part() {
        let brackets = |depth| "[".repeat(depth) + &"]".repeat(depth);
        let whole = brackets(DEPTH);
        assert_eq!(parts(&whole).unwrap().len(), DEPTH);
        let deep = brackets(100_000);
        let parts = parts(&deep).unwrap();
        assert_eq!(parts.len(), DEPTH + 1);
        assert_eq!(parts[DEPTH].text(&deep), brackets(100_000 - DEPTH));
        assert_eq!(parts[DEPTH].inner(), 0);
        assert_eq!(parts[0].text(&deep), deep);
        assert_eq!(parts[0].inner(), DEPTH);
    }

    #[test]
    fn parts_take_six_times_the_text_at_most() {
        let text = format!("[{}1]", "1,".repeat(10_000));
        let parts = parts(&text).unwrap();
        assert_eq!(parts.len(), text.len() / 2 + 1);
        assert!(mem::size_of_val(parts.as_slice()) <= 6 * (text.len() + 2));
    }

    /// Whether a text that is one key has that name.
    fn is_named(key: &str, name: &str) -> bool {
        parts(key).unwrap()[0].is_named(name, key)
    }

    #[test]
    fn an_escaped_key_is_compared_without_a_copy() {
        for (key, name, same) in [
            (r#""\u0061aaaaaa""#, "event", false),
            (r#""\u0065vent""#, "event", true),
            (r#""even\u0074""#, "event", true),
            (r#""even\u0074s""#, "event", false),
            (r#""event\ud800""#, "event", false),
            (r#""\ud800event""#, "event", false),
            (r#""\u00e9vent""#, "event", false),
            (r#""\u006B\u004b""#, "kK", true),
            (r#""\"""#, "\\\"", false),
            (r#""\"\\\/\b\f\n\r\t""#, "\"\\/\u{8}\u{c}\n\r\t", true),
        ] {
            assert_eq!(stands_for(key, name), Some(same), "{key} {name}");
            assert_eq!(is_named(key, name), same, "{key} {name}");
        }
        assert!(is_named(r#""\ud83d\ude00é""#, "😀é"));
    }

    proptest! {
        #[test]
        fn a_key_has_the_name_that_serde_json_reads(
            signs in prop::collection::vec(
                (prop::sample::select(vec!['a', 'k', '"', '\\', '/', '\n', '\u{7f}', 'é', '😀']), any::<bool>()),
                0..4,
            ),
            other in r#"[ak"\\/é]{0,3}"#,
        ) {
            let written = |(sign, escaped): &(char, bool)| {
                if *escaped {
                    let mut units = [0; 2];
                    let units = sign.encode_utf16(&mut units).iter();
                    return units.map(|unit| format!("\\u{unit:04X}")).collect();
                }
                let text = serde_json::to_string(sign).unwrap();
                text[1..text.len() - 1].to_owned()
            };
            let key = format!("\"{}\"", signs.iter().map(written).collect::<String>());
            let name: String = signs.iter().map(|(sign, _)| *sign).collect();
            prop_assert!(is_named(&key, &name), "{key}");
            prop_assert_eq!(is_named(&key, &other), name == other, "{} {}", key, other);
        }
    }
}
