//! What is fuzzed. A target is a function over octets that panics when something that must hold does not. The seeds
//! of a target, and what fuzzing ever found, lie in `seeds/NAME` and are run by every test run; `cargo xtask fuzz NAME
//! --seconds N` goes on from them, guided by coverage.

mod imap;
mod mime;
mod pec_message;
mod pop3;
mod smtp;
mod smtp_client;
mod trust;

/// A function that must not panic, whatever it is given.
pub type Target = fn(&[u8]);

/// The environment variable that names the target of the fuzzing binary.
pub const VARIABLE: &str = "SIGILLO_FUZZ_TARGET";

/// All targets by name, which is also the name of their folder of seeds.
pub const TARGETS: [(&str, Target); 10] = [
    ("imap-session", imap::session),
    ("imap-structure", imap::structure),
    ("mime-entity", mime::entity),
    ("pec-message", pec_message::message),
    ("pop3-server", pop3::server),
    ("provider-index", trust::index),
    ("revocation-answer", trust::answer),
    ("revocation-list", trust::list),
    ("smtp-client", smtp_client::client),
    ("smtp-server", smtp::server),
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn every_seed_of_every_target_holds() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
        for (name, target) in TARGETS {
            let files: Vec<_> = fs::read_dir(seeds.join(name)).unwrap().flatten().collect();
            assert!(!files.is_empty(), "{name} has no seeds");
            for file in files {
                println!("{}", file.path().display());
                target(&fs::read(file.path()).unwrap());
            }
        }
    }

    #[test]
    fn every_folder_of_seeds_has_a_target() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
        for folder in fs::read_dir(seeds).unwrap().flatten() {
            let name = folder.file_name().into_string().unwrap();
            assert!(target(&name).is_some(), "{name}");
        }
    }
}
