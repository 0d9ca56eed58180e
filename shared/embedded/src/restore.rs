//! A provider's folder from a backup, with every octet of it checked.

use std::{
    fs::{self, File},
    io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use stages::{
    custody::{Verdict, judge},
    ports::Blobs as _,
};

use crate::{
    Counters, Segments,
    backup::{BackupError, FORM, LIST, List, Listed, copy_file, empty, make_parent, sync_folders},
    blobs::{Sizes, backup::check_segments},
    disk::RealDisk,
    facts::Acts,
    provider::{BLOBS, FACTS},
};

/// Octets of a list: hundreds of thousands of files.
const LIST_BYTES_MAX: u64 = 256 << 20;

/// Keys that are looked at in one go.
const KEYS: usize = 1024;

/// What was found to be whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Restored {
    /// The moment of the backup, in seconds since 1970 (UTC).
    pub at_unix_s: i64,
    /// Whether private keys and passwords were in it.
    pub with_keys: bool,
    /// Files.
    pub files: u64,
    /// Octets in them.
    pub bytes: u64,
    /// Blobs whose octets are what their digest says.
    pub blobs: u64,
    /// Entries of the legal log.
    pub log_entries: u64,
    /// Receipts, notices and envelopes whose entry in the log has the digest of what is stored.
    pub acts: u64,
    /// Of these, copies in mailboxes that their holder has removed since.
    pub acts_removed_by_holders: u64,
}

/// Makes a provider's folder from a backup, in a folder that is empty or not there. It is made beside it and takes its
/// name at the end, so that power fails either before it is there or after it was checked. On a blocking thread.
///
/// # Errors
/// [`BackupError`], also when anything is not what list, digests and legal log say.
pub fn restore(from: &Path, data: &Path) -> Result<Restored, BackupError> {
    // 1. The list, and a place beside the new folder.
    let list = read_list(from)?;
    empty(data)?;
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    let making = data.with_file_name(name);
    match fs::remove_dir_all(&making) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(BackupError::File(making, e)),
        _ => empty(&making)?,
    }
    let done = make(from, &making, &list).inspect_err(|_| {
        // The room is wanted back; if this fails, the next restore does it.
        let _ = fs::remove_dir_all(&making);
    })?;
    // 4. Its name. An empty folder gives way.
    let failed = |e| BackupError::File(data.to_owned(), e);
    sync_folders(&making).map_err(failed)?;
    fs::rename(&making, data).map_err(failed)?;
    let parent = data.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?;
    Ok(done)
}

fn make(from: &Path, making: &Path, list: &List) -> Result<Restored, BackupError> {
    // 2. Every file, compared with the list on its way.
    let mut done = Restored { at_unix_s: list.at_unix_s, with_keys: list.with_keys, ..Restored::default() };
    for file in &list.files {
        copy(from, making, file)?;
        done.files += 1;
        done.bytes += file.bytes;
    }
    // 3. The blobs, then the legal log against them.
    check(making, &mut done)?;
    Ok(done)
}

fn read_list(from: &Path) -> Result<List, BackupError> {
    use io::Read as _;
    let path = from.join(LIST);
    let mut text = Vec::new();
    File::open(&path)
        .and_then(|file| file.take(LIST_BYTES_MAX).read_to_end(&mut text))
        .map_err(|e| BackupError::File(path.clone(), e))?;
    let list: List =
        serde_json::from_slice(&text).map_err(|e| BackupError::Damaged(path.clone(), e.to_string()))?;
    if list.form != FORM {
        let why = format!("a backup of form {}, this release knows {FORM}", list.form);
        return Err(BackupError::Damaged(path, why));
    }
    Ok(list)
}

fn copy(from: &Path, to: &Path, file: &Listed) -> Result<(), BackupError> {
    // The list names places below the folder, nothing else.
    let within = file.path.components().all(|part| matches!(part, Component::Normal(_)));
    if !within || file.path.as_os_str().is_empty() {
        return Err(BackupError::Damaged(file.path.clone(), "no place in a folder".to_owned()));
    }
    let (source, target) = (from.join(&file.path), to.join(&file.path));
    let copied = make_parent(&target).and_then(|()| copy_file(File::open(&source)?, &target, |_| ()));
    let (bytes, sha256) = copied.map_err(|e| BackupError::File(source.clone(), e))?;
    if (bytes, &sha256) != (file.bytes, &file.sha256) {
        return Err(BackupError::Damaged(source, "its octets are not those that were backed up".to_owned()));
    }
    Ok(())
}

/// Segments record by record, large files by their digest, then for every act that was issued its entry in the legal
/// log and what is stored.
fn check(dir: &Path, done: &mut Restored) -> Result<(), BackupError> {
    let blobs_dir = dir.join(BLOBS);
    fs::create_dir_all(&blobs_dir).map_err(|e| BackupError::File(blobs_dir.clone(), e))?;
    check_segments(&blobs_dir).map_err(|e| BackupError::Damaged(blobs_dir.clone(), e.to_string()))?;
    let sizes = Sizes::default();
    let blobs = Segments::open(Arc::new(RealDisk), &blobs_dir, sizes, Arc::new(Counters::default()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|e| BackupError::File(blobs_dir, e))?;
    done.blobs = runtime.block_on(read_large(&blobs, sizes.inline_bytes))?;
    let path = dir.join(FACTS);
    let mut acts = Acts::open(&path)?;
    done.log_entries = acts.entries()?;
    while let Some(some) = acts.next()? {
        for (act, logged) in some {
            let stored = blobs.digest(&act.target)?.map(hex::encode);
            match judge(&act, logged, stored.as_deref()) {
                Verdict::Owed => continue,
                Verdict::Whole => {}
                Verdict::RemovedByHolder => done.acts_removed_by_holders += 1,
                Verdict::Fault(why) => {
                    return Err(BackupError::Damaged(PathBuf::from(act.target.as_str()), why.to_owned()));
                }
            }
            done.acts += 1;
        }
    }
    Ok(())
}

/// Reads every body that lies in a file of its own; those in segments were read already. Gives the number of blobs.
async fn read_large(blobs: &Segments, inline_bytes: u64) -> Result<u64, BackupError> {
    let (mut after, mut count) = (None, 0);
    loop {
        let keys = blobs.list("", after.as_ref(), KEYS).await?;
        for key in &keys {
            if blobs.size(key).await?.is_some_and(|size| size > inline_bytes) {
                blobs.get(key).await?; // compares the digest
            }
        }
        count += keys.len() as u64;
        match keys.into_iter().next_back() {
            Some(last) => after = Some(last),
            None => return Ok(count),
        }
    }
}
