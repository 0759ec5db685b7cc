//! What systemd gives and wants to be told: inherited sockets, readiness, the watchdog. Thin, over crates.

use std::collections::BTreeMap;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;

/// A socket that was opened for us.
#[derive(Debug)]
pub enum Inherited {
    /// A TCP socket.
    Tcp(TcpListener),
    /// A Unix socket.
    Unix(UnixListener),
}

/// The sockets that systemd passed, by their names (`FileDescriptorName=`, or the socket unit's name).
///
/// # Errors
/// When what was passed is no listening stream socket.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place beside config that reads the environment"
)]
pub fn inherited_sockets() -> io::Result<BTreeMap<String, Inherited>> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut passed = ListenFd::from_env();
    let mut sockets = BTreeMap::new();
    for index in 0..passed.len() {
        let name = names.split(':').nth(index).unwrap_or("unknown");
        let socket = match passed.take_tcp_listener(index) {
            Ok(tcp) => tcp.map(Inherited::Tcp),
            Err(_) => passed.take_unix_listener(index)?.map(Inherited::Unix),
        };
        if let Some(socket) = socket {
            sockets.insert(name.trim_end_matches(".socket").to_owned(), socket);
        }
    }
    Ok(sockets)
}

/// Tells systemd that every door is open.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Tells systemd that the end has begun.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// Tells systemd that all is well.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How often systemd wants to hear that all is well: half of the time after which it would act.
#[must_use]
pub fn watchdog_every() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|within| within / 2)
}

fn tell(states: &[NotifyState<'_>]) {
    // Without systemd there is nobody to tell, and that is no error.
    if let Err(error) = sd_notify::notify(states) {
        log::warn!("systemd could not be told: {error}");
    }
}
