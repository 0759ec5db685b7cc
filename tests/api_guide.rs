//! docs/API.md says what is true: its commands are run as they stand, from top to bottom, against a daemon that knows the
//! story, and their outputs are compared. `…` in an output stands for anything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "api_guide/readme.rs"]
mod readme;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use common::{Daemon, story};
use waldo_syncd::door::Code;

const CUT: char = '…';
/// Stands before a block whose commands go to a door that asks for a token.
const WITH_TOKEN: &str = "<!-- with a token -->";

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/API.md")
}

fn guide() -> String {
    fs::read_to_string(file()).expect("the guide")
}

/// One command and what it prints.
struct Example {
    command: String,
    output: String,
    with_token: bool,
}

/// The examples, with what stands between them; together they are the guide again.
fn taken_apart(guide: &str) -> (Vec<Example>, Vec<String>) {
    let (mut examples, mut between) = (Vec::<Example>::new(), vec![String::new()]);
    let (mut inside, mut with_token) = (false, false);
    let mut continued = false;
    for line in guide.split_inclusive('\n') {
        match line.trim_end() {
            "```console" => inside = true,
            "```" if inside => (inside, with_token) = (false, false),
            WITH_TOKEN => with_token = true,
            command if inside && command.starts_with("$ ") => {
                examples.push(Example {
                    command: line.to_owned(),
                    output: String::new(),
                    with_token,
                });
                between.push(String::new());
                continued = command.ends_with('\\');
                continue;
            }
            more if inside => {
                let example = examples.last_mut().expect("a block begins with a command");
                if continued {
                    example.command.push_str(line);
                    continued = more.ends_with('\\');
                } else {
                    example.output.push_str(line);
                }
                continue;
            }
            _ => {}
        }
        between.last_mut().unwrap().push_str(line);
    }
    (examples, between)
}

/// The daemons that the guide speaks of.
struct Stage {
    open: Daemon,
    with_token: Daemon,
}

impl Stage {
    fn set() -> Self {
        let open = Daemon::configured(|place| {
            story::write(place);
            fs::create_dir(place.path().join("backups")).unwrap();
            let socket = place.path().join("query.sock");
            format!("[query]\nsocket = {socket:?}\ncors_origins = [\"http://localhost:3000\"]\n")
        });
        let with_token = Daemon::configured(|place| {
            story::write(place);
            let token = place.file("token", "the-token-of-the-guide\n");
            format!("[query]\ntoken_file = {token:?}\n")
        });
        Self { open, with_token }
    }

    /// What a command prints, in the names of the guide.
    #[track_caller]
    fn output(&self, example: &Example) -> String {
        let daemon = if example.with_token {
            &self.with_token
        } else {
            &self.open
        };
        let path = |name: &str| daemon.place().path().join(name).display().to_string();
        let names = [
            ("127.0.0.1:7311", daemon.address("ingest").to_string()),
            ("127.0.0.1:7312", daemon.address("query").to_string()),
            ("/run/waldo-syncd/query.sock", path("query.sock")),
            ("/mnt/backups", path("backups")),
        ];
        let mut line = example.command.trim_start_matches("$ ").to_owned();
        for (written, real) in &names {
            line = line.replace(written, real);
        }
        let mut command = Command::new("sh");
        command
            .args(["-c", &line])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", daemon.place().path())
            .env("socket", daemon.place().control())
            .env("secret", daemon.secret())
            .env("token", "the-token-of-the-guide");
        let run = daemon.place().finish(command);
        assert_eq!(run.stderr, "", "{line}");
        let mut output = run.stdout.replace('\r', "");
        for (written, real) in &names {
            output = output.replace(real, written);
        }
        if !output.is_empty() && !output.ends_with('\n') {
            output.push('\n');
        }
        output
    }
}

/// Whether an output is as it stands in the guide.
fn fits(written: &str, output: &str) -> bool {
    let mut parts = written.split(CUT);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = output.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the gate says by a variable which examples must run"
)]
fn curl_is_there() -> bool {
    let there = Command::new("curl").arg("--version").output().is_ok();
    let required = std::env::var("WALDO_SYNCD_EXAMPLES").unwrap_or_default();
    assert!(there || !required.contains("sh"), "the examples need curl");
    if !there {
        // Not by the macro, whose text the test runner hides when a test passes.
        let said = writeln!(
            std::io::stderr(),
            "NOT RUN: the examples of docs/API.md and README.md, for there is no curl"
        );
        said.expect("a line on stderr");
    }
    there
}

#[test]
fn its_examples_print_what_stands_there() {
    if !curl_is_there() {
        return;
    }
    let stage = Stage::set();
    let (examples, _) = taken_apart(&guide());
    assert!(examples.len() > 40, "{} examples", examples.len());
    let mut wrong = String::new();
    for example in &examples {
        let output = stage.output(example);
        if !fits(&example.output, &output) {
            wrong.push_str(&format!(
                "{}printed\n{output}and not\n{}\n",
                example.command, example.output
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// `cargo test --test api_guide renew -- --ignored` writes what differs anew, uncut.
#[test]
#[ignore = "writes the guide anew"]
fn renew() {
    let stage = Stage::set();
    let (examples, between) = taken_apart(&guide());
    let mut text = between[0].clone();
    for (example, after) in examples.iter().zip(&between[1..]) {
        let output = stage.output(example);
        let kept = fits(&example.output, &output);
        text.push_str(&example.command);
        text.push_str(if kept { &example.output } else { &output });
        text.push_str(after);
    }
    fs::write(file(), text).unwrap();
}

#[test]
fn an_output_that_differs_is_noticed() {
    assert!(fits("a\n", "a\n"));
    assert!(fits("a…c\n…\nz\n", "abc\nd\ne\nz\n"));
    assert!(!fits("a…c\n", "abd\n"));
    assert!(!fits("a…c\n", "ac\nd\n"));
    assert!(!fits("", "a\n"));
    assert!(!fits("a\n", "ab\n"));
}

#[test]
fn it_speaks_of_every_path() {
    let guide = guide();
    for name in ["openapi.json", "openapi-control.json"] {
        let text = fs::read_to_string(file().with_file_name(name)).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        for (form, methods) in document["paths"].as_object().unwrap() {
            let method = methods
                .as_object()
                .unwrap()
                .keys()
                .find(|method| *method != "head")
                .unwrap();
            let heading = format!("`{} {form}", method.to_uppercase());
            assert!(
                guide.contains(&heading),
                "docs/API.md does not speak of {heading}"
            );
        }
    }
}

#[test]
fn the_table_of_problems_is_the_list_in_the_code() {
    let guide = guide();
    let (_, table) = guide.split_once("| Status | `code` | Meaning |").unwrap();
    let documented: Vec<(String, &str)> = table
        .lines()
        .skip(2)
        .map_while(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            Some((cells.next()?.to_owned(), cells.next()?.trim_matches('`')))
        })
        .collect();
    let known: Vec<(String, &str)> = Code::ALL
        .iter()
        .map(|code| (code.status().as_u16().to_string(), code.as_str()))
        .collect();
    assert_eq!(documented, known);
}
