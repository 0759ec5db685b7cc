//! The rules a second time, as docs/RULES.md states them: nothing is remembered but the log, and every question is
//! answered by looking through it again. Slow, and short enough to be compared with that page line by line. It shares no
//! code with `src/domain`, from which it differs in shape wherever it can.

use std::collections::BTreeMap;

use serde_json::Value;

const MINUTE: i64 = 60_000;

/// One thing that was told: by whom, and in which bytes.
pub struct Delivery {
    /// `webhook`, `gateway`, `poll` or `control`.
    pub by: &'static str,
    /// The body.
    pub text: String,
    /// What it says; `None` where it is no JSON object.
    pub said: Option<Said>,
}

/// The known members of a body; what is null, empty or of another type is absent.
#[derive(Debug, Default)]
pub struct Said {
    /// `None`: not a name that this source may use.
    pub kind: Option<&'static str>,
    pub customer: Option<String>,
    pub external: Option<String>,
    pub request: Option<String>,
    pub uri: Option<String>,
    pub evaluation: Option<String>,
    pub evaluation_status: Option<String>,
    pub status: Option<String>,
    pub kyc: Option<String>,
    pub score: Option<f64>,
    pub fraud_flag: Option<bool>,
    pub warnings: Option<i64>,
    pub tags: Option<Vec<String>>,
    pub flag: Option<bool>,
    pub operation: Option<&'static str>,
    pub expects: Vec<String>,
    pub deadline_ms: i64,
    pub noted: bool,
    pub withdrawn: bool,
    pub settled: Option<&'static str>,
    pub seen_version: Option<u64>,
}

impl Delivery {
    pub fn new(by: &'static str, text: String) -> Self {
        let body: Option<Value> = serde_json::from_str(&text).ok();
        let said = body
            .filter(Value::is_object)
            .map(|body| Said::of(by, &body));
        Self { by, text, said }
    }
}

fn word(value: &Value) -> Option<String> {
    value
        .as_str()
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
}

/// A known word in the spelling of the list, another one as it came.
fn spelt(value: &Value, known: &[&str]) -> Option<String> {
    let raw = word(value)?;
    let same = known.iter().find(|word| word.eq_ignore_ascii_case(&raw));
    Some(same.map_or(raw.clone(), |word| (*word).to_owned()))
}

fn accepted_is(raw: Option<String>, newer: &str) -> Option<String> {
    raw.map(|word| {
        if word == "ACCEPTED" {
            newer.to_owned()
        } else {
            word
        }
    })
}

