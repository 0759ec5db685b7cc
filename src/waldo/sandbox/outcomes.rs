//! What an evaluation will find: chosen by `externalId` as in Waldo's own sandbox, else by the seed.
//!
//! Invariant: every draw happens on every call, in one order, so that steering or an option of one thing does not shift
//! what the seed decides about the next.

use fastrand::Rng;

use super::words::{Kyc, Operation, Standing};

/// A score from which a customer is approved.
pub const APPROVED_FROM: f64 = 0.7;
/// A score from which a person decides; below it the customer is rejected.
pub const REVIEW_FROM: f64 = 0.4;

/// Of unsteered identity checks.
const KYC_REVIEW_SHARE: f64 = 0.15;
/// Of unsteered fraud checks.
const SCORE_REVIEW_SHARE: f64 = 0.2;
const SCORE_REJECT_SHARE: f64 = 0.1;
/// Of unsteered documents.
const DOCUMENT_WARN_SHARE: f64 = 0.2;
/// How often a run tells of `in_progress`: Waldo says "up to three events".
const IN_PROGRESS_SHARE: f64 = 0.5;

/// What the quick identity check says in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Express {
    /// It found this in time.
    Found(Kyc),
    /// It was not quick enough; the outcome comes by webhook.
    Late,
}

/// What a run will find.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Of the identity check.
    pub kyc: Kyc,
    /// Of the quick identity check, where it was asked for.
    pub express: Express,
    /// Of the fraud check, in hundredths and never 0.
    pub score: f64,
    /// Whether the document raises warnings.
    pub document_warns: bool,
    /// Whether the last evaluation fails instead.
    pub fails: bool,
    /// Whether `in_progress` is told.
    pub tells_in_progress: bool,
    /// What the tags are drawn from.
    pub tag_seed: u64,
}

#[derive(Clone, Copy, PartialEq)]
enum Word {
    Pass,
    Review,
    Reject,
    Delay,
    Warn,
}

#[derive(Clone, Copy, PartialEq)]
enum Scenario {
    Kyc,
    Fraud,
    ExpressKyc,
    ExpressKycFraud,
    FraudCheck,
    DocumentUpload,
}

/// The scenario that an `externalId` names (Waldo's page "guides/sandbox-testing-scenarios").
fn scenario(external_id: &str) -> Option<(Scenario, Word)> {
    use Scenario::{DocumentUpload, ExpressKyc, ExpressKycFraud, Fraud, FraudCheck, Kyc};
    use Word::{Delay, Pass, Reject, Review, Warn};
    Some(match external_id {
        "kyc-pass" => (Kyc, Pass),
        "kyc-review" => (Kyc, Review),
        "fraud-pass" => (Fraud, Pass),
        "fraud-review" => (Fraud, Review),
        "fraud-reject" => (Fraud, Reject),
        "expressKYC-pass" => (ExpressKyc, Pass),
        "expressKYC-review" => (ExpressKyc, Review),
        "expressKYC-delay" => (ExpressKyc, Delay),
        "expressKYCFraud-pass" => (ExpressKycFraud, Pass),
        "expressKYCFraud-review" => (ExpressKycFraud, Review),
        "expressKYCFraud-reject" => (ExpressKycFraud, Reject),
        "expressKYCFraud-delay" => (ExpressKycFraud, Delay),
        "fraudCheck-pass" => (FraudCheck, Pass),
        "fraudCheck-review" => (FraudCheck, Review),
        "fraudCheck-reject" => (FraudCheck, Reject),
        "documentUpload-pass" => (DocumentUpload, Pass),
        "documentUpload-warn" => (DocumentUpload, Warn),
        _ => return None,
    })
}

impl Outcome {
    /// Draws an outcome, and lets the `externalId` overrule it.
    pub fn draw(rng: &mut Rng, operation: Operation, external_id: &str, fail: f64) -> Self {
        let kyc = if rng.f64() < KYC_REVIEW_SHARE {
            Kyc::Review
        } else {
            Kyc::Passed
        };
        let share = rng.f64();
        let place = rng.f64();
        let word = match share {
            _ if share < SCORE_REJECT_SHARE => Word::Reject,
            _ if share < SCORE_REJECT_SHARE + SCORE_REVIEW_SHARE => Word::Review,
            _ => Word::Pass,
        };
        let mut outcome = Self {
            kyc,
            express: Express::Found(kyc),
            score: score(word, place),
            document_warns: rng.f64() < DOCUMENT_WARN_SHARE,
            fails: rng.f64() < fail,
            tells_in_progress: rng.f64() < IN_PROGRESS_SHARE,
            tag_seed: rng.u64(..),
        };
        if let Some((scenario, word)) = scenario(external_id) {
            outcome.steer(operation, scenario, word, place);
        }
        outcome
    }

