//! The control door's document: its own paths; the reads that it serves too are the query door's.

use serde_json::{Value, json};

use super::document::{Document, Operation, SEQ, parameter};
use crate::door::Code;
use crate::http::control::{
    AnswerBody, BackupBody, Empty, ErrandsBody, FlagBody, Given, Kept, MAX_WAIT_SECONDS, PATHS,
    PruneBody, PrunedView, RegisterBody, SettleBody, Takes,
};
use crate::http::errands::{Errand, Outbound, Report, Standing};
use crate::store::{Backup, Certificate};

const ABOUT: &str = "What local apps tell the daemon, and ask of it. HTTP over a Unix socket whose mode is who may: \
`curl --unix-socket /run/waldo-syncd/control.sock http://localhost/v1/flags`. Every path of the query door is served \
here too, without a token: see its document. Bodies are JSON objects; members that are not listed are refused. What \
becomes an event is answered when that is durable and visible.";

const OF_ALL: [Code; 3] = [Code::BadRequest, Code::MethodNotAllowed, Code::HeadTooLarge];
/// What bodies may be refused for.
const OF_BODIES: [Code; 3] = [
    Code::BadParameter,
    Code::RequestTimeout,
    Code::PayloadTooLarge,
];
/// What keeps an event from being written, or shown in time.
const OF_EVENTS: [Code; 4] = [
    Code::QueueFull,
    Code::Lagging,
    Code::Unavailable,
    Code::SeqNotReached,
];

/// The document.
pub fn document() -> Value {
    let mut document = Document::new();
    for path in PATHS {
        let operation = operation(&mut document, path.form, path.takes);
        document.add(operation);
    }
    document.finish(json!({
        "info": {
            "title": "waldo-syncd: control door",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "http://localhost", "description": "over the Unix socket"}],
        "tags": [
            {"name": "facts", "description": "What an app knows of its own calls."},
            {"name": "waldo", "description": "Having Waldo asked."},
            {"name": "file", "description": "Work on the file."},
            {"name": "outbound", "description": "For the process that speaks to Waldo; these may change."},
            {"name": "daemon", "description": "The door itself."},
        ],
        "components": {},
    }))
}

fn operation(document: &mut Document, form: &'static str, takes: Takes) -> Operation {
    let told = told(document, form);
    let mut problems = OF_ALL.to_vec();
    problems.extend(told.problems);
    let mut parameters = Vec::new();
    let in_path = form
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    parameters.extend(in_path.map(|name| {
        let (what, schema) = match name {
            "requestId" => (
                "Waldo's id of the call.",
                json!({"type": "string", "minLength": 1}),
            ),
            "customerId" => (
                "Waldo's id of the customer.",
                json!({"type": "string", "minLength": 1}),
            ),
            "id" => (
                "The number that asking for it gave.",
                json!({"type": "integer", "minimum": 0}),
            ),
            other => panic!("{other} is in a path and not described"),
        };
        parameter("path", name, what, &schema, Value::Null)
    }));
    let method = match takes {
        Takes::Get(names) => {
            problems.push(Code::BadParameter);
            parameters.extend(names.iter().map(|name| match *name {
                "wait" => parameter("query", name, "Seconds to wait for the end.",
                    &json!({"type": "integer", "minimum": 0, "maximum": MAX_WAIT_SECONDS, "default": 0}), Value::Null),
                other => panic!("{other} is taken and not described"),
            }));
            "get"
        }
        Takes::Post(_) => {
            problems.extend(OF_BODIES);
            "post"
        }
    };
    Operation {
        form,
        method,
        id: told.id,
        tag: told.tag,
        summary: told.summary,
        description: told.description,
        parameters,
        body: told.body,
        answers: told.answers,
        problems,
    }
}

