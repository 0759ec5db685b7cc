//! One OpenAPI 3.1 document: operations from a door's table, schemas from the types, problems from the list of codes.
//!
//! Objects may get more members in later versions, so none is closed here; the tests close them when they hold answers
//! against the document.

use std::collections::{BTreeMap, BTreeSet};

use http::StatusCode;
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::door::{Code, Problem};

/// A document that is being made.
pub struct Document {
    answers: SchemaGenerator,
    bodies: SchemaGenerator,
    schemas: Map<String, Value>,
    parameters: BTreeMap<String, Value>,
    responses: BTreeMap<String, Value>,
    headers: BTreeSet<&'static Header>,
    paths: Map<String, Value>,
}

/// A header that answers carry.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub struct Header {
    name: &'static str,
    description: &'static str,
    schema: &'static str,
    example: &'static str,
}

pub const SEQ: Header = Header {
    name: "Waldo-Syncd-Seq",
    description: "The point in the log that the answer was read at.",
    schema: "integer",
    example: "15",
};
pub const ETAG: Header = Header {
    name: "ETag",
    description: "Strong; changes exactly when what is answered does. Goes back in as `If-None-Match`.",
    schema: "string",
    example: "\"2.11\"",
};
const ALLOW: Header = Header {
    name: "Allow",
    description: "The methods that the path takes.",
    schema: "string",
    example: "GET, HEAD",
};
const RETRY_AFTER: Header = Header {
    name: "Retry-After",
    description: "Seconds to wait before the next try.",
    schema: "integer",
    example: "1",
};
const WWW_AUTHENTICATE: Header = Header {
    name: "WWW-Authenticate",
    description: "How to tell the token.",
    schema: "string",
    example: "Bearer",
};

/// One method of one path.
pub struct Operation {
    pub form: &'static str,
    pub method: &'static str,
    pub id: &'static str,
    pub tag: &'static str,
    pub summary: &'static str,
    pub description: &'static str,
    pub parameters: Vec<Value>,
    pub body: Option<Value>,
    /// Status and answer.
    pub answers: Vec<(&'static str, Value)>,
    pub problems: Vec<Code>,
}

/// A parameter: where it stands (`query`, `path`, `header`), what it means, its schema and a value to try.
pub fn parameter(at: &str, name: &str, description: &str, schema: &Value, example: Value) -> Value {
    let mut parameter =
        json!({"in": at, "name": name, "description": description, "schema": schema});
    if at == "path" {
        parameter["required"] = json!(true);
    }
    if !example.is_null() {
        parameter["example"] = example;
    }
    parameter
}

impl Document {
    pub fn new() -> Self {
        let settings = || {
            SchemaSettings::draft2020_12().with(|settings| {
                settings.definitions_path = "/components/schemas".into();
                settings.meta_schema = None;
            })
        };
        Self {
            answers: settings().for_serialize().into_generator(),
            bodies: settings().for_deserialize().into_generator(),
            schemas: Map::new(),
            parameters: BTreeMap::new(),
            responses: BTreeMap::new(),
            headers: BTreeSet::new(),
            paths: Map::new(),
        }
    }

    /// The schema of what is answered.
    pub fn answered<T: JsonSchema>(&mut self) -> Value {
        self.answers.subschema_for::<T>().to_value()
    }

    /// The schema of what is sent.
    pub fn sent<T: JsonSchema>(&mut self) -> Value {
        self.bodies.subschema_for::<T>().to_value()
    }