impl Said {
    fn of(by: &str, body: &Value) -> Self {
        let kinds: &[&'static str] = if by == "control" {
            &["request.registered", "flag.called", "request.settled"]
        } else {
            &["onboard", "flag", "evaluation"]
        };
        let name = word(&body["event"]).unwrap_or_default();
        let (run, validation) = (&body["evaluation"], &body["validation"]);
        let mut evaluation = spelt(&run["type"], &["kyc", "fraud", "document", "idle"]);
        let mut evaluation_status = spelt(
            &run["status"],
            &["initiated", "in_progress", "completed", "failed", "idle"],
        );
        let idle = Some("idle".to_owned());
        if evaluation == idle || evaluation_status == idle {
            (evaluation, evaluation_status) = (None, None);
        }
        let outcomes = ["APPROVED", "REJECTED", "REVIEW", "PENDING", "ACCEPTED"];
        let kycs = ["PASSED", "REJECTED", "REVIEW", "PENDING", "ACCEPTED"];
        let mut status = spelt(&validation["status"], &outcomes);
        if status.is_none() && ["gateway", "poll"].contains(&by) {
            status = spelt(&body["status"], &outcomes);
        }
        let tells = ["gateway", "control"].contains(&by);
        let operations = ["onboard", "fraud", "document", "flag", "other"];
        let told = |on: bool, name: &str| on && body[name] == Value::Bool(true);
        let expects = body["expects"].as_array().into_iter().flatten();
        Self {
            kind: kinds
                .iter()
                .find(|kind| kind.eq_ignore_ascii_case(&name))
                .copied(),
            customer: word(&body["customerId"]),
            external: word(&body["externalId"]),
            request: word(&body["requestId"]),
            uri: word(&body["uri"]),
            evaluation,
            evaluation_status,
            status: accepted_is(status, "APPROVED"),
            kyc: accepted_is(spelt(&validation["kyc"], &kycs), "PASSED"),
            score: validation["fraudScore"]
                .as_f64()
                .filter(|score| (0.0..=1.0).contains(score)),
            fraud_flag: validation["fraudFlag"].as_bool(),
            warnings: validation["warnings"].as_i64(),
            tags: validation["warningTags"]
                .as_array()
                .map(|tags| tags.iter().filter_map(|tag| word(&tag["tag"])).collect()),
            flag: body["flag"].as_bool().or(body["flagged"].as_bool()),
            operation: word(&body["operation"]).filter(|_| tells).map(|told| {
                *operations
                    .iter()
                    .find(|one| **one == told)
                    .unwrap_or(&"other")
            }),
            expects: expects
                .filter_map(|one| spelt(one, &["kyc", "fraud", "document"]))
                .filter(|_| tells)
                .collect(),
            deadline_ms: body["deadlineSeconds"].as_i64().unwrap_or(0) * 1000,
            noted: told(by == "gateway", "noted"),
            withdrawn: told(by == "control", "withdrawn"),
            settled: ["completed", "failed"]
                .into_iter()
                .find(|state| by == "control" && body["state"] == *state),
            seen_version: body["seenVersion"].as_u64().filter(|_| by == "poll"),
        }
    }

    fn tag_names(&self) -> Option<Vec<&str>> {
        let tags = self.tags.as_ref()?;
        Some(tags.iter().map(String::as_str).collect())
    }

    fn run(&self) -> Option<(&str, &str)> {
        Some((
            self.evaluation.as_deref()?,
            self.evaluation_status.as_deref()?,
        ))
    }
}

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict<'a> {
    pub disposition: &'static str,
    pub origin: &'static str,
    pub evidence: &'static str,
    /// The request it names or was tied to.
    pub request: Option<&'a str>,
    /// The place in the log of what it repeats, from 1.
    pub duplicate_of: Option<u64>,
}

/// A delivery in the log.
#[derive(Clone)]
pub struct Entry<'a> {
    pub at: i64,
    pub delivery: &'a Delivery,
    pub verdict: Verdict<'a>,
}

impl<'a> Entry<'a> {
    fn names_customer(&self, id: &str) -> Option<&'a Said> {
        let said = self.delivery.said.as_ref()?;
        (said.customer.as_deref() == Some(id)).then_some(said)
    }

    /// Whether it is applied and comes from Waldo, by whichever way.
    fn is_news(&self) -> bool {
        self.verdict.disposition == "applied" && self.delivery.by != "control"
    }
}

/// A customer's row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Customer<'a> {
    pub external: Option<&'a str>,
    pub uri: Option<&'a str>,
    pub status: Option<&'a str>,
    pub kyc: Option<&'a str>,
    pub score: Option<f64>,
    pub flagged: Option<bool>,
    pub warnings: Option<i64>,
    pub tags: Option<Vec<&'a str>>,
    /// Type → status, request, and since when.
    pub runs: BTreeMap<&'a str, (&'a str, Option<&'a str>, i64)>,
    pub decided_by: Option<&'static str>,
    pub first_seen_at: i64,
    pub updated_at: i64,
    pub last_seq: u64,
    pub version: u64,
}

