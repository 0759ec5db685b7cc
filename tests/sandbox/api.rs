//! The documented calls: shapes of answers, tokens, outcomes.

use std::time::Duration;

use serde_json::{Value, json};

use super::common::place::poll;
use super::{KEY, SECRET, Sandbox, assert_shape, document, members, request};

#[test]
fn every_answer_has_the_members_of_its_sample() {
    let sandbox = Sandbox::quick(&[]);
    let answer = sandbox.plain(
        "POST",
        "/authenticate",
        Some(&json!({"apiKey": KEY, "clientSecret": SECRET})),
    );
    assert_shape(&answer.json(), "api-authenticate-200.json");

    let onboarded = sandbox.onboard("crm-1", json!({"includeFraudCheck": true}));
    assert_shape(&onboarded, "api-onboard-200.json");
    let without = sandbox.onboard("crm-1", json!({}));
    assert_shape(&without, "api-onboard-200-without-options.json");
    let express = sandbox.onboard("crm-1", json!({"useExpressKYC": true}));
    assert_shape(&express, "api-onboard-200-express-kyc-inferred.json");
    for answer in [&onboarded, &without, &express] {
        assert_eq!(
            answer["evaluation"],
            json!({"type": "kyc", "status": "initiated"})
        );
        assert_eq!(answer["validation"]["status"], "REVIEW");
        assert_eq!(answer["validation"]["fraudScore"], 0);
    }
    assert_eq!(onboarded["validation"]["kyc"], "PENDING");
    let id = onboarded["customerId"].as_str().unwrap();
    assert!(id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let request_id = onboarded["requestId"].as_str().unwrap();
    assert!(request_id.len() == 10 && request_id.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    sandbox.idle();

    let checked = sandbox
        .post("/check-fraud", json!({"customerId": id}))
        .json();
    assert_shape(&checked, "api-check-fraud-200.json");
    let uploaded = document::upload(&sandbox, id, b"%PDF-1.7");
    assert_shape(&uploaded.json(), "api-document-200.json");
    let flagged = sandbox.post(
        "/flag",
        json!({"customerId": id, "flag": true, "note": "n"}),
    );
    assert_shape(&flagged.json(), "api-flag-200.json");
    assert_eq!(flagged.json()["status"], "REJECTED");
    sandbox.idle();

    let customer = sandbox.get(&format!("/customer?customerId={id}")).json();
    assert_shape(&customer, "api-customer-200.json");
    let none = sandbox.get("/customer?externalId=nobody").json();
    assert_eq!(none, request("api-customer-200-none-inferred.json"));
    let fraud = sandbox.get(&format!("/history/fraud/{id}")).json();
    assert_shape(&fraud, "api-history-fraud-200.json");
    assert_eq!(fraud["history"].as_array().unwrap().len(), 2);
    assert_eq!(fraud["active"], fraud["history"][1]);
    let kyc = sandbox.get(&format!("/history/kyc/{id}")).json();
    assert_shape(&kyc, "api-history-kyc-200.json");
    assert_eq!(kyc["history"][0]["type"], "kyc");
    assert_eq!(kyc["active"]["type"], "document");
}

#[test]
fn personal_fields_come_back_from_customer_and_nowhere_else() {
    let sandbox = Sandbox::quick(&[]);
    let id = sandbox.somebody("crm-7");
    let customer =
        sandbox.get(&format!("/customer?customerId={id}")).json()["customers"][0].clone();
    let given = request("api-onboard-request.json");
    for name in [
        "firstName",
        "lastName",
        "email",
        "phone",
        "address",
        "zipCode",
        "state",
        "dob",
    ] {
        assert_eq!(customer[name], given[name], "{name}");
    }
    assert_eq!(
        customer["officialId"]["value"],
        given["officialId"]["value"]
    );
    assert_eq!(
        customer["evaluation"],
        json!({"type": "idle", "status": "idle"})
    );
    for path in [
        "/sandbox/customers",
        "/sandbox/requests",
        "/sandbox/deliveries",
    ] {
        let text = sandbox.plain("GET", path, None).text();
        for name in ["email", "address", "lastName"] {
            assert!(
                !text.contains(given[name].as_str().unwrap()),
                "{path}: {name}"
            );
        }
    }
    let log = sandbox.process.log();
    assert!(
        !log.contains("Example") && !log.contains(&sandbox.token),
        "{log}"
    );
}

#[test]
fn customers_are_found_by_every_documented_field_and_all_must_fit() {
    let sandbox = Sandbox::quick(&[]);
    let one = sandbox.somebody("kyc-pass");
    let two = sandbox.somebody("kyc-pass");
    let found = |query: &str| {
        let answer = sandbox.get(&format!("/customer?{query}"));
        assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        answer.json()["customers"].as_array().unwrap().len()
    };
    // Many share one externalId in a sandbox.
    for query in [
        "externalId=kyc-pass",
        "email=ada%40example.com",
        "officialId=000-00-0000",
        "zipCode=00000",
        "dob=1990-01-02",
        "dob=1990-01-02&externalId=kyc-pass",
    ] {
        assert_eq!(found(query), 2, "{query}");
    }
    assert_eq!(found(&format!("customerId={one}")), 1);
    assert_eq!(found(&format!("customerId={two}&zipCode=1")), 0);
    assert_ne!(one, two);
}

#[test]
fn nothing_is_known_before_an_evaluation_has_ended() {
    let sandbox = Sandbox::start(&["--pace", "1h"]);
    let answer = sandbox.onboard("fraud-pass", json!({"includeFraudCheck": true}));
    let id = answer["customerId"].as_str().unwrap();
    for kind in ["kyc", "fraud"] {
        let history = sandbox.get(&format!("/history/{kind}/{id}"));
        assert_eq!(
            (history.status, &history.json()["code"]),
            (404, &json!("NOT_FOUND"))
        );
    }
    let customer = sandbox.get(&format!("/customer?customerId={id}")).json();
    assert_shape(&customer, "api-customer-200-running-inferred.json");
    let evaluation = &customer["customers"][0]["evaluation"];
    assert_eq!(*evaluation, json!({"type": "kyc", "status": "initiated"}));
    // A fraud check needs a completed onboarding.
    let early = sandbox.post("/check-fraud", json!({"customerId": id}));
    assert_eq!(
        (early.status, &early.json()["code"]),
        (400, &json!("INVALID_DATA"))
    );
    let truth = sandbox.truth(id);
    assert_eq!(truth["fraudScore"], Value::Null);
    assert_eq!(truth["running"][0]["requestId"], answer["requestId"]);
    assert_eq!(sandbox.plain("GET", "/sandbox/idle", None).status, 503);
}

#[test]
fn external_id_chooses_the_outcome() {
    let sandbox = Sandbox::start(&["--pace", "0s"]);
    let fraud = json!({"includeFraudCheck": true});
    let express = json!({"useExpressKYC": true});
    let both = json!({"includeFraudCheck": true, "useExpressKYC": true});
    for (external_id, options, kyc, status) in [
        ("kyc-pass", json!({}), "PASSED", "REVIEW"),
        ("kyc-review", json!({}), "REVIEW", "REVIEW"),
        ("fraud-pass", fraud.clone(), "PASSED", "APPROVED"),
        ("fraud-review", fraud.clone(), "PASSED", "REVIEW"),
        ("fraud-reject", fraud, "PASSED", "REJECTED"),
        ("expressKYC-pass", express.clone(), "PASSED", "REVIEW"),
        ("expressKYC-review", express.clone(), "REVIEW", "REVIEW"),
        ("expressKYC-delay", express, "PASSED", "REVIEW"),
        ("expressKYCFraud-pass", both.clone(), "PASSED", "APPROVED"),
        ("expressKYCFraud-review", both.clone(), "PASSED", "REVIEW"),
        ("expressKYCFraud-reject", both.clone(), "PASSED", "REJECTED"),
        ("expressKYCFraud-delay", both, "PASSED", "APPROVED"),
    ] {
        let answer = sandbox.onboard(external_id, options.clone());
        let quick = &answer["validation"]["expressKYC"];
        if options["useExpressKYC"] == true {
            let late = external_id.ends_with("delay");
            assert_eq!(quick["success"], !late, "{external_id}");
            assert_eq!(
                quick["outcome"],
                if late { Value::Null } else { json!(kyc) }
            );
        } else {
            assert!(quick.is_null(), "{external_id}");
        }
        sandbox.idle();
        let truth = sandbox.truth(answer["customerId"].as_str().unwrap());
        assert_eq!(
            (&truth["kyc"], &truth["status"]),
            (&json!(kyc), &json!(status)),
            "{external_id}"
        );
        let checked = options["includeFraudCheck"] == true;
        assert_eq!(truth["fraudScore"].is_number(), checked, "{external_id}");
    }
    for (external_id, status) in [
        ("fraudCheck-pass", "APPROVED"),
        ("fraudCheck-review", "REVIEW"),
        ("fraudCheck-reject", "REJECTED"),
    ] {
        let id = sandbox.somebody(external_id);
        sandbox.post("/check-fraud", json!({"customerId": id}));
        sandbox.idle();
        assert_eq!(sandbox.truth(&id)["status"], status, "{external_id}");
    }
    for (external_id, outcome) in [
        ("documentUpload-pass", "PASSED"),
        ("documentUpload-warn", "REVIEW"),
    ] {
        let id = sandbox.somebody(external_id);
        document::upload(&sandbox, &id, b"\xff\xd8\xff\xe0");
        sandbox.idle();
        let history = sandbox.get(&format!("/history/kyc/{id}")).json();
        assert_eq!(history["active"]["outcome"], outcome, "{external_id}");
    }
}

#[test]
fn evaluations_fail_when_asked_for() {
    let sandbox = Sandbox::quick(&["--fail", "1"]);
    let answer = sandbox.onboard("crm-1", json!({}));
    let webhooks = sandbox.webhooks();
    let last = webhooks.last().unwrap();
    assert_eq!(
        last["evaluation"],
        json!({"type": "kyc", "status": "failed"})
    );
    assert_eq!(last["requestId"], answer["requestId"]);
    let truth = sandbox.truth(answer["customerId"].as_str().unwrap());
    assert_eq!(
        (&truth["kyc"], &truth["status"]),
        (&json!("PENDING"), &json!("REVIEW"))
    );
}

#[test]
fn older_places_of_fields_are_taken_too() {
    let sandbox = Sandbox::quick(&[]);
    let mut body = request("api-onboard-request.json");
    let members = body.as_object_mut().unwrap();
    for name in ["externalId", "options", "country"] {
        members.remove(name);
    }
    members.insert("entityId".to_owned(), json!("fraud-pass"));
    members.insert("includeFraudCheck".to_owned(), json!(true));
    let answer = sandbox.post("/onboard", body).json();
    assert_eq!(answer["externalId"], "fraud-pass");
    sandbox.idle();
    let truth = sandbox.truth(answer["customerId"].as_str().unwrap());
    assert_eq!(truth["status"], "APPROVED");
}

#[test]
fn a_token_expires_and_every_good_answer_brings_a_fresh_one() {
    let mut sandbox = Sandbox::quick(&["--token-life", "1s"]);
    let first = sandbox.token.clone();
    let stale = poll("the token's end", Duration::from_secs(20), || {
        let answer = sandbox.get("/customer?zipCode=1");
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(
        (stale.status, &stale.json()["code"]),
        (401, &json!("INVALID_TOKEN"))
    );
    assert!(stale.header("authorization").is_none());
    sandbox.token = sandbox.log_in();
    let answer = sandbox.get("/customer?zipCode=1");
    let fresh = answer.header("authorization").unwrap().to_owned();
    sandbox.token = fresh.strip_prefix("Bearer ").unwrap().to_owned();
    assert_ne!(sandbox.token, first);
    assert_eq!(sandbox.token.split('.').count(), 3);
    assert_eq!(sandbox.get("/customer?zipCode=1").status, 200);
}

#[test]
fn the_helper_that_compares_members_sees_a_difference() {
    let (one, two) = (json!({"a": [{"b": 1}]}), json!({"a": [{"c": 1}]}));
    assert_ne!(members(&one), members(&two));
}
