//! Lists of the query door: read page by page, shown as a table or as JSON lines.

use std::io::{self, Write as _};
use std::time::Duration;

use form_urlencoded::Serializer;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::client::Client;
use super::item::{Item, Page};
use super::screen::{Column, Field, Screen, Tone, moment};
use super::{CliError, Context};
use crate::clock::now;

/// Items asked for at a time.
pub const PAGE: usize = 500;

/// The doors of the running daemon.
pub fn client(context: &Context) -> Result<Client, CliError> {
    let loaded = context.load(&[])?;
    Client::new(context, &loaded)
}

/// Reads a list to its end, or to so many items.
pub fn list(
    client: &Client,
    path: &str,
    asked: &[(&str, Option<String>)],
    limit: usize,
) -> Result<Vec<Item>, CliError> {
    let mut found = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut place = vec![("limit", (limit - found.len()).clamp(1, PAGE).to_string())];
        place.extend(cursor.take().map(|cursor| ("cursor", cursor)));
        let page: Page = client.get(&with_query(path, asked, &place), Duration::ZERO)?;
        found.extend(items(&page));
        cursor = page.next.as_str().map(str::to_owned);
        if cursor.is_none() || found.len() >= limit {
            found.truncate(limit);
            return Ok(found);
        }
    }
}

/// The items of a page.
pub fn items(page: &Page) -> Vec<Item> {
    page.items.iter().map(|raw| Item::of(raw)).collect()
}

/// A path with those parameters that were given.
pub fn with_query(
    path: &str,
    asked: &[(&str, Option<String>)],
    place: &[(&str, String)],
) -> String {
    let mut query = Serializer::new(String::new());
    for (name, value) in asked {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    for (name, value) in place {
        query.append_pair(name, value);
    }
    format!("{path}?{}", query.finish())
}

/// An id as a part of a path.
pub fn encoded(id: &str) -> impl std::fmt::Display {
    utf8_percent_encode(id, NON_ALPHANUMERIC)
}

/// Prints a list: JSON lines, or a table. `nothing` is told where there is nothing, on stderr.
pub fn print(
    context: &Context,
    items: &[Item],
    columns: &[Column],
    row: impl Fn(&Item, Screen) -> Vec<Field>,
    nothing: &str,
) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    if context.common.json {
        for item in items {
            writeln!(out, "{}", item.line())?;
        }
        return Ok(());
    }
    if items.is_empty() {
        eprintln!("{nothing}");
        return Ok(());
    }
    let screen = Screen::of(context);
    let rows = items.iter().map(|item| row(item, screen)).collect();
    writeln!(out, "{}", screen.table(columns, rows))?;
    Ok(())
}

/// A time: short on a terminal, whole elsewhere.
pub fn time(at: String, screen: Screen) -> Field {
    let text = match screen.width {
        Some(_) => moment(&at, &now().to_string()),
        None => at,
    };
    Field::new(text, Tone::Quiet)
}

/// The heading of a column of times.
pub fn time_heading(name: &'static str, name_utc: &'static str, context: &Context) -> Column {
    let is_short = Screen::of(context).width.is_some();
    super::screen::column(if is_short { name_utc } else { name })
}

/// How Waldo's word for a status or a KYC outcome is meant.
pub fn outcome(word: String) -> Field {
    let tone = match word.as_str() {
        "APPROVED" | "PASSED" => Tone::Good,
        "REJECTED" => Tone::Bad,
        "REVIEW" | "PENDING" => Tone::Odd,
        _ => Tone::Plain,
    };
    Field::new(word, tone)
}
