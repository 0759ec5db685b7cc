//! What a user can do wrong, and what can be wrong around the program: each ends with its exit code and a message that
//! says what, where and what to do. Never a panic, never a secret.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, Permissions};
use std::io::Read as _;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::place::{Run, assert_calm};
use common::{Daemon, Place};

/// Stands in every file and key that holds a secret.
const SECRET: &str = "canary-0123456789-abcdef";

/// Something that goes wrong.
struct Failure {
    what: &'static str,
    /// What must be there, and the command.
    run: fn(&Place) -> Run,
    code: i32,
    /// What the message must contain; `{}` is the folder of the test.
    says: &'static [&'static str],
}

#[track_caller]
fn check(failures: &[Failure]) {
    for failure in failures {
        let place = Place::new();
        let run = (failure.run)(&place);
        let told = format!("{}: {run:?}", failure.what);
        assert_eq!(run.code, Some(failure.code), "{told}");
        for part in failure.says {
            let part = part.replace("{}", place.path().to_str().unwrap());
            assert!(run.stderr.contains(&part), "no {part:?} in {told}");
        }
        assert!(!run.stderr.contains(SECRET), "a secret in {told}");
        assert!(!run.stdout.contains(SECRET), "a secret in {told}");
        assert!(run.stderr.len() < 1200, "too long: {told}");
    }
}

fn serve(place: &Place, more: &[&str]) -> Run {
    let arguments = place.serve_arguments();
    let mut all: Vec<&str> = arguments.iter().map(String::as_str).collect();
    all.extend(more);
    place.run(&all)
}

/// `serve` with a configuration file.
fn configured(place: &Place, text: &str) -> Run {
    let config = place.file("config.toml", text);
    serve(place, &["--config", config.to_str().unwrap()])
}

/// `serve` over a data directory in which this file stands already.
fn with_file(place: &Place, name: &str, content: &[u8]) -> Run {
    fs::create_dir(place.data()).unwrap();
    fs::set_permissions(place.data(), Permissions::from_mode(0o700)).unwrap();
    let path = place.data().join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
    serve(place, &[])
}