/// A request's row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request<'a> {
    pub operation: Option<&'static str>,
    pub customer: Option<&'a str>,
    pub external: Option<&'a str>,
    pub evaluations: BTreeMap<&'a str, &'a str>,
    pub expects: Vec<&'a str>,
    pub state: Option<&'static str>,
    pub settled_by: Option<&'static str>,
    pub registered_at: Option<i64>,
    pub first_event_at: Option<i64>,
    pub settled_at: Option<i64>,
    pub deadline_at: Option<i64>,
    /// A state that was given outright, which holds until another type appears.
    pub given: Option<&'static str>,
    /// Whether another type than KYC has completed at any time.
    pub beyond_kyc: bool,
}

fn rank(status: &str) -> u8 {
    match status {
        "initiated" => 0,
        "completed" | "failed" => 2,
        _ => 1,
    }
}

fn ended(status: &str) -> bool {
    ["completed", "failed"].contains(&status)
}

/// All that was told so far.
#[derive(Clone, Default)]
pub struct Log<'a>(pub Vec<Entry<'a>>);

impl<'a> Log<'a> {
    /// Adds a delivery, and says what becomes of it.
    pub fn tell(&mut self, at: i64, delivery: &'a Delivery) -> &Verdict<'a> {
        let verdict = match &delivery.said {
            None => verdict("quarantined", "none", None),
            Some(said) if delivery.by == "control" => self.judge_app(delivery, said),
            Some(said) => self.judge(at, delivery, said),
        };
        self.0.push(Entry {
            at,
            delivery,
            verdict,
        });
        &self.0[self.0.len() - 1].verdict
    }

    fn judge_app(&self, delivery: &'a Delivery, said: &'a Said) -> Verdict<'a> {
        let id = said.request.as_deref();
        let evidence = match (id, said.kind) {
            (Some(_), _) => "request_id",
            (None, Some("flag.called")) => "own_flag_call",
            _ => "none",
        };
        let mut verdict = verdict("applied", evidence, id);
        if said.kind.is_some() {
            verdict.origin = "api";
        }
        let known = id.map(|id| self.request(id)).unwrap_or_default();
        let refused = match said.kind {
            Some("flag.called") => {
                (said.customer.is_none() || said.flag.is_none()).then_some("unrecognised")
            }
            Some("request.registered") if id.is_some() && said.operation.is_some() => {
                (!known.agrees(said)).then_some("stale")
            }
            Some("request.settled") if id.is_some() && said.settled.is_some() => {
                known.is_settled().then_some("stale")
            }
            _ => Some("unrecognised"),
        };
        match refused {
            Some(disposition) => verdict.disposition = disposition,
            None if said.kind == Some("request.registered") => {
                self.mark_repeat(delivery, id, &mut verdict);
            }
            None => {}
        }
        verdict
    }

