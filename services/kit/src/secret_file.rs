//! Reads a file that holds one secret.

use std::fs::OpenOptions;
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

/// Longest secret file that is read, in bytes: room for a certificate chain; a file of secrets is not a secret.
const MAX_BYTES: u64 = 64 * 1024;

/// Returns the text of the file at `path` without the white space around it; it may be empty.
///
/// # Errors
/// It is not there, not readable, not a regular file (a pipe or a device may never end), too long or not text.
pub fn read(path: &Path) -> Result<String> {
    // Opening a pipe would wait for its writer (open(2), O_NONBLOCK).
    let file = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut text = String::new();
    let read = file.take(MAX_BYTES + 1).read_to_string(&mut text);
    if text.len() as u64 > MAX_BYTES {
        return Err(Error::new(ErrorKind::InvalidData, format!("it is larger than {MAX_BYTES} bytes")));
    }
    read.map(|_bytes| text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn only_a_small_regular_file_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("good"), " s3cret \r\n").unwrap();
        std::fs::write(path("large"), vec![b'x'; 64 * 1024 + 1]).unwrap();
        std::fs::write(path("full"), vec![b'x'; 64 * 1024]).unwrap();
        nix::unistd::mkfifo(&path("pipe"), Mode::S_IRWXU).unwrap();
        assert_eq!(read(&path("good")).unwrap(), "s3cret");
        assert_eq!(read(&path("full")).unwrap().len(), 64 * 1024);
        let why = |path: &Path| read(path).unwrap_err().to_string();
        assert_eq!(why(&path("large")), "it is larger than 65536 bytes");
        assert_eq!(why(&path("pipe")), "it is not a regular file");
        assert_eq!(why(Path::new("/dev/zero")), "it is not a regular file");
        assert_eq!(why(folder.path()), "it is not a regular file");
    }
}
