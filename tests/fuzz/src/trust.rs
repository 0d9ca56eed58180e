//! What is fetched of others: the provider index, revocation lists.

use pec::Index;
use smime::{Anchors, Certificate, Verifier};

/// Any octets are an index or an error; what is read of one is what is read of it again.
#[allow(clippy::expect_used, reason = "a panic is how a target says what does not hold")]
pub(crate) fn index(octets: &[u8]) {
    let Ok(read) = Index::from_ldif(octets) else { return };
    let again = Index::from_ldif(read.to_ldif().as_bytes()).expect("our own LDIF");
    assert_eq!(again.records(), read.records());
}

/// Two octets of length, a certificate, a list: any octets are a list of its holder or an error.
pub(crate) fn list(octets: &[u8]) {
    let [high, low, rest @ ..] = octets else { return };
    let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (certificate, list) = rest.split_at(length);
    let Ok(issuer) = Certificate::from_der(certificate) else { return };
    let verifier = Verifier::new(Anchors::from_certificates([issuer.clone()]));
    let taken = verifier.take_list(list, &issuer, i64::MAX);
    let standing = verifier.standing(&issuer, 1_800_000_000);
    assert!(
        taken.is_ok() || standing.revoked_at(i64::MAX).is_none(),
        "a list that was not taken says nothing"
    );
    let _ = verifier.wanted([&issuer]);
}
