//! What can be wrong with a configuration, and how it is said: what, where, what is expected.
//!
//! Invariant: no text here repeats the value of a secret key. Values are repeated only through `Problem::BadValue`,
//! whose `given` its maker leaves out for those.

#![expect(
    missing_docs,
    reason = "each variant's message says what it means and names its fields"
)]

use std::io;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read the configuration file {}: {source}; --config names it", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// Everything that is wrong at once; shown one problem a line.
    #[error("{}", join(.0))]
    Invalid(Vec<Problem>),
    #[error("no data directory is known: set --data-dir, store.data_dir or the variable HOME")]
    NoDataDir,
    #[error("cannot read the secret file {}: {source}{}", path.display(), what_to_check(source))]
    SecretUnreadable { path: PathBuf, source: io::Error },
    #[error("the secret file {} is empty: `waldo-syncd init` makes a good webhook secret", path.display())]
    SecretEmpty { path: PathBuf },
    #[error(
        "the secret file {} holds a secret of fewer than 16 characters, which can be guessed: \
         `waldo-syncd init` makes a good one",
        path.display()
    )]
    SecretShort { path: PathBuf },
    #[error("the secret file {} holds control characters: write one secret a line, as text", path.display())]
    SecretBroken { path: PathBuf },
    #[error("the secret file {} holds {count} secrets where one is expected", path.display())]
    SecretMany { path: PathBuf, count: usize },
    #[error("{key}: {error}")]
    OfKey {
        key: &'static str,
        error: Box<ConfigError>,
    },
    #[error("waldo.{has} is configured but waldo.{lacks} is not: Waldo's login needs both")]
    HalfCredentials {
        has: &'static str,
        lacks: &'static str,
    },
}

impl ConfigError {
    /// The single problems of an invalid configuration; none for other errors.
    pub fn problems(&self) -> &[Problem] {
        match self {
            ConfigError::Invalid(problems) => problems,
            _ => &[],
        }
    }

    /// Whether something on the command line is wrong, as opposed to what stands in files and variables.
    pub fn is_usage(&self) -> bool {
        self.problems().iter().any(Problem::is_typed)
    }
}

/// What a person can do about a file that cannot be read; a file that is too large says it itself.
fn what_to_check(source: &io::Error) -> &'static str {
    if source.kind() == io::ErrorKind::FileTooLarge {
        ""
    } else {
        "; check the path, and that this user may read it"
    }
}

fn join(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Problem {
    #[error("bad TOML in {}, line {line}: {message}", path.display())]
    Syntax {
        path: PathBuf,
        line: usize,
        message: String,
    },
    #[error("unknown section [{section}] in {}, line {line}: {hint}", path.display())]
    UnknownSection {
        section: String,
        path: PathBuf,
        line: usize,
        hint: String,
    },
    #[error("section [{section}] of {}, line {line}, is not a section: write [{section}] and its keys below", path.display())]
    NotASection {
        section: String,
        path: PathBuf,
        line: usize,
    },
    #[error("key \"{key}\" stands outside of any section in {}, line {line}: {hint}", path.display())]
    NoSection {
        key: String,
        path: PathBuf,
        line: usize,
        hint: String,
    },
    #[error("unknown key \"{key}\" in section [{section}] of {}, line {line}: {hint}", path.display())]
    UnknownKey {
        key: String,
        section: String,
        path: PathBuf,
        line: usize,
        hint: String,
    },
    #[error("unknown variable {name} in the environment: {hint}")]
    UnknownVariable { name: String, hint: String },
    #[error("unknown key \"{key}\" on the command line: {hint}")]
    UnknownFlag { key: String, hint: String },
    #[error("bad value{given} for {place}: expected {expects}")]
    BadValue {
        given: Given,
        place: Place,
        expects: &'static str,
    },
    /// Keys that are good alone but not together.
    #[error("{text}")]
    Conflict {
        text: String,
        /// Whether one of them was given on the command line.
        typed: bool,
    },
}

impl Problem {
    /// Whether it is about something that was given on the command line.
    fn is_typed(&self) -> bool {
        match self {
            Self::UnknownFlag { .. } => true,
            Self::BadValue { place, .. } => matches!(place, Place::Flag { .. }),
            Self::Conflict { typed, .. } => *typed,
            _ => false,
        }
    }
}

/// The value that was given, if it may be repeated.
#[derive(Debug, Clone, PartialEq)]
pub struct Given(pub Option<String>);

impl std::fmt::Display for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        const MOST: usize = 60;
        let Some(text) = &self.0 else { return Ok(()) };
        // One line, and no control characters that would act on a terminal.
        let line: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        match line.char_indices().nth(MOST) {
            Some((cut, _)) => write!(f, " {}...", &line[..cut]),
            None => write!(f, " {line}"),
        }
    }
}

/// Where a value was given.
#[derive(Debug, Clone, PartialEq)]
pub enum Place {
    File {
        section: &'static str,
        key: &'static str,
        path: PathBuf,
        line: usize,
    },
    Variable {
        name: String,
    },
    Flag {
        key: String,
    },
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::File {
                section,
                key,
                path,
                line,
            } => {
                write!(
                    f,
                    "\"{key}\" in section [{section}] of {}, line {line}",
                    path.display()
                )
            }
            Place::Variable { name } => write!(f, "the variable {name}"),
            Place::Flag { key } => write!(f, "{key} on the command line"),
        }
    }
}
