//! argon2id, at a bounded pace.

use std::sync::Arc;

use argon2::{
    Argon2,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use async_trait::async_trait;
use stages::{
    accounts::Password,
    ports::{Passwords, PasswordsError},
};
use tokio::sync::Semaphore;

/// argon2 runs at a time: each takes 19 MiB and a core.
const PARALLEL: usize = 2;

/// argon2id with the parameters that its crate recommends (OWASP's: 19 MiB, two passes), on the threads for what
/// blocks.
#[derive(Debug)]
pub struct Argon2Passwords(Arc<Semaphore>);

impl Default for Argon2Passwords {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(PARALLEL)))
    }
}

impl Argon2Passwords {
    /// Somebody who does not wait for the answer any more gives the place back only when the work is done.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, PasswordsError> + Send + 'static,
    ) -> Result<T, PasswordsError> {
        let failed = |error: &dyn std::fmt::Display| PasswordsError(error.to_string());
        let place = Arc::clone(&self.0).acquire_owned().await.map_err(|e| failed(&e))?;
        let worked = tokio::task::spawn_blocking(move || {
            let _place = place;
            work()
        });
        // A panic's message is not for a log: it may quote what it worked on.
        worked.await.map_err(|_| PasswordsError("the work was given up".to_owned()))?
    }
}

#[async_trait]
impl Passwords for Argon2Passwords {
    async fn hash(&self, password: &Password) -> Result<String, PasswordsError> {
        let password = password.clone();
        self.run(move || {
            let hash: Result<PasswordHash, _> = Argon2::default().hash_password(password.as_bytes());
            hash.map(|hash| hash.to_string()).map_err(|error| PasswordsError(error.to_string()))
        })
        .await
    }

    async fn matches(&self, password: &Password, phc: &str) -> Result<bool, PasswordsError> {
        let (password, phc) = (password.clone(), phc.to_owned());
        self.run(move || {
            let Ok(hash) = PasswordHash::new(&phc) else { return Ok(false) };
            Ok(Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_has_its_hash_and_no_other_has() {
        let passwords = Argon2Passwords::default();
        let (right, wrong) = (Password::new("giusta"), Password::new("sbagliata"));
        let phc = passwords.hash(&right).await.unwrap();
        assert!(phc.starts_with("$argon2id$"), "{phc}");
        assert_ne!(passwords.hash(&right).await.unwrap(), phc, "the salt is fresh");
        assert!(passwords.matches(&right, &phc).await.unwrap());
        assert!(!passwords.matches(&wrong, &phc).await.unwrap());
        assert!(!passwords.matches(&right, "").await.unwrap());
        assert!(!passwords.matches(&right, "giusta").await.unwrap());
    }

    #[tokio::test]
    async fn a_place_is_free_again_when_the_work_panicked() {
        let passwords = Argon2Passwords::default();
        for _ in 0..2 * PARALLEL {
            let worked = passwords.run(|| -> Result<(), PasswordsError> { panic!("of the test") }).await;
            assert!(worked.is_err());
        }
        assert_eq!(passwords.0.available_permits(), PARALLEL);
    }
}
