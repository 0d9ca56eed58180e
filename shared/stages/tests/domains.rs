//! Domains of a provider: what DNS decides, whom they belong to, what removes them, and every fault in between.
#![allow(clippy::unwrap_used, reason = "a test world has no failures but those that a test makes")]

use std::sync::Arc;

use async_trait::async_trait;
use pec::{Address, Instant};
use sigillo_stages::{
    Rim, StageError,
    accounts::{Accounts, AuditEvent, ManageError, NewAccount, Password, Wish},
    domains::{self, Answer, DomainError, Look, NewDomain, Verdict, Watched},
    ports::{Passwords, PasswordsError},
    registry::MailboxState,
};
use sigillo_tests::world::{ALFA, BETA, Fault, Tap, World, exec};

const NAME: &str = "nuova.alfa.example";

struct Plain;

#[async_trait]
impl Passwords for Plain {
    async fn hash(&self, password: &Password) -> Result<String, PasswordsError> {
        Ok(password.reveal().to_string())
    }
    async fn matches(&self, password: &Password, phc: &str) -> Result<bool, PasswordsError> {
        Ok(password.reveal().as_str() == phc)
    }
}

fn wanted(name: &str) -> NewDomain {
    NewDomain { name: name.to_owned(), environment: ALFA.record.to_owned(), organisation: "alfa".to_owned() }
}

fn ours() -> Answer {
    Answer::Hosts(vec![format!("{}.", ALFA.mail_domain.to_ascii_uppercase())])
}

fn theirs() -> Answer {
    Answer::Hosts(vec!["mx.altri.example".to_owned()])
}

