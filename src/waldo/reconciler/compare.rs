//! One customer's row beside what Waldo says of it.

use super::questions::{Fault, Found, Questions, Row, Told};
use crate::domain::Disposition;

/// How often a row that changes meanwhile is looked at again.
const TRIES: usize = 3;

/// What came of comparing a customer.
#[derive(Debug)]
pub enum Compared {
    /// The row says what Waldo says.
    Same,
    /// It did not, and does now.
    Drifted(Told),
    /// Waldo does not know such a customer.
    Unknown,
}

/// Compares a customer's row with what Waldo says, and tells the daemon where they differ.
///
/// # Errors
/// When Waldo or the daemon does not answer, or the row changes each time.
pub async fn compare(questions: &Questions, customer_id: &str) -> Result<Compared, Fault> {
    for _ in 0..TRIES {
        let row = questions.row(customer_id).await?;
        let Some(found) = questions.customer("customerId", customer_id).await? else {
            return Ok(Compared::Unknown);
        };
        if !differs(&row, &found) {
            return Ok(Compared::Same);
        }
        let (_, mut told) = questions
            .tell(&found.answer(customer_id, row.version))
            .await?;
        if told.disposition != Disposition::Stale {
            // Who decided is not Waldo's to say; it follows from the event.
            told.changes.retain(|change| change.field != "decidedBy");
            return Ok(Compared::Drifted(told));
        }
    }
    Err(Fault::Restless)
}

/// Whether Waldo says something that the row does not. What Waldo leaves out says nothing, nor does a score of 0 that may
/// mean that none was asked for.
pub(super) fn differs(row: &Row, found: &Found) -> bool {
    let said = &found.reading;
    let other = |said: &Option<String>, known: &Option<String>| said.is_some() && said != known;
    let score = said
        .validation
        .fraud_score
        .filter(|score| !found.is_running() && (*score != 0.0 || row.fraud_score.is_some()));
    row.version == 0
        || other(&said.validation.status, &row.status)
        || other(&said.validation.kyc, &row.kyc)
        || other(&said.external_id, &row.external_id)
        || score.is_some_and(|score| Some(score) != row.fraud_score)
}
