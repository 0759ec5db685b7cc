//! Request heads, read from the raw bytes before hyper sees them.
//!
//! hyper drops one of the two headers when Content-Length and Transfer-Encoding come together, takes bare LF for a line
//! end and merges equal Content-Lengths; each of these is a way to make two servers see two different requests. What it
//! does not take it answers with an empty 400. The scanner follows the framing of one connection (head, body, head, ...),
//! judges each line of a head before hyper has any of it, and remembers its first finding.
//! Invariants: hyper gets whole lines of heads only, and each has passed the scanner; of a head that is refused it gets the
//! lines before the fault and an end, so that the answer takes its turn behind those of earlier requests. After a chunked
//! request the scanner stops, and the connection ends with that answer.

mod fault;
mod line;

pub use fault::Fault;
pub use line::check_host;

use line::{Version, decimal, may_begin_a_request, parse_field, parse_request_line};

/// Ends a head whose request line hyper has.
const END: &[u8] = b"\r\n";
/// Stands for a head of which hyper has nothing.
const WHOLE_HEAD: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

/// What stands behind a finding: the request must be refused, or may be served but is the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No handler may see it.
    Refuse(Fault),
    /// The framing of what follows is not known.
    ServeAndClose,
}

/// The one finding of a connection: the head it is about (counted from 0) and the verdict. It is the last head that may
/// be answered, so one finding stands for a whole queue of verdicts: earlier heads are clean, later ones never served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which head, from 0.
    pub head: u64,
    /// What is to be done with it.
    pub verdict: Verdict,
}

