//! The nearest known name for one that is not known.

use super::table::{KEYS, Key, SECTIONS};

/// Under this likeness a guess would puzzle more than it helps; the known names are listed instead.
const LIKE_ENOUGH: f64 = 0.75;

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<(&'a str, f64)> {
    let name = name.to_ascii_lowercase();
    known
        .map(|candidate| {
            (
                candidate,
                strsim::jaro_winkler(&name, &candidate.to_ascii_lowercase()),
            )
        })
        .max_by(|a, b| a.1.total_cmp(&b.1))
}

fn list<'a>(known: impl Iterator<Item = &'a str>) -> String {
    known.collect::<Vec<_>>().join(", ")
}

pub(super) fn section(name: &str) -> String {
    let names = || SECTIONS.iter().map(|(known, _)| *known);
    match nearest(name, names()) {
        Some((near, likeness)) if likeness >= LIKE_ENOUGH => format!("did you mean [{near}]?"),
        _ => format!("known sections are {}", list(names())),
    }
}

/// The same key in another section is a better guess than a vaguely alike one in this section.
pub(super) fn key(section: &str, name: &str) -> String {
    let names = || {
        KEYS.iter()
            .filter(|key| key.section == section)
            .map(|key| key.name)
    };
    let near = nearest(name, names()).filter(|(_, likeness)| *likeness >= LIKE_ENOUGH);
    if let Some((near, _)) = near.filter(|(_, likeness)| *likeness >= 0.9) {
        return format!("did you mean \"{near}\"?");
    }
    if let Some(key) = KEYS.iter().find(|key| key.name.eq_ignore_ascii_case(name)) {
        return format!(
            "did you mean \"{}\" in section [{}]?",
            key.name, key.section
        );
    }
    match near {
        Some((near, _)) => format!("did you mean \"{near}\"?"),
        None => format!("known keys there are {}", list(names())),
    }
}

/// Whoever left the section out may have meant it in the name, as in `ingest_listen`.
pub(super) fn key_without_section(name: &str) -> String {
    let with_section = |key: &Key| format!("{}_{}", key.section, key.name);
    let long: Vec<String> = KEYS.iter().map(with_section).collect();
    let names = KEYS.iter().map(|key| key.name);
    let Some((near, likeness)) = nearest(name, names.chain(long.iter().map(String::as_str))) else {
        return String::new();
    };
    let meant = |key: &&Key| key.name == near || with_section(key) == near;
    let keys: Vec<&Key> = KEYS.iter().filter(meant).collect();
    let homes: Vec<&str> = keys.iter().map(|key| key.section).collect();
    let key = format!(
        "\"{}\" in section [{}]",
        keys.first().map_or(near, |key| key.name),
        homes.join("] or [")
    );
    if likeness >= LIKE_ENOUGH {
        return format!("did you mean {key}?");
    }
    let sections = list(SECTIONS.iter().map(|(known, _)| *known));
    format!("the nearest key is {key}; known sections are {sections}")
}

pub(super) fn variable(name: &str) -> String {
    let names: Vec<String> = KEYS.iter().map(|key| key.variable()).collect();
    did_you_mean(nearest(name, names.iter().map(String::as_str)))
}

pub(super) fn dotted(name: &str) -> String {
    let names: Vec<String> = KEYS.iter().map(|key| key.dotted()).collect();
    did_you_mean(nearest(name, names.iter().map(String::as_str)))
}

fn did_you_mean(near: Option<(&str, f64)>) -> String {
    near.map_or_else(String::new, |(near, _)| format!("did you mean {near}?"))
}
