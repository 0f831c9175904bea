//! What `monitor doctor self` finds wrong in the place it stands on: each is really so, in a mount namespace of its own, and
//! gone once it is mended there. It needs root, as mounting does.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use testkit::{DockerEngine, free_port};

/// Nobody, without any right.
const NOBODY: &str =
    "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all --no-new-privs --";
/// As above, but in one more group.
const NOBODY_OF_GROUP: &str =
    "setpriv --reuid 65534 --regid 65534 --groups 4242 --inh-caps=-all --bounding-set=-all --";

/// Lets the doctor look after `prepare` was done as root; what both change is seen by nobody else. `/run` is empty there, and
/// has the program and its configuration.
fn look(prepare: &str, who: &str, config: &str) -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("m.yml"), config).unwrap();
    let script = format!(
        "mount -t tmpfs -o mode=755 none /run\nmkdir -p /run/data\nchown 65534 /run/data\n\
         cp {folder}/m.yml /run/m.yml\ntouch /run/monitor\nmount --bind {program} /run/monitor\n{prepare}\n\
         exec {who} /run/monitor doctor self --config /run/m.yml --format json",
        folder = folder.path().display(),
        program = env!("CARGO_BIN_EXE_monitor"),
    );
    let mut options = vec!["--mount", "--propagation", "private"];
    // Without one of its own it would share the ranges and servers of ours.
    if !prepare.contains("# our network") {
        options.push("--net");
    }
    if prepare.contains("# own processes") {
        options.extend(["--pid", "--fork", "--mount-proc"]);
    }
    let output = Command::new("unshare").args(options).args(["sh", "-ec", &script]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let json = serde_json::from_slice(&output.stdout).map_err(|error| format!("{error}: {said}\n{script}"));
    let json: Value = json.unwrap();
    let findings = json.get("findings").and_then(Value::as_array).unwrap();
    let rules = findings.iter().map(|finding| finding.get("rule").and_then(Value::as_str).unwrap());
    rules.map(str::to_owned).collect()
}

const CONFIG: &str = "data_dir: /run/data\nservices: {}\n";

fn is_found_and_mended(rule: &str, wrong: (&str, &str), mended: (&str, &str)) {
    assert!(look(wrong.0, wrong.1, CONFIG).contains(rule), "{rule} is found after {wrong:?}");
    assert!(!look(mended.0, mended.1, CONFIG).contains(rule), "{rule} is gone after {mended:?}");
}

#[test]
fn what_the_kernel_does_not_let_us_do_is_found_and_gone_once_it_does() {
    let pings = "echo '0 2147483647' > /proc/sys/net/ipv4/ping_group_range";
    is_found_and_mended("self-icmp", ("", NOBODY), ("", ""));
    is_found_and_mended("self-icmp", ("", NOBODY), (pings, NOBODY));
    is_found_and_mended("self-open-files", ("ulimit -n 256", ""), ("ulimit -n 4096", ""));
    is_found_and_mended("self-data-folder", ("chown root /run/data; chmod 700 /run/data", NOBODY), ("", NOBODY));
    let small = "mount -t tmpfs -o size=4m,mode=777 none /run/data";
    is_found_and_mended("self-data-folder", (small, NOBODY), (&small.replace("4m", "600m"), NOBODY));
}

#[test]
fn a_clock_that_no_server_has_set_is_found_and_gone_once_one_has() {
    let started = "mkdir -p /run/systemd/timesync";
    let set = format!("{started}; touch /run/systemd/timesync/synchronized");
    is_found_and_mended("self-clock", (started, ""), (&set, ""));
    assert!(!look("", "", CONFIG).contains("self-clock"), "nobody says anything of it");
}

#[test]
fn processes_that_are_hidden_are_found_and_gone_once_they_are_shown() {
    let container = "touch /run/.containerenv";
    let own = format!("{container}   # own processes");
    is_found_and_mended("self-host-proc", (&own, ""), (container, ""));
    let hidden = "mount -t proc -o hidepid=invisible proc /proc";
    is_found_and_mended("self-host-proc", (hidden, NOBODY), (&hidden.replace("invisible", "off"), NOBODY));
    is_found_and_mended(
        "self-host-proc",
        (hidden, NOBODY),
        (&hidden.replace("hidepid", "gid=4242,hidepid"), NOBODY_OF_GROUP),
    );
}

