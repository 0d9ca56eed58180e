//! `sigillo keys`: signing keys, wherever they are kept.

use std::path::{Path, PathBuf};

use smime::{CertificateRequest, RequestError, RsaKey};

use super::{CommandError, deployment::Operator, print_json, write};
use crate::{
    cli::KeysCsr,
    folder::{Folder, read_bounded},
};

/// Key files are smaller.
const KEY_BYTES_MAX: u64 = 1 << 20;

/// A certificate request, signed by the key that it is for.
///
/// # Errors
/// [`CommandError`]
pub fn csr(args: &KeysCsr) -> Result<u8, CommandError> {
    let request = match &args.provider.aws {
        Some(description) => {
            let operator = Operator::open(description)?;
            operator.certificate_request(args.key.as_deref(), &args.subject, &args.mail)?
        }
        None => {
            let own = || Folder::new(&args.provider.data).pki("provider.key");
            of_file(&args.key.as_ref().map_or_else(own, PathBuf::from), args)?
        }
    };
    if args.provider.json {
        print_json(&serde_json::json!({ "request": request }))?;
    } else {
        write(request.as_bytes())?;
    }
    Ok(0)
}

fn of_file(path: &Path, args: &KeysCsr) -> Result<String, CommandError> {
    let unusable = |why: String| CommandError::File { path: path.to_owned(), why };
    let pem = read_bounded(path, KEY_BYTES_MAX).map_err(|error| unusable(error.to_string()))?;
    let key = RsaKey::from_pem(&pem).map_err(|error| unusable(format!("failed to {error}")))?;
    let refused = |error: RequestError| CommandError::Usage(format!("failed to {error}"));
    let public = key.public_key_info().map_err(|error| unusable(format!("failed to {error}")))?;
    let request = CertificateRequest::prepare(&args.subject, args.mail.as_str(), &public).map_err(refused)?;
    let signature =
        key.sign_digest(request.digest()).map_err(|error| unusable(format!("failed to {error}")))?;
    request.assemble(&signature).map_err(refused)
}
