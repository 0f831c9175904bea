//! The resources of kind `host`: their limits, how they are read, and how they are told.

use std::time::Duration;

use kit::config::{Cursor, Fields};
use nix::sys::statvfs::statvfs;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

use super::host_processes::Processes;

/// Limits of `full_in`.
const HOUR: Duration = Duration::from_secs(3600);
const YEAR: Duration = Duration::from_secs(366 * 86_400);

/// What is looked at, and its limits. Ratios are from 0 to 1.
#[derive(Debug)]
pub(super) enum Resource {
    Disk(DiskLimits),
    Memory { max_used: f64 },
    Swap { max_used: f64 },
    Load { max_per_cpu: f64 },
    Process(Processes),
}

/// A file system, and what it must not come to.
#[derive(Debug)]
pub(super) struct DiskLimits {
    path: String,
    max_used: Option<f64>,
    min_free: Option<u64>,
    max_inodes_used: Option<f64>,
    /// Sooner than this it must not be full at its present rate.
    full_in: Option<Duration>,
}

/// What a look found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// One line for people.
    pub(super) note: String,
    /// Which limit is broken, and how.
    pub(super) broken: Option<String>,
    /// Bytes that are left, and when they must not be gone, where that is asked.
    pub(super) filling: Option<(u64, Duration)>,
}

impl Resource {
    /// Decodes `{ disk | memory | swap | load | process: {…} }`.
    pub(super) fn decode(cursor: &Cursor<'_>) -> Option<Self> {
        let (kind, _, inner) = cursor.tag()?;
        let fields = inner.fields()?;
        let resource = match kind {
            "disk" => decode_disk(&fields),
            "memory" => Some(Self::Memory { max_used: ratio(&fields, "max_used", 0.9)? }),
            "swap" => Some(Self::Swap { max_used: ratio(&fields, "max_used", 0.8)? }),
            "load" => Some(Self::Load { max_per_cpu: fields.get("max_per_cpu").map_or(Some(2.0), |c| positive(&c))? }),
            "process" => Processes::decode(&fields).map(Self::Process),
            other => {
                let words = ["disk", "memory", "swap", "load", "process"];
                let near = kit::config::suggest(other, words);
                cursor.mistake(format!("expected one of {}, found {other:?}{near}", words.join(", ")));
                return None;
            }
        };
        fields.end();
        resource
    }

    /// Names the resource.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Disk(limits) => format!("disk {}", limits.path),
            Self::Memory { .. } => "memory".to_owned(),
            Self::Swap { .. } => "swap".to_owned(),
            Self::Load { .. } => "load".to_owned(),
            Self::Process(processes) => format!("process {}", processes.shown),
        }
    }

    /// Looks. May block for as long as a file system hangs.
    ///
    /// # Errors
    /// Why it could not be read.
    pub(super) fn read(&self) -> Result<Reading, String> {
        match self {
            Self::Disk(limits) => Ok(Disk::read(&limits.path)?.judge(limits)),
            Self::Memory { max_used } => read_memory(*max_used),
            Self::Swap { max_used } => read_swap(*max_used),
            Self::Load { max_per_cpu } => read_load(*max_per_cpu),
            Self::Process(processes) => {
                let count = processes.count()?;
                Ok(judge_count(&processes.shown, count, processes.min, processes.max))
            }
        }
    }
}

fn decode_disk(fields: &Fields<'_>) -> Option<Resource> {
    let path = fields.require("path").and_then(|c| c.text());
    let limit = |key| fields.get(key).map_or(Some(None), |c| c.ratio().map(Some));
    let max_used = limit("max_used");
    let max_inodes_used = limit("max_inodes_used");
    let min_free = fields.get("min_free").map_or(Some(None), |c| c.bytes(1..=u64::MAX).map(Some));
    let full_in = fields.get("full_in").map_or(Some(None), |c| c.duration(HOUR..=YEAR).map(Some));
    let (max_used, min_free, max_inodes_used, full_in) = (max_used?, min_free?, max_inodes_used?, full_in?);
    // A disk without any limit is watched as people expect it; one limit of their own replaces ours.
    let unset = max_used.is_none() && min_free.is_none() && max_inodes_used.is_none() && full_in.is_none();
    let max_used = if unset { Some(0.9) } else { max_used };
    Some(Resource::Disk(DiskLimits { path: path?, max_used, min_free, max_inodes_used, full_in }))
}

