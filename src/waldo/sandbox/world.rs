//! The made-up world: its customers, what runs, and every operation on them.
//!
//! Invariant: what an operation will come to (ids, outcome, phases, fates of its webhooks) is decided when it is
//! accepted, from the seed and its number alone. Refused calls and reads have no number.

mod phases;
mod truth;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};

use super::customer::{Customer, MAX_RUNNING, Person};
use super::errors::ApiError;
use super::mischief::Mischief;
use super::outcomes::{Express, Outcome};
use super::post::Post;
use super::run::{DocumentKind, Run, steps};
use super::schedule::{Due, Moment, Schedule};
use super::webhooks;
use super::words::{Cause, Check, Operation, Progress, Standing};

/// Customers; further onboardings are refused.
pub const MAX_CUSTOMERS: usize = 200_000;
/// Requests that are kept; the oldest that have ended go.
pub const MAX_RUNS: usize = 200_000;
/// Phases and late webhooks to come; further operations are refused.
pub const MAX_SCHEDULED: usize = 400_000;

/// What `POST /onboard` was asked for beside the person.
#[derive(Clone, Copy, Debug, Default)]
pub struct Onboarding {
    /// `includeFraudCheck`.
    pub fraud_check: Option<bool>,
    /// `useExpressKYC`.
    pub express: Option<bool>,
}

/// What a person does on the dashboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Decision {
    Approve,
    Reject,
    Review,
    Flag,
    Unflag,
    CheckFraud,
}

/// All of it.
pub struct World {
    seed: u64,
    pace: Duration,
    fail: f64,
    mischief: Mischief,
    sends: bool,
    operations: u64,
    customers: Vec<Customer>,
    places: HashMap<String, usize>,
    runs: BTreeMap<u64, Run>,
    running: usize,
    /// What is to come.
    pub schedule: Schedule,
    /// The webhooks.
    pub post: Post,
}

impl World {
    /// Empty. `sends`: whether there is anybody to tell.
    pub fn new(seed: u64, pace: Duration, fail: f64, mischief: Mischief, sends: bool) -> Self {
        Self {
            seed,
            pace,
            fail,
            post: Post::new(mischief.clone(), pace),
            mischief,
            sends,
            operations: 0,
            customers: Vec::new(),
            places: HashMap::new(),
            runs: BTreeMap::new(),
            running: 0,
            schedule: Schedule::default(),
        }
    }

    /// Whether nothing runs and no webhook waits.
    pub fn is_idle(&self) -> bool {
        self.running == 0 && self.post.waiting() == 0
    }

    /// Does what is due, and says when something is due next.
    pub fn advance(&mut self, now: Moment) -> Option<tokio::time::Instant> {
        while let Some(due) = self.schedule.take(now.at) {
            match due {
                Due::Step { run, step } => self.step(run, step, now),
                Due::Webhook(number) => self.post.ready(number, now.at, &mut self.schedule),
                Due::Burst => self.post.release_burst(),
            }
        }
        self.schedule.next()
    }

