//! The listeners: inherited from systemd where it opened them, else bound here.
//!
//! Invariant: what is not a socket is never removed, nor one that somebody answers at.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use super::DaemonError;
use super::files::{Doors, remove};
use crate::config::Config;
use crate::door::Listener;
use crate::systemd;

/// The daemon's user and group may speak to the control socket, nobody else.
const CONTROL_MODE: u32 = 0o660;

/// A listener and where it is.
pub(super) struct Socket {
    pub(super) listener: Listener,
    pub(super) address: String,
    /// The socket file to remove at the end, if we made it.
    made: Option<PathBuf>,
}

pub(super) struct Sockets {
    pub(super) ingest: Option<Socket>,
    pub(super) query: Option<Socket>,
    pub(super) query_socket: Option<Socket>,
    pub(super) control: Option<Socket>,
    pub(super) gateway: Option<Socket>,
    made: Vec<PathBuf>,
}

impl Sockets {
    /// The daemon's, and the gateway's if the outbound role is run too.
    pub(super) fn open(
        config: &Config,
        control_path: &Path,
        outbound: bool,
    ) -> Result<Self, DaemonError> {
        let mut inherited = inherited_sockets()?;
        let ingest = open_tcp("ingest", &config.ingest.listen, &mut inherited)?;
        let query = if config.query.listen.is_empty() && !inherited.contains_key("query") {
            None
        } else {
            Some(open_tcp("query", &config.query.listen, &mut inherited)?)
        };
        let query_socket = config
            .query
            .socket
            .as_ref()
            .map(|path| open_unix("query socket", path, config.query.socket_mode.0))
            .transpose()?;
        let control = match inherited.remove("control") {
            Some(systemd::Inherited::Unix(socket)) => inherited_unix("control", socket)?,
            _ => open_unix("control", control_path, CONTROL_MODE)?,
        };
        let gateway = if outbound {
            gateway_socket(config, &mut inherited)?
        } else {
            None
        };
        let made = query_socket
            .iter()
            .chain([&control])
            .filter_map(|socket| socket.made.clone())
            .collect();
        Ok(Self {
            ingest: Some(ingest),
            query,
            query_socket,
            control: Some(control),
            gateway,
            made,
        })
    }

    pub(super) fn doors(&self) -> Doors {
        let address =
            |socket: &Option<Socket>| socket.as_ref().map(|socket| socket.address.clone());
        Doors {
            ingest: address(&self.ingest),
            query: address(&self.query).or(address(&self.query_socket)),
            sandbox: None,
            control: address(&self.control),
            gateway: address(&self.gateway),
        }
    }

    pub(super) fn remove_files(&self) {
        for path in &self.made {
            remove(path);
        }
    }
}

/// Sockets by their names.
type Inherited = BTreeMap<String, systemd::Inherited>;

/// The sockets that systemd opened.
pub(super) fn inherited_sockets() -> Result<Inherited, DaemonError> {
    systemd::inherited_sockets().map_err(|source| DaemonError::Door {
        door: "inherited",
        address: "LISTEN_FDS".to_owned(),
        source,
    })
}

/// The gateway's listener, if one is configured or inherited.
pub(super) fn gateway_socket(
    config: &Config,
    inherited: &mut Inherited,
) -> Result<Option<Socket>, DaemonError> {
    match &config.gateway.listen {
        Some(listen) => open_tcp("gateway", listen, inherited).map(Some),
        None if inherited.contains_key("gateway") => open_tcp("gateway", "", inherited).map(Some),
        None => Ok(None),
    }
}

fn open_tcp(
    door: &'static str,
    address: &str,
    inherited: &mut Inherited,
) -> Result<Socket, DaemonError> {
    let failed = |source| DaemonError::Door {
        door,
        address: address.to_owned(),
        source,
    };
    let socket = match inherited.remove(door) {
        Some(systemd::Inherited::Unix(socket)) => return inherited_unix(door, socket),
        Some(systemd::Inherited::Tcp(socket)) => socket,
        None => std::net::TcpListener::bind(address).map_err(failed)?,
    };
    socket.set_nonblocking(true).map_err(failed)?;
    let listener = TcpListener::from_std(socket).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?.to_string();
    Ok(Socket {
        listener: Listener::Tcp(listener),
        address,
        made: None,
    })
}

fn inherited_unix(
    door: &'static str,
    socket: std::os::unix::net::UnixListener,
) -> Result<Socket, DaemonError> {
    let failed = |source| DaemonError::Door {
        door,
        address: "a socket of systemd's".to_owned(),
        source,
    };
    socket.set_nonblocking(true).map_err(failed)?;
    let path = socket.local_addr().map_err(failed)?;
    let address = path
        .as_pathname()
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    let listener = Listener::Unix(UnixListener::from_std(socket).map_err(failed)?);
    Ok(Socket {
        listener,
        address,
        made: None,
    })
}

fn open_unix(door: &'static str, path: &Path, mode: u32) -> Result<Socket, DaemonError> {
    let failed = |source| DaemonError::Door {
        door,
        address: path.display().to_string(),
        source,
    };
    // What a daemon that was killed left behind is cleared away, but only if it is a socket that nobody answers at.
    if let Ok(meta) = fs::symlink_metadata(path) {
        if !meta.file_type().is_socket() {
            return Err(failed(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "there is a file that is no socket: move it away, or give this door another path",
            )));
        }
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(failed(io::ErrorKind::AddrInUse.into()));
        }
        fs::remove_file(path).map_err(failed)?;
    }
    if let Some(folder) = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(failed)?;
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)?;
    let address = path.display().to_string();
    Ok(Socket {
        listener: Listener::Unix(listener),
        address,
        made: Some(path.to_owned()),
    })
}
