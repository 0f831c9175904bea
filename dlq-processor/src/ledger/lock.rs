//! A ledger in a file is one daemon's: whoever else opens it waits.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Holds a file's ledger, until it is dropped or the process ends, however that ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "it is locked as long as it is open")] File);

impl Lock {
    /// Takes the lock beside a ledger's file; none while another process has it.
    ///
    /// # Errors
    /// The file of the lock cannot be made or locked.
    pub fn take(ledger: &Path) -> std::io::Result<Option<Self>> {
        let mut name = ledger.as_os_str().to_owned();
        name.push(".lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(name)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_waits_until_the_first_has_gone() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = folder.path().join("ledger.db");
        let first = Lock::take(&ledger).unwrap().unwrap();
        assert!(Lock::take(&ledger).unwrap().is_none());
        drop(first);
        assert!(Lock::take(&ledger).unwrap().is_some());
    }
}
