//! Reading JSON that nobody promised anything about: any depth, repeated keys, numbers of any size.
//!
//! A text is checked once, by serde_json and without recursion, and what was checked is taken apart in one further pass.
//! So a body of a million brackets costs time in proportion to its length, and no stack. What is noted takes most memory
//! for `[1,1,…]`: six times the text's, and while its list grows at most as much again that nothing was written to yet.
//! What is made of the parts that somebody asks for comes on top.

mod parts;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::iter;

use serde_json::value::RawValue;

use parts::{Part, parts};

/// A JSON text taken apart as deep as anybody asks: the objects and arrays below show no parts of their own.
#[derive(Debug)]
pub struct Parts<'a> {
    text: &'a str,
    parts: Vec<Part>,
}

/// A value in a text that is known to be JSON, without space around it.
#[derive(Clone, Copy, Debug)]
pub struct Json<'a> {
    whole: &'a str,
    part: Part,
    inner: &'a [Part],
}

/// The members of a JSON object in the order they came. Of a repeated key the last counts.
#[derive(Clone, Copy, Debug)]
pub struct Members<'a> {
    whole: &'a str,
    parts: &'a [Part],
}

/// The items of a JSON array.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    whole: &'a str,
    rest: &'a [Part],
}

impl<'a> Parts<'a> {
    /// Takes a text apart.
    ///
    /// # Errors
    /// When it is no JSON: what is wrong with it and where, without quoting it (a syntax error names a place). When it is
    /// longer than 4 GiB.
    pub fn of(text: &'a str) -> Result<Self, String> {
        let value: &RawValue = serde_json::from_str(text).map_err(|error| error.to_string())?;
        value.try_into()
    }

    /// The value that the text is.
    #[must_use]
    pub fn value(&self) -> Json<'_> {
        let mut values = Items {
            whole: self.text,
            rest: &self.parts,
        };
        // Nothing at all is no JSON.
        values.next().unwrap_or(Json {
            whole: "null",
            part: Part::NULL,
            inner: &[],
        })
    }
}

impl<'a> TryFrom<&'a RawValue> for Parts<'a> {
    type Error = String;

    fn try_from(value: &'a RawValue) -> Result<Self, String> {
        let text = value.get();
        let parts = parts(text)?;
        Ok(Self { text, parts })
    }
}

impl<'a> Json<'a> {
    /// The value as it is written.
    #[must_use]
    pub fn text(self) -> &'a str {
        self.part.text(self.whole)
    }

    /// The JSON type of the value, with its article, for messages.
    #[must_use]
    pub fn type_name(self) -> &'static str {
        match self.part.sign(self.whole) {
            b'{' => "an object",
            b'[' => "an array",
            b'"' => "a string",
            b't' | b'f' => "a boolean",
            b'n' => "null",
            _ => "a number",
        }
    }

    /// The members of an object; `None` for other types.
    #[must_use]
    pub fn members(self) -> Option<Members<'a>> {
        let is_object = self.part.sign(self.whole) == b'{';
        is_object.then_some(Members {
            whole: self.whole,
            parts: self.inner,
        })
    }

    /// The items of an array; `None` for other types.
    #[must_use]
    pub fn items(self) -> Option<Items<'a>> {
        let is_array = self.part.sign(self.whole) == b'[';
        is_array.then_some(Items {
            whole: self.whole,
            rest: self.inner,
        })
    }

    /// The text of a string; `None` for other types and for escapes that stand for no character.
    #[must_use]
    pub fn string(self) -> Option<Cow<'a, str>> {
        self.part.string(self.whole)
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Json<'a>;

    fn next(&mut self) -> Option<Json<'a>> {
        let (part, behind) = self.rest.split_first()?;
        let (inner, rest) = behind.split_at_checked(part.inner())?;
        self.rest = rest;
        Some(Json {
            whole: self.whole,
            part: *part,
            inner,
        })
    }
}

