//! Environments that a command makes: what the provider index says decides, and every fault in between.
#![allow(clippy::unwrap_used, reason = "a test world has no failures but those that a test makes")]

use pec::{Instant, index::SignedIndex};
use sigillo_stages::{
    Rim, StageError,
    accounts::AuditEvent,
    domains::{Answer, Look, NewDomain, add, history},
    environments::{EnvironmentError, establish, publish},
    registry::{Domain, Environment},
    rim::{Body, Draft},
};
use sigillo_tests::world::{ALFA, BETA, Fault, Tap, World, exec};

/// A second environment in the tables of the first: `None` if the power failed.
fn beta(rim: &Rim, at: Instant) -> Option<Result<Environment, EnvironmentError>> {
    exec::run(establish(rim, BETA.record, BETA.mail_domain, at))
}

fn insert(rim: &Rim, body: &impl Body) {
    let mut draft = Draft::new();
    draft.insert(body, None).unwrap();
    exec::run(rim.commit(draft)).unwrap().unwrap();
}

/// The environment, its mail domain with a postmaster, and one entry for who asks later.
fn assert_made(rim: &Rim, at: Instant) {
    let environment = exec::run(rim.environment(BETA.record)).unwrap().unwrap();
    assert_eq!(environment.address.as_str(), format!("posta-certificata@{}", BETA.mail_domain));
    let domain = exec::run(rim.read::<Domain>(&Domain::key_of(BETA.mail_domain))).unwrap().unwrap().unwrap();
    assert_eq!(domain.value.environment, BETA.record);
    let postmaster = format!("postmaster@{}", BETA.mail_domain).parse().unwrap();
    assert!(exec::run(rim.mailbox(&postmaster)).unwrap().unwrap().is_some());
    let entries = exec::run(history(rim, BETA.mail_domain, &at.month())).unwrap().unwrap();
    let made: Vec<_> = entries.iter().filter(|e| e.event == AuditEvent::EnvironmentMade).collect();
    assert_eq!(made.iter().map(|e| e.times).collect::<Vec<_>>(), [1]);
}

#[test]
fn an_environment_is_what_its_record_says_and_made_once() {
    let world = World::of(&ALFA);
    let (rim, now) = (world.rim(), world.now());
    let made = beta(&rim, now).unwrap().unwrap();
    assert_eq!((made.provider_name.as_str(), made.mail_domain.as_str()), (BETA.name, BETA.mail_domain));
    assert_made(&rim, now);
    assert_eq!(beta(&rim, now.plus_s(60)).unwrap().unwrap(), made);
    assert_made(&rim, now);
}

/// Others judge by the index (spec 5.2 V2, V4): what it does not say is not made.
#[test]
fn what_the_index_does_not_say_is_refused_in_words() {
    let world = World::of(&ALFA);
    let (rim, now) = (world.rim(), world.now());
    let refused = |id: &str, domain: &str| exec::run(establish(&rim, id, domain, now)).unwrap().unwrap_err();
    assert!(matches!(refused("Nessuno", BETA.mail_domain), EnvironmentError::NotIndexed(_)));
    assert!(matches!(refused(BETA.record, "altrove.example"), EnvironmentError::NotManaged(..)));
    assert!(matches!(refused(BETA.record, BETA.domain), EnvironmentError::NotCertified(..)));
    assert!(exec::run(rim.environment(BETA.record)).unwrap().is_err());
}

#[test]
fn what_is_there_stays_as_it_is() {
    let world = World::of(&ALFA);
    let (rim, now) = (world.rim(), world.now());
    let other = Environment {
        mail_domain: "altro.beta.example".to_owned(),
        ..beta(&World::of(&ALFA).rim(), now).unwrap().unwrap()
    };
    insert(&rim, &other);
    let refused = beta(&rim, now).unwrap().unwrap_err();
    assert!(matches!(refused, EnvironmentError::Another(_, there) if there == other.mail_domain));

    let world = World::of(&ALFA);
    let rim = world.rim();
    let (name, environment) = (BETA.mail_domain.to_owned(), ALFA.record.to_owned());
    insert(&rim, &Domain { name, environment, organisation: "alfa".to_owned() });
    assert!(matches!(beta(&rim, now).unwrap(), Err(EnvironmentError::Taken(..))));
}

/// RFC 6109 §4.5.6: what a provider publishes is what others read of it, and it answers for it.
#[test]
fn what_is_published_is_a_signed_index_of_our_own() {
    let world = World::of(&ALFA);
    let (rim, now) = (world.rim(), world.now());
    let url = "https://gestore.alfa.example/index.ldif.p7m";
    let hosts = [ALFA.mail_domain.to_owned()];
    let answer = Answer::Hosts(hosts.to_vec());
    let look = Look { answer: &answer, own_hosts: &hosts, at: now };
    let (name, environment) = ("nuova.alfa.example".to_owned(), ALFA.record.to_owned());
    let wanted = NewDomain { name, environment, organisation: "alfa".to_owned() };
    exec::run(add(&rim, &wanted, look)).unwrap().unwrap();

    let file = exec::run(publish(&rim, ALFA.record, url, now)).unwrap().unwrap();
    let read = SignedIndex::open(&file, &rim.verifier, now).unwrap();
    let record = read.index.by_id(ALFA.record).unwrap();
    assert_eq!(read.index.records().len(), 1);
    assert_eq!(read.signer.mails(), [ALFA.certified().as_str()]);
    assert_eq!(record.ldif_location.as_deref(), Some(url));
    assert_eq!(record.managed_domains, [ALFA.mail_domain, "nuova.alfa.example", ALFA.domain]);
    assert_eq!(record.certificates, ALFA.index_record().certificates, "both, in a rollover");
    let mut changed = file;
    let at = changed.windows(4).position(|w| w == b"nuov").unwrap();
    changed[at] = b'N';
    assert!(SignedIndex::open(&changed, &rim.verifier, now).is_err());
}

/// Power fails anywhere, answers get lost: what is done again ends as it would have ended.
#[test]
fn every_fault_is_over_when_it_is_done_again() {
    let (world, tap) = (World::of(&ALFA), Tap::counting());
    beta(&tap.on(world.rim()), world.now()).unwrap().unwrap();
    let calls = tap.calls().len();
    assert!(calls >= 2);
    for n in 0..calls {
        for fault in Fault::ALL {
            let world = World::of(&ALFA);
            let (rim, now) = (world.rim(), world.now());
            let first = beta(&Tap::breaking(n, fault).on(world.rim()), now);
            let ours = |e: &EnvironmentError| matches!(e, EnvironmentError::Stage(StageError::Facts(_)));
            assert!(first.is_none_or(|r| r.is_ok() || r.as_ref().is_err_and(ours)), "{n} {fault:?}");
            beta(&rim, now).unwrap().unwrap();
            assert_made(&rim, now);
        }
    }
}
