//! A file from before an erasure loses what was erased since.

use waldo_syncd::store::reapply_erasures;

use crate::*;

/// A copy of the file as it was, as a backup keeps it.
fn backup(daemon: &mut Daemon) -> std::path::PathBuf {
    daemon.stop();
    let folder = daemon.place().path().join("backup");
    std::fs::create_dir_all(&folder).unwrap();
    let copy = folder.join(FILE);
    std::fs::copy(daemon.data().join(FILE), &copy).unwrap();
    daemon.start_again();
    copy
}

fn reapply(daemon: &Daemon, file: &Path) -> u64 {
    reapply_erasures(file, &daemon.data().join(LIST), &mut |_, _| {}).unwrap()
}

#[test]
fn a_file_from_before_loses_the_customer_again() {
    let mut daemon = Daemon::start();
    live(&daemon);
    let copy = backup(&mut daemon);
    assert_eq!(reapply(&daemon, &copy), 0, "there is no list yet");
    daemon.place().cli(&["erase", EVE, "--yes"]).assert_code(0);
    let folder = copy.parent().unwrap();
    assert!(!holding(folder, EVE).is_empty());
    assert_eq!(reapply(&daemon, &copy), 1);
    assert_no_trace(folder);
    assert_eq!(reapply(&daemon, &copy), 0, "once is enough");
    let path = copy.to_str().unwrap();
    daemon.place().run(&["check", path]).assert_code(0);
    daemon.stop();
    std::fs::copy(&copy, daemon.data().join(FILE)).unwrap();
    assert_sound(daemon.place());
}

#[test]
fn a_customer_that_came_anew_after_its_erasure_stays() {
    let mut daemon = Daemon::start();
    live(&daemon);
    daemon.place().cli(&["erase", EVE, "--yes"]).assert_code(0);
    let seq = daemon.deliver(onboard(EVE, "REVIEW", "PENDING"));
    daemon.event(seq);
    let copy = backup(&mut daemon);
    assert_eq!(reapply(&daemon, &copy), 0);
    assert!(!holding(copy.parent().unwrap(), EVE).is_empty());
}

#[test]
fn an_erasure_that_was_refused_is_not_done_by_a_restore() {
    let mut daemon = Daemon::start();
    live(&daemon);
    let seq = daemon.deliver(run(BEN, EVES_REQUEST, "kyc", "in_progress"));
    daemon.event(seq);
    daemon.place().cli(&["erase", EVE, "--yes"]).assert_code(1);
    let copy = backup(&mut daemon);
    assert_eq!(reapply(&daemon, &copy), 0);
    assert!(!holding(copy.parent().unwrap(), EVE).is_empty());
    assert_eq!(daemon.get(&format!("/v1/customers/{EVE}")).status, 200);
}
