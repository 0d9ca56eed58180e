//! T-IN: what the incoming point makes of what comes (RFC 6109 §2.2.2, §3.2; spec 5).

use bytes::Bytes;
use pec::{Index, Instant};
use sigillo_tests::{
    network::Network,
    world::{ALFA, BETA, Evidence, PKI, ScannerKind, World, address, eicar, exec, letters, morning},
};
use stages::{
    door::{Arrival, Submission},
    log::Event,
    receive::{Classified, classify},
};

use crate::{
    ACCEPTANCE, ANOMALY, DELIVERY, ENVELOPE, FAILURE, Found, TAKE_CHARGE, VIRUS, both, kinds, of_kind, one,
    plain::Plain, wire, wired,
};

/// What ALFA sends of a letter to these.
fn sent_by_alfa(letter: Submission) -> Vec<Arrival> {
    let alfa = World::of(&ALFA).scanning(ScannerKind::Blind);
    alfa.submit(letter).unwrap();
    alfa.run_until_idle();
    alfa.sent_to(&BETA)
}

fn envelope() -> Arrival {
    sent_by_alfa(letters::letter(&ALFA, &[BETA.user("destinatario")], &[])).remove(0)
}

/// What BETA makes of it.
fn received_by(beta: World, arrival: Arrival) -> (World, Evidence) {
    beta.arrive(arrival).unwrap();
    beta.heal();
    let evidence = beta.evidence();
    evidence.assert_lawful();
    (beta, evidence)
}

fn received(arrival: Arrival) -> (World, Evidence) {
    received_by(World::of(&BETA), arrival)
}

/// The same transaction with other octets.
fn with_raw(arrival: &Arrival, raw: impl Into<Bytes>) -> Arrival {
    Arrival { raw: raw.into(), ..arrival.clone() }
}

/// With a change in the text of it.
fn changed(arrival: &Arrival, from: &str, to: &str) -> Arrival {
    let text = String::from_utf8(arrival.raw.to_vec()).unwrap();
    assert!(text.contains(from), "{from} in the message");
    with_raw(arrival, text.replacen(from, to, 1))
}

/// The message with other content, signed anew by ALFA; `cms` makes what is said of the signature.
fn resigned(
    arrival: &Arrival,
    change: impl FnOnce(Vec<Vec<u8>>) -> Vec<Vec<u8>>,
    cms: impl FnOnce(Vec<u8>) -> Vec<u8>,
) -> Arrival {
    let message = Plain::of(&arrival.raw);
    let content = message.raw_parts().remove(0);
    let mixed = Plain::of(&content);
    let head = &content[..content.len() - mixed.body.len()];
    let boundary = boundary(&mixed);
    let mut out = head.to_vec();
    for part in change(mixed.raw_parts()) {
        out.extend([format!("--{boundary}\r\n").as_bytes(), &part, b"\r\n"].concat());
    }
    out.extend(format!("--{boundary}--\r\n").as_bytes());
    let signature = cms(PKI.of(&ALFA)[0].detached(&out, morning()));
    let outer = &arrival.raw[..arrival.raw.len() - message.body.len()];
    let around = self::boundary(&message);
    let part = "Content-Type: application/pkcs7-signature; name=\"smime.p7s\"\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    let base64 = crate::plain::openssl(&["base64", "-e"], &signature);
    let base64 = String::from_utf8(base64).unwrap().replace('\n', "\r\n");
    let mut whole = [outer, format!("--{around}\r\n").as_bytes(), &out].concat();
    whole.extend(format!("\r\n--{around}\r\n{part}{base64}--{around}--\r\n").as_bytes());
    with_raw(arrival, whole)
}

fn boundary(message: &Plain) -> String {
    let kind = message.field("Content-Type").unwrap();
    kind.split("boundary=")
        .nth(1)
        .unwrap()
        .trim_start_matches('"')
        .split(['"', ';'])
        .next()
        .unwrap()
        .to_owned()
}

