//! The status page: the query door's API as people read it. Its files are built in and hold no data, so they are served
//! without a token; what the page shows it asks for like any other reader, in the browser.

use std::sync::Arc;

use warp::reply::Response as Reply;

use super::params::Params;
use super::query::{Asked, Query};
use super::reply::Problem;
use crate::door::page::Asset;

macro_rules! assets {
    ($($name:literal)+) => {
        &[$(Asset { name: $name, text: include_str!(concat!("page/", $name)) }),+]
    };
}

/// The page itself, whose path is `/`.
const PAGE: Asset = Asset {
    name: "page.html",
    text: include_str!("page/page.html"),
};

/// What it loads, from below `/page/`.
const FILES: &[Asset] = assets! {
    "api.js" "app.css" "app.js" "chart.js" "customer.js" "customers.js" "dom.js" "events.js" "find.js" "forms.js" "icon.svg"
    "live.js" "overview.js" "payload.js" "requests.js" "summary.js" "theme.js" "time.js" "timeline.js" "token.js" "words.js"
};

/// The library that draws its charts, as it was published.
const LIBRARY: &[Asset] = &[
    Asset {
        name: "uPlot.js",
        text: include_str!("page/vendor/uPlot.iife.min.js"),
    },
    Asset {
        name: "uPlot.css",
        text: include_str!("page/vendor/uPlot.min.css"),
    },
];

pub(super) async fn file(
    _: Arc<Query>,
    name: String,
    _: Params,
    asked: Asked,
) -> Result<Reply, Problem> {
    let asset = if name.is_empty() {
        Some(&PAGE)
    } else {
        let mut files = FILES.iter().chain(LIBRARY);
        files.find(|asset| asset.name == name)
    };
    let asset = asset.ok_or_else(|| Problem::not_found("the page has no such file"))?;
    Ok(asset.answer(&asked.headers))
}
