//! Patterns of LIST (RFC 9051 §6.3.9).

/// What stands between the levels of a name.
pub(crate) const DELIMITER: char = '/';

/// Whether a name matches: `*` is anything, `%` anything without a delimiter. In time of the product of both lengths,
/// which their bounds keep small.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    // For each place in the name: whether what was read of the pattern so far can end there.
    let name: Vec<char> = name.chars().collect();
    let mut ends = vec![false; name.len() + 1];
    if let Some(first) = ends.first_mut() {
        *first = true;
    }
    for c in pattern.chars() {
        let mut before = false;
        let mut run = false;
        for (at, end) in ends.iter_mut().enumerate() {
            let was = *end;
            let passed = at.checked_sub(1).and_then(|at| name.get(at));
            match c {
                '*' => run |= was,
                '%' => run = was || (run && passed.is_some_and(|c| *c != DELIMITER)),
                _ => run = before && passed == Some(&c),
            }
            *end = run;
            before = was;
        }
    }
    ends.last().copied().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("%", "", true),
            ("", "", true),
            ("", "a", false),
            ("*", "a/b/c", true),
            ("%", "a", true),
            ("%", "a/b", false),
            ("a/%", "a/b", true),
            ("a/%", "a/b/c", false),
            ("a/%", "a", false),
            ("a*", "a/b", true),
            ("%/b", "a/b", true),
            ("%/%", "a/b/c", false),
            ("*c", "a/b/c", true),
            ("*b", "a/b/c", false),
            ("a%c", "abbc", true),
            ("a%c", "a/c", false),
            ("a*%c", "a/b/xc", true),
            ("INBOX", "INBOX", true),
            ("Perché%", "Perché sì", true),
            ("ab", "a", false),
            ("a", "ab", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn many_wildcards_take_no_longer_than_few() {
        let (pattern, name) = ("*a".repeat(500), "a".repeat(499));
        assert!(!matches(&pattern, &name));
        assert!(matches(&pattern, &format!("{name}a")));
    }
}
