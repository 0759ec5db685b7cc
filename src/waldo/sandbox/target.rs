//! Where webhooks go.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// A URL whose path may hold a secret: shown without it.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookUrl(Uri);

impl WebhookUrl {
    pub(super) fn uri(&self) -> Uri {
        self.0.clone()
    }
}

/// Why a text is no webhook URL.
#[derive(Debug, thiserror::Error)]
#[error("expected a URL like http://127.0.0.1:7311/webhooks/waldo/SECRET: {0}")]
pub struct NoWebhookUrl(&'static str);

impl FromStr for WebhookUrl {
    type Err = NoWebhookUrl;

    fn from_str(text: &str) -> Result<Self, NoWebhookUrl> {
        let uri: Uri = text.parse().map_err(|_| NoWebhookUrl("it is no URL"))?;
        if uri.scheme_str() != Some("http") {
            return Err(NoWebhookUrl("only plain http:// is spoken here"));
        }
        match uri.authority() {
            None => Err(NoWebhookUrl("it names no host")),
            Some(authority) if authority.as_str().contains('@') => {
                Err(NoWebhookUrl("a user name in it is not sent; leave it out"))
            }
            Some(_) => Ok(Self(uri)),
        }
    }
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self
            .0
            .authority()
            .map_or("", |authority| authority.as_str());
        let rest = if self.0.path() == "/" { "/" } else { "/…" };
        write!(f, "http://{host}{rest}")
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_url_is_shown_without_its_secret() {
        let url: WebhookUrl = "http://127.0.0.1:7311/webhooks/waldo/s3cret?k=s3cret"
            .parse()
            .unwrap();
        assert_eq!(url.to_string(), "http://127.0.0.1:7311/…");
        assert!(!format!("{url:?}").contains("s3cret"));
        for bad in ["", "/path", "https://x/", "127.0.0.1:1", "http://a:b@c/"] {
            assert!(bad.parse::<WebhookUrl>().is_err(), "{bad}");
        }
    }
}
