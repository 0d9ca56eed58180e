//! Where a message is while it comes in: its beginning in memory, the rest in a file without a name. What strangers
//! can make us keep is bounded for each session and for all of them.

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    fs::File,
    io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::timeout,
};

/// Octets of a message in memory while it comes in.
const MEMORY_BYTES_MAX: usize = 128 << 10;
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Until other messages have been stored.
const WAIT: Duration = Duration::from_secs(30);

/// What all sessions share.
#[derive(Clone, Debug)]
pub struct Room {
    folder: PathBuf,
    /// A permit for each MiB.
    disk: Arc<Semaphore>,
    /// A permit for each KiB.
    memory: Arc<Semaphore>,
}

impl Room {
    /// Large messages wait in files without names in `folder`, `disk_mib` in all; whole ones are in memory while
    /// they are stored, `memory_mib` in all, which must be more than the largest message.
    #[must_use]
    pub fn new(folder: PathBuf, disk_mib: usize, memory_mib: usize) -> Self {
        let disk = Arc::new(Semaphore::new(disk_mib));
        Self { folder, disk, memory: Arc::new(Semaphore::new(memory_mib << 10)) }
    }

    /// For one session.
    pub(super) fn hold(&self) -> Held {
        Held { room: self.clone(), incoming: Vec::new(), file: None, file_bytes: 0, permits: Vec::new() }
    }
}

/// The message of one session.
#[derive(Debug)]
pub(super) struct Held {
    room: Room,
    incoming: Vec<u8>,
    file: Option<File>,
    file_bytes: u64,
    permits: Vec<OwnedSemaphorePermit>,
}

/// A whole message, and the memory that it has a right to.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) octets: Bytes,
    _memory: OwnedSemaphorePermit,
}

impl Held {
    /// Where the next octets go; [`Held::settle`] comes after them.
    pub(super) const fn incoming(&mut self) -> &mut Vec<u8> {
        &mut self.incoming
    }

    /// Moves what is too much for memory. After an error nothing of the message is held.
    pub(super) async fn settle(&mut self) -> io::Result<()> {
        if self.incoming.len() < MEMORY_BYTES_MAX {
            return Ok(());
        }
        let moved = self.spill().await;
        if moved.is_err() {
            self.clear();
        }
        moved
    }

    async fn spill(&mut self) -> io::Result<()> {
        self.file_bytes += self.incoming.len() as u64;
        while self.permits.len() as u64 * MIB < self.file_bytes {
            let permit = Arc::clone(&self.room.disk).try_acquire_owned();
            self.permits
                .push(permit.map_err(|_| io::Error::other("messages on their way in fill their room"))?);
        }
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                let folder = self.room.folder.clone();
                let file =
                    spawn_blocking(|| tempfile::tempfile_in(folder)).await.map_err(io::Error::other)??;
                none.insert(File::from_std(file))
            }
        };
        file.write_all(&self.incoming).await?;
        self.incoming.clear();
        Ok(())
    }

    /// Forgets the message.
    pub(super) fn clear(&mut self) {
        self.incoming = Vec::new();
        self.file = None;
        self.file_bytes = 0;
        self.permits.clear();
    }

    /// Gives the message away, whole, once there is memory for it.
    pub(super) async fn whole(&mut self) -> io::Result<Whole> {
        let Self { room, incoming, file, file_bytes, .. } = std::mem::replace(self, self.room.hold());
        let total = file_bytes + incoming.len() as u64;
        let kib = u32::try_from(total.div_ceil(KIB)).map_err(io::Error::other)?;
        let memory = timeout(WAIT, room.memory.acquire_many_owned(kib)).await;
        let memory = memory.map_err(io::Error::other)?.map_err(io::Error::other)?;
        let octets = match file {
            None => incoming,
            Some(mut file) => {
                let mut octets = Vec::with_capacity(usize::try_from(total).map_err(io::Error::other)?);
                file.flush().await?;
                file.rewind().await?;
                file.read_to_end(&mut octets).await?;
                octets.extend_from_slice(&incoming);
                octets
            }
        };
        if octets.len() as u64 != total {
            return Err(io::Error::other("a message on its way in is not what was written"));
        }
        Ok(Whole { octets: Bytes::from(octets), _memory: memory })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn fill(held: &mut Held, pieces: usize) -> io::Result<()> {
        for n in 0..pieces {
            held.incoming().extend_from_slice(&[u8::try_from(n % 251).unwrap(); 8192]);
            held.settle().await?;
            assert!(held.incoming.len() < MEMORY_BYTES_MAX + 8192);
        }
        Ok(())
    }

    #[tokio::test]
    async fn small_and_large_messages_come_out_as_they_went_in() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room::new(folder.path().to_owned(), 4, 8);
        let mut held = room.hold();
        for pieces in [0, 1, 15, 16, 17, 300] {
            fill(&mut held, pieces).await.unwrap();
            let whole = held.whole().await.unwrap();
            assert_eq!(whole.octets.len(), pieces * 8192);
            assert!(
                whole
                    .octets
                    .chunks(8192)
                    .enumerate()
                    .all(|(n, c)| c.iter().all(|&b| usize::from(b) == n % 251))
            );
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "files have no names");
        assert_eq!((room.disk.available_permits(), room.memory.available_permits()), (4, 8 << 10));
    }

    #[tokio::test]
    async fn the_room_of_all_sessions_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let room = Room::new(folder.path().to_owned(), 2, 8);
        let (mut one, mut other) = (room.hold(), room.hold());
        fill(&mut one, 128).await.unwrap();
        fill(&mut other, 144).await.unwrap_err();
        assert_eq!(room.disk.available_permits(), 1, "what could not be kept is gone");
        one.clear();
        fill(&mut other, 128).await.unwrap();
    }
}
