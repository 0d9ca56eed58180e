//! The ways of letters that faults, interleavings and disorder are tried on: each a world with what comes in.

use std::sync::LazyLock;

use bytes::Bytes;
use pec::{Address, Instant, Kind};
use stages::{
    door::{Arrival, Submission},
    ports::{Destination, Relayed},
};

use crate::world::{
    ALFA, BETA, ScannerKind, Work, World, address, eicar,
    letters::{arrival, letter, message, submission},
    morning,
};

/// A world before anything has come in, with what will come.
pub type Scenario = fn() -> World;

/// Hands the names of all scenarios to a macro: this is the one list of them.
#[macro_export]
macro_rules! every_scenario {
    ($with:ident) => {
        $with!(
            two_own_recipients,
            two_addresses_of_one_mailbox,
            refused,
            infected,
            no_delivery,
            a_mailbox_that_fills_up,
            infected_inside,
            to_another_provider,
            failure_at_another_provider,
            virus_at_another_provider,
            silence,
            taken_in_charge_and_then_silence,
            refused_by_another_provider,
            to_ordinary_mail,
            refused_by_ordinary_mail,
            given_up_by_ordinary_mail,
            from_another_provider,
            infected_from_another_provider,
            the_same_envelope_three_times,
            anomaly,
            ordinary_mail,
            ordinary_mail_that_all_refuse,
            ordinary_mail_from_a_provider,
            anomaly_that_cannot_be_stored,
        );
    };
}

macro_rules! all {
    ($($scenario:ident),* $(,)?) => {
        /// Every scenario, by name.
        pub const ALL: [(&str, Scenario); 24] = [$((stringify!($scenario), $scenario)),*];
    };
}

every_scenario!(all);

const HOUR_S: i64 = 3600;

fn submit(letter: Submission) -> Work {
    Work::Submit(Box::new(letter))
}

fn arrive(arrival: Arrival) -> Work {
    Work::Arrive(Box::new(arrival))
}

/// M3, M4, M7, and an M11 for each: complete for `To`, synthetic for `Cc`.
#[must_use]
pub fn two_own_recipients() -> World {
    World::of(&ALFA).with(0, submit(letter(&ALFA, &[ALFA.user("destinatario")], &[ALFA.user("copia")])))
}

/// Two recipients, one mailbox: the message is in it once, and two M11 say so.
#[must_use]
pub fn two_addresses_of_one_mailbox() -> World {
    World::of(&ALFA).with(0, submit(letter(&ALFA, &[ALFA.user("destinatario")], &[ALFA.user("alias")])))
}

/// M1: the header names another recipient than the transaction (F4).
#[must_use]
pub fn refused() -> World {
    let raw = message(&ALFA.user("mittente"), &[ALFA.user("copia")], &[], "Buongiorno.");
    World::of(&ALFA).with(0, submit(submission(&ALFA, vec![ALFA.user("destinatario")], raw)))
}

/// M2.
#[must_use]
pub fn infected() -> World {
    World::of(&ALFA).with(0, submit(infected_letter(&ALFA.user("destinatario"))))
}

fn infected_letter(to: &Address) -> Submission {
    let raw = message(&ALFA.user("mittente"), std::slice::from_ref(to), &[], &eicar());
    submission(&ALFA, vec![to.clone()], raw)
}

/// M12 for a mailbox that is not there, one that is disabled, and one that is full.
#[must_use]
pub fn no_delivery() -> World {
    let to = ["ignoto", "sospesa", "piena"].map(|local| ALFA.user(local));
    World::of(&ALFA).with(0, submit(letter(&ALFA, &to, &[])))
}

/// A letter that crosses a line of the quota: the holder is told in the same commit.
#[must_use]
pub fn a_mailbox_that_fills_up() -> World {
    World::of(&ALFA).with(0, submit(letter(&ALFA, &[ALFA.user("stretta")], &[])))
}

/// A virus that only the incoming point finds: M7, M9 to ourselves, M10.
#[must_use]
pub fn infected_inside() -> World {
    World::of(&ALFA)
        .scanning(ScannerKind::EnvelopesOnly)
        .with(0, submit(infected_letter(&ALFA.user("destinatario"))))
}

/// What `BETA` answers to the letter of `mittente`, by kind: made by its own stages.
struct Answers {
    take_charge: Arrival,
    delivery: Arrival,
    failure: Arrival,
    virus: Arrival,
    virus_take_charge: Arrival,
}

/// The recipients at `BETA`: one that is there, one that is not.
fn beta_user() -> Address {
    BETA.user("destinatario")
}

fn beta_nobody() -> Address {
    BETA.user("ignoto")
}

