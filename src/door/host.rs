//! For whom a request is, by its Host header, and whether a web page of elsewhere has sent it.

use std::net::IpAddr;

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};

/// How a browser names the relation of a page to whom it calls.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

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

/// Whether a web page of another origin has sent this. Browsers put these fields on what pages send; no app needs to.
#[must_use]
pub fn is_foreign(headers: &HeaderMap) -> bool {
    let host = headers
        .get(HOST)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let own = |origin: &HeaderValue| {
        origin
            .as_bytes()
            .strip_prefix(b"http://")
            .is_some_and(|name| name.eq_ignore_ascii_case(host))
    };
    let from_elsewhere = |site: &HeaderValue| {
        let site = site.as_bytes().trim_ascii();
        site.eq_ignore_ascii_case(b"cross-site") || site.eq_ignore_ascii_case(b"same-site")
    };
    !headers.get_all(ORIGIN).iter().all(own)
        || headers.get_all(SEC_FETCH_SITE).iter().any(from_elsewhere)
}
