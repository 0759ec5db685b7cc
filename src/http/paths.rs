//! Paths as text: each door lists its own in one table, from which it serves and is described.

/// Whether a path is of this form, as in `/v1/customers/{customerId}`; gives what stands in the place of the braces,
/// still percent-encoded, or nothing where there are none.
///
/// An empty part is no id: a client whose id is missing must not be answered with the list.
#[must_use]
pub fn matched<'a>(form: &str, path: &'a str) -> Option<&'a str> {
    let (mut id, mut given) = ("", path.split('/'));
    for wanted in form.split('/') {
        match given.next()? {
            part if wanted.starts_with('{') && !part.is_empty() => id = part,
            part if part == wanted => {}
            _ => return None,
        }
    }
    given.next().is_none().then_some(id)
}

#[cfg(test)]
mod tests {
    use super::matched;

    #[test]
    fn a_path_is_matched_part_by_part() {
        let one = "/v1/customers/{customerId}";
        assert_eq!(matched(one, "/v1/customers/a%2Fb"), Some("a%2Fb"));
        assert_eq!(matched("/v1/customers", "/v1/customers"), Some(""));
        assert_eq!(matched("/", "/"), Some(""));
        for other in [
            "/v1/customers",
            "/v1/customers/",
            "/v1/customers/a/",
            "/v1/customers/a/events",
            "/v1/requests/a",
            "v1/customers/a",
            "//v1/customers/a",
        ] {
            assert_eq!(matched(one, other), None, "{other}");
        }
        assert_eq!(matched("/v1/customers", "/v1/customers/"), None);
    }
}
