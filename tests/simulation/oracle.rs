//! What docs/RULES.md says of every webhook, worked out from the log before it in the simplest way: whose echo it is, and
//! whether it repeats something or comes too late. Of what the reconciler asked, the daemon's word is taken.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::story::text;

const OWN_FLAG_CALL_MS: i64 = 15 * 60 * 1000;
const REPEAT_MS: i64 = 10 * 60 * 1000;

/// What the rules make of an event.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) disposition: &'static str,
    pub(crate) evidence: String,
    pub(crate) request_id: Option<String>,
    pub(crate) duplicate_of: Option<u64>,
}

/// What is known of a request.
#[derive(Default)]
struct Asked {
    customer_id: Option<String>,
    operation: Option<String>,
    registered: bool,
    expects: BTreeSet<String>,
    heard: BTreeMap<String, String>,
    bodies: BTreeMap<String, u64>,
}

/// The latest applied event of a kind, where it was a webhook without an id.
struct Latest {
    digest: String,
    seq: u64,
    at: i64,
    verdict: Verdict,
}

#[derive(Default)]
pub(crate) struct Oracle {
    requests: BTreeMap<String, Asked>,
    /// By customer and type: the status of the present run.
    runs: BTreeMap<(String, String), String>,
    /// By customer and kind.
    latest: BTreeMap<(String, String), Latest>,
    /// Customer, value and time of own flag calls that explain nothing yet.
    flag_calls: Vec<(String, bool, i64)>,
}

/// The parts of an event that the rules look at.
struct Event<'a> {
    seq: u64,
    at: i64,
    source: &'a str,
    name: String,
    digest: &'a str,
    customer_id: Option<&'a str>,
    request_id: Option<&'a str>,
    run: Option<(String, String)>,
    flag: Option<bool>,
    payload: &'a Value,
}

impl<'a> Event<'a> {
    fn of(event: &'a Value) -> Self {
        let payload = &event["payload"];
        let word = |value: &Value| value.as_str().map(str::to_lowercase);
        let run = &payload["evaluation"];
        let at: jiff::Timestamp = text(event, "receivedAt").parse().unwrap();
        Self {
            seq: event["seq"].as_u64().unwrap(),
            at: at.as_millisecond(),
            source: text(event, "source"),
            name: word(&event["event"]).unwrap_or_default(),
            digest: text(event, "digest"),
            customer_id: payload["customerId"].as_str(),
            request_id: payload["requestId"].as_str(),
            run: word(&run["type"]).zip(word(&run["status"])),
            flag: payload["flag"].as_bool().or(payload["flagged"].as_bool()),
            payload,
        }
    }

    fn kind(&self) -> String {
        match &self.run {
            Some((evaluation, _)) if self.name == "evaluation" => {
                format!("evaluation {evaluation}")
            }
            _ => self.name.clone(),
        }
    }
}

fn rank(status: &str) -> u8 {
    match status {
        "initiated" => 0,
        "in_progress" => 1,
        _ => 2,
    }
}

impl Asked {
    /// A KYC has ended when anything after it has.
    fn has_ended(&self, evaluation: &str) -> bool {
        let ended = |known: &str| {
            self.heard
                .get(known)
                .is_some_and(|status| rank(status) == 2)
        };
        ended(evaluation) || (evaluation == "kyc" && (ended("fraud") || ended("document")))
    }

    fn is_settled(&self) -> bool {
        let mut all = self.heard.keys().chain(&self.expects).peekable();
        all.peek().is_some() && all.all(|evaluation| self.has_ended(evaluation))
    }

    fn waits_for(&self, evaluation: &str) -> bool {
        let begins = match self.operation.as_deref() {
            Some("onboard") => "kyc",
            Some(other) => other,
            None => "",
        };
        let not_over = match self.heard.get(evaluation) {
            Some(status) => rank(status) < 2,
            None => self.expects.contains(evaluation) || begins == evaluation,
        };
        not_over && !self.is_settled()
    }

    fn register(&mut self, payload: &Value) {
        if !self.registered {
            self.operation = payload["operation"].as_str().map(str::to_owned);
            self.registered = true;
        }
        let expects = payload["expects"].as_array().into_iter().flatten();
        self.expects
            .extend(expects.filter_map(Value::as_str).map(str::to_owned));
    }
}

impl Oracle {
    /// Takes an event of the log; of a webhook it says what the rules make of it.
    pub(crate) fn next(&mut self, event: &Value) -> Option<Verdict> {
        let read = Event::of(event);
        let applied = event["disposition"] == "applied";
        match read.source {
            "webhook" => {
                let verdict = self.judge(&read);
                self.take(&read, &verdict, verdict.disposition == "applied");
                Some(verdict)
            }
            "control" => {
                let id = read.customer_id.unwrap_or_default().to_owned();
                if read.name == "flag.called" {
                    let flag = read.flag.unwrap();
                    if read.payload["withdrawn"] == true {
                        let last = self
                            .flag_calls
                            .iter()
                            .rposition(|call| (&call.0, call.1) == (&id, flag));
                        self.flag_calls.remove(last.unwrap());
                    } else {
                        self.flag_calls.push((id, flag, read.at));
                    }
                } else if applied {
                    let asked = self.asked(&read, read.request_id.unwrap());
                    asked.register(read.payload);
                }
                None
            }
            _ => {
                let verdict = Verdict {
                    disposition: "",
                    evidence: text(event, "originEvidence").to_owned(),
                    request_id: read.request_id.map(str::to_owned),
                    duplicate_of: None,
                };
                if read.source == "gateway" {
                    if let Some(id) = read.request_id {
                        self.asked(&read, id).register(read.payload);
                    } else if read.name == "flag" && read.payload["noted"] != true {
                        let id = read.customer_id.unwrap().to_owned();
                        self.flag_calls.push((id, read.flag.unwrap(), read.at));
                    }
                }
                self.take(&read, &verdict, applied);
                None
            }
        }
    }

