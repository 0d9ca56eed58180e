//! The sealed segments of the legal log as files of a folder, and the log that they are made of (`stages::sealing`).

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use stages::{
    log::LogEntry,
    ports::{BlobError, FactsError, Put},
    sealing::{LogTail, SegmentStore},
};
use tokio::task::spawn_blocking;

use crate::{
    facts::{read_log_after, read_log_end},
    provider::FACTS,
};

/// The log of the tables in a file, read beside their use.
pub struct FileTail(PathBuf);

impl FileTail {
    /// Of the provider in this folder.
    #[must_use]
    pub fn new(dir: &Path) -> Self {
        Self(dir.join(FACTS))
    }

    /// As [`LogTail::after`], at once.
    ///
    /// # Errors
    /// [`FactsError`]
    pub fn read(&self, place: u64, limit: usize) -> Result<Vec<(u64, LogEntry)>, FactsError> {
        read_log_after(&self.0, place, limit)
    }
}

#[async_trait]
impl LogTail for FileTail {
    async fn after(&self, place: u64, limit: usize) -> Result<Vec<(u64, LogEntry)>, FactsError> {
        let path = self.0.clone();
        let read = spawn_blocking(move || read_log_after(&path, place, limit)).await;
        read.map_err(|error| FactsError::Unavailable(error.to_string()))?
    }

    async fn last(&self) -> Result<u64, FactsError> {
        let path = self.0.clone();
        let read = spawn_blocking(move || read_log_end(&path)).await;
        read.map_err(|error| FactsError::Unavailable(error.to_string()))?
    }
}

/// A folder of segments. Its files are written once, whole.
pub struct SegmentFolder(PathBuf);

impl SegmentFolder {
    /// This folder, which is made if it is not there.
    ///
    /// # Errors
    /// Of the file system.
    pub fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        Ok(Self(path.to_owned()))
    }

    /// The numbers of the segments that have a statement, in order.
    ///
    /// # Errors
    /// Of the file system.
    pub fn numbers(path: &Path) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for file in fs::read_dir(path)? {
            let name = file?.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".p7m"));
            numbers.extend(number.and_then(|number| number.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BlobError> {
        let path = self.0.clone();
        let done = spawn_blocking(move || work(&path)).await.map_err(io::Error::other);
        done.flatten().map_err(|error| BlobError::Unavailable(error.to_string()))
    }
}

#[async_trait]
impl SegmentStore for SegmentFolder {
    async fn last(&self) -> Result<u64, BlobError> {
        self.work(|path| Ok(Self::numbers(path)?.last().copied().unwrap_or(0))).await
    }

    async fn get(&self, name: &str) -> Result<Option<Bytes>, BlobError> {
        let name = name.to_owned();
        self.work(move |path| match fs::read(path.join(name)) {
            Ok(octets) => Ok(Some(octets.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn put(&self, name: &str, octets: Bytes) -> Result<Put, BlobError> {
        let name = name.to_owned();
        self.work(move |path| put(path, &name, &octets)).await
    }
}

/// Under another name first, which takes the name itself if it is free. Power fails between: a file that nobody reads.
fn put(folder: &Path, name: &str, octets: &[u8]) -> io::Result<Put> {
    let (making, made) = (folder.join(format!("{name}.making")), folder.join(name));
    let mut file = File::create(&making)?;
    file.write_all(octets)?;
    file.sync_all()?;
    let put = match fs::hard_link(&making, &made) {
        Ok(()) => Put::New,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Put::Existing,
        Err(error) => return Err(error),
    };
    fs::remove_file(&making)?;
    File::open(folder)?.sync_all()?;
    Ok(put)
}
