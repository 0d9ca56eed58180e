//! One thread that works for many askers at once: while it waits for the disk, the next group gathers.

use std::{
    io,
    sync::{
        Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Under load a group begins this long after the one before it: what it has in common (an fsync, pages, waking up) is
/// shared by more. A letter takes some ten groups, so this costs it some 100 ms, and only where it has company.
const PACE: Duration = Duration::from_millis(16);

/// Members of a group from which on there is load.
const LOAD: usize = 3;

/// The way to a working thread. When it is dropped, the thread finishes what was asked and ends.
pub(crate) struct Group<T> {
    sender: Mutex<Option<Sender<T>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the working thread takes its groups from.
pub(crate) struct Asked<T> {
    receiver: Receiver<T>,
    max: usize,
    /// The earliest begin of the next group.
    next: Option<Instant>,
}

impl<T> Asked<T> {
    /// Waits for something and takes all that waits with it, up to the bound; `None` when nobody can ask any more.
    pub(crate) fn next(&mut self) -> Option<Vec<T>> {
        if let Some(next) = self.next.take() {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let mut group = vec![self.receiver.recv().ok()?];
        group.extend(self.receiver.try_iter().take(self.max.saturating_sub(1)));
        if group.len() >= LOAD {
            self.next = Instant::now().checked_add(PACE);
        }
        Some(group)
    }
}

impl<T: Send + 'static> Group<T> {
    /// Starts the thread. A group has at most `max` members.
    pub(crate) fn start(
        name: &str,
        max: usize,
        work: impl FnOnce(Asked<T>) + Send + 'static,
    ) -> io::Result<Self> {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || work(Asked { receiver, max, next: None }))?;
        Ok(Self { sender: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) })
    }

    /// Asks. `false` if the thread is gone.
    pub(crate) fn ask(&self, what: T) -> bool {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender.as_ref().is_some_and(|s| s.send(what).is_ok())
    }
}

impl<T> Drop for Group<T> {
    fn drop(&mut self) {
        drop(self.sender.lock().unwrap_or_else(PoisonError::into_inner).take());
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // A panic in it was reported by the panic hook; whoever still waits gets an error.
            let _ = thread.join();
        }
    }
}
