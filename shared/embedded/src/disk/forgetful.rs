//! A disk in memory that loses at a power cut what a real one may lose: every write since the last sync on its own,
//! whole, in part or not at all, and every name since the last sync of its folder.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Disk, DiskFile};

/// A write that tears, tears between sectors of this size.
const SECTOR: usize = 512;

/// A disk that forgets. Clones are the same disk.
///
/// The outcome of a power cut is drawn from the seed. The model is harsher than a journaling file system: writes and
/// names survive in any combination, not only in their order.
#[derive(Clone)]
pub struct ForgetfulDisk(Arc<Mutex<State>>);

struct State {
    /// The names as a running process sees them; `None` is a folder.
    names: BTreeMap<PathBuf, Option<usize>>,
    /// The names that a power cut leaves.
    durable_names: BTreeMap<PathBuf, Option<usize>>,
    /// Names that changed since the last sync of their folder.
    loose_names: Vec<PathBuf>,
    files: Vec<Content>,
    /// Counts power cuts: who opened a file before the last one has nothing in hand.
    life: u64,
    random: u64,
    /// Changes so far.
    changes: u64,
    trouble: Trouble,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    /// The power goes while this change is made.
    CutAt(u64),
    /// The process ends before this change.
    KillAt(u64),
    /// This change fails, the next one does not.
    FailAt(u64),
    /// The power is gone, or the process.
    Dark,
}

#[derive(Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    loose: Vec<Change>,
}

enum Change {
    Write {
        at: usize,
        bytes: Vec<u8>,
        /// Which sectors of it got lost; empty if none did.
        lost: Vec<bool>,
    },
    Size(usize),
}

impl Content {
    fn apply(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Write { at, bytes: new, lost } => {
                let end = at + new.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                let there = bytes.get_mut(*at..end).unwrap_or_default();
                for (number, (old, new)) in there.chunks_mut(SECTOR).zip(new.chunks(SECTOR)).enumerate() {
                    if !lost.get(number).is_some_and(|lost| *lost) {
                        old.copy_from_slice(new);
                    }
                }
            }
            Change::Size(size) => bytes.resize(*size, 0),
        }
    }

    fn change(&mut self, change: Change) {
        Self::apply(&mut self.now, &change);
        self.loose.push(change);
    }
}