    fn steer(&mut self, operation: Operation, scenario: Scenario, word: Word, place: f64) {
        match (operation, scenario) {
            (Operation::Onboard, Scenario::Kyc | Scenario::ExpressKyc) => {
                self.kyc = if word == Word::Review {
                    Kyc::Review
                } else {
                    Kyc::Passed
                };
            }
            (Operation::Onboard, _) => {
                // The scenario is about something else: the identity is in order.
                self.kyc = Kyc::Passed;
                let decides = matches!(scenario, Scenario::Fraud | Scenario::ExpressKycFraud);
                self.score = score(if decides { word } else { Word::Pass }, place);
            }
            (Operation::Fraud, Scenario::FraudCheck) => self.score = score(word, place),
            (Operation::Document, Scenario::DocumentUpload) => {
                self.document_warns = word == Word::Warn;
            }
            _ => return,
        }
        self.fails = false;
        self.express = if word == Word::Delay {
            Express::Late
        } else {
            Express::Found(self.kyc)
        };
    }
}

fn score(word: Word, place: f64) -> f64 {
    let (from, to) = match word {
        Word::Reject => (1.0, REVIEW_FROM * 100.0),
        Word::Review => (REVIEW_FROM * 100.0, APPROVED_FROM * 100.0),
        Word::Pass | Word::Delay | Word::Warn => (APPROVED_FROM * 100.0, 100.0),
    };
    (from + (to - from) * place).floor() / 100.0
}

/// What a score makes of a customer, by this organisation's thresholds.
pub fn standing(score: f64) -> Standing {
    if score >= APPROVED_FROM {
        Standing::Approved
    } else if score >= REVIEW_FROM {
        Standing::Review
    } else {
        Standing::Rejected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_id_decides_whatever_the_seed() {
        for seed in 0..500 {
            let draw =
                |operation, id: &str| Outcome::draw(&mut Rng::with_seed(seed), operation, id, 1.0);
            let onboard = |id: &str| draw(Operation::Onboard, id);
            assert_eq!(onboard("kyc-pass").kyc, Kyc::Passed);
            assert_eq!(onboard("kyc-review").kyc, Kyc::Review);
            assert_eq!(onboard("expressKYC-delay").express, Express::Late);
            assert_eq!(
                onboard("expressKYC-review").express,
                Express::Found(Kyc::Review)
            );
            for (word, expected) in [
                ("pass", Standing::Approved),
                ("review", Standing::Review),
                ("reject", Standing::Rejected),
            ] {
                for scenario in ["fraud", "expressKYCFraud"] {
                    let outcome = onboard(&format!("{scenario}-{word}"));
                    assert_eq!(standing(outcome.score), expected, "{outcome:?}");
                    assert!(outcome.score > 0.0 && outcome.score <= 1.0);
                    assert!(!outcome.fails);
                }
                let outcome = draw(Operation::Fraud, &format!("fraudCheck-{word}"));
                assert_eq!(standing(outcome.score), expected, "{outcome:?}");
            }
            assert!(draw(Operation::Document, "documentUpload-warn").document_warns);
            assert!(!draw(Operation::Document, "documentUpload-pass").document_warns);
        }
    }

    #[test]
    fn unsteered_outcomes_come_in_every_kind() {
        let outcomes: Vec<_> = (0..500)
            .map(|seed| Outcome::draw(&mut Rng::with_seed(seed), Operation::Onboard, "crm-1", 0.01))
            .collect();
        for kind in [Standing::Approved, Standing::Review, Standing::Rejected] {
            assert!(outcomes.iter().any(|found| standing(found.score) == kind));
        }
        assert!(outcomes.iter().any(|found| found.kyc == Kyc::Review));
        assert!(outcomes.iter().any(|found| found.fails));
        assert!(outcomes.iter().all(|found| found.score > 0.0));
    }
}
