//! What is fetched of others: the provider index, revocation lists, answers of responders.

use pec::Index;
use smime::{Anchors, Certificate, Verifier, Wanted};

/// Any octets are an index or an error; what is read of one is what is read of it again.
#[allow(clippy::expect_used, reason = "a panic is how a target says what does not hold")]
pub(crate) fn index(octets: &[u8]) {
    let Ok(read) = Index::from_ldif(octets) else { return };
    let again = Index::from_ldif(read.to_ldif().as_bytes()).expect("our own LDIF");
    assert_eq!(again.records(), read.records());
}

/// Two octets of length, a certificate, a list: any octets are a list of its holder or an error.
pub(crate) fn list(octets: &[u8]) {
    let Some((issuer, list)) = certificate(octets) else { return };
    let verifier = Verifier::new(Anchors::from_certificates([issuer.clone()]));
    let taken = verifier.take_list(list, &issuer, i64::MAX);
    let standing = verifier.standing(&issuer, 1_800_000_000);
    assert!(
        taken.is_ok() || standing.revoked_at(i64::MAX).is_none(),
        "a list that was not taken says nothing"
    );
    let _ = verifier.wanted([&issuer]);
}

/// An issuer, a certificate, what is said of it: any octets are an answer of the issuer's or an error.
pub(crate) fn answer(octets: &[u8]) {
    let Some((issuer, rest)) = certificate(octets) else { return };
    let Some((about, answer)) = certificate(rest) else { return };
    let verifier = Verifier::new(Anchors::from_certificates([issuer.clone()]));
    let wanted = Wanted { url: String::new(), issuer, about: Some(about.clone()) };
    let _ = wanted.question();
    let taken = verifier.take(&wanted, answer, i64::MAX);
    let standing = verifier.standing(&about, 1_800_000_000);
    assert!(
        taken.is_ok() || standing.revoked_at(i64::MAX).is_none(),
        "an answer that was not taken says nothing"
    );
}

/// Two octets of length, a certificate; and what is behind it.
fn certificate(octets: &[u8]) -> Option<(Certificate, &[u8])> {
    let [high, low, rest @ ..] = octets else { return None };
    let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (certificate, rest) = rest.split_at(length);
    Some((Certificate::from_der(certificate).ok()?, rest))
}
