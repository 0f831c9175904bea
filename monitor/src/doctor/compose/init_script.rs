//! What runs once, at the first start of a database: `/docker-entrypoint-initdb.d` of the official images.

use std::path::{Path, PathBuf};

use kit::config::Place;

use super::mount::{Mount, beside};
use super::mounted::Mounted;
use super::service::Service;

/// Where the images of PostgreSQL look for it (hub.docker.com/_/postgres, "Initialization scripts").
const FOLDER: &str = "/docker-entrypoint-initdb.d/";
/// The official images' own role, unless POSTGRES_USER names another: then this one does not exist.
const STANDARD_ROLE: &str = "postgres";

/// Something in such a script that cannot work.
#[derive(Debug, Clone)]
pub struct InitTrouble {
    /// What it is.
    pub what: Trouble,
    /// Where it stands.
    pub place: Place,
}

/// What cannot work in a script.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// It reads another file, by its path in the container, which nothing brings there.
    MissingInclude(String),
    /// It names the role `postgres`, but the database is made for this one.
    UnknownRole(String),
}

impl InitTrouble {
    /// Finds it in what a PostgreSQL mounts there.
    pub(super) fn of(service: &Service, folder: &Path) -> Vec<Self> {
        let mut found = Vec::new();
        if !service.facts.ports.contains(&5432) {
            return found;
        }
        let scripts = || service.mounted.iter().filter(|mounted| mounted.target.starts_with(FOLDER));
        let user = service.variable("POSTGRES_USER").filter(|user| !user.is_empty() && *user != STANDARD_ROLE);
        let unknown = user.filter(|_| !scripts().any(makes_standard_role));
        for script in scripts().filter(|script| script.target.ends_with(".sql")) {
            // A dump names its owner at each table; who mends the first mends them all.
            let mut unknown = unknown;
            let mut start = 0;
            for line in script.text.split_inclusive('\n') {
                let at = start + line.len() - line.trim_start().len();
                start += line.len();
                let trouble = missing_include(line, script, &service.mounts, folder).or_else(|| {
                    let user = unknown.take_if(|_| names_standard_role(line))?;
                    Some(Trouble::UnknownRole(user.to_owned()))
                });
                found.extend(trouble.map(|what| Self { what, place: script.place_of(at) }));
            }
        }
        found
    }
}

/// Psql's `\i` counts from where psql runs, which is `/`, and `\ir` from the script (postgresql.org/docs/current/app-psql).
fn missing_include(line: &str, script: &Mounted, mounts: &[Mount], folder: &Path) -> Option<Trouble> {
    let (command, path) = line.trim().split_once(char::is_whitespace)?;
    let path = path.trim().trim_matches('\'');
    let base = match command {
        "\\i" | "\\include" => "",
        "\\ir" | "\\include_relative" => script.target.rsplit_once('/')?.0,
        _ => return None,
    };
    let inside = if path.starts_with('/') { path.to_owned() } else { format!("{base}/{path}") };
    // A variable of psql may be anything, and `..` leads out of what is known.
    if path.is_empty() || inside.contains([':', '`']) || inside.contains("..") {
        return None;
    }
    let inside = inside.replace("/./", "/");
    let brings = |mount: &Mount| {
        let rest = inside.strip_prefix(mount.target.trim_end_matches('/'))?;
        if !(rest.is_empty() || rest.starts_with('/')) {
            return None;
        }
        // What is in a volume nobody knows.
        let is_path = mount.source.starts_with(['.', '/']);
        let outside: PathBuf = beside(folder, &mount.place, &format!("{}{rest}", mount.source.trim_end_matches('/')));
        Some(!is_path || outside.exists())
    };
    let is_there = mounts.iter().filter_map(brings).any(|is_there| is_there);
    (!is_there).then_some(Trouble::MissingInclude(inside))
}

/// True if a script makes the role, in SQL (also within `DO`) or with createuser(1).
fn makes_standard_role(script: &Mounted) -> bool {
    script.text.lines().any(|line| makes_role(line, script.target.ends_with(".sh")))
}

fn makes_role(line: &str, is_shell: bool) -> bool {
    let comment = if is_shell { "#" } else { "--" };
    let line = line.split(comment).next().unwrap_or_default().to_ascii_lowercase();
    let words: Vec<&str> = line
        .split(|c: char| c.is_whitespace() || ";\"'\\".contains(c))
        .filter(|word| !matches!(*word, "" | "if" | "not" | "exists"))
        .collect();
    let by_sql = words
        .windows(3)
        .any(|three| matches!(three, ["create", "role" | "user" | "group", role] if *role == STANDARD_ROLE));
    let Some(at) = words.iter().position(|word| is_shell && word.rsplit('/').next() == Some("createuser")) else {
        return by_sql;
    };
    // Behind these stands how to connect (postgresql.org/docs/current/app-createuser).
    let connects = |word: &str| matches!(word, "-u" | "-h" | "-p" | "--username" | "--host" | "--port");
    let mut before = "";
    let is_new = words.iter().skip(at + 1).any(|word| {
        let is_it = *word == STANDARD_ROLE && !connects(before);
        before = word;
        is_it
    });
    by_sql || is_new
}

/// True where a role must exist: the owner of something, or whom rights are given to.
fn names_standard_role(line: &str) -> bool {
    let line = line.split("--").next().unwrap_or_default().to_ascii_lowercase();
    let words: Vec<&str> =
        line.split(|c: char| c.is_whitespace() || ",;=".contains(c)).filter(|word| !word.is_empty()).collect();
    let is_role = |word: &str| word.trim_matches('"') == STANDARD_ROLE;
    let owns = words.contains(&"owner");
    let is_granted = words.first() == Some(&"grant") && words.contains(&"to");
    (owns || is_granted) && words.last().is_some_and(|word| is_role(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_named_where_it_must_exist() {
        for (line, expected) in [
            ("CREATE DATABASE shop OWNER postgres;", true),
            ("create database shop with owner = postgres;", true),
            ("ALTER TABLE a OWNER TO \"postgres\";", true),
            ("GRANT ALL ON DATABASE shop TO postgres;", true),
            ("CREATE DATABASE postgres;", false),
            ("-- OWNER postgres", false),
            ("GRANT ALL ON DATABASE postgres TO shop;", false),
            ("\\connect postgres", false),
            ("COMMENT ON TABLE owner IS 'postgres';", false),
        ] {
            assert_eq!(names_standard_role(line), expected, "{line}");
        }
    }

    #[test]
    fn a_role_is_made_in_many_words() {
        for (line, is_shell, expected) in [
            ("CREATE ROLE postgres;", false, true),
            ("create role \"postgres\" login;", false, true),
            ("  IF NOT EXISTS (SELECT) THEN CREATE USER postgres; END IF;", false, true),
            ("EXECUTE 'CREATE ROLE postgres';", false, true),
            ("CREATE ROLE IF NOT EXISTS postgres;", false, true),
            ("CREATE ROLE postgres_exporter;", false, false),
            ("-- CREATE ROLE postgres;", false, false),
            ("createuser postgres", false, false),
            ("createuser -U \"$POSTGRES_USER\" --superuser postgres", true, true),
            ("/usr/bin/createuser postgres -s", true, true),
            ("createuser -U postgres shop", true, false),
            ("psql -c 'CREATE ROLE postgres'", true, true),
        ] {
            assert_eq!(makes_role(line, is_shell), expected, "{line}");
        }
    }
}