    fn asked(&mut self, event: &Event<'_>, id: &str) -> &mut Asked {
        let asked = self.requests.entry(id.to_owned()).or_default();
        if asked.customer_id.is_none() {
            asked.customer_id = event.customer_id.map(str::to_owned);
        }
        asked
    }

    fn judge(&self, event: &Event<'_>) -> Verdict {
        let mut verdict = Verdict {
            disposition: "applied",
            evidence: "none".to_owned(),
            request_id: None,
            duplicate_of: None,
        };
        if let Some(id) = event.request_id {
            verdict.evidence = "request_id".to_owned();
            verdict.request_id = Some(id.to_owned());
        }
        let known = ["onboard", "evaluation", "flag"].contains(&event.name.as_str());
        let (true, Some(customer_id)) = (known, event.customer_id) else {
            verdict.disposition = "unrecognised";
            return verdict;
        };
        match event.request_id {
            Some(id) => {
                let asked = self.requests.get(id);
                let first = asked.and_then(|asked| asked.bodies.get(event.digest));
                if let Some(first) = first {
                    verdict.disposition = "duplicate";
                    verdict.duplicate_of = Some(*first);
                    return verdict;
                }
            }
            None => {
                let kind = (customer_id.to_owned(), event.kind());
                let latest = self.latest.get(&kind).filter(|latest| {
                    latest.digest == event.digest && event.at - latest.at <= REPEAT_MS
                });
                if let Some(latest) = latest {
                    return Verdict {
                        disposition: "duplicate",
                        duplicate_of: Some(latest.seq),
                        ..latest.verdict.clone()
                    };
                }
                if event.name == "flag" && self.explaining_call(event).is_some() {
                    verdict.evidence = "own_flag_call".to_owned();
                }
                if let Some(id) = self.only_waiting(event, customer_id) {
                    verdict.evidence = "pending_request".to_owned();
                    verdict.request_id = Some(id);
                }
            }
        }
        if let Some((evaluation, status)) = &event.run {
            let known = match &verdict.request_id {
                Some(id) => self
                    .requests
                    .get(id)
                    .and_then(|asked| asked.heard.get(evaluation)),
                None => self
                    .runs
                    .get(&(customer_id.to_owned(), evaluation.clone()))
                    .filter(|known| status != "initiated" || rank(known) < 2),
            };
            if known.is_some_and(|known| rank(status) < rank(known)) {
                verdict.disposition = "stale";
            }
        }
        verdict
    }

    fn explaining_call(&self, event: &Event<'_>) -> Option<usize> {
        self.flag_calls.iter().position(|(customer_id, flag, at)| {
            Some(customer_id.as_str()) == event.customer_id
                && Some(*flag) == event.flag
                && event.at - at <= OWN_FLAG_CALL_MS
        })
    }

    fn only_waiting(&self, event: &Event<'_>, customer_id: &str) -> Option<String> {
        let (evaluation, _) = event.run.as_ref()?;
        if event.name != "evaluation" {
            return None;
        }
        let waiting: Vec<_> = self
            .requests
            .iter()
            .filter(|(_, asked)| {
                asked.customer_id.as_deref() == Some(customer_id) && asked.waits_for(evaluation)
            })
            .collect();
        match waiting.as_slice() {
            [(only, _)] => Some((*only).clone()),
            _ => None,
        }
    }

    /// What is known afterwards.
    fn take(&mut self, event: &Event<'_>, verdict: &Verdict, applied: bool) {
        if let Some(id) = &verdict.request_id {
            let (digest, seq) = (event.digest.to_owned(), event.seq);
            let asked = self.requests.entry(id.clone()).or_default();
            asked.bodies.entry(digest).or_insert(seq);
        }
        if !applied {
            return;
        }
        let customer_id = event.customer_id.unwrap().to_owned();
        if let Some(id) = &verdict.request_id {
            let asked = self.asked(event, id);
            if asked.operation.is_none() {
                let operation = match (event.name.as_str(), &event.run) {
                    ("evaluation", Some((evaluation, _))) if evaluation != "kyc" => evaluation,
                    _ => "onboard",
                };
                asked.operation = Some(operation.to_owned());
            }
            if let Some((evaluation, status)) = event.run.clone() {
                asked.heard.insert(evaluation, status);
            }
        }
        if let Some((evaluation, status)) = event.run.clone() {
            self.runs.insert((customer_id.clone(), evaluation), status);
        }
        if event.source == "webhook"
            && verdict.evidence == "own_flag_call"
            && let Some(place) = self.explaining_call(event)
        {
            self.flag_calls.remove(place);
        }
        let kind = (customer_id, event.kind());
        if event.source == "webhook" && event.request_id.is_none() {
            let latest = Latest {
                digest: event.digest.to_owned(),
                seq: event.seq,
                at: event.at,
                verdict: verdict.clone(),
            };
            self.latest.insert(kind, latest);
        } else {
            self.latest.remove(&kind);
        }
    }
}
