//! The keyspace of INFO, where there are several databases.
//!
//! Owns the lines of the databases: the nodes count all keys as those of database 0. Pure.

use std::fmt::Write;

/// The text with a line for each database that has keys; `sizes` are those of 1 and up, and are in the
/// number that the nodes tell for 0. `None`: there is nothing to change.
pub(super) fn told(text: &str, sizes: &[(u64, u64)]) -> Option<String> {
    if sizes.iter().all(|(keys, _)| *keys == 0) {
        return None;
    }
    let begin = text.find("\r\ndb0:keys=")? + 2;
    let end = begin + text[begin..].find("\r\n")? + 2;
    let field = |name: &str| -> u64 {
        let of_line = text[begin..end].trim_end().split([':', ',']);
        let found = of_line.filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name);
        found.and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
    };
    let others = sizes.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let own = (field("keys").saturating_sub(others.0), field("expires").saturating_sub(others.1));
    let mut out = text[..begin].to_owned();
    if own.0 > 0 {
        let average = field("avg_ttl");
        // Writing to a string does not fail.
        let _ = write!(out, "db0:keys={},expires={},avg_ttl={average}\r\n", own.0, own.1);
    }
    for (number, (keys, expire)) in (1..).zip(sizes).filter(|(_, (keys, _))| *keys > 0) {
        let _ = write!(out, "db{number}:keys={keys},expires={expire},avg_ttl=0\r\n");
    }
    out += &text[end..];
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_has_its_line() {
        let text = "# Keyspace\r\ndb0:keys=10,expires=3,avg_ttl=5\r\n\r\n# Gateway\r\n";
        assert_eq!(told(text, &[(0, 0), (0, 0)]), None);
        assert_eq!(
            told(text, &[(0, 0), (4, 1)]).unwrap(),
            "# Keyspace\r\ndb0:keys=6,expires=2,avg_ttl=5\r\ndb2:keys=4,expires=1,avg_ttl=0\r\n\r\n# Gateway\r\n"
        );
        assert_eq!(
            told(text, &[(10, 3)]).unwrap(),
            "# Keyspace\r\ndb1:keys=10,expires=3,avg_ttl=0\r\n\r\n# Gateway\r\n"
        );
        assert_eq!(told("# Server\r\n", &[(1, 0)]), None);
    }
}
