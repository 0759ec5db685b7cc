//! Where output goes: a terminal with a width and perhaps colours, or a pipe that gets everything whole.
//!
//! Invariant: nothing that came from outside reaches a terminal unescaped, and nothing but a terminal gets an escape of
//! ours.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _};

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table};

use super::Context;

/// The width that a terminal has which does not tell.
const WIDTH: usize = 80;
/// An id is never shortened to less: some of its beginning, some of its end.
const SHORTEST_ID: usize = 9;
/// Spaces between two columns.
const GAP: usize = 2;

/// What is known of the place that output goes to.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Columns; `None` where it is no terminal.
    pub width: Option<usize>,
    /// Whether to use colours.
    pub colour: bool,
}

/// How a text is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// As any other.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Odd,
    /// Not as it should be.
    Bad,
    /// Beside the point.
    Quiet,
    /// A heading.
    Head,
}

/// One field of a table.
#[derive(Clone, Debug, Default)]
pub struct Field {
    /// What it says; nothing in it is dangerous to a terminal.
    pub text: String,
    /// How it is meant.
    pub tone: Tone,
}

impl Field {
    /// A text with a meaning.
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }
}

impl From<String> for Field {
    fn from(text: String) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its heading.
    pub name: &'static str,
    /// Whether its texts are ids, which a terminal may show shortened.
    pub is_id: bool,
}

/// A column that is shown whole.
pub const fn column(name: &'static str) -> Column {
    Column { name, is_id: false }
}

/// A column of ids.
pub const fn ids(name: &'static str) -> Column {
    Column { name, is_id: true }
}

impl Screen {
    /// What standard output is.
    pub fn of(context: &Context) -> Self {
        let variables = &context.environment.variables;
        let said = |name| variables.get(name).map_or("", String::as_str);
        let is_terminal = io::stdout().is_terminal();
        let width = Table::new().width().map_or(WIDTH, usize::from);
        Self {
            width: is_terminal.then_some(width.max(40)),
            colour: is_terminal && said("NO_COLOR").is_empty() && said("TERM") != "dumb",
        }
    }

    /// A table, ids shortened where a terminal is too narrow for it.
    pub fn table(self, columns: &[Column], mut rows: Vec<Vec<Field>>) -> String {
        self.shorten_ids(columns, &mut rows);
        let mut table = self.bare();
        table.set_header(columns.iter().map(|column| {
            let head = Field::new(column.name, Tone::Head);
            self.cell(&head)
        }));
        for row in &rows {
            table.add_row(row.iter().map(|field| self.cell(field)));
        }
        table.trim_fmt()
    }

    /// Names with what they are.
    pub fn facts(self, facts: Vec<(String, Field)>) -> String {
        let mut table = self.bare();
        for (name, field) in facts {
            table.add_row([self.cell(&Field::new(name, Tone::Quiet)), self.cell(&field)]);
        }
        table.trim_fmt()
    }

    /// A line of fields of fixed widths, for what is shown as it comes. The last field is not padded.
    pub fn line(self, fields: &[Field], widths: &[usize]) -> String {
        let mut line = String::new();
        for (place, field) in fields.iter().enumerate() {
            let text = match (self.width, widths.get(place)) {
                (Some(_), Some(width)) => {
                    let text = shortened(&field.text, *width);
                    let room = width.saturating_sub(columns_of(&text));
                    format!("{text}{}", " ".repeat(room))
                }
                _ => field.text.clone(),
            };
            if place > 0 {
                line.push_str("  ");
            }
            line.push_str(&self.painted(&text, field.tone));
        }
        line.trim_end().to_owned()
    }

