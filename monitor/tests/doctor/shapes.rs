//! Every shape that a compose file may have is read, and what is none ends with words and its own exit code.

use std::path::Path;
use std::process::Command;

use monitor::doctor::compose::{Request, load};

use super::{findings, read};

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

/// Most of what the specification has (compose-spec.io), and no mistake.
const EVERYTHING: &str = "\u{feff}\
name: shop
x-common: &common
  restart: unless-stopped
  logging: { driver: json-file, options: { max-size: 10m } }
x-env: &env { A: one, B: two }
services:
  base:
    <<: *common
    image: registry.example.com/base:1.0
    profiles: [never]
    environment: { <<: *env, B: three }
  web:
    <<: [*common, { stop_grace_period: 5s }]
    extends: { service: base }
    build:
      context: .
      args: { VERSION: '1.2', EMPTY: }
      target: final
    develop:
      watch: [{ action: sync, path: ./src, target: /app/src }]
    env_file:
      - { path: ./missing.env, required: false }
      - ./there.env
    ports:
      - { target: 8080, published: '8080-8081', protocol: tcp, mode: host, host_ip: 127.0.0.1 }
      - { name: admin, target: 9090, published: 9090 }
    depends_on:
      db: { condition: service_healthy, restart: true, required: true }
      gone: { condition: service_started, required: false }
    healthcheck: { test: [CMD, /web, check], start_period: 1m, start_interval: 2s }
    profiles: !reset null
    ulimits: { nofile: { soft: 1, hard: 2 } }
    secrets: [{ source: a, target: b, mode: 0400 }]
    configs: [{ source: c, target: /c }]
    volumes: [{ type: bind, source: ., target: /src }, { type: tmpfs, target: /tmp }, 'named:/data']
    gpus: all
    x-more: { anything: [1, 2] }
  db:
    image: postgres:16
    healthcheck: { test: [CMD, pg_isready], start_period: 1m }
secrets: { a: { file: ./a } }
configs: { c: { content: x } }
volumes: { named: }
";

#[test]
fn everything_that_compose_takes_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let dockerfile =
        "FROM alpine:3.20 AS build\nARG VERSION\nFROM alpine:3.20 AS final\nENV PORT=8080\nCMD [\"/web\"]\n";
    write(folder.path(), &[("compose.yml", EVERYTHING), ("there.env", "X=1\n"), ("Dockerfile", dockerfile)]);
    let project = read(folder.path()).unwrap();
    assert_eq!(findings(&project), Vec::new());
    assert_eq!((project.name.as_str(), project.inactive.as_slice()), ("shop", ["base".to_owned()].as_slice()));
    let web = project.service("web").unwrap();
    let variables = ["A", "B", "X"].map(|name| web.variable(name).unwrap_or_default());
    assert_eq!(variables, ["one", "three", "1"]);
    assert_eq!(web.restart.as_ref().unwrap().text, "unless-stopped");
    assert_eq!(web.depends_on.iter().map(|one| one.service.as_str()).collect::<Vec<_>>(), ["db"]);
    let inside: Vec<u16> = web.ports.iter().map(|port| *port.inside.start()).collect();
    assert_eq!((inside, web.facts.port_variable), (vec![8080, 9090], Some(8080)));
    assert_eq!(project.not_checked, Vec::<String>::new());
}

#[test]
fn documents_are_laid_over_each_other_and_included_files_have_variables_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let documents = "---\nservices:\n  web:\n    image: nginx\n---\nservices:\n  web:\n    image: nginx:1.27\n  db:\n    image: postgres\n";
    write(folder.path(), &[("compose.yml", documents)]);
    let found = findings(&read(folder.path()).unwrap());
    assert_eq!((found.len(), found[0].line, found[0].rule), (1, 10, "image-not-pinned"));

    std::fs::create_dir(folder.path().join("part")).unwrap();
    let own = "include:\n  - path: part/compose.yml\n    env_file: part.env\n  - oci://registry.example.com/stack:1\nservices:\n  \
               web: { image: 'nginx:${TAG_OF_TEST:-1.27}' }\n";
    let part = "services:\n  db: { image: 'postgres:${TAG_OF_TEST}' }\n";
    write(folder.path(), &[("compose.yml", own), ("part.env", "TAG_OF_TEST=16\n"), ("part/compose.yml", part)]);
    let project = read(folder.path()).unwrap();
    assert_eq!(findings(&project), Vec::new());
    let image = |name: &str| project.service(name).unwrap().image.as_ref().unwrap().text.clone();
    assert_eq!((image("db"), image("web")), ("postgres:16".to_owned(), "nginx:1.27".to_owned()));
    assert_eq!(project.not_checked, ["include oci://registry.example.com/stack:1: it is not on this machine"]);
    // Without a file that is named, the one beside the included file.
    write(
        folder.path(),
        &[("compose.yml", &own.replacen("    env_file: part.env\n", "", 1)), ("part/.env", "TAG_OF_TEST=15\n")],
    );
    let project = read(folder.path()).unwrap();
    assert_eq!(project.service("db").unwrap().image.as_ref().unwrap().text, "postgres:15");
}

