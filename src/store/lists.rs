//! Parts of lists, and how much is looked at for one.

/// Rows looked at for one page of a list; a filter that matches little goes on with the next page.
pub(super) const SCAN_ROWS: usize = 20_000;

/// Part of a list.
#[derive(Clone, Debug)]
pub struct Page<C> {
    /// Go on after this; `None` begins.
    pub after: Option<C>,
    /// Items at most.
    pub limit: usize,
}

/// A part of a list, and where it goes on.
#[derive(Clone, Debug)]
pub struct Listed<T, C> {
    /// The items.
    pub items: Vec<T>,
    /// Where to go on; `None` at the end. There may be no items although there is more to look at.
    pub next: Option<C>,
}
