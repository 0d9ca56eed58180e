//! Flags and keywords of messages (RFC 9051 §2.3.2).

use serde::{Deserialize, Serialize};

use super::Refusal;

/// The flags of one message: system flags, and keywords by their place in the list of their folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Flags(u64);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// `\Seen`
    pub const SEEN: Self = Self(1);
    /// `\Answered`
    pub const ANSWERED: Self = Self(1 << 1);
    /// `\Flagged`
    pub const FLAGGED: Self = Self(1 << 2);
    /// `\Deleted`
    pub const DELETED: Self = Self(1 << 3);
    /// `\Draft`
    pub const DRAFT: Self = Self(1 << 4);

    /// System flags by name. `\Recent` is not kept: RFC 9051 has it no more, and RFC 3501 lets a server have none.
    pub const SYSTEM: [(&'static str, Self); 5] = [
        ("\\Answered", Self::ANSWERED),
        ("\\Flagged", Self::FLAGGED),
        ("\\Deleted", Self::DELETED),
        ("\\Seen", Self::SEEN),
        ("\\Draft", Self::DRAFT),
    ];

    /// Keywords come above the system flags; some places between are free.
    const FIRST_KEYWORD: usize = 8;

    fn keyword(place: usize) -> Self {
        Self(1 << (Self::FIRST_KEYWORD + place))
    }

    /// Whether all of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These and those.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These without those.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// As a number, for pages.
    pub(super) const fn bits(self) -> u64 {
        self.0
    }

    pub(super) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

/// The keywords of a folder. Only grows, so that a place in it means one keyword for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Keywords(Vec<String>);

impl Keywords {
    /// Keywords of one folder, at most: [`Flags`] has room for no more.
    pub const MAX: usize = 56;
    /// Octets of one keyword, at most.
    pub const BYTES_MAX: usize = 64;

    /// Every keyword that was used in the folder, in its first spelling.
    #[must_use]
    pub fn all(&self) -> &[String] {
        &self.0
    }

    /// Whether there is room for another one (`PERMANENTFLAGS (… \*)`, RFC 9051 §7.1).
    #[must_use]
    pub const fn has_room(&self) -> bool {
        self.0.len() < Self::MAX
    }

    /// The names of flags: system flags first.
    #[must_use]
    pub fn names(&self, flags: Flags) -> Vec<&str> {
        let system = Flags::SYSTEM.iter().filter(|(_, f)| flags.contains(*f)).map(|(name, _)| *name);
        let keywords = self.0.iter().enumerate().filter(|(n, _)| flags.contains(Flags::keyword(*n)));
        system.chain(keywords.map(|(_, name)| name.as_str())).collect()
    }

    /// The flag of this name, if a message of the folder can have it (case does not count, RFC 9051 §2.3.2).
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Flags> {
        let system = Flags::SYSTEM.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, f)| *f);
        system.or_else(|| self.0.iter().position(|k| k.eq_ignore_ascii_case(name)).map(Flags::keyword))
    }

    /// The flags of these names; keywords that the folder does not know yet are added to it.
    pub(super) fn learn<S: AsRef<str>>(&mut self, names: &[S]) -> Result<Flags, Refusal> {
        let mut flags = Flags::NONE;
        for name in names.iter().map(AsRef::as_ref) {
            let flag = match self.find(name) {
                Some(flag) => flag,
                None if !is_keyword(name) => return Err(Refusal::BadFlag),
                None if !self.has_room() => return Err(Refusal::TooMany),
                None => {
                    self.0.push(name.to_owned());
                    Flags::keyword(self.0.len() - 1)
                }
            };
            flags = flags.with(flag);
        }
        Ok(flags)
    }
}

/// The flags of these names that a folder knows: what it does not know, no message of it has.
pub(super) fn known<S: AsRef<str>>(keywords: &Keywords, names: &[S]) -> Result<Flags, Refusal> {
    let mut flags = Flags::NONE;
    for name in names.iter().map(AsRef::as_ref) {
        match keywords.find(name) {
            Some(flag) => flags = flags.with(flag),
            None if is_keyword(name) => {}
            None => return Err(Refusal::BadFlag),
        }
    }
    Ok(flags)
}

/// RFC 9051 §9 `flag-keyword`: an atom.
fn is_keyword(name: &str) -> bool {
    let atom = |b: u8| (0x21..0x7f).contains(&b) && !b"(){%*\"\\]".contains(&b);
    !name.is_empty() && name.len() <= Keywords::BYTES_MAX && name.bytes().all(atom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_flags() {
        let mut keywords = Keywords::default();
        let flags = keywords.learn(&["\\SEEN", "$Forwarded", "Lavoro"]).unwrap();
        assert_eq!(keywords.names(flags), ["\\Seen", "$Forwarded", "Lavoro"]);
        assert_eq!(keywords.learn(&["$FORWARDED"]).unwrap(), keywords.find("$forwarded").unwrap());
        assert_eq!(keywords.all(), ["$Forwarded", "Lavoro"]);
        assert!(flags.contains(Flags::SEEN) && !flags.contains(Flags::DELETED));
        assert_eq!(
            keywords.names(flags.without(Flags::SEEN).with(Flags::DRAFT)),
            ["\\Draft", "$Forwarded", "Lavoro"]
        );
    }

    #[test]
    fn what_is_no_keyword_and_what_is_one_too_many() {
        let mut keywords = Keywords::default();
        for bad in ["", "\\Recent", "\\Unknown", "a b", "a(", "è", &"x".repeat(65), "a\r\n"] {
            assert_eq!(keywords.learn(&[bad]), Err(Refusal::BadFlag), "{bad}");
        }
        for n in 0..Keywords::MAX {
            let flag = keywords.learn(&[format!("k{n}")]).unwrap();
            assert_eq!(keywords.names(flag), [format!("k{n}")]);
        }
        assert_eq!(keywords.learn(&["another"]), Err(Refusal::TooMany));
        assert!(keywords.learn(&["k55", "\\Flagged"]).is_ok());
        assert_eq!(known(&keywords, &["another", "\\Seen"]), Ok(Flags::SEEN));
        assert_eq!(known(&keywords, &["\\Recent"]), Err(Refusal::BadFlag));
    }
}
