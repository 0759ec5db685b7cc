//! The query door: every path with every parameter, on a daemon that has seen all kinds of things.

use serde_json::{Value, json};

use crate::common::bodies::*;
use crate::common::http::{Answer, percent};
use crate::common::{Daemon, Place, story};
use crate::description::{Description, Operation};
use crate::told;

/// What the document shows an answer to.
pub const EXAMPLES: &[&str] = &[
    "/v1/customers?order=desc&limit=1",
    "/v1/customers/71c0de5a19b24f0e83d6a4b1",
    "/v1/customers/71c0de5a19b24f0e83d6a4b1/events?limit=1",
    "/v1/events?after=6&limit=1",
    "/v1/events/stream?after=15",
    "/v1/events/16",
    "/v1/events/7/payload",
    "/v1/requests?order=desc&limit=1",
    "/v1/requests/k7Qm2ZtX9a",
    "/v1/stats",
    "/healthz",
    "/readyz",
];

/// The answer as the document shows it: of what no story can fix, only that it is there.
#[track_caller]
pub fn example(daemon: &Daemon, target: &str) -> Value {
    if target.contains("stream") {
        let mut reader = daemon.reader();
        let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        reader.send(request.as_bytes()).unwrap();
        let lines = std::iter::repeat_with(|| reader.line().unwrap());
        let mut event: Vec<String> = lines
            .skip_while(|line| !line.starts_with("event:"))
            .take_while(|line| !line.is_empty())
            .collect();
        event.push("\n".to_owned());
        return json!(event.join("\n"));
    }
    let answer = daemon.get(target);
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    let mut shown = answer.json();
    if target == "/v1/stats" {
        shown["rates"] = json!({
            "lastHour": [{"at": "2025-03-10T09:16:00.000Z", "events": 1}],
            "lastDay": [{"at": "2025-03-10T09:00:00.000Z", "events": 16}],
        });
        shown["files"] = json!({"databaseBytes": 69632, "walBytes": 0});
    }
    shown
}

