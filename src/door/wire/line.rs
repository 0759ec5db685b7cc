//! One line of a request head, as RFC 9112 has it. Whatever passes here hyper takes too.

use http::Uri;
use http::header::{HOST, HeaderMap};

use super::Fault;

/// hyper keeps the two numbers above it for itself.
const LARGEST_LENGTH: u64 = u64::MAX - 2;

/// Of HTTP, as the request line has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// 1.1
    New,
    /// 1.0, which knows no Transfer-Encoding.
    Old,
}

/// Whether these bytes may stand in a request line whose end has not come yet; a CR may be the beginning of that end.
pub(super) fn may_begin_a_request(bytes: &[u8]) -> bool {
    !has_control(bytes.strip_suffix(b"\r").unwrap_or(bytes))
}

/// `METHOD TARGET HTTP/1.1`, without the line's end.
pub(super) fn parse_request_line(line: &[u8]) -> Result<Version, Fault> {
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Fault::BadRequestLine);
    };
    if !is_token(method) || has_control(target) {
        return Err(Fault::BadRequestLine);
    }
    let version = match version {
        b"HTTP/1.1" => Version::New,
        b"HTTP/1.0" => Version::Old,
        _ if version.starts_with(b"HTTP/") && !has_control(version) => {
            return Err(Fault::BadVersion);
        }
        _ => return Err(Fault::BadRequestLine),
    };
    if is_plain_path(target) || is_uri(target) {
        Ok(version)
    } else {
        Err(Fault::BadTarget)
    }
}

/// `name: value`, without the line's end.
pub(super) fn parse_field(line: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    if line.starts_with(b" ") || line.starts_with(b"\t") {
        return Err(Fault::FoldedField);
    }
    let mut parts = line.splitn(2, |byte| *byte == b':');
    let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
        return Err(Fault::BadField);
    };
    if !is_token(name) {
        return Err(Fault::BadField);
    }
    if value.iter().any(|byte| is_control(*byte) && *byte != b'\t') {
        return Err(Fault::BadValue);
    }
    Ok((name, value))
}

/// A number of digits alone that a body may have as its length.
pub(super) fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    let number = digits.iter().try_fold(0_u64, |number, byte| match byte {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })?;
    (number <= LARGEST_LENGTH).then_some(number)
}

/// At least one byte, and none but those of a token (RFC 9110, 5.6.2).
fn is_token(bytes: &[u8]) -> bool {
    let in_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !bytes.is_empty() && bytes.iter().all(in_token)
}

/// A path, perhaps with a query, of which it takes no parser to say that it is one: nearly all targets are.
fn is_plain_path(target: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-._~?&=%:,+".contains(byte);
    target.starts_with(b"/") && target.iter().all(plain)
}

/// A URI, and text all through: a fragment is dropped without a look at it, but hyper has looked at it before.
fn is_uri(target: &[u8]) -> bool {
    std::str::from_utf8(target).is_ok_and(|text| text.parse::<Uri>().is_ok())
}

fn has_control(bytes: &[u8]) -> bool {
    bytes.iter().any(|byte| is_control(*byte))
}

fn is_control(byte: u8) -> bool {
    byte < b' ' || byte == 0x7f
}

/// Exactly one Host, well formed, and the same as the target's authority where the target has one.
pub fn check_host(target: &Uri, headers: &HeaderMap) -> Result<(), Fault> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().ok_or(Fault::NoHost)?.as_bytes();
    if hosts.next().is_some() {
        return Err(Fault::ManyHosts);
    }
    if host.is_empty() || !host.iter().all(|byte| is_host_byte(*byte)) {
        return Err(Fault::BadHost);
    }
    match target.authority() {
        Some(named) if !named.as_str().as_bytes().eq_ignore_ascii_case(host) => {
            Err(Fault::ForeignTarget)
        }
        _ => Ok(()),
    }
}

/// The bytes of `host [":" port]` (RFC 3986); no user information, no list.
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+;=:[]".contains(&byte)
}
