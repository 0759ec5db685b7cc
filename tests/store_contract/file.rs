//! The file and its directory: whose it is, who may have it, and what stays of it.

use std::future::{Future as _, poll_fn};
use std::os::unix::fs::PermissionsExt as _;
use std::task::Poll;

use rusqlite::Connection;

use super::common::bodies::*;
use super::*;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A data directory with a file made by the closure, and the file's bytes.
fn prepared(make: impl FnOnce(&Path)) -> (TempDir, PathBuf, Vec<u8>) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join(FILE_NAME);
    make(&file);
    let bytes = std::fs::read(&file).unwrap();
    (folder, file, bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn clean_stop_leaves_exactly_one_file_for_its_owner_only() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("not/yet/there");
    let (store, thread) = Store::open(options(&data)).unwrap();
    appended_at_once(&store, 8, 20, |task, n| {
        flag(&format!("c{task}"), n % 2 == 0)
    })
    .await;
    store
        .events(FeedFilter::default(), None, Order::Ascending, 10)
        .await
        .unwrap();
    thread.stop(&store);
    assert_eq!(names(&data), [FILE_NAME]);
    assert_eq!(mode(&data.join(FILE_NAME)), 0o600);
    assert_eq!(mode(&data), 0o700);
    assert_whole(&data.join(FILE_NAME), 160);
    let late = store.append(delivery("too late")).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    assert!(store.trouble().is_some());
    assert_whole(&data.join(FILE_NAME), 160);
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_finishes_what_was_accepted() {
    let opened = Opened::new();
    let held = opened.connection();
    held.execute_batch("BEGIN IMMEDIATE").unwrap();
    let store = opened.store.clone();
    let mut appenders: Vec<_> = (0..50)
        .map(|n| Box::pin(store.append(delivery(flag("c", n % 2 == 0)))))
        .collect();
    for waiting in &mut appenders {
        // What waits has been handed to the writer.
        let begun = poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context).is_pending()));
        assert!(begun.await);
    }
    let stopping = std::thread::spawn(move || opened.stop());
    held.execute_batch("ROLLBACK").unwrap();
    drop(held);
    for waiting in appenders {
        waiting.await.unwrap();
    }
    drop(store);
    let folder = stopping.join().unwrap();
    assert_eq!(names(folder.path()), [FILE_NAME]);
    assert_whole(&folder.path().join(FILE_NAME), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn second_store_in_the_directory_is_refused_until_the_first_has_stopped() {
    let opened = Opened::new();
    shown(&opened.store, flag("c", true)).await;
    let second = Store::open(options(opened.folder.path()));
    assert!(
        matches!(&second, Err(StoreError::InUse(path)) if path == opened.folder.path()),
        "{second:?}"
    );
    // The refused one has left the first alone.
    shown(&opened.store, flag("c", false)).await;
    let opened = opened.reopened();
    assert_eq!(opened.store.durable(), Seq(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn file_of_a_newer_program_is_refused_and_left_as_it_is() {
    let opened = Opened::new();
    shown(&opened.store, flag("c", true)).await;
    let folder = opened.stop();
    let file = folder.path().join(FILE_NAME);
    Connection::open(&file)
        .unwrap()
        .pragma_update(None, "user_version", 1_000)
        .unwrap();
    let bytes = std::fs::read(&file).unwrap();
    let error = Store::open(options(folder.path())).unwrap_err();
    assert!(
        matches!(&error, StoreError::NewerSchema { found: 1_000, path, .. } if *path == file),
        "{error:?}"
    );
    assert!(error.to_string().contains("newer"), "{error}");
    assert!(
        std::fs::read(&file).unwrap() == bytes,
        "the file was written to"
    );
    assert_eq!(names(folder.path()), [FILE_NAME]);
}

#[test]
fn another_programs_database_is_refused() {
    let (folder, file, _) = prepared(|file| {
        let connection = Connection::open(file).unwrap();
        connection
            .execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)")
            .unwrap();
    });
    let error = Store::open(options(folder.path())).unwrap_err();
    assert!(
        matches!(&error, StoreError::NotOurs(path) if *path == file),
        "{error:?}"
    );
}

#[test]
fn another_programs_database_is_left_as_it_is() {
    let (folder, file, bytes) = prepared(|file| {
        let connection = Connection::open(file).unwrap();
        connection
            .execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)")
            .unwrap();
    });
    Store::open(options(folder.path())).unwrap_err();
    assert!(
        std::fs::read(&file).unwrap() == bytes,
        "the file was written to"
    );
    assert_eq!(names(folder.path()), [FILE_NAME]);
}

#[test]
fn what_is_no_database_is_refused_and_left_as_it_is() {
    let (folder, file, bytes) =
        prepared(|file| std::fs::write(file, "no database\n".repeat(500)).unwrap());
    let error = Store::open(options(folder.path())).unwrap_err();
    assert!(
        matches!(&error, StoreError::NotOurs(path) if *path == file),
        "{error:?}"
    );
    assert!(
        std::fs::read(&file).unwrap() == bytes,
        "the file was written to"
    );
}

#[test]
fn directory_that_cannot_be_made_is_named() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("a file");
    std::fs::write(&file, "").unwrap();
    let directory = file.join("below");
    let error = Store::open(options(&directory)).unwrap_err();
    assert!(
        matches!(&error, StoreError::Directory { path, .. } if *path == directory),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_made_by_other_rules_are_made_again() {
    let opened = Opened::new();
    let last = shown(&opened.store, onboard("c", "APPROVED", "PASSED")).await;
    let folder = opened.stop();
    let connection = Connection::open(folder.path().join(FILE_NAME)).unwrap();
    connection
        .execute_batch(
            "UPDATE projection SET rules_version = -1; UPDATE customers SET status = 'REJECTED'",
        )
        .unwrap();
    drop(connection);
    let (store, thread) = Store::open(options(folder.path())).unwrap();
    store.wait_projected(last, PATIENCE).await.unwrap();
    let row = store.customer("c".to_owned()).await.unwrap();
    assert_eq!(row.value.unwrap().status.as_deref(), Some("APPROVED"));
    thread.stop(&store);
    assert_eq!(names(folder.path()), [FILE_NAME]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_opens_and_takes_events_although_its_rows_cannot_be_made_again_yet() {
    let opened = Opened::new();
    let mut last = Seq::START;
    for number in 0..8 {
        last = shown(
            &opened.store,
            onboard(&format!("c{number}"), "APPROVED", "PASSED"),
        )
        .await;
    }
    let folder = opened.stop();
    let connection = Connection::open(folder.path().join(FILE_NAME)).unwrap();
    connection
        .execute_batch(
            "UPDATE projection SET rules_version = -1; UPDATE log SET reading = 'damaged', payload = NULL WHERE seq = 1",
        )
        .unwrap();
    let options = Options {
        max_lag: 5,
        ..options(folder.path())
    };
    let (store, thread) = Store::open(options).unwrap();
    let seq = store
        .append(delivery(onboard("new", "REVIEW", "PENDING")))
        .await;
    assert_eq!(seq.unwrap(), last.next());
    assert!(store.trouble().is_some());
    assert_eq!(store.projected(), Seq::START);
    connection
        .execute_batch("UPDATE log SET reading = NULL WHERE seq = 1")
        .unwrap();
    store.wait_projected(last.next(), PATIENCE).await.unwrap();
    assert_eq!(store.trouble(), None);
    let row = store.customer("c7".to_owned()).await.unwrap();
    assert_eq!(row.value.unwrap().status.as_deref(), Some("APPROVED"));
    thread.stop(&store);
}
