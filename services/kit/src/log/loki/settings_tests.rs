use super::*;

const URL: (&str, &str) = ("LOKI_URL", "http://127.0.0.1:3100");

fn read<const N: usize>(pairs: [(&str, &str); N]) -> Result<Option<LokiSettings>, Vec<String>> {
    LokiSettings::read(&Environment::of(pairs), "monitor")
}

#[test]
fn nothing_is_sent_without_an_address() {
    assert!(read([("ENVIRONMENT", "what other programs call so"), ("LOKI_URL", " ")]).unwrap().is_none());
    let all = read([URL, ("LOKI_SPILL_DIR", "data/logs")]).unwrap().unwrap();
    assert_eq!((all.batch, all.queue, all.wait.as_millis()), (1 << 20, 16 << 20, 1000));
    assert_eq!((all.labels.service.as_str(), all.labels.environment.as_str()), ("monitor", "development"));
    let spill = all.spill.unwrap();
    assert_eq!((spill.folder.to_str().unwrap(), spill.most), ("data/logs/monitor", 256 << 20));
}

#[test]
fn lines_have_the_name_that_traces_have_and_wait_in_the_programs_own_folder() {
    let all = read([URL, ("OTEL_SERVICE_NAME", "front-door"), ("LOKI_SPILL_DIR", "logs")]).unwrap().unwrap();
    assert_eq!((all.labels.service.as_str(), all.spill.unwrap().folder.to_str()), ("front-door", Some("logs/monitor")));
}

#[test]
fn the_path_is_added_unless_it_is_there() {
    for (url, expected) in [
        ("http://127.0.0.1:3100", "http://127.0.0.1:3100/loki/api/v1/push"),
        ("http://127.0.0.1:3100/loki/api/v1/push/", "http://127.0.0.1:3100/loki/api/v1/push"),
        ("https://logs.example/behind/", "https://logs.example/behind/loki/api/v1/push"),
    ] {
        assert_eq!(read([("LOKI_URL", url)]).unwrap().unwrap().uri.to_string(), expected);
    }
}

#[test]
fn credentials_are_sent_and_never_shown() {
    let basic = read([URL, ("LOKI_USERNAME", "7"), ("LOKI_PASSWORD", "hunter2hunter2"), ("LOKI_TENANT", "a")]);
    let basic = basic.unwrap().unwrap();
    assert_eq!(basic.headers.get("authorization").unwrap(), "Basic NzpodW50ZXIyaHVudGVyMg==");
    assert_eq!(basic.headers.get("x-scope-orgid").unwrap(), "a");
    assert_eq!(crate::secrets::redact("NzpodW50ZXIyaHVudGVyMg=="), "[redacted]");
    let bearer = read([URL, ("LOKI_TOKEN", "hunter2hunter2")]).unwrap().unwrap();
    assert_eq!(bearer.headers.get("authorization").unwrap(), "Bearer hunter2hunter2");
    assert!(!format!("{basic:?}{bearer:?}").contains("unter"), "{basic:?}{bearer:?}");
}

#[test]
fn every_wrong_value_is_told_with_what_to_write() {
    let not_a_url = "not the URL of a server (relative URL without a base); write it like http://127.0.0.1:8000";
    for (name, value, expected) in [
        ("LOKI_URL", "loki", not_a_url),
        ("LOKI_URL", "http://a:b@c", "credentials are in it; put them into LOKI_USERNAME and LOKI_PASSWORD"),
        ("LOKI_TENANT", "a\nb", "not a tenant; write what X-Scope-OrgID may hold"),
        ("LOKI_TOKEN", "a\nb", "not a token; write one line of letters, digits and signs"),
        ("ENVIRONMENT", "a b", "\"a b\" is not a word; write one like production"),
        (
            "LOKI_BATCH_BYTES",
            "much",
            "\"much\" is not a size; write bytes or a number with a unit, like 512, 64KiB or 10MB",
        ),
        ("LOKI_BATCH_BYTES", "1", "1 bytes; write a size from 1024 to 4194304"),
        ("LOKI_BATCH_WAIT", "1s", "\"1s\" is not a number of milliseconds above zero"),
        ("LOKI_QUEUE_BYTES", "1MiB", "less than two batches (LOKI_BATCH_BYTES); write at least 2097152"),
        ("LOKI_QUEUE_BYTES", "2GiB", "2147483648 bytes; write a size from 4096 to 1073741824"),
        ("LOKI_SPILL_BYTES", "8MiB", "of no use without LOKI_SPILL_DIR; set that to a folder, too"),
    ] {
        assert_eq!(read([URL, (name, value)]).unwrap_err(), [format!("{name}: {expected}")]);
    }
    let folder = ("LOKI_SPILL_DIR", "logs");
    let small = read([URL, folder, ("LOKI_SPILL_BYTES", "1MiB")]).unwrap_err();
    assert_eq!(small, ["LOKI_SPILL_BYTES: less than two batches (LOKI_BATCH_BYTES); write at least 2097152"]);
}

#[test]
fn credentials_are_whole_and_of_one_kind() {
    let (user, password, token) = (("LOKI_USERNAME", "a"), ("LOKI_PASSWORD", "b"), ("LOKI_TOKEN", "c"));
    for (pairs, expected) in [
        ([URL, user], "LOKI_PASSWORD: not set; LOKI_USERNAME is of no use without it"),
        ([URL, password], "LOKI_USERNAME: not set; LOKI_PASSWORD is of no use without it"),
    ] {
        assert_eq!(read(pairs).unwrap_err(), [expected]);
    }
    let both = read([URL, user, password, token]).unwrap_err();
    assert_eq!(both, ["LOKI_TOKEN: set beside LOKI_USERNAME or LOKI_PASSWORD; keep one of the two"]);
    let colon = read([URL, ("LOKI_USERNAME", "a:b"), password]).unwrap_err();
    assert_eq!(colon, ["LOKI_USERNAME: a colon is in it, which ends a name (RFC 7617 section 2)"]);
    let all = read([("LOKI_URL", "loki"), user, ("LOKI_BATCH_WAIT", "0")]).unwrap_err();
    assert_eq!(all.len(), 3, "{all:?}");
}
