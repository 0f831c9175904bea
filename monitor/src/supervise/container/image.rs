//! Looks into an image: its own health check, its ports, and whether programs are in it. It only reads: nothing is
//! pulled, no container is made; the image is exported, bounded in bytes and time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ImageConfig, ImageInspect};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::address::Address;
use super::image_tree::{Tree, read_export};

/// What the engine answers within milliseconds, on a busy host too.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);
/// An export goes as fast as the disk: two gigabytes within this, or it is left.
const EXPORT_PATIENCE: Duration = Duration::from_secs(120);
/// Larger images are left alone.
const MAX_EXPORT_BYTES: i64 = 2 << 30;
/// Bollard's own limit: more than ours, so that ours is the one that counts.
const BOLLARD_PATIENCE: Duration = Duration::from_secs(150);
/// Pieces of an export that wait to be read.
const PIECES_WAITING: usize = 16;
/// Where programs are looked for if the image does not say (the default of Docker).
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What was found in an image.
#[derive(Debug, Clone, Default)]
pub struct LookedAt {
    /// It brings its own health check.
    pub has_health: bool,
    /// Ports it says it listens on.
    pub ports: BTreeSet<u16>,
    /// `PORT` of its environment.
    pub port_variable: Option<u16>,
    /// The programs that were asked for, and whether they are there; empty if the layers could not be read.
    pub programs: BTreeMap<String, bool>,
    /// Why the layers could not be read.
    pub left_out: Option<String>,
}

/// An engine that is asked about images.
pub struct ImageEngine {
    address: String,
    docker: Docker,
}

impl ImageEngine {
    /// Connects and finds out whether anybody answers. Of an engine over TCP, `certificates` is the folder with ours.
    ///
    /// # Errors
    /// One sentence that names the address.
    pub async fn open(address: &str, certificates: Option<&Path>) -> Result<Self, String> {
        Self::open_at(&Address::parse(address, certificates).map_err(|why| cannot_be_asked(address, &why))?).await
    }

    /// As [`ImageEngine::open`], for an address that was written in the configuration.
    ///
    /// # Errors
    /// One sentence that names the address.
    pub async fn open_at(place: &Address) -> Result<Self, String> {
        let wrong = |why: &dyn fmt::Display| cannot_be_asked(&place.shown, why);
        let docker = place.connect(BOLLARD_PATIENCE).map_err(|error| wrong(&error))?;
        match tokio::time::timeout(ANSWER_PATIENCE, docker.ping()).await {
            Ok(Ok(_)) => Ok(Self { address: place.shown.clone(), docker }),
            Ok(Err(error)) => Err(wrong(&error)),
            Err(_elapsed) => Err(wrong(&format_args!("no answer within {} s", ANSWER_PATIENCE.as_secs()))),
        }
    }

    /// Returns what an image is at the moment: another one of the same name has another id.
    ///
    /// # Errors
    /// One sentence if the engine does not have it or does not answer.
    pub async fn id(&self, image: &str) -> Result<String, String> {
        Ok(self.inspect(image).await?.id.unwrap_or_default())
    }

    /// Looks at an image, and for `programs` in its layers.
    ///
    /// # Errors
    /// One sentence if the engine does not have it or does not answer.
    pub async fn look(&self, image: &str, programs: &BTreeSet<String>) -> Result<LookedAt, String> {
        let inspected = self.inspect(image).await?;
        let config = inspected.config.unwrap_or_default();
        let mut looked = of_config(&config);
        if programs.is_empty() {
            return Ok(looked);
        }
        let size = inspected.size.unwrap_or(0);
        if size > MAX_EXPORT_BYTES {
            looked.left_out = Some(format!("{image}: its layers are {size} bytes, more than {MAX_EXPORT_BYTES}"));
            return Ok(looked);
        }
        match tokio::time::timeout(EXPORT_PATIENCE, self.export(image)).await {
            Ok(Ok(tree)) => looked.programs = find(&tree, &config, programs),
            Ok(Err(why)) => looked.left_out = Some(format!("{image}: its layers: {why}")),
            Err(_elapsed) => {
                looked.left_out = Some(format!("{image}: its layers took over {} s", EXPORT_PATIENCE.as_secs()));
            }
        }
        Ok(looked)
    }

    async fn inspect(&self, image: &str) -> Result<ImageInspect, String> {
        let answer = tokio::time::timeout(ANSWER_PATIENCE, self.docker.inspect_image(image)).await;
        let answer = answer.map_err(|_elapsed| format!("{image}: no answer from {}", self.address))?;
        answer.map_err(|error| format!("{image}: {error}"))
    }

    async fn export(&self, image: &str) -> Result<Tree, String> {
        let (sender, receiver) = mpsc::channel::<Bytes>(PIECES_WAITING);
        // The reader ends when the sender is dropped, which happens also when we are given up.
        let reading = tokio::task::spawn_blocking(move || read_export(Pieces { receiver, current: Bytes::new() }));
        let mut export = self.docker.export_image(image).boxed();
        let mut left = u64::try_from(MAX_EXPORT_BYTES).unwrap_or(u64::MAX);
        while let Some(piece) = export.next().await {
            let piece = piece.map_err(|error| error.to_string())?;
            left = left.checked_sub(piece.len() as u64).ok_or("more bytes than an image of its size has")?;
            if sender.send(piece).await.is_err() {
                break;
            }
        }
        drop(sender);
        reading.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }
}

fn cannot_be_asked(address: &str, why: &dyn fmt::Display) -> String {
    format!("the container engine at {address} cannot be asked: {why}")
}

fn of_config(config: &ImageConfig) -> LookedAt {
    let test = config.healthcheck.as_ref().and_then(|health| health.test.as_ref());
    let ports = config.exposed_ports.iter().flatten().filter_map(|port| port.split('/').next()?.parse().ok());
    LookedAt {
        has_health: test.is_some_and(|test| test.first().is_some_and(|first| first != "NONE")),
        ports: ports.collect(),
        port_variable: variable(config, "PORT").and_then(|port| port.parse().ok()),
        ..LookedAt::default()
    }
}

fn variable<'a>(config: &'a ImageConfig, name: &str) -> Option<&'a str> {
    config.env.iter().flatten().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
}

fn find(tree: &Tree, config: &ImageConfig, programs: &BTreeSet<String>) -> BTreeMap<String, bool> {
    let folders = variable(config, "PATH").unwrap_or(DEFAULT_PATH);
    let is_there = |program: &String| match program.starts_with('/') {
        true => tree.has_file(program),
        false => folders.split(':').any(|folder| tree.has_file(&format!("{folder}/{program}"))),
    };
    programs.iter().map(|program| (program.clone(), is_there(program))).collect()
}

/// The pieces of an export as one stream for a blocking reader.
struct Pieces {
    receiver: mpsc::Receiver<Bytes>,
    current: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.current = piece,
                None => return Ok(0),
            }
        }
        let piece = self.current.split_to(self.current.len().min(buffer.len()));
        let count = piece.len();
        for (target, byte) in buffer.iter_mut().zip(piece) {
            *target = byte;
        }
        Ok(count)
    }
}
