//! What people write of services in Markdown: rows of tables, items of lists, and sentences about all of them.

use std::sync::LazyLock;

use regex::Regex;

/// Words and signs that say that a service works.
const GOOD: [&str; 17] = [
    "up",
    "healthy",
    "operational",
    "running",
    "online",
    "working",
    "works",
    "ok",
    "okay",
    "passing",
    "available",
    "green",
    "stable",
    "✅",
    "🟢",
    "✔",
    "✓",
];
/// Words and signs that say that it does not.
const BAD: [&str; 15] = [
    "down",
    "unhealthy",
    "broken",
    "failing",
    "failed",
    "offline",
    "unavailable",
    "crashing",
    "restarting",
    "red",
    "dead",
    "❌",
    "🔴",
    "✖",
    "✗",
];
/// Words that may stand before them.
const FILLERS: [&str; 10] =
    ["is", "are", "fully", "currently", "now", "all", "status", "state", "health", "completely"];
/// Words that may follow them; after any other a word belongs to something else (`red button`).
const FOLLOWERS: [&str; 7] = ["since", "for", "again", "and", "as", "with", "because"];

static LINK: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"!?\[([^\]]*)\]\([^)]*\)").expect("it is fixed, and tested"));
static COUNTED: LazyLock<Regex> = LazyLock::new(|| {
    let works = "(up|healthy|operational|running|online|working)";
    Regex::new(&format!(
        r"(?i)\b(?:(\d+)\s*(?:of|/)\s*(\d+)|all(?:\s+(\d+))?)\s+(?:micro)?services?\s+(?:are\s+)?(?:fully\s+)?{works}\b"
    ))
    .expect("it is fixed, and tested")
});

/// What somebody says of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) says: Says,
    pub(super) word: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    Good,
    Bad,
}

/// `3 of 3 services are healthy`, `all services are up`: how many of how many, each if it is said.
pub(super) fn counted(text: &str) -> Option<(Option<usize>, Option<usize>)> {
    let text = plain(text);
    let found = COUNTED.captures(&text)?;
    let number = |index| found.get(index).and_then(|group| group.as_str().parse().ok());
    Some((number(1), number(2).or_else(|| number(3))))
}

/// Text without links, emphasis and code marks; signs in place of their names.
pub(super) fn plain(text: &str) -> String {
    let text = LINK.replace_all(text, "$1");
    let signs = [
        (":white_check_mark:", "✅"),
        (":heavy_check_mark:", "✔"),
        (":green_circle:", "🟢"),
        (":large_green_circle:", "🟢"),
        (":x:", "❌"),
        (":red_circle:", "🔴"),
    ];
    let text = signs.iter().fold(text.into_owned(), |text, (name, sign)| text.replace(name, sign));
    text.replace(['*', '`', '~', '\u{fe0f}'], "").trim().to_owned()
}

/// Cells of a row of a table, with or without outer pipes; none if it is no row.
pub(super) fn cells(text: &str) -> Option<Vec<&str>> {
    let text = text.trim();
    if !text.starts_with('|') && !text.contains(" | ") {
        return None;
    }
    let inner = text.strip_prefix('|').unwrap_or(text);
    let inner = inner.strip_suffix('|').unwrap_or(inner);
    Some(inner.split('|').map(str::trim).collect())
}

/// The text of an item of a list, without its marks.
pub(super) fn item(text: &str) -> Option<&str> {
    let text = text.trim_start_matches(['>', ' ']);
    let bullet = ["- ", "* ", "+ "].iter().find_map(|bullet| text.strip_prefix(bullet));
    let numbered = || {
        let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
        (rest.len() < text.len()).then_some(rest)?.strip_prefix(['.', ')'])?.strip_prefix(' ')
    };
    let text = bullet.or_else(numbered)?;
    let boxes = ["[ ] ", "[x] ", "[X] "];
    Some(boxes.iter().find_map(|mark| text.strip_prefix(mark)).unwrap_or(text))
}

/// Splits an item into what it is about, with a sign before it if there is one, and what it says of it.
pub(super) fn about(item: &str) -> Option<(Option<char>, &str, &str)> {
    let (subject, says) = [": ", " — ", " – ", " - ", " is "]
        .iter()
        .filter_map(|dash| item.split_once(dash))
        .min_by_key(|(subject, _)| subject.len())?;
    let bare = subject.trim_start_matches(|c: char| !c.is_alphanumeric());
    let sign = subject.chars().next().filter(|c| !c.is_alphanumeric());
    Some((sign, bare.trim(), says))
}

/// True if a text names a service and nothing else: `web`, `Web service`, `web (8080)`.
pub(super) fn names(text: &str, service: &str) -> bool {
    let text = plain(text).to_lowercase();
    let rest = text.strip_prefix(service).map(str::trim_start);
    rest.is_some_and(|rest| {
        let rest = rest.strip_prefix("service").map_or(rest, str::trim_start);
        rest.is_empty() || rest.starts_with('(')
    })
}

/// The claim with which a text begins.
pub(super) fn claim(text: &str) -> Option<Claim> {
    let text = plain(text);
    let sign = text.chars().next().and_then(|c| of_word(c.encode_utf8(&mut [0; 4])));
    if sign.is_some() {
        return sign;
    }
    let lower = text.to_lowercase();
    let mut words = lower.split_whitespace().skip_while(|word| FILLERS.contains(&word.trim_matches(':')));
    let (first, next) = (words.next()?, words.next());
    let bare = first.trim_matches(|c: char| c.is_ascii_punctuation());
    let ends = first.ends_with(|c: char| c.is_ascii_punctuation());
    let belongs = next.is_some_and(|next| next.starts_with(char::is_alphanumeric) && !FOLLOWERS.contains(&next));
    of_word(bare).filter(|_| ends || !belongs)
}

fn of_word(word: &str) -> Option<Claim> {
    let says = match word {
        word if GOOD.contains(&word) => Says::Good,
        word if BAD.contains(&word) => Says::Bad,
        _ => return None,
    };
    Some(Claim { says, word: word.to_owned() })
}

/// A block of code that began and has not ended (CommonMark 0.31 section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fence {
    mark: char,
    length: usize,
}

impl Fence {
    /// Returns the block of code that a line leaves open; the line itself is code if there was one, or is one now.
    pub(super) fn after(open: Option<Self>, text: &str) -> Option<Self> {
        let mark = text.chars().next().filter(|c| matches!(c, '`' | '~'));
        let Some(mark) = mark else { return open };
        let length = text.chars().take_while(|c| *c == mark).count();
        let info = text.trim_start_matches(mark).trim();
        match open {
            _ if length < 3 => open,
            None if mark == '`' && info.contains('`') => None,
            None => Some(Self { mark, length }),
            Some(fence) if fence.mark == mark && length >= fence.length && info.is_empty() => None,
            Some(_) => open,
        }
    }
}
