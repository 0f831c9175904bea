//! `matrix:` makes many like services or checks of one that is written: in its name and in every text below, `{key}`
//! stands for a value. It is done on the tree, so that nothing behind it knows.

use std::cell::Cell;
use std::collections::{BTreeSet, HashSet};

use kit::config::{Cursor, Entry, Mistakes, Node, Value, suggest};

/// The key that holds the values.
const MATRIX: &str = "matrix";
/// The number of a replica, which is filled in later.
const REPLICA: &str = "replica";
/// Most combinations of one matrix: as many as a monitor has services.
const MAX_COMBINATIONS: usize = 10_000;
/// What all of them may be together, in bytes of text and 64 for each value: a matrix of checks in one of services
/// multiplies. Ten thousand checks of usual size take 10 MB.
const MAX_WRITTEN_BYTES: usize = 64 * 1024 * 1024;

/// A value for each key.
type Combination = Vec<(String, String)>;

/// Returns the configuration with every service and every check that has a `matrix` written out.
pub(super) fn expand(root: &Node, mistakes: &Mistakes) -> Node {
    let room = Cell::new(MAX_WRITTEN_BYTES);
    let checks = |service: &Cursor<'_>| {
        with_child(service, "checks", &|checks| written_out(checks, "check", &room, &|check| check.node().clone()))
    };
    with_child(&Cursor::top(root, mistakes), "services", &|services| written_out(services, "service", &room, &checks))
}

/// Returns a mapping with what `change` makes of one of its values.
fn with_child(cursor: &Cursor<'_>, key: &str, change: &dyn Fn(&Cursor<'_>) -> Node) -> Node {
    let mut node = cursor.node().clone();
    if let Value::Map(entries) = &mut node.value
        && let Some(inner) = cursor.entries()
    {
        for (entry, (name, inner)) in entries.iter_mut().zip(inner) {
            if name == key {
                entry.node = change(&inner);
            }
        }
    }
    node
}

/// Returns a mapping of names in which every entry that has a matrix became its combinations, each as `inner` leaves it, as
/// far as there is room.
fn written_out(cursor: &Cursor<'_>, what: &str, room: &Cell<usize>, inner: &dyn Fn(&Cursor<'_>) -> Node) -> Node {
    let mut node = cursor.node().clone();
    let (Value::Map(entries), Value::Map(written)) = (&mut node.value, &cursor.node().value) else { return node };
    let cursors = cursor.entries().unwrap_or_default();
    let is_plain = |entry: &&Entry| entry.node.child(MATRIX).is_none();
    let mut names: HashSet<String> = written.iter().filter(is_plain).map(|entry| entry.key.clone()).collect();
    entries.clear();
    for (entry, (name, cursor)) in written.iter().zip(&cursors) {
        let Some(fields) = cursor.node().child(MATRIX).and_then(|_| cursor.fields()) else {
            entries.push(Entry { node: inner(cursor), ..entry.clone() });
            continue;
        };
        let combinations = fields.get(MATRIX).map(|matrix| combinations(&matrix)).unwrap_or_default();
        refuse_misspelt(cursor, &combinations);
        let template = without_matrix(&entry.node);
        for combination in combinations {
            let takes = filled_length(name, &combination).saturating_add(filled_size(&template, &combination));
            let Some(left) = room.get().checked_sub(takes) else {
                cursor.mistake("every matrix together makes too much; leave out combinations");
                break;
            };
            room.set(left);
            let key = named(name, &combination);
            if !names.insert(key.clone()) {
                cursor
                    .mistake(format!("two {what}s would be called {key:?}; tell them apart by a {{key}} in the name"));
                break;
            }
            let node = fill(&template, &combination);
            entries.push(Entry { key, key_place: entry.key_place.clone(), node: inner(&cursor.with(&node)) });
        }
    }
    node
}

/// Reads the values: lists whose every combination counts, or a list of combinations.
fn combinations(matrix: &Cursor<'_>) -> Vec<Combination> {
    let listed = matches!(matrix.node().value, Value::List(_));
    let combinations = if listed { one_by_one(matrix) } else { product(matrix) };
    match combinations {
        Some(combinations) if combinations.is_empty() => {
            matrix.mistake("nothing to make; write { region: [eu, us] } or [{ name: a, host: a.example.com }]");
            Vec::new()
        }
        Some(combinations) => combinations,
        None => Vec::new(),
    }
}

