//! The layers: built-in defaults, the file, the environment, the command line; each one over the one before it.
//!
//! Invariant: nothing is passed over in silence. A key, section or variable that is not in the table, and a value its
//! key does not take, is a problem; all problems of all layers are reported at once.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::environment::Environment;
use super::error::{ConfigError, Given, Place, Problem};
use super::hint;
use super::secret::{open_to_others, read_text};
use super::table::{Config, KEYS, Key, SECTIONS};
use super::value::Raw;

const PREFIX: &str = "WALDO_SYNCD_";
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Where the value of a key came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// The configuration file.
    File {
        /// The line it stands in, from 1.
        line: usize,
    },
    /// A variable.
    Environment,
    /// The command line.
    Flag,
}

impl Origin {
    /// The word that `config show` says.
    pub fn word(self) -> &'static str {
        match self {
            Origin::Default => "default",
            Origin::File { .. } => "file",
            Origin::Environment => "environment",
            Origin::Flag => "flag",
        }
    }
}

/// A configuration together with where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// What works but should be looked at; for the log.
    pub warnings: Vec<String>,
    /// In the order of `KEYS`.
    origins: Vec<Origin>,
}

impl Loaded {
    /// Where the value of a dotted key came from; None for a key that does not exist.
    pub fn origin(&self, dotted: &str) -> Option<Origin> {
        let index = KEYS.iter().position(|key| key.dotted() == dotted)?;
        self.origins.get(index).copied()
    }

    pub(super) fn settings(&self) -> impl Iterator<Item = (&'static Key, Origin)> {
        KEYS.iter().zip(self.origins.iter().copied())
    }
}

/// Loads the configuration. `explicit` is `--config`; `flags` are pairs of a dotted key and its text, such as
/// `("ingest.listen", "127.0.0.1:0")`, later ones over earlier ones.
pub fn load(
    explicit: Option<&Path>,
    environment: &Environment,
    flags: &[(&str, String)],
) -> Result<Loaded, ConfigError> {
    let mut layers = Layers::default();
    let path = environment.config_file(explicit)?;
    if let Some(path) = &path {
        let unreadable = |source| ConfigError::Unreadable {
            path: path.clone(),
            source,
        };
        let file = File::open(path).map_err(unreadable)?;
        let open = open_to_others(&file, path);
        let text = read_text(file, MAX_FILE_BYTES).map_err(unreadable)?;
        layers.add_file(path, &text);
        if layers.has_secret() {
            layers.warnings.extend(open);
        }
    }
    layers.add_variables(environment);
    layers.add_flags(flags, &environment.current_dir);
    layers.check_together(environment);
    layers.finish(path)
}

/// A file's text over the defaults, without any other layer; `path` is what messages say and relative paths start at.
pub fn load_text(path: &Path, text: &str) -> Result<Loaded, ConfigError> {
    let mut layers = Layers::default();
    layers.add_file(path, text);
    layers.check_together(&Environment::default());
    layers.finish(Some(path.to_owned()))
}

pub(super) struct Layers {
    pub(super) config: Config,
    pub(super) origins: Vec<Origin>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
    /// Dotted keys with a bad value: what they would do together with others is not known.
    pub(super) bad: BTreeSet<String>,
}

impl Default for Layers {
    fn default() -> Self {
        Self {
            config: Config::default(),
            origins: vec![Origin::Default; KEYS.len()],
            problems: Vec::new(),
            warnings: Vec::new(),
            bad: BTreeSet::new(),
        }
    }
}

impl Layers {
    fn finish(self, file: Option<PathBuf>) -> Result<Loaded, ConfigError> {
        if !self.problems.is_empty() {
            return Err(ConfigError::Invalid(self.problems));
        }
        let Self {
            config,
            origins,
            warnings,
            ..
        } = self;
        Ok(Loaded {
            config,
            file,
            warnings,
            origins,
        })
    }

    fn has_secret(&self) -> bool {
        let set = |(key, origin): (&Key, &Origin)| key.secret && *origin != Origin::Default;
        KEYS.iter().zip(&self.origins).any(set)
    }

