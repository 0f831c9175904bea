//! Asks a container engine about the images of a project, where one is there: then nothing is known by name alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::supervise::{ImageEngine, LookedAt};

use super::compose::{Project, Service};
use crate::supervise::shell::Step;

/// Images that are remembered, at most: more than any project has.
const MAX_SEEN: usize = 1000;

/// Looks into every image that a project names. `tell` hears which, for it may take a while; what could not be looked
/// into is added to the project's list. `certificates` is the folder with ours, for an engine over TCP.
pub async fn look_into(
    project: &mut Project,
    address: &str,
    certificates: Option<&Path>,
    tell: &(dyn Fn(&str) + Sync),
) {
    let engine = ImageEngine::open(address, certificates).await;
    learn_from(engine, project, &mut Seen::default(), tell).await;
}

/// As [`look_into`], of an engine that was opened already; what is in `seen` is not looked into again.
pub(super) async fn learn_from(
    engine: Result<ImageEngine, String>,
    project: &mut Project,
    seen: &mut Seen,
    tell: &(dyn Fn(&str) + Sync),
) {
    let engine = match engine {
        Ok(engine) => Some(engine),
        Err(why) => {
            project.not_checked.push(format!("images: {why}"));
            None
        }
    };
    for image in images(project) {
        let users = || project.services.iter().filter(|service| image_of(service) == Some(image.as_str()));
        let key: Key = (image.clone(), users().flat_map(programs_of).collect());
        if let Some(engine) = &engine {
            tell(&image);
            match seen.look(engine, &key).await {
                Ok(left_out) => project.not_checked.extend(left_out),
                Err(why) => project.not_checked.push(format!("image {why}")),
            }
        }
        // What cannot be asked now is as it was: that it is away mends nothing.
        if let Some((_, looked)) = seen.images.get(&key) {
            let services = project.services.iter_mut().filter(|service| image_of(service) == Some(image.as_str()));
            services.for_each(|service| learn(service, looked));
        }
    }
}

/// An image's name, and the programs that are looked for in it.
type Key = (String, BTreeSet<String>);

/// What was found in images, and what each of them was. To look into one moves gigabytes, so the same one is looked into
/// once.
#[derive(Debug, Default)]
pub(super) struct Seen {
    images: BTreeMap<Key, (String, LookedAt)>,
}

impl Seen {
    /// Makes sure that an image is known as it is now; returns why its layers are not, if they are not.
    async fn look(&mut self, engine: &ImageEngine, key: &Key) -> Result<Option<String>, String> {
        let id = engine.id(&key.0).await?;
        if let Some((known, looked)) = self.images.get(key)
            && (known, &looked.left_out) == (&id, &None)
        {
            return Ok(None);
        }
        let looked = engine.look(&key.0, &key.1).await?;
        let left_out = looked.left_out.clone();
        if self.images.len() >= MAX_SEEN {
            self.images.clear();
        }
        self.images.insert(key.clone(), (id, looked));
        Ok(left_out)
    }
}

/// What is built here may be newer than what the engine has, also where another service runs it.
fn images(project: &Project) -> BTreeSet<String> {
    project.services.iter().filter_map(image_of).filter(|image| !project.builds(image)).map(str::to_owned).collect()
}

fn image_of(service: &Service) -> Option<&str> {
    service.image.as_ref().filter(|_| !service.is_built).map(|image| image.text.as_str())
}

fn programs_of(service: &Service) -> Vec<String> {
    let Some(health) = service.health.as_ref().filter(|health| health.runs()) else { return Vec::new() };
    let mut programs: Vec<String> = health.steps().iter().filter_map(Step::program).map(str::to_owned).collect();
    if health.uses_shell() {
        programs.push("sh".to_owned());
    }
    programs
}

/// What was seen counts more than what is known by name.
fn learn(service: &mut Service, looked: &LookedAt) {
    service.facts.has_health = Some(looked.has_health);
    service.facts.ports.extend(&looked.ports);
    service.facts.port_variable = looked.port_variable.or(service.facts.port_variable);
    if looked.left_out.is_none() {
        service.facts.programs.extend(looked.programs.clone());
    }
}
