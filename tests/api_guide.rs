//! docs/API.md says what is true.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;

use waldo_syncd::door::Code;

fn guide() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/API.md");
    fs::read_to_string(path).expect("the guide")
}

#[test]
fn the_table_of_problems_is_the_list_in_the_code() {
    let guide = guide();
    let (_, table) = guide.split_once("| Status | `code` | Meaning |").unwrap();
    let documented: Vec<(&str, &str)> = table
        .lines()
        .skip(2)
        .map_while(|line| {
            let mut cells = line.split('|').map(str::trim).skip(1);
            Some((cells.next()?, cells.next()?.trim_matches('`')))
        })
        .collect();
    let known: Vec<(String, &str)> = Code::ALL
        .iter()
        .map(|code| (code.status().as_u16().to_string(), code.as_str()))
        .collect();
    let known: Vec<(&str, &str)> = known.iter().map(|(a, b)| (a.as_str(), *b)).collect();
    assert_eq!(documented, known);
}
