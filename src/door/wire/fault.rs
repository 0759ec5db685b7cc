//! Why a request is refused before any handler sees it, and the answer to it.

use bytes::Bytes;
use http::Response;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderValue};

use super::super::Code;

/// Why a request is refused before any handler sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "`detail` says it")]
pub enum Fault {
    BadRequestLine,
    BadVersion,
    BadTarget,
    BadField,
    BadValue,
    FoldedField,
    BareLineFeed,
    LengthAndEncoding,
    RepeatedLength,
    BadLength,
    BadEncoding,
    OldEncoding,
    TooManyFields,
    HeadTooLarge,
    NoHost,
    ManyHosts,
    BadHost,
    ForeignTarget,
}

impl Fault {
    /// The stable name of the problem.
    #[must_use]
    pub fn code(self) -> Code {
        match self {
            Self::TooManyFields | Self::HeadTooLarge => Code::HeadTooLarge,
            _ => Code::BadRequest,
        }
    }

    /// The cause as one clause.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::BadRequestLine => "the request line is not `METHOD TARGET HTTP/1.1`",
            Self::BadVersion => "the request is not HTTP/1.1",
            Self::BadTarget => "the request target is not a path or a URI",
            Self::BadField => "a line of the request head is not `name: value`",
            Self::BadValue => "a field of the request head has a control character",
            Self::FoldedField => "a field of the request head goes on over more than one line",
            Self::BareLineFeed => "a line of the request head ends without CR",
            Self::LengthAndEncoding => "the request has both Content-Length and Transfer-Encoding",
            Self::RepeatedLength => "the request has more than one Content-Length",
            Self::BadLength => "the Content-Length is not a number",
            Self::BadEncoding => "the Transfer-Encoding is not `chunked`, once and alone",
            Self::OldEncoding => "the request has a Transfer-Encoding and is HTTP/1.0",
            Self::TooManyFields => "the request head has too many fields",
            Self::HeadTooLarge => "the request head is too large",
            Self::NoHost => "the request has no Host",
            Self::ManyHosts => "the request has more than one Host",
            Self::BadHost => "the Host is not a host name with an optional port",
            Self::ForeignTarget => "the request target names another host than Host does",
        }
    }

    /// The whole answer: problem+json, and the connection ends with it.
    #[must_use]
    pub fn answer(self) -> Response<Bytes> {
        let status = self.code().status();
        let title = status.canonical_reason().unwrap_or("Bad Request");
        let (code, detail) = (self.code(), self.detail());
        let text = format!(
            r#"{{"type":"about:blank","title":"{title}","status":{},"detail":"{detail}","code":"{code}"}}"#,
            status.as_u16()
        );
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        response
    }
}