    /// A text in its colour.
    pub fn painted(self, text: &str, tone: Tone) -> String {
        let code = match tone {
            _ if !self.colour || text.trim().is_empty() => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Good => "32",
            Tone::Odd => "33",
            Tone::Bad => "31;1",
            Tone::Quiet => "2",
            Tone::Head => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }

    /// A text broken between words to fit beside an indent, further lines indented as well.
    pub fn wrapped(self, text: &str, indent: usize) -> String {
        let Some(width) = self.width else {
            return text.to_owned();
        };
        let room = width.saturating_sub(indent).max(20);
        let mut lines = vec![String::new()];
        let mut used = 0;
        for word in text.split(' ') {
            for (part, piece) in pieces(word, room).into_iter().enumerate() {
                let long = columns_of(&piece);
                let gap = usize::from(used > 0 && part == 0);
                if used > 0 && used + gap + long > room {
                    lines.push(String::new());
                    used = 0;
                } else if gap > 0 {
                    push(&mut lines, " ");
                    used += 1;
                }
                push(&mut lines, &piece);
                used += long;
            }
        }
        lines.join(&format!("\n{}", " ".repeat(indent)))
    }

    fn bare(self) -> Table {
        let mut table = Table::new();
        table.load_style(NOTHING).force_no_tty();
        table.style_text_only();
        if let Some(width) = self.width {
            table
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(u16::try_from(width).unwrap_or(u16::MAX));
        }
        if self.colour {
            table.enforce_styling();
        }
        table
    }

    fn cell(self, field: &Field) -> Cell {
        let cell = Cell::new(&field.text);
        match field.tone {
            Tone::Plain => cell,
            Tone::Good => cell.fg(Color::DarkGreen),
            Tone::Odd => cell.fg(Color::DarkYellow),
            Tone::Bad => cell.fg(Color::DarkRed).add_attribute(Attribute::Bold),
            Tone::Quiet => cell.add_attribute(Attribute::Dim),
            Tone::Head => cell.add_attribute(Attribute::Bold),
        }
    }

    fn shorten_ids(self, columns: &[Column], rows: &mut [Vec<Field>]) {
        let Some(width) = self.width else {
            return;
        };
        let widest = |rows: &[Vec<Field>], place: usize, name: &str| {
            let fields = rows.iter().filter_map(|row| row.get(place));
            let texts = fields.map(|field| columns_of(&field.text));
            texts.max().unwrap_or(0).max(columns_of(name))
        };
        let mut widths: Vec<_> = columns
            .iter()
            .enumerate()
            .map(|(place, column)| widest(rows, place, column.name))
            .collect();
        let gaps = GAP * columns.len();
        // The widest id gives way first.
        loop {
            let over = (widths.iter().sum::<usize>() + gaps).saturating_sub(width);
            let longest = columns
                .iter()
                .zip(&widths)
                .enumerate()
                .filter(|(_, (column, width))| column.is_id && **width > SHORTEST_ID)
                .max_by_key(|(_, (_, width))| **width)
                .map(|(place, _)| place);
            let (Some(place), true) = (longest, over > 0) else {
                break;
            };
            if let Some(width) = widths.get_mut(place) {
                *width -= 1;
            }
        }
        for row in rows {
            for ((field, column), width) in row.iter_mut().zip(columns).zip(&widths) {
                if column.is_id {
                    field.text = shortened(&field.text, *width);
                }
            }
        }
    }
}

fn push(lines: &mut [String], text: &str) {
    if let Some(line) = lines.last_mut() {
        line.push_str(text);
    }
}

/// A word in pieces that fit; most words are one.
fn pieces(word: &str, room: usize) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for char in word.chars() {
        let long = columns_of(char.encode_utf8(&mut [0; 4]));
        if used + long > room {
            pieces.push(String::new());
            used = 0;
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(char);
        }
        used += long;
    }
    pieces
}

fn columns_of(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}

/// A text that fits: the beginning and the end of one that is too long.
pub fn shortened(text: &str, room: usize) -> String {
    if columns_of(text) <= room || room < 3 {
        return text.to_owned();
    }
    let (mut head, mut tail) = (String::new(), Vec::new());
    let mut left = room - 1;
    let mut chars = text.chars();
    // From both ends in turn, so that wide characters need no division.
    let mut from_the_front = true;
    while let Some(char) = if from_the_front {
        chars.next()
    } else {
        chars.next_back()
    } {
        let long = columns_of(char.encode_utf8(&mut [0; 4]));
        if long > left {
            break;
        }
        left -= long;
        if from_the_front {
            head.push(char);
        } else {
            tail.push(char);
        }
        from_the_front = !from_the_front;
    }
    head.push('…');
    head.extend(tail.into_iter().rev());
    head
}

/// A text with all that could steer a terminal, break a line or turn the order of its characters made visible.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hostile) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    for char in text.chars() {
        if is_hostile(char) {
            shown.extend(char.escape_default());
        } else {
            shown.push(char);
        }
    }
    Cow::Owned(shown)
}

