//! The built-in scanner. It knows the EICAR test file and a list of digests, and nothing else: it is there so that
//! the rules about viruses can be tried and tested, and gives way to a real scanner.

use std::collections::HashSet;

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use memchr::memmem;
use mime::{Entity, Limits};
use stages::ports::{Scan, Scanner, ScannerError};

/// The EICAR test string, in two halves: no scanner of a developer's machine shall take this file away.
const EICAR: [&str; 2] = ["X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"];
/// What scanners call it.
const EICAR_NAME: &str = "Eicar-Test-Signature";
/// Messages inside of messages are opened to this depth; deeper ones are scanned as octets.
const MESSAGES_DEPTH_MAX: usize = 8;

/// The built-in scanner.
pub struct BuiltinScanner {
    eicar: memmem::Finder<'static>,
    /// SHA-256 of decoded parts, with the name of what they are.
    digests: std::collections::HashMap<[u8; 32], String>,
}

/// A line of the digest list that is none. Displays finish the sentence "failed to …".
#[derive(Debug, thiserror::Error)]
#[error("read the digest list at line {0}: expected 64 hexadecimal digits and a name")]
pub struct DigestListError(usize);

impl BuiltinScanner {
    /// With a list of digests: a line each, SHA-256 in hex of the decoded part, then its name; `#` begins a comment.
    ///
    /// # Errors
    /// [`DigestListError`]
    pub fn new(list: &str) -> Result<Self, DigestListError> {
        let mut digests = std::collections::HashMap::new();
        for (n, line) in list.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let (hex_digits, name) = line.split_once(char::is_whitespace).ok_or(DigestListError(n + 1))?;
            let mut key = [0; 32];
            hex::decode_to_slice(hex_digits, &mut key).map_err(|_| DigestListError(n + 1))?;
            digests.insert(key, printable(name));
        }
        Ok(Self { eicar: memmem::Finder::new(&EICAR.concat()).into_owned(), digests })
    }

    fn scan_octets(&self, octets: &[u8]) -> Option<String> {
        if self.eicar.find(octets).is_some() {
            return Some(EICAR_NAME.to_owned());
        }
        if self.digests.is_empty() {
            return None;
        }
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, octets).as_ref());
        self.digests.get(&key).cloned()
    }

    /// The message as it stands, then every part that is encoded; attached messages are opened.
    fn scan_message(&self, message: &Bytes, depth: usize, seen: &mut HashSet<usize>) -> Option<String> {
        self.scan_octets(message).or_else(|| self.scan_parts(message, depth, seen))
    }

    /// What the parts of a message are encoded from, and hold.
    fn scan_parts(&self, message: &Bytes, depth: usize, seen: &mut HashSet<usize>) -> Option<String> {
        let entity = Entity::parse(message, &Limits::default()).ok()?;
        let mut leaves = entity.walk().filter(|e| e.children().is_empty());
        leaves.find_map(|leaf| self.scan_leaf(leaf, depth, seen))
    }

    fn scan_leaf(&self, leaf: &Entity, depth: usize, seen: &mut HashSet<usize>) -> Option<String> {
        let is_message = leaf.content_type().value == "message/rfc822";
        let plain = matches!(leaf.transfer_encoding().as_str(), "" | "7bit" | "8bit" | "binary");
        if plain {
            // Its octets were searched with the whole; only its digest is new.
            let listed = if self.digests.is_empty() { None } else { self.scan_octets(leaf.body()) };
            let opened = is_message && depth > 0 && seen.insert(leaf.body().as_ptr() as usize);
            return listed
                .or_else(|| opened.then(|| self.scan_parts(leaf.body(), depth - 1, seen)).flatten());
        }
        let decoded = leaf.decoded_body().ok()?;
        self.scan_octets(&decoded).or_else(|| {
            (is_message && depth > 0).then(|| self.scan_message(&decoded, depth - 1, seen)).flatten()
        })
    }
}

/// What goes into receipts and the log of what somebody else wrote.
pub(crate) fn printable(name: &str) -> String {
    name.trim().chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(100).collect()
}

#[async_trait]
impl Scanner for BuiltinScanner {
    async fn scan(&self, message: &Bytes) -> Result<Scan, ScannerError> {
        let found = self.scan_message(message, MESSAGES_DEPTH_MAX, &mut HashSet::new());
        Ok(found.map_or(Scan::Clean, |virus| Scan::Infected { virus }))
    }

    fn version(&self) -> String {
        format!("built-in scanner: EICAR and {} digests", self.digests.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(list: &str, message: String) -> Option<String> {
        let scanner = BuiltinScanner::new(list).unwrap();
        scanner.scan_message(&Bytes::from(message), MESSAGES_DEPTH_MAX, &mut HashSet::new())
    }

    fn base64(octets: &[u8]) -> String {
        String::from_utf8(mime::encode::base64_lines(octets)).unwrap()
    }

    #[test]
    fn eicar_is_found_plain_encoded_and_in_attached_messages() {
        let eicar = EICAR.concat();
        let plain = format!("Subject: a\r\n\r\n{eicar}\r\n");
        assert_eq!(scan("", plain.clone()).as_deref(), Some(EICAR_NAME));
        let encoded = format!(
            "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n\r\n{}--b--\r\n",
            base64(eicar.as_bytes())
        );
        assert_eq!(scan("", encoded.clone()).as_deref(), Some(EICAR_NAME));
        let attached = format!("Content-Type: message/rfc822\r\n\r\n{encoded}");
        assert_eq!(scan("", attached).as_deref(), Some(EICAR_NAME));
        assert_eq!(scan("", "Subject: a\r\n\r\nclean\r\n".to_owned()), None);
    }

    #[test]
    fn listed_digests_are_found_in_decoded_parts() {
        let list = format!("# test\n{} Test.Digest\n", hex::encode(digest(&SHA256, b"bad").as_ref()));
        let message = format!("Content-Transfer-Encoding: base64\r\n\r\n{}", base64(b"bad"));
        assert_eq!(scan(&list, message).as_deref(), Some("Test.Digest"));
        assert!(BuiltinScanner::new("nonsense").is_err());
    }
}