fn ratio(fields: &Fields<'_>, key: &'static str, default: f64) -> Option<f64> {
    fields.get(key).map_or(Some(default), |c| c.ratio())
}

fn positive(cursor: &Cursor<'_>) -> Option<f64> {
    let number = cursor.number()?;
    if number > 0.0 {
        return Some(number);
    }
    cursor.mistake(format!("expected a number above 0, found {}", cursor.node().shown()));
    None
}

/// A file system as `df` sees it.
#[derive(Debug, Clone, Copy)]
struct Disk {
    free: u64,
    used_ratio: f64,
    /// `None` where inodes are not counted (btrfs, vfat).
    inodes_used_ratio: Option<f64>,
}

impl Disk {
    fn read(path: &str) -> Result<Self, String> {
        let found = statvfs(path).map_err(|error| error.desc().to_lowercase())?;
        let block = found.fragment_size();
        let used = found.blocks().saturating_sub(found.blocks_free());
        // Blocks kept for root count as neither used nor free, as `df` does it.
        let usable = used + found.blocks_available();
        let inodes = found.files();
        Ok(Self {
            free: found.blocks_available().saturating_mul(block),
            used_ratio: share(used, usable),
            inodes_used_ratio: (inodes > 0).then(|| share(inodes.saturating_sub(found.files_free()), inodes)),
        })
    }

    fn judge(self, limits: &DiskLimits) -> Reading {
        let DiskLimits { path, max_used, min_free, max_inodes_used, full_in } = limits;
        let state = format!("{} used, {} free", show_ratio(self.used_ratio), show_bytes(self.free));
        let mut broken = Vec::new();
        if let Some(limit) = max_used.filter(|limit| self.used_ratio > *limit) {
            broken.push(format!("more than {} used", show_ratio(limit)));
        }
        if let Some(limit) = min_free.filter(|limit| self.free < *limit) {
            broken.push(format!("less than {} free", show_bytes(limit)));
        }
        let inodes = self.inodes_used_ratio.zip(*max_inodes_used).filter(|(used, limit)| used > limit);
        if let Some((used, limit)) = inodes {
            broken.push(format!("{} of inodes used, more than {}", show_ratio(used), show_ratio(limit)));
        }
        let note = format!("disk {path} {state}");
        let broken = (!broken.is_empty()).then(|| format!("{note}: {}", broken.join(" and ")));
        Reading { note, broken, filling: full_in.map(|limit| (self.free, limit)) }
    }
}

fn system(memory: MemoryRefreshKind) -> Result<System, String> {
    let refresh = RefreshKind::nothing().with_memory(memory);
    System::new_with_specifics(refresh).map_err(|error| error.to_string())
}

fn read_memory(max_used: f64) -> Result<Reading, String> {
    let system = system(MemoryRefreshKind::nothing().with_ram())?;
    let (total, available) = (system.total_memory(), system.available_memory());
    if total == 0 {
        return Err("the system tells no size".to_owned());
    }
    Ok(judge_used("memory", total.saturating_sub(available), total, max_used))
}

fn read_swap(max_used: f64) -> Result<Reading, String> {
    let system = system(MemoryRefreshKind::nothing().with_swap())?;
    let (total, free) = (system.total_swap(), system.free_swap());
    if total == 0 {
        return Ok(Reading { note: "this machine has no swap".to_owned(), broken: None, filling: None });
    }
    Ok(judge_used("swap", total.saturating_sub(free), total, max_used))
}

fn judge_used(what: &str, used: u64, total: u64, max_used: f64) -> Reading {
    let ratio = share(used, total);
    let note = format!("{what} {} used, {} free", show_ratio(ratio), show_bytes(total.saturating_sub(used)));
    let broken = (ratio > max_used).then(|| format!("{note}: more than {} used", show_ratio(max_used)));
    Reading { note, broken, filling: None }
}

/// The average of five minutes: one minute is noise, fifteen are late (getloadavg(3)).
fn read_load(max_per_cpu: f64) -> Result<Reading, String> {
    let cpus = std::thread::available_parallelism().map_err(|error| error.to_string())?.get();
    let load = System::load_average().map_err(|error| error.to_string())?.five;
    #[expect(clippy::cast_precision_loss, reason = "CPUs are fewer than 2^52")]
    let per_cpu = load / cpus as f64;
    Ok(judge_load(load, per_cpu, cpus, max_per_cpu))
}

