//! The interoperability list (spec 13): each row is a test of that name. Providers are whole ones in memory that send
//! to each other, octet for octet; messages are read by plain means, and judged by openssl and xmllint. What the rows say
//! of two providers is shown over SMTP and TLS, by two processes, in server/tests/providers.rs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests: a panic is how they fail"
)]

mod access_point;
mod delivery;
mod incoming;
mod index;
mod log;
mod plain;
mod timing;

use bytes::Bytes;
use plain::Plain;
use sigillo_tests::{
    network::Network,
    world::{ALFA, BETA, Evidence, Provider, World},
};
use stages::{BlobKey, door::Submission};

/// Kinds as they stand in header fields: `X-Ricevuta` or `X-Trasporto`.
const ACCEPTANCE: &str = "accettazione";
const NON_ACCEPTANCE: &str = "non-accettazione";
const ENVELOPE: &str = "posta-certificata";
const ANOMALY: &str = "errore";
const TAKE_CHARGE: &str = "presa-in-carico";
const VIRUS: &str = "rilevazione-virus";
const DELIVERY: &str = "avvenuta-consegna";
const FAILURE: &str = "errore-consegna";
const TIMEOUT: &str = "preavviso-errore-consegna";

/// Both providers.
fn both() -> Network {
    Network::of(vec![World::of(&ALFA), World::of(&BETA)])
}

/// What becomes of a letter of ALFA's user.
fn sent(letter: Submission) -> Network {
    let mut network = both();
    network.world(&ALFA).submit(letter).unwrap();
    network.finish();
    network
}

/// A message of which kind, whole.
struct Found {
    kind: String,
    raw: Bytes,
}

impl Found {
    fn of(raw: Bytes) -> Self {
        let plain = Plain::of(&raw);
        let kind = plain.field("X-Ricevuta").or_else(|| plain.field("X-Trasporto"));
        Self { kind: kind.unwrap_or_else(|| "none".to_owned()), raw }
    }

    fn plain(&self) -> Plain {
        Plain::of(&self.raw)
    }
}

/// The messages of a mailbox, whatever the folder, in order.
fn mailbox(evidence: &Evidence, local: &str) -> Vec<Found> {
    let id = format!("m-{local}");
    let of_mailbox = evidence.mailboxes.iter().filter(|((mailbox, _), _)| *mailbox == id);
    let messages = of_mailbox.flat_map(|(_, messages)| messages);
    messages.map(|(_, m)| Found::of(evidence.blobs[&BlobKey::listed(m.blob.clone())].clone())).collect()
}

/// The kinds of messages in a mailbox, sorted.
fn kinds(evidence: &Evidence, local: &str) -> Vec<String> {
    let mut kinds: Vec<_> = mailbox(evidence, local).into_iter().map(|m| m.kind).collect();
    kinds.sort();
    kinds
}

/// Messages of a kind in a mailbox.
fn of_kind(evidence: &Evidence, local: &str, kind: &str) -> Vec<Plain> {
    mailbox(evidence, local).iter().filter(|m| m.kind == kind).map(Found::plain).collect()
}

/// The one of a kind.
fn one(evidence: &Evidence, local: &str, kind: &str) -> Plain {
    let mut all = of_kind(evidence, local, kind);
    assert_eq!(all.len(), 1, "{kind} in {local}: {:?}", kinds(evidence, local));
    all.remove(0)
}

/// What a provider sent to another, in order.
fn wire(network: &Network, from: &Provider, to: &Provider) -> Vec<Found> {
    network.world(from).sent_to(to).into_iter().map(|a| Found::of(a.raw)).collect()
}

/// How many messages of a kind a provider sent to another.
fn wired(network: &Network, from: &Provider, to: &Provider, kind: &str) -> usize {
    wire(network, from, to).iter().filter(|m| m.kind == kind).count()
}