    /// Randomness of the next operation, and its number.
    fn operation(&mut self) -> (u64, Rng) {
        self.operations += 1;
        // The numbers are far apart, or operations would draw each other's numbers one late.
        let mut mixed = self
            .seed
            .wrapping_add(self.operations.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (self.operations, Rng::with_seed(mixed ^ (mixed >> 31)))
    }

    fn room(&self) -> Result<(), ApiError> {
        if self.schedule.len() >= MAX_SCHEDULED {
            return Err(ApiError::Full("Too much is under way"));
        }
        Ok(())
    }

    fn place(&self, id: &str) -> Option<usize> {
        self.places.get(id).copied()
    }

    /// `POST /onboard`.
    pub fn onboard(
        &mut self,
        person: Person,
        external_id: String,
        options: Onboarding,
        now: Moment,
    ) -> Result<Value, ApiError> {
        self.room()?;
        if self.customers.len() >= MAX_CUSTOMERS {
            return Err(ApiError::Full("No more customers fit"));
        }
        let (number, mut rng) = self.operation();
        let id = customer_id(&mut rng);
        let request_id = request_id(&mut rng);
        let outcome = Outcome::draw(&mut rng, Operation::Onboard, &external_id, self.fail);
        let check = match options.fraud_check {
            Some(true) => Check::Fraud,
            _ => Check::Kyc,
        };
        let steps = steps(&mut rng, check, &outcome, &self.mischief);
        let customer = Customer::new(id.clone(), external_id, now.time.0, person);
        let mut validation = customer.validation();
        if options.express == Some(true) {
            validation["expressKYC"] = match outcome.express {
                Express::Found(kyc) => {
                    validation["kyc"] = json!(kyc);
                    json!({"success": true, "outcome": kyc})
                }
                Express::Late => json!({"success": false}),
            };
        }
        let mut answer = json!({
            "requestId": request_id,
            "event": "onboard",
            "evaluation": {"type": "kyc", "status": "initiated"},
            "validation": validation,
            "externalId": customer.external_id,
            "customerId": customer.id,
            "uri": customer.uri(),
        });
        let asked = [
            ("includeFraudCheck", options.fraud_check),
            ("useExpressKYC", options.express),
        ];
        for (name, value) in asked {
            if let Some(value) = value {
                answer["options"][name] = json!(value);
            }
        }
        let place = self.customers.len();
        self.places.insert(id, place);
        self.customers.push(customer);
        let run = Run {
            request_id: Some(request_id),
            operation: Operation::Onboard,
            customer: place,
            cause: Cause::Api,
            evaluations: vec![(Check::Kyc, Progress::Initiated)],
            outcome,
            steps,
            document: None,
            started_at: now.time.0,
            completed_at: None,
        };
        self.begin(number, run, now);
        Ok(answer)
    }

    /// `POST /check-fraud`, or the same on the dashboard.
    pub fn check_fraud(
        &mut self,
        customer_id: &str,
        cause: Cause,
        now: Moment,
    ) -> Result<Value, ApiError> {
        self.evaluate(customer_id, Operation::Fraud, cause, None, now)
    }

    /// `POST /document`.
    pub fn document(
        &mut self,
        customer_id: &str,
        kind: DocumentKind,
        now: Moment,
    ) -> Result<Value, ApiError> {
        let operation = Operation::Document;
        self.evaluate(customer_id, operation, Cause::Api, Some(kind), now)
    }

    /// Whether a customer can be evaluated again: a document and a fraud check need a finished onboarding.
    fn evaluable(&self, customer_id: &str) -> Result<usize, ApiError> {
        let place = self
            .place(customer_id)
            .ok_or_else(|| ApiError::InvalidData("customerId".to_owned()))?;
        let customer = self
            .customers
            .get(place)
            .ok_or_else(|| ApiError::InvalidData("customerId".to_owned()))?;
        let onboarding = customer.running.iter().any(|number| {
            let run = self.runs.get(number);
            run.is_some_and(|run| run.operation == Operation::Onboard)
        });
        if onboarding {
            let why = "customerId: its onboarding has not completed";
            return Err(ApiError::InvalidData(why.to_owned()));
        }
        if customer.running.len() >= MAX_RUNNING {
            return Err(ApiError::Full("Too many evaluations of this customer run"));
        }
        Ok(place)
    }

    fn evaluate(
        &mut self,
        customer_id: &str,
        operation: Operation,
        cause: Cause,
        document: Option<DocumentKind>,
        now: Moment,
    ) -> Result<Value, ApiError> {
        self.room()?;
        let place = self.evaluable(customer_id)?;
        let (number, mut rng) = self.operation();
        let request_id = request_id(&mut rng);
        let Some(customer) = self.customers.get(place) else {
            return Err(ApiError::NotFound);
        };
        let outcome = Outcome::draw(&mut rng, operation, &customer.external_id, self.fail);
        let check = if operation == Operation::Document {
            Check::Document
        } else {
            Check::Fraud
        };
        let steps = steps(&mut rng, check, &outcome, &self.mischief);
        let mut answer = json!({
            "requestId": request_id,
            "event": "evaluation",
            "evaluation": {"type": check, "status": "initiated"},
            "validation": customer.validation(),
            "customerId": customer.id,
            "uri": customer.uri(),
            "errors": [],
        });
        if operation == Operation::Document {
            answer["validation"]["fraudFlag"] = json!(customer.flagged);
        } else {
            answer["externalId"] = json!(customer.external_id);
        }
        let run = Run {
            request_id: (cause == Cause::Api).then_some(request_id),
            operation,
            customer: place,
            cause,
            evaluations: vec![(check, Progress::Initiated)],
            outcome,
            steps,
            document,
            started_at: now.time.0,
            completed_at: None,
        };
        self.begin(number, run, now);
        Ok(answer)
    }

    /// `POST /flag`.
    pub fn flag(&mut self, customer_id: &str, flag: bool, now: Moment) -> Result<Value, ApiError> {
        let place = self
            .place(customer_id)
            .ok_or(ApiError::InvalidQuery("Bad query: customerId"))?;
        self.room()?;
        let (_, mut rng) = self.operation();
        let draws = self.mischief.draw(&mut rng);
        let Some(customer) = self.customers.get_mut(place) else {
            return Err(ApiError::NotFound);
        };
        customer.flagged = flag;
        if flag {
            customer.status = Standing::Rejected;
        }
        let answer = json!({
            "flagged": flag,
            "status": customer.status,
            "externalId": customer.external_id,
            "customerId": customer.id,
            "uri": customer.uri(),
        });
        let body = webhooks::flag(customer);
        self.tell(place, Cause::Api, body, draws, false, now);
        Ok(answer)
    }

    /// What a person does on the dashboard; `None` where there is no such customer.
    pub fn decide(
        &mut self,
        customer_id: &str,
        decision: Decision,
        now: Moment,
    ) -> Option<Result<(), ApiError>> {
        let place = self.place(customer_id)?;
        if decision == Decision::CheckFraud {
            let checked = self.check_fraud(customer_id, Cause::Dashboard, now);
            return Some(checked.map(|_| ()));
        }
        if let Err(error) = self.room() {
            return Some(Err(error));
        }
        let (_, mut rng) = self.operation();
        let draws = self.mischief.draw(&mut rng);
        let customer = self.customers.get_mut(place)?;
        let body = match decision {
            Decision::Flag | Decision::Unflag => {
                customer.flagged = decision == Decision::Flag;
                webhooks::flag(customer)
            }
            Decision::Approve | Decision::Reject | Decision::Review | Decision::CheckFraud => {
                customer.status = match decision {
                    Decision::Approve => Standing::Approved,
                    Decision::Reject => Standing::Rejected,
                    _ => Standing::Review,
                };
                webhooks::decision(customer, draws.older)
            }
        };
        self.tell(place, Cause::Dashboard, body, draws, false, now);
        Some(Ok(()))
    }
}

fn customer_id(rng: &mut Rng) -> String {
    (0..24).map(|_| rng.digit(16)).collect()
}

fn request_id(rng: &mut Rng) -> String {
    (0..10).map(|_| rng.alphanumeric()).collect()
}
