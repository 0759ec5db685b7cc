//! For whom a request is, by its Host header, and whether a web page of elsewhere has sent it.

use std::net::IpAddr;

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};

use super::Peer;

/// How a browser names the relation of a page to whom it calls.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names that a door on this machine answers for. A web page that had its own name pointed at this machine (DNS
/// rebinding) still asks for its own name, and gets nothing.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Names beside the loopback ones.
    pub names: Vec<String>,
}

impl Hosts {
    /// Whether the Host header is a loopback name, one of the names, or the address that the client has connected to:
    /// a page with a name of its own asks for that name, never for an address.
    #[must_use]
    pub fn include(&self, headers: &HeaderMap, peer: Option<&Peer>) -> bool {
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
        let here = peer.and_then(|peer| peer.here);
        name.eq_ignore_ascii_case("localhost")
            || literal.is_some_and(|address| address.is_loopback() || Some(address) == here)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_was_connected_to_is_a_name_of_the_door() {
        let hosts = Hosts {
            names: vec!["waldo.internal".to_owned()],
        };
        let includes = |host: &str, here: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, host.parse().unwrap());
            let peer = Peer {
                address: None,
                here: here.parse().ok(),
                credentials: None,
            };
            hosts.include(&headers, Some(&peer))
        };
        for host in [
            "192.0.2.2",
            "192.0.2.2:7312",
            "localhost:7312",
            "127.0.0.1",
            "Waldo.Internal:7312",
        ] {
            assert!(includes(host, "192.0.2.2"), "{host}");
        }
        assert!(includes("[2001:db8::1]:7312", "2001:db8::1"));
        for host in [
            "192.0.2.3",
            "0.0.0.0:7312",
            "evil.example",
            "192.0.2.2.evil.example",
            "2001:db8::1",
        ] {
            assert!(!includes(host, "192.0.2.2"), "{host}");
        }
        assert!(!includes("192.0.2.2", "unknown"));
    }
}
