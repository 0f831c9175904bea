//! A network of the kernel's own: a neighbour that loses packets, one that says "unreachable", one that says nothing, and
//! a user who may not ping.

use std::process::{Command, Output};

use monitor::probe::ReasonCode;

use crate::{PATIENT, SHORT, ask, ask_within, assert_fail, assert_pass, fail, file};

/// A namespace that a cable leads to; both go with it.
struct Network {
    name: String,
    /// The first three bytes of its addresses, in a network for tests (RFC 2544).
    net: String,
}

impl Network {
    fn new() -> Self {
        // Ours by process: tests run in processes of their own.
        let id = std::process::id() % 254 + 1;
        let network = Self { name: format!("ping{}", std::process::id()), net: format!("198.18.{id}") };
        let (name, net) = (&network.name, &network.net);
        run(&format!("ip netns add {name}"));
        run(&format!("ip link add {name} type veth peer name peer netns {name}"));
        run(&format!("ip addr add {net}.1/24 dev {name}"));
        run(&format!("ip link set {name} up"));
        network.inside(&format!("ip addr add {net}.2/24 dev peer"));
        network.inside("ip link set lo up");
        network.inside("ip link set peer up");
        network
    }

    fn inside(&self, command: &str) -> String {
        run(&format!("ip netns exec {} {command}", self.name))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _gone_with_the_namespace = output(&format!("ip link del {}", self.name));
        let _nothing_to_do = output(&format!("ip netns del {}", self.name));
    }
}

fn output(command: &str) -> Output {
    let mut words = command.split(' ');
    Command::new(words.next().unwrap()).args(words).output().unwrap()
}

/// Runs a command as root.
fn run(command: &str) -> String {
    let output = output(command);
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn what_a_neighbour_loses_is_counted() {
    let network = Network::new();
    let host = format!("{}.2", network.net);
    assert_pass(&ask(&format!("icmp: {{ host: {host}, interval: 10ms }}")).await);

    // The kernel there answers six at once, and then one in a minute.
    network.inside("sysctl -qw net.ipv4.icmp_ratemask=1 net.ipv4.icmp_ratelimit=60000");
    let lossy = |more: &str| format!("icmp: {{ host: {host}, packets: 20, interval: 10ms{more} }}");
    let fine = ask_within(SHORT * 3, &lossy(", max_loss: 95%")).await;
    assert_pass(&fine);
    let note = fine.seen.note.unwrap();
    let received: u16 = note.split(' ').next().unwrap().parse().unwrap();
    assert!((1..20).contains(&received), "{note}");
    // By now it answers nobody, or once.
    let (code, text) = fail(&ask_within(SHORT * 3, &lossy("")).await);
    let none = format!("no reply from {host} to 20 packets");
    let one = format!("19 of 20 packets to {host} were lost, more than 0%");
    assert!((code, &text) == (ReasonCode::Timeout, &none) || (code, &text) == (ReasonCode::Limit, &one), "{text}");
}

#[tokio::test]
async fn a_way_that_ends_is_told() {
    let network = Network::new();
    let host = format!("{}.2", network.net);
    network.inside("sysctl -qw net.ipv4.icmp_ratemask=0 net.ipv4.ip_forward=1");
    network.inside("ip route add unreachable 198.19.1.0/24");
    network.inside("ip route add blackhole 198.19.2.0/24");
    run(&format!("ip route add 198.19.0.0/16 via {host}"));
    let unreachable = ask("icmp: { host: 198.19.1.1, interval: 10ms }").await;
    assert_fail(&unreachable, ReasonCode::Unreachable, "host unreachable: 198.19.1.1");
    assert!(unreachable.took < PATIENT / 2, "an error is heard at once: {unreachable:?}");
    let silent = ask_within(SHORT, "icmp: { host: 198.19.2.1, interval: 10ms }").await;
    assert_fail(&silent, ReasonCode::Timeout, "no reply from 198.19.2.1 to 3 packets");
    // The way to it is ours: a machine that forbids it says nothing of the target.
    run("ip route add prohibit 198.19.3.0/24");
    let forbidden = ask("icmp: { host: 198.19.3.1 }").await;
    run("ip route del prohibit 198.19.3.0/24");
    let text = "this machine forbids connections to 198.19.3.1";
    assert_eq!(forbidden.outcome, monitor::probe::Outcome::local(text));
}

#[tokio::test]
async fn who_may_not_ping_is_told_how_to() {
    let network = Network::new();
    let config = file("services: { net: { checks: { up: { icmp: { host: 127.0.0.1, interval: 10ms } } } } }");
    let monitor = env!("CARGO_BIN_EXE_monitor");
    let path = config.path().display();
    run(&format!("chmod 644 {path}"));
    let as_nobody = format!(
        "ip netns exec {} setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all -- \
         {monitor} probe net/up --config {path}",
        network.name
    );
    network.inside("sysctl -qw net.ipv4.ping_group_range=1\t0");
    let refused = output(&as_nobody);
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(said.contains("this process may not ping; allow it with sysctl net.ipv4.ping_group_range="), "{refused:?}");
    assert_eq!(refused.status.code(), Some(i32::from(kit::exit::UNDECIDED)), "{said}");
    network.inside("sysctl -qw net.ipv4.ping_group_range=0\t65534");
    let allowed = output(&as_nobody);
    let said = String::from_utf8_lossy(&allowed.stdout).into_owned();
    assert!(said.contains("3 of 3 replies, "), "{allowed:?}");
    assert_eq!(allowed.status.code(), Some(i32::from(kit::exit::YES)), "{said}");
}
