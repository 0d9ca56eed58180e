//! Passwords: made at random, kept as argon2id, verified at a bounded pace.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use aws_lc_rs::{hmac, rand};
use tokio::sync::Semaphore;

/// Longer passwords are wrong without a look at them.
pub const PASSWORD_BYTES_MAX: usize = 1024;
/// How long a verdict "right" holds without argon2. The row with the hash is read all the same, so a new password
/// ends it at once.
const VERDICT_S: u64 = 300;
/// Entries of each memory at most; a full one drops what is over, then everything.
const MEMORY_MAX: usize = 10_000;
/// Failures of one account before the backoff begins.
const FREE_FAILURES: u32 = 5;
/// Failures from one address before it: many users may share one.
const FREE_FAILURES_PEER: u32 = 20;
/// The longest wait between two tries.
const WAIT_S_MAX: u64 = 300;
/// A failure that is so old counts no more.
const FORGET_S: u64 = 3600;
/// argon2 runs at a time: each takes 19 MiB and a core.
const PARALLEL: usize = 2;

/// Why a password was not hashed.
#[derive(Debug, thiserror::Error)]
#[error("hash a password: {0}")]
pub struct HashError(argon2::password_hash::Error);

/// argon2id in PHC form with a fresh salt. Takes tens of milliseconds.
///
/// # Errors
/// [`HashError`] of the library.
pub fn hash(password: &str) -> Result<String, HashError> {
    let hash: PasswordHash = Argon2::default().hash_password(password.as_bytes()).map_err(HashError)?;
    Ok(hash.to_string())
}

/// A random password of 100 bits: four groups of five, letters and digits that are not mistaken for others.
///
/// # Errors
/// When the system gives no randomness.
pub fn random() -> Result<String, aws_lc_rs::error::Unspecified> {
    const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut octets = [0; 20];
    rand::fill(&mut octets)?;
    let letters: Vec<char> =
        octets.iter().filter_map(|o| ALPHABET.get(usize::from(o & 31))).map(|&b| char::from(b)).collect();
    Ok(letters.chunks(5).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-"))
}

/// What a look at a password gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is right.
    Right,
    /// It is wrong.
    Wrong,
    /// Not looked at: too many failures before. Ask again after so many seconds.
    Wait(u64),
}

/// Verifies passwords: remembers right ones for minutes, slows down guessing by account and by address.
pub struct Keeper {
    secret: hmac::Key,
    decoy: String,
    argon2: Arc<Semaphore>,
    right: Mutex<HashMap<[u8; 32], Instant>>,
    failures: Mutex<HashMap<Guess, Failures>>,
}

/// What failures are counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Guess {
    Account(String),
    Peer(IpAddr),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

impl Keeper {
    /// A keeper with an empty memory.
    ///
    /// # Errors
    /// [`HashError`] of the library.
    pub fn new() -> Result<Self, HashError> {
        let secret = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new())
            .map_err(|_| HashError(argon2::password_hash::Error::Crypto))?;
        Ok(Self {
            secret,
            decoy: hash("nobody has this password")?,
            argon2: Arc::new(Semaphore::new(PARALLEL)),
            right: Mutex::default(),
            failures: Mutex::default(),
        })
    }

    /// Judges a password against a hash in PHC form; without one (no such account) it takes as long and is wrong.
    /// A right password that is still remembered passes whatever others guess meanwhile.
    pub async fn verify(
        &self,
        account: &str,
        peer: IpAddr,
        password: &str,
        phc: Option<&str>,
        now: Instant,
    ) -> Verdict {
        // 1. Remembered?
        let tag = self.tag(account, password, phc);
        if lock(&self.right).get(&tag).is_some_and(|until| now < *until) {
            return Verdict::Right;
        }
        // 2. Too many failures? Asked when it is our turn, or many tries at once would pass together.
        let Ok(_turn) = self.argon2.acquire().await else { return Verdict::Wait(1) };
        let by_account = Guess::Account(account.to_ascii_lowercase());
        let guesses = [(by_account.clone(), FREE_FAILURES), (Guess::Peer(peer), FREE_FAILURES_PEER)];
        if let Some(wait_s) = self.wait_s(&guesses, now) {
            return Verdict::Wait(wait_s);
        }
        // 3. argon2, off the threads that serve others.
        let hash = phc.unwrap_or(&self.decoy).to_owned();
        let matches = matches(password.to_owned(), hash).await && phc.is_some();
        // 4. Remember either way.
        if matches {
            lock(&self.failures).remove(&by_account);
            remember(&mut lock(&self.right), tag, now + Duration::from_secs(VERDICT_S), |until| now < *until);
            return Verdict::Right;
        }
        self.failed(guesses, now);
        Verdict::Wrong
    }

    fn tag(&self, account: &str, password: &str, phc: Option<&str>) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.secret);
        for part in [account, phc.unwrap_or_default(), password] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    fn wait_s(&self, guesses: &[(Guess, u32)], now: Instant) -> Option<u64> {
        let failures = lock(&self.failures);
        guesses.iter().filter_map(|(guess, free)| failures.get(guess)?.wait_s(*free, now)).max()
    }

    fn failed(&self, guesses: [(Guess, u32); 2], now: Instant) {
        let mut failures = lock(&self.failures);
        for (guess, _) in guesses {
            let before = failures.get(&guess).filter(|f| !f.is_old(now)).map_or(0, |f| f.count);
            let failed = Failures { count: before.saturating_add(1), last: now };
            remember(&mut failures, guess, failed, |f| !f.is_old(now));
        }
    }
}