/// What hyper gets of the bytes that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Passing {
    /// All of them.
    AsTheyCame,
    /// These in their place; none where the beginning of a line is held back.
    Instead(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the request line.
    Start,
    /// After the request line.
    Fields,
    /// Inside a body of which this many bytes are still to come.
    Body(u64),
    /// In what follows the head of a chunked request.
    Unframed,
    /// Behind a fault: with this hyper has a whole head, and it gets no more.
    Refused(&'static [u8]),
}

/// Follows the bytes of one connection.
#[derive(Debug)]
pub struct Scanner {
    max_fields: usize,
    max_head_bytes: usize,
    state: State,
    /// The beginning of a line whose end has not come yet: empty, and without memory, where heads come whole.
    held: Vec<u8>,
    heads: u64,
    head_bytes: usize,
    fields: usize,
    version: Version,
    length: Option<u64>,
    encoded: bool,
    finding: Option<Finding>,
}

impl Scanner {
    /// At the beginning of a connection.
    #[must_use]
    pub fn new(max_fields: usize, max_head_bytes: usize) -> Self {
        Self {
            max_fields,
            max_head_bytes,
            state: State::Start,
            held: Vec::new(),
            heads: 0,
            head_bytes: 0,
            fields: 0,
            version: Version::New,
            length: None,
            encoded: false,
            finding: None,
        }
    }

    /// Set once and final: nothing is read after it.
    #[must_use]
    pub fn finding(&self) -> Option<Finding> {
        self.finding
    }

    /// Whether a head was refused: nothing that follows it is for hyper.
    #[must_use]
    pub fn has_refused(&self) -> bool {
        matches!(self.state, State::Refused(_))
    }

    /// Whether a head has begun and not ended yet (true for ever once a head was found faulty).
    #[must_use]
    pub fn is_inside_head(&self) -> bool {
        self.head_bytes > 0
    }

    /// Whether nothing of a request is outstanding, as far as was read.
    #[must_use]
    pub fn is_between_requests(&self) -> bool {
        self.state == State::Start && self.head_bytes == 0
    }

    /// Reads on, and says what of it is for hyper.
    pub fn feed(&mut self, bytes: &[u8]) -> Passing {
        if self.has_refused() {
            return Passing::Instead(Vec::new());
        }
        let (mut passed, rest) = self.end_held_line(bytes);
        let taken = self.take(rest);
        if taken == bytes.len() {
            return Passing::AsTheyCame;
        }
        passed.extend_from_slice(rest.get(..taken).unwrap_or_default());
        if let State::Refused(end) = self.state {
            passed.extend_from_slice(end);
        }
        Passing::Instead(passed)
    }

    /// Brings a line that was held back nearer to its end: gives the line once it is whole and good, and what comes after.
    fn end_held_line<'a>(&mut self, bytes: &'a [u8]) -> (Vec<u8>, &'a [u8]) {
        if self.held.is_empty() {
            return (Vec::new(), bytes);
        }
        let Some((more, rest)) = split_line(bytes) else {
            self.hold(bytes);
            return (Vec::new(), &[]);
        };
        let mut line = std::mem::take(&mut self.held);
        line.extend_from_slice(more);
        if !self.count(more.len()) || !self.line(&line) {
            line.clear();
        }
        (line, rest)
    }

    /// Takes whole lines and parts of bodies, holds back the beginning of a line, and gives how many bytes it took.
    fn take(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = match self.state {
                State::Unframed => &[],
                State::Refused(_) => break,
                State::Body(left) => self.skip_body(left, rest),
                State::Start | State::Fields => match split_line(rest) {
                    Some((line, after)) if self.count(line.len()) && self.line(line) => after,
                    Some(_) => break,
                    None => {
                        self.hold(rest);
                        break;
                    }
                },
            };
        }
        bytes.len() - rest.len()
    }

    fn skip_body<'a>(&mut self, left: u64, bytes: &'a [u8]) -> &'a [u8] {
        let skipped = usize::try_from(left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let left = left.saturating_sub(u64::try_from(skipped).unwrap_or(u64::MAX));
        self.state = if left == 0 {
            State::Start
        } else {
            State::Body(left)
        };
        bytes.get(skipped..).unwrap_or_default()
    }

    /// Counts bytes of a head; false when they are too many.
    fn count(&mut self, bytes: usize) -> bool {
        self.head_bytes += bytes;
        let fits = self.head_bytes <= self.max_head_bytes;
        if !fits {
            self.refuse(Fault::HeadTooLarge);
        }
        fits
    }

    fn hold(&mut self, bytes: &[u8]) {
        if !self.count(bytes.len()) {
            return;
        }
        // Who speaks something else, TLS for one, may never send the end of a line.
        if self.state == State::Start && !may_begin_a_request(bytes) {
            return self.refuse(Fault::BadRequestLine);
        }
        self.held.extend_from_slice(bytes);
    }

    /// Judges one line with its end; false when it is refused.
    fn line(&mut self, line: &[u8]) -> bool {
        let judged = match line.strip_suffix(b"\r\n") {
            Some(line) => self.judge(line),
            None => Err(Fault::BareLineFeed),
        };
        if let Err(fault) = judged {
            self.refuse(fault);
        }
        judged.is_ok()
    }

    fn judge(&mut self, line: &[u8]) -> Result<(), Fault> {
        match (self.state, line.is_empty()) {
            // Empty lines before a request line are allowed (RFC 9112, 2.2), and hyper skips them too.
            (State::Start, true) => Ok(()),
            (State::Start, false) => {
                self.version = parse_request_line(line)?;
                self.state = State::Fields;
                Ok(())
            }
            (_, true) => self.end_head(),
            (_, false) => self.field(line),
        }
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Fault> {
        self.fields += 1;
        if self.fields > self.max_fields {
            return Err(Fault::TooManyFields);
        }
        let (name, value) = parse_field(line)?;
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // hyper serves `gzip, chunked` and repeated codings, which the next server may read in another way.
            if self.encoded || !value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(Fault::BadEncoding);
            }
            if self.version == Version::Old {
                return Err(Fault::OldEncoding);
            }
            self.encoded = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() {
                return Err(Fault::RepeatedLength);
            }
            self.length = Some(decimal(value.trim_ascii()).ok_or(Fault::BadLength)?);
        }
        Ok(())
    }

    fn end_head(&mut self) -> Result<(), Fault> {
        self.state = match (self.encoded, self.length) {
            (true, Some(_)) => return Err(Fault::LengthAndEncoding),
            (true, None) => {
                self.finding = Some(Finding {
                    head: self.heads,
                    verdict: Verdict::ServeAndClose,
                });
                State::Unframed
            }
            (false, None | Some(0)) => State::Start,
            (false, Some(length)) => State::Body(length),
        };
        self.heads += 1;
        self.head_bytes = 0;
        self.fields = 0;
        self.length = None;
        Ok(())
    }

    fn refuse(&mut self, fault: Fault) {
        self.finding = Some(Finding {
            head: self.heads,
            verdict: Verdict::Refuse(fault),
        });
        self.state = State::Refused(match self.state {
            State::Fields => END,
            _ => WHOLE_HEAD,
        });
        self.held = Vec::new();
    }
}

/// The first line with its end, and what comes after it.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    bytes.split_at_checked(end + 1)
}

#[cfg(test)]
mod tests;
