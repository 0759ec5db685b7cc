//! A document, and whether an answer is as it says. Objects are closed here: a member that is not described is a fault.

use std::fs;

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use crate::common::http::Answer;
use crate::docs;

pub struct Description {
    whole: Value,
    closed: Value,
}

/// One method of one path.
#[derive(Debug)]
pub struct Operation<'a> {
    pub form: &'a str,
    pub method: String,
    said: &'a Value,
}

impl Operation<'_> {
    pub fn text(&self, member: &str) -> &str {
        self.said[member].as_str().unwrap_or_default()
    }

    pub fn answers(&self) -> &Map<String, Value> {
        self.said["responses"].as_object().unwrap()
    }

    pub fn member(&self, member: &str) -> &Value {
        &self.said[member]
    }
}

impl Description {
    pub fn read(name: &str) -> Self {
        let text = fs::read_to_string(docs(name)).unwrap();
        let whole: Value = serde_json::from_str(&text).unwrap();
        let mut closed = whole.clone();
        close(&mut closed);
        Self { whole, closed }
    }

    pub fn whole(&self) -> &Value {
        &self.whole
    }

    pub fn operations(&self) -> Vec<Operation<'_>> {
        let paths = self.whole["paths"].as_object().unwrap();
        let methods = paths.iter().flat_map(|(form, methods)| {
            methods
                .as_object()
                .unwrap()
                .iter()
                .map(move |(method, said)| Operation {
                    form,
                    method: method.to_uppercase(),
                    said,
                })
        });
        methods.collect()
    }

    pub fn operation(&self, method: &str, form: &str) -> Operation<'_> {
        let found = self
            .operations()
            .into_iter()
            .find(|known| known.method == method && known.form == form);
        found.unwrap_or_else(|| panic!("{method} {form} is not described"))
    }

    /// The parameters of an operation, references followed.
    pub fn parameters(&self, operation: &Operation<'_>) -> Vec<Value> {
        let listed = operation.member("parameters").as_array().unwrap();
        listed
            .iter()
            .map(|parameter| self.followed(&self.whole, parameter).clone())
            .collect()
    }

    fn followed<'a>(&self, root: &'a Value, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => {
                let found = root.pointer(reference.trim_start_matches('#'));
                found.unwrap_or_else(|| panic!("{reference} leads nowhere"))
            }
            None => value,
        }
    }

    /// The schema behind a reference, if it is one.
    pub fn schema<'a>(&'a self, schema: &'a Value) -> &'a Value {
        self.followed(&self.whole, schema)
    }

    fn validator(&self, schema: &Value) -> Validator {
        let root = json!({"components": self.closed["components"], "allOf": [schema]});
        jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .should_validate_formats(true)
            .build(&root)
            .unwrap_or_else(|error| panic!("{schema} is no schema: {error}"))
    }

    #[track_caller]
    fn assert_valid(&self, schema: &Value, value: &Value, of: &str) {
        let validator = self.validator(schema);
        let faults: Vec<String> = validator
            .iter_errors(value)
            .map(|error| format!("{} at {}", error, error.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{of}: {faults:#?} in {value}");
    }

    /// Whether the answer is one of those that stand in the document: status, headers, media type, body.
    #[track_caller]
    pub fn assert_answer(&self, operation: &Operation<'_>, answer: &Answer, of: &str) {
        let of = format!("{} {of}: {}", operation.method, answer.status);
        let answers =
            self.closed["paths"][operation.form][operation.method.to_lowercase()]["responses"]
                .as_object()
                .unwrap();
        let range = format!("{}XX", answer.status / 100);
        let described = answers
            .get(&answer.status.to_string())
            .or_else(|| answers.get(&range))
            .unwrap_or_else(|| panic!("{of} is not described: {}", answer.text()));
        let described = self.followed(&self.closed, described);
        let headers = described["headers"].as_object();
        for (name, header) in headers.into_iter().flatten() {
            let header = self.followed(&self.closed, header);
            match answer.header(name) {
                Some(value) if header["schema"]["type"] == "integer" => {
                    assert!(value.parse::<u64>().is_ok(), "{of}: {name}: {value}");
                }
                Some(_) => {}
                None => assert_ne!(header["required"], true, "{of} has no {name}"),
            }
        }
        for name in [
            "Waldo-Syncd-Seq",
            "ETag",
            "Allow",
            "Retry-After",
            "WWW-Authenticate",
        ] {
            let known = headers.is_some_and(|headers| headers.contains_key(name));
            let allowed = known
                || answer.status >= 400 && name == "Waldo-Syncd-Seq"
                || operation.method == "HEAD" && answer.status >= 400;
            assert!(
                allowed || answer.header(name).is_none(),
                "{of} has a {name} that is not described"
            );
        }
        let Some(media) = described["content"].as_object() else {
            assert!(answer.body.is_empty(), "{of} has a body: {}", answer.text());
            return;
        };
        let kind = answer.header("content-type").unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default();
        let schema = media
            .get(kind)
            .unwrap_or_else(|| panic!("{of} is {kind}, not one of {media:?}"));
        if kind.ends_with("json") && !schema["schema"].is_null() {
            let body = answer.json();
            self.assert_valid(&schema["schema"], &body, &of);
        }
    }

    /// Every reference leads somewhere, and nothing stands there that no one refers to.
    pub fn assert_references(&self) {
        let text = self.whole.to_string();
        for (kind, members) in self.whole["components"].as_object().unwrap() {
            for name in members.as_object().unwrap().keys() {
                let used = text.contains(&format!("\"#/components/{kind}/{name}\""));
                assert!(
                    used || kind == "securitySchemes",
                    "nobody refers to {kind}/{name}"
                );
            }
        }
        let mut places = vec![&self.whole];
        while let Some(place) = places.pop() {
            self.followed(&self.whole, place);
            match place {
                Value::Object(members) => places.extend(members.values()),
                Value::Array(items) => places.extend(items),
                _ => {}
            }
        }
    }

    /// Every example of a body and of a parameter is what its schema says.
    pub fn assert_examples(&self) {
        let mut places = vec![&self.closed];
        let mut number = 0;
        while let Some(place) = places.pop() {
            if let (Some(schema), Some(members)) = (place.get("schema"), place.as_object()) {
                let named = members.get("examples").and_then(Value::as_object);
                let named = named
                    .into_iter()
                    .flatten()
                    .map(|(_, example)| &example["value"]);
                for example in members.get("example").into_iter().chain(named) {
                    self.assert_valid(schema, example, "an example");
                    number += 1;
                }
            }
            match place {
                Value::Object(members) => places.extend(members.values()),
                Value::Array(items) => places.extend(items),
                _ => {}
            }
        }
        assert!(number > 10, "{number} examples");
    }
}

/// Lets no object have a member that is not described.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                match (name.as_str(), member) {
                    // What is said besides of an object that stands elsewhere.
                    ("allOf", Value::Array(_)) | ("example" | "examples", _) => {}
                    (_, member) => close(member),
                }
            }
            if members.get("properties").is_some_and(Value::is_object)
                && members.get("type").is_some()
            {
                members
                    .entry("additionalProperties")
                    .or_insert(json!(false));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
