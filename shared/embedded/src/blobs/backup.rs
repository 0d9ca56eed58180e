//! Blobs as of one moment, for a copy: which segments, up to where, and files that stay until it is made.

use std::{
    io,
    path::PathBuf,
    sync::{MutexGuard, PoisonError, atomic::Ordering},
};

use tokio::sync::oneshot;

use super::{
    Segments,
    index::Mark,
    recover::{Records, numbers},
    shared::Shared,
    writer::{Ask, Became, Between, What},
};
use crate::disk::{Disk, RealDisk};

/// A state of all blobs. While it is held, nothing is removed from the disk; all other work goes on.
pub(crate) struct Held<'a> {
    shared: &'a Shared,
    mark: Mark,
    next_file: u64,
    _segments_stay: MutexGuard<'a, ()>,
    _files_stay: MutexGuard<'a, ()>,
}

/// A file of the blobs, to be copied.
pub(crate) struct Part {
    /// Where it is.
    pub from: PathBuf,
    /// Where it belongs, below the folder of the blobs.
    pub name: PathBuf,
    /// Not more than so many bytes of it.
    pub bytes_max: u64,
}

impl Segments {
    /// Holds the state of one moment, and does something in it: while no blob is put or removed. To be called on a
    /// blocking thread.
    ///
    /// # Errors
    /// Of the disk, and of what is done.
    pub(crate) fn hold(&self, between: Between) -> io::Result<Held<'_>> {
        // A compaction that runs now ends first, and a removal.
        let segments_stay = self.compacting.lock().unwrap_or_else(PoisonError::into_inner);
        let files_stay = self.shared.files_stay.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, answered) = oneshot::channel();
        self.writer.ask(Ask { what: What::Mark(between), answer });
        match answered.blocking_recv().map_err(io::Error::other)?? {
            Became::Marked(mark) => Ok(Held {
                shared: &self.shared,
                mark,
                next_file: self.shared.next_file.load(Ordering::Relaxed),
                _segments_stay: segments_stay,
                _files_stay: files_stay,
            }),
            other => Err(io::Error::other(format!("the writing thread did not mark: {other:?}"))),
        }
    }

    /// What SHA-256 the body of a key has, as the index knows it.
    pub(crate) fn digest(&self, key: &stages::BlobKey) -> Result<Option<[u8; 32]>, stages::ports::BlobError> {
        Ok(self.look(key)?.entry.map(|entry| entry.sha256))
    }
}

impl Held<'_> {
    /// Everything that the state is made of. The index of the keys is not: the segments make it anew.
    ///
    /// # Errors
    /// Of the disk.
    pub(crate) fn parts(&self) -> io::Result<Vec<Part>> {
        let (shared, disk) = (self.shared, self.shared.disk.as_ref());
        let mut parts = Vec::new();
        for number in numbers(disk, &shared.segments_dir())?.into_iter().filter(|&n| n <= self.mark.segment) {
            let bytes_max = if number == self.mark.segment { self.mark.offset } else { u64::MAX };
            parts.push(self.part(shared.segment_path(number), bytes_max));
        }
        for shard in numbers(disk, &shared.files_dir())? {
            // A file that is newer has no record in this state; one that nobody names goes at the next start.
            let files = numbers(disk, &shared.shard_path(shard))?.into_iter().filter(|&n| n < self.next_file);
            parts.extend(files.map(|number| self.part(shared.file_path(number), u64::MAX)));
        }
        Ok(parts)
    }

    fn part(&self, from: PathBuf, bytes_max: u64) -> Part {
        let name = from.strip_prefix(&self.shared.dir).unwrap_or(&from).to_owned();
        Part { from, name, bytes_max }
    }
}

/// Reads all segments below a folder of blobs that nobody uses: every record must be whole, and every body in it what
/// its digest says. A start alone would take a damaged record for the end of its segment.
///
/// # Errors
/// Of the disk; `InvalidData` names the segment.
pub(crate) fn check_segments(dir: &std::path::Path) -> io::Result<()> {
    let segments = dir.join("segments");
    for number in numbers(&RealDisk, &segments)? {
        let file = RealDisk.open(&segments.join(format!("{number:016x}")))?;
        let mut records = Records { file: file.as_ref(), size: file.size()?, segment: number, offset: 0 };
        while records.next(true)?.is_some() {}
        if records.offset != records.size {
            let what = format!("segment {number:016x} is damaged at octet {}", records.offset);
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
    }
    Ok(())
}