    fn add_file(&mut self, path: &Path, text: &str) {
        let line_of = |offset: usize| 1 + text.bytes().take(offset).filter(|b| *b == b'\n').count();
        let (table, errors) = DeTable::parse_recoverable(text);
        // The message only: the library's full text repeats the line, which may hold a secret.
        self.problems
            .extend(errors.iter().map(|error| Problem::Syntax {
                path: path.to_owned(),
                line: error.span().map_or(1, |span| line_of(span.start)),
                message: error.message().to_owned(),
            }));
        if !errors.is_empty() {
            return;
        }
        for (section, value) in table.get_ref() {
            let name = section.get_ref().as_ref();
            let line = line_of(section.span().start);
            let path = path.to_owned();
            let known = SECTIONS.iter().find(|(known, _)| *known == name);
            match (known, value.get_ref()) {
                (Some((section, _)), DeValue::Table(keys)) => {
                    self.add_section(section, keys, &path, text, &line_of);
                }
                (Some(_), _) => {
                    self.problems.push(Problem::NotASection {
                        section: name.to_owned(),
                        path,
                        line,
                    });
                }
                (None, DeValue::Table(_)) => {
                    let (section, hint) = (name.to_owned(), hint::section(name));
                    self.problems.push(Problem::UnknownSection {
                        section,
                        path,
                        line,
                        hint,
                    });
                }
                (None, _) => {
                    let (key, hint) = (name.to_owned(), hint::key_without_section(name));
                    self.problems.push(Problem::NoSection {
                        key,
                        path,
                        line,
                        hint,
                    });
                }
            }
        }
    }

    fn add_section(
        &mut self,
        section: &'static str,
        keys: &DeTable<'_>,
        path: &Path,
        text: &str,
        line_of: &dyn Fn(usize) -> usize,
    ) {
        let base = path.parent().unwrap_or(Path::new("/"));
        for (name, value) in keys {
            let line = line_of(name.span().start);
            let name = name.get_ref().as_ref();
            let path = path.to_owned();
            let index = KEYS
                .iter()
                .position(|key| key.section == section && key.name == name);
            let Some((index, key)) = index.and_then(|index| Some((index, KEYS.get(index)?))) else {
                let (key, hint) = (name.to_owned(), hint::key(section, name));
                self.problems.push(Problem::UnknownKey {
                    key,
                    section: section.to_owned(),
                    path,
                    line,
                    hint,
                });
                continue;
            };
            let given = text.get(value.span()).unwrap_or_default();
            let place = Place::File {
                section,
                key: key.name,
                path,
                line,
            };
            self.set(
                index,
                &raw(value.get_ref()),
                given,
                base,
                Origin::File { line },
                place,
            );
        }
    }

    /// A variable with the prefix but without `__` is not meant for the table.
    fn add_variables(&mut self, environment: &Environment) {
        for (name, value) in &environment.variables {
            if !name
                .strip_prefix(PREFIX)
                .is_some_and(|rest| rest.contains("__"))
            {
                continue;
            }
            let Some(index) = KEYS.iter().position(|key| key.variable() == *name) else {
                let (name, hint) = (name.clone(), hint::variable(name));
                self.problems.push(Problem::UnknownVariable { name, hint });
                continue;
            };
            let place = Place::Variable { name: name.clone() };
            let base = &environment.current_dir;
            self.set(
                index,
                &Raw::Word(value.clone()),
                &format!("{value:?}"),
                base,
                Origin::Environment,
                place,
            );
        }
    }

    fn add_flags(&mut self, flags: &[(&str, String)], base: &Path) {
        for (dotted, value) in flags {
            let key = (*dotted).to_owned();
            let Some(index) = KEYS.iter().position(|known| known.dotted() == *dotted) else {
                let hint = hint::dotted(dotted);
                self.problems.push(Problem::UnknownFlag { key, hint });
                continue;
            };
            let place = Place::Flag { key };
            self.set(
                index,
                &Raw::Word(value.clone()),
                &format!("{value:?}"),
                base,
                Origin::Flag,
                place,
            );
        }
    }

    fn set(
        &mut self,
        index: usize,
        raw: &Raw,
        given: &str,
        base: &Path,
        origin: Origin,
        place: Place,
    ) {
        let (Some(key), Some(slot)) = (KEYS.get(index), self.origins.get_mut(index)) else {
            return;
        };
        if key.set(&mut self.config, raw, base).is_some() {
            *slot = origin;
            return;
        }
        self.bad.insert(key.dotted());
        // A URL with a user in it holds a password.
        let tell = !key.secret && !given.contains('@');
        let given = Given(tell.then(|| given.to_owned()));
        self.problems.push(Problem::BadValue {
            given,
            place,
            expects: key.expects,
        });
    }
}

fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.as_ref().to_owned()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Raw::Other, Raw::Integer)
        }
        DeValue::Array(items) => Raw::List(items.iter().map(|item| raw(item.get_ref())).collect()),
        _ => Raw::Other,
    }
}
