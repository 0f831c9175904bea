//! Which program a file holds, told by its content.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

/// Largest program that is digested, in bytes; of a larger one the rest does not count.
const MAX_PROGRAM_BYTES: u64 = 1 << 30;

/// Returns the SHA-256 of a program, in hexadecimal.
///
/// # Errors
/// When it cannot be read, or is no file: a pipe would never end.
pub(crate) fn digest_of(program: &Path) -> io::Result<String> {
    if !std::fs::metadata(program)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut program = File::open(program)?.take(MAX_PROGRAM_BYTES);
    let (mut hasher, mut piece) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match program.read(&mut piece)? {
            0 => return Ok(HEXLOWER.encode(&hasher.finalize())),
            read => hasher.update(piece.get(..read).unwrap_or_default()),
        }
    }
}
