//! Passwords on their way, and as they are kept.

use std::{fmt, sync::Arc};

use pec::Instant;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::registry;
use crate::{
    ids::MailboxId,
    ports::{RowKey, Table},
    rim::Body,
};

/// Longer passwords are wrong without a look at them.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// App passwords of one account that are in use.
pub(super) const APP_PASSWORDS_MAX: usize = 25;
/// Octets of the name of an app password.
pub(super) const APP_NAME_BYTES_MAX: usize = 100;

/// Letters and digits that are not mistaken for others: five bits each.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const GROUP: usize = 5;

/// A password as somebody typed it: overwritten when the last copy is dropped, never printed.
#[derive(Clone)]
pub struct Password(Arc<Zeroizing<Vec<u8>>>);

impl Password {
    /// Takes the octets; what they were taken from is the caller's to overwrite.
    #[must_use]
    pub fn new(octets: impl Into<Vec<u8>>) -> Self {
        Self(Arc::new(Zeroizing::new(octets.into())))
    }

    /// A password of 100 bits from random ones: four groups of letters and digits that are not mistaken for others.
    #[must_use]
    pub fn random(first: u128, second: u128) -> Self {
        Self::new(groups(first, second, 4))
    }

    /// The octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// For showing it once to whom it belongs; what is not UTF-8 is replaced.
    #[must_use]
    pub fn reveal(&self) -> Zeroizing<String> {
        Zeroizing::new(String::from_utf8_lossy(&self.0).into_owned())
    }
}
impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(...)")
    }
}

/// A random app password: the first of its five groups is its id, 100 bits are secret.
pub(super) fn random_app_password(first: u128, second: u128) -> (String, Password) {
    let text = groups(first, second, 5);
    (text.get(..GROUP).unwrap_or_default().to_owned(), Password::new(text))
}

/// Up to five groups, 25 bits each: two from the first number at most, three from the second.
fn groups(first: u128, second: u128, count: usize) -> String {
    let letter = |number: u128, at: usize| {
        let bits = usize::try_from((number >> (5 * at)) & 31).unwrap_or_default();
        char::from(ALPHABET.get(bits).copied().unwrap_or(b'a'))
    };
    let group = |number: u128, nth: usize| -> String {
        (0..GROUP).map(|at| letter(number, nth * GROUP + at)).collect()
    };
    let all = [group(first, 0), group(first, 1), group(second, 0), group(second, 1), group(second, 2)];
    all.get(..count).unwrap_or(&all).join("-")
}

/// An app password: for one device, with a name, revoked by itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppPassword {
    /// The first group of its letters: whoever sees the settings of a device knows which one it is.
    pub id: String,
    /// What its owner calls the device.
    pub name: String,
    /// argon2id in PHC form.
    pub hash: String,
    /// When it was made.
    pub created: Instant,
    /// The day on which it was used last, `yyyy-mm-dd` in UTC: not finer, or each sign-in would be a write.
    pub last_used: Option<String>,
    /// When it was revoked.
    pub revoked: Option<Instant>,
}

/// What an account signs in with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    /// Whose.
    pub mailbox: MailboxId,
    /// argon2id in PHC form.
    pub password_hash: String,
    /// When the password was set.
    pub changed: Instant,
    /// App passwords, oldest first; revoked ones stay in the list for a while.
    #[serde(default)]
    pub app_passwords: Vec<AppPassword>,
}

impl Credentials {
    /// Of a new account.
    #[must_use]
    pub const fn new(mailbox: MailboxId, password_hash: String, changed: Instant) -> Self {
        Self { mailbox, password_hash, changed, app_passwords: Vec::new() }
    }

    /// The key of an account's credentials.
    #[must_use]
    pub fn key_of(mailbox: &MailboxId) -> RowKey {
        registry(format!("account#{mailbox}"), "credentials".to_owned())
    }

    /// The hash of the account's own password, or of an app password in use.
    pub(super) fn phc(&self, app_password: Option<&str>) -> Option<&str> {
        match app_password {
            None => Some(&self.password_hash),
            Some(id) => self.in_use().find(|app| app.id == id).map(|app| app.hash.as_str()),
        }
    }

    /// The app password that this one must be if it is any: by its first group, so that one hash is compared and not
    /// each.
    pub(super) fn app_password_of(&self, password: &Password) -> Option<&AppPassword> {
        let octets = password.as_bytes();
        if octets.len() != 5 * GROUP + 4 {
            return None;
        }
        self.in_use().find(|app| octets.starts_with(app.id.as_bytes()))
    }

    /// With this app password used on this day, unless that is known.
    pub(super) fn used(mut self, id: &str, at: Instant) -> Option<Self> {
        let day = at.day();
        let app = self.app_passwords.iter_mut().find(|app| app.id == id)?;
        if app.last_used.as_ref() == Some(&day) {
            return None;
        }
        app.last_used = Some(day);
        Some(self)
    }

    pub(super) fn in_use(&self) -> impl Iterator<Item = &AppPassword> {
        self.app_passwords.iter().filter(|app| app.revoked.is_none())
    }
}
impl Body for Credentials {
    const TABLE: Table = Table::Registry;
    fn key(&self) -> RowKey {
        Self::key_of(&self.mailbox)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_passwords_have_groups_of_letters_that_are_not_mistaken() {
        let password = Password::random(u128::MAX, 0).reveal();
        assert_eq!(password.as_str(), "99999-99999-aaaaa-aaaaa");
        let (id, password) = random_app_password(1, u128::MAX);
        assert_eq!((id.as_str(), password.reveal().as_str()), ("baaaa", "baaaa-aaaaa-99999-99999-99999"));
    }

    #[test]
    fn a_password_is_not_printed() {
        assert_eq!(format!("{:?}", Password::new("segreta")), "Password(...)");
    }
}
