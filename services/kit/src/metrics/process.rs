//! Build information and the process's own figures (names by the Prometheus client guidelines, "standard and runtime
//! collectors").

use jiff::Timestamp;
use prometheus::proto::MetricFamily;

use super::family::{Sample, family};

pub(super) fn collect(binary: &'static str, version: &'static str, started: Timestamp) -> Vec<MetricFamily> {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Fields after the command, which may hold spaces: proc(5), from field 3 on.
    let fields: Vec<&str> = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ').collect()).unwrap_or_default();
    let field = |number: usize| fields.get(number - 3).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE).ok().flatten().unwrap_or(4096);
    #[expect(clippy::cast_precision_loss, reason = "small constants of the system")]
    let (ticks, page) = (ticks as f64, page as f64);
    let open_fds = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let (open_fds, max_fds) = (
        open_fds as f64,
        nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).map_or(0.0, |(soft, _)| soft as f64),
    );
    let prefix = binary.replace('-', "_");
    vec![
        family(
            &format!("{prefix}_build_info"),
            "Always 1; the version is a label.",
            [Sample::of([("version", version)], 1.0)],
        ),
        family(
            "process_cpu_seconds_total",
            "CPU time, user and system.",
            [Sample::bare((field(14) + field(15)) / ticks)],
        ),
        family("process_resident_memory_bytes", "Resident memory.", [Sample::bare(field(24) * page)]),
        family("process_open_fds", "Open file descriptors.", [Sample::bare(open_fds)]),
        family("process_max_fds", "Limit of open file descriptors.", [Sample::bare(max_fds)]),
        family("process_threads", "Threads.", [Sample::bare(field(20))]),
        family(
            "process_start_time_seconds",
            "Start, in seconds since the epoch.",
            [Sample::bare(started.as_duration().as_secs_f64())],
        ),
        family(
            "service_uptime_seconds",
            "How long it has run.",
            [Sample::bare(Timestamp::now().duration_since(started).as_secs_f64().max(0.0))],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_knows_its_own_memory_and_descriptors() {
        let families = collect("api-gateway", "1.0", Timestamp::UNIX_EPOCH);
        let value = |name: &str| {
            let family = families.iter().find(|family| family.name() == name).unwrap();
            family.get_metric()[0].get_gauge().get_value()
        };
        assert!(value("process_resident_memory_bytes") > 1_000_000.0);
        assert!(value("process_open_fds") >= 3.0);
        assert!(families.iter().any(|family| family.name() == "api_gateway_build_info"));
    }
}
