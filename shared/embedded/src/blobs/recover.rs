//! What happens at every start: the segments from the mark on are read, their records go into the index, a torn tail
//! is cut. There is no other kind of start, so a crash is not special.

use std::{io, path::Path, sync::Arc};

use super::{
    index::{Batch, Index, Mark},
    record::{HEAD_BYTES, Head, Place, Word},
    shard_of,
    writer::Active,
};
use crate::disk::{Disk, DiskFile};

/// Keys that go into the index at once.
const BATCH_KEYS: usize = 8192;

/// Bytes that are written again in one go.
const PIECE_BYTES: usize = 1 << 20;

/// What a start found.
pub(super) struct Found {
    /// The segment to go on with.
    pub active: Option<Active>,
    /// The newest number of a segment.
    pub newest: u64,
    /// The number of the next file.
    pub next_file: u64,
}

/// Brings the index up to the end of the segments.
pub(super) fn recover(disk: &dyn Disk, dir: &Path, index: &mut Index) -> io::Result<Found> {
    // 1. The folders are there, durably.
    let (segments, files) = (dir.join("segments"), dir.join("files"));
    disk.create_dir(&segments)?;
    disk.create_dir(&files)?;
    disk.sync_dir(dir)?;
    // 2. A killed process may have left names and records that no sync has seen. What we are going to serve must be
    //    durable first.
    disk.sync_dir(&segments)?;
    let numbers = numbers(disk, &segments)?;
    let newest = numbers.last().copied().unwrap_or(0);
    let mark = index.mark().map_err(io::Error::other)?;
    let mut active = None;
    for number in numbers.into_iter().filter(|&n| n >= mark.segment) {
        let file = disk.open(&segments.join(format!("{number:016x}")))?;
        let from = if number == mark.segment { mark.offset } else { 0 };
        rewrite(file.as_ref(), from)?;
        let end = replay(file.as_ref(), number, from, index)?;
        if number == newest {
            cut(file.as_ref(), number, end)?;
            active = Some(Active { number, file, end });
        }
    }
    // 3. Files that no record names are the rest of puts that were never answered.
    let next_file = drop_nameless_files(disk, &files, index)?;
    // 4. A number is used once, also if the index knows more of it than the disk.
    Ok(Found { active, newest: newest.max(mark.segment), next_file })
}

/// Makes durable what can be read from an offset on. To sync is not enough: where a sync failed in an earlier life, the
/// page cache may hold what the disk does not, and hold it for clean. So it is written again, which takes nothing from
/// what is there already.
fn rewrite(file: &dyn DiskFile, from: u64) -> io::Result<()> {
    let (size, mut at) = (file.size()?, from);
    let mut piece = vec![0; PIECE_BYTES];
    while at < size {
        let len = usize::try_from(size - at).unwrap_or(usize::MAX).min(PIECE_BYTES);
        let piece = piece.get_mut(..len).unwrap_or_default();
        file.read_at(piece, at)?;
        file.write_at(piece, at)?;
        at += len as u64;
    }
    file.sync()
}

/// Puts the records from an offset on into the index, and answers where they end.
fn replay(file: &dyn DiskFile, segment: u64, from: u64, index: &mut Index) -> io::Result<u64> {
    let mut reader = Records { file, size: file.size()?, segment, offset: from };
    let mut batch = Batch::default();
    while let Some((key, word)) = reader.next(true)? {
        let entry = word.entry();
        let before = match batch.changes.get(&key) {
            Some(before) => *before,
            None => index.get(&key).map_err(io::Error::other)?,
        };
        batch.left.extend(before.map(|b| b.place).filter(|place| entry.is_none_or(|e| e.place != *place)));
        batch.changes.insert(key, entry);
        if batch.changes.len() >= BATCH_KEYS {
            batch.mark = Mark { segment, offset: reader.offset };
            index.write(&std::mem::take(&mut batch)).map_err(io::Error::other)?;
            index.checkpoint().map_err(io::Error::other)?;
        }
    }
    if !batch.changes.is_empty() {
        batch.mark = Mark { segment, offset: reader.offset };
        index.write(&batch).map_err(io::Error::other)?;
    }
    Ok(reader.offset)
}

