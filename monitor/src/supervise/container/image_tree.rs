//! The files of an image: layers read out of an export and laid over each other, symbolic links followed.
//!
//! The format is that of `docker save`: a tar of tars, whose `manifest.json` tells the order (OCI image-spec, layer.md,
//! for white-outs).

use std::collections::BTreeMap;
use std::io::{self, Read};

use flate2::read::GzDecoder;
use serde::Deserialize;
use tar::{Archive, EntryType};

/// More files than any image of two gigabytes has.
const MAX_FILES: usize = 2_000_000;
/// As many links one after the other as Linux follows (path_resolution(7)).
const MAX_LINKS: usize = 40;
/// A manifest is some kilobytes.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
    Link(String),
}

type Layer = Vec<(String, Kind)>;

/// The files of an image by their paths without the first slash.
#[derive(Debug, Default)]
pub(super) struct Tree {
    files: BTreeMap<String, Kind>,
}

#[derive(Deserialize)]
struct Manifest {
    #[serde(rename = "Layers")]
    layers: Vec<String>,
}

/// Reads an export.
pub(super) fn read_export(export: impl Read) -> io::Result<Tree> {
    let mut archive = Archive::new(export);
    let mut layers: BTreeMap<String, Option<Layer>> = BTreeMap::new();
    let mut aliases: BTreeMap<String, String> = BTreeMap::new();
    let mut order = None;
    let mut room = MAX_FILES;
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_string_lossy().into_owned();
        if name == "manifest.json" {
            let mut text = String::new();
            entry.take(MAX_MANIFEST_BYTES).read_to_string(&mut text)?;
            let manifests: Vec<Manifest> = serde_json::from_str(&text)?;
            order = manifests.into_iter().next().map(|manifest| manifest.layers);
        } else if let Some(target) = entry.link_name()? {
            // Older engines write a layer that came before as a link, `../ID/layer.tar`.
            aliases.insert(name, target.to_string_lossy().trim_start_matches("../").to_owned());
        } else if entry.header().entry_type() == EntryType::Regular {
            layers.insert(name, read_layer(&mut entry, &mut room)?);
        }
    }
    let order = order.ok_or_else(|| io::Error::other("the export has no manifest.json"))?;
    let mut tree = Tree::default();
    for name in order {
        let layer = layers.get(&name).or_else(|| layers.get(aliases.get(&name)?));
        let layer = layer.ok_or_else(|| io::Error::other(format!("the export has no layer {name}")))?;
        // Taking it for an empty one would make every program of it look missing.
        tree.lay(layer.as_ref().ok_or_else(|| io::Error::other(format!("{name} is neither a tar nor gzip")))?);
    }
    Ok(tree)
}

/// Reads a layer, compressed or not; none for what is neither, such as a configuration.
fn read_layer(reader: &mut impl Read, room: &mut usize) -> io::Result<Option<Layer>> {
    let mut head = [0; 512];
    let mut filled = 0;
    while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest)? {
            0 => break,
            count => filled += count,
        }
    }
    let start = head.get(..filled).unwrap_or_default();
    let whole = start.chain(reader);
    if start.starts_with(&[0x1f, 0x8b]) {
        return read_files(GzDecoder::new(whole), room).map(Some);
    }
    // POSIX.1-1988 ustar: the magic stands at byte 257. A tar without files is zeros.
    let is_tar = start.get(257..262) == Some(b"ustar") || start.iter().all(|byte| *byte == 0);
    if is_tar { read_files(whole, room).map(Some) } else { Ok(None) }
}

fn read_files(reader: impl Read, room: &mut usize) -> io::Result<Layer> {
    let mut files = Layer::new();
    for entry in Archive::new(reader).entries()? {
        let entry = entry?;
        *room = room.checked_sub(1).ok_or_else(|| io::Error::other("more files than can be looked through"))?;
        let path = entry.path()?.to_string_lossy().trim_start_matches("./").trim_matches('/').to_owned();
        let target = || entry.link_name().ok().flatten().map(|target| target.to_string_lossy().into_owned());
        let kind = match entry.header().entry_type() {
            EntryType::Directory => Kind::Folder,
            EntryType::Symlink => Kind::Link(target().unwrap_or_default()),
            _ => Kind::File,
        };
        files.push((path, kind));
    }
    Ok(files)
}