fn one_by_one(matrix: &Cursor<'_>) -> Option<Vec<Combination>> {
    let rows = matrix.items();
    if rows.len() > MAX_COMBINATIONS {
        return too_many(matrix);
    }
    let row = |row: &Cursor<'_>| row.entries()?.iter().map(|(key, cursor)| pair(key, cursor)).collect();
    let combinations: Vec<Option<Combination>> = rows.iter().map(row).collect();
    let combinations: Vec<Combination> = combinations.into_iter().collect::<Option<_>>()?;
    let keys = |combination: &Combination| combination.iter().map(|(key, _)| key.clone()).collect::<BTreeSet<_>>();
    let wanted = combinations.first().map(keys).unwrap_or_default();
    let is_other = |(_, combination): &(&Cursor<'_>, &Combination)| keys(combination) != wanted;
    if let Some((row, _)) = rows.iter().zip(&combinations).find(is_other) {
        let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
        row.mistake(format!("every row has the same keys, as the first: {}", wanted.join(", ")));
        return None;
    }
    Some(combinations)
}

fn product(matrix: &Cursor<'_>) -> Option<Vec<Combination>> {
    let mut combinations: Vec<Combination> = Vec::new();
    let mut is_fine = true;
    for (index, (key, cursor)) in matrix.entries()?.iter().enumerate() {
        let pairs: Vec<Option<(String, String)>> = cursor.items().iter().map(|value| pair(key, value)).collect();
        let Some(pairs) = pairs.into_iter().collect::<Option<Vec<_>>>() else {
            is_fine = false;
            continue;
        };
        let before = if index == 0 { vec![Vec::new()] } else { combinations };
        if before.len().saturating_mul(pairs.len()) > MAX_COMBINATIONS {
            return too_many(matrix);
        }
        let with = |before: &Combination| {
            let before = before.clone();
            pairs.iter().map(move |pair| before.iter().chain([pair]).cloned().collect::<Combination>())
        };
        combinations = before.iter().flat_map(with).collect();
    }
    is_fine.then_some(combinations)
}

fn too_many(matrix: &Cursor<'_>) -> Option<Vec<Combination>> {
    matrix.mistake(format!("more than {MAX_COMBINATIONS} combinations"));
    None
}

fn pair(key: &str, value: &Cursor<'_>) -> Option<(String, String)> {
    let is_word = key.starts_with(|c: char| c.is_ascii_lowercase())
        && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !is_word || key == REPLICA {
        value.mistake(format!(
            "a key is lower-case letters, digits and underscores, a letter first, and not {REPLICA:?}; not {key:?}"
        ));
        return None;
    }
    // It stands in names, targets and messages, where a secret must not be.
    if value.node().substituted.is_some() {
        value.mistake("a value of a matrix is shown everywhere and does not come from a variable; write it out");
        return None;
    }
    // What YAML reads as a fraction is written again as it pleases: 1.10 would become 1.1.
    if matches!(value.node().value, Value::Float(_)) {
        value.mistake(format!("YAML reads this as the number {}; write it in quotes", value.node().shown()));
        return None;
    }
    Some((key.to_owned(), value.text()?))
}

/// The name of one combination; what a name cannot hold becomes a dash.
fn named(name: &str, combination: &Combination) -> String {
    let fits = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
    let slugs: Combination = combination
        .iter()
        .map(|(key, value)| (key.clone(), value.to_ascii_lowercase().chars().map(fits).collect()))
        .collect();
    fill_text(name, &slugs)
}

/// An entry without its matrix, which may be long and is not copied into what it makes.
fn without_matrix(node: &Node) -> Node {
    let mut node = node.clone();
    if let Value::Map(entries) = &mut node.value {
        entries.retain(|entry| entry.key != MATRIX);
    }
    node
}

fn fill_entry(entry: &Entry, combination: &Combination) -> Entry {
    Entry {
        key: fill_text(&entry.key, combination),
        key_place: entry.key_place.clone(),
        node: fill(&entry.node, combination),
    }
}

/// What [`fill`] makes would take, counted before it is made: one value may stand in a text a thousand times.
fn filled_size(node: &Node, combination: &Combination) -> usize {
    let below =
        |entry: &Entry| filled_length(&entry.key, combination).saturating_add(filled_size(&entry.node, combination));
    let sum = |sizes: &mut dyn Iterator<Item = usize>| sizes.fold(0, usize::saturating_add);
    let inner = match &node.value {
        Value::Text(text) => filled_length(text, combination),
        Value::List(items) => sum(&mut items.iter().map(|item| filled_size(item, combination))),
        Value::Map(entries) => sum(&mut entries.iter().map(below)),
        _ => 0,
    };
    inner.saturating_add(64)
}

/// At most so many bytes has what [`fill_text`] makes.
fn filled_length(text: &str, combination: &Combination) -> usize {
    let added =
        |(key, value): &(String, String)| text.matches(&format!("{{{key}}}")).count().saturating_mul(value.len());
    combination.iter().map(added).fold(text.len(), usize::saturating_add)
}

/// What one combination makes of a value, keys below included.
fn fill(node: &Node, combination: &Combination) -> Node {
    let value = match &node.value {
        Value::Text(text) => Value::Text(fill_text(text, combination)),
        Value::List(items) => Value::List(items.iter().map(|item| fill(item, combination)).collect()),
        Value::Map(entries) => Value::Map(entries.iter().map(|entry| fill_entry(entry, combination)).collect()),
        other => other.clone(),
    };
    Node { value, place: node.place.clone(), substituted: node.substituted.clone() }
}

/// In one pass: a value that looks like a key is a value.
fn fill_text(text: &str, combination: &Combination) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let found = combination.iter().find_map(|(key, value)| {
            let behind = after.strip_prefix(key.as_str())?.strip_prefix('}')?;
            Some((value, behind))
        });
        if let Some((value, behind)) = found {
            out.push_str(value);
            rest = behind;
        } else {
            out.push('{');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// Reports a `{word}` that is nearly a key: it would be asked for as it stands.
fn refuse_misspelt(cursor: &Cursor<'_>, combinations: &[Combination]) {
    let Some(first) = combinations.first() else { return };
    let keys: Vec<&str> = first.iter().map(|(key, _)| key.as_str()).collect();
    let found = std::cell::RefCell::new(Vec::new());
    _ = cursor.node().map_texts(&|text| {
        let words = text.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(word, _)| word);
        let is_word = |word: &&str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        for word in words.filter(is_word).filter(|word| !keys.contains(word) && *word != REPLICA) {
            let near = suggest(word, keys.iter().copied());
            if !near.is_empty() {
                found.borrow_mut().push(format!("{{{word}}} is no key of the matrix{near}"));
            }
        }
        None
    });
    found.into_inner().into_iter().for_each(|message| cursor.mistake(message));
}