/// Case D: ordinary mail. A mailbox that refuses it gets nothing, one that takes it an anomaly envelope; no take-charge.
fn assert_case_d(beta: impl Fn() -> World, arrival: &Arrival) {
    let (world, evidence) = received_by(beta(), arrival.clone());
    assert!(kinds(&evidence, "destinatario").is_empty(), "{:?}", kinds(&evidence, "destinatario"));
    assert_eq!(wired_by(&world), [] as [String; 0]);
    let open = Arrival {
        transaction: pec::Transaction::new(arrival.transaction.reverse_path.clone(), [BETA.user("aperta")]),
        ..arrival.clone()
    };
    let (world, evidence) = received_by(beta(), open);
    let wrapped = one(&evidence, "aperta", ANOMALY);
    assert!(wrapped.opened().text.contains("la firma digitale del messaggio non risulta attendibile"));
    assert_eq!(wired_by(&world), [] as [String; 0]);
}

/// Kinds of the receipts and notices that a world sent to ALFA; not a report to the reverse path (0.2 D13).
fn wired_by(world: &World) -> Vec<String> {
    let kinds = world.sent_to(&ALFA).into_iter().map(|a| Found::of(a.raw).kind);
    kinds.filter(|kind| kind != "none").collect()
}

/// T-IN-01: M7 to `mailReceipt`, one for each transaction, naming all recipients of it.
#[test]
fn t_in_01_a_valid_envelope_is_taken_in_charge() {
    let to = [BETA.user("destinatario"), BETA.user("copia"), BETA.user("ignoto")];
    let mut network = both();
    network.world(&ALFA).submit(letters::letter(&ALFA, &to, &[])).unwrap();
    network.finish();
    let charges: Vec<_> = network
        .world(&BETA)
        .sent_to(&ALFA)
        .into_iter()
        .filter(|a| Found::of(a.raw.clone()).kind == TAKE_CHARGE)
        .collect();
    let [charge] = &charges[..] else { panic!("one take-charge for one transaction") };
    assert_eq!(charge.transaction.forward_paths, [ALFA.mail_receipt()]);
    let message = Plain::of(&charge.raw);
    assert_eq!(message.field("To"), Some(ALFA.mail_receipt().to_string()));
    assert_eq!(message.field("Subject").unwrap().split(": ").next(), Some("PRESA IN CARICO"));
    let opened = message.opened();
    assert!(opened.daticert().contains("tipo=\"presa-in-carico\" errore=\"nessuno\""));
    let mut taken = opened.elements("ricezione");
    taken.sort();
    let mut all: Vec<String> = to.iter().map(ToString::to_string).collect();
    all.sort();
    assert_eq!(taken, all);
    assert_eq!(opened.elements("gestore-emittente"), [BETA.name]);

    // The same envelope in two transactions: two of them, together covering all.
    let whole = wire_arrival(&network);
    let half = |n: usize| Arrival {
        transaction: pec::Transaction::new(whole.transaction.reverse_path.clone(), [to[n].clone()]),
        ..whole.clone()
    };
    let beta = World::of(&BETA);
    for n in [0, 1] {
        beta.arrive(half(n)).unwrap();
    }
    beta.heal();
    let mut named: Vec<Vec<String>> = beta
        .sent_to(&ALFA)
        .into_iter()
        .map(|a| Found::of(a.raw))
        .filter(|m| m.kind == TAKE_CHARGE)
        .map(|m| m.plain().opened().elements("ricezione"))
        .collect();
    named.sort();
    assert_eq!(named, [vec![to[1].to_string()], vec![to[0].to_string()]]);
}

fn wire_arrival(network: &Network) -> Arrival {
    network.world(&ALFA).sent_to(&BETA).remove(0)
}

/// T-IN-02, V3.
#[test]
fn t_in_02_a_tampered_body() {
    assert_case_d(|| World::of(&BETA), &changed(&envelope(), "Una nota.", "Una nota!"));
}