/// Controls; marks that turn or hide what stands beside them; separators that some terminals break lines at; tags.
fn is_hostile(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{061c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Bytes in words.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut tenths = bytes.saturating_mul(10) / 1024;
    let mut unit = 0;
    while tenths >= 10_240 && unit + 1 < UNITS.len() {
        tenths /= 1024;
        unit += 1;
    }
    let unit = UNITS.get(unit).copied().unwrap_or_default();
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

/// How long something takes or is ago, in the largest unit that says enough.
pub fn span(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A moment (RFC 3339) as a terminal shows it: month and day with the time, as all lists have them, in UTC; another year
/// with its date only, as `ls` does.
pub fn moment(at: &str, now: &str) -> String {
    let same_year = at.get(..4) == now.get(..4);
    match (at.get(5..10), at.get(11..19), at.get(..10)) {
        (Some(day), Some(time), _) if same_year => format!("{day} {time}"),
        (_, _, Some(date)) => date.to_owned(),
        _ => at.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Screen = Screen {
        width: None,
        colour: false,
    };
    const NARROW: Screen = Screen {
        width: Some(40),
        colour: false,
    };

    #[test]
    fn what_steers_a_terminal_is_made_visible() {
        assert_eq!(printable("c\u{1b}[31m\n\u{9b}x"), "c\\u{1b}[31m\\n\\u{9b}x");
        assert_eq!(
            printable("a\u{202e}b\u{2066}c\u{200b}"),
            "a\\u{202e}b\\u{2066}c\\u{200b}"
        );
        // Joiners and marks belong to how people write.
        for fine in ["Zoë", "नमस्ते", "👩\u{200d}🚀", "日本"] {
            assert_eq!(printable(fine), fine);
        }
    }

    #[test]
    fn ids_keep_both_ends_and_only_a_terminal_shortens_them() {
        assert_eq!(shortened("71c0de5a19b24f0e83d6a4b1", 9), "71c0…a4b1");
        assert_eq!(shortened("short", 9), "short");
        assert_eq!(columns_of(&shortened("日本日本日本日本", 9)), 9);
        let id = "71c0de5a19b24f0e83d6a4b1";
        let rows = || {
            vec![vec![
                id.to_owned().into(),
                id.to_owned().into(),
                "x".repeat(10).into(),
            ]]
        };
        let columns = [ids("ONE"), column("WHOLE"), ids("TWO")];
        assert!(
            WIDE.table(&columns, rows())
                .contains(&format!("{id}  {id}"))
        );
        let columns = [ids("ONE"), column("TWO")];
        let rows = vec![vec![id.to_owned().into(), "x".repeat(20).into()]];
        let table = NARROW.table(&columns, rows);
        assert!(table.lines().all(|line| columns_of(line) <= 40), "{table}");
        assert!(
            table.contains('…') && table.contains(&"x".repeat(20)),
            "{table}"
        );
    }

    #[test]
    fn a_long_text_is_broken_between_words_and_indented() {
        let text = "status: PENDING → APPROVED; kyc: REVIEW → PASSED";
        assert_eq!(WIDE.wrapped(text, 4), text);
        assert_eq!(
            NARROW.wrapped(text, 4),
            "status: PENDING → APPROVED; kyc:\n    REVIEW → PASSED"
        );
        let long = NARROW.wrapped(&"x".repeat(100), 4);
        assert!(long.lines().all(|line| line.len() <= 40), "{long}");
    }

    #[test]
    fn sizes_and_spans_are_short() {
        let sizes = [12, 1024, 61_472_768, 5_000_000_000].map(bytes);
        assert_eq!(sizes, ["12 bytes", "1.0 KiB", "58.6 MiB", "4.6 GiB"]);
        assert_eq!(
            [90_000, 3_600_000, 90_000_000].map(span),
            ["90 s", "60 min", "25 h"]
        );
        assert_eq!(
            moment("2026-11-24T13:20:11.412Z", "2026-12-01"),
            "11-24 13:20:11"
        );
        assert_eq!(
            moment("2025-11-24T13:20:11.412Z", "2026-12-01"),
            "2025-11-24"
        );
    }
}
