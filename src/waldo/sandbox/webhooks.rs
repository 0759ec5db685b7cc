//! The shapes of webhooks, contradictions between Waldo's pages included.

use fastrand::Rng;
use serde_json::{Map, Value, json};

use super::customer::Customer;
use super::outcomes::{APPROVED_FROM, REVIEW_FROM};
use super::run::{Run, Step};
use super::words::{Check, Operation, Progress, Standing};

const COMMON_TAGS: [(&str, &str); 5] = [
    ("ssn", "SSN check"),
    ("date_of_birth", "Birth date check"),
    ("legal_and_regulatory_warnings", "Legal check"),
    ("politically_exposed_person", "PEP check"),
    ("sanction", "Sanctions check"),
];
const FRAUD_TAGS: [(&str, &str); 5] = [
    ("address", "Address check"),
    ("fraud_reports", "Network reports check"),
    ("watchlists_validation", "Watchlist check"),
    ("phone_number_validation", "Phone check"),
    ("email_address_validation", "E-mail check"),
];
const DOCUMENT_TAGS: [(&str, &str); 5] = [
    ("age_validation", "Age check"),
    ("image_integrity", "Image check"),
    ("data_comparison", "Comparison check"),
    ("data_consistency", "Consistency check"),
    ("compromised_document", "Compromise check"),
];

/// A body, as its members.
pub type Body = Map<String, Value>;

fn members(value: Value) -> Body {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// What is told about one phase of a run; the customer is as this phase left it.
pub fn phase(run: &Run, step: &Step, customer: &Customer) -> Body {
    let event = if run.operation == Operation::Onboard {
        "onboard"
    } else {
        "evaluation"
    };
    let mut body = members(json!({
        "event": event,
        "evaluation": {"type": step.check, "status": step.progress},
        "customerId": customer.id,
        "uri": customer.uri(),
    }));
    let fraud_check = run.operation == Operation::Fraud;
    let completed = step.progress == Progress::Completed;
    // Page "check-fraud" shows the end of a check without the id that its answer gave.
    if let Some(id) = run
        .request_id
        .as_ref()
        .filter(|_| !(fraud_check && completed))
    {
        body.insert("requestId".to_owned(), json!(id));
    }
    if fraud_check && completed {
        let uri = format!("https://app.waldo.ai/customers//{}", customer.id);
        body.insert("uri".to_owned(), json!(uri));
    }
    match step.progress {
        Progress::Completed => {
            body.insert("validation".to_owned(), result(run, step, customer));
            // The samples with a result do not show the externalId; identity alone has no such sample.
            if step.check == Check::Kyc {
                body.insert("externalId".to_owned(), json!(customer.external_id));
            }
        }
        Progress::Failed => {}
        Progress::Initiated | Progress::Running => {
            body.insert("externalId".to_owned(), json!(customer.external_id));
            let told = step.progress == Progress::Initiated || run.operation == Operation::Onboard;
            if told {
                body.insert("validation".to_owned(), customer.validation());
            }
        }
    }
    body
}

fn result(run: &Run, step: &Step, customer: &Customer) -> Value {
    let mut validation = members(customer.validation());
    if step.check == Check::Kyc {
        return Value::Object(validation);
    }
    let tags = tags(run, step.check);
    let warnings = tags.iter().filter(|tag| !tag.passed).count();
    validation.insert("fraudFlag".to_owned(), json!(customer.flagged));
    validation.insert("warnings".to_owned(), json!(warnings));
    let list = match step.check {
        Check::Document => tags.iter().map(Tag::shown).collect(),
        Check::Kyc | Check::Fraud => Value::Object(
            tags.iter()
                .map(|tag| (tag.name.to_owned(), tag.shown()))
                .collect(),
        ),
    };
    validation.insert("warningTags".to_owned(), list);
    Value::Object(validation)
}

struct Tag {
    name: &'static str,
    label: &'static str,
    passed: bool,
    is_doc: bool,
}

impl Tag {
    fn shown(&self) -> Value {
        let mut tag = json!({"tag": self.name, "label": self.label, "passed": self.passed});
        if self.is_doc {
            tag["isDoc"] = json!(true);
        }
        tag
    }
}

fn tags(run: &Run, check: Check) -> Vec<Tag> {
    let mut rng = Rng::with_seed(run.outcome.tag_seed);
    let document = check == Check::Document;
    let own = if document { DOCUMENT_TAGS } else { FRAUD_TAGS };
    let failing = match run.outcome.score {
        _ if document && !run.outcome.document_warns => 0,
        _ if document => rng.usize(1..=2),
        score if score >= APPROVED_FROM => 0,
        score if score >= REVIEW_FROM => rng.usize(1..=2),
        _ => rng.usize(2..=4),
    };
    let failed = rng.choose_multiple(0..own.len(), failing);
    let common = COMMON_TAGS.iter().map(|tag| (tag, true, false));
    let own = own
        .iter()
        .enumerate()
        .map(|(place, tag)| (tag, !failed.contains(&place), document));
    common
        .chain(own)
        .map(|(&(name, label), passed, is_doc)| Tag {
            name,
            label,
            passed,
            is_doc,
        })
        .collect()
}

/// What a person decided on the dashboard, in the older shape; `older` says ACCEPTED for APPROVED.
pub fn decision(customer: &Customer, older: bool) -> Body {
    let mut validation = customer.validation();
    if older && customer.status == Standing::Approved {
        validation["status"] = json!("ACCEPTED");
    }
    members(json!({
        "event": "onboard",
        "validation": validation,
        "externalId": customer.external_id,
        "customerId": customer.id,
        "uri": customer.uri(),
    }))
}

/// That a customer was flagged or unflagged: never a status, never a `requestId`.
pub fn flag(customer: &Customer) -> Body {
    members(json!({
        "event": "flag",
        "flag": customer.flagged,
        "externalId": customer.external_id,
        "customerId": customer.id,
        "uri": customer.uri(),
    }))
}
