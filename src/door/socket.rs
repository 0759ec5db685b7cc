//! The stream under one connection: shows the scanner what comes in, and keeps the connection's word.
//!
//! Invariant: no byte reaches hyper that the scanner has not let pass.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::conn::Conn;
use super::wire::{Passing, Scanner};

/// What is read away after an answer that came before the end of the request, so that the client gets to read it.
const LINGER_BYTES: usize = 256 * 1024;

/// Either kind of stream, so that hyper and the filters are compiled once a door.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

macro_rules! forward {
    ($stream:expr, $method:ident($($argument:expr),*)) => {
        match $stream {
            Stream::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Stream::Unix(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

/// A stream that shows the scanner what comes in and keeps the connection's word.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    scanner: Scanner,
    conn: Arc<Conn>,
    /// Let pass by the scanner, and not taken by hyper yet.
    passed: Bytes,
    /// Bytes that may still be read away; set when lingering began.
    linger: Option<usize>,
}

impl Socket {
    pub fn new(stream: Stream, scanner: Scanner, conn: Arc<Conn>) -> Self {
        Self {
            stream,
            scanner,
            conn,
            passed: Bytes::new(),
            linger: None,
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.passed.is_empty() {
                let length = this.passed.len().min(buffer.remaining());
                buffer.put_slice(&this.passed.split_to(length));
                return Poll::Ready(Ok(()));
            }
            if this.scanner.has_refused() {
                // hyper has all that it gets. It answers, closes, and need not be woken for what else comes.
                return Poll::Pending;
            }
            let before = buffer.filled().len();
            ready!(forward!(&mut this.stream, poll_read(cx, buffer)))?;
            let came = buffer.filled().get(before..).unwrap_or_default();
            if came.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let passing = this.scanner.feed(came);
            this.conn.read(&this.scanner);
            match passing {
                Passing::AsTheyCame => return Poll::Ready(Ok(())),
                Passing::Instead(bytes) => {
                    buffer.set_filled(before);
                    this.passed = Bytes::from(bytes);
                }
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = forward!(&mut this.stream, poll_write(cx, bytes));
        this.conn.wrote(&outcome);
        outcome
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = forward!(&mut this.stream, poll_write_vectored(cx, slices));
        this.conn.wrote(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        forward!(&mut self.get_mut().stream, poll_flush(cx))
    }

    /// Closes our side. Where bytes of the request are outstanding they are read away for a while: a close with unread
    /// bytes makes the kernel send a reset, which can destroy the answer before the client has read it.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut left = match this.linger {
            Some(left) => left,
            None => {
                ready!(forward!(&mut this.stream, poll_shutdown(cx)))?;
                if this.scanner.is_between_requests() {
                    return Poll::Ready(Ok(()));
                }
                this.conn.linger();
                LINGER_BYTES
            }
        };
        let mut scratch = [0; 4096];
        while left > 0 {
            this.linger = Some(left);
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(forward!(&mut this.stream, poll_read(cx, &mut buffer))) {
                Ok(()) if !buffer.filled().is_empty() => {
                    left = left.saturating_sub(buffer.filled().len())
                }
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
