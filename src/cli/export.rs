//! `export`: events, customers or requests as JSON lines or CSV, straight from the file.
//!
//! JSON lines are what the query API shows, every digit kept. CSV is for spreadsheets: a text that a spreadsheet would
//! take for a formula gets a `'` before it, so CSV is not for reading back.

use std::io::{self, BufWriter, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::value::{RawValue, to_raw_value};

use super::file::must_exist;
use super::item::Item;
use super::progress::{Counted, Work};
use super::{CliError, Context, values};
use crate::clock::now;
use crate::domain::Seq;
use crate::domain::json::{Json, Parts};
use crate::store::{Exported, Exports, FILE_NAME, export_file};

/// Write events, customers or requests as JSON lines or CSV. Works beside a running daemon.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: waldo-syncd export --customers --format csv --output customers.csv"
)]
pub struct ExportArgs {
    /// Events with their payloads (the default)
    #[arg(long, conflicts_with_all = ["customers", "requests"])]
    events: bool,
    /// Customers
    #[arg(long, conflicts_with = "requests")]
    customers: bool,
    /// Requests
    #[arg(long)]
    requests: bool,
    /// jsonl keeps all; csv is for spreadsheets and has no payloads
    #[arg(long, value_name = "WORD", default_value = "jsonl")]
    format: Format,
    /// Only what events after this one say or changed
    #[arg(long, value_name = "SEQ", default_value = "0", value_parser = values::seq)]
    after: u64,
    /// Write to this new file (mode 0600) and not to standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What a spreadsheet may take for the beginning of a formula, also in full width.
const FORMULA_MARKS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Jsonl,
    Csv,
}

const EVENT_COLUMNS: &[&str] = &[
    "seq",
    "receivedAt",
    "source",
    "event",
    "customerId",
    "externalId",
    "requestId",
    "evaluation",
    "origin",
    "originEvidence",
    "disposition",
    "duplicateOf",
    "problems",
    "digest",
    "chain",
];
const CUSTOMER_COLUMNS: &[&str] = &[
    "customerId",
    "externalId",
    "uri",
    "status",
    "kyc",
    "fraudScore",
    "flagged",
    "warnings",
    "warningTags",
    "evaluations",
    "decidedBy",
    "firstSeenAt",
    "updatedAt",
    "lastSeq",
    "version",
];
const REQUEST_COLUMNS: &[&str] = &[
    "requestId",
    "operation",
    "customerId",
    "externalId",
    "state",
    "evaluations",
    "expects",
    "settledBy",
    "overdue",
    "registeredAt",
    "firstEventAt",
    "settledAt",
    "deadlineAt",
    "context",
    "events",
];

pub fn run(context: &Context, args: ExportArgs) -> Result<(), CliError> {
    let loaded = context.load(&[])?;
    let path = context.data_dir(&loaded)?.join(FILE_NAME);
    must_exist(&path)?;
    let (what, columns) = match (args.customers, args.requests) {
        (true, _) => (Exports::Customers, CUSTOMER_COLUMNS),
        (_, true) => (Exports::Requests, REQUEST_COLUMNS),
        _ => (Exports::Events, EVENT_COLUMNS),
    };
    let give_up = loaded.config.requests.give_up_after.as_millis();
    let writer = Lines {
        columns: (args.format == Format::Csv).then_some(columns),
        give_up_after_ms: i64::try_from(give_up).unwrap_or(i64::MAX),
    };
    let after = Seq(args.after);
    let Some(output) = &args.output else {
        // Lines and a bar on one terminal would run into each other.
        let work = match io::stdout().is_terminal() {
            true => Work::unseen(),
            false => Work::begin("looking at the file"),
        };
        let out = BufWriter::new(io::stdout().lock());
        writer.write(&path, what, after, out, &work)?;
        work.end();
        return Ok(());
    };
    let failed =
        |error: io::Error| CliError::Failed(format!("cannot write {}: {error}", output.display()));
    if output.exists() {
        return Err(CliError::Usage(format!(
            "{} is there already; name a new file",
            output.display()
        )));
    }
    let folder = output
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(CliError::Failed(format!(
            "cannot write {}: there is no directory {}; make it first",
            output.display(),
            folder.display()
        )));
    }
    // All of it or nothing is seen under the name; the one it has until then is nobody's business.
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed(io::Error::other("nothing can be made there")),
        kind => failed(kind.into()),
    })?;
    let work = Work::begin("looking at the file");
    writer.write(
        &path,
        what,
        after,
        BufWriter::new(file.as_file_mut()),
        &work,
    )?;
    work.end();
    file.as_file().sync_all().map_err(failed)?;
    file.persist_noclobber(output)
        .map_err(|error| failed(error.error))?;
    Ok(())
}

