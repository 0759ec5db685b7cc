//! The beginning of an SQLite file, read without opening it as a database.

use std::fs::File;
use std::io::{self, Read as _};

use super::schema::APPLICATION_ID;

/// What the first bytes of a file say of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Header {
    /// Whether it is a database of ours.
    pub ours: bool,
    /// The schema it has.
    pub version: i32,
}

impl Header {
    /// Reads it from an open file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn read(mut file: File) -> io::Result<Self> {
        let mut bytes = [0; 72];
        match file.read_exact(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(Self::default());
            }
            other => other?,
        }
        let number = |at: usize| {
            let four = bytes.get(at..at + 4).and_then(|four| four.try_into().ok());
            four.map_or(0, i32::from_be_bytes)
        };
        Ok(Self {
            ours: bytes.starts_with(b"SQLite format 3\0") && number(68) == APPLICATION_ID,
            version: number(60),
        })
    }
}
