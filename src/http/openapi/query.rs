//! The query door's document: every line of its table, in the words of its readers.

use schemars::JsonSchema;
use serde_json::{Value, json};

use super::document::{Document, ETAG, Header, Operation, SEQ, parameter};
use super::event::Event;
use crate::domain::customer::Customer;
use crate::domain::request::RequestView;
use crate::domain::{Disposition, Operation as Call, Origin, Seq, Source, State, Timestamp};
use crate::door::Code;
use crate::http::feed::MAX_WAIT_SECONDS;
use crate::http::health::{Health, Readiness};
use crate::http::params::{DEFAULT_LIMIT, MAX_LIMIT};
use crate::http::query::{PAGE, PATHS, Path};
use crate::http::stats::StatsView;

/// Answers that a daemon gave whose log is that of `tests/common/story.rs`, by what was asked for.
const EXAMPLES: &str = include_str!("../../../tests/fixtures/answers.json");

const ABOUT: &str = "Read-only: what Waldo's webhooks say, as one local daemon has stored them. Every answer is taken at \
one point of the log, named by `Waldo-Syncd-Seq`. A parameter that is unknown, given twice or of a wrong value is \
`400`, and `parameter` names it. Objects may get more members in later versions; pass over those that you do not know. \
The same paths are served on the control socket, without a token.";

/// What the answers to a GET share.
const OF_ALL: [Code; 8] = [
    Code::BadParameter,
    Code::BadRequest,
    Code::MethodNotAllowed,
    Code::MisdirectedRequest,
    Code::HeadTooLarge,
    Code::Unavailable,
    Code::SeqNotReached,
    Code::TooManyAnswers,
];

/// The document.
pub fn document() -> Value {
    let mut document = Document::new();
    for path in PATHS.iter().chain(PAGE) {
        let operation = operation(&mut document, path);
        document.add(operation);
    }
    document.finish(json!({
        "info": {
            "title": "waldo-syncd: query door",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "http://127.0.0.1:7312", "description": "where the door is unless `[query]` says otherwise"}],
        "tags": [
            {"name": "customers", "description": "What the events together say of each customer."},
            {"name": "events", "description": "The log, in order: a feed to follow."},
            {"name": "requests", "description": "Calls to Waldo whose outcome is waited for."},
            {"name": "daemon", "description": "The daemon itself."},
            {"name": "page", "description": "A page for people, which asks by the paths above. Its files hold no data and need no token."},
        ],
        "security": [{}, {"token": []}],
        "components": {"securitySchemes": {"token": {
            "type": "http", "scheme": "bearer", "description": "Asked for where `[query] token_file` is set.",
        }}},
    }))
}

