//! A small disk of one's own (tmpfs), which can be full. Mounting needs root, as in CI.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted disk; it goes with the value.
#[derive(Debug)]
pub struct Disk(PathBuf);

impl Disk {
    /// Mounts a disk of `size` (as in `4m`) on a folder, which is made.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn mount(on: &Path, size: &str) -> Self {
        std::fs::create_dir_all(on).expect("the folder is the test's");
        mount(&["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs"], on);
        Self(on.to_owned())
    }

    /// Changes it while it is in use, as `ro` does.
    ///
    /// # Panics
    /// When that cannot be done.
    pub fn remount(&self, option: &str) {
        mount(&["-o", &format!("remount,{option}")], &self.0);
    }

    /// Fills it to the last byte; returns the file that does.
    ///
    /// # Panics
    /// When the file cannot be made.
    pub fn fill(&self) -> PathBuf {
        let file = self.0.join("filler");
        let mut out = std::fs::File::create(&file).expect("a file without bytes needs no room");
        // Big pieces first.
        let mut size = 1 << 20;
        while size > 0 {
            if out.write_all(&vec![0; size]).is_err() {
                size /= 2;
            }
        }
        file
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also while somebody has a file open.
        let _busy = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

fn mount(arguments: &[&str], on: &Path) {
    let output = Command::new("mount").args(arguments).arg(on).output().expect("every Linux has it");
    assert!(output.status.success(), "mount {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}
