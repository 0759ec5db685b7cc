//! One thing of a list, as the daemon wrote it: what came from outside keeps its digits and its depth.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::screen::printable;
use crate::domain::json::{Json, Members, Parts};

/// A page of a list.
#[derive(Debug, Deserialize)]
pub struct Page {
    /// The items.
    pub items: Vec<Box<RawValue>>,
    /// Where to go on.
    pub next: Value,
}

/// One thing, on one line.
#[derive(Clone, Debug)]
pub struct Item(String);

impl Item {
    /// Takes the JSON over; line breaks in it can only be white space.
    pub fn of(raw: &RawValue) -> Self {
        Self::on_one_line(raw.get())
    }

    fn part(value: Json<'_>) -> Self {
        Self::on_one_line(value.text())
    }

    fn on_one_line(json: &str) -> Self {
        Self(json.replace(['\r', '\n'], " "))
    }

    /// The JSON, on one line.
    pub fn line(&self) -> &str {
        &self.0
    }

    /// A member as text for a person; nothing for null.
    pub fn cell(&self, name: &str) -> String {
        self.member(name, shown).unwrap_or_default()
    }

    /// The members that say something, in the daemon's order.
    pub fn cells(&self) -> Vec<(String, String)> {
        let of = |members: Members<'_>| {
            members
                .iter()
                .filter(|(_, value)| !matches!(value.text(), "null" | "[]" | "{}"))
                .map(|(name, value)| (name.into_owned(), shown(value)))
                .collect()
        };
        self.taken_apart(of).unwrap_or_default()
    }

    /// The items of a member that is a list.
    pub fn list(&self, name: &str) -> Vec<Self> {
        self.items(name, Self::part)
    }

    /// The members of a member that is an object, each with the object that it is.
    pub fn members(&self, name: &str) -> Vec<(String, Self)> {
        let of = |members: Members<'_>| {
            let named = |(name, value): (Cow<'_, str>, _)| (name.into_owned(), Self::part(value));
            members.iter().map(named).collect()
        };
        self.member(name, |value| value.members().map(of))
            .flatten()
            .unwrap_or_default()
    }

    /// A member that is an object.
    pub fn object(&self, name: &str) -> Option<Self> {
        self.member(name, Self::part)
    }

    /// The texts of a member that is a list of such.
    pub fn texts(&self, name: &str) -> Vec<String> {
        self.items(name, shown)
    }

    /// A member as the JSON it is.
    pub fn raw(&self, name: &str) -> Option<String> {
        self.member(name, |value| value.text().to_owned())
    }

    fn items<T>(&self, name: &str, form: fn(Json<'_>) -> T) -> Vec<T> {
        self.member(name, |value| {
            let items = value.items().into_iter().flatten();
            items.map(form).collect()
        })
        .unwrap_or_default()
    }

    fn member<T>(&self, name: &str, form: impl FnOnce(Json<'_>) -> T) -> Option<T> {
        self.taken_apart(|members| members.get(name).map(form))
            .flatten()
    }

    fn taken_apart<T>(&self, form: impl FnOnce(Members<'_>) -> T) -> Option<T> {
        let parts = Parts::of(&self.0).ok()?;
        parts.value().members().map(form)
    }

    /// The thing with a list of others as a further member.
    pub fn with(&self, name: &str, others: &[Self]) -> String {
        let lines: Vec<_> = others.iter().map(Self::line).collect();
        let whole = self.0.trim_end();
        let open = whole.strip_suffix('}').unwrap_or(whole);
        format!("{open},\"{name}\":[{}]}}", lines.join(","))
    }
}

fn shown(value: Json<'_>) -> String {
    let text = value.string().unwrap_or(value.text().into());
    printable(if value.text() == "null" { "" } else { &text }).into_owned()
}

/// How deep a payload is indented; what is deeper stands below each other.
const DEEPEST: usize = 16;

/// JSON with a member a line, tokens as they came, for a person. What it says is made harmless to a terminal.
pub fn indented(json: &str) -> String {
    let mut shown = String::new();
    let mut depth = 0_usize;
    let mut is_text = false;
    let mut is_escaped = false;
    let mut chars = json.chars().filter(|char| *char != '\r').peekable();
    let line = |shown: &mut String, depth: usize| {
        shown.push('\n');
        shown.push_str(&"  ".repeat(depth.min(DEEPEST)));
    };
    while let Some(char) = chars.next() {
        if is_text {
            shown.push_str(&printable(char.encode_utf8(&mut [0; 4])));
            is_text = is_escaped || char != '"';
            is_escaped = char == '\\' && !is_escaped;
            continue;
        }
        match char {
            ' ' | '\t' | '\n' => {}
            '{' | '[' => {
                shown.push(char);
                while chars.peek().is_some_and(|next| next.is_ascii_whitespace()) {
                    chars.next();
                }
                if let Some(end) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    shown.push(end);
                } else {
                    depth += 1;
                    line(&mut shown, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut shown, depth);
                shown.push(char);
            }
            ',' => {
                shown.push(char);
                line(&mut shown, depth);
            }
            ':' => shown.push_str(": "),
            other => {
                is_text = other == '"';
                shown.push_str(&printable(other.encode_utf8(&mut [0; 4])));
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(text: &str) -> Item {
        Item::of(&RawValue::from_string(text.to_owned()).unwrap())
    }

    #[test]
    fn digits_order_and_depth_are_kept() {
        let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        let text = format!(r#"{{"z":1e400,"a":123456789012345678901234567890,"d":{deep}}}"#);
        let item = item(&text);
        assert_eq!(item.line(), text);
        assert_eq!(item.cell("z"), "1e400");
        assert_eq!(item.cells().first().unwrap().0, "z");
    }

    #[test]
    fn an_item_is_one_line_and_no_escape_reaches_the_terminal() {
        let item = item("{\"a\":\n\"x\\u001b[31m\"}");
        assert_eq!(item.line(), "{\"a\": \"x\\u001b[31m\"}");
        assert_eq!(item.cell("a"), "x\\u{1b}[31m");
    }

    #[test]
    fn a_list_goes_in_as_a_further_member() {
        assert_eq!(
            item(r#"{"a":{"b":{}}}"#).with("events", &[item("{}")]),
            r#"{"a":{"b":{}},"events":[{}]}"#
        );
    }

    #[test]
    fn a_payload_is_indented_with_its_tokens_as_they_came() {
        let json = r#"{"a":1e400,"b":[],"c":["x\"}",{"d":null}],"a":2}"#;
        let shown = "{\n  \"a\": 1e400,\n  \"b\": [],\n  \"c\": [\n    \"x\\\"}\",\n    {\n      \"d\": null\n    }\n  ],\n  \"a\": 2\n}";
        assert_eq!(indented(json), shown);
        let deep = format!("{}1{}", "[".repeat(3000), "]".repeat(3000));
        assert!(indented(&deep).len() < 6000 * 40);
        assert!(!indented("{\"a\":\"\u{202e}x\"}").contains('\u{202e}'));
    }
}