struct Lines {
    /// The columns of CSV; none for JSON lines.
    columns: Option<&'static [&'static str]>,
    give_up_after_ms: i64,
}

impl Lines {
    fn write(
        &self,
        path: &Path,
        what: Exports,
        after: Seq,
        mut out: impl Write,
        work: &Work,
    ) -> Result<(), CliError> {
        if let Some(columns) = self.columns {
            write!(out, "{}\r\n", columns.join(","))?;
        }
        let mut take = |thing: Exported| -> Result<(), CliError> {
            let raw: serde_json::Result<Box<RawValue>> = match &thing {
                Exported::Event(view) => serde_json::from_slice(&view.to_json()),
                Exported::Customer(customer) => to_raw_value(customer),
                Exported::Request(row) => {
                    let request = &row.request;
                    let view = request.view(now(), self.give_up_after_ms, row.events.clone());
                    to_raw_value(&view)
                }
            };
            let raw = raw.map_err(|error| CliError::Failed(error.to_string()))?;
            let item = Item::of(&raw);
            match self.columns {
                Some(columns) => write!(out, "{}\r\n", csv_line(item.line(), columns))?,
                None => writeln!(out, "{}", item.line())?,
            }
            Ok(())
        };
        let counted = match what {
            Exports::Events => Counted::LookedAt,
            _ => Counted::Written,
        };
        export_file(path, what, after, &mut take, &mut |done, of| {
            work.tell(counted, done, of);
        })?;
        out.flush()?;
        Ok(())
    }
}

/// One line of CSV (RFC 4180). Lists and objects go as JSON.
fn csv_line(json: &str, columns: &[&str]) -> String {
    let parts = Parts::of(json).ok();
    let Some(members) = parts.as_ref().and_then(|parts| parts.value().members()) else {
        return String::new();
    };
    let cells = columns
        .iter()
        .map(|name| members.get(name).map_or_else(String::new, cell));
    cells.collect::<Vec<_>>().join(",")
}

fn cell(value: Json<'_>) -> String {
    match value.type_name() {
        "a number" | "a boolean" => value.text().to_owned(),
        "a string" => quoted(&value.string().unwrap_or(value.text().into())),
        _ => quoted(value.text()),
    }
}

/// A text in quotes. What a spreadsheet would take for a formula is made a text by a `'`.
fn quoted(text: &str) -> String {
    let formula = text.starts_with(FORMULA_MARKS);
    let mark = if formula { "'" } else { "" };
    format!("\"{mark}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_and_each_is_one_cell() {
        let line = csv_line(
            r#"{"a":"=1+1","b":"x,\"y\"\n","c":null,"d":0.30,"e":["=z"],"f":"@SUM(A1)","g":"-2"}"#,
            &["a", "b", "c", "d", "e", "f", "g", "missing"],
        );
        assert_eq!(
            line,
            "\"'=1+1\",\"x,\"\"y\"\"\n\",,0.30,\"[\"\"=z\"\"]\",\"'@SUM(A1)\",\"'-2\","
        );
    }
}
