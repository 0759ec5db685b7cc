//! Asks before something is replaced or destroyed.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::CliError;

/// Goes on only when the person at the terminal says yes, or has said so with `--yes`.
///
/// # Errors
/// When the answer is no, or when there is nobody to ask.
pub fn confirm(question: &str, yes: bool) -> Result<(), CliError> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(CliError::Usage(format!(
            "{question} There is no terminal to ask at: say --yes if so"
        )));
    }
    let mut to = io::stderr().lock();
    write!(to, "{question} [y/N] ")?;
    to.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(CliError::Failed("nothing was changed".to_owned()))
    }
}
