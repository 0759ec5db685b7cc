//! The paths between those who want Waldo asked and the process that asks.

use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::sync::SemaphorePermit;
use warp::reply::Response as Reply;

use super::facts::is_word;
use super::{Asked, Control, bad, parse};
use crate::http::errands::{Errand, NotTaken, Outbound, Report};
use crate::http::reply::{Code, Problem, json_bytes};

/// The longest that a question may wait for its answer, in seconds.
pub const MAX_WAIT_SECONDS: u64 = 60;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ErrandsBody {
    wait_seconds: u64,
}

/// What is to be done next; nulls where nothing came.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Given {
    /// The number under which it is reported on.
    id: Option<u64>,
    errand: Option<Errand>,
}

impl Control {
    pub(super) fn resync(&self, body: &[u8]) -> Result<Reply, Problem> {
        let errand: Errand = parse(body).map_err(|problem| {
            // The decoder knows no more than that one member is expected.
            let is_one = serde_json::from_slice::<Map<String, Value>>(body)
                .is_ok_and(|whole| whole.len() == 1);
            match is_one {
                true => problem,
                false => bad("expected one of customerId (an id), all (true) and overdue (true)"),
            }
        })?;
        if matches!(&errand, Errand::CustomerId(id) if !is_word(id)) {
            return Err(bad("customerId: expected an id"));
        }
        match self.errands.add(errand) {
            Ok(standing) => Ok(json_bytes(StatusCode::ACCEPTED, &standing)),
            Err(NotTaken::NobodyThere) => Err(Problem::new(
                Code::NoOutbound,
                "no outbound process is connected that could ask Waldo; start `waldo-syncd outbound`, or `serve --outbound`",
            )),
            Err(NotTaken::TooMany) => Err(Problem::new(
                Code::TooManyErrands,
                "as much as may wait to be asked of Waldo is waiting",
            )),
        }
    }

    pub(super) async fn standing(&self, asked: Asked) -> Result<Reply, Problem> {
        let unknown = || Problem::not_found("no such resync is known");
        let id = asked.id.parse().map_err(|_| unknown())?;
        let mut params = asked.params;
        let wait = params.number("wait", 0..=MAX_WAIT_SECONDS)?.unwrap_or(0);
        let _place = self.place_to_wait(wait)?;
        let waiting = self.errands.standing(id, Duration::from_secs(wait));
        let standing = self.unless_stopped(waiting).await?;
        Ok(json_bytes(StatusCode::OK, &standing.ok_or_else(unknown)?))
    }

    pub(super) fn outbound(&self, asked: &Asked) -> Result<Reply, Problem> {
        let outbound: Outbound = parse(&asked.body)?;
        self.errands.meet(outbound);
        Ok(json_bytes(StatusCode::OK, &json!({})))
    }

    pub(super) async fn next_errand(&self, asked: Asked) -> Result<Reply, Problem> {
        let body: ErrandsBody = parse(&asked.body)?;
        let wait = Duration::from_secs(body.wait_seconds.min(MAX_WAIT_SECONDS));
        let _place = self.place_to_wait(wait.as_secs())?;
        let waiting = self.errands.next(wait);
        let (id, errand) = self.unless_stopped(waiting).await?.unzip();
        Ok(json_bytes(StatusCode::OK, &Given { id, errand }))
    }

    /// The door must not fill with those who wait: registrations and answers come by it too.
    fn place_to_wait(&self, seconds: u64) -> Result<Option<SemaphorePermit<'_>>, Problem> {
        if seconds == 0 {
            return Ok(None);
        }
        let place = self.waiting.try_acquire();
        place.map(Some).map_err(|_| {
            Problem::new(
                Code::TooManyWaiting,
                "as many as may wait at the control socket are waiting",
            )
        })
    }

    pub(super) fn report(&self, asked: &Asked) -> Result<Reply, Problem> {
        let report: Report = parse(&asked.body)?;
        let known = asked
            .id
            .parse()
            .is_ok_and(|id| self.errands.report(id, report));
        if known {
            Ok(json_bytes(StatusCode::OK, &json!({})))
        } else {
            Err(Problem::not_found("no such errand is under way"))
        }
    }
}
