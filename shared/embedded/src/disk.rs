//! The few things that blobs want from a disk, so that a test can take the disk away.

mod forgetful;
mod real;

use std::{io, path::Path, sync::Arc};

pub use forgetful::ForgetfulDisk;
pub use real::RealDisk;

/// A folder tree. What is written is durable after [`DiskFile::sync`]; that a name exists, or does not exist any more,
/// is durable after [`Disk::sync_dir`] of its folder. Nothing else is.
pub trait Disk: Send + Sync {
    /// Makes a folder in a folder that exists. It is no error if it is there.
    ///
    /// # Errors
    /// What the disk says.
    fn create_dir(&self, path: &Path) -> io::Result<()>;

    /// Makes an empty file that must not be there.
    ///
    /// # Errors
    /// What the disk says.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that must be there.
    ///
    /// # Errors
    /// What the disk says; [`io::ErrorKind::NotFound`] if it is not there.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;

    /// Removes a file that must be there. Who has it open can go on reading.
    ///
    /// # Errors
    /// What the disk says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The names in a folder, in no order.
    ///
    /// # Errors
    /// What the disk says.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// What the disk says. A later success is good for all names.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Writes all of it there; a file that is too short grows.
    ///
    /// # Errors
    /// What the disk says. Some of the bytes may then be there.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Fills the buffer from there.
    ///
    /// # Errors
    /// What the disk says; [`io::ErrorKind::UnexpectedEof`] if the file ends before.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()>;

    /// The size in bytes.
    ///
    /// # Errors
    /// What the disk says.
    fn size(&self) -> io::Result<u64>;

    /// Cuts the file, or lengthens it with zeros.
    ///
    /// # Errors
    /// What the disk says.
    fn set_size(&self, bytes: u64) -> io::Result<()>;

    /// Makes content and size durable.
    ///
    /// # Errors
    /// What the disk says. What was not durable before may then be lost, whatever a second try says.
    fn sync(&self) -> io::Result<()>;
}
