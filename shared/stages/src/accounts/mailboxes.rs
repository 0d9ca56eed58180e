//! Mailboxes that an operator makes, disables and measures (spec 6.5, 12, 0.2 D17): each change with its audit entry
//! in one commit.

use pec::{Address, Instant};
use serde::{Deserialize, Serialize};

use super::{Accounts, AuditEntry, AuditEvent, Credentials, ManageError, Password, RACES_MAX, put};
use crate::{
    Rim, StageError,
    domains::{self, Member},
    ids::MailboxId,
    registry::{Domain, Mailbox, MailboxState},
    rim::{Body as _, Draft, Found},
};

/// The least that a mailbox may hold: one letter of the size that every provider must carry (DM 2-11-2005 art. 12(2)),
/// with its receipts.
pub const QUOTA_BYTES_MIN: u64 = 64 << 20;
/// Local parts that are no user's: the service address (spec 0.2 D17) and the postmaster (RFC 5321 §4.5.1).
const RESERVED: [&str; 2] = ["posta-certificata", "postmaster"];

/// An account to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewAccount {
    /// Its address.
    pub address: Address,
    /// See [`Mailbox::quota_bytes`]; at least [`QUOTA_BYTES_MIN`].
    pub quota_bytes: u64,
    /// What a certified mailbox never has: each of them is refused, with the reason.
    #[serde(default)]
    pub wishes: Vec<Wish>,
}

/// What ordinary mailboxes have and certified ones cannot: the receipt says that the letter is in the mailbox of the
/// recipient who was addressed, and that mailbox is one holder's (RFC 6109 §3.3.2; DPR 68/2005 art. 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// A second address for one mailbox.
    Alias,
    /// Letters go on to another address.
    Forward,
    /// Letters are answered by a program.
    AutoReply,
    /// One mailbox for every address of a domain.
    CatchAll,
}

impl Wish {
    /// Why not.
    #[must_use]
    pub const fn why_not(self) -> &'static str {
        match self {
            Self::Alias => {
                "give a certified mailbox an alias: a receipt names the address that was written to, and each address \
                 is a mailbox with a holder of its own; make another account"
            }
            Self::Forward => {
                "forward from a certified mailbox: the delivery receipt says that the letter is at the disposal of \
                 this address, and what leaves it again would not be certified; the holder may fetch it from here by \
                 a mail program"
            }
            Self::AutoReply => {
                "answer from a certified mailbox by a program: every answer would be a certified letter that its \
                 holder has not sent; the sender has a delivery receipt already"
            }
            Self::CatchAll => {
                "catch all addresses of a certified domain: an address without a mailbox of its own is answered by a \
                 non-delivery notice with 5.1.1, so that nobody holds a delivery receipt for somebody who does not \
                 exist"
            }
        }
    }
}

impl Accounts {
    /// The ports that they stand on.
    #[must_use]
    pub const fn rim(&self) -> &Rim {
        &self.rim
    }

    /// Makes an account in a domain of ours that is active, with a random password that is shown once.
    ///
    /// # Errors
    /// [`ManageError`]
    pub async fn add(&self, wanted: &NewAccount, now: Instant) -> Result<(Mailbox, Password), ManageError> {
        // 1. What no certified mailbox is.
        let address = &wanted.address;
        if let Some(wish) = wanted.wishes.first() {
            return Err(ManageError::Never(*wish));
        }
        if domains::local_part(address) == "*" {
            return Err(ManageError::Never(Wish::CatchAll));
        }
        if wanted.quota_bytes < QUOTA_BYTES_MIN {
            return Err(ManageError::Quota);
        }

        // 2. A domain that is active, an address that is nobody's.
        let key = Domain::key_of(&address.domain());
        let domain = self.rim.read::<Domain>(&key).await?.ok_or(ManageError::NoDomain)?;
        if is_reserved(&self.rim, address, &domain.value).await? {
            return Err(ManageError::Reserved);
        }
        if self.rim.mailbox(address).await?.is_some() {
            return Err(ManageError::Taken);
        }

        // 3. One commit. The domain's row is written again as it is, so that whoever removes the domain meanwhile is
        //    too late, or we are. Power fails before it: nothing is there, and nobody knows the password.
        let password = Password::random(self.rim.ids.fresh(), self.rim.ids.fresh());
        let hash = self.passwords.hash(&password).await.map_err(StageError::from)?;
        let mailbox = Mailbox {
            id: MailboxId(format!("{:032x}", self.rim.ids.fresh())),
            address: address.clone(),
            organisation: domain.value.organisation.clone(),
            state: MailboxState::Active,
            quota_bytes: wanted.quota_bytes,
            // As mail programs are used to: one list, in which a letter stands beside its receipts.
            receipts_in_inbox: true,
            takes_ordinary: false,
        };
        let mut draft = Draft::new();
        draft.insert(&mailbox, None).map_err(StageError::from)?;
        draft.insert(&Member::of(&mailbox), None).map_err(StageError::from)?;
        draft.insert(&Credentials::new(mailbox.id.clone(), hash, now), None).map_err(StageError::from)?;
        draft.replace(domain.version, &domain.value, domain.debt).map_err(StageError::from)?;
        let entry = AuditEntry::of_operator(&mailbox.id, AuditEvent::AccountAdded, None, now);
        draft.insert(&entry, None).map_err(StageError::from)?;
        match self.rim.commit(draft).await {
            Ok(()) => Ok((mailbox, password)),
            Err(StageError::Raced) if self.rim.mailbox(address).await?.is_some() => Err(ManageError::Taken),
            Err(error) => Err(error.into()),
        }
    }