impl Tree {
    /// Lays a layer over what is there: a white-out `.wh.NAME` takes away, `.wh..wh..opq` empties its folder.
    fn lay(&mut self, layer: &Layer) {
        for (path, _) in layer {
            let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
            if name == ".wh..wh..opq" {
                self.remove_below(folder);
            } else if let Some(gone) = name.strip_prefix(".wh.") {
                let gone = if folder.is_empty() { gone.to_owned() } else { format!("{folder}/{gone}") };
                self.files.remove(&gone);
                self.remove_below(&gone);
            }
        }
        for (path, kind) in layer {
            if !path.rsplit('/').next().is_some_and(|name| name.starts_with(".wh.")) {
                // A file where a folder was takes its place with all that was in it.
                if *kind != Kind::Folder && self.files.insert(path.clone(), kind.clone()) == Some(Kind::Folder) {
                    self.remove_below(path);
                } else if *kind == Kind::Folder {
                    self.files.insert(path.clone(), Kind::Folder);
                }
            }
        }
    }

    fn remove_below(&mut self, folder: &str) {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        self.files.retain(|path, _| !path.starts_with(&prefix));
    }

    /// Returns true if a whole path leads to a file.
    pub(super) fn has_file(&self, path: &str) -> bool {
        let mut left: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut at: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(name) = left.pop() {
            match name.as_str() {
                "" | "." => continue,
                ".." => {
                    at.pop();
                    continue;
                }
                _ => at.push(name),
            }
            if let Some(Kind::Link(target)) = self.files.get(&at.join("/")) {
                links += 1;
                if links > MAX_LINKS {
                    return false;
                }
                at.pop();
                if target.starts_with('/') {
                    at.clear();
                }
                left.extend(target.split('/').rev().map(str::to_owned));
            }
        }
        self.files.get(&at.join("/")) == Some(&Kind::File)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(layers: &[&[(&str, &str)]]) -> Tree {
        let mut tree = Tree::default();
        for layer in layers {
            let layer = layer.iter().map(|(path, kind)| {
                let kind = match *kind {
                    "file" => Kind::File,
                    "folder" => Kind::Folder,
                    target => Kind::Link(target.to_owned()),
                };
                ((*path).to_owned(), kind)
            });
            tree.lay(&layer.collect());
        }
        tree
    }

    /// An export of one layer with these bytes.
    fn export(layer: &[u8]) -> Vec<u8> {
        let mut export = tar::Builder::new(Vec::new());
        for (name, bytes) in [("a/layer.tar", layer), ("manifest.json", br#"[{"Layers":["a/layer.tar"]}]"#)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_cksum();
            export.append_data(&mut header, name, bytes).unwrap();
        }
        export.into_inner().unwrap()
    }

    #[test]
    fn layers_are_read_compressed_or_not_and_never_taken_for_empty() {
        let mut layer = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        header.set_cksum();
        layer.append_data(&mut header, "bin/sh", &[][..]).unwrap();
        let layer = layer.into_inner().unwrap();
        let mut gzip = flate2::read::GzEncoder::new(layer.as_slice(), flate2::Compression::fast());
        let mut compressed = Vec::new();
        gzip.read_to_end(&mut compressed).unwrap();
        for (bytes, expected) in [(layer.as_slice(), true), (&compressed, true), (&[0; 1024], false), (&[], false)] {
            assert_eq!(read_export(export(bytes).as_slice()).unwrap().has_file("/bin/sh"), expected);
        }
        let error = read_export(export(b"\x28\xb5\x2f\xfd zstd").as_slice()).unwrap_err();
        assert_eq!(error.to_string(), "a/layer.tar is neither a tar nor gzip");
        assert!(read_export([0; 1024].as_slice()).unwrap_err().to_string().contains("no manifest.json"));
    }

    #[test]
    fn links_of_folders_and_files_are_followed_and_circles_end() {
        let tree = tree(&[&[
            ("bin", "usr/bin"),
            ("usr", "folder"),
            ("usr/bin", "folder"),
            ("usr/bin/busybox", "file"),
            ("usr/bin/wget", "/bin/busybox"),
            ("usr/bin/up", "../bin/../bin/busybox"),
            ("usr/bin/nc", "nothing"),
            ("loop", "loop"),
        ]]);
        for (path, expected) in
            [("/bin/wget", true), ("/usr/bin/up", true), ("/bin/nc", false), ("/loop/x", false), ("/usr", false)]
        {
            assert_eq!(tree.has_file(path), expected, "{path}");
        }
    }

    #[test]
    fn white_outs_take_away_what_lies_below() {
        let below: &[(&str, &str)] =
            &[("a", "folder"), ("a/x", "file"), ("b", "folder"), ("b/y", "file"), ("c", "file")];
        let over: &[(&str, &str)] =
            &[("a/.wh..wh..opq", "file"), ("a/z", "file"), (".wh.b", "file"), ("c/.wh.no", "file")];
        let tree = tree(&[below, over]);
        for (path, expected) in [("/a/x", false), ("/a/z", true), ("/b/y", false), ("/c", true)] {
            assert_eq!(tree.has_file(path), expected, "{path}");
        }
    }
}