#[test]
fn what_cannot_be_read_is_told_in_words_with_its_own_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let bomb: String = ('b'..='i')
        .zip('a'..)
        .map(|(name, of)| format!("{name}: &{name} [{}]\n", vec![format!("*{of}"); 10].join(",")))
        .collect();
    let bomb = format!("a: &a [x,x,x,x,x,x,x,x,x,x]\n{bomb}services: {{}}\n");
    let deep = format!("services: {}{}\n", "[".repeat(5000), "]".repeat(5000));
    let huge = "#".repeat(5 << 20);
    std::fs::create_dir(folder.path().join("dir")).unwrap();
    std::fs::create_dir(folder.path().join("app")).unwrap();
    std::fs::write(folder.path().join("app/compose.yml"), "services: {}\n").unwrap();
    std::fs::write(folder.path().join("binary.yml"), [b'a', 0xff, 0xfe, 0]).unwrap();
    write(folder.path(), &[("cycle.yml", "services:\n  b: { extends: { service: a, file: c.yml } }\n")]);
    for (file, text, expected) in [
        (
            "c.yml",
            "services:\n  a:\n    image: x:1\n   b: 2\n",
            "c.yml:4:4: this is not YAML: while parsing a block mapping, did not find expected key",
        ),
        ("c.yml", "services:\n\ta: 1\n", "c.yml:2:2: this is not YAML: tabs disallowed"),
        (
            "c.yml",
            "services:\n  a: {}\n  a: {}\n",
            "c.yml:3:3: the key \"a\" stands here a second time; keep one of the two",
        ),
        (
            "c.yml",
            "services: { a: { image: *nope } }\n",
            "c.yml:1:25: this is not YAML: alias references unknown anchor",
        ),
        (
            "c.yml",
            "a: &a [*a]\nservices: {}\n",
            "c.yml:1:8: an anchor that holds itself; let its alias stand outside of it",
        ),
        ("c.yml", &bomb, "with its aliases written out it is larger than any compose file; use fewer of them"),
        ("c.yml", &deep, "it is nested too deep for a compose file"),
        ("c.yml", &huge, "c.yml: cannot read this file: it is 5242880 bytes, more than 4194304"),
        ("c.yml", "", "c.yml: expected \"services\", a mapping of names to services; this is no compose file"),
        (
            "c.yml",
            "include: [gone.yml]\nservices: {}\n",
            "c.yml:1:11: dir/gone.yml: cannot read this file: No such file",
        ),
        (
            "c.yml",
            "services: { a: { extends: { service: b, file: gone.yml } } }\n",
            "c.yml:1:27: dir/gone.yml: cannot read this file: No such file",
        ),
        ("c.yml", "services: { a: { extends: { service: b } } }\n", "c.yml:1:27: there is no service \"b\" to extend"),
        ("c.yml", "services: { a: { extends: { service: b, file: cycle.yml } } }\n", "it includes or extends itself"),
        ("dir", "", "dir: cannot read this file: it is a folder"),
        ("app", "", "app: cannot read this file: it is a folder; name the file in it: dir/app/compose.yml"),
        ("binary.yml", "", "binary.yml: cannot read this file: it is no text: byte 1 is not UTF-8; save it as UTF-8"),
    ] {
        if file == "c.yml" {
            std::fs::write(folder.path().join(file), text).unwrap();
        }
        let mut doctor = Command::new(env!("CARGO_BIN_EXE_monitor"));
        let output =
            doctor.args(["doctor", "compose", "--engine", "none"]).arg(folder.path().join(file)).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).replace(&folder.path().display().to_string(), "dir");
        assert_eq!((output.status.code(), output.stdout.len()), (Some(78), 0), "{said}");
        assert!(said.contains(expected) && said.starts_with("monitor doctor: dir/"), "{expected}: {said}");
    }
    let request = Request { files: vec!["/dev/zero".into()], ..Request::default() };
    assert_eq!(load(&request).unwrap_err(), "/dev/zero: cannot read this file: it is not a regular file");
}

#[test]
fn links_out_of_what_is_mounted_are_not_followed_and_what_never_ends_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let conf = folder.path().join("app/conf");
    std::fs::create_dir_all(&conf).unwrap();
    let text = "services:\n  web:\n    image: nginx:1.27\n    volumes:\n      - ./conf:/conf\n      - ./kernel.yml:/kernel.yml\n      \
                - ./system:/system\n      - ./linked.yml:/linked.yml\n      - ./pipe.yml:/pipe.yml\n";
    write(folder.path(), &[("outside.yml", "a: 1\n"), ("app/compose.yml", text), ("app/conf/own.yml", "a: 1\n")]);
    let link = |to: &str, from: &str| std::os::unix::fs::symlink(to, folder.path().join("app").join(from)).unwrap();
    for (to, from) in [
        ("/proc/kmsg", "conf/kernel.yml"),
        ("../../outside.yml", "conf/outside.yml"),
        ("own.yml", "conf/same.yml"),
        ("/proc/kmsg", "kernel.yml"),
        ("/sys/kernel", "system"),
        // The whole mount is a link: Docker follows it too.
        ("../outside.yml", "linked.yml"),
    ] {
        link(to, from);
    }
    for pipe in [conf.join("pipe.yml"), folder.path().join("app/pipe.yml")] {
        assert!(Command::new("mkfifo").arg(pipe).status().unwrap().success());
    }
    let project = read(&folder.path().join("app")).unwrap();
    let targets: Vec<&str> =
        project.service("web").unwrap().mounted.iter().map(|mounted| mounted.target.as_str()).collect();
    assert_eq!(targets, ["/linked.yml", "/conf/own.yml", "/conf/same.yml"]);
    let request = |file: &str| Request { files: vec![folder.path().join("app").join(file)], ..Request::default() };
    for file in ["kernel.yml", "pipe.yml"] {
        let why = load(&request(file)).unwrap_err();
        assert!(why.ends_with("cannot read this file: it is not a regular file"), "{why}");
    }
}
