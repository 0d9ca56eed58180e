//! What the provider answers: every code that is not the protocol's own stands here.

use ::smtp::server::Reply;
use stages::{StageError, accounts::SignInRefused, door::DoorError, rates::RateError, receive::Classified};

pub(super) fn sender_ok() -> Reply {
    Reply::new(250, "2.1.0", "OK")
}

pub(super) fn recipient_ok() -> Reply {
    Reply::new(250, "2.1.5", "OK")
}

/// It is durable, and will end in a receipt or a notice.
pub(super) fn taken(id: &str) -> Reply {
    Reply::new(250, "2.0.0", format!("taken as {id}"))
}

pub(super) fn no_sender() -> Reply {
    Reply::new(501, "5.1.7", "the sender is not an address of the form local@domain")
}

pub(super) fn no_address() -> Reply {
    Reply::new(501, "5.1.3", "the recipient is not an address of the form local@domain")
}

/// F7 (spec 4.1).
pub(super) fn not_owner() -> Reply {
    Reply::new(550, "5.7.1", "the sender is not an address of the account that signed in")
}

/// The password was changed, or the mailbox disabled, since.
pub(super) fn no_longer() -> Reply {
    Reply::new(530, "5.7.0", "the sign-in holds no more: connect and sign in again")
}

/// RFC 5321 §3.6.2.
pub(super) fn relay_denied() -> Reply {
    Reply::new(550, "5.7.1", "relay denied: no domain of ours")
}

/// RFC 4954 §6. What a stranger learns is the same for every kind of wrong.
pub(super) fn sign_in(refused: &SignInRefused) -> Reply {
    match refused {
        SignInRefused::Wrong => Reply::new(535, "5.7.8", "wrong address or password"),
        SignInRefused::Wait(seconds) => {
            Reply::new(454, "4.7.0", format!("too many failures: try again in {seconds} s"))
        }
        SignInRefused::Stage(error) => {
            tracing::error!(error = %error, "nobody can sign in");
            Reply::new(454, "4.7.0", "nobody can sign in at the moment: try again later")
        }
    }
}

/// Why a letter was not taken.
pub(super) fn door(error: &DoorError) -> Reply {
    match error {
        DoorError::NotOwner => not_owner(),
        DoorError::NoRecipient => Reply::new(554, "5.5.1", "there is no recipient"),
        DoorError::TooManyRecipients => Reply::new(554, "5.5.3", "too many recipients"),
        // Mail sessions bring no such key.
        DoorError::KeyOfAnother => Reply::new(554, "5.5.0", error.to_string()),
        DoorError::TooLarge { .. } => {
            Reply::new(552, "5.3.4", "the message is too large, or has too many recipients")
        }
        DoorError::Stage(error) => failed(error),
    }
}

/// The account or its organisation sends too much: the program tries again later (RFC 3463 §3.8).
pub(super) fn over(error: &RateError) -> Reply {
    match error {
        RateError::Stage(error) => failed(error),
        over => Reply::new(450, "4.7.1", over.to_string()),
    }
}

/// Ours. It may be done or not: who tries again is safe.
pub(super) fn failed(error: &StageError) -> Reply {
    tracing::error!(error = %error, "a question of a mail session was not answered");
    Reply::new(451, "4.3.0", "not done, and not known whether it will be: try again later")
}

/// Ordinary mail that nobody takes (spec 0.2 D13).
pub(super) fn refused(classified: Classified) -> Option<Reply> {
    match classified {
        Classified::Take | Classified::Ordinary => None,
        Classified::NoSuchMailbox => Some(Reply::new(550, "5.1.1", "no such mailbox")),
        Classified::OrdinaryRefused => {
            Some(Reply::new(554, "5.7.1", "the recipient takes certified mail only"))
        }
    }
}
