//! A server in a process of its own. What it costs is read from `/proc`.
//!
//! Invariant: no server outlives the benchmark. Each hangs on a shell that stops it as soon as its input ends, and that
//! happens when its handle is dropped, and when the benchmark itself is killed.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{Result, poll};

const START_WITHIN: Duration = Duration::from_secs(20);
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// What the kernel counts processor time in, on every architecture of Linux that this is built for.
const TICKS_PER_SECOND: f64 = 100.0;

/// Starts what follows the log's path when it is told to, tells its process id, and ends it when the input ends.
const GUARD: &str =
    r#"log=$1; shift; read -r _; "$@" >"$log" 2>&1 & echo $!; read -r _; kill -TERM $!; wait $!"#;

/// A running server.
pub struct Process {
    guard: Child,
    process: u32,
    doors: Value,
    ready: PathBuf,
    log: PathBuf,
}

impl Process {
    /// Starts a command that takes `--ready-file`, with nothing in its environment but this, and waits until it is ready.
    pub fn start(
        folder: &Path,
        name: &str,
        command: Vec<OsString>,
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let mut server = Self::prepare(folder, name, command, environment)?;
        server.go()?;
        server.wait_until_ready()?;
        Ok(server)
    }

    /// All of a start that is not the server's own doing: what is left is to say `go`.
    pub fn prepare(
        folder: &Path,
        name: &str,
        mut command: Vec<OsString>,
        environment: &[(&str, &str)],
    ) -> Result<Self> {
        let ready = folder.join(format!("{name}-ready.json"));
        let log = folder.join(format!("{name}.log"));
        // One of an earlier run would say that this one is ready.
        match fs::remove_file(&ready) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        command.extend(["--ready-file".into(), ready.clone().into()]);
        let guard = Command::new("sh")
            .args(["-c", GUARD, "sh"])
            .arg(&log)
            .args(command)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self {
            guard,
            process: 0,
            doors: Value::Null,
            ready,
            log,
        })
    }

    /// Starts it, and does not wait for more than its process id.
    pub fn go(&mut self) -> Result<()> {
        let input = self.guard.stdin.as_mut().ok_or("no input of the shell")?;
        input.write_all(b"go\n")?;
        let output = self.guard.stdout.take().ok_or("no output of the shell")?;
        let mut process = String::new();
        BufReader::new(output).read_line(&mut process)?;
        self.process = process.trim().parse()?;
        Ok(())
    }

    /// Waits until it says where its doors are.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let doors = poll("a server to start", START_WITHIN, || {
            let text = fs::read(&self.ready).unwrap_or_default();
            Ok(serde_json::from_slice::<Value>(&text).ok())
        });
        self.doors = doors.map_err(|error| {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            format!("{error}; its log: {log}")
        })?;
        Ok(())
    }

    /// Where one of its doors is.
    pub fn door(&self, name: &str) -> Result<SocketAddr> {
        let door = self.doors.get(name).and_then(Value::as_str);
        Ok(door.ok_or_else(|| format!("no {name} door"))?.parse()?)
    }

    /// Processor time used so far, in seconds.
    pub fn processor_seconds(&self) -> Result<f64> {
        processor_seconds(self.process)
    }

    /// Resident memory in MiB: now (`VmRSS`), or the most there ever was (`VmHWM`).
    pub fn resident_mib(&self, which: &str) -> Result<f64> {
        resident_mib(self.process, which)
    }

    /// From now on `VmHWM` counts from what there is now.
    pub fn forget_peak(&self) -> Result<()> {
        Ok(fs::write(
            format!("/proc/{}/clear_refs", self.process),
            "5",
        )?)
    }

    /// Ends it as a power failure would, as far as a process can tell.
    pub fn kill(mut self) -> Result<()> {
        let process = self.process.to_string();
        Command::new("kill").args(["-KILL", &process]).status()?;
        drop(self.guard.stdin.take());
        let guard = &mut self.guard;
        poll("a server to die", STOP_WITHIN, || Ok(guard.try_wait()?))?;
        Ok(())
    }

    /// Stops it and waits for its end.
    pub fn stop(mut self) -> Result<()> {
        drop(self.guard.stdin.take());
        let guard = &mut self.guard;
        let status = poll("a server to stop", STOP_WITHIN, || Ok(guard.try_wait()?))?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("a server ended with {status}").into())
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let guard = &mut self.guard;
        // After a clean stop it has ended already; after an error there is nobody left to tell.
        let _ = poll("a server to stop", STOP_WITHIN, || Ok(guard.try_wait()?));
    }
}

/// Processor time that a process has used so far, in seconds.
pub fn processor_seconds(process: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The second field is a name in parentheses, in which anything may stand.
    let (_, fields) = stat.rsplit_once(')').ok_or("no process")?;
    let ticks: f64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    Ok(ticks / TICKS_PER_SECOND)
}

/// Resident memory of a process in MiB: now (`VmRSS`), or the most there ever was (`VmHWM`).
pub fn resident_mib(process: u32, which: &str) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find(|line| line.starts_with(which));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kib.ok_or("no such line")?.parse::<f64>()? / 1024.0)
}