static BETA_ANSWERS: LazyLock<Answers> = LazyLock::new(|| {
    let sends = |to: Submission| {
        let alfa = World::of(&ALFA).scanning(ScannerKind::Blind).with(0, submit(to));
        while let Some(work) = alfa.next_work() {
            if matches!(work, Work::Hints) {
                break;
            }
            alfa.perform(&work);
        }
        let envelope = alfa.sent_to(&BETA).into_iter().next().expect("an envelope for BETA");
        let beta = World::of(&BETA).with(0, arrive(envelope));
        beta.heal();
        beta.sent_to(&ALFA)
    };
    let of = |answers: &[Arrival], kind: Kind| {
        let wire = format!("{}: {}", kind.words().field, kind.words().value);
        let of_kind = |a: &&Arrival| a.raw.windows(wire.len()).any(|w| w == wire.as_bytes());
        answers.iter().find(of_kind).cloned().unwrap_or_else(|| panic!("BETA sent no {}", kind.name()))
    };
    let delivered = sends(letter(&ALFA, &[beta_user()], &[]));
    let failed = sends(letter(&ALFA, &[beta_nobody()], &[]));
    let infected = sends(infected_letter(&beta_user()));
    Answers {
        take_charge: of(&delivered, Kind::TakeCharge),
        delivery: of(&delivered, Kind::Delivery),
        failure: of(&failed, Kind::NonDelivery),
        virus: of(&infected, Kind::VirusDetection),
        virus_take_charge: of(&infected, Kind::TakeCharge),
    }
});

/// M3, M4 through dispatch; M7 and M11 of the other provider come in, M11 twice.
#[must_use]
pub fn to_another_provider() -> World {
    World::of(&ALFA)
        .with(0, submit(letter(&ALFA, &[beta_user()], &[])))
        .with(60, arrive(BETA_ANSWERS.take_charge.clone()))
        .with(120, arrive(BETA_ANSWERS.delivery.clone()))
        .with(180, arrive(BETA_ANSWERS.delivery.clone()))
}

/// The other provider's M12.
#[must_use]
pub fn failure_at_another_provider() -> World {
    World::of(&ALFA)
        .with(0, submit(letter(&ALFA, &[beta_nobody()], &[])))
        .with(120, arrive(BETA_ANSWERS.failure.clone()))
}

/// The other provider's M9 makes our M10.
#[must_use]
pub fn virus_at_another_provider() -> World {
    World::of(&ALFA)
        .scanning(ScannerKind::Blind)
        .with(0, submit(infected_letter(&beta_user())))
        .with(60, arrive(BETA_ANSWERS.virus_take_charge.clone()))
        .with(120, arrive(BETA_ANSWERS.virus.clone()))
}

/// The other side never answers: M5 after twelve hours, M6 after twenty-three.
#[must_use]
pub fn silence() -> World {
    let silent = |_: &Destination, _| Relayed::Later { answer: "421 4.3.2 not now".to_owned() };
    World::answered(&ALFA, silent).with(0, submit(letter(&ALFA, &[beta_user()], &[])))
}

/// M7 after ten minutes, nothing else: no M5, but M6; the delivery receipt comes after it and is late.
#[must_use]
pub fn taken_in_charge_and_then_silence() -> World {
    World::of(&ALFA)
        .with(0, submit(letter(&ALFA, &[beta_user()], &[])))
        .with(600, arrive(BETA_ANSWERS.take_charge.clone()))
        .with(25 * HOUR_S, arrive(BETA_ANSWERS.delivery.clone()))
}

/// The other side refuses for good: M12 of ours.
#[must_use]
pub fn refused_by_another_provider() -> World {
    let refuses = |_: &Destination, _| Relayed::Refused {
        code: "5.1.2".to_owned(),
        answer: "550 5.1.2 no".to_owned(),
        no_domain: false,
    };
    World::answered(&ALFA, refuses).with(0, submit(letter(&ALFA, &[beta_user()], &[])))
}

/// An own recipient beside two ordinary domains, one of which is slow.
#[must_use]
pub fn to_ordinary_mail() -> World {
    let slow = |to: &Destination, now: Instant| match to {
        Destination::Ordinary { domain } if domain == "lenta.example" && now < morning().plus_s(600) => {
            Relayed::Later { answer: "451 4.7.1 greylisted".to_owned() }
        }
        _ => Relayed::Taken,
    };
    let cc = [address("utente@posta.example"), address("utente@lenta.example")];
    World::answered(&ALFA, slow).with(0, submit(letter(&ALFA, &[ALFA.user("destinatario")], &cc)))
}

