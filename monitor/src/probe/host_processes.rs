//! Which processes a check counts, and how many there are: of this machine, or of the one whose /proc is mounted here.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kit::config::Fields;
use regex::Regex;

/// Names of processes are cut at this length by the kernel (`TASK_COMM_LEN` less one, proc_pid_comm(5)).
const COMM_BYTES: usize = 15;
/// Where Linux tells of processes.
const PROC: &str = "/proc";

/// Processes, and how many of them there should be.
#[derive(Debug)]
pub(super) struct Processes {
    which: Which,
    /// As they are called in messages.
    pub(super) shown: String,
    /// Fewer are too few.
    pub(super) min: u32,
    /// More are too many.
    pub(super) max: Option<u32>,
    /// Where the system tells of them.
    proc: PathBuf,
}

/// Which processes are counted.
#[derive(Debug)]
enum Which {
    /// The program's name.
    Name(String),
    /// A match in the whole command line.
    Pattern(Regex),
}

impl Processes {
    /// Decodes `{ name | pattern: …, min: 1, max: …, proc: /proc }`.
    pub(super) fn decode(fields: &Fields<'_>) -> Option<Self> {
        let name = fields.get("name");
        let pattern = fields.get("pattern");
        let min = fields.get("min").map_or(Some(1), |c| c.whole(0..=1_000_000));
        let max = fields.get("max").map_or(Some(None), |c| c.whole(0..=1_000_000).map(Some));
        let proc = fields.get("proc").map_or_else(|| Some(PROC.to_owned()), |c| c.text());
        let which = match (name, pattern) {
            (Some(name), None) => name.text().map(|name| (name.clone(), Which::Name(name))),
            (None, Some(pattern)) => {
                let regex: Option<Regex> = pattern.parse("a regular expression");
                regex.map(|regex| (format!("/{regex}/"), Which::Pattern(regex)))
            }
            _ => {
                fields.cursor().mistake("expected exactly one of \"name\" and \"pattern\"");
                None
            }
        };
        let (shown, which) = which?;
        let (min, max, proc) = (min?, max?, PathBuf::from(proc?));
        if max.is_some_and(|max| max < min) {
            fields.cursor().mistake("\"max\" is less than \"min\"");
            return None;
        }
        Some(Self { which, shown, min, max, proc })
    }

    /// Counts them.
    ///
    /// # Errors
    /// When there is no /proc where it should be, and what to do about it.
    pub(super) fn count(&self) -> Result<usize, String> {
        // Our own command line may name the program that is looked for. Each /proc has our number in its namespace.
        let ours = fs::read_link(self.proc.join("self")).map_err(|error| self.no_proc(&error))?;
        let entries = fs::read_dir(&self.proc).map_err(|error| self.no_proc(&error))?;
        let processes = entries.flatten().filter(|entry| {
            let name = entry.file_name();
            name.as_encoded_bytes().iter().all(u8::is_ascii_digit) && Path::new(&name) != ours
        });
        Ok(processes.filter(|process| self.fits(&process.path())).count())
    }

    fn no_proc(&self, error: &io::Error) -> String {
        let proc = self.proc.display();
        format!("{proc} is no /proc ({error}); mount one there, or leave \"proc\" out")
    }

    /// Looks at one process; one that ends meanwhile is none.
    fn fits(&self, process: &Path) -> bool {
        let read = |file| fs::read(process.join(file)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let (Ok(name), Ok(command)) = (read("comm"), read("cmdline")) else { return false };
        let command: Vec<&str> = command.trim_end_matches('\0').split('\0').collect();
        self.which.fits(name.trim_end_matches('\n'), &command) && !read("stat").is_ok_and(|stat| is_dead(&stat))
    }
}

/// A zombie runs no more; its state is behind the name, which may hold brackets itself (proc_pid_stat(5)).
fn is_dead(stat: &str) -> bool {
    stat.rsplit_once(") ").is_some_and(|(_, state)| state.starts_with(['Z', 'X']))
}

impl Which {
    fn fits(&self, name: &str, command: &[&str]) -> bool {
        match self {
            Self::Name(wanted) => {
                let base = command.first().and_then(|program| program.rsplit('/').next()).unwrap_or_default();
                // The kernel's name is cut; the first argument is not, but programs may overwrite it.
                name == wanted
                    || base == wanted
                    || (wanted.len() > COMM_BYTES && wanted.get(..COMM_BYTES) == Some(name))
            }
            Self::Pattern(regex) => regex.is_match(&command.join(" ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_name_even_if_the_kernel_cut_it() {
        let name = |text: &str| Which::Name(text.to_owned());
        assert!(name("nginx").fits("nginx", &[]));
        assert!(name("platform-services").fits("platform-servic", &[]));
        assert!(name("python3").fits("MainThread", &["/usr/bin/python3", "app.py"]));
        assert!(!name("nginx").fits("nginx-exporter", &["/bin/nginx-exporter"]));
        let shop = Which::Pattern(Regex::new("java .*-jar shop").unwrap());
        assert!(shop.fits("java", &["java", "-Xmx1g", "-jar", "shop.jar"]));
    }

    #[test]
    fn the_processes_of_another_proc_are_counted_without_ourselves() {
        let place = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("30", place.path().join("self")).unwrap();
        for (pid, comm, command) in
            [("7", "nginx", "nginx: worker\0"), ("8", "nginx", ""), ("30", "nginx", ""), ("31", "kworker/0", "")]
        {
            fs::create_dir(place.path().join(pid)).unwrap();
            fs::write(place.path().join(pid).join("comm"), format!("{comm}\n")).unwrap();
            fs::write(place.path().join(pid).join("cmdline"), command).unwrap();
        }
        fs::write(place.path().join("8/stat"), "8 (nginx) Z 1 8 8 0").unwrap();
        let count = |name: &str, proc: &Path| {
            let which = Which::Name(name.to_owned());
            Processes { which, shown: name.to_owned(), min: 1, max: None, proc: proc.to_owned() }.count()
        };
        assert_eq!(count("nginx", place.path()).unwrap(), 1);
        assert_eq!(count("kworker/0", place.path()).unwrap(), 1);
        let why = count("nginx", Path::new("/nowhere")).unwrap_err();
        assert!(why.starts_with("/nowhere is no /proc (No such file or directory"), "{why}");
    }
}