    fn judge(&self, at: i64, delivery: &'a Delivery, said: &'a Said) -> Verdict<'a> {
        let id = said.request.as_deref();
        let evidence = if id.is_some() { "request_id" } else { "none" };
        let mut verdict = verdict("applied", evidence, id);
        let (Some(kind), Some(customer)) = (said.kind, said.customer.as_deref()) else {
            verdict.disposition = "unrecognised";
            return verdict;
        };
        self.mark_repeat(delivery, id, &mut verdict);
        if verdict.duplicate_of.is_some() {
            return verdict;
        }
        if id.is_none() {
            if let Some(first) = self.repeated(at, delivery, said, customer) {
                return Verdict {
                    disposition: "duplicate",
                    duplicate_of: Some(first as u64 + 1),
                    ..self.0[first].verdict.clone()
                };
            }
            verdict.evidence = match (delivery.by, kind) {
                ("gateway", "flag") => "own_flag_call",
                ("gateway", _) => "gateway_answer",
                (_, "flag") if self.explaining_call(at, said, customer).is_some() => {
                    "own_flag_call"
                }
                (_, "evaluation") => {
                    verdict.request = self.only_waiting(said, customer);
                    verdict.request.map_or("none", |_| "pending_request")
                }
                _ => "none",
            };
            if verdict.evidence != "none" {
                verdict.origin = "api";
            }
        }
        let version = self.customer(customer).version;
        if self.is_late(said, customer, verdict.request)
            || said.seen_version.is_some_and(|seen| seen != version)
        {
            verdict.disposition = "stale";
        }
        verdict
    }

    /// The same bytes under the same request, however long ago.
    fn mark_repeat(&self, delivery: &Delivery, id: Option<&str>, verdict: &mut Verdict<'a>) {
        let first = self
            .0
            .iter()
            .position(|entry| entry.verdict.request == id && entry.delivery.text == delivery.text);
        if let (Some(_), Some(first)) = (id, first) {
            verdict.disposition = "duplicate";
            verdict.duplicate_of = Some(first as u64 + 1);
        }
    }

    /// The same bytes as the customer's latest applied event of that kind, both of them webhooks without requestId.
    fn repeated(&self, at: i64, delivery: &Delivery, said: &Said, customer: &str) -> Option<usize> {
        let of_kind = |said: &Said| {
            let run = said
                .evaluation
                .clone()
                .filter(|_| said.kind == Some("evaluation"));
            (said.kind, run)
        };
        let latest = self.0.iter().rposition(|entry| {
            let before = entry.names_customer(customer).map(&of_kind);
            entry.is_news() && before == Some(of_kind(said))
        })?;
        let before = &self.0[latest];
        (delivery.by == "webhook"
            && before.delivery.by == "webhook"
            && before.delivery.text == delivery.text
            && at - before.at <= 10 * MINUTE)
            .then_some(latest)
    }

    /// Own flag calls of the customer that no event has been explained by: value and time.
    fn unexplained_calls(&self, customer: &str) -> Vec<(bool, i64)> {
        let mut calls: Vec<(bool, i64)> = Vec::new();
        for entry in &self.0 {
            let Some(said) = entry.names_customer(customer) else {
                continue;
            };
            if entry.verdict.disposition != "applied" {
                continue;
            }
            let answers =
                entry.delivery.by == "gateway" && said.kind == Some("flag") && !said.noted;
            match said.flag {
                Some(flag) if said.withdrawn && said.kind == Some("flag.called") => {
                    if let Some(last) = calls.iter().rposition(|call| call.0 == flag) {
                        calls.remove(last);
                    }
                }
                Some(flag) if answers || said.kind == Some("flag.called") => {
                    calls.retain(|call| entry.at - call.1 <= 15 * MINUTE);
                    calls.push((flag, entry.at));
                    let too_many = calls.len().saturating_sub(64);
                    calls.drain(..too_many);
                }
                _ if entry.delivery.by == "webhook"
                    && said.kind == Some("flag")
                    && entry.verdict.evidence == "own_flag_call" =>
                {
                    if let Some(call) = explains(&calls, entry.at, said) {
                        calls.remove(call);
                    }
                }
                _ => {}
            }
        }
        calls
    }

    fn explaining_call(&self, at: i64, said: &Said, customer: &str) -> Option<usize> {
        explains(&self.unexplained_calls(customer), at, said)
    }

    /// The request that an evaluation without requestId belongs to, if exactly one waits for it.
    fn only_waiting(&self, said: &Said, customer: &str) -> Option<&'a str> {
        let evaluation = said.evaluation.as_deref()?;
        let mut ids: Vec<&'a str> = self
            .0
            .iter()
            .filter_map(|entry| entry.verdict.request)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| {
            let row = self.request(id);
            row.customer == Some(customer) && row.waits_for(evaluation)
        });
        match ids[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    fn is_late(&self, said: &Said, customer: &str, request: Option<&str>) -> bool {
        let Some((evaluation, status)) = said.run() else {
            return false;
        };
        let known = match request {
            Some(id) => self.request(id).evaluations.get(evaluation).copied(),
            None => self
                .customer(customer)
                .runs
                .get(evaluation)
                .map(|run| run.0)
                .filter(|known| status != "initiated" || !ended(known)),
        };
        known.is_some_and(|known| rank(known) > rank(status))
    }

    /// The customer's row as it follows from the whole log; `version` 0 while it is not known.
    pub fn customer(&self, id: &str) -> Customer<'a> {
        let mut row = Customer::default();
        let mut fraud_completed = false;
        for (seq, entry) in (1..).zip(&self.0) {
            let Some(said) = entry.names_customer(id) else {
                continue;
            };
            let before = row.clone();
            if entry.is_news() {
                fraud_completed |= said.run() == Some(("fraud", "completed"));
                row.hear(said, entry, fraud_completed);
            } else if entry.verdict.disposition == "unrecognised" && row.version > 0 {
                row.external = row.external.or(said.external.as_deref());
                row.uri = row.uri.or(said.uri.as_deref());
            } else {
                continue;
            }
            if row != before || row.version == 0 {
                if row.version == 0 {
                    row.first_seen_at = entry.at;
                }
                row.version += 1;
                row.updated_at = entry.at;
                row.last_seq = seq;
            }
        }
        row
    }

    /// The request's row as it follows from the whole log; `state` is absent while it is not known.
    pub fn request(&self, id: &str) -> Request<'a> {
        let mut row = Request::default();
        for entry in &self.0 {
            let (Some(said), true) = (&entry.delivery.said, entry.verdict.request == Some(id))
            else {
                continue;
            };
            let applied = entry.verdict.disposition == "applied";
            match said.kind {
                Some("request.registered") if applied => row.register(said, entry.at),
                Some("request.settled") if applied => {
                    row.given = said.settled;
                    row.conclude(Some("manual"), entry.at);
                }
                Some("onboard" | "flag" | "evaluation") if applied || said.operation.is_some() => {
                    // The call was made, whatever became of its answer.
                    if said.operation.is_some() && row.agrees(said) {
                        row.register(said, entry.at);
                    }
                    if applied {
                        row.hear(said, entry);
                    }
                }
                _ => continue,
            }
            row.customer = row.customer.or(said.customer.as_deref());
        }
        row
    }
}

