//! The thread that writes segments: all that waits becomes one write and one fsync, then everybody is answered.

use std::{collections::BTreeMap, io, sync::Arc};

use bytes::Bytes;
use mime::Rope;
use tokio::sync::oneshot;

use super::{
    index::{Batch, Changes, Mark},
    record::{self, Entry, HEAD_BYTES, Place, Word},
    shared::{Seen, Shared},
};
use crate::{
    disk::DiskFile,
    group::{Asked, Group},
};

/// Bytes that go to the disk in one piece.
const PIECE_BYTES: usize = 4 << 20;

/// One change of keys, and where to say what became of it.
pub(super) struct Ask {
    pub what: What,
    pub answer: oneshot::Sender<io::Result<Became>>,
}

/// What to change.
pub(super) enum What {
    /// Store under a free key.
    Put { key: String, seen: Seen, body: Body, sha256: [u8; 32], len: u64 },
    /// A second key for the body of another.
    Copy { from: String, from_seen: Seen, to: String, to_seen: Seen },
    /// Free a key.
    Delete { key: String, seen: Seen },
    /// The body of these keys, if they still have it at this place, gets another one.
    Move { keys: Vec<String>, was: Entry, body: Bytes },
    /// Say again what a key has, or (if asked) that it is free, before an older record of it goes.
    Restate { key: String, also_gone: bool },
    /// Do this between two groups, and say where the segments end.
    Mark(Between),
}

/// What is done while no change of the blobs is under way.
pub(super) type Between = Box<dyn FnOnce() -> io::Result<()> + Send>;

/// The body of a put.
pub(super) enum Body {
    /// Goes into the segment.
    Here(Rope),
    /// Is a file already, durably.
    File(u64),
}

/// What became of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    /// Done.
    Done,
    /// The key was taken.
    Existing,
    /// There is nothing to copy.
    Missing,
    /// All that was answered is before this place, nothing that is asked later.
    Marked(Mark),
}

/// When a segment is full and when the index is due. Smaller in tests.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// A segment gets no more records from this size on, in bytes.
    pub segment_bytes: u64,
    /// Bodies over this size get a file of their own, in bytes.
    pub inline_bytes: u64,
    /// The index is written after so many changed keys.
    pub batch_keys: usize,
    /// The index is written after so many bytes of records: no start reads more than some two times that.
    pub batch_bytes: u64,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { segment_bytes: 64 << 20, inline_bytes: 256 << 10, batch_keys: 4096, batch_bytes: 32 << 20 }
    }
}

/// The segment that grows.
pub(super) struct Active {
    pub number: u64,
    pub file: Arc<dyn DiskFile>,
    /// All before it is durable.
    pub end: u64,
}

/// The writing thread's own.
pub(super) struct Writer {
    pub shared: Arc<Shared>,
    pub sizes: Sizes,
    /// `None` after a failure: the next group begins a new segment, since no later success of an fsync is taken for a
    /// failed one.
    pub active: Option<Active>,
    /// The segment in which a write or fsync failed. Before anything else is written, what was not answered is cut off
    /// it: a start must not find a record that this life took for not written.
    pub broken: Option<Active>,
    /// Kept from group to group, so that its memory is not asked for anew.
    pub buffer: Vec<u8>,
    /// The number of the newest segment.
    pub newest: u64,
    pub index: Arc<Group<super::Errand>>,
}

