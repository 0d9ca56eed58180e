//! Telling everybody that it is time to stop.

use tokio::sync::watch;

/// Says stop, once; dropping it says so too.
#[derive(Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Hears it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

impl Stopper {
    /// One that has not said it yet, and one that listens.
    #[must_use]
    pub fn new() -> (Self, Stop) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Stop(receiver))
    }

    /// Says it.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Returns when it was said, at once if it was said before. May be dropped and called again.
    pub async fn stopped(&mut self) {
        // An error means that nobody is left who could say it: the process is ending.
        let _ = self.0.wait_for(|stopped| *stopped).await;
    }

    /// Whether it was said.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_hears_it_also_later_and_when_nobody_is_left_to_say_it() {
        let (stopper, stop) = Stopper::new();
        let mut early = stop.clone();
        assert!(!stop.is_stopped());
        stopper.stop();
        early.stopped().await;
        stop.clone().stopped().await;
        assert!(stop.is_stopped());
        let (stopper, mut stop) = Stopper::new();
        drop(stopper);
        stop.stopped().await;
        assert!(stop.is_stopped());
    }
}
