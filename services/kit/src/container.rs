//! Whether this process runs in a container, where files, processes and `localhost` are not the host's.

use std::path::Path;

/// What Kubernetes sets in every container (kubernetes.io/docs/concepts/services-networking/service, "Environment variables").
const KUBERNETES: &str = "KUBERNETES_SERVICE_HOST";

/// True inside a container: Docker and Podman each leave a file (moby's daemon/initlayer, podman-run(1)), and other runtimes
/// are those of Kubernetes.
pub fn is_inside() -> bool {
    ["/.dockerenv", "/run/.containerenv"].iter().any(|file| Path::new(file).exists())
        || std::env::var_os(KUBERNETES).is_some()
}