fn judge_load(load: f64, per_cpu: f64, cpus: usize, max_per_cpu: f64) -> Reading {
    let note = format!("load {per_cpu:.2} per CPU over 5 min ({load:.2} on {cpus})");
    let broken = (per_cpu > max_per_cpu).then(|| format!("{note}: more than {max_per_cpu}"));
    Reading { note, broken, filling: None }
}

fn judge_count(shown: &str, count: usize, min: u32, max: Option<u32>) -> Reading {
    let note = match count {
        0 => format!("no process {shown}"),
        1 => format!("1 process {shown}"),
        count => format!("{count} processes {shown}"),
    };
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    let broken = match max {
        _ if count < min => Some(format!("{note}: fewer than {min}")),
        Some(max) if count > max => Some(format!("{note}: more than {max}")),
        _ => None,
    };
    Reading { note, broken, filling: None }
}

#[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// `71 %`, and a decimal only where there is one to tell.
fn show_ratio(ratio: f64) -> String {
    let tenths = (ratio * 1000.0).round();
    if tenths % 10.0 == 0.0 { format!("{:.0} %", tenths / 10.0) } else { format!("{:.1} %", tenths / 10.0) }
}

/// Decimal units with two or three digits, such as `82 GB` or `1.5 GB`, as disks are sold.
pub(super) fn show_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let mut number = bytes as f64;
    let mut unit = "bytes";
    for next in UNITS {
        if number < 1000.0 {
            break;
        }
        number /= 1000.0;
        unit = next;
    }
    if number < 10.0 && unit != "bytes" { format!("{number:.1} {unit}") } else { format!("{number:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_breaks_each_limit_by_itself() {
        let disk = Disk { free: 82_000_000_000, used_ratio: 0.712, inodes_used_ratio: Some(0.5) };
        let limits = |max_used, min_free, max_inodes_used| DiskLimits {
            path: "/".to_owned(),
            max_used,
            min_free,
            max_inodes_used,
            full_in: None,
        };
        let fine = disk.judge(&limits(Some(0.9), Some(2_000_000_000), Some(0.8)));
        let note = "disk / 71.2 % used, 82 GB free".to_owned();
        assert_eq!(fine, Reading { note, broken: None, filling: None });
        let broken = disk.judge(&limits(Some(0.7), Some(100_000_000_000), Some(0.4))).broken.unwrap();
        assert_eq!(
            broken,
            "disk / 71.2 % used, 82 GB free: more than 70 % used and less than 100 GB free and 50 % of inodes used, more \
             than 40 %"
        );
        let uncounted = Disk { inodes_used_ratio: None, ..disk };
        assert_eq!(uncounted.judge(&limits(None, None, Some(0.1))).broken, None);
        let limits = DiskLimits { full_in: Some(HOUR), ..limits(None, None, None) };
        assert_eq!(disk.judge(&limits).filling, Some((82_000_000_000, HOUR)));
    }

    #[test]
    fn counts_and_shares_are_told_with_their_limits() {
        assert_eq!(judge_count("nginx", 1, 1, None).note, "1 process nginx");
        assert_eq!(judge_count("nginx", 1, 1, None).broken, None);
        assert_eq!(judge_count("nginx", 0, 1, None).broken.unwrap(), "no process nginx: fewer than 1");
        assert_eq!(judge_count("nginx", 9, 1, Some(8)).broken.unwrap(), "9 processes nginx: more than 8");
        assert_eq!(
            judge_load(5.0, 2.5, 2, 2.0).broken.unwrap(),
            "load 2.50 per CPU over 5 min (5.00 on 2): more than 2"
        );
        let memory = judge_used("memory", 95, 100, 0.9).broken.unwrap();
        assert_eq!(memory, "memory 95 % used, 5 bytes free: more than 90 % used");
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [(5, "5 bytes"), (1_500, "1.5 kB"), (82_400_000_000, "82 GB"), (1_000_000, "1.0 MB")] {
            assert_eq!(show_bytes(bytes), text);
        }
    }
}
