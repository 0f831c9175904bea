//! What an engine lists, and what is made of it. The answers are those of Docker 26 (API 1.45), cut down.

use super::*;

fn wanted(text: &str) -> Wanted {
    let word = |key: &str| text.split_whitespace().find_map(|word| word.strip_prefix(key)).map(str::to_owned);
    Wanted {
        labels: text.contains("labels"),
        project: word("project="),
        network: word("network="),
        published: text.contains("published"),
        host: "127.0.0.1".to_owned(),
    }
}

/// A container with these labels, `key=value` each.
fn container(labels: &str, more: &str) -> ContainerSummary {
    let labels: serde_json::Map<String, serde_json::Value> = labels
        .split_whitespace()
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(key, value)| (key.replace("compose.", "com.docker.compose."), value.into()))
        .collect();
    let json = format!(
        r#"{{"Id": "6c80", "Names": ["/other/alias", "/shop-web-1"], "Created": 1795575764, "State": "running",
        "Labels": {}, "HostConfig": {{"NetworkMode": "bridge"}}{more}}}"#,
        serde_json::Value::Object(labels)
    );
    serde_json::from_str(&json).unwrap()
}

const WEB: &str = "monitor.enable=true compose.project=shop compose.service=Web_Shop";

#[test]
fn a_container_is_found_by_its_label_or_its_project_unless_it_asks_not_to_be() {
    for (wants, labels, expected) in [
        ("labels", "monitor.enable=true", true),
        ("labels", "monitor.enable=yes", true),
        ("labels", "monitor.enable=false", false),
        ("labels", "monitor.enable=true compose.project=shop compose.service=web compose.oneoff=True", false),
        ("labels", "compose.project=shop compose.service=web", false),
        ("project=shop", "compose.project=shop compose.service=web", true),
        ("project=shop", "compose.project=shop compose.service=web monitor.enable=false", false),
        ("project=shop", "compose.project=shop compose.service=web compose.oneoff=True", false),
        ("project=shop", "compose.project=blog compose.service=web", false),
        ("project=shop", "monitor.enable=true compose.project=blog compose.service=web", false),
        ("labels project=shop", "monitor.enable=true compose.project=blog compose.service=web", true),
    ] {
        let found = wanted(wants).sighting(container(labels, "")).is_some();
        assert_eq!(found, expected, "{wants}: {labels}");
    }
}

#[test]
fn it_is_named_and_found_again_by_its_compose_service_or_else_by_its_name() {
    let seen = wanted("labels").sighting(container(WEB, "")).unwrap();
    assert_eq!((seen.shown.as_str(), seen.name.as_str()), ("container \"shop-web-1\"", "web-shop"));
    assert_eq!((seen.sought, seen.one_of), (compose_labels(["shop", "Web_Shop"]), None));
    for (number, one_of) in [("2", Some(2)), ("two", None), ("", None)] {
        let seen =
            wanted("labels").sighting(container(&format!("{WEB} compose.container-number={number}"), "")).unwrap();
        assert_eq!(seen.whole(), &compose_labels(["shop", "Web_Shop"]), "{number:?}");
        assert_eq!(seen.one_of.as_ref().map(|one| one.number), one_of, "{number:?}");
        let own = if one_of.is_some() { compose_labels(["shop", "Web_Shop", number]) } else { seen.whole().clone() };
        assert_eq!(seen.sought, own, "{number:?}");
    }
    let seen = wanted("labels").sighting(container("monitor.enable=true", "")).unwrap();
    assert_eq!((seen.sought, seen.name.as_str()), (Sought::Name("shop-web-1".to_owned()), "shop-web-1"));
}

/// Says where a container answers on port 80, or why nowhere.
fn reached(wants: &str, more: &str) -> String {
    let seen = wanted(wants).sighting(container(WEB, more)).unwrap();
    if seen.reach == Reach::Pending {
        return "pending".to_owned();
    }
    seen.reach.address(Some(80)).unwrap_or_else(|why| why)
}

#[test]
fn it_answers_at_its_own_address_which_the_engine_says() {
    let two = r#", "NetworkSettings": {"Networks": {"shop_default": {"IPAddress": "172.18.0.2"}, "back": {"IPAddress": "172.19.0.2"}}}"#;
    assert_eq!(reached("labels", two), "172.19.0.2:80", "the first by name");
    assert_eq!(reached("labels network=shop_default", two), "172.18.0.2:80");
    assert_eq!(
        reached("labels network=front", two),
        "it is not in the network \"front\" that the discovery asks; it is in back, shop_default"
    );
    let six = r#", "NetworkSettings": {"Networks": {"six": {"IPAddress": "", "GlobalIPv6Address": "fd00::2"}}}"#;
    assert_eq!(reached("labels", six), "[fd00::2]:80");
    let host = r#", "NetworkSettings": {"Networks": {"host": {"IPAddress": ""}}}"#;
    let mut in_host = container(WEB, host);
    in_host.host_config.as_mut().unwrap().network_mode = Some("host".to_owned());
    let seen = wanted("labels").sighting(in_host).unwrap();
    assert_eq!(seen.reach.address(Some(80)), Ok("127.0.0.1:80".to_owned()));
}

#[test]
fn what_does_not_run_has_no_address_yet_and_odd_addresses_are_none() {
    let mut created = container(WEB, r#", "NetworkSettings": {"Networks": {"bridge": {"IPAddress": ""}}}"#);
    created.state = Some(ContainerSummaryStateEnum::CREATED);
    assert_eq!(wanted("labels").sighting(created).unwrap().reach, Reach::Pending);
    for address in ["169.254.169.254", "127.0.0.1", "0.0.0.0", "::1", "fe80::1", "::ffff:169.254.169.254", "224.0.0.1"]
    {
        let odd = format!(r#", "NetworkSettings": {{"Networks": {{"odd": {{"IPAddress": "{address}"}}}}}}"#);
        assert_eq!(reached("labels", &odd), "it has no address of its own in any network", "{address}");
    }
}

#[test]
fn published_ports_are_asked_at_the_host() {
    let ports = r#", "Ports": [{"PrivatePort": 80, "Type": "tcp", "PublicPort": 49153, "IP": "0.0.0.0"}, {"PrivatePort": 80, "Type": "tcp", "PublicPort": 49153, "IP": "::"},
        {"PrivatePort": 81, "Type": "tcp", "PublicPort": 8081, "IP": "10.0.0.5"}, {"PrivatePort": 53, "Type": "udp", "PublicPort": 53}, {"PrivatePort": 9000, "Type": "tcp"}]"#;
    let seen = wanted("labels published").sighting(container(WEB, ports)).unwrap();
    assert_eq!(seen.reach.address(Some(80)), Ok("127.0.0.1:49153".to_owned()));
    assert_eq!(seen.reach.address(Some(81)), Ok("10.0.0.5:8081".to_owned()));
    assert_eq!(seen.reach.address(Some(9000)), Err("port 9000 is not published; there is 80, 81".to_owned()));
    assert_eq!(
        reached("labels published", ""),
        "it publishes no port; publish one, or leave out \"published\" in the discovery"
    );
}
