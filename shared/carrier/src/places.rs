//! How many transactions run with one destination at the same time: nobody is flooded, and one that is slow or gone
//! holds up no other.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use stages::ports::Place;
use tokio::{sync::Semaphore, time::timeout};

/// Destinations that are remembered before those without anybody are forgotten.
const REMEMBERED_MAX: usize = 1024;

/// The places at all destinations.
#[derive(Debug)]
pub struct Places {
    at_once: usize,
    waiting_max: usize,
    patience: Duration,
    lines: Mutex<HashMap<String, Arc<Line>>>,
}

#[derive(Debug)]
struct Line {
    running: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Places {
    /// So many transactions at the same time with each destination, so many others that wait for a place, for so long.
    pub fn new(at_once: usize, waiting_max: usize, patience: Duration) -> Self {
        Self { at_once: at_once.max(1), waiting_max, patience, lines: Mutex::default() }
    }

    /// A place at a destination, at once or after a little; `None` where too many wait, or one has waited too long.
    pub async fn take(&self, destination: &str) -> Option<Place> {
        let line = self.line(destination);
        if let Ok(place) = Arc::clone(&line.running).try_acquire_owned() {
            return Some(Place::holding(place));
        }
        let _waiting = line.waiting.try_acquire().ok()?;
        let place = timeout(self.patience, Arc::clone(&line.running).acquire_owned()).await;
        Some(Place::holding(place.ok()?.ok()?))
    }

    fn line(&self, destination: &str) -> Arc<Line> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= REMEMBERED_MAX {
            let is_empty = |line: &Line| line.running.available_permits() == self.at_once;
            lines.retain(|_, line| Arc::strong_count(line) > 1 || !is_empty(line));
        }
        let line = lines.entry(destination.to_owned()).or_insert_with(|| {
            let running = Arc::new(Semaphore::new(self.at_once));
            Arc::new(Line { running, waiting: Semaphore::new(self.waiting_max) })
        });
        Arc::clone(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn places_are_few_and_patience_is_short() {
        let places = Arc::new(Places::new(2, 1, Duration::from_secs(10)));
        let (first, second) = (places.take("beta").await.unwrap(), places.take("beta").await.unwrap());
        // Another destination is another matter.
        assert!(places.take("gamma").await.is_some());
        let waits = {
            let places = Arc::clone(&places);
            tokio::spawn(async move { places.take("beta").await.is_some() })
        };
        tokio::task::yield_now().await;
        assert!(places.take("beta").await.is_none(), "one waits already");
        drop(first);
        assert!(waits.await.unwrap(), "who waits gets the next place");
        let _third = places.take("beta").await.unwrap();
        assert!(places.take("beta").await.is_none(), "nothing became free in time");
        drop(second);
    }

    #[tokio::test]
    async fn destinations_without_anybody_are_forgotten() {
        let places = Places::new(1, 1, Duration::ZERO);
        let held = places.take("held").await.unwrap();
        for n in 0..3 * REMEMBERED_MAX {
            places.take(&format!("d{n}")).await.unwrap();
        }
        assert!(places.lines.lock().unwrap().len() <= REMEMBERED_MAX + 1);
        assert!(places.take("held").await.is_none(), "it is still held");
        drop(held);
    }
}
