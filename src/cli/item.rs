//! One thing of a list, as the daemon wrote it: what came from outside keeps its digits and its depth.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::domain::json::{self, Members};

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
        Self(raw.get().replace(['\r', '\n'], " "))
    }

    /// The JSON, on one line.
    pub fn line(&self) -> &str {
        &self.0
    }

    /// A member as text for a person; nothing for null.
    pub fn cell(&self, name: &str) -> String {
        let members = Members::of(&self.0).ok();
        members
            .and_then(|members| members.get(name).map(shown))
            .unwrap_or_default()
    }

    /// The members that say something, in the daemon's order.
    pub fn cells(&self) -> Vec<(String, String)> {
        let Ok(members) = Members::of(&self.0) else {
            return Vec::new();
        };
        let all = members
            .iter()
            .map(|(name, value)| (name.into_owned(), value));
        all.filter(|(_, value)| !matches!(value.get(), "null" | "[]" | "{}"))
            .map(|(name, value)| (name, shown(value)))
            .collect()
    }

    /// The items of a member that is a list.
    pub fn list(&self, name: &str) -> Vec<Self> {
        let Ok(members) = Members::of(&self.0) else {
            return Vec::new();
        };
        let items = members.get(name).and_then(json::items).unwrap_or_default();
        items.into_iter().map(Self::of).collect()
    }

    /// The thing with a list of others as a further member.
    pub fn with(&self, name: &str, others: &[Self]) -> String {
        let lines: Vec<_> = others.iter().map(Self::line).collect();
        let whole = self.0.trim_end();
        let open = whole.strip_suffix('}').unwrap_or(whole);
        format!("{open},\"{name}\":[{}]}}", lines.join(","))
    }
}

fn shown(value: &RawValue) -> String {
    let text = json::string(value).unwrap_or_else(|| value.get().to_owned());
    printable(if value.get() == "null" { "" } else { &text })
}

/// No control character from outside reaches the terminal.
pub fn printable(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect()
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
        assert_eq!(item.cell("a"), "x\u{fffd}[31m");
    }

    #[test]
    fn a_list_goes_in_as_a_further_member() {
        assert_eq!(
            item(r#"{"a":{"b":{}}}"#).with("events", &[item("{}")]),
            r#"{"a":{"b":{}},"events":[{}]}"#
        );
    }
}