/// T-IN-03, V2.
#[test]
fn t_in_03_a_signer_that_is_not_in_the_index() {
    let without = || World::of(&BETA).knowing(Index::new(vec![BETA.index_record()]));
    assert_case_d(without, &envelope());
}

/// T-IN-04, V3: the certificate is judged as of the reception. A revoked one: revocation.rs beside this folder.
#[test]
fn t_in_04_an_expired_certificate() {
    let later = || {
        let beta = World::of(&BETA);
        beta.clock.advance_to(Instant::parse("2029-01-02T00:00:00Z").unwrap());
        beta
    };
    assert_case_d(later, &envelope());
}

/// Case C: an anomaly envelope even where ordinary mail is refused; neither take-charge nor receipt.
fn assert_case_c(beta: World, arrival: Arrival) {
    let (world, evidence) = received_by(beta, arrival);
    assert_eq!(kinds(&evidence, "destinatario"), [ANOMALY]);
    let wrapped = one(&evidence, "destinatario", ANOMALY);
    assert!(wrapped.field("Subject").unwrap().starts_with("ANOMALIA MESSAGGIO: "));
    assert_eq!(wrapped.opened().daticert, None);
    assert_eq!(wired_by(&world), [] as [String; 0]);
    assert!(evidence.logged(Event::TakenInCharge).is_empty());
}

/// T-IN-05, V4.
#[test]
fn t_in_05_wrong_headers_or_no_certification_data() {
    let envelope = envelope();
    assert_case_c(
        World::of(&BETA),
        changed(&envelope, "X-Trasporto: posta-certificata", "X-Trasporto: altro"),
    );
    assert_case_c(World::of(&BETA), changed(&envelope, "X-Trasporto: posta-certificata", "X-Altro: niente"));
    let no_data = resigned(
        &envelope,
        |parts| parts.into_iter().filter(|p| !is(p, "daticert.xml")).collect(),
        |cms| cms,
    );
    assert_case_c(World::of(&BETA), no_data);
    let no_original = resigned(
        &envelope,
        |parts| parts.into_iter().filter(|p| !is(p, "postacert.eml")).collect(),
        |cms| cms,
    );
    assert_case_c(World::of(&BETA), no_original);
}

fn is(part: &[u8], name: &str) -> bool {
    Plain::of(part).field("Content-Type").unwrap().contains(name)
}

/// T-IN-06, V4: RFC 6109 §7.
#[test]
fn t_in_06_a_from_outside_of_the_managed_domains() {
    let mut alfa = ALFA.index_record();
    alfa.managed_domains = vec![ALFA.domain.to_owned()];
    assert_case_c(World::of(&BETA).knowing(Index::new(vec![alfa, BETA.index_record()])), envelope());
}

/// T-IN-07: ordinary mail is taken inside M8, or refused, by each mailbox's choice; an infected one reaches nobody.
#[test]
fn t_in_07_ordinary_mail() {
    let from = address("utente@posta.example");
    let mail = |to: &str, text: &str| {
        let to = BETA.user(to);
        let raw = letters::message(&from, std::slice::from_ref(&to), &[], text);
        letters::arrival(Some(from.clone()), vec![to], raw)
    };
    let asked = |arrival: &Arrival| {
        let world = World::of(&BETA);
        exec::run(classify(&world.rim(), &arrival.raw, &arrival.transaction, world.now())).unwrap().unwrap()
    };

    // 1. Taken.
    let taken = mail("aperta", "Buongiorno.");
    assert_eq!(asked(&taken), Classified::Ordinary);
    let (_, evidence) = received(taken.clone());
    let wrapped = one(&evidence, "aperta", ANOMALY);
    assert_eq!(
        wrapped.field("From").as_deref(),
        Some("\"Per conto di: utente@posta.example\" <posta-certificata@gestore.beta.example>")
    );
    assert_eq!(wrapped.field("Reply-To").as_deref(), Some("utente@posta.example"));
    let inner = Plain::of(&wrapped.parts()[0].body);
    assert!(
        String::from_utf8_lossy(&inner.body).contains("Una nota.")
            || wrapped.body.windows(9).any(|w| w == b"Una nota.")
    );

    // 2. Refused: the door says so (554 5.7.1, server/tests/smtp.rs), and nothing stays with the recipient.
    let refused = mail("destinatario", "Buongiorno.");
    assert_eq!(asked(&refused), Classified::OrdinaryRefused);
    assert!(kinds(&received(refused).1, "destinatario").is_empty());

    // 3. Infected.
    let (_, evidence) = received(mail("aperta", &eicar()));
    assert!(kinds(&evidence, "aperta").is_empty());
    assert_eq!(evidence.logged(Event::VirusFound).len(), 1);
}

