//! What a server offers (RFC 5321 §4.1.1.1).

/// The extensions that matter to a sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// RFC 3207
    pub starttls: bool,
    /// RFC 2920
    pub pipelining: bool,
    /// RFC 6152
    pub eight_bit_mime: bool,
    /// RFC 1870: offered, with its limit in octets if it has one.
    pub size: Option<Option<u64>>,
}

impl Extensions {
    /// Of the lines of an answer to EHLO; the first is the greeting.
    #[must_use]
    pub fn read(lines: &[String]) -> Self {
        let mut offered = Self::default();
        for line in lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let Some(keyword) = words.next() else { continue };
            match keyword.to_ascii_uppercase().as_str() {
                "STARTTLS" => offered.starttls = true,
                "PIPELINING" => offered.pipelining = true,
                "8BITMIME" => offered.eight_bit_mime = true,
                // RFC 1870 §4: zero means no fixed limit.
                "SIZE" => {
                    offered.size = Some(words.next().and_then(|n| n.parse().ok()).filter(|&n| n > 0));
                }
                _ => {}
            }
        }
        offered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_read_in_any_case() {
        let lines = ["mx STARTTLS", "starttls", "Pipelining", "8BITMIME", "SIZE 1000", "X-OTHER a b"];
        let offered = Extensions::read(&lines.map(str::to_owned));
        let all =
            Extensions { starttls: true, pipelining: true, eight_bit_mime: true, size: Some(Some(1000)) };
        assert_eq!(offered, all);
        let none = Extensions::read(&["mx.example STARTTLS".to_owned(), "SIZE 0".to_owned()]);
        assert_eq!(none, Extensions { size: Some(None), ..Extensions::default() });
    }
}
