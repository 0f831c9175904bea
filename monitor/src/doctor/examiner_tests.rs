//! The examiner on real files: what it sees, what it says when it cannot, and what it never shows.

use std::path::Path;

use super::*;

fn examiner(folder: &Path, change: impl FnOnce(&mut DoctorSettings)) -> Examiner {
    let mut settings =
        DoctorSettings { projects: vec![vec![folder.join("compose.yml")]], own: false, ..DoctorSettings::default() };
    change(&mut settings);
    Examiner::new(Arc::new(settings), folder.to_owned())
}

fn rules(examined: &Examined) -> Vec<(&str, bool)> {
    examined.findings.iter().map(|found| (found.finding.rule, found.stale)).collect()
}

const UNPINNED: &str = "services:\n  web:\n    image: nginx\n    environment: { A_PASSWORD: hunter2 }\n";

#[tokio::test]
async fn what_is_found_is_quoted_and_a_changed_file_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("compose.yml");
    std::fs::write(&file, UNPINNED).unwrap();
    let mut examiner = examiner(folder.path(), |_| {});
    let first = examiner.examine(&Examined::default()).await;
    let pinned = first.findings.iter().find(|found| found.finding.rule == "image-not-pinned").unwrap();
    assert_eq!((pinned.source.as_deref(), pinned.finding.service.as_str()), (Some("image: nginx"), "web"));
    assert_eq!(examiner.examine(&first).await.findings, first.findings);
    assert!(!examiner.has_changed(&first).await);
    std::fs::write(folder.path().join(".env"), "A=1\n").unwrap();
    assert!(examiner.has_changed(&first).await, "variables count too");
    std::fs::write(&file, "services:\n  web: [\n").unwrap();
    let broken = examiner.examine(&first).await;
    assert_eq!(rules(&broken).first(), Some(&("file-unreadable", false)));
    assert!(rules(&broken).contains(&("image-not-pinned", true)), "{:?}", rules(&broken));
    std::fs::remove_file(&file).unwrap();
    let gone = examiner.examine(&broken).await;
    let gone = &gone.findings.first().unwrap().finding;
    assert_eq!((gone.file.as_str(), gone.line), (file.to_str().unwrap(), 0));
    assert_eq!(gone.message, "cannot read this file: No such file or directory (os error 2)");
}

#[tokio::test]
async fn no_secret_of_a_file_is_shown_and_an_ignored_rule_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("compose.yml"), UNPINNED).unwrap();
    let shown = format!("{:?}", examiner(folder.path(), |_| {}).examine(&Examined::default()).await);
    assert!(shown.contains("secret-in-file") && !shown.contains("hunter2"), "{shown}");
    let ignore = |settings: &mut DoctorSettings| {
        settings.ignore.extend(["image-not-pinned", "secret-in-file", "restart-unchecked"]);
    };
    let examined = examiner(folder.path(), ignore).examine(&Examined::default()).await;
    assert_eq!(rules(&examined), []);
}

#[tokio::test]
async fn units_and_our_own_footing_are_examined_without_a_network() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("app.service");
    std::fs::write(&unit, "[Service]\nExecStart=/bin/app\nKillMode=none\n").unwrap();
    let settings = |settings: &mut DoctorSettings| {
        (settings.projects, settings.own) = (Vec::new(), true);
        settings.units = vec![folder.path().to_owned()];
    };
    let mut examiner = examiner(folder.path(), settings);
    let examined = examiner.examine(&Examined::default()).await;
    assert!(rules(&examined).contains(&("unit-kill-mode-none", false)), "{:?}", rules(&examined));
    let all = format!("{examined:?}");
    assert!(!all.contains("self-icmp") && !all.contains("self-resolver"), "{all}");
    let examined = examiner.examine(&examined).await;
    assert!(!examiner.has_changed(&examined).await);
    std::fs::write(folder.path().join("more.service"), "[Service]\nExecStart=/bin/more\n").unwrap();
    assert!(examiner.has_changed(&examined).await, "a new unit");
}

#[tokio::test]
async fn a_disk_that_hangs_costs_one_thread_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("compose.yml"), UNPINNED).unwrap();
    let mut examiner = examiner(folder.path(), |_| {});
    let good = examiner.examine(&Examined::default()).await;
    let hangs = examiner.reading.clone().try_acquire_owned().unwrap();
    let examined = examiner.examine(&good).await;
    assert_eq!(rules(&examined).iter().filter(|(rule, stale)| *rule == "examination-failed" && !stale).count(), 1);
    assert!(rules(&examined).contains(&("image-not-pinned", true)), "{:?}", rules(&examined));
    drop(hangs);
    assert_eq!(examiner.examine(&examined).await.findings, good.findings);
}
