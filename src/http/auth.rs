//! Who may post: the secret in its three forms, the signature, the sender's address. All comparisons take the same time.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderMap;
use http::header::{AUTHORIZATION, FORWARDED};
use ipnet::IpNet;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq as _};

use crate::config::Secret;

/// Secrets that are valid at present, as digests; they can be exchanged while the doors are open.
#[derive(Clone, Debug, Default)]
pub struct Secrets(Arc<RwLock<Vec<[u8; 32]>>>);

impl Secrets {
    /// These secrets and no others are valid from now on.
    pub fn set<'a>(&self, secrets: impl Iterator<Item = &'a Secret>) {
        let digests = secrets
            .map(|secret| Sha256::digest(secret.expose()).into())
            .collect();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = digests;
    }

    /// Whether a text is one of the secrets. Both sides are digested, so the time tells neither length nor content.
    #[must_use]
    pub fn admit(&self, offered: &[u8]) -> bool {
        let offered: [u8; 32] = Sha256::digest(offered).into();
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known
            .iter()
            .fold(Choice::from(0), |found, secret| {
                found | secret.ct_eq(&offered)
            })
            .into()
    }

    /// Whether `Authorization` holds one of the secrets, as Bearer or as the password of Basic.
    #[must_use]
    pub fn admit_header(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
        else {
            return false;
        };
        let Some((scheme, credentials)) = value.split_once(' ') else {
            return false;
        };
        let credentials = credentials.trim();
        if scheme.eq_ignore_ascii_case("bearer") {
            return self.admit(credentials.as_bytes());
        }
        if scheme.eq_ignore_ascii_case("basic") {
            let decoded = STANDARD.decode(credentials).unwrap_or_default();
            let colon = decoded.iter().position(|byte| *byte == b':');
            return colon
                .and_then(|at| decoded.get(at + 1..))
                .is_some_and(|password| self.admit(password));
        }
        false
    }
}

/// A signature over the body that a relay in front of us adds.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The header it stands in.
    pub header: String,
    /// The key it is made with.
    pub key: Secret,
}

impl Signature {
    /// Whether the header holds the body's HMAC-SHA256, in hex or base64, with or without `sha256=` before it.
    #[must_use]
    pub fn verify(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let Some(text) = headers
            .get(self.header.as_str())
            .and_then(|value| value.to_str().ok())
        else {
            return false;
        };
        let text = text.trim();
        let text = text.strip_prefix("sha256=").unwrap_or(text);
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes()) else {
            return false;
        };
        mac.update(body);
        let given = hex::decode(text).or_else(|_| STANDARD.decode(text));
        given.is_ok_and(|given| mac.verify_slice(&given).is_ok())
    }
}