/// T-IN-08: M7 first, M9 for each recipient, M10 at the sender, the message in the store.
#[test]
fn t_in_08_an_infected_envelope() {
    let to = [BETA.user("destinatario"), BETA.user("copia")];
    let raw = letters::message(&ALFA.user("mittente"), &to, &[], &eicar());
    let mut network = Network::of(vec![World::of(&ALFA).scanning(ScannerKind::Blind), World::of(&BETA)]);
    network.world(&ALFA).submit(letters::submission(&ALFA, to.to_vec(), raw)).unwrap();
    network.finish();
    assert_eq!((wired(&network, &BETA, &ALFA, TAKE_CHARGE), wired(&network, &BETA, &ALFA, VIRUS)), (1, 2));
    let notices = wire(&network, &BETA, &ALFA).into_iter().filter(|m| m.kind == VIRUS).map(|m| m.plain());
    for notice in notices {
        assert_eq!(notice.field("X-Mittente").as_deref(), Some("mittente@pec.alfa.example"));
        assert_eq!(notice.field("To"), Some(ALFA.mail_receipt().to_string()));
        assert!(notice.opened().daticert().contains("tipo=\"rilevazione-virus\" errore=\"virus\""));
        assert_eq!(notice.opened().elements("errore-esteso"), ["Eicar-Test-Signature"]);
    }
    let (alfa, beta) = (network.evidence(&ALFA), network.evidence(&BETA));
    assert_eq!(kinds(&alfa, "mittente"), [ACCEPTANCE, FAILURE, FAILURE]);
    // The sender's provider looks why its own scanner has missed it (0.2 D11).
    let looked: Vec<_> = alfa.logged(Event::VirusFound).iter().map(|e| e.detail.clone()).collect();
    assert_eq!(looked.len(), 2);
    for detail in looked {
        let said = ["virus", "scanner", "new-scan"].map(|name| detail[name].as_str());
        assert_eq!(said, ["Eicar-Test-Signature", "test scanner 1", "clean"]);
    }
    let mut told: Vec<String> = of_kind(&alfa, "mittente", FAILURE)
        .iter()
        .map(|m| {
            assert_eq!(m.field("X-VerificaSicurezza").as_deref(), Some("errore"));
            assert!(m.opened().daticert().contains("tipo=\"errore-consegna\" errore=\"virus\""));
            m.opened().elements("consegna").remove(0)
        })
        .collect();
    told.sort();
    assert_eq!(told, [to[1].to_string(), to[0].to_string()]);
    assert!(kinds(&beta, "destinatario").is_empty() && kinds(&beta, "copia").is_empty());
    let vault: Vec<_> =
        beta.blobs.iter().filter(|(k, _)| k.as_str().starts_with("vault/infected/")).collect();
    let [(_, kept)] = vault[..] else { panic!("one message in the vault") };
    assert_eq!(*kept, wire(&network, &ALFA, &BETA)[0].raw);
}

