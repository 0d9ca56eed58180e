//! Verification for many messages: certificates parsed once, chains walked once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use const_oid::ObjectIdentifier;

use crate::algorithm::Policy;
use crate::certificate::{Certificate, CertificateError};
use crate::chain::{self, Anchors, ChainError, Path, Purpose};
use crate::cms;
use crate::message::SignedMessage;
use crate::ocsp::Answer;
use crate::revocation::{Kept, ListError, RevocationList, Standing, Wanted};
use crate::verify::{self, Verified, VerifyError};

/// Entries of each cache at most; a full cache is emptied. Italy has some twenty providers.
const CACHE_MAX: usize = 1024;

/// Anchors, with a memory of certificates seen and of chains that held. Share one among threads.
///
/// What it answers never depends on what it has seen before: a chain is remembered with its intermediates and
/// its instants, and both are compared again.
#[derive(Debug)]
pub struct Verifier {
    anchors: Anchors,
    certificates: Mutex<HashMap<[u8; 32], Certificate>>,
    paths: Mutex<HashMap<([u8; 32], Policy), Path>>,
    /// Who certified a certificate, by digest; `None` if no anchor did.
    issuers: Mutex<HashMap<[u8; 32], Option<Certificate>>>,
    /// What is known of revocation; `None` where nobody asks.
    revocation: Mutex<Option<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    /// Lists by the digest of who signed them.
    lists: HashMap<[u8; 32], Kept>,
    /// Answers of responders by the digest of the certificate that they are about.
    answers: HashMap<[u8; 32], Answer>,
}

impl Verifier {
    /// With these anchors.
    pub fn new(anchors: Anchors) -> Self {
        Self {
            anchors,
            certificates: Mutex::default(),
            paths: Mutex::default(),
            issuers: Mutex::default(),
            revocation: Mutex::default(),
        }
    }

    /// The anchors it was made with.
    pub fn anchors(&self) -> &Anchors {
        &self.anchors
    }

    /// As [`crate::verify`], with certificates parsed once.
    ///
    /// # Errors
    /// [`VerifyError`], as there.
    pub fn verify(&self, signed: &SignedMessage, policy: &Policy) -> Result<Verified, VerifyError> {
        verify::detached(&signed.content, &signed.cms, *policy, &|der| self.certificate(der))
    }

    /// As [`crate::open_signed_data`], with certificates parsed once.
    ///
    /// # Errors
    /// [`VerifyError`], as there.
    pub fn open_signed_data(&self, der: &[u8], policy: &Policy) -> Result<(Bytes, Verified), VerifyError> {
        verify::enclosed(der, *policy, &|der| self.certificate(der))
    }

    /// As [`Self::open_signed_data`], with content of this type.
    pub(crate) fn open_typed(
        &self,
        der: &[u8],
        kind: ObjectIdentifier,
        policy: &Policy,
    ) -> Result<(Bytes, Verified), VerifyError> {
        verify::typed(der, kind, *policy, &|der| self.certificate(der))
    }

    /// Whether `signer` may make timestamps, and nothing else, and leads to an anchor at this instant (RFC 3161 §2.3).
    pub(crate) fn check_timestamper(
        &self,
        signer: &Certificate,
        others: &[Certificate],
        at_unix_s: i64,
    ) -> Result<(), ChainError> {
        let others = others.get(..cms::CERTIFICATES_MAX).unwrap_or(others);
        let purpose = Purpose::Timestamps;
        chain::find_path(&self.anchors, signer, others, at_unix_s, Policy::TODAY, purpose).map(drop)
    }

    /// Whether `signer` may sign mail and leads to an anchor at this instant, with `others` (the certificates
    /// of the message) as intermediates: dates, signatures, basicConstraints, keyUsage, extendedKeyUsage,
    /// nameConstraints and critical extensions of the whole path (spec 5.2 V3, 10.2). Revocation is
    /// [`Self::standing`].
    ///
    /// # Errors
    /// [`ChainError`]: of all paths tried, the failure that says most.
    pub fn check_chain(
        &self,
        signer: &Certificate,
        others: &[Certificate],
        at_unix_s: i64,
        policy: &Policy,
    ) -> Result<(), ChainError> {
        let key = (signer.sha256(), *policy);
        if self.remembered(&key, others, at_unix_s) {
            return Ok(());
        }
        let others = others.get(..cms::CERTIFICATES_MAX).unwrap_or(others);
        let path = chain::find_path(&self.anchors, signer, others, at_unix_s, *policy, Purpose::Mail)?;
        remember(&self.paths, key, path);
        Ok(())
    }

    /// From now on revocation lists and responders are asked ([`Self::standing`]).
    pub fn ask_for_revocation(&self) {
        lock(&self.revocation).get_or_insert_default();
    }

