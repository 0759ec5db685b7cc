//! The files of a page that a door shows to people: built into the program, under a policy that lets nothing else in.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, HeaderMap, HeaderName, HeaderValue, IF_NONE_MATCH,
};
use http::{Response, StatusCode};
use sha2::{Digest as _, Sha256};
use warp::reply::Response as Reply;

use super::problem::bytes;

/// Nothing but our own scripts, styles and pictures, no address but ours, no frame around it, no form that is sent
/// anywhere; and no text becomes markup or script, whatever a script of ours might do with it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// One file of a page.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// What it is asked for by.
    pub name: &'static str,
    /// Its content.
    pub text: &'static str,
}

impl Asset {
    /// The file, or `304` to whoever has it already. A browser keeps it and asks each time whether it is still the same,
    /// so that after an upgrade no old script meets a new page.
    #[must_use]
    pub fn answer(&self, asked: &HeaderMap) -> Reply {
        let digest = Sha256::digest(self.text);
        let etag = format!("\"{}\"", hex::encode(digest.split_at(8).0));
        let mut reply = if none_match(asked, &etag) {
            let mut reply = Response::default();
            *reply.status_mut() = StatusCode::NOT_MODIFIED;
            reply
        } else {
            bytes(StatusCode::OK, self.kind(), self.text)
        };
        let headers = reply.headers_mut();
        for (name, value) in [
            (CONTENT_SECURITY_POLICY, POLICY),
            (HeaderName::from_static("x-content-type-options"), "nosniff"),
            (HeaderName::from_static("referrer-policy"), "no-referrer"),
            (CACHE_CONTROL, "no-cache"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if let Ok(etag) = HeaderValue::from_str(&etag) {
            headers.insert(ETAG, etag);
        }
        reply
    }

    fn kind(&self) -> &'static str {
        match self.name.rsplit_once('.') {
            Some((_, "js")) => "text/javascript; charset=utf-8",
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "svg")) => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        }
    }
}

/// Whether `If-None-Match` names the tag, or any.
#[must_use]
pub fn none_match(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == etag || tag == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn if_none_match_takes_lists_weak_tags_and_any() {
        let headers = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static(value));
            headers
        };
        assert!(none_match(&headers("\"1.2\""), "\"1.2\""));
        assert!(none_match(&headers("\"0.1\", W/\"1.2\""), "\"1.2\""));
        assert!(none_match(&headers("*"), "\"1.2\""));
        assert!(!none_match(&headers("\"1.3\""), "\"1.2\""));
    }

    #[test]
    fn a_file_that_is_known_is_not_sent_again() {
        let asset = Asset {
            name: "app.css",
            text: "a{}",
        };
        let first = asset.answer(&HeaderMap::new());
        assert_eq!(first.status(), StatusCode::OK);
        let mut asked = HeaderMap::new();
        asked.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        assert_eq!(asset.answer(&asked).status(), StatusCode::NOT_MODIFIED);
        let other = Asset {
            text: "b{}",
            ..asset
        };
        assert_eq!(other.answer(&asked).status(), StatusCode::OK);
    }
}