impl Writer {
    /// Serves until nobody can ask any more.
    pub(super) fn serve(mut self, asked: &mut Asked<Ask>) {
        while let Some(group) = asked.next() {
            let (mut changes, mut answers, mut marks) =
                (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()), Vec::new());
            for ask in group {
                match ask.what {
                    What::Mark(between) => marks.push((between, ask.answer)),
                    what => {
                        changes.push(what);
                        answers.push(ask.answer);
                    }
                }
            }
            match self.group(changes) {
                // Who does not wait any more finds the key taken.
                Ok(became) => {
                    answers.into_iter().zip(became).for_each(|(a, became)| drop(a.send(Ok(became))))
                }
                Err(error) => {
                    tracing::error!(error = %error, puts = answers.len(), "a group of blobs was not written");
                    self.broken = self.broken.take().or(self.active.take());
                    // At once, if it can be done; else before the next group.
                    let _ = self.mend();
                    let copy = || io::Error::new(error.kind(), error.to_string());
                    answers.into_iter().for_each(|a| drop(a.send(Err(copy()))));
                }
            }
            for (between, answer) in marks {
                drop(answer.send(between().and_then(|()| self.mark()).map(Became::Marked)));
            }
        }
    }

    /// All of a group durably, and visible; or an error, and none of it is visible.
    fn group(&mut self, group: Vec<What>) -> io::Result<Vec<Became>> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        if !self.shared.has_room() {
            return Err(io::Error::other("the index of the blobs does not come along"));
        }
        let puts = group.len();
        let shared = Arc::clone(&self.shared);
        self.mend()?;
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let active = self.active()?;
        let mut draft = Draft::new(&shared, active, buffer);
        let became = group.into_iter().map(|what| draft.change(what)).collect::<io::Result<Vec<_>>>()?;
        if draft.changes.is_empty() && draft.length() == 0 {
            return Ok(became);
        }
        draft.write()?;
        let Draft { written: bytes, changes, left, buffer, .. } = draft;
        active.file.sync()?;
        active.end += bytes;
        let mark = Mark { segment: active.number, offset: active.end };
        if buffer.capacity() <= 2 * PIECE_BYTES {
            self.buffer = buffer;
        }
        shared.counters.blob_sync();
        shared.counters.put_group(puts);
        let batch = Batch { changes, left, mark };
        if shared.publish(batch, bytes, self.sizes.batch_keys, self.sizes.batch_bytes) {
            self.index.ask(super::Errand::Flush(None));
        }
        Ok(became)
    }

    /// Where the segments end now.
    fn mark(&mut self) -> io::Result<Mark> {
        self.mend()?;
        // Without one that grows, all of the newest is whole.
        let whole = Mark { segment: self.newest, offset: u64::MAX };
        Ok(self.active.as_ref().map_or(whole, |a| Mark { segment: a.number, offset: a.end }))
    }

    /// Cuts off what a failure left.
    fn mend(&mut self) -> io::Result<()> {
        if let Some(broken) = &self.broken {
            broken.file.set_size(broken.end)?;
            broken.file.sync()?;
            self.broken = None;
        }
        Ok(())
    }

    /// The segment that grows; a new one if there is none or it is full.
    fn active(&mut self) -> io::Result<&mut Active> {
        match self.active.take_if(|a| a.end < self.sizes.segment_bytes) {
            Some(active) => Ok(self.active.insert(active)),
            None => {
                let shared = &self.shared;
                // A number is used once, whatever becomes of the segment.
                self.newest += 1;
                let file = shared.disk.create(&shared.segment_path(self.newest))?;
                shared.disk.sync_dir(&shared.segments_dir())?;
                shared.counters.blob_sync();
                shared.remember(self.newest, &file);
                Ok(self.active.insert(Active { number: self.newest, file, end: 0 }))
            }
        }
    }
}

/// A group in the making.
struct Draft<'a> {
    shared: &'a Shared,
    active: &'a Active,
    /// Records that are not on their way to the disk yet.
    buffer: Vec<u8>,
    /// Bytes that are.
    written: u64,
    changes: Changes,
    left: Vec<Place>,
}

impl<'a> Draft<'a> {
    fn new(shared: &'a Shared, active: &'a Active, buffer: Vec<u8>) -> Self {
        Self { shared, active, buffer, written: 0, changes: BTreeMap::new(), left: Vec::new() }
    }