struct Told {
    id: &'static str,
    tag: &'static str,
    summary: &'static str,
    description: &'static str,
    body: Option<Value>,
    answers: Vec<(&'static str, Value)>,
    problems: Vec<Code>,
}

/// A body with an example that a test sends.
fn body(schema: Value, example: Value) -> Option<Value> {
    Some(
        json!({"required": true, "content": {"application/json": {"schema": schema, "example": example}}}),
    )
}

fn told(document: &mut Document, form: &str) -> Told {
    let kept = |document: &mut Document, status, description| {
        let schema = document.answered::<Kept>();
        let mut answer = document.answer(description, "application/json", &schema, &[&SEQ]);
        answer["content"]["application/json"]["example"] = json!({"seq": 16});
        (status, answer)
    };
    let plain = |document: &mut Document, status, description, schema: Value| {
        vec![(
            status,
            document.answer(description, "application/json", &schema, &[]),
        )]
    };
    let told = |id, tag, summary, description, body, answers, problems| Told {
        id,
        tag,
        summary,
        description,
        body,
        answers,
        problems,
    };
    let with = |more: &[Code]| [OF_EVENTS.as_slice(), more].concat();
    match form {
        "/v1/requests" => {
            let answers = vec![
                kept(
                    document,
                    "200",
                    "It was registered before; registering again is harmless.",
                ),
                kept(document, "201", "It is registered."),
            ];
            let body = body(
                document.sent::<RegisterBody>(),
                json!({
                    "requestId": "Qd2Rn7Yw5k", "operation": "onboard", "customerId": "71c0de5a19b24f0e83d6a4b9",
                    "externalId": "crm-1009", "expects": ["kyc", "fraud"], "context": {"order": 4711},
                }),
            );
            told(
                "register",
                "facts",
                "Register a request",
                "As soon as Waldo has answered a call with a requestId. Webhooks without an id are then known as echoes of \
                it, and a missing outcome is noticed.",
                body,
                answers,
                with(&[Code::Conflict]),
            )
        }
        "/v1/requests/{requestId}/settle" => {
            let answers = vec![kept(document, "200", "It is settled.")];
            let body = body(
                document.sent::<SettleBody>(),
                json!({"state": "failed", "note": "checked by hand"}),
            );
            told(
                "settle",
                "facts",
                "Settle a request by hand",
                "What webhooks say later goes before it.",
                body,
                answers,
                with(&[Code::Conflict, Code::NotFound]),
            )
        }
        "/v1/flags" => {
            let answers = vec![kept(document, "200", "It is noted.")];
            let body = body(
                document.sent::<FlagBody>(),
                json!({"customerId": "71c0de5a19b24f0e83d6a4b1", "flag": true}),
            );
            told(
                "noteFlagCall",
                "facts",
                "Note a flag call",
                "Before calling Waldo's `/flag`: the webhook that it causes within 15 minutes is then known as its echo.",
                body,
                answers,
                with(&[]),
            )
        }
        "/v1/answers" => {
            let answers = vec![kept(
                document,
                "200",
                "What it says of a customer or a request is kept.",
            )];
            let body = body(
                document.sent::<AnswerBody>(),
                json!({
                    "source": "gateway", "path": "/check-fraud", "status": 200,
                    "answer": {"requestId": "Hf6Kc1Ux3p", "customerId": "71c0de5a19b24f0e83d6a4b1"},
                }),
            );
            told(
                "recordAnswer",
                "facts",
                "Record an answer of Waldo's",
                "For whoever calls Waldo without the gateway. Outcomes and ids are kept of it, nothing else. Answered when \
                it is durable, also where it is not visible yet.",
                body,
                answers,
                with(&[]),
            )
        }
        "/v1/resync" => {
            let schema = document.answered::<Standing>();
            let answers = plain(document, "202", "It waits to be asked.", schema);
            let body = body(
                document.sent::<Errand>(),
                json!({"customerId": "71c0de5a19b24f0e83d6a4b1"}),
            );
            told(
                "resync",
                "waldo",
                "Have Waldo asked",
                "How one customer stands, or all, or what became of overdue requests.",
                body,
                answers,
                vec![Code::NoOutbound, Code::TooManyErrands],
            )
        }
        "/v1/resync/{id}" => {
            let schema = document.answered::<Standing>();
            let answers = plain(document, "200", "What came of it so far.", schema);
            told(
                "resyncStanding",
                "waldo",
                "Read what came of it",
                "Waits for the end if asked to.",
                None,
                answers,
                vec![Code::NotFound, Code::TooManyWaiting, Code::Stopping],
            )
        }
        "/v1/outbound" => {
            let answers = plain(
                document,
                "200",
                "Taken.",
                json!({"type": "object", "maxProperties": 0}),
            );
            let body = body(document.sent::<Outbound>(), json!({"polling": true}));
            told(
                "tellOfOutbound",
                "outbound",
                "Tell of the process that speaks to Waldo",
                "Every few seconds.",
                body,
                answers,
                vec![],
            )
        }
        "/v1/errands" => {
            let schema = document.answered::<Given>();
            let answers = plain(
                document,
                "200",
                "An errand, or nulls when none came.",
                schema,
            );
            let body = body(document.sent::<ErrandsBody>(), json!({"waitSeconds": 0}));
            told(
                "nextErrand",
                "outbound",
                "Come for an errand",
                "Each is given out once.",
                body,
                answers,
                vec![Code::TooManyWaiting, Code::Stopping],
            )
        }
        "/v1/errands/{id}" => {
            let answers = plain(
                document,
                "200",
                "Taken.",
                json!({"type": "object", "maxProperties": 0}),
            );
            let body = body(
                document.sent::<Report>(),
                json!({"checked": 1, "finished": true}),
            );
            told(
                "reportOnErrand",
                "outbound",
                "Report on an errand",
                "Numbers replace those before, differences are added.",
                body,
                answers,
                vec![Code::NotFound],
            )
        }
        "/v1/backup" => {
            let schema = document.answered::<Backup>();
            let answers = plain(
                document,
                "201",
                "It is written and checked: what stands in its manifest, and `path`.",
                schema,
            );
            let body = body(
                document.sent::<BackupBody>(),
                json!({"path": "/mnt/backups"}),
            );
            told(
                "backup",
                "file",
                "Back up",
                "Takes as long as it takes; who goes away does not end it.",
                body,
                answers,
                vec![
                    Code::BadDestination,
                    Code::BackupRunning,
                    Code::DestinationExists,
                    Code::BackupFailed,
                    Code::Stopping,
                    Code::Unavailable,
                    Code::Lagging,
                    Code::SeqNotReached,
                ],
            )
        }
        "/v1/prune" => {
            let schema = document.answered::<PrunedView>();
            let answers = plain(document, "200", "What went so far.", schema);
            let body = body(
                document.sent::<PruneBody>(),
                json!({"before": "2025-03-10T09:00:00Z"}),
            );
            told(
                "prune",
                "file",
                "Take old payloads out",
                "For some 5 s; where that was not the end, send the same with `after` set to `next`.",
                body,
                answers,
                with(&[Code::Stopping]),
            )
        }
        "/v1/customers/{customerId}/erase" => {
            let schema = document.answered::<Certificate>();
            let answers = plain(
                document,
                "200",
                "Nothing is left of the customer: a certificate that names nobody.",
                schema,
            );
            let mut body = body(document.sent::<Empty>(), json!({}));
            body.iter_mut()
                .for_each(|body| body["required"] = json!(false));
            told(
                "erase",
                "file",
                "Erase a customer",
                "There is no way back.",
                body,
                answers,
                with(&[Code::NotFound, Code::Conflict]),
            )
        }
        "/openapi.json" => {
            let answers = plain(document, "200", "This document.", json!({"type": "object"}));
            told(
                "openapi",
                "daemon",
                "Read this document",
                "`waldo-syncd openapi --door control` prints it too.",
                None,
                answers,
                vec![],
            )
        }
        other => panic!("{other} is served and not described"),
    }
}