fn verdict<'a>(
    disposition: &'static str,
    evidence: &'static str,
    request: Option<&'a str>,
) -> Verdict<'a> {
    Verdict {
        disposition,
        origin: if evidence == "none" {
            "dashboard"
        } else {
            "api"
        },
        evidence,
        request,
        duplicate_of: None,
    }
}

fn explains(calls: &[(bool, i64)], at: i64, said: &Said) -> Option<usize> {
    calls
        .iter()
        .position(|call| Some(call.0) == said.flag && at - call.1 <= 15 * MINUTE)
}

impl<'a> Customer<'a> {
    fn hear(&mut self, said: &'a Said, entry: &Entry<'a>, fraud_completed: bool) {
        let old_values = matches!(
            said.evaluation_status.as_deref(),
            Some("initiated" | "in_progress")
        );
        let status_before = self.status;
        self.external = said.external.as_deref().or(self.external);
        self.uri = said.uri.as_deref().or(self.uri);
        let score = said.score.filter(|score| *score != 0.0 || fraud_completed);
        if old_values {
            self.status = self.status.or(said.status.as_deref());
            self.kyc = self.kyc.or(said.kyc.as_deref());
            self.score = self.score.or(score);
            self.warnings = self.warnings.or(said.warnings);
            self.tags = self.tags.take().or_else(|| said.tag_names());
        } else {
            self.status = said.status.as_deref().or(self.status);
            self.kyc = said.kyc.as_deref().or(self.kyc);
            self.score = score.or(self.score);
            self.warnings = said.warnings.or(self.warnings);
            self.tags = said.tag_names().or(self.tags.take());
        }
        self.flagged = said.flag.or(self.flagged).or(said.fraud_flag);
        if self.status != status_before {
            self.decided_by = Some(entry.verdict.origin);
        }
        if let Some((evaluation, status)) = said.run() {
            let same = |run: &&(&str, Option<&str>, i64)| {
                (run.0, run.1) == (status, entry.verdict.request)
            };
            if self.runs.get(evaluation).filter(same).is_none() {
                self.runs
                    .insert(evaluation, (status, entry.verdict.request, entry.at));
            }
        }
    }
}

