//! What the doors offer, as OpenAPI documents.
//!
//! They are made from the types of the answers and the tables of paths, by a test, and stand in `docs/`: the program
//! carries the finished text and nothing that makes it. A test holds the text equal to what would be made now;
//! `cargo test --lib openapi::tests::renew -- --ignored` writes it anew.

#[cfg(test)]
mod control;
#[cfg(test)]
mod document;
#[cfg(test)]
mod event;
#[cfg(test)]
mod query;

use std::sync::Arc;

use http::StatusCode;
use warp::reply::Response as Reply;

use super::params::Params;
use super::query::{Asked, Query};
use super::reply::{Problem, SEQ_HEADER, bytes};

/// The query door.
pub const QUERY_DOOR: &str = include_str!("../../../docs/openapi.json");
/// The control door's own paths; what else it serves is the query door's.
pub const CONTROL_DOOR: &str = include_str!("../../../docs/openapi-control.json");

pub(super) async fn of_query_door(
    query: Arc<Query>,
    _: String,
    _: Params,
    _: Asked,
) -> Result<Reply, Problem> {
    let mut reply = of_door(QUERY_DOOR);
    let seq = query.store.projected().0;
    reply.headers_mut().insert(SEQ_HEADER, seq.into());
    Ok(reply)
}

pub(super) fn of_door(document: &'static str) -> Reply {
    bytes(StatusCode::OK, "application/json", document)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde::Serialize as _;
    use serde_json::Value;
    use serde_json::ser::PrettyFormatter;

    use super::{CONTROL_DOOR, QUERY_DOOR, control, query};

    fn file(name: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("docs")
            .join(name)
    }

    /// With a line for each member, and one space a level: the program carries this text.
    fn text(document: &Value) -> String {
        let mut text = Vec::new();
        let format = PrettyFormatter::with_indent(b" ");
        let mut out = serde_json::Serializer::with_formatter(&mut text, format);
        document.serialize(&mut out).unwrap();
        String::from_utf8(text).unwrap() + "\n"
    }

    #[test]
    #[ignore = "writes the documents anew"]
    fn renew() {
        std::fs::write(file("openapi.json"), text(&query::document())).unwrap();
        std::fs::write(file("openapi-control.json"), text(&control::document())).unwrap();
    }

    #[test]
    fn the_documents_are_what_the_types_and_tables_say() {
        for (name, kept, made) in [
            ("openapi.json", QUERY_DOOR, query::document()),
            ("openapi-control.json", CONTROL_DOOR, control::document()),
        ] {
            let made = text(&made);
            let differs = kept.lines().zip(made.lines()).find(|(a, b)| a != b);
            assert!(
                kept == made,
                "docs/{name} is not of this source, first at {differs:?}: \
                 `cargo test --lib openapi::tests::renew -- --ignored` writes it anew"
            );
        }
    }
}
