//! The control door's own paths.

use serde_json::{Value, json};

use crate::common::Daemon;
use crate::common::http::Answer;
use crate::description::{Description, Operation};
use crate::told;

fn call(daemon: &Daemon, method: &str, target: &str, body: Option<&[u8]>) -> Answer {
    let answer = daemon.controller().call(method, target, &[], body);
    answer.unwrap_or_else(|error| panic!("{method} {target}: {error}"))
}

/// A path with something that is there in the place of the braces.
fn target(form: &str) -> String {
    form.replace("{requestId}", "Vx3Pq9Lm2d")
        .replace("{customerId}", "71c0de5a19b24f0e83d6a4b2")
        .replace("{id}", "1")
}

fn example(operation: &Operation<'_>) -> Option<Value> {
    let media = &operation.member("requestBody")["content"]["application/json"];
    media.get("example").cloned()
}

#[test]
fn what_is_described_is_answered_as_described() {
    let daemon = told();
    let document = Description::read("openapi-control.json");
    let backups = daemon.place().path().join("backups");
    std::fs::create_dir(&backups).unwrap();
    // Before anybody runs who speaks to Waldo.
    let resync = document.operation("POST", "/v1/resync");
    let answer = call(&daemon, "POST", "/v1/resync", Some(b"{\"all\":true}"));
    answer.assert_problem(503, "no_outbound");
    document.assert_answer(&resync, &answer, "/v1/resync");

    let mut operations = document.operations();
    // Whoever runs errands is there before the errand, the errand before what tells of it, and the end comes last.
    let turn = |form: &str| match form {
        "/v1/outbound" => 0,
        "/v1/errands" => 1,
        "/v1/resync" => 2,
        "/v1/customers/{customerId}/erase" => 9,
        _ => 3,
    };
    operations.sort_by_key(|operation| turn(operation.form));
    for operation in &operations {
        let target = target(operation.form);
        let mut body = example(operation);
        if operation.form == "/v1/backup" {
            body = Some(json!({"path": backups}));
        }
        let body = body.map(|body| body.to_string().into_bytes());
        let answer = call(&daemon, &operation.method, &target, body.as_deref());
        document.assert_answer(operation, &answer, &target);
        let expected: &[u16] = match operation.form {
            "/v1/errands/{id}" => &[404],
            "/v1/resync/{id}" => &[404],
            _ => &[200, 201, 202],
        };
        assert!(
            expected.contains(&answer.status),
            "{target}: {} {}",
            answer.status,
            answer.text()
        );
        if operation.form == "/v1/requests" {
            let again = call(&daemon, "POST", &target, body.as_deref());
            assert_eq!(again.status, 200);
            document.assert_answer(operation, &again, &target);
            let other = call(
                &daemon,
                "POST",
                &target,
                Some(br#"{"requestId":"Qd2Rn7Yw5k","operation":"fraud"}"#),
            );
            other.assert_problem(409, "conflict");
            document.assert_answer(operation, &other, &target);
        }
    }
}

#[test]
fn an_errand_is_told_of_as_described() {
    let daemon = told();
    let document = Description::read("openapi-control.json");
    let post = |form: &str, target: &str, body: Value| {
        let answer = call(&daemon, "POST", target, Some(body.to_string().as_bytes()));
        document.assert_answer(&document.operation("POST", form), &answer, target);
        answer.json()
    };
    post("/v1/errands", "/v1/errands", json!({"waitSeconds": 0}));
    let id = post("/v1/resync", "/v1/resync", json!({"all": true}))["id"].clone();
    let given = post("/v1/errands", "/v1/errands", json!({"waitSeconds": 0}));
    assert_eq!(given["id"], id);
    let report = json!({
        "checked": 1, "total": 1, "drifted": 1, "finished": true,
        "drift": [{"customerId": "c", "fields": [{"field": "status", "from": null, "to": "APPROVED"}]}],
    });
    post("/v1/errands/{id}", &format!("/v1/errands/{id}"), report);
    let target = format!("/v1/resync/{id}?wait=0");
    let answer = call(&daemon, "GET", &target, None);
    assert_eq!(answer.json()["state"], "done");
    document.assert_answer(
        &document.operation("GET", "/v1/resync/{id}"),
        &answer,
        &target,
    );
}

#[test]
fn what_is_wrong_is_refused_as_described() {
    let daemon = told();
    let document = Description::read("openapi-control.json");
    for operation in document.operations() {
        let target = target(operation.form);
        let check = |target: &str, body: Option<&[u8]>, status: u16| {
            let answer = call(&daemon, &operation.method, target, body);
            assert_eq!(answer.status, status, "{target}: {}", answer.text());
            document.assert_answer(&operation, &answer, target);
        };
        check(&format!("{target}?colour=red"), Some(b"{}"), 400);
        if operation.method == "POST" {
            for body in ["{\"colour\":\"red\"}", "[]", "nothing", "{"] {
                check(&target, Some(body.as_bytes()), 400);
            }
            check(&target, Some("x".repeat(2 << 20).as_bytes()), 413);
        }
    }
}

#[test]
fn no_method_is_served_that_is_not_described() {
    let daemon = told();
    let (document, reads) = (
        Description::read("openapi-control.json"),
        Description::read("openapi.json"),
    );
    let described = |document: &Description, form: &str, method: &str| {
        document.whole()["paths"][form]
            .get(method.to_lowercase())
            .is_some()
    };
    for form in document.whole()["paths"].as_object().unwrap().keys() {
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            if described(&document, form, method) || described(&reads, form, method) {
                continue;
            }
            let answer = call(&daemon, method, &target(form), None);
            assert_eq!(answer.status, 405, "{method} {form}");
            let allowed = answer.header("allow").unwrap();
            for method in allowed.split(", ") {
                assert!(
                    described(&document, form, method) || described(&reads, form, method),
                    "{allowed}: {form}"
                );
            }
        }
    }
}