impl<'a> Members<'a> {
    /// The value of a member; the last one where the key is repeated. A JSON null is as good as absent.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Json<'a>> {
        let mut found = None;
        let mut rest = self.parts;
        while let [key, value, behind @ ..] = rest {
            let (inner, others) = behind.split_at_checked(value.inner())?;
            if key.is_named(name, self.whole) {
                found = Some((value, inner));
            }
            rest = others;
        }
        let (part, inner) = found?;
        let is_null = part.sign(self.whole) == b'n';
        (!is_null).then_some(Json {
            whole: self.whole,
            part: *part,
            inner,
        })
    }

    /// All members in order, a repeated key once, at its last place.
    pub fn iter(self) -> impl Iterator<Item = (Cow<'a, str>, Json<'a>)> {
        let keyed = move |(key, value): (Part, _)| (key.key(self.whole), value);
        let all = move || self.all().map(keyed).enumerate();
        let mut last = BTreeMap::new();
        for (place, (key, _)) in all() {
            last.insert(key, place);
        }
        all()
            .filter(move |(place, (key, _))| last.get(key) == Some(place))
            .map(|(_, member)| member)
    }

    fn all(self) -> impl Iterator<Item = (Part, Json<'a>)> {
        let mut values = Items {
            whole: self.whole,
            rest: self.parts,
        };
        iter::from_fn(move || Some((values.next()?.part, values.next()?)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Hands over the members of a text that is an object.
    #[track_caller]
    fn with_members(text: &str, check: impl FnOnce(Members<'_>)) {
        let parts = Parts::of(text).unwrap();
        check(parts.value().members().unwrap());
    }

    #[test]
    fn the_last_of_a_repeated_key_counts() {
        with_members(r#"{"a":1,"b":2,"\u0061":3}"#, |members| {
            assert_eq!(members.get("a").unwrap().text(), "3");
            let keys: Vec<_> = members
                .iter()
                .map(|(key, value)| (key, value.text()))
                .collect();
            assert_eq!(keys, [("b".into(), "2"), ("a".into(), "3")]);
        });
        with_members(r#"{"a":1,"a":null}"#, |members| {
            assert!(members.get("a").is_none());
        });
    }

    #[test]
    fn a_member_beside_a_hundred_thousand_brackets_is_read() {
        let depth = 100_000;
        let text = format!(
            r#"{{"deep":{}{},"id":"x"}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        );
        with_members(&text, |members| {
            assert_eq!(members.get("id").unwrap().string().unwrap(), "x");
            let deep = members.get("deep").unwrap();
            assert_eq!(deep.text().len(), 2 * depth);
        });
    }

    #[test]
    fn digits_past_any_number_type_are_kept() {
        let text = r#"{"n":1e400,"m":123456789012345678901234567890}"#;
        with_members(text, |members| {
            assert_eq!(members.get("n").unwrap().text(), "1e400");
            assert_eq!(
                members.get("m").unwrap().text(),
                "123456789012345678901234567890"
            );
        });
    }

    #[test]
    fn an_escape_for_no_character_costs_only_its_own_value() {
        let text = r#"{"\ud800":1,"bad":"\ud800","id":"x"}"#;
        with_members(text, |members| {
            assert!(members.get("bad").unwrap().string().is_none());
            assert_eq!(members.get("id").unwrap().string().unwrap(), "x");
        });
    }

    #[test]
    fn a_control_character_in_a_key_is_json_only_as_an_escape() {
        for bare in ["{\"\u{0}a\":1}", "{\"a\nb\":1}", "{\"\\u0061\t\":1}"] {
            assert!(Parts::of(bare).is_err(), "{bare:?}");
        }
        with_members(r#"{"\u0000a":1,"id":"x"}"#, |members| {
            assert_eq!(members.get("id").unwrap().string().unwrap(), "x");
        });
    }

    #[test]
    fn other_json_and_no_json_are_told_apart() {
        for (text, name) in [("[1]", "an array"), ("null", "null"), (" -1 ", "a number")] {
            let parts = Parts::of(text).unwrap();
            assert_eq!(parts.value().type_name(), name);
            assert!(parts.value().members().is_none());
        }
        for text in ["", "{", "{}x", "{\"a\":}", "nul"] {
            assert!(Parts::of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn parts_are_cut_where_serde_json_cuts_them() {
        let text = "{ \"a\" :[1, \"]}\\\"\" ,{\"b\":[]}] , \"c\\u0064\": {} ,\n\"e\":-1.5e3\t, \"f\" :true}";
        with_members(text, |members| {
            let parts: Vec<_> = members
                .iter()
                .map(|(key, value)| (key, value.text()))
                .collect();
            assert_eq!(
                parts,
                [
                    ("a".into(), "[1, \"]}\\\"\" ,{\"b\":[]}]"),
                    ("cd".into(), "{}"),
                    ("e".into(), "-1.5e3"),
                    ("f".into(), "true")
                ]
            );
            let items = members.get("a").unwrap().items().unwrap();
            let items: Vec<_> = items.map(Json::text).collect();
            assert_eq!(items, ["1", "\"]}\\\"\"", "{\"b\":[]}"]);
            assert!(members.get("c\u{64}").unwrap().members().is_some());
            assert!(members.get("e").unwrap().items().is_none());
        });
    }

    /// Puts the value together from its parts.
    fn whole(json: Json<'_>) -> Value {
        if let Some(members) = json.members() {
            let member = |(key, value): (Cow<'_, str>, _)| (key.into_owned(), whole(value));
            return members.iter().map(member).collect();
        }
        if let Some(items) = json.items() {
            return items.map(whole).collect();
        }
        json.string().map_or_else(
            || serde_json::from_str(json.text()).unwrap(),
            |text| text.into(),
        )
    }

    /// As deep as a text is taken apart.
    fn values() -> impl Strategy<Value = Value> {
        let text = r#"[a-c\\"{}\[\],: é\n]{0,10}"#;
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        let deepest = u32::try_from(parts::DEPTH).unwrap();
        leaf.prop_recursive(deepest, 64, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(text, inner, 0..4)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_parts_of_a_value_make_the_value(value in values()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                prop_assert_eq!(&whole(Parts::of(&text).unwrap().value()), &value, "{}", text);
            }
        }
    }
}
