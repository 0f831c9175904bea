//! Whether this process runs in a container, where files, processes and `localhost` are not the host's.

use std::path::Path;

/// True inside a container: Docker and Podman each leave a file (moby's daemon/initlayer, podman-run(1)).
pub fn is_inside() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|file| Path::new(file).exists())
}