    /// A schema by a name of its own.
    pub fn named(&mut self, name: &str, schema: Value) -> Value {
        self.schemas.insert(name.to_owned(), schema);
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    /// An answer with a body of one media type.
    pub fn answer(
        &mut self,
        description: &str,
        media_type: &str,
        schema: &Value,
        headers: &[&'static Header],
    ) -> Value {
        json!({
            "description": description,
            "headers": self.headers(headers),
            "content": {media_type: {"schema": schema}},
        })
    }

    pub fn headers(&mut self, headers: &[&'static Header]) -> Value {
        self.headers.extend(headers);
        let named = headers.iter().map(|header| {
            let reference = format!("#/components/headers/{}", header.name);
            (header.name.to_owned(), json!({"$ref": reference}))
        });
        Value::Object(named.collect())
    }

    /// Adds an operation; a read is there for HEAD too.
    pub fn add(&mut self, operation: Operation) {
        let mut answers: Map<String, Value> = Map::new();
        for (status, answer) in operation.answers {
            answers.insert(status.to_owned(), answer);
        }
        let mut by_status: BTreeMap<StatusCode, Vec<Code>> = BTreeMap::new();
        for code in operation.problems {
            by_status.entry(code.status()).or_default().push(code);
        }
        for (status, mut codes) in by_status {
            codes.sort_unstable();
            codes.dedup();
            answers.insert(status.as_u16().to_string(), self.problem(&codes));
        }
        let parameters: Vec<Value> = operation
            .parameters
            .into_iter()
            .map(|parameter| self.shared(parameter))
            .collect();
        let mut described = json!({
            "operationId": operation.id,
            "tags": [operation.tag],
            "summary": operation.summary,
            "description": operation.description,
            "parameters": parameters,
            "responses": answers,
        });
        if let Some(body) = operation.body {
            described["requestBody"] = body;
        }
        let head = (operation.method == "get").then(|| self.head(&described));
        let path = self.paths.entry(operation.form).or_insert(json!({}));
        path[operation.method] = described;
        if let Some(head) = head {
            path["head"] = head;
        }
    }

    /// What HEAD answers where GET answers so.
    fn head(&mut self, get: &Value) -> Value {
        let bodiless = |description: &str, headers: Value| json!({"description": description, "headers": headers});
        let mut answers = Map::new();
        for (status, answer) in get["responses"].as_object().into_iter().flatten() {
            if status.starts_with(['2', '3']) {
                let headers = answer["headers"].clone();
                answers.insert(
                    status.clone(),
                    bodiless("As for GET, without the body.", headers),
                );
            }
        }
        for (range, headers) in [("4XX", [].as_slice()), ("5XX", &[&RETRY_AFTER])] {
            let headers = self.headers(headers);
            let description = "A problem, as for GET, without the body.";
            let response = bodiless(description, headers);
            self.responses.insert(format!("head-{range}"), response);
            let reference = format!("#/components/responses/head-{range}");
            answers.insert(range.to_owned(), json!({"$ref": reference}));
        }
        let id = get["operationId"].as_str().unwrap();
        let (first, rest) = id.split_at(1);
        json!({
            "operationId": format!("head{}{rest}", first.to_uppercase()),
            "tags": get["tags"],
            "summary": format!("{} (headers only)", get["summary"].as_str().unwrap()),
            "parameters": get["parameters"],
            "responses": answers,
        })
    }

    /// Parameters that are the same everywhere stand in one place.
    fn shared(&mut self, parameter: Value) -> Value {
        let name = parameter["name"].as_str().unwrap();
        let known = self.parameters.entry(name.to_owned());
        if *known.or_insert_with(|| parameter.clone()) == parameter {
            return json!({"$ref": format!("#/components/parameters/{name}")});
        }
        parameter
    }

    /// An answer that is a problem with one of these codes, all of one status.
    fn problem(&mut self, codes: &[Code]) -> Value {
        let words: Vec<&str> = codes.iter().map(|code| code.as_str()).collect();
        let name = words.join("-");
        if !self.responses.contains_key(&name) {
            let status = codes[0].status();
            let headers: &[&Header] = match status {
                StatusCode::METHOD_NOT_ALLOWED => &[&ALLOW],
                StatusCode::UNAUTHORIZED => &[&WWW_AUTHENTICATE],
                StatusCode::SERVICE_UNAVAILABLE => &[&RETRY_AFTER],
                _ => &[],
            };
            let said: Vec<String> = codes
                .iter()
                .map(|code| format!("`{code}`: {}", code.meaning()))
                .collect();
            let examples: Map<String, Value> = codes
                .iter()
                .map(|code| {
                    (
                        code.as_str().to_owned(),
                        json!({"value": example_of(*code)}),
                    )
                })
                .collect();
            let schema = json!({
                "allOf": [
                    {"$ref": "#/components/schemas/Problem"},
                    {"type": "object", "properties": {
                        "code": {"enum": words}, "status": {"const": status.as_u16()},
                    }},
                ],
            });
            let response = json!({
                "description": said.join(" "),
                "headers": self.headers(headers),
                "content": {"application/problem+json": {"schema": schema, "examples": examples}},
            });
            self.responses.insert(name.clone(), response);
        }
        json!({"$ref": format!("#/components/responses/{name}")})
    }

    /// The whole document, with what it says of itself.
    pub fn finish(mut self, about: Value) -> Value {
        let problem = self.answered::<crate::door::problem::ProblemBody<'static>>();
        assert_eq!(problem["$ref"], "#/components/schemas/Problem");
        let mut schemas = self.answers.take_definitions(true);
        for (name, schema) in self
            .bodies
            .take_definitions(true)
            .into_iter()
            .chain(self.schemas)
        {
            let known = schemas.insert(name.clone(), schema.clone());
            assert!(
                known.is_none_or(|known| known == schema),
                "two schemas {name}"
            );
        }
        let headers: Map<String, Value> = self
            .headers
            .iter()
            .map(|header| {
                let example = match header.schema {
                    "integer" => json!(header.example.parse::<u64>().unwrap()),
                    _ => json!(header.example),
                };
                let described = json!({
                    "description": header.description, "required": true,
                    "schema": {"type": header.schema}, "example": example,
                });
                (header.name.to_owned(), described)
            })
            .collect();
        let mut document = about;
        document["openapi"] = json!("3.1.1");
        document["jsonSchemaDialect"] = json!("https://json-schema.org/draft/2020-12/schema");
        document["paths"] = Value::Object(self.paths);
        document["components"]["schemas"] = Value::Object(schemas);
        document["components"]["headers"] = Value::Object(headers);
        document["components"]["parameters"] = json!(self.parameters);
        document["components"]["responses"] = json!(self.responses);
        document
    }
}

/// A problem as a door would answer it.
fn example_of(code: Code) -> Value {
    let problem = match code {
        Code::BadParameter => Problem::bad_parameter("limit", "expected 1 to 1000"),
        Code::Unauthorized => Problem::unauthorized(),
        Code::MethodNotAllowed => Problem::method_not_allowed("GET, HEAD"),
        Code::RequestTimeout => Problem::request_timeout(),
        code => {
            let (first, rest) = code.meaning().trim_end_matches('.').split_at(1);
            Problem::new(code, first.to_lowercase() + rest)
        }
    };
    serde_json::to_value(problem.body()).unwrap()
}
