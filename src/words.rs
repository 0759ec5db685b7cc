//! Numbers with the word for what they count.

/// A number with its word: `1 request`, `2 requests`.
#[must_use]
pub fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_none_is_many() {
        let told = [0, 1, 2].map(|number| counted(number, "body", "bodies"));
        assert_eq!(told, ["0 bodies", "1 body", "2 bodies"]);
    }
}