/// Runs one question with what DNS says.
fn looking<T>(answer: &Answer, at: Instant, ask: impl FnOnce(Look<'_>) -> T) -> T {
    let own_hosts = [ALFA.mail_domain.to_owned()];
    ask(Look { answer, own_hosts: &own_hosts, at })
}

/// `None`: the power failed.
fn add(rim: &Rim, name: &str, answer: &Answer, at: Instant) -> Option<Result<Watched, DomainError>> {
    let wanted = wanted(name);
    looking(answer, at, |look| exec::run(domains::add(rim, &wanted, look)))
}

fn check(rim: &Rim, name: &str, answer: &Answer, at: Instant) -> Result<Watched, DomainError> {
    looking(answer, at, |look| exec::run(domains::check(rim, name, look)).unwrap())
}

fn remove(rim: &Rim, name: &str, at: Instant) -> Option<Result<(), DomainError>> {
    exec::run(domains::remove(rim, name, at))
}

fn is_active(rim: &Rim) -> bool {
    exec::run(rim.domain(&user())).unwrap().unwrap().is_some()
}

fn postmaster(rim: &Rim) -> Option<String> {
    let address = Address::parse(&format!("postmaster@{NAME}")).unwrap();
    exec::run(rim.mailbox(&address)).unwrap().unwrap().map(|mailbox| mailbox.id.0)
}

fn user() -> Address {
    Address::parse(&format!("utente@{NAME}")).unwrap()
}

fn events(rim: &Rim, at: Instant) -> Vec<(AuditEvent, u32)> {
    let entries = exec::run(domains::history(rim, NAME, &at.month())).unwrap().unwrap();
    entries.iter().map(|entry| (entry.event, entry.times)).collect()
}

/// Active with the first look that finds its records right; a postmaster comes and goes with it (RFC 5321 §4.5.1).
#[test]
fn a_domain_waits_for_its_mx_records() {
    let world = World::of(&ALFA);
    let (rim, now) = (world.rim(), world.now());
    let added = add(&rim, "Nuova.ALFA.example", &theirs(), now).unwrap().unwrap();
    assert_eq!((added.name.as_str(), added.verdict, added.active_since), (NAME, Verdict::Others, None));
    for answer in [Answer::Nothing, Answer::Unknown("timeout".to_owned())] {
        assert_eq!(check(&rim, NAME, &answer, now).unwrap().active_since, None);
    }
    assert!(!is_active(&rim) && postmaster(&rim).is_none());

    let later = now.plus_s(60);
    let active = check(&rim, NAME, &ours(), later).unwrap();
    assert_eq!((active.verdict, active.active_since), (Verdict::Ours, Some(later)));
    assert!(!active.indexed, "the national index does not know it yet");
    assert!(is_active(&rim) && postmaster(&rim).is_some());
    assert_eq!(add(&rim, NAME, &ours(), later).unwrap().unwrap(), active, "taking it again is a look");

    remove(&rim, NAME, later).unwrap().unwrap();
    assert!(!is_active(&rim) && postmaster(&rim).is_none());
    assert!(matches!(remove(&rim, NAME, later), Some(Err(DomainError::NotHere))));
    let history = events(&rim, now);
    for event in [AuditEvent::DomainAdded, AuditEvent::DomainActivated, AuditEvent::DomainRemoved] {
        assert!(history.contains(&(event, 1)), "{event:?}: {history:?}");
    }
}

/// What reaches us must not be lost: an active domain stays so, and the change is on record, once.
#[test]
fn an_active_domain_that_loses_its_records_stays_active() {
    let world = World::of(&ALFA);
    let (rim, now) = (world.rim(), world.now());
    add(&rim, NAME, &ours(), now).unwrap().unwrap();
    for _ in 0..2 {
        let lost = check(&rim, NAME, &theirs(), now.plus_s(10)).unwrap();
        assert_eq!((lost.verdict, lost.active_since), (Verdict::Others, Some(now)));
    }
    assert!(is_active(&rim));
    assert!(events(&rim, now).contains(&(AuditEvent::DomainChanged, 1)));
    // DNS that does not answer hides nothing that was known.
    let unknown = check(&rim, NAME, &Answer::Unknown("timeout".to_owned()), now.plus_s(20)).unwrap();
    assert_eq!(unknown.exchangers, ["mx.altri.example"]);
}

/// Once a day, and domains that the provider was made with from their first look on.
#[test]
fn domains_are_due_a_day_after_the_last_look() {
    let world = World::of(&ALFA);
    let (rim, now) = (world.rim(), world.now());
    add(&rim, NAME, &theirs(), now).unwrap().unwrap();
    check(&rim, ALFA.domain, &ours(), now.plus_s(3600)).unwrap();
    let due = |after_s| exec::run(domains::due(&rim, now.plus_s(after_s))).unwrap().unwrap();
    assert!(due(24 * 3600 - 1).is_empty());
    assert_eq!(due(24 * 3600), [NAME]);
    assert_eq!(due(25 * 3600), [NAME, ALFA.domain]);
}

#[test]
fn a_domain_is_one_providers() {
    let world = World::of(&ALFA);
    let (rim, now) = (world.rim(), world.now());
    let refused = |name: &str| add(&rim, name, &ours(), now).unwrap().unwrap_err();
    assert!(matches!(refused(BETA.domain), DomainError::OfAnother(name) if name == BETA.name));
    assert!(matches!(refused("senza-punto"), DomainError::Name));
    assert!(matches!(check(&rim, NAME, &ours(), now), Err(DomainError::NotHere)));
    let own = remove(&rim, ALFA.mail_domain, now).unwrap();
    assert!(matches!(own, Err(DomainError::OfProvider(_) | DomainError::NotHere)), "{own:?}");
}

/// Accounts are made in active domains only, and are what a certified mailbox is; a domain with one stays.
#[test]
fn accounts_are_made_in_active_domains() {
    let world = World::of(&ALFA);
    let (rim, now) = (world.rim(), world.now());
    let accounts = exec::run(Accounts::open(rim.clone(), Arc::new(Plain))).unwrap().unwrap();
    let new = |address: &Address, wishes: &[Wish]| NewAccount {
        address: address.clone(),
        quota_bytes: 100 << 20,
        wishes: wishes.to_vec(),
    };
    let make = |wanted: NewAccount| exec::run(accounts.add(&wanted, now)).unwrap();
    assert!(matches!(make(new(&user(), &[])), Err(ManageError::NoDomain)));
    add(&rim, NAME, &ours(), now).unwrap().unwrap();
    for wish in [Wish::Alias, Wish::Forward, Wish::AutoReply, Wish::CatchAll] {
        let refused = make(new(&user(), &[wish])).unwrap_err();
        assert!(matches!(refused, ManageError::Never(why) if why == wish));
        assert_eq!(refused.to_string(), wish.why_not());
    }
    for reserved in ["postmaster", "Posta-Certificata"] {
        let address = Address::parse(&format!("{reserved}@{NAME}")).unwrap();
        assert!(matches!(make(new(&address, &[])), Err(ManageError::Reserved)), "{reserved}");
    }
    let small = NewAccount { quota_bytes: 1, ..new(&user(), &[]) };
    assert!(matches!(make(small), Err(ManageError::Quota)));

    let (mailbox, password) = make(new(&user(), &[])).unwrap();
    let sign_in = || {
        let peer = [192, 0, 2, 1].into();
        exec::run(accounts.sign_in(user().as_str(), &password, peer, "imaps", now)).unwrap()
    };
    assert_eq!(sign_in().unwrap().mailbox.id, mailbox.id);
    assert!(matches!(make(new(&user(), &[])), Err(ManageError::Taken)));
    assert!(matches!(remove(&rim, NAME, now), Some(Err(DomainError::Inhabited(1)))));

    // Disabled: nobody signs in. Enabled again: as before.
    let set = |active| exec::run(accounts.set_active(&user(), active, now)).unwrap().unwrap().state;
    assert_eq!(set(false), MailboxState::Disabled);
    assert!(sign_in().is_err());
    assert_eq!(set(true), MailboxState::Active);
    let quota = exec::run(accounts.set_quota(&user(), 200 << 20, now)).unwrap().unwrap();
    assert_eq!(quota.quota_bytes, 200 << 20);
    let audit = exec::run(accounts.audit(Some(&user()), &now.month())).unwrap().unwrap();
    for event in [
        AuditEvent::AccountAdded,
        AuditEvent::AccountDisabled,
        AuditEvent::AccountEnabled,
        AuditEvent::QuotaSet,
    ] {
        assert!(audit.iter().any(|entry| entry.event == event), "{event:?}");
    }
}

/// Power fails anywhere, answers get lost: what is done again ends as it would have ended, and is noted once.
#[test]
fn every_fault_of_taking_and_removing_is_over_when_it_is_done_again() {
    let calls = |taking: bool| {
        let (world, tap) = (World::of(&ALFA), Tap::counting());
        let now = world.now();
        add(&world.rim(), NAME, &ours(), now).unwrap().unwrap();
        let rim = tap.on(world.rim());
        if taking {
            add(&rim, "altra.alfa.example", &ours(), now).unwrap().unwrap();
        } else {
            remove(&rim, NAME, now).unwrap().unwrap();
        }
        tap.calls().len()
    };
    for taking in [true, false] {
        let calls = calls(taking);
        assert!(calls > 3);
        for n in 0..calls {
            for fault in Fault::ALL {
                let world = World::of(&ALFA);
                let (rim, now) = (world.rim(), world.now());
                let broken = Tap::breaking(n, fault).on(world.rim());
                if taking {
                    let first = add(&broken, NAME, &ours(), now);
                    let expected = |e: &DomainError| matches!(e, DomainError::Stage(StageError::Facts(_)));
                    assert!(
                        first.is_none_or(|r| r.is_ok() || r.as_ref().is_err_and(expected)),
                        "{n} {fault:?}"
                    );
                    let again = add(&rim, NAME, &ours(), now).unwrap().unwrap();
                    assert!(again.active_since.is_some() && is_active(&rim) && postmaster(&rim).is_some());
                    assert!(events(&rim, now).contains(&(AuditEvent::DomainActivated, 1)), "{n} {fault:?}");
                } else {
                    add(&rim, NAME, &ours(), now).unwrap().unwrap();
                    drop(remove(&broken, NAME, now));
                    let again = remove(&rim, NAME, now).unwrap();
                    assert!(matches!(again, Ok(()) | Err(DomainError::NotHere)), "{n} {fault:?}: {again:?}");
                    assert!(!is_active(&rim) && postmaster(&rim).is_none());
                    assert!(events(&rim, now).contains(&(AuditEvent::DomainRemoved, 1)), "{n} {fault:?}");
                }
            }
        }
    }
}