/// Ordinary mail refuses for good, in one domain and not in the other: the sender gets the report inside M8.
#[must_use]
pub fn refused_by_ordinary_mail() -> World {
    let answers = |to: &Destination, _| match to {
        Destination::Ordinary { domain } if domain == "posta.example" => Relayed::Refused {
            code: "5.1.1".to_owned(),
            answer: "550 5.1.1 no such user".to_owned(),
            no_domain: false,
        },
        _ => Relayed::Taken,
    };
    let cc = ["utente@posta.example", "altro@posta.example", "utente@altra.example"].map(address);
    World::answered(&ALFA, answers).with(0, submit(letter(&ALFA, &[ALFA.user("destinatario")], &cc)))
}

/// Ordinary mail is tried for a day.
#[must_use]
pub fn given_up_by_ordinary_mail() -> World {
    let silent = |_: &Destination, _| Relayed::Later { answer: "connection refused".to_owned() };
    World::answered(&ALFA, silent).with(0, submit(letter(&ALFA, &[address("utente@posta.example")], &[])))
}

/// An envelope of `BETA` to two users of `ALFA`.
static ENVELOPE: LazyLock<Arrival> = LazyLock::new(|| envelope_from_beta("Buongiorno."));
static INFECTED_ENVELOPE: LazyLock<Arrival> = LazyLock::new(|| envelope_from_beta(&eicar()));

fn envelope_from_beta(text: &str) -> Arrival {
    let (to, cc) = ([ALFA.user("destinatario")], [ALFA.user("copia")]);
    let raw = message(&BETA.user("mittente"), &to, &cc, text);
    envelope_of_beta(submission(&BETA, to.into_iter().chain(cc).collect(), raw))
}

fn envelope_of_beta(letter: Submission) -> Arrival {
    let beta = World::of(&BETA).scanning(ScannerKind::Blind).with(0, submit(letter));
    while let Some(work) = beta.next_work() {
        if matches!(work, Work::Hints) {
            break;
        }
        beta.perform(&work);
    }
    beta.sent_to(&ALFA).into_iter().next().expect("an envelope for ALFA")
}

/// M7 and M11 go out.
#[must_use]
pub fn from_another_provider() -> World {
    World::of(&ALFA).with(0, arrive(ENVELOPE.clone()))
}

/// M7 and M9 go out, nothing reaches a mailbox.
#[must_use]
pub fn infected_from_another_provider() -> World {
    World::of(&ALFA).with(0, arrive(INFECTED_ENVELOPE.clone()))
}

/// The same again (a resend after a lost `250`), and a second transaction with one recipient only.
#[must_use]
pub fn the_same_envelope_three_times() -> World {
    let one = Arrival {
        transaction: pec::Transaction::new(ENVELOPE.transaction.reverse_path.clone(), [ALFA.user("copia")]),
        ..ENVELOPE.clone()
    };
    World::of(&ALFA)
        .with(0, arrive(ENVELOPE.clone()))
        .with(30, arrive(ENVELOPE.clone()))
        .with(60, arrive(one))
}

/// M8: signed by a provider, but not in form (case C).
#[must_use]
pub fn anomaly() -> World {
    let text = String::from_utf8(ENVELOPE.raw.to_vec()).expect("ASCII");
    let raw = Bytes::from(text.replacen("X-Trasporto: posta-certificata", "X-Trasporto: altro", 1));
    assert_ne!(raw, ENVELOPE.raw, "the header is there");
    World::of(&ALFA).with(0, arrive(Arrival { raw, ..ENVELOPE.clone() }))
}

/// M8 for the mailbox that takes ordinary mail, a report about the other (case D, D13).
#[must_use]
pub fn ordinary_mail() -> World {
    let from = address("utente@posta.example");
    let to = [ALFA.user("aperta"), ALFA.user("destinatario")];
    let raw = message(&from, &to, &[], "Buongiorno.");
    World::of(&ALFA).with(0, arrive(arrival(Some(from), to.to_vec(), raw)))
}

/// Nobody takes it, for three reasons: one report to its reverse path (D13), and what comes back for that one ends.
#[must_use]
pub fn ordinary_mail_that_all_refuse() -> World {
    let from = address("utente@posta.example");
    let to = ["destinatario", "sospesa", "ignoto"].map(|local| ALFA.user(local));
    let raw = message(&from, &to, &[], "Buongiorno.");
    let refuses = |_: &Destination, _| Relayed::Refused {
        code: "5.1.1".to_owned(),
        answer: "550 5.1.1 no such user".to_owned(),
        no_domain: false,
    };
    World::answered(&ALFA, refuses).with(0, arrive(arrival(Some(from), to.to_vec(), raw)))
}

/// Ordinary mail whose reverse path is another provider's user, ours, or null: only the first and the second are told,
/// and the second refuses ordinary mail.
#[must_use]
pub fn ordinary_mail_from_a_provider() -> World {
    let to = [ALFA.user("destinatario")];
    let from = |path: Option<Address>| {
        let author = path.clone().unwrap_or_else(|| address("demone@posta.example"));
        arrive(arrival(path, to.to_vec(), message(&author, &to, &[], "Buongiorno.")))
    };
    World::of(&ALFA)
        .with(0, from(Some(BETA.user("mittente"))))
        .with(60, from(Some(ALFA.user("copia"))))
        .with(120, from(None))
}