impl Failures {
    fn is_old(self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) > Duration::from_secs(FORGET_S)
    }

    /// Seconds until the next try: 1, 2, 4, ... after the free ones.
    fn wait_s(self, free: u32, now: Instant) -> Option<u64> {
        let over = self.count.checked_sub(free)?;
        let pause = 1_u64.checked_shl(over).unwrap_or(WAIT_S_MAX).min(WAIT_S_MAX);
        let left = (self.last + Duration::from_secs(pause)).checked_duration_since(now)?;
        (!left.is_zero()).then(|| left.as_secs().max(1))
    }
}

async fn matches(password: String, phc: String) -> bool {
    if password.len() > PASSWORD_BYTES_MAX {
        return false;
    }
    let judged = tokio::task::spawn_blocking(move || {
        let Ok(hash) = PasswordHash::new(&phc) else { return false };
        Argon2::default().verify_password(password.as_bytes(), &hash).is_ok()
    });
    judged.await.unwrap_or(false)
}

fn remember<K: Eq + std::hash::Hash, V>(
    memory: &mut HashMap<K, V>,
    key: K,
    value: V,
    keep: impl Fn(&V) -> bool,
) {
    if memory.len() >= MEMORY_MAX {
        memory.retain(|_, v| keep(v));
    }
    if memory.len() >= MEMORY_MAX {
        memory.clear();
    }
    memory.insert(key, value);
}

/// A memory is whole between any two statements, so a thread that panicked leaves nothing broken in it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "mittente@pec.alfa.example";

    fn peer(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn random_passwords_have_four_groups_and_differ() {
        let (a, b) = (random().unwrap(), random().unwrap());
        assert_eq!(a.split('-').map(str::len).collect::<Vec<_>>(), [5, 5, 5, 5]);
        assert_ne!(a, b);
    }

    #[tokio::test]
    async fn a_right_password_passes_and_a_wrong_one_does_not() {
        let keeper = Keeper::new().unwrap();
        let phc = hash("giusta").unwrap();
        assert!(phc.starts_with("$argon2id$"), "{phc}");
        let now = Instant::now();
        let ask = async |password, phc| keeper.verify(ACCOUNT, peer(1), password, phc, now).await;
        assert_eq!(ask("giusta", Some(phc.as_str())).await, Verdict::Right);
        assert_eq!(ask("sbagliata", Some(phc.as_str())).await, Verdict::Wrong);
        assert_eq!(ask("giusta", None).await, Verdict::Wrong);
        assert_eq!(ask("nobody has this password", None).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn guessing_is_slowed_down_by_account_and_by_peer_and_is_forgotten() {
        let keeper = Keeper::new().unwrap();
        let phc = hash("giusta").unwrap();
        let start = Instant::now();
        for _ in 0..FREE_FAILURES {
            assert_eq!(keeper.verify(ACCOUNT, peer(1), "no", Some(&phc), start).await, Verdict::Wrong);
        }
        // The account waits from everywhere.
        assert_eq!(keeper.verify(ACCOUNT, peer(2), "giusta", Some(&phc), start).await, Verdict::Wait(1));
        // The peer waits with every account, later.
        for n in FREE_FAILURES..FREE_FAILURES_PEER {
            let verdict = keeper.verify(&format!("altro{n}"), peer(1), "no", None, start).await;
            assert_eq!(verdict, Verdict::Wrong);
        }
        assert_eq!(keeper.verify("altro", peer(1), "no", None, start).await, Verdict::Wait(1));
        // After the wait the right password passes, and then is remembered against later guesses.
        let later = start + Duration::from_secs(2);
        assert_eq!(keeper.verify(ACCOUNT, peer(2), "giusta", Some(&phc), later).await, Verdict::Right);
        for _ in 0..FREE_FAILURES {
            keeper.verify(ACCOUNT, peer(3), "no", Some(&phc), later).await;
        }
        assert_eq!(keeper.verify(ACCOUNT, peer(4), "giusta", Some(&phc), later).await, Verdict::Right);
        let much_later = later + Duration::from_secs(FORGET_S + 1);
        assert_eq!(keeper.verify(ACCOUNT, peer(3), "no", Some(&phc), much_later).await, Verdict::Wrong);
    }

    #[tokio::test]
    async fn a_changed_password_ends_a_remembered_verdict() {
        let keeper = Keeper::new().unwrap();
        let (old, new) = (hash("vecchia").unwrap(), hash("nuova").unwrap());
        let now = Instant::now();
        assert_eq!(keeper.verify(ACCOUNT, peer(1), "vecchia", Some(&old), now).await, Verdict::Right);
        assert_eq!(keeper.verify(ACCOUNT, peer(1), "vecchia", Some(&new), now).await, Verdict::Wrong);
    }

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        let last = Instant::now();
        let wait = |count| Failures { count, last }.wait_s(FREE_FAILURES, last);
        assert_eq!(wait(FREE_FAILURES - 1), None);
        assert_eq!(wait(FREE_FAILURES), Some(1));
        assert_eq!(wait(FREE_FAILURES + 3), Some(8));
        assert_eq!(wait(u32::MAX), Some(WAIT_S_MAX));
    }
}
