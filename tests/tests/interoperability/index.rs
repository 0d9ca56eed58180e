//! T-IX: the provider index (RFC 6109 §4.5; spec 9). That it is fetched is shown in server/tests/provider_index.rs.

use pec::{Index, Instant, index::Record};
use sigillo_tests::{
    network::Network,
    world::{ALFA, BETA, World, address, letters::letter},
};

use crate::{DELIVERY, ENVELOPE, Found, TAKE_CHARGE, kinds};

/// T-IX-01: with an index from before a provider was in it, its envelopes are ordinary mail; with the next one they are
/// not. During a rollover both of its certificates count. A secondary environment has a service mailbox of its own.
#[test]
fn t_ix_01_refresh_rollover_and_a_secondary_environment() {
    let to = [BETA.user("destinatario")];

    // 1. Before and after a refresh.
    let envelope = |at: &str| {
        let alfa = World::of(&ALFA);
        alfa.clock.advance_to(Instant::parse(at).unwrap());
        alfa.submit(letter(&ALFA, &to, &[])).unwrap();
        alfa.run_until_idle();
        alfa.sent_to(&BETA).remove(0)
    };
    let received = |index: Index, at: &str| {
        let beta = World::of(&BETA).knowing(index);
        beta.clock.advance_to(Instant::parse(at).unwrap());
        beta.arrive(envelope(at)).unwrap();
        beta.heal();
        kinds(&beta.evidence(), "destinatario")
    };
    let (old, new) = (Index::new(vec![BETA.index_record()]), sigillo_tests::world::index());
    let (early, late) = ("2026-03-02T08:00:00Z", "2026-03-06T08:00:00Z");
    assert_eq!(received(old, early), [] as [&str; 0]);
    assert_eq!(received(new.clone(), early), [ENVELOPE]);

    // 2. ALFA signs with its old certificate first, with its new one later; the index has both.
    let signer = |at: &str| {
        let message = envelope(at).raw;
        World::of(&ALFA).verify(&message, Instant::parse(at).unwrap()).unwrap().certificate.sha1_hex()
    };
    let certificates: Vec<String> = ALFA.index_record().certificates.into_iter().map(|c| c.sha1).collect();
    assert_eq!([signer(early), signer(late)], [certificates[0].clone(), certificates[1].clone()]);
    assert_eq!(received(new, late), [ENVELOPE]);
    let mut only_old = ALFA.index_record();
    only_old.certificates.truncate(1);
    assert_eq!(received(Index::new(vec![only_old, BETA.index_record()]), late), [] as [&str; 0]);

    // 3. The users' domain is a secondary environment's, which shares the certificates (0.2 D10).
    let service = address("servizio@gestore.alfa.example");
    let main = Record { managed_domains: vec![ALFA.mail_domain.to_owned()], ..ALFA.index_record() };
    let unit = Some("Seconda".to_owned());
    let second = Record {
        id: Record::id_of(ALFA.name, unit.as_deref()),
        provider_unit: unit,
        mail_receipt: service.clone(),
        managed_domains: vec![ALFA.domain.to_owned()],
        ..ALFA.index_record()
    };
    let index = Index::new(vec![main, second, BETA.index_record()]);
    let mut network = Network::of(vec![World::of(&ALFA), World::of(&BETA).knowing(index)]);
    network.world(&ALFA).submit(letter(&ALFA, &to, &[])).unwrap();
    network.settle();
    let carried = network.world(&BETA).carrier.carried();
    let kind = |n: usize| Found::of(carried[n].message.clone()).kind;
    assert_eq!((carried.len(), kind(0).as_str(), kind(1).as_str()), (2, TAKE_CHARGE, DELIVERY));
    assert_eq!(carried[0].recipients, [service]);
    assert_eq!(carried[1].recipients, [ALFA.user("mittente")]);
}
