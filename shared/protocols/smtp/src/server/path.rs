//! Reverse and forward paths with their parameters (RFC 5321 §4.1.2).

/// A mailbox has at most 254 octets: a path has 256 (RFC 5321 §4.5.3.1.3).
const PATH_BYTES_MAX: usize = 256;

/// Splits `<path> parameters`. The path comes without brackets and without a source route, which is to be ignored
/// (RFC 5321 §3.6.1); it is empty for `<>`. Whether it names a mailbox is not looked at.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let inner = text.trim_start_matches(' ').strip_prefix('<')?;
    let end = end(inner)?;
    let (path, rest) = (inner.get(..end)?, inner.get(end + 1..)?);
    if !(rest.is_empty() || rest.starts_with(' ')) || path.len() > PATH_BYTES_MAX {
        return None;
    }
    let mailbox = match path.strip_prefix('@') {
        Some(route) => route.split_once(':')?.1,
        None => path,
    };
    Some((mailbox, rest.trim_matches(' ')))
}

/// Where the closing bracket is: not one inside of a quoted local part.
fn end(inner: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, b) in inner.bytes().enumerate() {
        match b {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            b'<' | b' ' if !quoted => return None,
            _ => {}
        }
    }
    None
}

/// `KEYWORD=value KEYWORD`: the keywords with their values (RFC 5321 §4.1.2). `None` if it is something else.
pub(super) fn parameters(text: &str) -> Option<Vec<(&str, Option<&str>)>> {
    text.split(' ').filter(|word| !word.is_empty()).map(parameter).collect()
}

fn parameter(word: &str) -> Option<(&str, Option<&str>)> {
    let (keyword, value) = match word.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (word, None),
    };
    let is_keyword = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
        && keyword.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let is_value =
        value.is_none_or(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_graphic() && b != b'='));
    (is_keyword && is_value).then_some((keyword, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_without_brackets_and_route() {
        for (text, mailbox, rest) in [
            ("<a@b.example>", "a@b.example", ""),
            (" <a@b.example> SIZE=3 ", "a@b.example", "SIZE=3"),
            ("<>", "", ""),
            ("<Postmaster>", "Postmaster", ""),
            ("<@x.example,@y.example:a@b.example>", "a@b.example", ""),
            ("<\"a> \\\"b\"@c.example> X", "\"a> \\\"b\"@c.example", "X"),
        ] {
            assert_eq!(split(text), Some((mailbox, rest)), "{text}");
        }
    }

    #[test]
    fn what_is_no_path_is_none() {
        let long = format!("<{}@b.example>", "a".repeat(250));
        for text in ["", "a@b.example", "<a@b.example", "<a b@c.example>", "<<a@b>>", "<a@b>x", "<@x>", &long]
        {
            assert_eq!(split(text), None, "{text}");
        }
    }

    #[test]
    fn parameters_are_keywords_with_values() {
        assert_eq!(
            parameters("SIZE=12  body=8BITMIME X-Y"),
            Some(vec![("SIZE", Some("12")), ("body", Some("8BITMIME")), ("X-Y", None)])
        );
        for bad in ["=1", "SIZE=", "SIZE=1=2", "-a=b", "a_b=c"] {
            assert_eq!(parameters(bad), None, "{bad}");
        }
    }
}
