//! Logs that nobody thought of, told to the fold and to the reference of tests/model: the same verdicts and rows after
//! each event, and nothing that the contract forbids.
#![no_main]

use arbitrary::{Result, Unstructured};
use compare::{Letter, Pair, as_kept};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

#[path = "../../tests/model/compare.rs"]
mod compare;
#[path = "../../tests/model/invariants.rs"]
mod invariants;
#[path = "../../tests/model/reference.rs"]
mod reference;

/// Events of one log.
const MOST: usize = 40;
const START: i64 = 1_764_000_000_000;
const MINUTE: i64 = 60_000;

fuzz_target!(|data: &[u8]| {
    let mut told = Vec::new();
    let mut bytes = Unstructured::new(data);
    while told.len() < MOST && !bytes.is_empty() {
        let Ok(next) = next(&mut bytes) else { break };
        told.push(next);
    }
    let (mut pair, mut at) = (Pair::default(), START);
    for (wait, letter) in &told {
        at += wait;
        let before = pair.clone();
        let verdict = match pair.tell(at, letter) {
            Ok(verdict) => verdict,
            Err(difference) => panic!("{difference}\n{}", story(&told)),
        };
        if let Err(wrong) = invariants::check(&before.world, &pair.world, letter, &verdict) {
            panic!("{wrong}\n{}", story(&told));
        }
    }
    let (mut again, mut at) = (Pair::default(), START);
    for (wait, letter) in &told {
        at += wait;
        again.tell(at, letter).expect("as before");
    }
    assert_eq!(as_kept(&again.world), as_kept(&pair.world));
});

fn story(told: &[(i64, Letter)]) -> String {
    let lines = told.iter().map(|(wait, letter)| {
        format!(
            "+{wait} ms {}: {}\n",
            letter.delivery.by, letter.delivery.text
        )
    });
    lines.collect()
}

fn next(bytes: &mut Unstructured<'_>) -> Result<(i64, Letter)> {
    // Both sides of the rules' bounds.
    let wait = *bytes.choose(&[
        1,
        1,
        1,
        MINUTE,
        5 * MINUTE,
        10 * MINUTE - 1,
        10 * MINUTE,
        10 * MINUTE + 1,
        15 * MINUTE,
        15 * MINUTE + 1,
    ])?;
    let by = *bytes.choose(&[
        "webhook", "webhook", "webhook", "gateway", "poll", "control",
    ])?;
    let body = if by == "control" {
        from_app(bytes)?
    } else {
        from_waldo(bytes, by)?
    };
    Ok((wait, Letter::new(by, body.to_string())))
}

fn one(bytes: &mut Unstructured<'_>, words: &[&str]) -> Result<Value> {
    Ok(match *bytes.choose(words)? {
        "" => Value::Null,
        word => json!(word),
    })
}

fn from_app(bytes: &mut Unstructured<'_>) -> Result<Value> {
    let request = one(bytes, &["r", "s", "t"])?;
    Ok(match bytes.int_in_range(0..=3)? {
        0 | 1 => json!({
            "event": "request.registered",
            "requestId": request,
            "operation": one(bytes, &["onboard", "fraud", "document", "flag", "other"])?,
            "customerId": one(bytes, &["", "a", "b"])?,
            "externalId": one(bytes, &["", "e"])?,
            "expects": *bytes.choose(&[&[][..], &["fraud"], &["kyc", "fraud"], &["Document"], &["novel"]])?,
            "deadlineSeconds": 900,
        }),
        2 => json!({
            "event": "request.settled",
            "requestId": request,
            "state": one(bytes, &["completed", "failed"])?,
        }),
        _ => json!({
            "event": "flag.called",
            "customerId": one(bytes, &["a", "b"])?,
            "flag": bytes.arbitrary::<bool>()?,
            "withdrawn": bytes.ratio(1, 4)?,
        }),
    })
}

fn from_waldo(bytes: &mut Unstructured<'_>, by: &str) -> Result<Value> {
    let scores = [json!(0), json!(0.25), json!(1), json!(7), Value::Null];
    let flags = [
        json!(true),
        json!(false),
        json!("yes"),
        Value::Null,
        Value::Null,
    ];
    let mut body = json!({
        "event": one(bytes, &["onboard", "evaluation", "Evaluation", "flag", "novel", "request.registered", ""])?,
        "customerId": one(bytes, &["a", "a", "b", ""])?,
        "requestId": one(bytes, &["", "", "r", "s", "t"])?,
        "n": bytes.int_in_range(0..=1)?,
    });
    if bytes.arbitrary()? {
        body["evaluation"] = json!({
            "type": one(bytes, &["kyc", "fraud", "FRAUD", "document", "novel", "idle", ""])?,
            "status": one(bytes, &["initiated", "in_progress", "completed", "Failed", "paused", ""])?,
        });
    }
    if bytes.arbitrary()? {
        body["validation"] = json!({
            "status": one(bytes, &["", "APPROVED", "accepted", "REVIEW", "On hold"])?,
            "kyc": one(bytes, &["", "PASSED", "Accepted", "PENDING"])?,
            "fraudScore": bytes.choose(&scores)?,
            "fraudFlag": bytes.choose(&flags)?,
            "warnings": bytes.choose(&[json!(0), json!(2), Value::Null])?,
        });
    }
    if bytes.arbitrary()? {
        body["flag"] = bytes.choose(&flags)?.clone();
        body["externalId"] = one(bytes, &["", "e", "f"])?;
    }
    if by == "gateway" && bytes.arbitrary()? {
        body["operation"] = one(bytes, &["onboard", "fraud", "document"])?;
        body["expects"] = json!(*bytes.choose(&[&[][..], &["kyc", "fraud"]])?);
        body["deadlineSeconds"] = json!(900);
        body["noted"] = json!(bytes.arbitrary::<bool>()?);
    }
    if by == "poll" && bytes.arbitrary()? {
        body["seenVersion"] = json!(bytes.int_in_range(0..=4)?);
    }
    Ok(body)
}