    fn change(&mut self, what: What) -> io::Result<Became> {
        match what {
            What::Put { key, seen, body, sha256, len } => {
                if self.current(&key, Some(seen))?.is_some() {
                    return Ok(Became::Existing);
                }
                self.put(key, body, sha256, len)
            }
            What::Copy { from, from_seen, to, to_seen } => {
                if self.current(&to, Some(to_seen))?.is_some() {
                    return Ok(Became::Existing);
                }
                match self.current(&from, Some(from_seen))? {
                    Some(entry) => self.say(to, Word::At(entry), None),
                    None => Ok(Became::Missing),
                }
            }
            What::Delete { key, seen } => match self.current(&key, Some(seen))? {
                Some(entry) => self.say(key, Word::Gone, Some(entry.place)),
                None => Ok(Became::Done),
            },
            What::Move { keys, was, body } => self.relocate(keys, &was, body),
            What::Restate { key, also_gone } => match self.current(&key, None)? {
                Some(entry) => self.say(key, Word::At(entry), None),
                None if also_gone => self.say(key, Word::Gone, None),
                None => Ok(Became::Done),
            },
            // `serve` keeps them out of groups.
            What::Mark(_) => Ok(Became::Done),
        }
    }

    /// What a key has, with what this group does.
    fn current(&self, key: &str, seen: Option<Seen>) -> io::Result<Option<Entry>> {
        match self.changes.get(key) {
            Some(entry) => Ok(*entry),
            None => self.shared.look_again(key, seen).map_err(io::Error::other),
        }
    }

    fn put(&mut self, key: String, body: Body, sha256: [u8; 32], len: u64) -> io::Result<Became> {
        match body {
            Body::File(number) => {
                let place = Place { segment: Place::FILES, offset: number };
                self.say(key, Word::At(Entry { place, len, sha256 }), None)
            }
            Body::Here(rope) => {
                let entry = Entry { place: self.place_of_body(&key), len, sha256 };
                self.say(key, Word::Put(entry), None)?;
                for chunk in rope.chunks() {
                    self.buffer.extend_from_slice(chunk);
                }
                self.write_if_large()?;
                Ok(Became::Done)
            }
        }
    }

    /// The first key that still has the body gets the new copy, the others refer to it.
    fn relocate(&mut self, keys: Vec<String>, was: &Entry, body: Bytes) -> io::Result<Became> {
        let mut new = None;
        for key in keys {
            if self.current(&key, None)?.is_none_or(|entry| entry.place != was.place) {
                continue;
            }
            match new {
                Some(entry) => self.say(key, Word::At(entry), Some(was.place))?,
                None => {
                    let entry = Entry { place: self.place_of_body(&key), ..*was };
                    new = Some(entry);
                    let said = self.say(key, Word::Put(entry), Some(was.place))?;
                    self.buffer.extend_from_slice(&body);
                    self.write_if_large()?;
                    said
                }
            };
        }
        Ok(Became::Done)
    }

    /// Where the body of a put of this key would lie.
    fn place_of_body(&self, key: &str) -> Place {
        Place { segment: self.active.number, offset: self.end() + (HEAD_BYTES + key.len()) as u64 }
    }

    /// Writes a record; the body of a put comes after it.
    fn say(&mut self, key: String, word: Word, left: Option<Place>) -> io::Result<Became> {
        let offset = self.end();
        record::write(&mut self.buffer, self.active.number, offset, &key, &word);
        self.changes.insert(key, word.entry());
        self.left.extend(left);
        Ok(Became::Done)
    }

    fn length(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn end(&self) -> u64 {
        self.active.end + self.length()
    }

    fn write_if_large(&mut self) -> io::Result<()> {
        if self.buffer.len() >= PIECE_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> io::Result<()> {
        self.active.file.write_at(&self.buffer, self.active.end + self.written)?;
        self.shared.counters.blob_write(self.buffer.len());
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
