//! What was found, and how it is told.

use std::io::Write;

use serde::Serialize;

use crate::cli::CliError;
use crate::cli::screen::printable;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Ok,
    Warning,
    Problem,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding {
    check: &'static str,
    level: Level,
    finding: String,
    /// What to do; nothing where all is well.
    advice: Option<String>,
}

#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    pub(super) fn ok(&mut self, check: &'static str, finding: impl Into<String>) {
        self.add(check, Level::Ok, finding.into(), None);
    }

    pub(super) fn warn(&mut self, check: &'static str, finding: impl Into<String>, advice: &str) {
        self.add(check, Level::Warning, finding.into(), Some(advice));
    }

    pub(super) fn problem(
        &mut self,
        check: &'static str,
        finding: impl Into<String>,
        advice: &str,
    ) {
        self.add(check, Level::Problem, finding.into(), Some(advice));
    }

    pub(super) fn add(
        &mut self,
        check: &'static str,
        level: Level,
        finding: String,
        advice: Option<&str>,
    ) {
        let advice = advice.filter(|text| !text.is_empty()).map(str::to_owned);
        self.0.push(Finding {
            check,
            level,
            finding: printable(&finding).into_owned(),
            advice,
        });
    }

    /// One line for programs or two for people each; then whether anything is wrong.
    pub(super) fn tell(&self, out: &mut impl Write, json: bool) -> Result<(), CliError> {
        for finding in &self.0 {
            if json {
                let line = serde_json::to_string(finding)
                    .map_err(|error| CliError::Failed(error.to_string()))?;
                writeln!(out, "{line}")?;
                continue;
            }
            let mark = match finding.level {
                Level::Ok => "ok      ",
                Level::Warning => "warning ",
                Level::Problem => "PROBLEM ",
            };
            writeln!(out, "{mark} {:<12} {}", finding.check, finding.finding)?;
            if let Some(advice) = &finding.advice {
                writeln!(out, "         {:<12} → {advice}", "")?;
            }
        }
        let problems = self.0.iter().filter(|one| one.level == Level::Problem);
        match problems.count() {
            0 => Ok(()),
            1 => Err(CliError::Failed("there is 1 problem".to_owned())),
            many => Err(CliError::Failed(format!("there are {many} problems"))),
        }
    }
}
