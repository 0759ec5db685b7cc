//! `POST /document`: a file that is counted, looked at in its first bytes, and thrown away as it comes.
//!
//! Invariant: of a document no more than a few frames is ever in memory.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use multer::{Constraints, Field, Multipart, SizeLimit};
use serde_json::Value;

use super::Inner;
use super::api::Stuff;
use super::errors::ApiError;
use super::run::DocumentKind;

/// Bytes of a document.
pub const MAX_DOCUMENT_BYTES: u64 = 10 * 1024 * 1024;
/// Bytes of everything around it.
const MAX_AROUND_BYTES: u64 = 64 * 1024;
/// Bytes of a text field.
const MAX_TEXT_BYTES: usize = 1024;
/// For the whole body to come.
const TIMEOUT: Duration = Duration::from_secs(60);

const BEGINNINGS: [&[u8]; 3] = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"%PDF-"];
/// The longest of them.
const BEGINNING_BYTES: usize = 8;

/// Gives way after each frame. The parser takes frames for as long as there are any: from a quick sender that would be
/// what tokio lets one task do in one go, some megabytes.
struct FrameByFrame {
    body: Stuff,
    gave: bool,
}

impl Stream for FrameByFrame {
    type Item = Result<Bytes, warp::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.gave) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let frame = self.body.as_mut().poll_next(cx);
        self.gave = matches!(frame, Poll::Ready(Some(_)));
        frame
    }
}

#[derive(Default)]
struct Form {
    file: bool,
    side: Option<String>,
    customer_id: Option<String>,
    document_type: Option<String>,
    issuing_country: Option<String>,
}

pub(super) async fn take(
    inner: &Inner,
    content_type: &str,
    body: Stuff,
) -> Result<Value, ApiError> {
    let boundary = multer::parse_boundary(content_type)
        .map_err(|_| ApiError::InvalidData("Content-Type".to_owned()))?;
    let limits = SizeLimit::new().whole_stream(MAX_DOCUMENT_BYTES + MAX_AROUND_BYTES);
    let parts = Multipart::with_constraints(
        FrameByFrame { body, gave: false },
        boundary,
        Constraints::new().size_limit(limits),
    );
    let form = tokio::time::timeout(TIMEOUT, read(parts))
        .await
        .map_err(|_| ApiError::InvalidData("body: it did not come in time".to_owned()))??;
    if !form.file {
        return Err(ApiError::MissingData("document"));
    }
    let side = form.side.ok_or(ApiError::MissingData("side"))?;
    let id = form
        .customer_id
        .ok_or(ApiError::MissingData("customerId"))?;
    let kind = form
        .document_type
        .ok_or(ApiError::MissingData("documentType"))?;
    let bad = |field: &str| ApiError::InvalidData(field.to_owned());
    if !matches!(side.as_str(), "front" | "back") {
        return Err(bad("side"));
    }
    let kind = match kind.as_str() {
        "driving_licence" => DocumentKind::DrivingLicence,
        "passport" => DocumentKind::Passport,
        _ => return Err(bad("documentType")),
    };
    // Older versions of the page do not know the country.
    if let Some(country) = form.issuing_country {
        let is_code = country.len() == 3 && country.bytes().all(|byte| byte.is_ascii_uppercase());
        if !is_code || (kind == DocumentKind::DrivingLicence && country != "USA") {
            return Err(bad("issuingCountry"));
        }
    }
    inner.with(|world, now| world.document(&id, kind, now))
}

fn refusal(error: &multer::Error) -> ApiError {
    match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => {
            ApiError::TooLarge("The document is over 10 MB")
        }
        _ => ApiError::InvalidData("body".to_owned()),
    }
}

async fn read(mut parts: Multipart<'static>) -> Result<Form, ApiError> {
    let mut form = Form::default();
    while let Some(part) = parts.next_field().await.map_err(|error| refusal(&error))? {
        let place = match part.name() {
            Some("document") => {
                read_file(part).await?;
                form.file = true;
                continue;
            }
            Some("side") => &mut form.side,
            Some("customerId") => &mut form.customer_id,
            Some("documentType") => &mut form.document_type,
            Some("issuingCountry") => &mut form.issuing_country,
            _ => continue,
        };
        *place = Some(read_text(part).await?).filter(|text| !text.is_empty());
    }
    Ok(form)
}

async fn read_file(mut part: Field<'static>) -> Result<(), ApiError> {
    let mut size = 0_u64;
    let mut beginning = Vec::with_capacity(BEGINNING_BYTES);
    while let Some(chunk) = part.chunk().await.map_err(|error| refusal(&error))? {
        size = size.saturating_add(chunk.len() as u64);
        if size > MAX_DOCUMENT_BYTES {
            return Err(ApiError::TooLarge("The document is over 10 MB"));
        }
        let wanted = BEGINNING_BYTES.saturating_sub(beginning.len());
        beginning.extend(chunk.iter().take(wanted));
    }
    let known = BEGINNINGS.iter().any(|known| beginning.starts_with(known));
    if known {
        Ok(())
    } else {
        let why = "document: neither jpg nor png nor pdf";
        Err(ApiError::InvalidData(why.to_owned()))
    }
}

async fn read_text(mut part: Field<'static>) -> Result<String, ApiError> {
    let mut text = Vec::new();
    while let Some(chunk) = part.chunk().await.map_err(|error| refusal(&error))? {
        if text.len() + chunk.len() > MAX_TEXT_BYTES {
            return Err(ApiError::TooLarge("A field is over 1 KiB"));
        }
        text.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}
