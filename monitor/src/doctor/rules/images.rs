//! What runs tomorrow is not what ran today: images and packages without a version.

use crate::doctor::compose::Project;
use crate::doctor::compose::image_tag;
use crate::doctor::finding::{Hit, Rule};
use crate::supervise::shell::{Step, steps};

pub(super) const RULES: &[Rule<Project>] = &[
    Rule::warning(
        "image-not-pinned",
        "an image without a version",
        "The next pull may bring another program; after a bad one nobody knows what to go back to.",
        not_pinned,
    ),
    Rule::error(
        "installs-at-start",
        "packages are installed at every start",
        "It needs the network and a package registry to start: when either is slow or down, it restarts for ever.",
        installs,
    ),
    Rule::warning(
        "installs-latest",
        "a package without a version in the command",
        "Each start may bring another version: it breaks without anybody having changed anything.",
        latest,
    ),
];

fn not_pinned(project: &Project) -> Vec<Hit> {
    let mut hits = Vec::new();
    for service in project.services.iter().filter(|service| !service.is_built) {
        let Some(image) = service.image.as_ref().filter(|image| !image.text.is_empty()) else { continue };
        // A variable that has to be set is its tag: Compose starts nothing without it.
        let is_substituted = service.node.child("image").is_some_and(|node| node.substituted.is_some());
        if project.builds(&image.text) || (is_substituted && image.text.ends_with(':')) {
            continue;
        }
        let (name, tag) = image_tag(&image.text);
        if tag.is_empty() || tag == "latest" {
            let message = if tag.is_empty() {
                format!("{name} has no tag, which means latest")
            } else {
                format!("{name} is pinned to nothing but latest")
            };
            hits.push(Hit::new(
                &image.place,
                &service.name,
                message,
                format!("image: {name}:1.2.3   # the version that runs now"),
            ));
        }
    }
    hits
}

fn installs(project: &Project) -> Vec<Hit> {
    each_step(project, |step, line| {
        let fetches = matches!(step.program(), Some("curl" | "wget")) && pipes_into_shell(line);
        (is_install(step) || fetches).then(|| {
            let what = step.words.join(" ");
            let fix =
                format!("Put it into the image:\n  build:\n    dockerfile_inline: |\n      FROM …\n      RUN {what}");
            (format!("{what:?} runs before every start"), fix)
        })
    })
}

/// Returns true for a package manager that is told to install.
pub(super) fn is_install(step: &Step) -> bool {
    let Some(program) = step.program() else { return false };
    let has = |word: &str| step.words.iter().any(|own| own == word);
    match program {
        "yarn" if step.words.len() == 1 => true,
        "npm" | "pnpm" | "yarn" | "bun" => ["install", "ci", "add", "i"].into_iter().any(has),
        "pip" | "pip3" | "gem" | "go" | "cargo" | "poetry" | "bundle" | "composer" => has("install"),
        "apt-get" | "apt" | "dnf" | "yum" => has("install"),
        "apk" => has("add"),
        "python" | "python3" => has("pip") && has("install"),
        _ => false,
    }
}

fn pipes_into_shell(line: &str) -> bool {
    steps(line).iter().any(|step| step.joined_by == "|" && matches!(step.program(), Some("sh" | "bash")))
}

fn latest(project: &Project) -> Vec<Hit> {
    each_step(project, |step, _| {
        let word = step.words.iter().find(|word| word.ends_with("@latest"))?;
        Some((format!("{word} is another version with every release"), word.replace("@latest", "@1.2.3")))
    })
}

fn each_step(project: &Project, judge: fn(&Step, &str) -> Option<(String, String)>) -> Vec<Hit> {
    let mut hits = Vec::new();
    for service in &project.services {
        for command in &service.commands {
            let found = steps(&command.text).iter().find_map(|step| judge(step, &command.text));
            hits.extend(found.map(|(message, fix)| Hit::new(&command.place, &service.name, message, fix)));
        }
    }
    hits
}
