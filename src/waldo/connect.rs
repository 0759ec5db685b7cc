//! Connections to Waldo: a name may only lead to the internet, and TLS trusts whom this system trusts.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::address::is_public;
use super::body::BoxError;
use super::upstream::UpstreamError;

/// Opens connections: by TCP, or TLS where the URL says so, in a limited time.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    way: Way,
    within: Duration,
}

#[derive(Clone, Debug)]
enum Way {
    Plain(HttpConnector<Resolver>),
    Tls(HttpsConnector<HttpConnector<Resolver>>),
}

impl Connector {
    pub(super) fn new(
        scheme: &Scheme,
        any_address: bool,
        within: Duration,
    ) -> Result<Self, UpstreamError> {
        let mut tcp = HttpConnector::new_with_resolver(Resolver { any_address });
        tcp.set_connect_timeout(Some(within));
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let way = if *scheme == Scheme::HTTPS {
            let tls = HttpsConnectorBuilder::new()
                .with_native_roots()
                .map_err(UpstreamError::NoCertificates)?;
            Way::Tls(tls.https_only().enable_http1().wrap_connector(tcp))
        } else {
            Way::Plain(tcp)
        };
        Ok(Self { way, within })
    }
}

/// A connection, with TLS or without.
pub(super) type Connection = MaybeHttpsStream<TokioIo<TcpStream>>;

impl Service<Uri> for Connector {
    type Response = Connection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match &mut self.way {
            Way::Plain(tcp) => tcp.poll_ready(cx).map_err(Into::into),
            Way::Tls(tls) => tls.poll_ready(cx),
        }
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting: Self::Future = match &mut self.way {
            Way::Plain(tcp) => {
                let connecting = tcp.call(uri);
                Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) })
            }
            Way::Tls(tls) => tls.call(uri),
        };
        let within = self.within;
        Box::pin(async move {
            let late = || format!("no connection within {} s", within.as_secs_f64());
            tokio::time::timeout(within, connecting)
                .await
                .map_err(|_| late())?
        })
    }
}

/// Looks a name up, and passes over addresses that are not of the internet. Addresses in the URL never come here.
#[derive(Clone, Debug)]
struct Resolver {
    /// A host of one's own is meant, be it this machine.
    any_address: bool,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "the name in [waldo] api_url leads to {0}, which is not on the internet; write the address itself or localhost if that \
     is meant"
)]
struct NotPublic(IpAddr);

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let any_address = self.any_address;
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let first = found.first().map(SocketAddr::ip);
            let good: Vec<_> = found
                .into_iter()
                .filter(|address| any_address || is_public(address.ip()))
                .collect();
            match first {
                Some(address) if good.is_empty() => Err(NotPublic(address).into()),
                _ => Ok(good.into_iter()),
            }
        })
    }
}
