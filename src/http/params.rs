//! Query parameters: each named once, each known, each of the right type, or `400` with its name.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::reply::Problem;
use crate::domain::Seq;
use crate::store::Order;

/// Items of a list where none are asked for.
pub const DEFAULT_LIMIT: usize = 100;
/// Items of a list at most.
pub const MAX_LIMIT: usize = 1000;

/// The parameters of a request.
#[derive(Debug)]
pub struct Params {
    /// What the path takes.
    takes: &'static [&'static str],
    given: Vec<(String, String)>,
}

impl Params {
    /// Takes a query string apart.
    ///
    /// # Errors
    /// When a parameter is none of those that the path takes, or is given twice.
    pub fn parse(query: &str, takes: &'static [&'static str]) -> Result<Self, Problem> {
        let mut given: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            if !takes.contains(&&*name) {
                let why = "not a parameter of this path";
                return Err(Problem::bad_parameter(&name, why));
            }
            if given.iter().any(|(known, _)| *known == name) {
                return Err(Problem::bad_parameter(&name, "given more than once"));
            }
            given.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self { takes, given })
    }

    /// Takes a parameter as text.
    pub fn text(&mut self, name: &str) -> Option<String> {
        debug_assert!(
            self.takes.contains(&name),
            "{name} is not in the table of paths"
        );
        let place = self.given.iter().position(|(known, _)| known == name)?;
        Some(self.given.swap_remove(place).1)
    }

    /// Takes a parameter as a value of some type.
    ///
    /// # Errors
    /// When the text is no such value; the problem names the parameter.
    pub fn value<T: FromStr<Err: Display>>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        let text = self.text(name);
        text.map(|text| {
            text.parse()
                .map_err(|error| Problem::bad_parameter(name, error))
        })
        .transpose()
    }

    /// Takes a parameter as a whole number in decimal digits, and in a range.
    ///
    /// # Errors
    /// When it is none, or not in the range.
    pub fn number(
        &mut self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, Problem> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| range.contains(number));
        match number {
            Some(number) if digits => Ok(Some(number)),
            _ if *range.end() == u64::MAX => {
                Err(Problem::bad_parameter(name, "expected a whole number"))
            }
            _ => {
                let expected = format_args!("expected {} to {}", range.start(), range.end());
                Err(Problem::bad_parameter(name, expected))
            }
        }
    }

    /// Takes a parameter as a place in the log.
    ///
    /// # Errors
    /// When it is no number.
    pub fn seq(&mut self, name: &str) -> Result<Option<Seq>, Problem> {
        Ok(self.number(name, 0..=u64::MAX)?.map(Seq))
    }

    /// Takes a parameter as `true` or `false`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn truth(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        match self.text(name).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Problem::bad_parameter(name, "expected true or false")),
        }
    }

    /// Takes `limit`.
    ///
    /// # Errors
    /// When it is not from 1 to 1000.
    pub fn limit(&mut self) -> Result<usize, Problem> {
        let limit = self.number("limit", 1..=MAX_LIMIT as u64)?;
        Ok(limit.map_or(DEFAULT_LIMIT, |limit| {
            usize::try_from(limit).unwrap_or(MAX_LIMIT)
        }))
    }

    /// Takes `cursor`, which must be one of the kind that this list gives out.
    ///
    /// # Errors
    /// When it is not.
    pub fn cursor<T: FromStr>(&mut self, kind: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.text("cursor") else {
            return Ok(None);
        };
        let place = URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|plain| plain.strip_prefix(kind)?.strip_prefix('.')?.parse().ok());
        place.map(Some).ok_or_else(|| {
            Problem::bad_parameter("cursor", "not a cursor of this list in this order")
        })
    }
}

/// A cursor: opaque outside, inside the kind of list and the place in it.
#[must_use]
pub fn cursor(kind: &str, place: impl Display) -> String {
    URL_SAFE_NO_PAD.encode(format!("{kind}.{place}"))
}

/// Takes `order`.
pub fn order(params: &mut Params) -> Result<Order, Problem> {
    match params.text("order").as_deref() {
        None | Some("asc") => Ok(Order::Ascending),
        Some("desc") => Ok(Order::Descending),
        Some(_) => Err(Problem::bad_parameter("order", "expected asc or desc")),
    }
}

/// The word for an order.
#[must_use]
pub const fn direction(order: Order) -> &'static str {
    match order {
        Order::Ascending => "asc",
        Order::Descending => "desc",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str) -> Params {
        Params::parse(query, &["cursor", "limit", "a"]).unwrap()
    }

    #[test]
    fn a_cursor_goes_back_into_the_list_it_came_from_and_no_other() {
        let query = format!("cursor={}", cursor("id.asc", "c.1"));
        let place: Option<String> = parsed(&query).cursor("id.asc").unwrap();
        assert_eq!(place.unwrap(), "c.1");
        assert!(parsed(&query).cursor::<String>("seq.asc").is_err());
        assert!(parsed("cursor=%00").cursor::<u64>("key").is_err());
    }

    #[test]
    fn unknown_and_repeated_parameters_are_refused() {
        assert!(Params::parse("a=1&a=2", &["a"]).is_err());
        assert!(Params::parse("a=1", &["b"]).is_err());
        assert!(Params::parse("a=1", &["b", "a"]).is_ok());
        assert!(Params::parse("", &[]).is_ok());
    }

    #[test]
    fn limits_stay_in_their_range() {
        let limit = |query| parsed(query).limit();
        assert_eq!(limit("").unwrap(), 100);
        assert_eq!(limit("limit=1000").unwrap(), 1000);
        for query in [
            "limit=0",
            "limit=1001",
            "limit=-1",
            "limit=%2B1",
            "limit=ten",
            "limit=",
        ] {
            assert!(limit(query).is_err(), "{query}");
        }
    }
}
