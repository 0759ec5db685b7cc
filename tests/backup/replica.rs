//! A replicating tool beside the daemon: a table of its own, a read that it holds, copies of file and WAL.

use rusqlite::Connection;

use super::*;
use crate::common::bodies::*;

/// What the tool does that holds up nobody and is held up by nobody.
#[test]
fn a_tool_that_holds_a_read_and_copies_the_files_has_a_whole_log() {
    let daemon = Daemon::start();
    let database = daemon.data().join("waldo-syncd.db");
    let before = daemon.deliver(flag("before", true));
    daemon.event(before);
    let tool = Connection::open(&database).unwrap();
    tool.execute_batch("CREATE TABLE _tool (id INTEGER PRIMARY KEY, seq INTEGER); INSERT INTO _tool (seq) VALUES (1); BEGIN")
        .unwrap();
    let count = || -> u64 {
        let sql = "SELECT count(*) FROM log";
        tool.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64
    };
    assert_eq!(count(), before);
    let mut last = before;
    for number in 0..20 {
        last = daemon.deliver(flag("later", number % 2 == 0));
    }
    daemon.event(last);
    assert_eq!(count(), before, "the read is held");
    let replica = daemon.place().path().join("replica.db");
    for ending in ["", "-wal"] {
        let with = |path: &Path| PathBuf::from(format!("{}{ending}", path.display()));
        fs::copy(with(&database), with(&replica)).unwrap();
    }
    tool.execute_batch("COMMIT").unwrap();
    // Closing it takes nothing from the daemon.
    drop(tool);
    // The tool makes one file of its copy.
    let copy = Connection::open(&replica).unwrap();
    copy.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))
        .unwrap();
    drop(copy);
    let place = Place::new();
    let run = restore(&place, &replica, &[]);
    run.assert_code(0);
    assert_eq!(run.json_lines()[0]["lastSeq"], last);
    // And a backup of ours is made and passes, with the table of the tool in it.
    let backup = made(&daemon, &folder(daemon.place()));
    assert_eq!(backup["lastSeq"], last);
}