    /// What is known of the revocation of a certificate at an instant (spec 5.2 V3, 0.2 D15). Costs two look-ups.
    pub fn standing(&self, certificate: &Certificate, at_unix_s: i64) -> Standing {
        let (lists, responders) = (&certificate.extensions().lists, &certificate.extensions().responders);
        let known = lock(&self.revocation);
        let Some(known) = known.as_ref().filter(|_| !(lists.is_empty() && responders.is_empty())) else {
            return Standing::NotAsked;
        };
        let Some(issuer) = self.issuer(certificate) else { return Standing::NotAsked };
        let stale = || Standing::Stale(None);
        let listed = || {
            let list = known.lists.get(&issuer.sha256());
            list.map_or_else(stale, |list| list.standing(certificate, at_unix_s))
        };
        let answered = || {
            let answer = known.answers.get(&certificate.sha256());
            answer.map_or_else(stale, |answer| answer.standing(at_unix_s))
        };
        let listed = if lists.is_empty() { Standing::NotAsked } else { listed() };
        let answered = if responders.is_empty() { Standing::NotAsked } else { answered() };
        listed.or(answered)
    }

    /// The lists that these certificates name, each once, and the responders that can be asked about each; only of
    /// certificates that an anchor has certified.
    pub fn wanted<'a>(&self, certificates: impl IntoIterator<Item = &'a Certificate>) -> Vec<Wanted> {
        let mut all: Vec<Wanted> = Vec::new();
        for certificate in certificates {
            let Some(issuer) = self.issuer(certificate) else { continue };
            let (lists, responders) = (&certificate.extensions().lists, &certificate.extensions().responders);
            let lists = lists.iter().map(|url| (url, None));
            for (url, about) in lists.chain(responders.iter().map(|url| (url, Some(certificate)))) {
                let wanted = Wanted { url: url.clone(), issuer: issuer.clone(), about: about.cloned() };
                if !all.contains(&wanted) {
                    all.push(wanted);
                }
            }
        }
        all
    }

    /// Keeps what came, if it holds and is newer than what is kept. Answers its thisUpdate.
    ///
    /// # Errors
    /// [`ListError`]
    pub fn take(&self, wanted: &Wanted, der: &[u8], now_unix_s: i64) -> Result<i64, ListError> {
        match &wanted.about {
            None => self.take_list(der, &wanted.issuer, now_unix_s),
            Some(about) => self.take_answer(der, about, &wanted.issuer, now_unix_s),
        }
    }

    /// Keeps a list of this issuer, if it holds and is newer than what is kept. Answers its thisUpdate.
    ///
    /// # Errors
    /// [`ListError`]
    pub fn take_list(&self, der: &[u8], issuer: &Certificate, now_unix_s: i64) -> Result<i64, ListError> {
        let list = RevocationList::read(der, issuer, now_unix_s)?;
        let this_update = list.this_update;
        let mut known = lock(&self.revocation);
        let lists = &mut known.get_or_insert_default().lists;
        let kept = lists.get(&issuer.sha256());
        if kept.is_none_or(|kept| kept.this_update <= this_update) {
            lists.insert(issuer.sha256(), Arc::new(list));
        }
        Ok(this_update)
    }

    /// The same for what the responder of an issuer says about a certificate (RFC 6960 §3.2).
    fn take_answer(
        &self,
        der: &[u8],
        about: &Certificate,
        issuer: &Certificate,
        now_unix_s: i64,
    ) -> Result<i64, ListError> {
        // Whoever answers for the issuer was certified by it, and is on no list of it.
        let certified = |responder: &Certificate| {
            self.issuer(responder).as_ref() == Some(issuer)
                && self.standing(responder, now_unix_s).revoked_at(now_unix_s).is_none()
        };
        let answer = Answer::read(der, about, issuer, now_unix_s, &certified)?;
        let mut known = lock(&self.revocation);
        let answers = &mut known.get_or_insert_default().answers;
        if answers.len() >= CACHE_MAX {
            answers.clear();
        }
        let kept = answers.get(&about.sha256());
        if kept.is_none_or(|kept| kept.this_update <= answer.this_update) {
            answers.insert(about.sha256(), answer);
        }
        Ok(answer.this_update)
    }

    fn issuer(&self, certificate: &Certificate) -> Option<Certificate> {
        if let Some(known) = lock(&self.issuers).get(&certificate.sha256()) {
            return known.clone();
        }
        let issuer = self.anchors.issuer_of(certificate, Policy::TODAY).cloned();
        remember(&self.issuers, certificate.sha256(), issuer.clone());
        issuer
    }

    fn remembered(&self, key: &([u8; 32], Policy), others: &[Certificate], at: i64) -> bool {
        lock(&self.paths).get(key).is_some_and(|path| {
            path.valid.contains(&at)
                && path.intermediates.iter().all(|hash| others.iter().any(|other| other.sha256() == *hash))
        })
    }

    fn certificate(&self, der: &[u8]) -> Result<Certificate, CertificateError> {
        let hash = crate::sha256([der]);
        if let Some(known) = lock(&self.certificates).get(&hash) {
            return Ok(known.clone());
        }
        let certificate = Certificate::from_der(der)?;
        remember(&self.certificates, hash, certificate.clone());
        Ok(certificate)
    }
}

fn remember<K: Eq + std::hash::Hash, V>(cache: &Mutex<HashMap<K, V>>, key: K, value: V) {
    let mut cache = lock(cache);
    if cache.len() >= CACHE_MAX {
        cache.clear();
    }
    cache.insert(key, value);
}

/// A cache is whole between any two statements, so a thread that panicked leaves nothing broken in it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
