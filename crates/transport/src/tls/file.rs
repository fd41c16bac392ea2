//! Reading secrets from files, which nobody but their owner may be able to read.
use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use super::error::SecurityError;

/// Reads a file whose content is no secret.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, SecurityError> {
    std::fs::read(path).map_err(|source| SecurityError::Read { path: path.to_owned(), source })
}

/// Reads a file that only its owner may read.
pub(super) fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecurityError> {
    let failed = |source| SecurityError::Read { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if let Some(mode) = exposed(&metadata) {
        return Err(SecurityError::Exposed { path: path.to_owned(), mode });
    }
    // Room for all of it at once: a buffer that grows would leave copies behind.
    let length = usize::try_from(metadata.len()).unwrap_or_default();
    let mut content = Zeroizing::new(Vec::with_capacity(length + 1));
    file.read_to_end(&mut content).map_err(failed)?;
    Ok(content)
}

/// The access rights of a file, if others have any. Its group may read what belongs to root: that is how a service is
/// given a secret that it cannot change.
#[cfg(unix)]
fn exposed(metadata: &std::fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let mode = metadata.mode() & 0o777;
    let allowed = if metadata.uid() == 0 { 0o740 } else { 0o700 };
    (mode & !allowed != 0).then_some(mode)
}

#[cfg(not(unix))]
fn exposed(_metadata: &std::fs::Metadata) -> Option<u32> {
    None
}