/// Case C for a mailbox that is not there (D14).
#[must_use]
pub fn anomaly_that_cannot_be_stored() -> World {
    let text = String::from_utf8(ENVELOPE.raw.to_vec()).expect("ASCII");
    let raw = Bytes::from(text.replacen("X-Trasporto: posta-certificata", "X-Trasporto: altro", 1));
    let to = [ALFA.user("ignoto"), ALFA.user("destinatario")];
    let path = ENVELOPE.transaction.reverse_path.clone();
    World::of(&ALFA).with(0, arrive(arrival(path, to.to_vec(), raw)))
}

// ------------------------------------------------------------------------- large ones, not in `ALL`

/// How many recipients a large letter has: more than one commit takes.
pub const MANY: usize = 100;

/// One own recipient, and many ordinary ones, each of another domain.
#[must_use]
pub fn many_destinations() -> World {
    let cc: Vec<Address> = (0..MANY).map(|n| address(&format!("utente@posta{n}.example"))).collect();
    World::of(&ALFA).with(0, submit(letter(&ALFA, &[ALFA.user("destinatario")], &cc)))
}

/// One own recipient, and many ordinary ones of one domain.
#[must_use]
pub fn many_recipients() -> World {
    let cc: Vec<Address> = (0..MANY).map(|n| address(&format!("utente{n}@posta.example"))).collect();
    World::of(&ALFA).with(0, submit(letter(&ALFA, &[ALFA.user("destinatario")], &cc)))
}

/// An envelope of another provider to many addresses of ours, all but one of which are not there.
#[must_use]
pub fn many_filings() -> World {
    static MANY_ENVELOPE: LazyLock<Arrival> = LazyLock::new(|| {
        let to: Vec<Address> = (0..MANY).map(|n| ALFA.user(&format!("ignoto{n}"))).collect();
        let to: Vec<Address> = std::iter::once(ALFA.user("destinatario")).chain(to).collect();
        let raw = message(&BETA.user("mittente"), &to, &[], "Buongiorno.");
        envelope_of_beta(submission(&BETA, to, raw))
    });
    World::of(&ALFA).with(0, arrive(MANY_ENVELOPE.clone()))
}

// ------------------------------------------------------------------------- for jobs that compete, not in `ALL`

/// One own recipient.
#[must_use]
pub fn one_own_recipient() -> World {
    World::of(&ALFA).with(0, submit(letter(&ALFA, &[ALFA.user("destinatario")], &[])))
}

/// Taken in charge, and the delivery receipt comes in when M6 is due.
#[must_use]
pub fn receipt_at_the_last_hour() -> World {
    World::of(&ALFA)
        .with(0, submit(letter(&ALFA, &[beta_user()], &[])))
        .with(23 * HOUR_S, arrive(BETA_ANSWERS.delivery.clone()))
}

/// The other side is busy for twenty-three hours, and then refuses.
#[must_use]
pub fn refused_at_the_last_hour() -> World {
    let answers = |_: &Destination, now: Instant| {
        if now < morning().plus_s(23 * HOUR_S) {
            return Relayed::Later { answer: "421 4.3.2 not now".to_owned() };
        }
        Relayed::Refused { code: "5.1.2".to_owned(), answer: "550 5.1.2 no".to_owned(), no_domain: false }
    };
    World::answered(&ALFA, answers).with(0, submit(letter(&ALFA, &[beta_user()], &[])))
}

/// The other side took it, but its answer was lost: the delivery receipt comes before the next try.
#[must_use]
pub fn certified_before_it_was_taken() -> World {
    let answers = |_: &Destination, now: Instant| match now < morning().plus_s(50) {
        true => Relayed::Later { answer: "the connection broke".to_owned() },
        false => Relayed::Taken,
    };
    World::answered(&ALFA, answers)
        .with(0, submit(letter(&ALFA, &[beta_user()], &[])))
        .with(30, arrive(BETA_ANSWERS.delivery.clone()))
}

/// The delivery receipt comes in twice in the same second.
#[must_use]
pub fn receipt_twice_at_once() -> World {
    World::of(&ALFA)
        .with(0, submit(letter(&ALFA, &[beta_user()], &[])))
        .with(60, arrive(BETA_ANSWERS.delivery.clone()))
        .with(60, arrive(BETA_ANSWERS.delivery.clone()))
}

/// An envelope comes in twice in the same second.
#[must_use]
pub fn envelope_twice_at_once() -> World {
    World::of(&ALFA).with(0, arrive(ENVELOPE.clone())).with(0, arrive(ENVELOPE.clone()))
}
