//! The ports that every form takes from the machine it runs on (clock, randomness, the hash of passwords, scanners), or
//! does without (carrier), and the rule by which every keeper of keys chooses a certificate.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod carrier;
pub mod clamd;
mod clock;
mod ids;
mod keyring;
mod passwords;
pub mod scanner;
pub mod sntp;
mod stamps;

pub use carrier::NoCarrier;
pub use clamd::{Clamd, ClamdAddress};
pub use clock::SystemClock;
pub use ids::RandomIds;
pub use keyring::{Keyring, REST_S};
pub use passwords::Argon2Passwords;
pub use scanner::BuiltinScanner;
pub use stamps::Stamps;
