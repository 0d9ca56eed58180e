//! What the incoming point makes of a message before anything of it is believed.

use std::sync::LazyLock;

use bytes::Bytes;
use pec::{
    Address, Index, Instant, Transaction,
    index::{IndexCertificate, Record},
    reception::{Verdict, examine},
};
use smime::{Anchors, Policy, Verifier};

/// Any octets are read, or are no message of a provider; without an index and anchors nobody is believed, and with one
/// that names whoever signed it, the verdict is one of four.
#[allow(clippy::expect_used, reason = "addresses of our own")]
pub(crate) fn message(octets: &[u8]) {
    static NOBODY: LazyLock<Verifier> = LazyLock::new(|| Verifier::new(Anchors::new()));
    let message = Bytes::copy_from_slice(octets);
    let at = Instant::from_unix_s(1_800_000_000);
    let user = |local: &str| Address::parse(&format!("{local}@pec.demo.example")).expect("an address");
    let transaction = Transaction::new(Some(user("mittente")), [user("destinatario")]);
    let _ = pec::read::read(&message);
    let unknown = examine(&message, &transaction, at, &Index::new(Vec::new()), &NOBODY);
    assert!(matches!(unknown.verdict, Verdict::Ordinary { .. }), "nobody is in the index");

    // Whoever signed it is a provider of the index now, and its certificate an anchor.
    let Ok(signed) = smime::split_signed(&message) else { return };
    let Ok(verified) = smime::verify(&signed, &Policy::TODAY) else { return };
    let Some(signer) = verified.signers.first() else { return };
    let record = Record {
        id: "Demo".to_owned(),
        provider_name: "Demo".to_owned(),
        provider_unit: None,
        mail_receipt: user("ricevute"),
        managed_domains: vec!["pec.demo.example".to_owned(), "gestore.demo.example".to_owned()],
        certificates: vec![IndexCertificate::new(signer.certificate.der().to_vec())],
        ldif_location: None,
    };
    let verifier = Verifier::new(Anchors::from_certificates([signer.certificate.clone()]));
    let known = examine(&message, &transaction, at, &Index::new(vec![record]), &verifier);
    if let Verdict::Envelope(envelope) = &known.verdict {
        assert!(!envelope.letter.pec_id.is_empty());
    }
}
