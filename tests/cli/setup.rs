//! From nothing to a webhook URL: init, webhook-url, config, and serve without any configuration.

use std::fs;
use std::path::PathBuf;

use crate::assert_helpful;
use crate::common::bodies::*;
use crate::common::place::Run;
use crate::common::{Daemon, Place, mode};

/// The path part of the one webhook URL that a verb printed.
#[track_caller]
fn url_path(run: &Run) -> String {
    let mut paths: Vec<&str> = run
        .stdout
        .split(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`' | '<' | '>' | '|'))
        .filter_map(|word| word.find("/webhooks/waldo/").map(|at| &word[at..]))
        .filter(|path| path.len() > "/webhooks/waldo/".len() + 20)
        .collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(
        paths.len(),
        1,
        "one webhook URL is expected:\n{}",
        run.stdout
    );
    paths[0].to_owned()
}

#[test]
fn init_writes_a_config_a_secret_and_the_way_to_go_on() {
    let place = Place::new();
    let config = place.path().join("config.toml");
    let arguments = ["init", "--config", config.to_str().unwrap()];
    let run = place.cli(&arguments);
    run.assert_code(0);
    let text = run.stdout.to_lowercase();
    for word in ["caddy", "nginx", "curl"] {
        assert!(text.contains(word), "{word} is missing:\n{}", run.stdout);
    }
    let written = fs::read_to_string(&config).unwrap();
    assert!(
        written
            .lines()
            .filter(|line| line.trim_start().starts_with('#'))
            .count()
            > 5,
        "{written}"
    );
    // A name that nobody can have: the secret in the URL is the real one.
    assert!(
        run.stdout
            .contains("https://YOUR-NAME.example/webhooks/waldo/"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("in place of YOUR-NAME.example"));
    let check = ["config", "check", "--config", config.to_str().unwrap()];
    place.cli(&check).assert_code(0);

    let path = url_path(&run);
    let mut arguments = place.serve_arguments();
    arguments.extend(["--config".to_owned(), config.display().to_string()]);
    let daemon = Daemon::start_as(place, arguments);
    daemon.post_to(&path, &[], flag("c", true)).seq();
}

#[test]
fn init_finds_the_secret_in_a_data_directory_named_from_here() {
    let place = Place::new();
    let data = place.path().join("here");
    fs::create_dir(&data).unwrap();
    place.file("here/webhook-secret", "0123456789abcdef0123456789abcdef\n");
    let run = place.run(&["init", "--config", "etc/config.toml", "--data-dir", "here"]);
    run.assert_code(0);
    assert!(
        url_path(&run).ends_with("/0123456789abcdef0123456789abcdef"),
        "{run:?}"
    );
}

#[test]
fn init_overwrites_nothing() {
    let place = Place::new();
    let config = place.path().join("config.toml");
    let arguments = ["init", "--config", config.to_str().unwrap()];
    place.cli(&arguments).assert_code(0);
    fs::write(&config, "# mine\n").unwrap();
    let files = |folder: PathBuf| -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(folder)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = files(place.data());
    place.cli(&arguments);
    assert_eq!(fs::read_to_string(&config).unwrap(), "# mine\n");
    assert_eq!(files(place.data()), before);
}

#[test]
fn webhook_url_carries_the_secret_and_the_public_name() {
    let daemon = Daemon::start();
    let run = daemon.place().cli(&["webhook-url"]);
    run.assert_code(0);
    assert_eq!(url_path(&run), daemon.webhook_path());
    let run = daemon
        .place()
        .cli(&["webhook-url", "--public", "https://hooks.example.org"]);
    run.assert_code(0);
    let url = format!("https://hooks.example.org{}", daemon.webhook_path());
    assert!(run.stdout.contains(&url), "{}", run.stdout);
    let run = daemon
        .place()
        .cli(&["webhook-url", "--public", "https://example.org/base/"]);
    let url = format!("https://example.org/base{}", daemon.webhook_path());
    assert!(run.stdout.contains(&url), "{}", run.stdout);
    let before = daemon.webhook_path();
    daemon
        .place()
        .cli(&["webhook-url", "--rotate", "--public", "no url"])
        .assert_code(2);
    let run = daemon.place().cli(&["webhook-url"]);
    assert_eq!(url_path(&run), before, "a refusal rotates nothing");
}

#[test]
fn rotation_keeps_the_old_secret_until_it_is_retired() {
    let mut daemon = Daemon::start();
    let old = daemon.webhook_path();
    let run = daemon.place().cli(&["webhook-url", "--rotate"]);
    run.assert_code(0);
    let new = url_path(&run);
    assert_ne!(new, old);
    let retire = format!(
        "`waldo-syncd webhook-url --retire --data-dir {}`",
        daemon.data().display()
    );
    assert!(run.stderr.contains(&retire), "{}", run.stderr);
    daemon.restart();
    for path in [&old, &new] {
        daemon.post_to(path, &[], flag("c", true)).seq();
    }
    assert_eq!(url_path(&daemon.place().cli(&["webhook-url"])), new);
    assert_eq!(mode(&daemon.data().join("webhook-secret")), 0o600);
    for says in ["every other secret in ", "holds no other secret"] {
        let run = daemon.place().cli(&["webhook-url", "--retire"]);
        run.assert_code(0);
        assert!(run.stderr.contains(says), "{}", run.stderr);
    }
    daemon.restart();
    daemon.post_to(&new, &[], flag("c", true)).seq();
    assert_eq!(daemon.post_to(&old, &[], flag("c", true)).status, 404);
    assert_eq!(url_path(&daemon.place().cli(&["webhook-url"])), new);
}

#[test]
fn serve_without_any_configuration_takes_the_state_directory() {
    let place = Place::new();
    let state = place.path().join("state");
    fs::create_dir(&state).unwrap();
    let mut arguments = place.serve_arguments();
    let at = arguments
        .iter()
        .position(|argument| argument == "--data-dir")
        .unwrap();
    arguments.drain(at..at + 2);
    let daemon = Daemon::start_with_env(
        place,
        arguments,
        &[("STATE_DIRECTORY", state.to_str().unwrap())],
    );
    let secret = fs::read_to_string(state.join("webhook-secret")).unwrap();
    let path = format!("/webhooks/waldo/{}", secret.trim());
    daemon.post_to(&path, &[], flag("c", true)).seq();
    assert_eq!(mode(&state.join("waldo-syncd.db")), 0o600);
}

#[test]
fn config_check_names_the_nearest_known_key() {
    let place = Place::new();
    let good = place.file("good.toml", "[ingest]\nmax_body = 65536\n");
    place
        .cli(&["config", "check", "--config", good.to_str().unwrap()])
        .assert_code(0);
    let bad = place.file("bad.toml", "[ingest]\nmax_bodi = 65536\n");
    let run = place.cli(&["config", "check", "--config", bad.to_str().unwrap()]);
    run.assert_code(1);
    assert_helpful(&run);
    for word in ["max_bodi", "max_body", bad.to_str().unwrap()] {
        assert!(
            run.stderr.contains(word),
            "{word} is missing: {}",
            run.stderr
        );
    }
    for broken in [
        "[ingest\n",
        "[ingest]\nmax_body = \"x\"\n",
        "[ingest]\nlisten = 5\n",
    ] {
        let file = place.file("broken.toml", broken);
        let run = place.cli(&["config", "check", "--config", file.to_str().unwrap()]);
        run.assert_code(1);
        assert_helpful(&run);
    }
    let missing = place.path().join("missing.toml");
    let run = place.cli(&["config", "check", "--config", missing.to_str().unwrap()]);
    run.assert_code(1);
    assert!(run.stderr.contains("missing.toml"), "{}", run.stderr);
}

#[test]
fn config_show_hides_secrets() {
    let place = Place::new();
    let secret = "canary-0123456789abcdef0123456789abcdef";
    let config = place.file(
        "config.toml",
        format!("[ingest]\nsecret = \"{secret}\"\nsecrets_accepted = [\"{secret}-2\"]\nmax_body = 65536\n"),
    );
    let run = place.cli(&["config", "show", "--config", config.to_str().unwrap()]);
    run.assert_code(0);
    assert!(
        run.stdout.contains("max_body = \"64 KiB\""),
        "{}",
        run.stdout
    );
    assert!(
        !run.stdout.contains("canary") && !run.stderr.contains("canary"),
        "{}",
        run.stdout
    );
}

#[test]
fn serve_refuses_a_configuration_with_an_unknown_key() {
    let place = Place::new();
    let bad = place.file("bad.toml", "[stor]\ndata_dir = \"x\"\n");
    let mut command = place.command();
    command
        .args(place.serve_arguments())
        .args(["--config", bad.to_str().unwrap()]);
    let run = place.finish(command);
    run.assert_code(1);
    assert!(run.stderr.contains("store"), "{}", run.stderr);
}