/// T-IN-09: receipts are stored as they came and answered by nothing; no user sees a take-charge.
#[test]
fn t_in_09_receipts_are_stored_and_not_answered() {
    let network = crate::sent(letters::letter(&ALFA, &[BETA.user("destinatario"), BETA.user("ignoto")], &[]));
    let alfa = network.evidence(&ALFA);
    assert_eq!(kinds(&alfa, "mittente"), [ACCEPTANCE, DELIVERY, FAILURE]);
    assert_eq!(wire(&network, &ALFA, &BETA).len(), 1, "the envelope, and no answer to anything");
    for kind in [DELIVERY, FAILURE] {
        let sent = wire(&network, &BETA, &ALFA).into_iter().find(|m| m.kind == kind).unwrap();
        let stored = crate::mailbox(&alfa, "mittente").into_iter().find(|m| m.kind == kind).unwrap();
        assert_eq!(stored.raw, sent.raw, "octet for octet (RFC 6109 §2.2.3)");
    }
    assert_eq!(wired(&network, &BETA, &ALFA, TAKE_CHARGE), 1);
    for mailbox in ALFA.mailboxes() {
        let local = mailbox.id.0.trim_start_matches("m-").to_owned();
        assert!(!kinds(&alfa, &local).iter().any(|k| k == TAKE_CHARGE), "{local}");
    }
}

/// T-IN-10: what others write as RFC 5652 and RFC 8551 let them.
#[test]
fn t_in_10_other_ways_to_write_the_same() {
    let envelope = envelope();
    let swapped = |mut parts: Vec<Vec<u8>>| {
        let at = parts.iter().position(|p| is(p, "daticert.xml")).unwrap();
        let data = parts.remove(at);
        let original = parts.iter().position(|p| is(p, "postacert.eml")).unwrap();
        let to = if original == at { original + 1 } else { original };
        parts.insert(to, data);
        parts
    };
    let other_name = String::from_utf8(envelope.raw.to_vec())
        .unwrap()
        .replace("application/pkcs7-signature", "application/x-pkcs7-signature");
    for (what, arrival) in [
        ("BER with indefinite lengths", resigned(&envelope, |parts| parts, |cms| indefinite(&cms, 4))),
        ("x-pkcs7-signature", with_raw(&envelope, other_name)),
        ("the other order", resigned(&envelope, swapped, |cms| cms)),
        ("signed anew", resigned(&envelope, |parts| parts, |cms| cms)),
    ] {
        let (world, evidence) = received(arrival.clone());
        assert_eq!(kinds(&evidence, "destinatario"), [ENVELOPE], "{what}");
        assert_eq!(wired_by(&world), [TAKE_CHARGE, DELIVERY], "{what}");
        assert_eq!(crate::mailbox(&evidence, "destinatario")[0].raw, arrival.raw, "{what}");
    }
}

/// The first constructed values of some DER, so many levels deep, with indefinite lengths (X.690 §8.1.3.6).
fn indefinite(der: &[u8], levels: usize) -> Vec<u8> {
    let (head, length, constructed) = header(der);
    let content = &der[head..head + length];
    if !constructed || levels == 0 {
        return der[..head + length].to_vec();
    }
    let mut out = vec![der[0], 0x80];
    let mut rest = content;
    let mut first = true;
    while !rest.is_empty() {
        let (head, length, constructed) = header(rest);
        // Down the way of the signed data: signed attributes and certificates stay in DER, as they must.
        let down = first || (constructed && levels > 2);
        out.extend(indefinite(&rest[..head + length], if down { levels - 1 } else { 0 }));
        rest = &rest[head + length..];
        first = false;
    }
    out.extend([0, 0]);
    out
}

fn header(der: &[u8]) -> (usize, usize, bool) {
    let constructed = der[0] & 0x20 != 0;
    match der[1] {
        short if short < 0x80 => (2, usize::from(short), constructed),
        long => {
            let octets = usize::from(long & 0x7f);
            let length = der[2..2 + octets].iter().fold(0, |n, b| n << 8 | usize::from(*b));
            (2 + octets, length, constructed)
        }
    }
}
