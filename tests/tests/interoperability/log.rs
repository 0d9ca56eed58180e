//! T-LG: the log (RFC 6109 §2.3, spec 8.1).

use std::collections::BTreeSet;

use sigillo_tests::{
    sealing::{Log, Stamps, Store, seal, verify},
    world::{ALFA, BETA, letters::letter},
};
use stages::log::Event;

use crate::{plain::Plain, sent};

/// T-LG-01: each event, with the identifiers of the messages that were made; whoever reads the log finds every message
/// that was issued, and none that was not.
#[test]
fn t_lg_01_each_event_is_in_the_log_with_its_messages() {
    let network = sent(letter(&ALFA, &[BETA.user("destinatario"), BETA.user("ignoto")], &[]));
    let (alfa, beta) = (network.evidence(&ALFA), network.evidence(&BETA));
    let pec_id = alfa.letters[0].letter.pec_id.clone();
    for (evidence, events) in [
        (
            &alfa,
            &[
                (Event::Accepted, 1),
                (Event::Issued, 2),
                (Event::Relayed, 1),
                (Event::TakeChargeRecorded, 1),
                (Event::Settled, 2),
                (Event::Filed, 3),
            ][..],
        ),
        (
            &beta,
            &[(Event::Received, 1), (Event::TakenInCharge, 1), (Event::Issued, 3), (Event::Delivered, 1)],
        ),
    ] {
        for (event, times) in events {
            let entries = evidence.logged(*event);
            assert_eq!(entries.len(), *times, "{} at {}", event.name(), evidence.provider);
            for entry in entries {
                assert_eq!(
                    (&entry.pec_id, entry.sending_provider.as_str()),
                    (&pec_id, ALFA.name),
                    "{}",
                    event.name()
                );
                assert_eq!(entry.sender, ALFA.user("mittente").as_str());
                assert_eq!(entry.client_id.as_deref(), Some("<cliente.1@posta.alfa.example>"));
            }
        }
        // The Message-ID of each message that was issued, read from its octets.
        let issued: BTreeSet<String> = evidence
            .acts
            .iter()
            .map(|act| Plain::of(evidence.bytes(act)).field("Message-ID").expect("a Message-ID"))
            .collect();
        let logged: BTreeSet<String> =
            evidence.logged(Event::Issued).iter().filter_map(|e| e.messages.first().cloned()).collect();
        assert_eq!(issued, logged, "{}", evidence.provider);
    }
}

/// T-LG-01: the daily seal verifies, of each provider by its own key, and not if the log was touched.
#[test]
fn t_lg_01_the_daily_seal_verifies() {
    let network = sent(letter(&ALFA, &[BETA.user("destinatario")], &[]));
    for provider in [&ALFA, &BETA] {
        let log = Log::of(&network.evidence(provider).log);
        let (world, store) = (network.world(provider), Store::default());
        assert_eq!(seal(world, provider, &log, &store, &Stamps(true), 0), Ok(1));
        let held = verify(&store, &log).expect("it verifies");
        assert!(held[0].statement.entries > 3 && held[0].signer.contains(provider.name), "{held:?}");
        log.0.lock().expect("whole")[1].1.sender = "altri@pec.alfa.example".to_owned();
        assert!(verify(&store, &log).is_err(), "{}", provider.name);
    }
}
