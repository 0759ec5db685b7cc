//! How far a long work is, for whoever waits at a terminal: a bar with what is left, and the figures at the end. Where
//! standard error is no terminal nothing of it is shown.

use std::cell::RefCell;
use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};

use crate::store::Step;

/// How often the display moves by itself.
const TICK: Duration = Duration::from_millis(200);
/// A work that took less is not worth its figures.
const WORTH_TELLING: Duration = Duration::from_secs(1);

/// What is shown where nothing is counted.
const SPINNER: &str = "{spinner} {msg}, {elapsed} so far";

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    /// Bytes that are copied.
    Copied,
    /// Nothing is counted: SQLite reads the structure.
    Structure,
    /// Rows that are held against their indexes.
    Compared,
    /// Rows that are read.
    Read,
    /// Bytes that are read for their digest.
    Hashed,
    /// Events that are checked.
    Checked,
    /// Events that are folded.
    Folded,
    /// Events that are looked at.
    LookedAt,
    /// Lines that are written.
    Written,
    /// Customers or requests that Waldo is asked about.
    AskedAbout,
}

impl From<Step> for Counted {
    fn from(step: Step) -> Self {
        match step {
            Step::Copying => Self::Copied,
            Step::Structure => Self::Structure,
            Step::Comparing => Self::Compared,
            Step::Reading => Self::Read,
            Step::Hashing => Self::Hashed,
            Step::Checking => Self::Checked,
            Step::Folding => Self::Folded,
            Step::Erasing => Self::LookedAt,
        }
    }
}

impl Counted {
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Copied => ("bytes", "copied"),
            Self::Structure => ("parts of the structure", "read"),
            Self::Compared => ("rows", "compared with their indexes"),
            Self::Read => ("rows", "read"),
            Self::Hashed => ("bytes", "read for the digest"),
            Self::Checked => ("events", "checked"),
            Self::Folded => ("events", "folded"),
            Self::LookedAt => ("events", "looked at"),
            Self::Written => ("lines", "written"),
            Self::AskedAbout => ("questions", "asked"),
        }
    }

    /// What is said of it where nothing is counted.
    fn uncounted(self) -> String {
        match self {
            Self::Structure => "reading the structure of the file".to_owned(),
            Self::Read => "reading the rows".to_owned(),
            _ => {
                let (unit, verb) = self.words();
                format!("{unit} {verb}")
            }
        }
    }

    fn template(self, is_counted: bool) -> &'static str {
        match self {
            _ if !is_counted => SPINNER,
            Self::Copied | Self::Hashed => {
                "{bar:30} {bytes} of {total_bytes} {msg}, {elapsed} so far, {eta} left"
            }
            _ => "{bar:30} {human_pos} of {human_len} {msg}, {elapsed} so far, {eta} left",
        }
    }
}

/// A step that was counted: what, since when, how much.
struct Part {
    counted: Counted,
    /// Whether there is a number to be reached.
    is_counted: bool,
    began: Instant,
    took: Duration,
    done: u64,
}

/// A long work at its terminal.
pub(super) struct Work {
    bar: ProgressBar,
    /// Whether it is done elsewhere and only looked at now and then, so that no figure is the whole.
    is_elsewhere: bool,
    parts: RefCell<Vec<Part>>,
}

impl Work {
    /// Begins to show it; `what` is said until something is counted.
    pub(super) fn begin(what: &'static str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(what);
        if let Ok(style) = ProgressStyle::with_template(SPINNER) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(TICK);
        Self {
            bar,
            is_elsewhere: false,
            parts: RefCell::default(),
        }
    }

    /// Begins to show a work that somebody else does.
    pub(super) fn elsewhere(what: &'static str) -> Self {
        Self {
            is_elsewhere: true,
            ..Self::begin(what)
        }
    }

    /// A work of which nothing is shown, such as one that writes to the same terminal.
    pub(super) fn unseen() -> Self {
        Self {
            bar: ProgressBar::hidden(),
            is_elsewhere: false,
            parts: RefCell::default(),
        }
    }

