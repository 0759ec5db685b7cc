//! For whom a request is, by its Host header.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::HOST;

/// The names that a door on this machine answers for. A web page that had its own name pointed at this machine (DNS
/// rebinding) still asks for its own name, and gets nothing.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Names beside the loopback ones.
    pub names: Vec<String>,
    /// The address that the door listens on.
    pub address: Option<IpAddr>,
}

impl Hosts {
    /// Whether the Host header is a loopback name, the listener's address, or one of the names.
    #[must_use]
    pub fn include(&self, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
            return false;
        };
        let name = match host.rsplit_once(':') {
            Some((name, port))
                if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() =>
            {
                name
            }
            _ => host,
        };
        let bare = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'))
            .unwrap_or(name);
        let literal = bare.parse::<IpAddr>().ok();
        name.eq_ignore_ascii_case("localhost")
            || literal.is_some_and(|address| address.is_loopback() || Some(address) == self.address)
            || self
                .names
                .iter()
                .any(|known| known.eq_ignore_ascii_case(bare))
    }
}