/// Networks that may post, and proxies whose word about the sender is taken.
#[derive(Clone, Debug, Default)]
pub struct Senders {
    /// Who may post; empty: everybody.
    pub allow_from: Vec<IpNet>,
    /// Whose `X-Forwarded-For` or `Forwarded` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Senders {
    /// Whether a request that came from `peer` with these headers may post.
    #[must_use]
    pub fn allow(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> bool {
        if self.allow_from.is_empty() {
            return true;
        }
        self.sender(peer, headers)
            .is_some_and(|sender| holds(&self.allow_from, sender))
    }

    /// The nearest address on the way that is not one of our proxies. What stands further left anybody can write.
    fn sender(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Option<IpAddr> {
        let peer = peer.map(|address| address.to_canonical())?;
        if !holds(&self.trusted_proxies, peer) {
            return Some(peer);
        }
        // A proxy writes one of the two headers and passes the other on as the sender wrote it. Which one is its own is
        // not known, so where both are there they must agree.
        let told = [
            hops(headers, "x-forwarded-for"),
            hops(headers, FORWARDED.as_str()),
        ];
        let mut senders = told
            .iter()
            .filter(|hops| !hops.is_empty())
            .map(|hops| self.nearest(hops));
        let Some(sender) = senders.next() else {
            return Some(peer);
        };
        senders
            .all(|other| other == sender)
            .then_some(sender)
            .flatten()
    }

    /// `None` where a hop cannot be read: nothing left of it is to be believed.
    fn nearest(&self, hops: &[String]) -> Option<IpAddr> {
        for hop in hops.iter().rev() {
            let address = hop_address(hop)?;
            if !holds(&self.trusted_proxies, address) {
                return Some(address);
            }
        }
        None
    }
}

fn holds(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// The hops that a header names, nearest last; a line that is no text is a hop that cannot be read.
fn hops(headers: &HeaderMap, name: &str) -> Vec<String> {
    let lines = headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().unwrap_or("unreadable"));
    let hops = lines
        .flat_map(|line| line.split(','))
        .map(|hop| hop.trim().to_owned());
    if name != FORWARDED.as_str() {
        return hops.collect();
    }
    let for_of = |element: String| {
        let parameters = element.split(';').map(str::trim);
        let mut named = parameters.filter_map(|parameter| parameter.split_once('='));
        let found = named.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
        found.map_or_else(
            || "unreadable".to_owned(),
            |(_, value)| value.trim().trim_matches('"').to_owned(),
        )
    };
    hops.map(for_of).collect()
}

/// An address as hops write it: alone, with a port, in brackets.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let address = hop
        .parse::<IpAddr>()
        .ok()
        .or_else(|| {
            hop.parse::<std::net::SocketAddr>()
                .ok()
                .map(|socket| socket.ip())
        })
        .or_else(|| hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    fn senders() -> Senders {
        Senders {
            allow_from: vec!["203.0.113.0/24".parse().unwrap()],
            trusted_proxies: vec![
                "127.0.0.1/32".parse().unwrap(),
                "10.0.0.0/8".parse().unwrap(),
            ],
        }
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let claims = headers("x-forwarded-for", "203.0.113.9");
        assert!(senders().allow(Some("127.0.0.1".parse().unwrap()), &claims));
        assert!(!senders().allow(Some("198.51.100.1".parse().unwrap()), &claims));
        assert!(senders().allow(Some("203.0.113.5".parse().unwrap()), &HeaderMap::new()));
        assert!(!senders().allow(None, &claims));
    }

    #[test]
    fn what_the_sender_wrote_itself_is_not_believed() {
        let proxy = Some("127.0.0.1".parse().unwrap());
        let spoofed = headers("x-forwarded-for", "203.0.113.9, 198.51.100.1");
        assert!(!senders().allow(proxy, &spoofed));
        let chained = headers("x-forwarded-for", "198.51.100.1, 203.0.113.9, 10.1.2.3");
        assert!(senders().allow(proxy, &chained));
        assert!(!senders().allow(proxy, &headers("x-forwarded-for", "203.0.113.9, unknown")));
        // A proxy may add a line of its own behind that of the sender instead of going on with it.
        let mut lines = headers("x-forwarded-for", "203.0.113.9");
        lines.append("x-forwarded-for", "198.51.100.1".parse().unwrap());
        assert!(!senders().allow(proxy, &lines));
        // One who claims to be a proxy of ours has named nobody, and is not the proxy that he came by.
        let inside = Senders {
            allow_from: vec![
                "127.0.0.0/8".parse().unwrap(),
                "10.0.0.0/8".parse().unwrap(),
            ],
            ..senders()
        };
        assert!(!inside.allow(proxy, &headers("x-forwarded-for", "10.1.2.3")));
        assert!(inside.allow(proxy, &HeaderMap::new()));
    }

    #[test]
    fn what_cannot_be_read_or_does_not_agree_is_refused() {
        let proxy = Some("127.0.0.1".parse().unwrap());
        let mut both = headers("forwarded", "for=203.0.113.9");
        both.insert(
            "x-forwarded-for",
            http::HeaderValue::from_bytes(b"\xe9, 198.51.100.1").unwrap(),
        );
        assert!(!senders().allow(proxy, &both));
        both.insert(
            "x-forwarded-for",
            http::HeaderValue::from_static("198.51.100.1"),
        );
        assert!(!senders().allow(proxy, &both));
        both.insert(
            "x-forwarded-for",
            http::HeaderValue::from_static("203.0.113.9"),
        );
        assert!(senders().allow(proxy, &both));
    }

    #[test]
    fn forwarded_is_read_as_its_rfc_writes_it() {
        let proxy = Some("127.0.0.1".parse().unwrap());
        assert!(senders().allow(
            proxy,
            &headers("forwarded", "For=\"203.0.113.9:4711\";proto=https")
        ));
        assert!(!senders().allow(proxy, &headers("forwarded", "for=\"[2001:db8::1]\"")));
    }

    #[test]
    fn a_secret_is_taken_as_bearer_and_as_basic_password() {
        let secrets = Secrets::default();
        let secret = Secret::new("correct horse battery").unwrap();
        secrets.set([&secret].into_iter());
        assert!(secrets.admit_header(&headers("authorization", "Bearer correct horse battery")));
        let basic = format!("Basic {}", STANDARD.encode("anyone:correct horse battery"));
        assert!(secrets.admit_header(&headers("authorization", &basic)));
        for wrong in ["Bearer correct horse", "Bearer", "Basic !!!", "Digest x"] {
            assert!(
                !secrets.admit_header(&headers("authorization", wrong)),
                "{wrong}"
            );
        }
        assert!(!secrets.admit(b""));
    }

    #[test]
    fn a_signature_is_taken_in_hex_and_in_base64() {
        let signature = Signature {
            header: "x-signature".to_owned(),
            key: Secret::new("0123456789abcdef").unwrap(),
        };
        let mut mac = Hmac::<Sha256>::new_from_slice(b"0123456789abcdef").unwrap();
        mac.update(b"{}");
        let code = mac.finalize().into_bytes();
        assert!(signature.verify(&headers("x-signature", &hex::encode(code)), b"{}"));
        assert!(signature.verify(&headers("x-signature", &STANDARD.encode(code)), b"{}"));
        assert!(signature.verify(
            &headers("x-signature", &format!("sha256={}", hex::encode(code))),
            b"{}"
        ));
        assert!(!signature.verify(&headers("x-signature", &hex::encode(code)), b"{ }"));
        assert!(!signature.verify(&HeaderMap::new(), b"{}"));
    }
}
