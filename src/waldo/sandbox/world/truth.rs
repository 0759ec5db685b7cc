//! The world as it is, to be looked at.

use serde_json::{Value, json};

use super::super::customer::Customer;
use super::super::errors::ApiError;
use super::World;

impl World {
    /// `GET /customer`: those for whom every field has the value.
    pub fn find(&self, fields: &[(String, String)]) -> Result<Value, ApiError> {
        let place = fields
            .iter()
            .find(|(field, _)| field == "customerId")
            .map(|(_, id)| self.place(id));
        let among = match place {
            Some(Some(place)) => self.customers.get(place..=place).unwrap_or_default(),
            Some(None) => &[],
            None => &self.customers,
        };
        let found: Vec<_> = among
            .iter()
            .filter(|customer| {
                let mut fields = fields.iter();
                fields.all(|(field, value)| customer.matches(field, value) == Some(true))
            })
            .map(|customer| {
                let latest = customer.running.last();
                customer.shown(latest.and_then(|number| self.runs.get(number)))
            })
            .collect();
        Ok(json!({ "customers": found }))
    }

    /// A customer by its id.
    pub fn customer(&self, id: &str) -> Option<&Customer> {
        self.customers.get(self.place(id)?)
    }

    /// The customers as they are, without what is personal; the newest `last`.
    pub fn customers(&self, last: usize) -> Value {
        let newest = self.customers.len().saturating_sub(last);
        let shown: Vec<_> = self
            .customers
            .get(newest..)
            .unwrap_or_default()
            .iter()
            .map(|customer| {
                let running: Vec<_> = customer
                    .running
                    .iter()
                    .filter_map(|number| self.runs.get(number))
                    .flat_map(|run| {
                        run.evaluations
                            .iter()
                            .filter(|(_, progress)| !progress.is_terminal())
                            .map(|(check, progress)| {
                                json!({"type": check, "status": progress, "requestId": run.request_id})
                            })
                    })
                    .collect();
                json!({
                    "customerId": customer.id,
                    "externalId": customer.external_id,
                    "uri": customer.uri(),
                    "status": customer.status,
                    "kyc": customer.kyc,
                    "fraudScore": customer.score,
                    "flagged": customer.flagged,
                    "createdAt": customer.created_at,
                    "running": running,
                })
            })
            .collect();
        json!({"customers": shown, "total": self.customers.len()})
    }

    /// The requests as they are; the newest `last`.
    pub fn requests(&self, last: usize) -> Value {
        let mut shown: Vec<_> = self
            .runs
            .iter()
            .rev()
            .take(last)
            .map(|(number, run)| {
                let customer = self.customers.get(run.customer);
                run.truth(*number, customer.map_or("", |customer| &customer.id))
            })
            .collect();
        shown.reverse();
        json!({ "requests": shown })
    }
}
