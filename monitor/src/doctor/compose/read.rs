//! Reads one file: regular, of bounded length, text, and YAML of one or several documents.

use std::fs::OpenOptions;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use kit::config::{Node, Value};
use nix::fcntl::OFlag;

/// No Compose file of a person is larger; one that is would only fill the memory.
const MAX_FILE_BYTES: u64 = 4 << 20;
/// What Compose takes when it is told nothing, in this order (docs.docker.com/compose/intro/compose-application-model).
const USUAL_NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"];

/// Reads a regular file of bounded length.
pub(in crate::doctor) fn read_bounded(file: &Path) -> Result<String, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("{}: cannot read this file: {why}", file.display());
    let metadata = std::fs::metadata(file).map_err(|error| wrong(&error))?;
    if metadata.is_dir() {
        let inside = USUAL_NAMES.iter().map(|name| file.join(name)).find(|path| path.is_file());
        let hint = inside.map(|path| format!("; name the file in it: {}", path.display())).unwrap_or_default();
        return Err(wrong(&format_args!("it is a folder{hint}")));
    }
    // A pipe or device may never end, and `/proc/kmsg` says that it is a regular file and waits for ever (proc_kmsg(5)).
    let is_kernels = || file.canonicalize().is_ok_and(|path| is_of_kernel(&path));
    if !metadata.is_file() || is_kernels() {
        return Err(wrong(&"it is not a regular file"));
    }
    let mut bytes = Vec::new();
    let opened = OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(file);
    let opened = opened.map_err(|error| wrong(&error))?;
    // It may have become another since it was looked at.
    let metadata = opened.metadata().map_err(|error| wrong(&error))?;
    if !metadata.is_file() {
        return Err(wrong(&"it is not a regular file"));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(wrong(&format_args!("it is {} bytes, more than {MAX_FILE_BYTES}", metadata.len())));
    }
    opened.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(|error| wrong(&error))?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        wrong(&format_args!("it is no text: byte {at} is not UTF-8; save it as UTF-8"))
    })
}

/// Returns true for what the kernel makes up when it is read, of a path without links (hier(7)).
pub(super) fn is_of_kernel(path: &Path) -> bool {
    let is_made_up = ["/proc", "/sys", "/dev"].iter().any(|folder| path.starts_with(folder));
    is_made_up && !path.starts_with("/dev/shm")
}

/// Parses the documents of a file, the later to be laid over the earlier, as Compose does.
pub(super) fn parse(shown: &str, text: &str) -> Result<Vec<Node>, String> {
    let whole = match documents(text) {
        documents if documents.len() > 1 => documents,
        _ => vec![text.to_owned()],
    };
    let mut nodes = Vec::new();
    for text in &whole {
        let node = Node::parse(shown, text).map_err(|(place, message)| format!("{place}: {}", plain(&message)))?;
        let is_empty = matches!(&node.value, Value::Map(entries) if entries.is_empty()) || node.value == Value::Null;
        if !matches!(node.value, Value::Map(_)) && !is_empty {
            return Err(format!("{}: expected a mapping with services, found {}", node.place, node.type_name()));
        }
        if whole.len() == 1 || !is_empty {
            nodes.push(node);
        }
    }
    Ok(nodes)
}

/// Returns each document at its own lines, with nothing on those of the others (YAML 1.2.2 section 9.1.2).
fn documents(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if found.is_empty() || line == "---" || line.starts_with("--- ") {
            found.push("\n".repeat(number));
        }
        if let Some(document) = found.last_mut() {
            document.push_str(line);
            document.push('\n');
        }
    }
    found.retain(|document| document.lines().any(|line| !line.trim().is_empty() && !line.starts_with(['#', '-', '%'])));
    found
}

/// Says what the parser means in words for who wrote the file.
fn plain(message: &str) -> String {
    if message.contains("budget breached") {
        return "with its aliases written out it is larger than any compose file; use fewer of them".to_owned();
    }
    if message.contains("recursion limit") {
        return "it is nested too deep for a compose file".to_owned();
    }
    if message.contains("recursive references") {
        return "an anchor that holds itself; let its alias stand outside of it".to_owned();
    }
    message.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_keep_their_lines() {
        for (text, expected) in [
            ("a: 1\n", vec!["a: 1\n"]),
            ("# x\n---\na: 1\n", vec!["\n---\na: 1\n"]),
            ("a: 1\n---\nb: 2\n---\n# c\n", vec!["a: 1\n", "\n---\nb: 2\n"]),
            ("a: |\n  --- x\n", vec!["a: |\n  --- x\n"]),
        ] {
            assert_eq!(documents(text), expected, "{text:?}");
        }
        let nodes = parse("c.yml", "a: 1\n---\nb: 2\n").unwrap();
        assert_eq!(nodes[1].child("b").unwrap().place.line, 3);
    }
}