/// A daemon that knows the story and whatever else there is to know.
fn varied() -> Daemon {
    let daemon = told();
    let mut last = 0;
    let mut names: Vec<_> = std::fs::read_dir(payload_dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    for path in names
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
    {
        last = daemon.deliver(std::fs::read(path).unwrap());
    }
    for body in [
        "[]".to_owned(),
        "{\"event\":7,\"customerId\":\"odd\"}".to_owned(),
        "x".repeat(2 << 20),
        run("c/ö?&", "r/ö", "selfie", "paused").to_string(),
        with(onboard("d", "NEWWORD", "OTHER"), json!({"externalId": ""})).to_string(),
    ] {
        let answer = daemon.post(body);
        last = answer.json()["seq"].as_u64().unwrap_or(last);
    }
    let tell = |path: &str, body: Value| {
        let body = body.to_string();
        let answer = daemon
            .controller()
            .call("POST", path, &[], Some(body.as_bytes()));
        let answer = answer.unwrap();
        assert!(answer.status < 300, "{path}: {}", answer.text());
        answer.json()
    };
    tell(
        "/v1/requests",
        json!({"requestId": "open", "operation": "other", "context": [1, {"a": null}]}),
    );
    tell(
        "/v1/requests",
        json!({"requestId": "given-up", "operation": "flag", "customerId": "d"}),
    );
    tell(
        "/v1/requests/given-up/settle",
        json!({"state": "failed", "note": "by hand"}),
    );
    tell("/v1/flags", json!({"customerId": "d", "flag": false}));
    tell(
        "/v1/outbound",
        json!({"gateway": "127.0.0.1:1", "polling": true, "lastPollAt": "2025-03-10T09:00:00Z"}),
    );
    tell("/v1/prune", json!({"before": "2025-03-10T09:05:30Z"}));
    tell(&format!("/v1/customers/{CAY}/erase"), json!({}));
    let backups = daemon.place().path().join("backups");
    std::fs::create_dir(&backups).unwrap();
    tell("/v1/backup", json!({"path": backups}));
    daemon.event(last);
    daemon
}

/// Targets of a path: every thing that there is in the place of the braces.
fn targets(daemon: &Daemon, form: &str) -> Vec<String> {
    let all = |list: &str, member: &str| -> Vec<String> {
        let items = daemon.all(list, 1000);
        let ids = items
            .iter()
            .map(|item| item[member].as_str().unwrap().to_owned());
        ids.collect()
    };
    let (name, ids) = if form.contains("{customerId}") {
        ("{customerId}", all("/v1/customers", "customerId"))
    } else if form.contains("{requestId}") {
        ("{requestId}", all("/v1/requests", "requestId"))
    } else if form.contains("{seq}") {
        let newest = daemon.get("/v1/events?order=desc&limit=1").items();
        let newest = newest[0]["seq"].as_u64().unwrap();
        ("{seq}", (1..=newest).map(|seq| seq.to_string()).collect())
    } else if form.contains("{file}") {
        let files = ["app.js", "app.css", "icon.svg", "uPlot.js"];
        ("{file}", files.map(str::to_owned).to_vec())
    } else {
        return vec![form.to_owned()];
    };
    ids.iter()
        .map(|id| form.replace(name, &percent(id)))
        .collect()
}

/// Values that a parameter takes, and values that it does not.
fn values(document: &Description, parameter: &Value) -> (Vec<String>, Vec<String>) {
    let schema = document.schema(&parameter["schema"]);
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let mut good: Vec<String> = parameter.get("example").into_iter().map(text).collect();
    let mut bad = Vec::new();
    if let Some(words) = schema["enum"].as_array() {
        good.extend(words.iter().map(text));
        bad.extend(["", "none of them"].map(str::to_owned));
    }
    match schema["type"].as_str() {
        Some("integer") => {
            let least = schema["minimum"].as_u64().unwrap();
            let most = schema["maximum"].as_u64().unwrap();
            good.push(least.to_string());
            bad.extend([
                (i128::from(least) - 1).to_string(),
                (i128::from(most) + 1).to_string(),
            ]);
            bad.extend(["", "1.0", "ten", "0x1"].map(str::to_owned));
        }
        Some("boolean") => {
            good.extend(["true", "false"].map(str::to_owned));
            bad.extend(["", "1", "TRUE"].map(str::to_owned));
        }
        _ if schema["format"] == "date-time" => {
            bad.extend(["", "yesterday", "2025-03-10", "1741597200"].map(str::to_owned));
        }
        _ if schema.get("pattern").is_some() => bad.push("no colon".to_owned()),
        _ => {}
    }
    (good, bad)
}

fn ask(
    daemon: &Daemon,
    operation: &Operation<'_>,
    target: &str,
    headers: &[(&str, &str)],
) -> Answer {
    if operation.form == "/v1/events/stream" {
        return first_of_stream(daemon, operation, target, headers);
    }
    let answer = daemon
        .reader()
        .call(&operation.method, target, headers, None);
    answer.unwrap_or_else(|error| panic!("{} {target}: {error}", operation.method))
}

/// The head of a stream, whose body has no end; a problem has one.
fn first_of_stream(
    daemon: &Daemon,
    operation: &Operation<'_>,
    target: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let mut reader = daemon.reader();
    let request = crate::common::http::request(&operation.method, target, headers, None);
    reader.send(&request).unwrap();
    reader
        .head_then(|status| status >= 400 && operation.method != "HEAD")
        .unwrap()
}

#[test]
fn what_is_described_is_answered_as_described() {
    let daemon = varied();
    let document = Description::read("openapi.json");
    let mut answered = 0;
    for operation in document.operations() {
        let targets = targets(&daemon, operation.form);
        assert!(!targets.is_empty(), "{}", operation.form);
        let mut check = |target: &str, headers: &[(&str, &str)]| {
            let answer = ask(&daemon, &operation, target, headers);
            document.assert_answer(&operation, &answer, target);
            answered += 1;
            answer
        };
        for target in &targets {
            let status = check(target, &[]).status;
            let gone = operation.form.ends_with("/payload") && status == 404;
            assert!(status == 200 || gone, "{target}: {status}");
        }
        // One that has all there is to have.
        let target = targets.last().unwrap();
        for parameter in document.parameters(&operation) {
            let name = parameter["name"].as_str().unwrap();
            let (good, bad) = values(&document, &parameter);
            match parameter["in"].as_str().unwrap() {
                "query" => {
                    for value in good {
                        let target = format!("{target}?{name}={}", percent(&value));
                        let status = check(&target, &[]).status;
                        // As long ago as an example may be, the customer was not known.
                        let unknown = name.starts_with("asOf") && status == 404;
                        assert!(status == 200 || unknown, "{target}: {status}");
                    }
                    for value in bad {
                        let answer = check(&format!("{target}?{name}={}", percent(&value)), &[]);
                        assert_eq!(answer.status, 400, "{name}={value} at {target}");
                        if operation.method == "GET" {
                            answer.assert_bad_parameter(name);
                        }
                    }
                    let twice = format!("{target}?{name}=1&{name}=1");
                    assert_eq!(check(&twice, &[]).status, 400, "{twice}");
                }
                "header" => {
                    for value in good.iter().map(String::as_str).chain(["*"]) {
                        let status = check(target, &[(name, value)]).status;
                        assert!(
                            matches!(status, 200 | 304 | 400),
                            "{name}: {value}: {status}"
                        );
                    }
                }
                _ => {}
            }
        }
        assert_eq!(check(&format!("{target}?colour=red"), &[]).status, 400);
        assert_eq!(check(target, &[("host", "evil.example")]).status, 421);
        if operation.form.contains('{') {
            let unknown = operation.form.split('{').next().unwrap();
            let rest = operation.form.split('}').nth(1).unwrap();
            for id in ["nobody", "0", "%FF", "%00", "..", "99999999999999999999999"] {
                assert_eq!(
                    check(&format!("{unknown}{id}{rest}"), &[]).status,
                    404,
                    "{id}"
                );
            }
        }
    }
    assert!(answered > 500, "{answered} answers were looked at");
}

/// What a parameter of one path does at another: it is refused unless it is described there.
#[test]
fn no_path_takes_a_parameter_that_is_not_described_for_it() {
    let daemon = told();
    let document = Description::read("openapi.json");
    let operations = document.operations();
    let names = |operation: &Operation<'_>| -> Vec<String> {
        let parameters = document.parameters(operation);
        let of_query = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "query");
        of_query
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut all: Vec<String> = operations.iter().flat_map(names).collect();
    all.extend(
        [
            "offset", "page", "fields", "q", "search", "since", "before", "seq",
        ]
        .map(str::to_owned),
    );
    for operation in &operations {
        let known = names(operation);
        for name in all.iter().filter(|name| !known.contains(name)) {
            let target = format!("{}?{name}=1", operation.form.replace(['{', '}'], ""));
            let answer = ask(&daemon, operation, &target, &[]);
            assert_eq!(answer.status, 400, "{target}: {}", answer.text());
        }
    }
}