    /// Shows how far it is: done, of.
    pub(super) fn tell(&self, counted: impl Into<Counted>, done: u64, of: u64) {
        let counted = counted.into();
        let mut parts = self.parts.borrow_mut();
        let is_counted = of > 0;
        let is_new = parts
            .last()
            .is_none_or(|part| (part.counted, part.is_counted) != (counted, is_counted));
        if is_new {
            self.show(counted, is_counted);
            // What nothing is counted of ends when something else begins.
            if let Some(before) = parts.last_mut().filter(|part| part.done == 0) {
                before.took = before.began.elapsed();
            }
            parts.push(Part {
                counted,
                is_counted,
                began: Instant::now(),
                took: Duration::ZERO,
                done: 0,
            });
        }
        if let Some(part) = parts.last_mut() {
            part.took = part.began.elapsed();
            part.done = done;
        }
        self.bar.set_length(of);
        self.bar.set_position(done);
        if is_new {
            // At once, however short the step is.
            self.bar.force_draw();
        }
    }

    fn show(&self, counted: Counted, is_counted: bool) {
        let (unit, verb) = counted.words();
        if let Ok(style) = ProgressStyle::with_template(counted.template(is_counted)) {
            self.bar.set_style(style);
        }
        self.bar.set_message(match counted {
            _ if !is_counted => counted.uncounted(),
            Counted::Copied | Counted::Hashed => verb.to_owned(),
            _ => format!("{unit} {verb}"),
        });
        self.bar.reset_eta();
    }

    /// Whether anybody sees it.
    pub(super) fn is_seen(&self) -> bool {
        !self.bar.is_hidden()
    }

    /// Takes the display away and says what there was to do and how long it took.
    pub(super) fn end(self) {
        self.bar.finish_and_clear();
        if let Some(last) = self
            .parts
            .borrow_mut()
            .last_mut()
            .filter(|part| part.done == 0)
        {
            last.took = last.began.elapsed();
        }
        if self.bar.is_hidden() || !io::stderr().is_terminal() {
            return;
        }
        if self.is_elsewhere {
            let took = self.bar.elapsed();
            if took >= WORTH_TELLING {
                eprintln!("it took {}", HumanDuration(took));
            }
            return;
        }
        for part in self.parts.borrow().iter() {
            if part.took >= WORTH_TELLING {
                eprintln!("{}", figures(part.counted, part.done, part.took));
            }
        }
    }
}

fn figures(counted: Counted, done: u64, took: Duration) -> String {
    if done == 0 {
        return format!("{} took {}", counted.uncounted(), HumanDuration(took));
    }
    let (unit, verb) = counted.words();
    format!(
        "{verb} {} {unit} in {}, {} a second",
        HumanCount(done),
        HumanDuration(took),
        HumanCount(per_second(done, took))
    )
}

/// How many a second that is.
pub(super) fn per_second(done: u64, took: Duration) -> u64 {
    let micros = took.as_micros().max(1);
    u64::try_from(u128::from(done) * 1_000_000 / micros).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figures_say_what_and_how_long() {
        let told = figures(Counted::Checked, 5_000_000, Duration::from_secs(61));
        assert_eq!(
            told,
            "checked 5,000,000 events in 61 seconds, 81,967 a second"
        );
        let told = figures(Counted::Structure, 0, Duration::from_secs(7));
        assert_eq!(told, "reading the structure of the file took 7 seconds");
        let told = figures(Counted::Read, 0, Duration::from_secs(15));
        assert_eq!(told, "reading the rows took 15 seconds");
    }

    #[test]
    fn what_is_not_counted_has_no_bar_until_it_is() {
        let work = Work::unseen();
        let told = |of| {
            work.tell(Step::Reading, 0, of);
            work.bar.message()
        };
        assert_eq!(told(0), "reading the rows");
        assert_eq!(told(7), "rows read");
        assert_eq!(Counted::Read.template(false), SPINNER);
        assert_ne!(Counted::Read.template(true), SPINNER);
    }

    #[test]
    fn every_template_can_be_shown() {
        for counted in [Counted::Copied, Counted::Structure, Counted::Checked] {
            for is_counted in [false, true] {
                ProgressStyle::with_template(counted.template(is_counted)).unwrap();
            }
        }
    }
}
