//! Signing in: what passes, what strangers learn, how guessing is slowed down, what operators find afterwards.
#![allow(clippy::unwrap_used, reason = "a test world has no failures but those that a test makes")]

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
};

use async_trait::async_trait;
use pec::{Address, Instant};
use sigillo_stages::{
    Rim, StageError,
    accounts::{Accounts, AuditEvent, Choices, ManageError, Password, SignInRefused, SignedIn},
    ids::MailboxId,
    ports::{Passwords, PasswordsError},
    registry::{Mailbox, MailboxState},
    rim::Draft,
};
use sigillo_tests::world::{ALFA, Fault, Tap, World, exec};

const OWN: &str = "giusta";

/// Hashes that cost nothing; counts how often one is compared.
#[derive(Default)]
struct Plain(AtomicUsize);

#[async_trait]
impl Passwords for Plain {
    async fn hash(&self, password: &Password) -> Result<String, PasswordsError> {
        Ok(format!("plain:{}", password.reveal().as_str()))
    }
    async fn matches(&self, password: &Password, phc: &str) -> Result<bool, PasswordsError> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(phc.strip_prefix("plain:") == Some(password.reveal().as_str()))
    }
}

/// A provider with passwords for `mittente` and `sospesa`, which is disabled.
struct Bench {
    world: World,
    plain: Arc<Plain>,
    accounts: Accounts,
}

fn bench() -> Bench {
    let world = World::of(&ALFA);
    let plain = Arc::new(Plain::default());
    let accounts = opened(world.rim(), &plain);
    let bench = Bench { world, plain, accounts };
    for local in ["mittente", "sospesa"] {
        bench.set(local, OWN, 0);
    }
    bench
}

fn opened(rim: Rim, plain: &Arc<Plain>) -> Accounts {
    exec::run(Accounts::open(rim, Arc::clone(plain) as _)).unwrap().unwrap()
}

fn ask(
    accounts: &Accounts,
    local: &str,
    password: &str,
    from: u8,
    at: Instant,
) -> Option<Result<SignedIn, SignInRefused>> {
    let (name, password) = (ALFA.user(local).to_string(), Password::new(password));
    exec::run(accounts.sign_in(&name, &password, peer(from), "imaps", at))
}

