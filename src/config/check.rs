//! What a value must be besides its type. Each check takes a value and gives it back, brought to one spelling, or
//! nothing when it is refused; what would be right is said by the key in the table.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::secret::Secret;
use super::value::ByteSize;

/// Webhook secrets, keys and tokens below this can be guessed.
pub(super) const MIN_SECRET_CHARS: usize = 16;
/// Past this, adding a duration to a point in time may overflow.
const MAX_DURATION: Duration = Duration::from_secs(100 * 366 * 86_400);
/// `sockaddr_un` holds 108 bytes with the closing zero.
const MAX_SOCKET_PATH_BYTES: usize = 107;

pub(super) fn any<T>(value: T) -> Option<T> {
    Some(value)
}

/// `host:port`, as one listens on.
pub fn address(text: String) -> Option<String> {
    if text.parse::<SocketAddr>().is_ok() {
        return Some(text);
    }
    let (host, port) = text.rsplit_once(':')?;
    // `parse` alone would take "+80".
    let port_ok = port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok();
    (port_ok && is_host_name(host)).then_some(text)
}

pub(super) fn address_or_empty(text: String) -> Option<String> {
    if text.is_empty() {
        return Some(text);
    }
    address(text)
}

pub(super) fn host_name(text: String) -> Option<String> {
    is_host_name(&text).then(|| text.to_ascii_lowercase())
}

fn is_host_name(text: &str) -> bool {
    let label_ok = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label_ok)
}

/// `http(s)://host[:port]` and nothing more; a single slash at the end is taken off.
pub(super) fn origin(text: String) -> Option<String> {
    // A fragment is cut off in silence by the parser, and user information may hold a password.
    if text.contains(['#', '@', '?']) {
        return None;
    }
    let url: http::Uri = text.parse().ok()?;
    let scheme_ok = matches!(url.scheme_str(), Some("http" | "https"));
    let authority = url.authority()?.as_str();
    // The parser lets `host:` and `host:99999` through and then says that there is no port.
    let host_ok = is_host_name(authority) || is_ipv6_literal(authority) || has_good_port(authority);
    (scheme_ok && host_ok && url.path() == "/")
        .then(|| text.trim_end_matches('/').to_ascii_lowercase())
}

fn is_ipv6_literal(text: &str) -> bool {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
}

fn has_good_port(authority: &str) -> bool {
    !authority.ends_with(":0") && address(authority.to_owned()).is_some()
}

pub(super) fn header_name(text: String) -> Option<String> {
    http::HeaderName::from_bytes(text.as_bytes())
        .is_ok()
        .then_some(text)
}

pub(super) fn long_secret(secret: Secret) -> Option<Secret> {
    secret.is_long().then_some(secret)
}

pub(super) fn above_zero(duration: Duration) -> Option<Duration> {
    (duration > Duration::ZERO && duration <= MAX_DURATION).then_some(duration)
}

pub(super) fn body_size(size: ByteSize) -> Option<ByteSize> {
    (ByteSize::kib(1)..=ByteSize::mib(64))
        .contains(&size)
        .then_some(size)
}

pub(super) fn some_bytes(size: ByteSize) -> Option<ByteSize> {
    (size.bytes() > 0).then_some(size)
}

/// The HTTP library's buffer is never under 8 KiB.
pub(super) fn head_size(size: ByteSize) -> Option<ByteSize> {
    (ByteSize::kib(8)..=ByteSize::mib(1))
        .contains(&size)
        .then_some(size)
}

pub(super) fn at_least_one<T: PartialOrd + From<u8>>(number: T) -> Option<T> {
    (number >= T::from(1)).then_some(number)
}

pub(super) fn up_to<const MAX: usize>(number: usize) -> Option<usize> {
    (1..=MAX).contains(&number).then_some(number)
}

pub(super) fn socket_path(path: PathBuf) -> Option<PathBuf> {
    (path.as_os_str().len() <= MAX_SOCKET_PATH_BYTES).then_some(path)
}

pub(super) fn log_level(text: String) -> Option<String> {
    let word = text.to_ascii_lowercase();
    matches!(
        word.as_str(),
        "off" | "error" | "warn" | "info" | "debug" | "trace"
    )
    .then_some(word)
}
