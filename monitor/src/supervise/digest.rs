//! Which program a file holds, told by its content.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use data_encoding::HEXLOWER;
use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};

/// Largest program that is digested, in bytes; of a larger one the rest does not count.
const MAX_PROGRAM_BYTES: u64 = 1 << 30;

/// `S_IXUSR`, `S_IXGRP` and `S_IXOTH` (inode(7)).
const ANY_EXECUTES: u32 = 0o111;

/// Returns the SHA-256 of a program, in hexadecimal.
///
/// # Errors
/// When it cannot be read, or is no program: a pipe would never end, and what nobody may execute is somebody's data.
pub(crate) fn digest_of(program: &Path) -> io::Result<String> {
    let program = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(program)?;
    let is = program.metadata()?;
    if !is.is_file() || is.mode() & ANY_EXECUTES == 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut program = program.take(MAX_PROGRAM_BYTES);
    let (mut hasher, mut piece) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match program.read(&mut piece)? {
            0 => return Ok(HEXLOWER.encode(&hasher.finalize())),
            read => hasher.update(piece.get(..read).unwrap_or_default()),
        }
    }
}
