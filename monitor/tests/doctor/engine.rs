//! Images are looked into where an engine is there.

use std::process::Command;

use monitor::doctor::compose::{Request, load};
use monitor::doctor::look_into;
use testkit::{Authority, DockerEngine, free_port};

use super::findings;

/// A service whose check starts a program of the image.
fn compose(image: &str, program: &str) -> String {
    let check = format!(
        "    healthcheck:\n      test: [\"CMD\", \"{program}\", \"-f\", \"http://x/\"]\n      start_period: 1m\n"
    );
    format!("services:\n  web:\n    image: {image}\n{check}")
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_are_looked_for_in_the_real_image() {
    let engine = DockerEngine::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    // A second layer with a link to the program, as package managers make them, and one that takes another away.
    std::fs::create_dir_all(folder.path().join("usr/bin")).unwrap();
    std::fs::write(file("usr/bin/real-curl"), "#!").unwrap();
    std::fs::write(file("usr/bin/wget"), "#!").unwrap();
    std::os::unix::fs::symlink("usr/bin", file("bin")).unwrap();
    std::os::unix::fs::symlink("real-curl", file("usr/bin/curl")).unwrap();
    let tar = Command::new("tar").args(["-C", &file(""), "-cf", &file("image.tar"), "bin", "usr"]).status().unwrap();
    assert!(tar.success());
    let health = "HEALTHCHECK CMD [\"curl\"]";
    engine.docker(&["import", "--change", health, &file("image.tar"), "with-curl:1"]);
    engine.docker(&["tag", "program", "without-curl:1"]);

    for (image, program, expected) in [
        ("without-curl:1", "curl", Some("\"curl\" is not in the image without-curl:1")),
        ("with-curl:1", "curl", None),
        ("with-curl:1", "ps", Some("\"ps\" is not in the image with-curl:1")),
    ] {
        let file = folder.path().join("compose.yml");
        std::fs::write(&file, compose(image, program)).unwrap();
        let mut project = load(&Request { files: vec![file], ..Request::default() }).unwrap();
        look_into(&mut project, &engine.address(), None, &|_| ()).await;
        assert_eq!(project.not_checked, Vec::<String>::new());
        let found: Vec<String> = findings(&project).into_iter().map(|finding| finding.message).collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{image} {program}");
        assert_eq!(project.services[0].facts.has_health, Some(image == "with-curl:1"));
    }

    let file = folder.path().join("compose.yml");
    std::fs::write(&file, compose("not-here:1", "curl")).unwrap();
    let mut project = load(&Request { files: vec![file], ..Request::default() }).unwrap();
    look_into(&mut project, &engine.address(), None, &|_| ()).await;
    assert!(project.not_checked[0].starts_with("image not-here:1: "), "{:?}", project.not_checked);
    assert!(project.not_checked[0].to_lowercase().contains("no such image"), "{:?}", project.not_checked);
    look_into(&mut project, "http://127.0.0.1:2375", None, &|_| ()).await;
    assert!(project.not_checked[1].ends_with("or tcp://host:2376"), "{:?}", project.not_checked);
    look_into(&mut project, "unix:///no/such.sock", None, &|_| ()).await;
    assert!(project.not_checked[2].contains("/no/such.sock cannot be asked"), "{:?}", project.not_checked);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_over_tcp_wants_certificates() {
    let (authority, port) = (Authority::new(), free_port());
    let engine = DockerEngine::start_with_tls(&authority, port).await;
    let folder = tempfile::tempdir().unwrap();
    let client = authority.client("doctor");
    for (name, text) in [("ca.pem", &*authority.pem()), ("cert.pem", client.pem()), ("key.pem", client.key_pem())] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    engine.docker(&["tag", "program", "without-curl:1"]);
    let file = folder.path().join("compose.yml");
    std::fs::write(&file, compose("without-curl:1", "curl")).unwrap();
    let mut project = load(&Request { files: vec![file], ..Request::default() }).unwrap();
    let address = format!("tcp://127.0.0.1:{port}");
    look_into(&mut project, &address, None, &|_| ()).await;
    assert!(project.not_checked[0].contains("cannot be asked"), "{:?}", project.not_checked);
    look_into(&mut project, &address, Some(folder.path()), &|_| ()).await;
    assert_eq!(project.not_checked.len(), 1, "{:?}", project.not_checked);
    let found: Vec<String> = findings(&project).into_iter().map(|finding| finding.message).collect();
    assert_eq!(found, ["\"curl\" is not in the image without-curl:1"]);
}
