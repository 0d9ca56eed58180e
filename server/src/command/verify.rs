//! `sigillo verify`

use std::{
    fs,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use pec::Index;
use smime::{Anchors, Certificate};

use super::{CommandError, deployment::Operator, now, print, print_json};
use crate::{
    cli::{Verify, When},
    folder::{Folder, read_bounded},
    verify::{At, Standard, verify},
};

/// The largest message that is read.
const MESSAGE_BYTES_MAX: u64 = 512 << 20;
/// The largest file of certificates that is read.
const CA_BYTES_MAX: u64 = 16 << 20;
/// Files of a folder of certificates.
const CA_FILES_MAX: usize = 1000;

/// Reads the files, judges, prints.
///
/// # Errors
/// [`CommandError::File`] for a file that cannot be used.
pub fn run(args: &Verify) -> Result<u8, CommandError> {
    let message = Bytes::from(read(&args.file, MESSAGE_BYTES_MAX)?);
    let theirs = theirs(args)?;
    let standard = Standard {
        anchors: match &args.ca {
            Some(path) => Some(anchors(path)?),
            None => theirs.anchors,
        },
        index: match &args.index {
            Some(path) => Some(index(path)?),
            None => theirs.index,
        },
        at: match args.at {
            When::SigningTime => At::SigningTime,
            When::Now => At::Instant(now()),
            When::Instant(instant) => At::Instant(instant),
        },
    };
    let report = verify(&message, &standard);
    if args.json {
        print_json(&report)?;
    } else {
        print(&format!("{}: {}", args.file.display(), report.to_string().trim_end()))?;
    }
    Ok(report.exit_code())
}

/// What a provider judges by: for what the command line leaves open.
#[derive(Default)]
struct Theirs {
    anchors: Option<Anchors>,
    index: Option<Index>,
}

fn theirs(args: &Verify) -> Result<Theirs, CommandError> {
    if let Some(data) = &args.data {
        let folder = Folder::new(data);
        let (ca, ldif) = (folder.pki("ca.pem"), folder.index());
        return Ok(Theirs { anchors: Some(anchors(&ca)?), index: Some(index(&ldif)?) });
    }
    let Some(description) = &args.aws else { return Ok(Theirs::default()) };
    let operator = Operator::open(description)?;
    let unfit =
        |what: &str, why: String| unusable(description, format!("{what} of the provider: failed to {why}"));
    let anchors = Anchors::from_files([operator.anchors()?.as_slice()]);
    let index = Index::from_ldif(&operator.index()?);
    Ok(Theirs {
        anchors: Some(anchors.map_err(|error| unfit("the trust anchors", error.to_string()))?),
        index: Some(index.map_err(|error| unfit("the index", error.to_string()))?),
    })
}

fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, CommandError> {
    read_bounded(path, bytes_max).map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, why: impl ToString) -> CommandError {
    CommandError::File { path: path.to_owned(), why: why.to_string() }
}

fn index(path: &Path) -> Result<Index, CommandError> {
    let ldif = read(path, pec::index::LDIF_BYTES_MAX as u64)?;
    Index::from_ldif(&ldif).map_err(|error| unusable(path, format!("failed to {error}")))
}

/// Every certificate of a file, or of the files in a folder; those there that hold none are passed over.
pub(super) fn anchors(path: &Path) -> Result<Anchors, CommandError> {
    let mut anchors = Anchors::new();
    if path.is_dir() {
        for file in files(path)? {
            let certificates = Certificate::from_file(&read(&file, CA_BYTES_MAX)?);
            certificates.into_iter().flatten().for_each(|certificate| anchors.add(certificate));
        }
    } else {
        let certificates = Certificate::from_file(&read(path, CA_BYTES_MAX)?);
        let certificates = certificates.map_err(|error| unusable(path, format!("failed to {error}")))?;
        certificates.into_iter().for_each(|certificate| anchors.add(certificate));
    }
    if anchors.is_empty() { Err(unusable(path, "no certificate in it")) } else { Ok(anchors) }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, CommandError> {
    let entries = fs::read_dir(folder).map_err(|error| unusable(folder, error))?;
    let mut files: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_file()).collect();
    if files.len() > CA_FILES_MAX {
        return Err(unusable(folder, format!("more than {CA_FILES_MAX} files")));
    }
    files.sort();
    Ok(files)
}
