//! Kind `exec`: the receiver is a program that listens to a file.

use std::path::Path;

use super::{Fixture, Receiver, Reply, Says};

/// Where the program of a settings text writes and what it answers: an address says which.
pub(crate) fn fixture() -> Fixture {
    Fixture {
        kind: "exec",
        settings: |place| {
            let folder = folder(place.addr.port());
            format!("exec: {{ command: [sh, {}/program], env: {{ TOKEN: '${{SECRET}}' }} }}", folder.display())
        },
        receiver: |reply| {
            let port = testkit::free_port();
            let folder = Folder(folder(port));
            std::fs::create_dir_all(&folder.0).unwrap();
            let end = match reply {
                Reply::Accept => "echo done",
                Reply::Busy | Reply::Fail => "echo later >&2; exit 75",
                Reply::Refuse => "echo no such person >&2; exit 65",
            };
            let heard = folder.0.join("heard");
            std::fs::write(folder.0.join("program"), format!("cat > {}\n{end}\n", heard.display())).unwrap();
            let read = move || std::fs::read_to_string(&heard).into_iter().collect();
            Receiver::new(([127, 0, 0, 1], port).into(), read, folder)
        },
        says: Says { resolved: r#""status":"resolved""#, drill: r#""drill":true"# },
        can_be_busy: false,
    }
}

fn folder(port: u16) -> std::path::PathBuf {
    std::env::temp_dir().join(format!("monitor-alert-exec-{}-{port}", std::process::id()))
}

struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(Path::new(&self.0));
    }
}
