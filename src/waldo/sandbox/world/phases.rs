//! How a run goes on: its phases, what each changes, and what is told of it.

use serde_json::json;

use super::super::customer::Customer;
use super::super::mischief::Draws;
use super::super::outcomes::standing;
use super::super::post::Webhook;
use super::super::run::{Run, Step};
use super::super::schedule::{Due, Moment};
use super::super::webhooks::{self, Body};
use super::super::words::{Cause, Check, Kyc, Operation, Progress};
use super::{MAX_RUNS, World};

impl World {
    pub(super) fn begin(&mut self, number: u64, run: Run, now: Moment) {
        for (step, place) in (0..run.steps.len()).zip(1_u32..) {
            let at = now.at + self.pace * place;
            self.schedule.put(at, Due::Step { run: number, step });
        }
        if let Some(customer) = self.customers.get_mut(run.customer) {
            customer.running.push(number);
        }
        self.running += 1;
        self.runs.insert(number, run);
        if self.runs.len() > MAX_RUNS {
            let ended = self.runs.iter().find(|(_, run)| run.completed_at.is_some());
            if let Some(number) = ended.map(|(number, _)| *number) {
                self.runs.remove(&number);
            }
        }
    }

    /// One phase: what it changes, then what is told of it.
    pub(super) fn step(&mut self, number: u64, step: usize, now: Moment) {
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        let Some(customer) = self.customers.get_mut(run.customer) else {
            return;
        };
        let Some(Step {
            check,
            progress,
            draws,
        }) = run.steps.get(step)
        else {
            return;
        };
        let (check, progress, draws) = (*check, *progress, draws.clone());
        if check == Check::Fraud && run.operation == Operation::Onboard {
            // The identity check goes before, and no webhook tells of its end.
            if step == 0 {
                run.set(Check::Kyc, Progress::Running);
            } else if customer.kyc == Kyc::Pending {
                run.set(Check::Kyc, Progress::Completed);
                complete(run, customer, Check::Kyc, now);
            }
        }
        run.set(check, progress);
        if progress == Progress::Completed {
            complete(run, customer, check, now);
        }
        if progress.is_terminal() {
            run.completed_at = Some(now.time.0);
            customer.running.retain(|known| *known != number);
            self.running -= 1;
        }
        let place = run.customer;
        let cause = run.cause;
        let body = match run.steps.get(step) {
            Some(step) => webhooks::phase(run, step, customer),
            None => return,
        };
        self.tell(place, cause, body, draws, !progress.is_terminal(), now);
    }

    pub(super) fn tell(
        &mut self,
        customer: usize,
        cause: Cause,
        body: Body,
        draws: Draws,
        in_flight: bool,
        now: Moment,
    ) {
        let Some(known) = self.customers.get(customer).filter(|_| self.sends) else {
            return;
        };
        let webhook = Webhook {
            body,
            customer,
            customer_id: known.id.clone(),
            cause,
            draws,
            in_flight,
        };
        self.post.take(webhook, now, &mut self.schedule);
    }
}

/// What a completed evaluation makes of its customer.
fn complete(run: &Run, customer: &mut Customer, check: Check, now: Moment) {
    let date = now.time.0;
    match check {
        Check::Kyc => {
            customer.kyc = run.outcome.kyc;
            customer.note_kyc(json!({"date": date, "outcome": run.outcome.kyc, "type": "kyc"}));
        }
        Check::Fraud => {
            customer.score = Some(run.outcome.score);
            customer.status = standing(run.outcome.score);
            customer.note_fraud(json!({"date": date, "score": run.outcome.score}));
        }
        Check::Document => {
            let outcome = if run.outcome.document_warns {
                Kyc::Review
            } else {
                Kyc::Passed
            };
            customer.note_kyc(json!({
                "date": date,
                "outcome": outcome,
                "documentType": run.document,
                "issuingDate": "2021-05-06",
                "type": "document",
            }));
        }
    }
}
