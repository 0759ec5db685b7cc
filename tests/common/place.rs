//! A temporary folder in which the binary runs with a clean environment, and what a finished run left behind.
//! Every wait is bounded and goes through `poll`, the one place that pauses.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub const EXIT_LIMIT: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer; panics past the limit.
#[track_caller]
#[expect(
    clippy::disallowed_methods,
    reason = "the one bounded pause, between two looks at a condition"
)]
pub fn poll<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(4));
    }
}

/// What a finished command left behind.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        assert_eq!(
            self.code,
            Some(code),
            "stdout: {}\nstderr: {}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// Each line of stdout as a JSON object, as every verb prints with `--json`.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        self.stdout
            .lines()
            .map(|line| {
                let value: Value = serde_json::from_str(line)
                    .unwrap_or_else(|error| panic!("no JSON line ({error}): {line}"));
                assert!(value.is_object(), "no object: {line}");
                value
            })
            .collect()
    }

    #[track_caller]
    pub fn assert_no_panic(&self) {
        for text in [&self.stdout, &self.stderr] {
            assert_calm(text);
        }
    }
}

/// No panic text and no backtrace, ever.
#[track_caller]
pub fn assert_calm(text: &str) {
    for word in [
        "panicked at",
        "RUST_BACKTRACE",
        "stack backtrace",
        "an internal fault at",
    ] {
        assert!(!text.contains(word), "panic text in the output: {text}");
    }
}

/// A temporary folder with a home of its own, in which the binary runs with a clean environment.
pub struct Place {
    dir: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let dir = TempDir::with_prefix("wsd-").expect("a temporary folder");
        fs::create_dir(dir.path().join("home")).expect("a home");
        Self { dir }
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    pub fn control(&self) -> PathBuf {
        self.path().join("control.sock")
    }

    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).expect("a file in the temporary folder");
        path
    }

    /// The binary, with nothing in its environment but HOME and PATH.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_waldo-syncd"));
        command
            .env_clear()
            .env("HOME", self.path().join("home"))
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a verb to its end, whatever it prints.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Run {
        let mut command = self.command();
        command.args(arguments);
        self.finish(command)
    }

    /// Runs a verb with `--data-dir` of this place.
    #[track_caller]
    pub fn cli(&self, arguments: &[&str]) -> Run {
        let data = self.data();
        let mut all = arguments.to_vec();
        all.extend(["--data-dir", data.to_str().expect("a UTF-8 path")]);
        self.run(&all)
    }

    /// The arguments of `serve` on free ports in this place.
    pub fn serve_arguments(&self) -> Vec<String> {
        let path = |path: PathBuf| path.to_str().expect("a UTF-8 path").to_owned();
        let mut all = vec!["serve".to_owned()];
        for (name, value) in [
            ("--data-dir", path(self.data())),
            ("--ingest", "127.0.0.1:0".to_owned()),
            ("--query", "127.0.0.1:0".to_owned()),
            ("--control", path(self.control())),
            ("--ready-file", path(self.path().join("ready.json"))),
        ] {
            all.extend([name.to_owned(), value]);
        }
        all
    }

    /// Runs a command to its end, bounded in time; its output goes over files, so that it can never block.
    #[track_caller]
    pub fn finish(&self, mut command: Command) -> Run {
        let output = TempDir::new_in(self.path()).expect("a folder for the output");
        let (stdout, stderr) = (output.path().join("stdout"), output.path().join("stderr"));
        let mut child = command
            .stdout(File::create(&stdout).expect("a file"))
            .stderr(File::create(&stderr).expect("a file"))
            .spawn()
            .expect("the binary starts");
        let end = Instant::now() + EXIT_LIMIT;
        let status = poll("a verb to end", EXIT_LIMIT * 2, || {
            if Instant::now() > end {
                child.kill().expect("a kill");
            }
            child.try_wait().expect("a status")
        });
        let run = Run {
            code: status.code(),
            stdout: fs::read_to_string(stdout).expect("UTF-8 on stdout"),
            stderr: fs::read_to_string(stderr).expect("UTF-8 on stderr"),
        };
        run.assert_no_panic();
        run
    }
}