/// Cuts what a crash left behind the last whole record, so that it can never be taken for a later one.
fn cut(file: &dyn DiskFile, segment: u64, end: u64) -> io::Result<()> {
    let rest = file.size()?.saturating_sub(end);
    if rest > 0 {
        tracing::warn!(segment, offset = end, rest_bytes = rest, "cut the torn tail of a segment");
        file.set_size(end)?;
        file.sync()?;
    }
    Ok(())
}

/// Reads record after record.
pub(super) struct Records<'a> {
    pub file: &'a dyn DiskFile,
    pub size: u64,
    pub segment: u64,
    /// Where the next one begins.
    pub offset: u64,
}

impl Records<'_> {
    /// The next record; `None` where the whole ones end. If asked, the body of a put is read and compared.
    pub(super) fn next(&mut self, with_body: bool) -> io::Result<Option<(String, Word)>> {
        let mut head = [0; HEAD_BYTES];
        if !self.read(&mut head, 0)? {
            return Ok(None);
        }
        let Some(head) = Head::read(&head) else { return Ok(None) };
        let mut key = vec![0; head.key_len];
        if !self.read(&mut key, HEAD_BYTES as u64)? {
            return Ok(None);
        }
        let Some((key, word)) = head.with_key(self.segment, self.offset, &key) else { return Ok(None) };
        let before_body = (HEAD_BYTES + key.len()) as u64;
        let end = self.offset.saturating_add(before_body).saturating_add(word.body_bytes());
        if end > self.size || (with_body && !self.body_is_whole(before_body, &word)?) {
            return Ok(None);
        }
        self.offset = end;
        Ok(Some((key, word)))
    }

    fn body_is_whole(&self, before_body: u64, word: &Word) -> io::Result<bool> {
        let Word::Put(entry) = word else { return Ok(true) };
        // Not more than the segment holds: `next` looked.
        let mut body = vec![0; usize::try_from(entry.len).map_err(io::Error::other)?];
        Ok(self.read(&mut body, before_body)? && super::sha256([body.as_slice()]) == entry.sha256)
    }

    /// Reads relative to the record; `false` if the segment ends before.
    fn read(&self, into: &mut [u8], at: u64) -> io::Result<bool> {
        let start = self.offset.saturating_add(at);
        if start.saturating_add(into.len() as u64) > self.size {
            return Ok(false);
        }
        self.file.read_at(into, start).map(|()| true)
    }
}

/// The numbers in a folder, in order. What is no number is not ours.
pub(super) fn numbers(disk: &dyn Disk, dir: &Path) -> io::Result<Vec<u64>> {
    let mut numbers: Vec<u64> =
        disk.list(dir)?.iter().filter_map(|name| u64::from_str_radix(name, 16).ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes the files of the newest folders that no key refers to; answers the next number.
fn drop_nameless_files(disk: &dyn Disk, files: &Path, index: &Index) -> io::Result<u64> {
    let known = index.last_file().map_err(io::Error::other)?;
    let mut last = known;
    let shards = numbers(disk, files)?;
    // A put may have been overtaken by later ones, hardly by a whole folder of them.
    for shard in shards.into_iter().filter(|&s| s.saturating_add(1) >= shard_of(known)) {
        let folder = files.join(format!("{shard:013x}"));
        for number in numbers(disk, &folder)? {
            last = last.max(number);
            let place = Place { segment: Place::FILES, offset: number };
            if !index.is_referred(place).map_err(io::Error::other)? {
                disk.remove(&folder.join(format!("{number:016x}")))?;
            }
        }
    }
    Ok(last + 1)
}

/// Removes the files that the index has doomed. Power fails in between: the next time.
pub(super) fn remove_doomed(
    disk: &Arc<dyn Disk>,
    path: impl Fn(u64) -> std::path::PathBuf,
    index: &Index,
) -> io::Result<()> {
    for file in index.doomed().map_err(io::Error::other)? {
        match disk.remove(&path(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => index.removed(file).map_err(io::Error::other)?,
        }
    }
    Ok(())
}
