//! How one value is read and shown: text in a file, a variable or a flag to a Rust type, and back.
//!
//! Invariant: what `show` gives, `read` takes and makes the same value of (secrets apart, which show as `[redacted]`).
//! A secret cannot be shown by mistake: whether a key is one follows from its type, not from a list.

use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

use super::secret::Secret;

/// A value as it was given, before its key says what it should be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Raw {
    /// A quoted text of a TOML file.
    Text(String),
    /// Text of a variable or a flag, which has no types of its own.
    Word(String),
    Integer(i64),
    List(Vec<Raw>),
    /// A TOML type that no key has: a float, a boolean, a date or a table.
    Other,
}

impl Raw {
    fn text(&self) -> Option<&str> {
        match self {
            Raw::Text(text) | Raw::Word(text) => Some(text.trim()),
            _ => None,
        }
    }

    fn integer(&self) -> Option<i64> {
        match self {
            Raw::Integer(number) => Some(*number),
            Raw::Word(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

/// One value, as opposed to an optional one or a list.
pub(super) trait Single: Sized {
    const SECRET: bool = false;
    fn read(raw: &Raw) -> Option<Self>;
    fn show(&self) -> toml::Value;
    /// Makes a relative path absolute; all else stays as it is.
    fn based_on(self, _dir: &Path) -> Self {
        self
    }
}

/// The type of a key: a single value, an optional one (`""` is absent) or a list of them.
pub(super) trait Setting: Sized {
    type One: Single;
    fn read(raw: &Raw, one: &dyn Fn(&Raw) -> Option<Self::One>) -> Option<Self>;
    /// None stands for an absent value.
    fn show(&self) -> Option<toml::Value>;
}

impl<T: Single> Setting for T {
    type One = T;
    fn read(raw: &Raw, one: &dyn Fn(&Raw) -> Option<T>) -> Option<T> {
        one(raw)
    }
    fn show(&self) -> Option<toml::Value> {
        Some(Single::show(self))
    }
}

impl<T: Single> Setting for Option<T> {
    type One = T;
    fn read(raw: &Raw, one: &dyn Fn(&Raw) -> Option<T>) -> Option<Self> {
        if raw.text() == Some("") {
            return Some(None);
        }
        one(raw).map(Some)
    }
    fn show(&self) -> Option<toml::Value> {
        self.as_ref().map(Single::show)
    }
}

impl<T: Single> Setting for Vec<T> {
    type One = T;
    fn read(raw: &Raw, one: &dyn Fn(&Raw) -> Option<T>) -> Option<Self> {
        match raw {
            Raw::List(items) => items.iter().map(one).collect(),
            Raw::Word(text) if text.trim().is_empty() => Some(Vec::new()),
            Raw::Word(text) => text
                .split(',')
                .map(|item| one(&Raw::Word(item.trim().to_owned())))
                .collect(),
            _ => None,
        }
    }
    fn show(&self) -> Option<toml::Value> {
        Some(toml::Value::Array(self.iter().map(Single::show).collect()))
    }
}

impl Single for String {
    fn read(raw: &Raw) -> Option<Self> {
        raw.text().map(str::to_owned)
    }
    fn show(&self) -> toml::Value {
        toml::Value::String(self.clone())
    }
}

impl Single for Secret {
    const SECRET: bool = true;
    fn read(raw: &Raw) -> Option<Self> {
        raw.text().and_then(Secret::new)
    }
    fn show(&self) -> toml::Value {
        toml::Value::String(self.to_string())
    }
}

impl Single for PathBuf {
    fn read(raw: &Raw) -> Option<Self> {
        raw.text()
            .filter(|text| !text.is_empty())
            .map(PathBuf::from)
    }
    fn show(&self) -> toml::Value {
        toml::Value::String(self.display().to_string())
    }
    fn based_on(self, dir: &Path) -> Self {
        // Only `.` is taken out: dropping `x/..` could name another file where x is a link.
        dir.join(self)
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect()
    }
}

impl Single for IpNet {
    fn read(raw: &Raw) -> Option<Self> {
        let text = raw.text()?;
        let single = || text.parse::<IpAddr>().ok().map(IpNet::from);
        text.parse::<IpNet>()
            .ok()
            .or_else(single)
            .map(|net| net.trunc())
    }
    fn show(&self) -> toml::Value {
        toml::Value::String(self.to_string())
    }
}

macro_rules! whole_numbers {
    ($($ty:ty),+) => {$(
        impl Single for $ty {
            fn read(raw: &Raw) -> Option<Self> {
                raw.integer().and_then(|number| number.try_into().ok())
            }
            fn show(&self) -> toml::Value {
                toml::Value::Integer((*self).try_into().unwrap_or(i64::MAX))
            }
        }
    )+};
}
whole_numbers!(u32, u64, usize);

/// A number of bytes, written `"64 MiB"`, `"500 kB"` or as a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const SIZE_UNITS: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
];

impl ByteSize {
    /// So many times 1024 bytes.
    pub const fn kib(count: u64) -> Self {
        Self(count << 10)
    }

    /// So many times 1024 KiB.
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The same for lengths in memory; more than fits one reads as the most that does.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl std::fmt::Display for ByteSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match SIZE_UNITS
            .iter()
            .find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit))
        {
            Some((name, unit)) => write!(f, "{} {name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Single for ByteSize {
    fn read(raw: &Raw) -> Option<Self> {
        if let Some(number) = raw.integer() {
            return u64::try_from(number).ok().map(Self);
        }
        let text = raw.text()?;
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = match unit.trim() {
            "" | "B" | "b" => 1,
            name => {
                SIZE_UNITS
                    .iter()
                    .find(|known| known.0.eq_ignore_ascii_case(name))?
                    .1
            }
        };
        number.parse::<u64>().ok()?.checked_mul(unit).map(Self)
    }
    fn show(&self) -> toml::Value {
        toml::Value::String(self.to_string())
    }
}

impl Single for Duration {
    fn read(raw: &Raw) -> Option<Self> {
        humantime::parse_duration(raw.text()?).ok()
    }
    fn show(&self) -> toml::Value {
        toml::Value::String(show_duration(*self))
    }
}

/// The largest unit that says it exactly. (humantime would write 365 days as months, days, hours and minutes.)
pub(super) fn show_duration(duration: Duration) -> String {
    const UNITS: [(&str, u128); 7] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
        ("ns", 1),
    ];
    let nanos = duration.as_nanos();
    match UNITS
        .iter()
        .find(|(_, unit)| nanos > 0 && nanos.is_multiple_of(*unit))
    {
        Some((name, unit)) => format!("{}{name}", nanos / unit),
        None => "0s".to_owned(),
    }
}

/// The mode of a socket file, written in octal as text: a bare TOML number 660 would be decimal and mean another mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode(pub u32);

impl Single for FileMode {
    fn read(raw: &Raw) -> Option<Self> {
        let text = raw.text()?;
        let digits = text.strip_prefix("0o").unwrap_or(text);
        let octal = (3..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        u32::from_str_radix(digits, 8)
            .ok()
            .filter(|mode| octal && *mode <= 0o777)
            .map(Self)
    }
    fn show(&self) -> toml::Value {
        toml::Value::String(format!("{:04o}", self.0))
    }
}

/// How log lines are written; absent in the configuration means: chosen by where they go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A line of text for people.
    Text,
    /// A JSON object a line.
    Json,
    /// Fields of systemd's journal.
    Journal,
}

impl Single for LogFormat {
    fn read(raw: &Raw) -> Option<Self> {
        match raw.text()? {
            "text" => Some(Self::Text),
            "json" => Some(Self::Json),
            "journal" => Some(Self::Journal),
            _ => None,
        }
    }
    fn show(&self) -> toml::Value {
        let word = match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Journal => "journal",
        };
        toml::Value::String(word.to_owned())
    }
}