#[test]
fn a_journal_and_cgroups_that_cannot_be_read_are_found_and_gone_once_they_can() {
    let journal = "mkdir -p /run/log/journal/0123; touch /run/log/journal/0123/system.journal\n\
                   chown 0:4242 /run/log/journal/0123/system.journal; chmod 640 /run/log/journal/0123/system.journal\n\
                   if [ -d /var/log/journal ]; then mount --bind /run/log/journal /var/log/journal; fi";
    is_found_and_mended("self-journal", (journal, NOBODY), (journal, NOBODY_OF_GROUP));
    let empty = "mkdir -p /run/log/journal; if [ -d /var/log/journal ]; then mount --bind /run/log/journal /var/log/journal; fi";
    assert!(!look(empty, NOBODY, CONFIG).contains("self-journal"), "nobody has written one");
    let hybrid = "mount -t tmpfs none /sys/fs/cgroup";
    is_found_and_mended("self-cgroup", (hybrid, ""), ("mount -t cgroup2 none /sys/fs/cgroup", ""));
}

#[test]
fn a_bus_that_we_may_not_ask_is_found_and_gone_once_we_may() {
    // Whether somebody accepts is all that is asked.
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("bus");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let bus = format!(
        "mkdir -p /run/dbus; touch /run/dbus/system_bus_socket; mount --bind {} /run/dbus/system_bus_socket",
        socket.display()
    );
    let with = |mode: &str| format!("{bus}\nchmod {mode} /run/dbus/system_bus_socket");
    is_found_and_mended("self-system-bus", (&with("600"), NOBODY), (&with("666"), NOBODY));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_docker_engine_that_we_may_not_ask_is_found_and_gone_once_we_may() {
    let mut engine = DockerEngine::start().await;
    let socket = engine.address().trim_start_matches("unix://").to_owned();
    let bound = format!("touch /run/docker.sock; mount --bind {socket} /run/docker.sock");
    let with = |mode: &str| format!("{bound}\nchmod {mode} /run/docker.sock");
    is_found_and_mended("self-docker-socket", (&with("600"), NOBODY), (&with("666"), NOBODY));

    // The same engine as what runs a workload: away, and there again.
    let config = format!(
        "data_dir: /run/data\nservices: {{ web: {{ workload: {{ container: {{ name: web, engine: \"unix://{socket}\" }} }} }} }}\n"
    );
    engine.kill();
    assert!(look("", "", &config).contains("self-runtime"));
    engine.start_again().await;
    assert!(!look("", "", &config).contains("self-runtime"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_server_and_a_target_that_do_not_answer_are_found_and_gone_once_they_do() {
    // All of 127/8 is this machine; nobody else has this address.
    let resolver = "echo nameserver 127.5.3.1 > /run/resolv.conf; mount --bind /run/resolv.conf \
                    $(readlink -f /etc/resolv.conf)   # our network";
    let port = free_port();
    let config = CONFIG.replace(
        "services: {}",
        &format!("services: {{ web: {{ checks: {{ port: {{ tcp: {{ address: \"127.0.0.1:{port}\" }} }} }} }} }}"),
    );
    let found = look(resolver, "", &config);
    assert!(found.contains("self-resolver") && found.contains("self-target"), "{found:?}");

    let server = tokio::net::UdpSocket::bind("127.5.3.1:53").await.unwrap();
    let _listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let answer = async {
        let mut question = [0; 512];
        loop {
            let (length, from) = server.recv_from(&mut question).await.unwrap();
            server.send_to(&question[..length], from).await.unwrap();
        }
    };
    let looking = tokio::task::spawn_blocking(move || look(resolver, "", &config));
    let found = tokio::select! { found = looking => found.unwrap(), () = answer => BTreeSet::new() };
    assert!(!found.contains("self-resolver") && !found.contains("self-target"), "{found:?}");
}
