//! Webhook bodies in the shapes that Waldo documents, with ids of the test's choosing; and the fixture files.

use std::path::PathBuf;

use serde_json::{Value, json};

pub const ADA: &str = "71c0de5a19b24f0e83d6a4b1";
pub const BEN: &str = "71c0de5a19b24f0e83d6a4b2";
pub const CAY: &str = "71c0de5a19b24f0e83d6a4b3";
pub const DOT: &str = "71c0de5a19b24f0e83d6a4b4";
pub const ONBOARDING: &str = "k7Qm2ZtX9a";
pub const FRAUD_CHECK: &str = "Bw4sN0eR8c";
pub const DOCUMENT: &str = "Tz5gL8oF2e";
pub const KYC_CHECK: &str = "Jp3yV6uH1d";

pub fn payload_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/payloads")
}

/// The bytes of a file of tests/fixtures/payloads.
#[track_caller]
pub fn sample(name: &str) -> Vec<u8> {
    let path = payload_dir().join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A decision on the dashboard: no request, no evaluation.
pub fn onboard(customer: &str, status: &str, kyc: &str) -> Value {
    json!({"event": "onboard", "customerId": customer, "validation": {"status": status, "kyc": kyc}})
}

pub fn flag(customer: &str, flag: bool) -> Value {
    json!({"event": "flag", "flag": flag, "customerId": customer})
}

/// An evaluation event without a requestId.
pub fn evaluation(customer: &str, kind: &str, status: &str) -> Value {
    json!({"event": "evaluation", "customerId": customer, "evaluation": {"type": kind, "status": status}})
}

/// An evaluation event under a requestId.
pub fn run(customer: &str, request: &str, kind: &str, status: &str) -> Value {
    with(
        evaluation(customer, kind, status),
        json!({"requestId": request}),
    )
}

/// The first object with the members of the second laid over it.
#[track_caller]
pub fn with(mut base: Value, over: Value) -> Value {
    let members = over.as_object().expect("an object").clone();
    base.as_object_mut().expect("an object").extend(members);
    base
}

/// What a test may hand over as a body.
pub trait Body {
    fn bytes(self) -> Vec<u8>;
}

impl Body for Value {
    fn bytes(self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

impl Body for &Value {
    fn bytes(self) -> Vec<u8> {
        self.to_string().into_bytes()
    }
}

impl Body for &str {
    fn bytes(self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

impl Body for String {
    fn bytes(self) -> Vec<u8> {
        self.into_bytes()
    }
}

impl Body for &[u8] {
    fn bytes(self) -> Vec<u8> {
        self.to_vec()
    }
}

impl Body for Vec<u8> {
    fn bytes(self) -> Vec<u8> {
        self
    }
}
