//! Room that removed blobs leave is given back: segments of which less than half is still wanted are emptied by
//! moving the rest to the end of the log, and removed (design §6).

use std::{io, sync::Arc};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::{
    Errand,
    index::Index,
    record::{Entry, Word},
    recover::{Records, numbers},
    shared::Shared,
    writer::{Ask, What},
};
use crate::group::Group;

/// Keys that are looked at in one go.
const KEYS_MAX: usize = 4096;

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Segments that are gone.
    pub segments: u64,
    /// Bytes that they had.
    pub freed_bytes: u64,
    /// Bytes of bodies that moved.
    pub moved_bytes: u64,
}

pub(super) struct Compaction<'a> {
    pub shared: &'a Arc<Shared>,
    pub writer: &'a Group<Ask>,
    pub index: &'a Group<Errand>,
}

impl Compaction<'_> {
    /// Looks at the segments that lost bodies. Power fails anywhere: what was moved is said twice, the later record
    /// counts; a segment goes after the index knows, durably, that nobody refers to it.
    pub(super) fn run(&self) -> io::Result<Compacted> {
        let mut done = Compacted::default();
        self.flush()?;
        let suspects = self.ask(Index::suspects)?;
        for segment in suspects {
            let all = numbers(self.shared.disk.as_ref(), &self.shared.segments_dir())?;
            if all.last() == Some(&segment) {
                continue; // it grows: the next time
            }
            if all.contains(&segment) {
                self.look_at(segment, all.first() == Some(&segment), &mut done)?;
            }
            self.index.ask(Errand::Cleared(segment));
        }
        Ok(done)
    }

    /// Asks the index, as it is now.
    fn ask<T>(&self, what: impl FnOnce(&Index) -> rusqlite::Result<T>) -> io::Result<T> {
        self.shared.reader().newest().and_then(what).map_err(io::Error::other)
    }

    fn look_at(&self, segment: u64, oldest: bool, done: &mut Compacted) -> io::Result<()> {
        let size = self.shared.segment(segment)?.size()?;
        let live = self.ask(|index| index.live_bytes(segment))?;
        if live.saturating_mul(2) >= size {
            return Ok(());
        }
        // 1. What is still wanted moves. New keys can refer to a body only through a key that does, so this ends.
        loop {
            let keys = self.ask(|index| index.keys_in(segment, KEYS_MAX))?;
            if keys.is_empty() {
                break;
            }
            done.moved_bytes += self.relocate(keys)?;
            self.flush()?;
        }
        // 2. What it says of bodies elsewhere is said again, for a start without the index.
        self.restate(segment, size, oldest)?;
        self.flush()?;
        // 3. Nobody refers to it. Who has it open reads on.
        self.shared.disk.remove(&self.shared.segment_path(segment))?;
        self.shared.disk.sync_dir(&self.shared.segments_dir())?;
        self.shared.forget(segment);
        done.segments += 1;
        done.freed_bytes += size;
        Ok(())
    }

    fn relocate(&self, keys: Vec<(String, Entry)>) -> io::Result<u64> {
        let mut moved = 0;
        for body in keys.chunk_by(|(_, a), (_, b)| a.place == b.place) {
            let Some((key, was)) = body.first() else { continue };
            let bytes: Bytes = match self.shared.read_whole(was) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => return Err(io::ErrorKind::NotFound.into()),
                // It stays where it is, for a human: a damaged body is not written again as a sound one.
                Err(error) => return Err(io::Error::other(format!("{key}: {error}"))),
            };
            moved += was.len;
            let keys = body.iter().map(|(key, _)| key.clone()).collect();
            self.change(What::Move { keys, was: *was, body: bytes })?;
        }
        Ok(moved)
    }

    /// The oldest segment's removals need not be said again: there is nothing older that they could remove.
    fn restate(&self, segment: u64, size: u64, oldest: bool) -> io::Result<()> {
        let file = self.shared.segment(segment)?;
        let mut records = Records { file: file.as_ref(), size, segment, offset: 0 };
        while let Some((key, word)) = records.next(false)? {
            match word {
                Word::Put(_) => {}
                Word::At(_) => self.change(What::Restate { key, also_gone: false })?,
                Word::Gone if oldest => {}
                Word::Gone => self.change(What::Restate { key, also_gone: true })?,
            }
        }
        Ok(())
    }

    fn change(&self, what: What) -> io::Result<()> {
        let (answer, answered) = oneshot::channel();
        self.writer.ask(Ask { what, answer });
        answered.blocking_recv().map_err(io::Error::other)?.map(drop)
    }

    fn flush(&self) -> io::Result<()> {
        let (answer, answered) = oneshot::channel();
        self.index.ask(Errand::Flush(Some(answer)));
        answered.blocking_recv().map_err(io::Error::other)?
    }
}