impl<'a> Request<'a> {
    pub fn is_settled(&self) -> bool {
        matches!(self.state, Some("completed" | "failed"))
    }

    fn agrees(&self, said: &Said) -> bool {
        let same_operation = self.registered_at.is_none() || self.operation == said.operation;
        let customer = said.customer.as_deref();
        same_operation
            && (self.customer.is_none() || customer.is_none() || self.customer == customer)
    }

    fn waits_for(&self, evaluation: &str) -> bool {
        let starts = match self.operation {
            Some("onboard") => "kyc",
            Some(operation @ ("fraud" | "document")) => operation,
            _ => "",
        };
        let awaited = match self.evaluations.get(evaluation) {
            Some(status) => !ended(status),
            None => starts == evaluation || self.expects.contains(&evaluation),
        };
        awaited && self.state.is_some() && !self.is_settled()
    }

    fn register(&mut self, said: &'a Said, at: i64) {
        if self.registered_at.is_none() {
            self.operation = said.operation;
            self.registered_at = Some(at);
            self.deadline_at = Some(at + said.deadline_ms);
        }
        for expected in said.expects.iter().map(String::as_str) {
            if !self.expects.contains(&expected) {
                self.expects.push(expected);
                if !self.evaluations.contains_key(expected) {
                    self.given = None;
                }
            }
        }
        self.external = self.external.or(said.external.as_deref());
        self.conclude(self.settled_by, at);
    }

    fn hear(&mut self, said: &'a Said, entry: &Entry<'a>) {
        let read_off = match (said.kind, said.run()) {
            (Some("onboard"), _) => "onboard",
            (Some("flag"), _) => "flag",
            (_, Some(("kyc", _))) => "onboard",
            (_, Some(("fraud", _))) => "fraud",
            (_, Some(("document", _))) => "document",
            _ => "other",
        };
        self.operation = self.operation.or(Some(read_off));
        self.external = self.external.or(said.external.as_deref());
        if entry.delivery.by != "gateway" {
            self.first_event_at = self.first_event_at.or(Some(entry.at));
        }
        match said.run() {
            Some((evaluation, status)) => {
                if self.evaluations.insert(evaluation, status).is_none() {
                    self.given = None;
                }
                self.beyond_kyc |= evaluation != "kyc" && status == "completed";
            }
            None if said.kind == Some("flag") && self.operation == Some("flag") => {
                self.given = Some("completed");
            }
            None => {}
        }
        let by = match (entry.delivery.by, entry.verdict.evidence) {
            ("poll", _) => "poll",
            ("webhook", "request_id") => "webhook",
            _ => "inferred",
        };
        self.conclude(Some(by), entry.at);
    }

    fn conclude(&mut self, by: Option<&'static str>, at: i64) {
        let before = self.state;
        let all: Vec<_> = self
            .evaluations
            .keys()
            .chain(&self.expects)
            .map(|evaluation| {
                let heard = self.evaluations.get(evaluation).copied().unwrap_or("");
                let passed_over = *evaluation == "kyc" && self.beyond_kyc && !ended(heard);
                if passed_over { "completed" } else { heard }
            })
            .collect();
        let over = !all.is_empty() && all.iter().all(|status| ended(status));
        let open = match self.first_event_at {
            Some(_) => "in_progress",
            None => "pending",
        };
        self.state = Some(match (over, self.given) {
            (true, _) if all.contains(&"failed") => "failed",
            (true, _) => "completed",
            (false, given) => given.unwrap_or(open),
        });
        if !self.is_settled() {
            (self.settled_by, self.settled_at) = (None, None);
        } else if self.state != before {
            (self.settled_by, self.settled_at) = (by, Some(at));
        }
    }
}