#[test]
fn no_method_is_served_that_is_not_described() {
    let daemon = told();
    let document = Description::read("openapi.json");
    for form in document.whole()["paths"].as_object().unwrap().keys() {
        for method in [
            "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY",
        ] {
            let target = form.replace(['{', '}'], "");
            let answer = daemon.reader().call(method, &target, &[], None).unwrap();
            answer.assert_problem(405, "method_not_allowed");
            assert_eq!(answer.header("allow"), Some("GET, HEAD"), "{method} {form}");
            // Each read tells of it.
            document.assert_answer(&document.operation("GET", form), &answer, form);
        }
    }
}

/// The documents are made from the tables that the doors serve, so this finds what would be served beside them.
#[test]
fn no_path_is_served_that_is_not_described() {
    let daemon = told();
    let document = Description::read("openapi.json");
    let forms: Vec<&String> = document.whole()["paths"]
        .as_object()
        .unwrap()
        .keys()
        .collect();
    let mut tried = vec![
        "/v1".to_owned(),
        "/v2/events".to_owned(),
        "/events".to_owned(),
        "/docs".to_owned(),
    ];
    for form in &forms {
        let plain = form.replace(['{', '}'], "");
        let parts: Vec<&str> = plain.split('/').collect();
        tried.extend((1..parts.len()).map(|end| parts[..end].join("/")));
        tried.extend(
            ["/", "/x", "/events", "/payload", "/settle", "/erase"].map(|end| plain.clone() + end),
        );
        tried.push(plain.to_uppercase());
        tried.push(format!("/{plain}"));
    }
    for path in [
        "flags",
        "answers",
        "resync",
        "outbound",
        "errands",
        "backup",
        "prune",
        "customers/x/erase",
    ] {
        tried.push(format!("/v1/{path}"));
    }
    let described = |path: &str| {
        forms.iter().any(|form| {
            let (form, path): (Vec<&str>, Vec<&str>) =
                (form.split('/').collect(), path.split('/').collect());
            form.len() == path.len()
                && form
                    .iter()
                    .zip(path)
                    .all(|(form, path)| *form == path || form.starts_with('{') && !path.is_empty())
        })
    };
    let mut nowhere = 0;
    for path in tried
        .iter()
        .filter(|path| path.starts_with('/') && !described(path))
    {
        daemon.get(path).assert_problem(404, "not_found");
        nowhere += 1;
    }
    assert!(nowhere > 50, "{nowhere} paths were tried");
}

#[test]
fn what_needs_a_token_or_another_time_is_described_too() {
    let document = Description::read("openapi.json");
    let daemon = Daemon::configured(|place: &Place| {
        story::write(place);
        let token = place.file("token", "the-token-of-the-test\n");
        format!("[query]\ntoken_file = {token:?}\n")
    });
    for operation in document.operations() {
        let target = operation.form.replace(['{', '}'], "");
        let answer = ask(&daemon, &operation, &target, &[]);
        if operation.form == "/" || operation.form.starts_with("/page/") {
            assert_ne!(answer.status, 401, "{target}");
            continue;
        }
        assert_eq!(answer.status, 401, "{target}");
        document.assert_answer(&operation, &answer, &target);
        let wrong = ask(
            &daemon,
            &operation,
            &target,
            &[("authorization", "Bearer other")],
        );
        assert_eq!(wrong.status, 401, "{target}");
    }
    let right = [("authorization", "Bearer the-token-of-the-test")];
    let operation = document.operation("GET", "/v1/events");
    let answer = ask(&daemon, &operation, "/v1/events", &right);
    assert_eq!(answer.status, 200);
    document.assert_answer(&operation, &answer, "with a token");
    let answer = ask(&daemon, &operation, "/v1/events?minSeq=1000", &right);
    answer.assert_problem(503, "seq_not_reached");
    document.assert_answer(&operation, &answer, "a point that never comes");
}