impl ForgetfulDisk {
    /// An empty disk.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let root = BTreeMap::from([(PathBuf::from("/"), None)]);
        Self(Arc::new(Mutex::new(State {
            names: root.clone(),
            durable_names: root,
            loose_names: Vec::new(),
            files: Vec::new(),
            life: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            changes: 0,
            trouble: Trouble::None,
        })))
    }

    /// The power goes while the change with this number (from 0, see [`ForgetfulDisk::changes`]) is made: it is done
    /// in part, and from then on nothing works until [`ForgetfulDisk::power_cut`].
    pub fn cut_at(&self, change: u64) {
        self.state().trouble = Trouble::CutAt(change);
    }

    /// The process is killed when it makes the change with this number: that is not done, and nothing works until
    /// [`ForgetfulDisk::restart`].
    pub fn kill_at(&self, change: u64) {
        self.state().trouble = Trouble::KillAt(change);
    }

    /// A new process after a killed one: nothing is lost that the old one wrote, and nothing more is durable.
    pub fn restart(&self) {
        let mut state = self.state();
        state.life += 1;
        state.trouble = Trouble::None;
    }

    /// The change with this number fails, in part done, and those after it work again.
    pub fn fail_at(&self, change: u64) {
        self.state().trouble = Trouble::FailAt(change);
    }

    /// How many changes were made or tried: writes, sizes, syncs, names.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// Whether the power went, or the process.
    #[must_use]
    pub fn is_dark(&self) -> bool {
        self.state().trouble == Trouble::Dark
    }

    /// Cuts the power and puts it on again. What was synced is there; of the rest, whatever the dice say.
    pub fn power_cut(&self) {
        let mut state = self.state();
        for index in 0..state.files.len() {
            let Some(mut content) = state.files.get_mut(index).map(std::mem::take) else { continue };
            for change in std::mem::take(&mut content.loose) {
                if let Some(survivor) = state.survivor(change) {
                    Content::apply(&mut content.durable, &survivor);
                }
            }
            content.now.clone_from(&content.durable);
            if let Some(place) = state.files.get_mut(index) {
                *place = content;
            }
        }
        for name in std::mem::take(&mut state.loose_names) {
            if state.dice(2) == 0 {
                state.make_durable(&name);
            }
        }
        // A name in a folder that is not there cannot be found.
        let folders: Vec<PathBuf> =
            state.durable_names.iter().filter(|(_, f)| f.is_none()).map(|(p, _)| p.clone()).collect();
        let reachable = |path: &Path| path.ancestors().skip(1).all(|a| folders.iter().any(|f| f == a));
        state.durable_names.retain(|path, _| reachable(path));
        state.names = state.durable_names.clone();
        state.life += 1;
        state.trouble = Trouble::None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A number below `sides`.
    fn dice(&mut self, sides: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % sides
    }

    /// What a power cut leaves of a change that was not synced.
    fn survivor(&mut self, change: Change) -> Option<Change> {
        match (self.dice(4), change) {
            (0, _) => None,
            (1, whole) => Some(whole),
            (2, Change::Write { at, mut bytes, .. }) => {
                bytes.truncate(usize::try_from(self.dice(bytes.len() as u64 + 1)).unwrap_or(0));
                Some(Change::Write { at, bytes, lost: Vec::new() })
            }
            // Sectors get lost one by one: what was there stays, and zeros where nothing was.
            (_, Change::Write { at, bytes, .. }) => {
                let lost = bytes.chunks(SECTOR).map(|_| self.dice(2) == 0).collect();
                Some(Change::Write { at, bytes, lost })
            }
            (_, size) => Some(size),
        }
    }

    /// Counts a change. `Ok(true)`: do it. `Ok(false)`: do some of it, then fail.
    fn count(&mut self) -> io::Result<bool> {
        let number = self.changes;
        match self.trouble {
            Trouble::Dark => return Err(dark()),
            Trouble::KillAt(at) if at <= number => {
                self.trouble = Trouble::Dark;
                return Err(dark());
            }
            Trouble::CutAt(at) if at <= number => self.trouble = Trouble::Dark,
            Trouble::FailAt(at) if at <= number => self.trouble = Trouble::None,
            _ => {
                self.changes += 1;
                return Ok(true);
            }
        }
        self.changes += 1;
        Ok(false)
    }

    /// Makes a change that can be done in part, or fails.
    fn change(&mut self, file: usize, change: Change) -> io::Result<()> {
        let whole = self.count()?;
        let change = if whole { Some(change) } else { self.survivor(change) };
        if let (Some(change), Some(content)) = (change, self.files.get_mut(file)) {
            content.change(change);
        }
        if whole { Ok(()) } else { Err(failed()) }
    }

    /// Makes a change of a name, or fails.
    fn rename(&mut self, path: &Path, file: Option<Option<usize>>) -> io::Result<()> {
        let whole = self.count()?;
        if whole || self.dice(2) == 0 {
            match file {
                Some(file) => self.names.insert(path.to_owned(), file),
                None => self.names.remove(path),
            };
            self.loose_names.push(path.to_owned());
        }
        if whole { Ok(()) } else { Err(failed()) }
    }

    fn make_durable(&mut self, name: &Path) {
        match self.names.get(name) {
            Some(file) => self.durable_names.insert(name.to_owned(), *file),
            None => self.durable_names.remove(name),
        };
    }

    fn folder(&self, path: &Path) -> io::Result<()> {
        match self.names.get(path) {
            Some(None) => Ok(()),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn lit(&self) -> io::Result<()> {
        if self.trouble == Trouble::Dark { Err(dark()) } else { Ok(()) }
    }
}

fn dark() -> io::Error {
    io::Error::other("the power is gone")
}

fn failed() -> io::Error {
    io::Error::other("the disk failed")
}

fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

impl Disk for ForgetfulDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if state.names.get(path) == Some(&None) {
            return state.lit();
        }
        state.folder(parent(path))?;
        state.rename(path, Some(None))
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        state.folder(parent(path))?;
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(Content::default());
        state.rename(path, Some(Some(file)))?;
        let life = state.life;
        Ok(Arc::new(ForgetfulFile { disk: self.clone(), file, life }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let state = self.state();
        state.lit()?;
        match state.names.get(path) {
            Some(Some(file)) => {
                Ok(Arc::new(ForgetfulFile { disk: self.clone(), file: *file, life: state.life }))
            }
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        if !matches!(state.names.get(path), Some(Some(_))) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.rename(path, None)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        state.lit()?;
        state.folder(path)?;
        let inside = state.names.keys().filter(|p| p.parent() == Some(path));
        Ok(inside.filter_map(|p| Some(p.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.folder(path)?;
        let whole = state.count()?;
        let (mine, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.loose_names).into_iter().partition(|p| p.parent() == Some(path));
        state.loose_names = others;
        for name in mine {
            // A sync that fails has done some of its work; folders are journaled, so a later one can do the rest.
            if whole || state.dice(2) == 0 {
                state.make_durable(&name);
            } else {
                state.loose_names.push(name);
            }
        }
        if whole { Ok(()) } else { Err(failed()) }
    }
}

struct ForgetfulFile {
    disk: ForgetfulDisk,
    file: usize,
    life: u64,
}

impl ForgetfulFile {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.life == self.life { Ok(state) } else { Err(io::Error::other("opened before the power cut")) }
    }
}

impl DiskFile for ForgetfulFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        self.state()?.change(self.file, Change::Write { at, bytes: bytes.to_vec(), lost: Vec::new() })
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.state()?;
        state.lit()?;
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let content = state.files.get(self.file).map(|c| c.now.as_slice()).unwrap_or_default();
        let there = at.checked_add(into.len()).and_then(|end| content.get(at..end));
        into.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let state = self.state()?;
        state.lit()?;
        Ok(state.files.get(self.file).map_or(0, |c| c.now.len() as u64))
    }

    fn set_size(&self, bytes: u64) -> io::Result<()> {
        let size = usize::try_from(bytes).map_err(io::Error::other)?;
        self.state()?.change(self.file, Change::Size(size))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state()?;
        let whole = state.count()?;
        let Some(mut content) = state.files.get_mut(self.file).map(std::mem::take) else { return Ok(()) };
        let loose = std::mem::take(&mut content.loose);
        for change in loose {
            let survivor = if whole { Some(change) } else { state.survivor(change) };
            if let Some(change) = survivor {
                Content::apply(&mut content.durable, &change);
            }
        }
        if let Some(place) = state.files.get_mut(self.file) {
            *place = content;
        }
        if whole { Ok(()) } else { Err(failed()) }
    }
}

#[cfg(test)]
mod tests;
