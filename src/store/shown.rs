//! A customer as it is shown, written straight from its row: what is JSON there already goes as it stands. It is read as
//! what it is all the same, for a damaged row is to be told here as in a list.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row};

use super::StoreError;
use super::rows::{self, corrupt, seq, uint};
use crate::domain::customer::Run;
use crate::domain::object::Object;
use crate::domain::payload::WarningTag;
use crate::domain::{Origin, Seq, Timestamp};

/// A customer as it is shown, and what tells its states apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownCustomer {
    /// +1 for every event that changed the row.
    pub version: u64,
    /// The event that last changed the row.
    pub last_seq: Seq,
    /// The customer as JSON.
    pub json: Vec<u8>,
}

/// Bytes of a customer as JSON, as a rule.
const BYTES: usize = 1024;

const SQL: &str = "SELECT customer_id, external_id, uri, status, kyc, fraud_score, flagged, warnings, \
     coalesce(warning_tags, '[]'), evaluations, decided_by, first_seen_at, updated_at, last_seq, version FROM customers \
     WHERE customer_id = ?1 AND version > 0";

/// Finds a customer of whom more is known than the id.
pub(super) fn shown_customer(
    connection: &Connection,
    id: &str,
) -> Result<Option<ShownCustomer>, StoreError> {
    let mut statement = connection.prepare_cached(SQL)?;
    let mut rows = statement.query([id])?;
    rows.next()?.map(shown).transpose()
}

/// The members of a `Customer` that are shown, in its order.
fn shown(row: &Row<'_>) -> Result<ShownCustomer, StoreError> {
    let text = |column| {
        let value = row.get_ref(column)?;
        value.as_str_or_null().map_err(|_| corrupt(row, column))
    };
    rows::json::<Vec<WarningTag>>(row, 8)?;
    rows::json::<BTreeMap<String, Run>>(row, 9)?;
    rows::word::<Origin>(row, 10)?;
    let json = |column| text(column).map(Option::unwrap_or_default);
    let time = |column| Ok::<_, StoreError>(Timestamp(row.get(column)?));
    let last_seq = seq(row.get(13)?);
    let version = uint(row.get(14)?);
    let mut object = Object::of(BYTES);
    object.put_text("customerId", text(0)?);
    object.put_text("externalId", text(1)?);
    object.put_text("uri", text(2)?);
    object.put_text("status", text(3)?);
    object.put_text("kyc", text(4)?);
    object.put("fraudScore", &row.get::<_, Option<f64>>(5)?);
    object.put("flagged", &row.get::<_, Option<bool>>(6)?);
    object.put("warnings", &row.get::<_, Option<i64>>(7)?);
    object.put_json("warningTags", json(8)?);
    object.put_json("evaluations", json(9)?);
    object.put_text("decidedBy", text(10)?);
    object.put_word("firstSeenAt", &time(11)?);
    object.put_word("updatedAt", &time(12)?);
    object.put("lastSeq", &last_seq);
    object.put("version", &version);
    Ok(ShownCustomer {
        version,
        last_seq,
        json: object.end(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::customer::{Customer, Links, Memory};
    use crate::store::rows::{Keeper, load_customer};
    use crate::store::schema::{FILE_NAME, Role, connect, prepare};

    /// One of whom nothing is known, and one of whom everything is.
    fn customers() -> [Customer; 2] {
        let nobody = Customer {
            customer_id: "a \"quoted\" \u{1f600}".to_owned(),
            version: 1,
            links: Links {
                key: 1,
                ..Links::default()
            },
            ..Customer::default()
        };
        let tag = WarningTag {
            tag: "ssn\u{1}".to_owned(),
            label: None,
            passed: Some(false),
            is_doc: true,
        };
        let run = Run {
            status: "completed".to_owned(),
            request_id: None,
            at: Timestamp(1_731_000_000_120),
        };
        let known = Customer {
            customer_id: "b".to_owned(),
            external_id: Some("e/\\".to_owned()),
            uri: Some("https://app".to_owned()),
            status: Some("APPROVED".to_owned()),
            kyc: Some("PASSED".to_owned()),
            fraud_score: Some(0.1 + 0.2),
            flagged: Some(false),
            warnings: Some(-1),
            warning_tags: Some([tag].into()),
            evaluations: BTreeMap::from([("fraud".to_owned(), run)]),
            decided_by: Some(Origin::Dashboard),
            first_seen_at: Timestamp(1),
            updated_at: Timestamp(-1),
            last_seq: Seq(7),
            version: 3,
            memory: Memory::default(),
            links: Links {
                key: 2,
                ..Links::default()
            },
        };
        [nobody, known]
    }

    #[test]
    fn a_row_is_shown_as_the_customer_that_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        prepare(&path).unwrap();
        let connection = connect(&path, Role::Append).unwrap();
        for customer in customers() {
            Keeper::of(&connection)
                .unwrap()
                .customer(&customer, true)
                .unwrap();
            let shown = shown_customer(&connection, &customer.customer_id).unwrap();
            let expected = ShownCustomer {
                version: customer.version,
                last_seq: customer.last_seq,
                json: serde_json::to_vec(&customer).unwrap(),
            };
            assert_eq!(shown, Some(expected));
            let loaded = load_customer(&connection, &customer.customer_id).unwrap();
            assert_eq!(loaded, Some(customer));
        }
    }

    #[test]
    fn one_who_is_only_named_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        prepare(&path).unwrap();
        let connection = connect(&path, Role::Append).unwrap();
        let [mut named, _] = customers();
        named.version = 0;
        Keeper::of(&connection)
            .unwrap()
            .customer(&named, true)
            .unwrap();
        assert_eq!(
            shown_customer(&connection, &named.customer_id).unwrap(),
            None
        );
    }
}