/// What a read is about and what it answers.
struct Told {
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    description: &'static str,
    /// Whether what the path names may not be there.
    of_one: bool,
    answers: Vec<(&'static str, Value)>,
}

fn operation(document: &mut Document, path: &Path) -> Operation {
    let form = path.form;
    let told = told(document, form);
    let mut problems = OF_ALL.to_vec();
    problems.extend((!path.is_open).then_some(Code::Unauthorized));
    problems.extend(told.of_one.then_some(Code::NotFound));
    problems.extend((form == "/readyz").then_some(Code::NotReady));
    let mut parameters = Vec::new();
    let in_path = form
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    parameters.extend(in_path.map(|name| in_path_parameter(document, name)));
    parameters.extend(
        path.takes
            .iter()
            .map(|name| query_parameter(document, form, name)),
    );
    parameters.extend(header_parameter(document, form));
    Operation {
        form,
        method: "get",
        id: told.id,
        tag: told.tag,
        summary: told.summary,
        description: told.description,
        parameters,
        body: None,
        answers: told.answers,
        problems,
    }
}

/// The example of an answer to this, as it was recorded.
fn recorded(target: &str) -> Value {
    let examples: Value = serde_json::from_str(EXAMPLES).unwrap();
    let example = examples[target].clone();
    assert!(
        !example.is_null(),
        "tests/fixtures/answers.json has no {target}"
    );
    example
}

fn ok(
    document: &mut Document,
    description: &str,
    schema: &Value,
    example: &str,
) -> Vec<(&'static str, Value)> {
    let mut answer = document.answer(description, "application/json", schema, &[&SEQ]);
    answer["content"]["application/json"]["example"] = recorded(example);
    vec![("200", answer)]
}

fn list<T: JsonSchema>(document: &mut Document, name: &str, next: Value) -> Value {
    let item = document.answered::<T>();
    let list = json!({
        "type": "object", "required": ["items", "next"],
        "properties": {"items": {"type": "array", "items": item, "maxItems": MAX_LIMIT}, "next": next},
    });
    document.named(name, list)
}

fn cursor() -> Value {
    json!({"type": ["string", "null"], "description": "Goes back in as `cursor`; null at the end, and only there."})
}

fn text(
    document: &mut Document,
    description: &str,
    media_type: &str,
    example: &str,
    headers: &[&'static Header],
) -> Vec<(&'static str, Value)> {
    let mut answer = document.answer(description, media_type, &json!({"type": "string"}), headers);
    answer["content"][media_type]["example"] = json!(example);
    vec![("200", answer)]
}

/// A file of the page, of one of these kinds.
fn file(document: &mut Document, description: &str, kinds: &[&str]) -> Vec<(&'static str, Value)> {
    let mut answer = document.answer(description, kinds[0], &json!({"type": "string"}), &[&ETAG]);
    for kind in kinds {
        answer["content"][kind] = json!({"schema": {"type": "string"}});
    }
    let headers = document.headers(&[&ETAG]);
    let same =
        json!({"description": "The file is as `If-None-Match` knows it.", "headers": headers});
    vec![("200", answer), ("304", same)]
}

fn told(document: &mut Document, form: &str) -> Told {
    let told = |id, tag, summary, description, of_one, answers| Told {
        id,
        tag,
        summary,
        description,
        of_one,
        answers,
    };
    match form {
        "/v1/customers" => {
            let list = list::<Customer>(document, "CustomerList", cursor());
            let answers = ok(
                document,
                "A part of the list.",
                &list,
                "/v1/customers?order=desc&limit=1",
            );
            told(
                "customers",
                "customers",
                "List customers",
                "By the last change of each, or by id. While a list by `updatedAt` is read page by page, a customer that \
                changes moves to its end: it may be seen twice and is never missed.",
                false,
                answers,
            )
        }
        "/v1/customers/{customerId}" => {
            let schema = document.answered::<Customer>();
            let mut answers = ok(
                document,
                "The customer. With `asOf` or `asOfSeq` there is no `ETag`.",
                &schema,
                "/v1/customers/71c0de5a19b24f0e83d6a4b1",
            );
            let headers = document.headers(&[&SEQ, &ETAG]);
            let mut with_tag = headers.clone();
            with_tag["ETag"] = json!({
                "description": "Strong; changes exactly when the customer does. None for an earlier state.",
                "schema": {"type": "string"},
            });
            answers[0].1["headers"] = with_tag;
            answers.push(("304", json!({
                "description": "The customer is as `If-None-Match` knows it.", "headers": headers,
            })));
            told(
                "customer",
                "customers",
                "Read one customer",
                "As it is, or as it was known at an event or a time.",
                true,
                answers,
            )
        }
        "/v1/customers/{customerId}/events" => {
            let list = list::<Event>(document, "EventList", cursor());
            let answers = ok(
                document,
                "A part of the list.",
                &list,
                "/v1/customers/71c0de5a19b24f0e83d6a4b1/events?limit=1",
            );
            told(
                "customerEvents",
                "customers",
                "List the events of one customer",
                "Every event that names the customer, oldest first, whatever became of it. Not found only when no event \
                ever named it.",
                true,
                answers,
            )
        }
        "/v1/events" => {
            let next = json!({
                "type": "integer", "minimum": 0,
                "description": "Where to go on, also when nothing was found: goes back in as `after`.",
            });
            let list = list::<Event>(document, "Feed", next);
            let answers = ok(
                document,
                "A part of the feed.",
                &list,
                "/v1/events?after=6&limit=1",
            );
            told(
                "events",
                "events",
                "Follow the feed",
                "Events in the order of the log; nothing is skipped. A page ends early once its payloads pass 8 MiB.",
                false,
                answers,
            )
        }
        "/v1/events/stream" => {
            let example = recorded("/v1/events/stream?after=15");
            let answers = text(
                document,
                "The feed without an end: `id` is the seq, `event` the event's name (`message` where it has none), `data` an \
                `Event` as JSON. A comment line after 15 s of silence.",
                "text/event-stream",
                example.as_str().unwrap(),
                &[],
            );
            told(
                "eventStream",
                "events",
                "Follow the feed as Server-Sent Events",
                "A reader that falls behind is caught up from the file. When the daemon stops, the stream ends.",
                false,
                answers,
            )
        }
        "/v1/events/{seq}" => {
            let schema = document.answered::<Event>();
            let answers = ok(document, "The event.", &schema, "/v1/events/16");
            told(
                "event",
                "events",
                "Read one event",
                "With its payload, every digit as it came.",
                true,
                answers,
            )
        }
        "/v1/events/{seq}/payload" => {
            let mut answer = document.answer(
                "The bytes as they arrived; `application/octet-stream` for a quarantined event.",
                "application/json",
                &json!({}),
                &[&SEQ],
            );
            answer["content"]["application/json"]["example"] = recorded("/v1/events/7/payload");
            answer["content"]["application/octet-stream"] = json!({});
            told(
                "eventPayload",
                "events",
                "Read the body of one event",
                "Not found once it was taken out.",
                true,
                vec![("200", answer)],
            )
        }
        "/v1/requests" => {
            let list = list::<RequestView<'_>>(document, "RequestList", cursor());
            let answers = ok(
                document,
                "A part of the list.",
                &list,
                "/v1/requests?order=desc&limit=1",
            );
            told(
                "requests",
                "requests",
                "List requests",
                "In the order in which they were first heard of.",
                false,
                answers,
            )
        }
        "/v1/requests/{requestId}" => {
            let schema = document.answered::<RequestView<'_>>();
            let answers = ok(document, "The request.", &schema, "/v1/requests/k7Qm2ZtX9a");
            told(
                "request",
                "requests",
                "Read one request",
                "With the events that tell of it.",
                true,
                answers,
            )
        }
        "/v1/stats" => {
            let schema = document.answered::<StatsView>();
            let answers = ok(document, "The numbers.", &schema, "/v1/stats");
            told(
                "stats",
                "daemon",
                "Read the numbers",
                "Counts, rates, sizes, coverage.",
                false,
                answers,
            )
        }
        "/healthz" => {
            let schema = document.answered::<Health>();
            let answers = ok(document, "The process serves.", &schema, "/healthz");
            told(
                "healthz",
                "daemon",
                "Ask whether the process serves",
                "Says nothing of the file.",
                false,
                answers,
            )
        }
        "/readyz" => {
            let schema = document.answered::<Readiness>();
            let answers = ok(
                document,
                "Events can be taken and shown.",
                &schema,
                "/readyz",
            );
            told(
                "readyz",
                "daemon",
                "Ask whether events can be taken and shown",
                "`503` `not_ready` says why not.",
                false,
                answers,
            )
        }
        "/metrics" => {
            let example = "# TYPE waldo_syncd_ready gauge\nwaldo_syncd_ready 1\n";
            let meaning = "Prometheus' text, or OpenMetrics for those who ask for it.";
            let mut answers = text(document, meaning, "text/plain", example, &[&SEQ]);
            let open_metrics =
                json!({"schema": {"type": "string"}, "example": format!("{example}# EOF\n")});
            if let Some((_, answer)) = answers.first_mut() {
                answer["content"]["application/openmetrics-text"] = open_metrics;
            }
            told(
                "metrics",
                "daemon",
                "Read the metrics",
                "Names begin with `waldo_syncd_`.",
                false,
                answers,
            )
        }
        "/openapi.json" => {
            let answer = document.answer(
                "This document.",
                "application/json",
                &json!({"type": "object"}),
                &[&SEQ],
            );
            told(
                "openapi",
                "daemon",
                "Read this document",
                "`waldo-syncd openapi` prints it too.",
                false,
                vec![("200", answer)],
            )
        }
        "/" => {
            let answers = file(document, "The page.", &["text/html"]);
            told(
                "page",
                "page",
                "Read the page",
                "For a browser.",
                false,
                answers,
            )
        }
        "/page/{file}" => {
            let kinds = ["text/javascript", "text/css", "image/svg+xml"];
            let answers = file(document, "The file.", &kinds);
            told(
                "pageFile",
                "page",
                "Read a file of the page",
                "Scripts, styles, pictures; their names may change.",
                true,
                answers,
            )
        }
        other => panic!("{other} is served and not described"),
    }
}

fn in_path_parameter(document: &mut Document, name: &str) -> Value {
    let id = json!({"type": "string", "minLength": 1});
    match name {
        "customerId" => parameter(
            "path",
            name,
            "Waldo's id of the customer.",
            &id,
            json!("71c0de5a19b24f0e83d6a4b1"),
        ),
        "requestId" => parameter(
            "path",
            name,
            "Waldo's id of the call.",
            &id,
            json!("k7Qm2ZtX9a"),
        ),
        "seq" => {
            let seq = document.answered::<Seq>();
            parameter(
                "path",
                name,
                "The event's place in the log.",
                &seq,
                json!(7),
            )
        }
        "file" => parameter("path", name, "The name of the file.", &id, json!("app.js")),
        other => panic!("{other} is in a path and not described"),
    }
}

fn header_parameter(document: &mut Document, form: &str) -> Option<Value> {
    let text = json!({"type": "string"});
    match form {
        "/" | "/page/{file}" => Some(parameter(
            "header",
            "If-None-Match",
            "`ETag`s that are known, or `*`.",
            &text,
            Value::Null,
        )),
        "/v1/customers/{customerId}" => Some(parameter(
            "header",
            "If-None-Match",
            "`ETag`s that are known, or `*`; not looked at with `asOf` or `asOfSeq`.",
            &text,
            json!("\"1.1\""),
        )),
        "/v1/events/stream" => Some(parameter(
            "header",
            "Last-Event-ID",
            "The last event that was seen; goes before `after`.",
            &document.answered::<Seq>(),
            Value::Null,
        )),
        _ => None,
    }
}

fn query_parameter(document: &mut Document, form: &str, name: &str) -> Value {
    let text = json!({"type": "string"});
    let truth = json!({"type": "boolean"});
    let seq = document.answered::<Seq>();
    let of = |description: &str, schema: Value, example: Value| {
        parameter("query", name, description, &schema, example)
    };
    let backwards = json!({"type": "string", "enum": ["asc", "desc"], "default": "asc"});
    match name {
        "minSeq" => of(
            "The answer waits until this event is visible, 5 s at most; then it is `503` `seq_not_reached`.",
            seq.clone(),
            json!(1),
        ),
        "limit" => of(
            "Items at most.",
            json!({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
            Value::Null,
        ),
        "cursor" => of(
            "`next` of the page before; the other parameters must be the same.",
            text,
            Value::Null,
        ),
        "order" => of("Which way the list goes.", backwards, Value::Null),
        "sort" => of(
            "What the list goes by.",
            json!({"type": "string", "enum": ["updatedAt", "customerId"], "default": "updatedAt"}),
            Value::Null,
        ),
        "status" => of(
            "Customers with this status, in any case.",
            text,
            json!("APPROVED"),
        ),
        "kyc" => of(
            "Customers with this KYC outcome, in any case.",
            text,
            json!("PASSED"),
        ),
        "flagged" => of(
            "Customers that are flagged, or not; neither finds those of which it is not known.",
            truth,
            Value::Null,
        ),
        "externalId" => of(
            "Customers with exactly this id of yours; may find several.",
            text,
            json!("crm-1001"),
        ),
        "evaluation" => of(
            "Customers whose present run of a type has a status, as `type:status`.",
            json!({"type": "string", "pattern": "^[^:]+:.+$"}),
            json!("fraud:completed"),
        ),
        "updatedAfter" => {
            let time = document.answered::<Timestamp>();
            parameter(
                "query",
                name,
                "Customers that changed after this time.",
                &time,
                json!("2025-03-10T09:00:00Z"),
            )
        }
        "asOf" => {
            let time = document.answered::<Timestamp>();
            parameter(
                "query",
                name,
                "The customer as it was known at this time; not with `asOfSeq`.",
                &time,
                json!("2025-03-10T09:06:00Z"),
            )
        }
        "asOfSeq" => of(
            "The customer as it was known after this event.",
            seq,
            json!(7),
        ),
        "after" => of(
            if form == "/v1/events" {
                "Events after this one; with `order=desc` events before it, by default from the newest."
            } else {
                "Events after this one."
            },
            seq,
            json!(6),
        ),
        "wait" => of(
            "Seconds to wait for news when nothing matches; not with `order=desc`.",
            json!({"type": "integer", "minimum": 0, "maximum": MAX_WAIT_SECONDS, "default": 0}),
            Value::Null,
        ),
        "event" => of("Events of this name, in any case.", text, json!("onboard")),
        "customerId" => of(
            "Exactly this customer's.",
            text,
            json!("71c0de5a19b24f0e83d6a4b1"),
        ),
        "requestId" => of(
            "Events that name this request or were tied to it.",
            text,
            json!("k7Qm2ZtX9a"),
        ),
        "origin" => parameter(
            "query",
            name,
            "Events of this origin.",
            &document.answered::<Origin>(),
            Value::Null,
        ),
        "disposition" => parameter(
            "query",
            name,
            "Events of which this became.",
            &document.answered::<Disposition>(),
            Value::Null,
        ),
        "source" => parameter(
            "query",
            name,
            "Events that came this way.",
            &document.answered::<Source>(),
            Value::Null,
        ),
        "state" => parameter(
            "query",
            name,
            "Requests in this state.",
            &document.answered::<State>(),
            Value::Null,
        ),
        "overdue" => of("Requests that are overdue, or not.", truth, Value::Null),
        "operation" => parameter(
            "query",
            name,
            "Requests for this kind of call.",
            &document.answered::<Call>(),
            Value::Null,
        ),
        other => panic!("{other} is taken by {form} and not described"),
    }
}
