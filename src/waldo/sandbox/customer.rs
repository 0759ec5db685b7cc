//! One made-up customer: what was given at its onboarding, and what became of it.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::{Value, json};

use super::run::Run;
use super::words::{Kyc, Standing};

/// Items of one history; the oldest go.
pub const MAX_HISTORY: usize = 100;
/// Evaluations of one customer at once.
pub const MAX_RUNNING: usize = 16;

/// The personal fields of `POST /onboard`.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are Waldo's")]
pub struct Person {
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    pub phone: String,
    pub address: String,
    pub state: String,
    pub zip_code: String,
    pub dob: String,
    pub official_id: OfficialId,
    pub ip_address: Option<String>,
}

/// A number that a state gave somebody.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are Waldo's")]
pub struct OfficialId {
    pub doc_type: String,
    pub value: String,
    pub country: String,
}

/// A customer.
pub struct Customer {
    /// 24 hex digits.
    pub id: String,
    /// The company's own id; empty where none was given.
    pub external_id: String,
    /// When it was onboarded, in ms.
    pub created_at: i64,
    /// Whether it is approved.
    pub status: Standing,
    /// What the identity check found.
    pub kyc: Kyc,
    /// Of the last fraud check that completed.
    pub score: Option<f64>,
    /// Whether somebody flagged it.
    pub flagged: bool,
    /// The runs that have not ended, by operation number.
    pub running: Vec<u64>,
    person: Person,
    kyc_history: VecDeque<Value>,
    fraud_history: VecDeque<Value>,
}

impl Customer {
    /// Before its first evaluation.
    pub fn new(id: String, external_id: String, created_at: i64, person: Person) -> Self {
        Self {
            id,
            external_id,
            created_at,
            status: Standing::Review,
            kyc: Kyc::Pending,
            score: None,
            flagged: false,
            running: Vec::new(),
            person,
            kyc_history: VecDeque::new(),
            fraud_history: VecDeque::new(),
        }
    }

    /// A link of Waldo's dashboard.
    pub fn uri(&self) -> String {
        format!("https://app.waldo.ai/customers/{}", self.id)
    }

    /// `validation` with the three members that every page shows; 0 is also the score of those who have none.
    pub fn validation(&self) -> Value {
        json!({"status": self.status, "kyc": self.kyc, "fraudScore": self.score_or_zero()})
    }

    fn score_or_zero(&self) -> Value {
        self.score.map_or(json!(0), |score| json!(score))
    }

    /// Whether a field of `GET /customer` has this value; `None` where there is no such field.
    pub fn matches(&self, field: &str, value: &str) -> Option<bool> {
        let person = &self.person;
        Some(match field {
            "customerId" => self.id == value,
            "externalId" => self.external_id == value,
            "email" => person.email == value,
            "officialId" => person.official_id.value == value,
            "zipCode" => person.zip_code == value,
            "dob" => person.dob == value,
            _ => return None,
        })
    }

    /// As `GET /customer` shows it. `latest` is the run that began last, if any runs.
    pub fn shown(&self, latest: Option<&Run>) -> Value {
        let person = &self.person;
        let id = &person.official_id;
        let evaluation = latest.and_then(Run::shown).map_or_else(
            || json!({"type": "idle", "status": "idle"}),
            |(check, progress)| json!({"type": check, "status": progress}),
        );
        json!({
            "createdAt": self.created_at,
            "firstName": person.first_name,
            "lastName": person.last_name,
            "officialId": {"docType": id.doc_type, "value": id.value, "country": id.country},
            "dob": person.dob,
            "address": person.address,
            "email": person.email,
            "phone": person.phone,
            "zipCode": person.zip_code,
            "state": person.state,
            "ipAddress": {"valid": person.ip_address.is_some(), "value": person.ip_address.as_deref().unwrap_or_default()},
            "evaluation": evaluation,
            "validation": {
                "status": self.status,
                "kyc": self.kyc,
                "fraudScore": self.score_or_zero(),
                "fraudReport": false,
                "fraudCheck": self.score.is_some(),
            },
            "externalId": self.external_id,
            "customerId": self.id,
            "uri": self.uri(),
        })
    }

    /// Notes what an identity or document evaluation found.
    pub fn note_kyc(&mut self, item: Value) {
        note(&mut self.kyc_history, item);
    }

    /// Notes what a fraud evaluation found.
    pub fn note_fraud(&mut self, item: Value) {
        note(&mut self.fraud_history, item);
    }

    /// The history of identity and documents, if there is any.
    pub fn kyc_history(&self) -> Option<Value> {
        history(&self.kyc_history)
    }

    /// The history of scores, if there is any.
    pub fn fraud_history(&self) -> Option<Value> {
        history(&self.fraud_history)
    }
}

fn note(history: &mut VecDeque<Value>, item: Value) {
    if history.len() >= MAX_HISTORY {
        history.pop_front();
    }
    history.push_back(item);
}

fn history(items: &VecDeque<Value>) -> Option<Value> {
    let active = items.back()?;
    Some(json!({"active": active, "history": items}))
}
