//! Another program that opens and closes the file beside the daemon takes nothing from it.

use rusqlite::Connection;

use crate::*;

/// Opens the file, reads and closes it again, as an sqlite3 shell does; SQLite clears the WAL away for whoever it takes to
/// be the last to close the file.
fn look_into(file: &Path) -> i64 {
    let connection = Connection::open(file).unwrap();
    let sql = "SELECT count(*) FROM log";
    connection.query_row(sql, [], |row| row.get(0)).unwrap()
}

#[test]
fn a_daemon_that_has_erased_still_holds_the_file() {
    let mut daemon = Daemon::start();
    let last = live(&daemon);
    daemon.place().cli(&["erase", EVE, "--yes"]).assert_code(0);
    let file = daemon.data().join(FILE);
    assert_eq!(look_into(&file), i64::try_from(last).unwrap());
    let next = daemon.deliver(onboard(DOT, "REVIEW", "PENDING"));
    daemon.event(next);
    assert_eq!(look_into(&file), i64::try_from(next).unwrap());
    daemon.kill();
    daemon.start_again();
    assert_eq!(daemon.event(next)["customerId"], DOT);
    assert_sound(daemon.place());
}

/// Tables of others are tolerated, also those that refer to ours.
#[test]
fn a_table_of_others_that_refers_to_a_customer_holds_up_no_erasure_and_no_rebuild() {
    let mut daemon = Daemon::start();
    live(&daemon);
    let file = rusqlite::Connection::open(daemon.data().join(FILE)).unwrap();
    file.execute_batch(
        "CREATE TABLE theirs (a REFERENCES customers (key)); INSERT INTO theirs SELECT key FROM customers",
    )
    .unwrap();
    drop(file);
    daemon.place().cli(&["erase", EVE, "--yes"]).assert_code(0);
    daemon.stop();
    daemon.place().cli(&["rebuild"]).assert_code(0);
    daemon.place().cli(&["erase", CAY, "--yes"]).assert_code(0);
    assert_sound(daemon.place());
}