/// A data directory with a sound database in it, of a daemon that has stopped.
fn stopped(place: &Place) {
    let mut daemon = Daemon::start_in(Place::new());
    daemon.stop();
    copy_folder(&daemon.place().data(), &place.data());
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, Permissions::from_mode(0o700)).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn database(place: &Place) -> PathBuf {
    place.data().join("waldo-syncd.db")
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

/// Runs a command as somebody who may not do everything. Root gives its rights up; anybody else has none to give.
fn as_anybody(place: &Place, arguments: &[&str]) -> Run {
    let mut command = place.command();
    if is_root() {
        // The folder is to be reached, and the program to be run, by the other user.
        fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
        let program = place.path().join("program");
        if !program.exists() {
            // By another process: what is begun in parallel here would inherit the copy open for writing, and a program
            // that somebody may write to does not start.
            let copied = Command::new("cp")
                .arg(env!("CARGO_BIN_EXE_waldo-syncd"))
                .arg(&program)
                .status();
            assert!(copied.unwrap().success());
        }
        command = Command::new(program);
        command
            .env_clear()
            .env("HOME", place.path().join("home"))
            .current_dir(place.path())
            .stdin(Stdio::null())
            .uid(NOBODY)
            .gid(NOBODY);
    }
    command.args(arguments);
    place.finish(command)
}

const NOBODY: u32 = 65534;

/// Gives a file to the user that [`as_anybody`] runs as.
fn give(path: &Path) {
    if is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

fn serve_as_anybody(place: &Place) -> Run {
    let arguments = place.serve_arguments();
    let all: Vec<&str> = arguments.iter().map(String::as_str).collect();
    as_anybody(place, &all)
}

/// Runs the command with an address that somebody has already, which the message then names.
fn busy(place: &Place, arguments: impl FnOnce(&str) -> Vec<String>) -> Run {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = arguments(&address);
    let all: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut run = place.run(&all);
    run.stderr = run.stderr.replace(&address, "ADDRESS");
    run
}

/// `serve` with other doors than `serve_arguments` gives.
fn doors(place: &Place, ingest: &str, query: &str, control: &Path) -> Vec<String> {
    let data = place.data();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    ["serve", "--ingest", ingest, "--query", query]
        .map(str::to_owned)
        .into_iter()
        .chain([
            "--control".to_owned(),
            text(control),
            "--data-dir".to_owned(),
            text(&data),
        ])
        .collect()
}

const FREE: &str = "127.0.0.1:0";

#[test]
fn doors_that_cannot_be_opened() {
    const TAKEN: &str = "another process has it: stop that one, or give this door another address";
    check(&[
        Failure {
            what: "the ingest port is busy",
            run: |place| {
                busy(place, |address| {
                    doors(place, address, FREE, &place.control())
                })
            },
            code: 1,
            says: &["the ingest door at ADDRESS", TAKEN],
        },
        Failure {
            what: "the query port is busy",
            run: |place| {
                busy(place, |address| {
                    doors(place, FREE, address, &place.control())
                })
            },
            code: 1,
            says: &["the query door at ADDRESS", TAKEN],
        },
        Failure {
            what: "the gateway port is busy",
            run: |place| {
                busy(place, |address| {
                    let more = ["--outbound", "--gateway", address].map(str::to_owned);
                    [doors(place, FREE, FREE, &place.control()), more.to_vec()].concat()
                })
            },
            code: 1,
            says: &["the gateway door at ADDRESS", TAKEN],
        },
        Failure {
            what: "the sandbox port is busy",
            run: |place| {
                busy(place, |address| {
                    ["sandbox", "--listen", address].map(str::to_owned).to_vec()
                })
            },
            code: 1,
            says: &["the sandbox door at ADDRESS", TAKEN],
        },
        Failure {
            what: "a daemon has the control socket already",
            run: |place| {
                let daemon = Daemon::start();
                let arguments = doors(place, FREE, FREE, &daemon.place().control());
                place.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
            },
            code: 1,
            says: &["the control door at ", "control.sock", "in use", TAKEN],
        },
        Failure {
            what: "a file that is no socket stands where the control socket should be",
            run: |place| {
                fs::write(place.control(), "mine").unwrap();
                serve(place, &[])
            },
            code: 1,
            says: &[
                "the control door at {}/control.sock",
                "no socket",
                "move it away",
            ],
        },
        Failure {
            what: "an address that this machine does not have",
            run: |place| {
                let arguments = doors(place, "203.0.113.7:0", FREE, &place.control());
                place.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
            },
            code: 1,
            says: &[
                "the ingest door at 203.0.113.7:0",
                "this machine has no such address",
            ],
        },
        Failure {
            what: "the ready file has no directory to be in",
            run: |place| {
                let mut arguments = doors(place, FREE, FREE, &place.control());
                let ready = place.path().join("nowhere/ready.json");
                arguments.extend([
                    "--ready-file".to_owned(),
                    ready.to_str().unwrap().to_owned(),
                ]);
                place.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
            },
            code: 1,
            says: &[
                "cannot write {}/nowhere/ready.json",
                "No such file or directory",
            ],
        },
    ]);
}

#[test]
fn data_directories_that_do_not_do() {
    check(&[
        Failure {
            what: "another daemon works there",
            run: |_| {
                let daemon = Daemon::start();
                let arguments = doors(
                    daemon.place(),
                    FREE,
                    FREE,
                    &daemon.place().path().join("other.sock"),
                );
                let all: Vec<&str> = arguments.iter().map(String::as_str).collect();
                daemon.place().run(&all)
            },
            code: 1,
            says: &[
                "another waldo-syncd works in ",
                "stop it first",
                "--data-dir",
            ],
        },
        Failure {
            what: "it is a file",
            run: |place| {
                fs::write(place.data(), "").unwrap();
                serve(place, &[])
            },
            code: 1,
            says: &[
                "the data directory {}/data",
                "not a directory",
                "--data-dir",
            ],
        },
        Failure {
            what: "it cannot be made",
            run: |place| {
                fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
                serve_as_anybody(place)
            },
            code: 1,
            says: &[
                "the data directory {}/data",
                "Permission denied",
                "--data-dir",
            ],
        },
        Failure {
            what: "nothing can be written in it",
            run: |place| {
                fs::create_dir(place.data()).unwrap();
                fs::set_permissions(place.data(), Permissions::from_mode(0o500)).unwrap();
                give(&place.data());
                serve_as_anybody(place)
            },
            code: 1,
            says: &[
                "cannot create {}/data/waldo-syncd.db",
                "Permission denied",
                "must be able to write",
            ],
        },
        Failure {
            what: "the database in it is read-only",
            run: |place| {
                stopped(place);
                for path in [
                    place.data(),
                    database(place),
                    place.data().join("webhook-secret"),
                ] {
                    give(&path);
                }
                fs::set_permissions(database(place), Permissions::from_mode(0o400)).unwrap();
                serve_as_anybody(place)
            },
            code: 1,
            says: &["{}/data/waldo-syncd.db cannot be written", "mode"],
        },
        Failure {
            what: "it belongs to somebody else, and a client asks",
            run: |place| {
                fs::create_dir(place.data()).unwrap();
                fs::write(place.data().join("doors.json"), "{}").unwrap();
                fs::set_permissions(place.data(), Permissions::from_mode(0o000)).unwrap();
                as_anybody(
                    place,
                    &["status", "--data-dir", place.data().to_str().unwrap()],
                )
            },
            code: 1,
            says: &[
                "cannot read {}/data/doors.json",
                "Permission denied",
                "the daemon's user",
            ],
        },
    ]);
}

#[test]
fn databases_that_do_not_do() {
    const SPY: &str = "CREATE TRIGGER spy AFTER INSERT ON log BEGIN SELECT 1; END";
    fn damage(place: &Place) {
        stopped(place);
        let mut bytes = fs::read(database(place)).unwrap();
        // Past the first page, so that it is still seen to be ours.
        bytes[4096..].fill(0xa5);
        fs::write(database(place), bytes).unwrap();
    }
    fn altered(place: &Place, change: &str) {
        stopped(place);
        let connection = rusqlite::Connection::open(database(place)).unwrap();
        connection.execute_batch(change).unwrap();
    }
    check(&[
        Failure {
            what: "it is no database",
            run: |place| {
                with_file(
                    place,
                    "waldo-syncd.db",
                    b"a shopping list, kept for a long time in the wrong place",
                )
            },
            code: 1,
            says: &[
                "{}/data/waldo-syncd.db is not a waldo-syncd database",
                "--data-dir",
            ],
        },
        Failure {
            what: "it is a directory",
            run: |place| {
                fs::create_dir_all(database(place)).unwrap();
                serve(place, &[])
            },
            code: 1,
            says: &[
                "cannot open {}/data/waldo-syncd.db",
                "a file that this user can read and write",
            ],
        },
        Failure {
            what: "the list of the erased is a directory",
            run: |place| {
                stopped(place);
                fs::create_dir(place.data().join("erased.jsonl")).unwrap();
                serve(place, &[])
            },
            code: 1,
            says: &[
                "cannot use {}/data/erased.jsonl: Is a directory",
                "a file that this user can read and write",
            ],
        },
        Failure {
            what: "its log is gone",
            run: |place| {
                altered(place, "DROP TABLE log");
                serve(place, &[])
            },
            code: 1,
            says: &["the table log is missing; `waldo-syncd restore` puts a backup in its place"],
        },
        Failure {
            what: "somebody's trigger is in it",
            run: |place| {
                altered(place, SPY);
                serve(place, &[])
            },
            code: 1,
            says: &[
                "{}/data/waldo-syncd.db",
                "the trigger spy on log is none of ours; DROP TRIGGER takes it out",
            ],
        },
        Failure {
            what: "somebody's trigger is in it, and the tables are to be made again",
            run: |place| {
                altered(place, SPY);
                place.cli(&["rebuild"])
            },
            code: 1,
            says: &["the trigger spy on log is none of ours"],
        },
        Failure {
            what: "somebody's trigger is in it, and payloads are to be taken out",
            run: |place| {
                altered(place, SPY);
                place.cli(&["prune", "--older-than", "0s", "--yes"])
            },
            code: 1,
            says: &["the trigger spy on log is none of ours"],
        },
        Failure {
            what: "somebody's trigger is in it, and a customer is to be erased",
            run: |place| {
                altered(place, SPY);
                place.cli(&["erase", "c", "--yes"])
            },
            code: 1,
            says: &["the trigger spy on log is none of ours"],
        },
        Failure {
            what: "somebody's view is in it",
            run: |place| {
                altered(place, "CREATE VIEW report AS SELECT * FROM customers");
                serve(place, &[])
            },
            code: 1,
            says: &["the view report on report is none of ours", "DROP VIEW"],
        },
        Failure {
            what: "what keeps the log as it is was taken out",
            run: |place| {
                altered(place, "DROP TRIGGER log_keeps_its_rows");
                serve(place, &[])
            },
            code: 1,
            says: &[
                "the trigger log_keeps_its_rows is missing",
                "it has to be: CREATE TRIGGER log_keeps_its_rows BEFORE DELETE ON log",
            ],
        },
        Failure {
            what: "the log is another",
            run: |place| {
                altered(place, "ALTER TABLE log ADD COLUMN more TEXT");
                serve(place, &[])
            },
            code: 1,
            says: &["the table log is another than ours"],
        },
        Failure {
            what: "it is damaged, and a daemon starts",
            run: |place| {
                damage(place);
                serve(place, &[])
            },
            code: 1,
            says: &["{}/data/waldo-syncd.db is damaged", "restore"],
        },
        Failure {
            what: "it is damaged, and is checked",
            run: |place| {
                damage(place);
                place.cli(&["check"])
            },
            code: 1,
            says: &["{}/data/waldo-syncd.db is damaged", "restore"],
        },
        Failure {
            what: "a damaged file that was named is checked",
            run: |place| {
                damage(place);
                place.cli(&["check", database(place).to_str().unwrap()])
            },
            code: 1,
            says: &["{}/data/waldo-syncd.db is damaged: database disk image is malformed\n"],
        },
        Failure {
            what: "a damaged file is restored",
            run: |place| {
                damage(place);
                let backup = place.path().join("damaged.db");
                fs::rename(database(place), &backup).unwrap();
                place.cli(&["restore", backup.to_str().unwrap(), "--yes"])
            },
            code: 1,
            says: &[
                "{}/damaged.db cannot be restored: it is damaged: database disk image is malformed; nothing was changed",
            ],
        },
        Failure {
            what: "another program's file is checked",
            run: |place| {
                let file = place.file("foreign.db", [b'x'; 4096]);
                place.cli(&["check", file.to_str().unwrap()])
            },
            code: 1,
            says: &["{}/foreign.db is not a waldo-syncd database\n"],
        },
        Failure {
            what: "a directory is checked",
            run: |place| place.cli(&["check", place.path().to_str().unwrap()]),
            code: 2,
            says: &["{} is a directory", "--data-dir"],
        },
        Failure {
            what: "it is damaged, and is folded again",
            run: |place| {
                damage(place);
                place.cli(&["rebuild"])
            },
            code: 1,
            says: &["{}/data/waldo-syncd.db is damaged", "restore"],
        },
        Failure {
            what: "it was cut off",
            run: |place| {
                stopped(place);
                let bytes = fs::read(database(place)).unwrap();
                fs::write(database(place), &bytes[..9000]).unwrap();
                serve(place, &[])
            },
            code: 1,
            says: &["{}/data/waldo-syncd.db is damaged", "restore"],
        },
        Failure {
            what: "a newer program wrote it",
            run: |place| {
                stopped(place);
                let mut bytes = fs::read(database(place)).unwrap();
                // `user_version` of the file's header, big end first.
                bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
                fs::write(database(place), bytes).unwrap();
                serve(place, &[])
            },
            code: 1,
            says: &[
                "{}/data/waldo-syncd.db has schema 99",
                "newer waldo-syncd",
                "install that version",
            ],
        },
        Failure {
            what: "there is none to check",
            run: |place| place.cli(&["check"]),
            code: 3,
            says: &["there is no file {}/data/waldo-syncd.db", "--data-dir"],
        },
        Failure {
            what: "there is none to export",
            run: |place| place.cli(&["export"]),
            code: 3,
            says: &["there is no file {}/data/waldo-syncd.db", "--data-dir"],
        },
        Failure {
            what: "the head that is looked for is not in it",
            run: |place| {
                stopped(place);
                place.cli(&["check", "--head", &"1".repeat(64)])
            },
            code: 1,
            says: &["does not contain the head 1111", "cut or rewritten"],
        },
    ]);
}

#[test]
fn configurations_that_do_not_do() {
    check(&[
        Failure {
            what: "an unknown key",
            run: |place| configured(place, "[ingest]\nlisen = \"127.0.0.1:1\"\n"),
            code: 1,
            says: &[
                "unknown key \"lisen\"",
                "[ingest]",
                "{}/config.toml, line 2",
                "did you mean \"listen\"?",
            ],
        },
        Failure {
            what: "an unknown section",
            run: |place| configured(place, "[ingst]\n"),
            code: 1,
            says: &[
                "unknown section [ingst]",
                "{}/config.toml, line 1",
                "did you mean [ingest]?",
            ],
        },
        Failure {
            what: "a key outside of any section",
            run: |place| configured(place, "max_body = \"1 MiB\"\n"),
            code: 1,
            says: &["\"max_body\"", "{}/config.toml, line 1", "[ingest]"],
        },
        Failure {
            what: "the token's file is not there",
            run: |place| configured(place, "[query]\ntoken_file = \"/nowhere/token\"\n"),
            code: 1,
            says: &["query.token_file: cannot read the secret file /nowhere/token"],
        },
        Failure {
            what: "no TOML",
            run: |place| configured(place, "[ingest\n"),
            code: 1,
            says: &["bad TOML in {}/config.toml, line 1"],
        },
        Failure {
            what: "two bad values, told at once",
            run: |place| configured(place, "[ingest]\nlisten = 7\nmax_body = \"a lot\"\n"),
            code: 1,
            says: &[
                "bad value 7 for \"listen\"",
                "line 2",
                "bad value \"a lot\" for \"max_body\"",
                "line 3",
                "such as",
            ],
        },
        Failure {
            what: "a secret that is too short, which is not repeated",
            run: |place| configured(place, "[ingest]\nsecret = \"sekret7\"\n"),
            code: 1,
            says: &[
                "bad value for \"secret\"",
                "line 2",
                "at least 16 characters",
                "waldo-syncd init",
            ],
        },
        Failure {
            what: "a secret where a list should be",
            run: |place| {
                configured(
                    place,
                    &format!("[ingest]\nsecrets_accepted = \"{SECRET}\"\n"),
                )
            },
            code: 1,
            says: &["\"secrets_accepted\"", "line 2", "expected"],
        },
        Failure {
            what: "TOML that breaks off within a secret",
            run: |place| configured(place, &format!("[waldo]\napi_key = \"{SECRET}\n")),
            code: 1,
            says: &["bad TOML in {}/config.toml, line 2"],
        },
        Failure {
            what: "half of the credentials",
            run: |place| {
                let config =
                    place.file("config.toml", format!("[waldo]\napi_key = \"{SECRET}\"\n"));
                place.cli(&["outbound", "--config", config.to_str().unwrap()])
            },
            code: 1,
            says: &[
                "waldo.api_key is configured but waldo.client_secret is not",
                "needs both",
            ],
        },
        Failure {
            what: "a secret file that is not there",
            run: |place| configured(place, "[ingest]\nsecret_file = \"none\"\n"),
            code: 1,
            says: &["the secret file {}/none", "No such file", "check the path"],
        },
        Failure {
            what: "a token file that is a directory",
            run: |place| configured(place, "[query]\ntoken_file = \"home\"\n"),
            code: 1,
            says: &[
                "the secret file {}/home",
                "Is a directory",
                "check the path",
            ],
        },
        Failure {
            what: "a secret file that this user may not read",
            run: |place| {
                fs::create_dir(place.data()).unwrap();
                fs::set_permissions(place.data(), Permissions::from_mode(0o700)).unwrap();
                give(&place.data());
                let secret = place.file("data/webhook-secret", SECRET);
                fs::set_permissions(secret, Permissions::from_mode(0o000)).unwrap();
                serve_as_anybody(place)
            },
            code: 1,
            says: &[
                "the secret file {}/data/webhook-secret",
                "Permission denied",
                "may read it",
            ],
        },
        Failure {
            what: "a secret file that is empty",
            run: |place| with_file(place, "webhook-secret", b"\n"),
            code: 1,
            says: &[
                "the secret file {}/data/webhook-secret is empty",
                "waldo-syncd init",
            ],
        },
        Failure {
            what: "a secret file of bytes",
            run: |place| with_file(place, "webhook-secret", &[0xff, 0xfe, 0x00, 0x01]),
            code: 1,
            says: &["the secret file {}/data/webhook-secret", "UTF-8"],
        },
        Failure {
            what: "a configuration file that is not there",
            run: |place| place.run(&["serve", "--config", "none.toml"]),
            code: 1,
            says: &[
                "cannot read the configuration file",
                "none.toml",
                "No such file",
                "--config",
            ],
        },
        Failure {
            what: "a configuration file that is a directory",
            run: |place| place.run(&["serve", "--config", "home"]),
            code: 1,
            says: &[
                "cannot read the configuration file",
                "home",
                "Is a directory",
                "--config",
            ],
        },
        Failure {
            what: "an unknown variable",
            run: |place| {
                let mut command = place.command();
                command
                    .env("WALDO_SYNCD_INGEST__LISEN", SECRET)
                    .args(["config", "check"]);
                place.finish(command)
            },
            code: 1,
            says: &[
                "WALDO_SYNCD_INGEST__LISEN",
                "did you mean WALDO_SYNCD_INGEST__LISTEN?",
            ],
        },
        Failure {
            what: "backups to nowhere",
            run: |place| configured(place, "[backup]\nevery = \"1d\"\n"),
            code: 1,
            says: &[
                "backup.every",
                "line 2",
                "backup.dir",
                "say where backups go",
            ],
        },
        Failure {
            what: "an address of Waldo's with a password in it",
            run: |place| {
                configured(
                    place,
                    "[waldo]\napi_url = \"https://user:pass@api.waldo.ai\"\n",
                )
            },
            code: 1,
            says: &["\"api_url\"", "line 2", "without path, query or user"],
        },
        Failure {
            what: "outbound without any work",
            run: |place| place.cli(&["outbound"]),
            code: 1,
            says: &["nothing to do", "--gateway", "api_key_file"],
        },
    ]);
}

#[test]
fn commands_that_cannot_be_understood() {
    check(&[
        Failure {
            what: "an unknown verb",
            run: |place| place.run(&["srve"]),
            code: 2,
            says: &["'srve'", "'serve'", "--help"],
        },
        Failure {
            what: "an unknown option",
            run: |place| place.run(&["status", "--jason"]),
            code: 2,
            says: &["'--jason'", "'--json'", "--help"],
        },
        Failure {
            what: "an argument is missing",
            run: |place| place.run(&["send", "onboard"]),
            code: 2,
            says: &["--customer", "Usage:"],
        },
        Failure {
            what: "a state that no hand can give",
            run: |place| place.run(&["settle", "r", "--state", "pending"]),
            code: 2,
            says: &["'pending'", "expected completed or failed"],
        },
        Failure {
            what: "a head that is none",
            run: |place| place.run(&["check", "--head", "00"]),
            code: 2,
            says: &["'00'", "64 hex digits"],
        },
        Failure {
            what: "an unknown operation",
            run: |place| place.run(&["track", "r", "--operation", "dance"]),
            code: 2,
            says: &["'dance'", "onboard, fraud, document, flag, other"],
        },
        Failure {
            what: "context that is no JSON",
            run: |place| place.run(&["track", "r", "--operation", "fraud", "--context", "{"]),
            code: 2,
            says: &["--context", "expected JSON"],
        },
        Failure {
            what: "an address that is none",
            run: |place| place.cli(&["serve", "--ingest", "nonsense"]),
            code: 2,
            says: &["\"nonsense\"", "host:port", "127.0.0.1:7311"],
        },
        Failure {
            what: "a port that is none",
            run: |place| place.cli(&["serve", "--ingest", "127.0.0.1:99999"]),
            code: 2,
            says: &["\"127.0.0.1:99999\"", "host:port"],
        },
        Failure {
            what: "a query door that is turned off without another one",
            run: |place| place.cli(&["serve", "--query", ""]),
            code: 2,
            says: &["query.listen (command line) is empty", "query.socket"],
        },
        Failure {
            what: "a gateway's address that is none",
            run: |place| place.cli(&["outbound", "--gateway", "nonsense"]),
            code: 2,
            says: &["\"nonsense\"", "host:port", "127.0.0.1:7313"],
        },
        Failure {
            what: "a sandbox's address that is none",
            run: |place| place.cli(&["sandbox", "--listen", "nonsense"]),
            code: 2,
            says: &["'nonsense'", "host:port", "127.0.0.1:7314"],
        },
        Failure {
            what: "an address of the sandbox beside the daemon that is none",
            run: |place| place.cli(&["serve", "--sandbox", "nonsense"]),
            code: 2,
            says: &["'nonsense'", "host:port"],
        },
        Failure {
            what: "what destroys, without a terminal and without --yes",
            run: |place| {
                stopped(place);
                place.cli(&["erase", "c"])
            },
            code: 2,
            says: &["no terminal to ask at", "--yes"],
        },
    ]);
}

#[test]
fn verbs_without_a_daemon() {
    const VERBS: [&[&str]; 9] = [
        &["status"],
        &["customers"],
        &["customer", "c"],
        &["events"],
        &["requests"],
        &["track", "r", "--operation", "fraud"],
        &["settle", "r"],
        &["resync", "--overdue"],
        &["send", "onboard", "--customer", "c"],
    ];
    for verb in VERBS {
        let place = Place::new();
        let run = place.cli(verb);
        run.assert_code(4);
        let data = place.data();
        let hint = format!(
            "start it with `waldo-syncd serve --data-dir {}`",
            data.display()
        );
        assert!(run.stderr.contains(&hint), "{verb:?}: {run:?}");
        // Nor is one there that is only said to be.
        fs::create_dir(&data).unwrap();
        let doors = r#"{"ingest":"127.0.0.1:1","query":"127.0.0.1:1","control":"/nowhere/control.sock","gateway":null}"#;
        fs::write(data.join("doors.json"), doors).unwrap();
        let secret = data.join("webhook-secret");
        fs::write(&secret, SECRET).unwrap();
        fs::set_permissions(secret, Permissions::from_mode(0o600)).unwrap();
        let run = place.cli(verb);
        run.assert_code(4);
        assert!(
            run.stderr.contains("no daemon answers at its"),
            "{verb:?}: {run:?}"
        );
        assert!(
            run.stderr.contains("waldo-syncd serve"),
            "{verb:?}: {run:?}"
        );
    }
}

#[test]
fn what_a_running_daemon_refuses() {
    let daemon = Daemon::start();
    daemon
        .place()
        .cli(&["track", "known", "--operation", "fraud"])
        .assert_code(0);
    let cases: [(&[&str], i32, &[&str]); 12] = [
        (
            &["customer", "nobody"],
            3,
            &["no customer nobody is known", "waldo-syncd customers"],
        ),
        (
            &["settle", "nothing"],
            3,
            &["no request nothing is known", "waldo-syncd requests"],
        ),
        (
            &["erase", "nobody", "--yes"],
            3,
            &["no event names the customer nobody"],
        ),
        (
            &["track", "known", "--operation", "onboard"],
            1,
            &["the daemon answered: the request is registered with another operation"],
        ),
        (
            &["resync", "--overdue"],
            1,
            &["no outbound process", "start `waldo-syncd outbound`"],
        ),
        (
            &["rebuild"],
            1,
            &["another waldo-syncd works in ", "stop it first"],
        ),
        (
            &["backup", "/nowhere/at/all.db"],
            1,
            &[
                "/nowhere/at/all.db",
                "there is no directory /nowhere/at; make it first",
            ],
        ),
        (
            &["export", "--output", "/nowhere/at/all.jsonl"],
            1,
            &["there is no directory /nowhere/at; make it first"],
        ),
        (
            &["export", "--output", "/proc/all.jsonl"],
            1,
            &["cannot write /proc/all.jsonl: nothing can be made there"],
        ),
        (
            &["backup", "/proc/"],
            1,
            &["cannot be written in /proc: nothing can be made there"],
        ),
        (
            &["events", "--origin", "elsewhere"],
            2,
            &["origin: expected"],
        ),
        (
            &["restore", "none.db", "--yes"],
            3,
            &["there is no file ", "none.db"],
        ),
    ];
    for (verb, code, says) in cases {
        let run = daemon.place().cli(verb);
        run.assert_code(code);
        for part in says {
            assert!(
                run.stderr.contains(part),
                "no {part:?} for {verb:?}: {run:?}"
            );
        }
    }
}

#[test]
fn values_that_options_do_not_take() {
    let cases: [(&[&str], &str); 7] = [
        (&["event", "abc"], "expected the number of an event"),
        (
            &["export", "--after", "1x"],
            "expected the number of an event",
        ),
        (
            &["send", "flag", "--customer", "c", "--score", "7"],
            "expected a number from 0 to 1",
        ),
        (
            &["track", "r", "--operation", "fraud", "--deadline", "3x"],
            "expected a time, as in 90s",
        ),
        (
            &["track", "r", "--operation", "fraud", "--context", "{"],
            "expected JSON",
        ),
        (&["resync"], "<CUSTOMER_ID|--all|--overdue>"),
        (&["send"], "<--customer <ID> <EVENT>|--file <FILE>>"),
    ];
    for (verb, says) in cases {
        let run = Place::new().cli(verb);
        run.assert_code(2);
        assert!(
            run.stderr.contains(says),
            "no {says:?} for {verb:?}: {run:?}"
        );
    }
}

#[test]
fn output_that_cannot_be_written_is_told() {
    // A device that takes nothing stands for a full disk.
    for verb in [&["config", "show"][..], &["man"], &["completions", "bash"]] {
        let place = Place::new();
        let full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let mut child = place
            .command()
            .args(verb)
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = String::new();
        child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut told)
            .unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(1), "{verb:?}: {told}");
        assert!(told.contains("No space left on device"), "{verb:?}: {told}");
        assert_calm(&told);
    }
}

/// Whoever may not look into the data directory is told so, and not that what they cannot see is wrong or missing.
#[test]
fn doctor_does_not_alarm_who_may_not_look() {
    let daemon = Daemon::start();
    let place = daemon.place();
    let config = place.file(
        "config.toml",
        format!(
            "[query]\nlisten = \"{}\"\n[store]\ndata_dir = \"{}\"\n",
            daemon.address("query"),
            place.data().display()
        ),
    );
    fs::set_permissions(&config, Permissions::from_mode(0o644)).unwrap();
    if !is_root() {
        fs::set_permissions(place.data(), Permissions::from_mode(0o300)).unwrap();
    }
    let run = as_anybody(
        place,
        &["doctor", "--json", "--config", config.to_str().unwrap()],
    );
    run.assert_code(0);
    let levels = |check: &str| -> Vec<String> {
        let findings = run.json_lines().into_iter();
        findings
            .filter(|finding| finding["check"] == check)
            .map(|finding| finding["level"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(levels("data"), ["warning"], "{}", run.stdout);
    assert_eq!(levels("daemon"), ["ok"], "{}", run.stdout);
    for check in ["secret", "database"] {
        assert_eq!(levels(check), [""; 0], "{}", run.stdout);
    }
}