fn peer(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

impl Bench {
    fn at(&self, after_s: i64) -> Instant {
        self.world.now().plus_s(after_s)
    }

    fn from(&self, local: &str, password: &str, from: u8, after_s: i64) -> Result<SignedIn, SignInRefused> {
        ask(&self.accounts, local, password, from, self.at(after_s)).unwrap()
    }

    fn set(&self, local: &str, password: &str, after_s: i64) {
        let (address, password) = (ALFA.user(local), Password::new(password));
        let set = self.accounts.set_password(&address, &password, self.at(after_s));
        exec::run(set).unwrap().unwrap();
    }

    fn asks(&self, local: &str, password: &str, after_s: i64) -> Result<SignedIn, SignInRefused> {
        self.from(local, password, 1, after_s)
    }

    fn compared(&self) -> usize {
        self.plain.0.load(Ordering::Relaxed)
    }

    fn change(&self, local: &str, change: impl FnOnce(&mut Mailbox)) {
        let rim = self.world.rim();
        let found = exec::run(rim.read::<Mailbox>(&Mailbox::key_of(ALFA.user(local).as_str())));
        let mut found = found.unwrap().unwrap().unwrap();
        change(&mut found.value);
        let mut draft = Draft::new();
        draft.replace(found.version, &found.value, None).unwrap();
        exec::run(rim.commit(draft)).unwrap().unwrap();
    }

    fn audit(&self, local: Option<&str>) -> Vec<(AuditEvent, u32)> {
        let address = local.map(|local| ALFA.user(local));
        let entries = exec::run(self.accounts.audit(address.as_ref(), &self.at(0).month())).unwrap().unwrap();
        entries.iter().map(|entry| (entry.event, entry.times)).collect()
    }
}

fn wrong(answer: &Result<SignedIn, SignInRefused>) -> bool {
    matches!(answer, Err(SignInRefused::Wrong))
}

fn wait_s(answer: &Result<SignedIn, SignInRefused>) -> Option<u64> {
    match answer {
        Err(SignInRefused::Wait(seconds)) => Some(*seconds),
        _ => None,
    }
}

#[test]
fn an_account_signs_in_by_its_address_and_password() {
    let bench = bench();
    let who = bench.asks("mittente", OWN, 0).unwrap();
    assert_eq!((who.mailbox.id.0.as_str(), &who.app_password), ("m-mittente", &None));
    assert!(bench.asks("MITTENTE", OWN, 0).is_ok(), "an address is one in any case");
    for (local, password) in [("mittente", "sbagliata"), ("mittente", ""), ("ignoto", OWN), ("copia", OWN)] {
        assert!(wrong(&bench.asks(local, password, 0)), "{local} {password}");
    }
    assert!(wrong(&bench.asks("mittente", &"a".repeat(1025), 0)));
}

/// An address that leads to the same mailbox signs in with the same password.
#[test]
fn an_alias_signs_in_too() {
    let bench = bench();
    bench.set("destinatario", OWN, 0);
    assert_eq!(bench.asks("alias", OWN, 0).unwrap().mailbox.id.0, "m-destinatario");
}

/// What is not given stays; what is chosen is there for whoever reads the mailbox next.
#[test]
fn an_owner_chooses_what_becomes_of_ordinary_mail_and_of_receipts() {
    let bench = bench();
    let choose = |local: &str, choices| {
        exec::run(bench.accounts.choose(&ALFA.user(local), choices, bench.at(0))).unwrap().map(|mailbox| {
            let read = exec::run(bench.world.rim().mailbox(&mailbox.address)).unwrap().unwrap();
            assert_eq!(read.as_ref(), Some(&mailbox));
            (mailbox.takes_ordinary, mailbox.receipts_in_inbox)
        })
    };
    let before = choose("mittente", Choices::default()).unwrap();
    let takes = Choices { takes_ordinary: Some(!before.0), receipts_in_inbox: None };
    assert_eq!(choose("mittente", takes).unwrap(), (!before.0, before.1));
    let receipts = Choices { takes_ordinary: None, receipts_in_inbox: Some(!before.1) };
    assert_eq!(choose("mittente", receipts).unwrap(), (!before.0, !before.1));
    assert!(matches!(choose("ignoto", takes), Err(ManageError::NoAccount)));
}

/// Nobody learns whether an account exists, nor that it is disabled: same answers, same calls, same comparisons.
#[test]
fn strangers_see_the_same_for_wrong_unknown_and_disabled() {
    let seen = |local: &str, password: &str| {
        let bench = bench();
        let tap = Tap::counting();
        let accounts = opened(tap.on(bench.world.rim()), &bench.plain);
        let before = bench.compared();
        let answers: Vec<String> = (0..8)
            .map(|n| {
                let asked = ask(&accounts, local, password, n, bench.at(i64::from(n) / 2));
                asked.unwrap().unwrap_err().to_string()
            })
            .collect();
        (answers, tap.calls(), bench.compared() - before)
    };
    let wrong = seen("mittente", "sbagliata");
    assert!(wrong.0.iter().any(|answer| answer.contains("try again in")), "{:?}", wrong.0);
    assert_eq!(seen("ignoto", "sbagliata"), wrong);
    assert_eq!(seen("sospesa", OWN), wrong);
    assert_eq!(seen("sospesa", "sbagliata"), wrong);
}

#[test]
fn guessing_at_an_account_costs_waits_that_double_and_a_success_ends_them() {
    let bench = bench();
    for n in 0..5 {
        assert!(wrong(&bench.from("mittente", "no", n, 0)));
    }
    // From everywhere, with whatever password; nothing is compared meanwhile.
    let compared = bench.compared();
    assert_eq!(wait_s(&bench.from("mittente", OWN, 99, 0)), Some(2));
    assert_eq!(bench.compared(), compared);
    assert!(wrong(&bench.from("mittente", "no", 6, 2)));
    assert_eq!(wait_s(&bench.from("mittente", OWN, 7, 2)), Some(4));
    // Another process, or this one after a restart, knows of it.
    let again = opened(bench.world.rim(), &bench.plain);
    assert_eq!(wait_s(&ask(&again, "mittente", OWN, 8, bench.at(5)).unwrap()), Some(1));
    // The right one ends it, and is remembered against later guesses.
    assert!(bench.from("mittente", OWN, 9, 6).is_ok());
    for n in 0..5 {
        assert!(wrong(&bench.from("mittente", "no", n, 6)));
    }
    assert!(wait_s(&bench.from("mittente", "no", 5, 6)).is_some());
    assert!(bench.from("mittente", OWN, 6, 6).is_ok());
    // For minutes only.
    assert_eq!(wait_s(&bench.from("mittente", OWN, 7, 6)), None);
    for n in 0..5 {
        bench.from("mittente", "no", n, 400).unwrap_err();
    }
    assert!(wait_s(&bench.from("mittente", OWN, 7, 400)).is_some());
    // And all is forgotten after an hour.
    assert!(wrong(&bench.from("mittente", "no", 1, 400 + 3601)));
    assert!(bench.from("mittente", OWN, 1, 400 + 3601).is_ok());
}

#[test]
fn guessing_from_one_address_at_many_accounts_costs_waits_too() {
    let bench = bench();
    for n in 0..20 {
        assert!(wrong(&bench.from(&format!("ignoto{n}"), "no", 1, 0)));
    }
    assert_eq!(wait_s(&bench.from("mittente", OWN, 1, 0)), Some(2));
    assert!(bench.from("mittente", OWN, 2, 0).is_ok(), "others are not held up");
}

/// Tries that come all at once do not pass the lock-out together.
#[test]
fn many_tries_at_once_are_counted_one_by_one() {
    let bench = bench();
    let tap = Tap::yielding();
    let accounts = opened(bench.world.rim(), &bench.plain);
    let accounts = Arc::new(accounts);
    let name = ALFA.user("mittente").to_string();
    let slow = Arc::new(
        run_slowly(Accounts::open(tap.on(bench.world.rim()), Arc::clone(&bench.plain) as _)).unwrap(),
    );
    drop(accounts);
    let (password, now) = (Password::new("no"), bench.at(0));
    let mut tries: Vec<exec::Running<'_, _>> = (0..30)
        .map(|n| {
            let asked = slow.sign_in(&name, &password, peer(n), "imaps", now);
            Box::pin(asked) as exec::Running<'_, _>
        })
        .collect();
    let mut answers = Vec::new();
    for _ in 0..100_000 {
        tries.retain_mut(|one| match exec::step(one) {
            Poll::Ready(answer) => {
                answers.push(answer);
                false
            }
            Poll::Pending => true,
        });
    }
    assert_eq!(answers.len(), 30);
    assert_eq!(answers.iter().filter(|answer| wrong(answer)).count(), 5);
    assert_eq!(answers.iter().filter(|answer| wait_s(answer).is_some()).count(), 25);
}

fn run_slowly<T>(future: impl Future<Output = T>) -> T {
    let mut running: exec::Running<'_, T> = Box::pin(future);
    loop {
        if let Poll::Ready(output) = exec::step(&mut running) {
            return output;
        }
    }
}

#[test]
fn a_remembered_verdict_ends_with_the_password_and_with_the_mailbox() {
    let bench = bench();
    assert!(bench.asks("mittente", OWN, 0).is_ok());
    let compared = bench.compared();
    assert!(bench.asks("mittente", OWN, 1).is_ok());
    assert_eq!(bench.compared(), compared, "remembered");
    bench.set("mittente", "nuova", 2);
    assert!(wrong(&bench.asks("mittente", OWN, 2)));
    let who = bench.asks("mittente", "nuova", 2).unwrap();
    let still = || exec::run(bench.accounts.still(&who)).unwrap().unwrap();
    assert!(still());
    bench.change("mittente", |mailbox| mailbox.state = MailboxState::Disabled);
    assert!(wrong(&bench.asks("mittente", "nuova", 2)));
    assert!(!still());
}

#[test]
fn who_signs_in_all_the_time_is_not_held_up_by_others_who_guess() {
    let bench = bench();
    for minute in 0..30 {
        assert!(bench.asks("mittente", OWN, 60 * minute).is_ok(), "{minute}");
        for n in 0..6 {
            bench.from("mittente", "no", 100 + n, 60 * minute).unwrap_err();
        }
    }
    // A process that remembers nothing shows that the lock-out was there all the while.
    let other = opened(bench.world.rim(), &bench.plain);
    assert!(wait_s(&ask(&other, "mittente", OWN, 1, bench.at(60 * 29)).unwrap()).is_some());
}

#[test]
fn an_address_that_changed_hands_ends_the_sessions_of_its_former_owner() {
    let bench = bench();
    let who = bench.asks("mittente", OWN, 0).unwrap();
    bench.change("mittente", |mailbox| mailbox.id = MailboxId("m-altro".to_owned()));
    assert!(!exec::run(bench.accounts.still(&who)).unwrap().unwrap());
    assert!(wrong(&bench.asks("mittente", OWN, 0)));
}

#[test]
fn app_passwords_are_made_named_used_and_revoked_one_by_one() {
    let bench = bench();
    let (mittente, now) = (ALFA.user("mittente"), bench.at(0));
    let add = |name: &str| exec::run(bench.accounts.add_app_password(&mittente, name, now)).unwrap();
    let ((phone, on_phone), (_, on_desk)) = (add("telefono").unwrap(), add("scrivania").unwrap());
    let (on_phone, on_desk) = (on_phone.reveal(), on_desk.reveal());
    assert!(on_phone.starts_with(&phone.id), "who sees it in a device's settings knows which one it is");

    // Each compares one hash, whichever it is, or none of them.
    let before = bench.compared();
    let who = bench.asks("mittente", &on_phone, 0).unwrap();
    assert_eq!(who.app_password.as_deref(), Some(phone.id.as_str()));
    assert!(bench.asks("mittente", &on_desk, 0).is_ok());
    assert!(bench.asks("mittente", OWN, 0).is_ok());
    let other = format!("{}-aaaaa-aaaaa-aaaaa-aaaaa", phone.id);
    assert!(wrong(&bench.asks("mittente", &other, 0)));
    assert_eq!(bench.compared() - before, 4);

    // The day of its use is known, no more.
    let listed = || exec::run(bench.accounts.app_passwords(&mittente)).unwrap().unwrap();
    let used: Vec<_> = listed().into_iter().map(|app| (app.name, app.last_used)).collect();
    let today = Some(now.day());
    assert_eq!(used, [("telefono".to_owned(), today.clone()), ("scrivania".to_owned(), today)]);

    // Revoked: it and its sessions, nothing else.
    let revoke = |id: &str| exec::run(bench.accounts.revoke_app_password(&mittente, id, now)).unwrap();
    revoke(&phone.id).unwrap();
    assert!(matches!(revoke(&phone.id), Err(ManageError::NoAppPassword)));
    assert!(wrong(&bench.asks("mittente", &on_phone, 0)));
    assert!(!exec::run(bench.accounts.still(&who)).unwrap().unwrap());
    assert!(bench.asks("mittente", &on_desk, 0).is_ok());
    assert_eq!(listed().iter().map(|app| app.revoked).collect::<Vec<_>>(), [Some(now), None]);

    // A new password leaves them as they are.
    exec::run(bench.accounts.reset_password(&mittente, now)).unwrap().unwrap();
    assert!(bench.asks("mittente", &on_desk, 0).is_ok());
}

#[test]
fn app_passwords_are_bounded_in_number_and_name() {
    let bench = bench();
    let (mittente, now) = (ALFA.user("mittente"), bench.at(0));
    let add = |name: &str| exec::run(bench.accounts.add_app_password(&mittente, name, now)).unwrap();
    for name in ["", "a\nb", &"n".repeat(101)] {
        assert!(matches!(add(name), Err(ManageError::Name)), "{name:?}");
    }
    let mut first = None;
    for n in 0..25 {
        let (app, _) = add(&n.to_string()).unwrap();
        first.get_or_insert(app.id);
    }
    assert!(matches!(add("uno di troppo"), Err(ManageError::TooMany)));
    let revoke = |id: &str| exec::run(bench.accounts.revoke_app_password(&mittente, id, now)).unwrap();
    revoke(&first.unwrap()).unwrap();
    for n in 0..60 {
        let (app, _) = add(&format!("altro {n}")).unwrap();
        revoke(&app.id).unwrap();
    }
    let listed = exec::run(bench.accounts.app_passwords(&mittente)).unwrap().unwrap();
    assert_eq!(listed.iter().filter(|app| app.revoked.is_some()).count(), 25);
    assert_eq!(listed.iter().filter(|app| app.revoked.is_none()).count(), 24);
    let unknown: Address = ALFA.user("ignoto");
    let asked = exec::run(bench.accounts.add_app_password(&unknown, "a", now)).unwrap();
    assert!(matches!(asked, Err(ManageError::NoAccount)));
}

#[test]
fn operators_find_who_signed_in_and_who_failed() {
    let bench = bench();
    for minute in 0..180 {
        assert!(bench.asks("mittente", OWN, 60 * minute).is_ok());
    }
    for n in 0..3 {
        assert!(wrong(&bench.from("mittente", "no", n % 2, 0)));
        assert!(wrong(&bench.asks("sospesa", OWN, 0)));
        assert!(wrong(&bench.asks("ignoto", OWN, 0)));
        assert!(wrong(&bench.asks(&format!("ignoto{n}"), OWN, 0)));
    }
    // Sign-ins are noted once an hour, failures each; by network.
    let expected = [
        (AuditEvent::Failed, 2),
        (AuditEvent::Failed, 1),
        (AuditEvent::PasswordSet, 1),
        (AuditEvent::SignedIn, 3),
    ];
    assert_eq!(bench.audit(Some("mittente")), expected);
    assert_eq!(bench.audit(Some("sospesa")), [(AuditEvent::Disabled, 3), (AuditEvent::PasswordSet, 1)]);
    assert_eq!(bench.audit(None), [(AuditEvent::Failed, 6)], "names that strangers make up take no room");
}

#[test]
fn a_client_that_signs_in_every_minute_does_not_write_every_minute() {
    let bench = bench();
    let tap = Tap::counting();
    let accounts = opened(tap.on(bench.world.rim()), &bench.plain);
    let before = tap.calls().iter().filter(|call| **call == "facts.commit").count();
    for minute in 0..60 {
        ask(&accounts, "mittente", OWN, 1, bench.at(60 * minute)).unwrap().unwrap();
    }
    let commits = tap.calls().iter().filter(|call| **call == "facts.commit").count() - before;
    assert_eq!(commits, 1);
}

/// Power fails anywhere, answers get lost: a try that was told "wrong" is counted, and no right password is refused
/// for good.
#[test]
fn every_fault_of_a_try_is_the_providers_and_is_over_afterwards() {
    let calls = {
        let bench = bench();
        let tap = Tap::counting();
        let accounts = opened(tap.on(bench.world.rim()), &bench.plain);
        let opening = tap.calls().len();
        for password in ["no", OWN] {
            drop(ask(&accounts, "mittente", password, 1, bench.at(0)));
        }
        opening..tap.calls().len()
    };
    assert!(calls.len() > 8, "{calls:?}");
    for n in calls {
        for fault in Fault::ALL {
            let bench = bench();
            let accounts = opened(Tap::breaking(n, fault).on(bench.world.rim()), &bench.plain);
            let ask = |password| ask(&accounts, "mittente", password, 1, bench.at(0));
            let first = ask("no");
            let counted = bench.audit(Some("mittente")).contains(&(AuditEvent::Failed, 1));
            match &first {
                Some(Err(SignInRefused::Wrong)) => assert!(counted, "{n} {fault:?}"),
                Some(Err(SignInRefused::Stage(StageError::Facts(_) | StageError::Raced))) | None => {}
                other => panic!("{n} {fault:?}: {other:?}"),
            }
            let second = ask(OWN);
            assert!(!matches!(second, Some(Err(SignInRefused::Wrong))), "{n} {fault:?}");
            assert!(bench.asks("mittente", OWN, 0).is_ok(), "{n} {fault:?}");
        }
    }
}