    /// Disables a mailbox, or enables it again. While it is disabled nobody signs in, nothing is sent, and letters to
    /// it get a non-delivery notice with 5.2.1 (spec 12).
    ///
    /// # Errors
    /// [`ManageError`]
    pub async fn set_active(
        &self,
        address: &Address,
        active: bool,
        now: Instant,
    ) -> Result<Mailbox, ManageError> {
        let (state, event) = match active {
            true => (MailboxState::Active, AuditEvent::AccountEnabled),
            false => (MailboxState::Disabled, AuditEvent::AccountDisabled),
        };
        self.change_mailbox(address, (event, None), now, |before| match before.state {
            MailboxState::Revoked => Err(ManageError::Revoked),
            _ => Ok(Mailbox { state, ..before }),
        })
        .await
    }

    /// Sets how much a mailbox may hold. What is in it stays, also when it is more.
    ///
    /// # Errors
    /// [`ManageError`]
    pub async fn set_quota(
        &self,
        address: &Address,
        quota_bytes: u64,
        now: Instant,
    ) -> Result<Mailbox, ManageError> {
        if quota_bytes < QUOTA_BYTES_MIN {
            return Err(ManageError::Quota);
        }
        let detail = Some(format!("{quota_bytes} octets"));
        self.change_mailbox(address, (AuditEvent::QuotaSet, detail), now, |before| {
            Ok(Mailbox { quota_bytes, ..before })
        })
        .await
    }

    /// Replaces the row of a mailbox by what `make` makes of it, with an audit entry, in one commit; nothing at all
    /// where it is so already.
    pub(super) async fn change_mailbox(
        &self,
        address: &Address,
        (event, detail): (AuditEvent, Option<String>),
        now: Instant,
        make: impl Fn(Mailbox) -> Result<Mailbox, ManageError> + Send + Sync,
    ) -> Result<Mailbox, ManageError> {
        for _ in 0..RACES_MAX {
            let found = self.rim.read::<Mailbox>(&Mailbox::key_of(address.as_str())).await?;
            let Found { value: before, version, debt } = found.ok_or(ManageError::NoAccount)?;
            let after = make(before.clone())?;
            if after == before {
                return Ok(before);
            }
            let mut draft = Draft::new();
            draft.replace(version, &after, debt).map_err(StageError::from)?;
            let entry = AuditEntry::of_operator(&after.id, event, None, now).with(detail.clone());
            let noted = self.rim.read::<AuditEntry>(&entry.key()).await?;
            put(&mut draft, noted.as_ref(), &entry.after(noted.as_ref().map(|found| &found.value)))?;
            if self.committed(draft).await? {
                return Ok(after);
            }
        }
        Err(StageError::Raced.into())
    }
}

/// Whether an address is the provider's own: the service mailbox and the service address of its environment, and the
/// names that are no user's in any domain.
async fn is_reserved(rim: &Rim, address: &Address, domain: &Domain) -> Result<bool, StageError> {
    let environment = rim.environment(&domain.environment).await?;
    let own = [&environment.address, &environment.mail_receipt];
    let local = domains::local_part(address).to_ascii_lowercase();
    Ok(RESERVED.contains(&local.as_str()) || own.iter().any(|own| own.key() == address.key()))
}
