//! README.md says what is true as well: the commands of its first webhook are run as they stand, and print what stands
//! there, but for times, hashes and speed.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use waldo_syncd::domain::Timestamp;

use crate::common::Daemon;
use crate::{CUT, curl_is_there, fits, taken_apart};

const BEGIN: &str = "## First webhook in five minutes";
const END: &str = "## Try it in one minute";

/// What stands there, cut where another run prints something else.
fn without_chance(written: &str) -> String {
    let mut cut = String::new();
    for line in written.split_inclusive('\n') {
        if line.starts_with("time ") {
            cut.push_str("time …\n");
            continue;
        }
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let is_time = |text: &&str| text.parse::<Timestamp>().is_ok();
            let is_hash = |text: &&str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let found = rest.get(..24).filter(is_time);
            let found = found.or_else(|| rest.get(..64).filter(is_hash));
            cut.push(found.map_or(first, |_| CUT));
            rest = &rest[found.map_or(first.len_utf8(), str::len)..];
        }
    }
    cut
}

#[test]
fn the_first_webhook_goes_as_the_readme_tells() {
    if !curl_is_there() {
        return;
    }
    let root = env!("CARGO_MANIFEST_DIR");
    let readme = fs::read_to_string(format!("{root}/README.md")).unwrap();
    let (_, from) = readme.split_once(BEGIN).unwrap();
    let (examples, _) = taken_apart(from.split_once(END).unwrap().0);
    let mut daemon = Daemon::start();
    let programs = daemon.place().path().join("programs");
    fs::create_dir(&programs).unwrap();
    symlink(
        env!("CARGO_BIN_EXE_waldo-syncd"),
        programs.join("waldo-syncd"),
    )
    .unwrap();
    // The place's own commands have the PATH of this process.
    let own = daemon.place().command();
    let path = own.get_envs().find(|(name, _)| *name == "PATH");
    let path = path.and_then(|(_, path)| path).unwrap_or_default();
    let path = format!("{}:{}", programs.display(), path.to_string_lossy());
    let (mut compared, mut is_killed) = (0, false);
    for example in &examples {
        let line = example.command.trim_start_matches("$ ").trim_end();
        if line == "waldo-syncd serve" {
            // It runs already, and not in a terminal.
            continue;
        }
        if line.starts_with("kill -9") {
            daemon.kill();
            is_killed = true;
            continue;
        }
        let names = [
            ("127.0.0.1:7311", daemon.address("ingest").to_string()),
            ("127.0.0.1:7312", daemon.address("query").to_string()),
            (
                "/home/ada/.local/share/waldo-syncd",
                daemon.data().display().to_string(),
            ),
        ];
        let real = |text: &str| {
            let replace =
                |text: String, (written, real): &(&str, String)| text.replace(written, real);
            names.iter().fold(text.to_owned(), replace)
        };
        let mut command = Command::new("sh");
        command
            .args(["-c", &real(line)])
            .current_dir(root)
            .env_clear()
            .env("PATH", &path)
            .env("HOME", daemon.place().path())
            .env("WALDO_SYNCD_STORE__DATA_DIR", daemon.data())
            .env("WALDO_SYNCD_INGEST__LISTEN", &names[0].1);
        let run = daemon.place().finish(command);
        let printed = run.stdout + &run.stderr;
        let printed = format!("{}\n", printed.trim_end_matches('\n'));
        let written = without_chance(&real(&example.output));
        assert!(
            fits(&written, &printed),
            "{line} printed\n{printed}and not\n{written}"
        );
        compared += 1;
        if is_killed {
            daemon.start_again();
            is_killed = false;
        }
    }
    assert_eq!(compared, 8, "of {} commands", examples.len());
}
