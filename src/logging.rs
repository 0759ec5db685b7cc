//! Log lines: as text, as JSON, or to the journal with its fields.
//!
//! Invariant: no body, secret or personal field is ever put into a log line, by any caller; here control characters
//! are taken out, so that no text from outside can forge a line.

use std::io::Write as _;

use log::{LevelFilter, Record};

use crate::config::{LogConfig, LogFormat};

/// Starts logging, once for the process.
///
/// # Errors
/// When the journal was asked for and is not there, or logging has started already.
pub fn start(config: &LogConfig) -> Result<(), String> {
    let level = config.level.parse().unwrap_or(LevelFilter::Info);
    let to_journal = systemd_journal_logger::connected_to_journal();
    let format = config.format.unwrap_or(if to_journal {
        LogFormat::Journal
    } else {
        LogFormat::Text
    });
    match format {
        LogFormat::Journal => {
            let journal = systemd_journal_logger::JournalLog::new()
                .map_err(|error| format!("cannot log to the journal: {error}"))?;
            let logger = Box::new(Ours { journal, level });
            log::set_boxed_logger(logger).map_err(|error| error.to_string())?;
            log::set_max_level(level);
            Ok(())
        }
        LogFormat::Text => start_lines(level, text_line),
        LogFormat::Json => start_lines(level, json_line),
    }
}

/// The module whose lines are ours.
const OURS: &str = "waldo_syncd";

/// The journal, with the same choice of lines as the other formats make.
struct Ours {
    journal: systemd_journal_logger::JournalLog,
    level: LevelFilter,
}

impl log::Log for Ours {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        let ours = metadata.target().starts_with(OURS);
        metadata.level()
            <= if ours {
                self.level
            } else {
                self.level.min(LevelFilter::Warn)
            }
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.journal.log(record);
        }
    }

    fn flush(&self) {
        self.journal.flush();
    }
}

fn start_lines(level: LevelFilter, line: fn(&Record<'_>) -> String) -> Result<(), String> {
    env_logger::Builder::new()
        .filter_level(level.min(LevelFilter::Warn))
        // Crates below us see paths and headers, secrets among them; only their warnings are for the log.
        .filter_module(OURS, level)
        .format(move |out, record| writeln!(out, "{}", line(record)))
        .try_init()
        .map_err(|error| error.to_string())
}

fn text_line(record: &Record<'_>) -> String {
    let message = printable(&record.args().to_string());
    format!("{} {:5} {message}", crate::clock::now(), record.level())
}

fn json_line(record: &Record<'_>) -> String {
    serde_json::json!({
        "time": crate::clock::now(),
        "level": record.level().as_str().to_ascii_lowercase(),
        "target": record.target(),
        "message": record.args().to_string(),
    })
    .to_string()
}

fn printable(text: &str) -> String {
    text.chars()
        .map(|char| if char.is_control() { '\u{fffd}' } else { char })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_from_outside_makes_no_line() {
        assert_eq!(
            printable("a\nERROR forged\u{1b}[31m"),
            "a\u{fffd}ERROR forged\u{fffd}[31m"
        );
    }
}
