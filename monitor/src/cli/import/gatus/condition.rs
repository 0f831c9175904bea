//! The grammar of Gatus' conditions, and what one comes to, exactly as Gatus judges it (its condition.go and placeholder.go
//! of 2026-08). Pure. What one means here is decided elsewhere.

use super::glob;

/// `LEFT OP RIGHT`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    pub(super) text: String,
    pub(super) left: Operand,
    pub(super) comparison: Comparison,
    pub(super) right: Operand,
    /// True if more follows, which Gatus ignores: `a == b == c`.
    pub(super) has_more: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    AtMost,
    AtLeast,
    More,
    Less,
}

/// One side.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Status,
    Ip,
    ResponseTime,
    Connected,
    CertificateExpiration,
    DomainExpiration,
    DnsRcode,
    /// The body, or what stands at a path of it; the whole is the empty path.
    Body(String),
    /// What a suite remembers.
    Context(String),
    Length(Box<Operand>),
    Has(Box<Operand>),
    Pattern(String),
    Any(Vec<String>),
    /// Anything else is a text, misspelt placeholders too.
    Literal(String),
}

/// What an endpoint answered, as far as conditions are judged here.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Answer {
    /// 0 if there was none.
    pub(super) status: u16,
    pub(super) is_there: bool,
}

impl Comparison {
    /// In the order in which Gatus looks for them.
    const ALL: [(&'static str, Self); 6] = [
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        (">", Self::More),
        ("<", Self::Less),
    ];

    pub(super) fn sign(self) -> &'static str {
        Self::ALL.iter().find(|(_, comparison)| *comparison == self).map_or("==", |(sign, _)| sign)
    }

    /// True of `==` and `!=`.
    pub(super) fn is_equality(self) -> bool {
        matches!(self, Self::Equal | Self::NotEqual)
    }

    /// The same with the sides exchanged.
    fn mirrored(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::AtMost => Self::AtLeast,
            Self::AtLeast => Self::AtMost,
            Self::More => Self::Less,
            Self::Less => Self::More,
        }
    }

    /// Compares two numbers.
    pub(super) fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::AtMost => left <= right,
            Self::AtLeast => left >= right,
            Self::More => left > right,
            Self::Less => left < right,
        }
    }
}

impl Condition {
    /// Reads one; what is asked about is brought to the left.
    ///
    /// # Errors
    /// What to write instead.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let found = Comparison::ALL.iter().find(|(sign, _)| text.contains(&format!(" {sign} ")));
        let Some((sign, comparison)) = found else {
            return Err(
                "there is no comparison in it; write one with a space on each side, like [STATUS] == 200".into()
            );
        };
        let spaced = format!(" {sign} ");
        let mut parts = text.split(&spaced);
        let (left, right) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let has_more = parts.next().is_some();
        let (left, right) = (Operand::parse(left.trim()), Operand::parse(right.trim()));
        let is_turned = left.is_fixed() && !right.is_fixed();
        let (left, right) = if is_turned { (right, left) } else { (left, right) };
        let comparison = if is_turned { comparison.mirrored() } else { *comparison };
        Ok(Self { text: text.to_owned(), left, comparison, right, has_more })
    }

    /// Judges as Gatus does.
    pub(super) fn holds(&self, answer: Answer) -> bool {
        if !self.comparison.is_equality() {
            let number = |side: &Operand| number(&side.resolve(answer)).unwrap_or(0);
            return self.comparison.holds(number(&self.left), number(&self.right));
        }
        let is_equal = match (&self.left, &self.right) {
            (Operand::Pattern(pattern), other) | (other, Operand::Pattern(pattern)) => {
                glob::matches(pattern, &other.resolve(answer))
            }
            (Operand::Any(texts), other) | (other, Operand::Any(texts)) => texts.contains(&other.resolve(answer)),
            (left, right) => {
                let (left, right) = (left.resolve(answer), right.resolve(answer));
                match (whole(&left), whole(&right)) {
                    (Some(left), Some(right)) => left == right,
                    _ => left == right,
                }
            }
        };
        is_equal == (self.comparison == Comparison::Equal)
    }
}

impl Operand {
    pub(super) fn parse(text: &str) -> Self {
        let upper = text.to_ascii_uppercase();
        match upper.as_str() {
            "[STATUS]" => return Self::Status,
            "[IP]" => return Self::Ip,
            "[RESPONSE_TIME]" => return Self::ResponseTime,
            "[CONNECTED]" => return Self::Connected,
            "[CERTIFICATE_EXPIRATION]" => return Self::CertificateExpiration,
            "[DOMAIN_EXPIRATION]" => return Self::DomainExpiration,
            "[DNS_RCODE]" => return Self::DnsRcode,
            _ => {}
        }
        let inside = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        let path = |name: &str| {
            let is_named = upper.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
            is_named.then(|| text.get(name.len()..).unwrap_or_default().trim_start_matches('.').to_owned())
        };
        if let Some(inner) = inside("len") {
            Self::Length(Box::new(Self::parse(inner.trim())))
        } else if let Some(inner) = inside("has") {
            Self::Has(Box::new(Self::parse(inner.trim())))
        } else if let Some(pattern) = inside("pat") {
            Self::Pattern(pattern.to_owned())
        } else if let Some(texts) = inside("any") {
            Self::Any(texts.split(',').map(|text| text.trim().to_owned()).collect())
        } else if let Some(path) = path("[BODY]") {
            Self::Body(path)
        } else if let Some(path) = path("[CONTEXT]") {
            Self::Context(path)
        } else {
            Self::Literal(text.to_owned())
        }
    }

    /// True of what the answer does not change.
    fn is_fixed(&self) -> bool {
        matches!(self, Self::Literal(_) | Self::Pattern(_) | Self::Any(_))
    }

    fn resolve(&self, answer: Answer) -> String {
        match self {
            Self::Status => answer.status.to_string(),
            Self::Connected => answer.is_there.to_string(),
            Self::ResponseTime | Self::CertificateExpiration | Self::DomainExpiration => "0".to_owned(),
            Self::Ip | Self::DnsRcode => String::new(),
            Self::Body(path) if path.is_empty() => String::new(),
            Self::Has(inner) if matches!(**inner, Self::Body(_) | Self::Context(_)) => "false".to_owned(),
            Self::Has(inner) => (!inner.resolve(answer).is_empty()).to_string(),
            Self::Body(_) | Self::Context(_) | Self::Length(_) => "(INVALID)".to_owned(),
            Self::Literal(text) | Self::Pattern(text) => text.clone(),
            Self::Any(texts) => texts.join(", "),
        }
    }
}

/// A whole number as Go reads it with base 0 (strconv.ParseInt): `0x10`, `0o7`, `010`, `1_000`.
pub(super) fn whole(text: &str) -> Option<i64> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, radix) = match lower.get(..2) {
        Some("0x") => (lower.get(2..)?, 16),
        Some("0b") => (lower.get(2..)?, 2),
        Some("0o") => (lower.get(2..)?, 8),
        Some(two) if two.starts_with('0') => (lower.get(1..)?, 8),
        _ => (lower.as_str(), 10),
    };
    if digits.starts_with(['+', '-']) || digits.is_empty() {
        return None;
    }
    let number = i64::from_str_radix(&digits.replace('_', ""), radix).ok()?;
    Some(if is_negative { -number } else { number })
}

/// A number as orders compare it: milliseconds of a duration, a whole number, a fraction without what follows its point.
pub(super) fn number(text: &str) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "Gatus cuts fractions off, and this says what it does")]
    let cut = |number: f64| number as i64;
    duration_ms(text).map(cut).or_else(|| whole(text)).or_else(|| text.parse::<f64>().ok().map(cut))
}

/// A duration as Go reads it (time.ParseDuration), in milliseconds: `1h30m`, `500ms`, `1.5s`.
pub(super) fn duration_ms(text: &str) -> Option<f64> {
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    if rest == "0" {
        return Some(0.0);
    }
    let mut total = 0.0;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, tail) = rest.split_at(end);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, next) = tail.split_at(end);
        let unit = match unit {
            "ns" => 0.000_001,
            "us" | "µs" | "μs" => 0.001,
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            _ => return None,
        };
        total += digits.parse::<f64>().ok()? * unit;
        rest = next;
    }
    if text.is_empty() { None } else { Some(if text.starts_with('-') { -total } else { total }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_as_gatus_reads_them() {
        let body = |path: &str| Operand::Body(path.to_owned());
        let text = |text: &str| Operand::Literal(text.to_owned());
        for (written, left, comparison, right) in [
            ("[STATUS] == 200", Operand::Status, Comparison::Equal, text("200")),
            ("[status] <= 0xc8", Operand::Status, Comparison::AtMost, text("0xc8")),
            ("500 > [RESPONSE_TIME]", Operand::ResponseTime, Comparison::Less, text("500")),
            ("[body].Data[0].id != 1", body("Data[0].id"), Comparison::NotEqual, text("1")),
            ("[BODY][0] == x", body("[0]"), Comparison::Equal, text("x")),
            ("len([BODY].a) >= 2", Operand::Length(Box::new(body("a"))), Comparison::AtLeast, text("2")),
            ("has([BODY].a) == false", Operand::Has(Box::new(body("a"))), Comparison::Equal, text("false")),
            ("[BODY] == pat(*x*)", body(""), Comparison::Equal, Operand::Pattern("*x*".to_owned())),
            ("any(a, b) == [BODY]", body(""), Comparison::Equal, Operand::Any(vec!["a".to_owned(), "b".to_owned()])),
            ("[STATSU] != 500", text("[STATSU]"), Comparison::NotEqual, text("500")),
            ("[BODYX] == 1", text("[BODYX]"), Comparison::Equal, text("1")),
        ] {
            let found = Condition::parse(written).unwrap();
            assert_eq!((found.left, found.comparison, found.right), (left, comparison, right), "{written}");
        }
        assert!(Condition::parse("[STATUS]==200").unwrap_err().contains("a space on each side"));
        assert!(Condition::parse("[STATUS] == 200 == 201").unwrap().has_more);
    }

    #[test]
    fn gatus_passes_without_an_answer_where_it_does() {
        for (written, passes) in [
            ("[STATUS] < 300", true),
            ("[STATUS] != 500", true),
            ("[STATUS] == 200", false),
            ("[RESPONSE_TIME] < 500", true),
            ("[BODY].errors < 5", true),
            ("has([BODY].errors) == false", true),
            ("[BODY].status == UP", false),
            ("[BODY].status != DOWN", true),
            ("[CONNECTED] == true", false),
            ("[CERTIFICATE_EXPIRATION] > 48h", false),
            ("[STATSU] != 500", true),
            ("[STATUS] == any(200, 0)", true),
            ("[STATUS] == pat(2*)", false),
        ] {
            assert_eq!(Condition::parse(written).unwrap().holds(Answer::default()), passes, "{written}");
        }
    }

    #[test]
    fn numbers_are_those_of_go() {
        for (text, number) in [("10", 10), ("0x10", 16), ("010", 8), ("0b11", 3), ("-0o7", -7), ("1_000", 1000)] {
            assert_eq!(whole(text), Some(number), "{text}");
        }
        for text in ["", "x", "1.5", "0x", "--1", "09"] {
            assert_eq!(whole(text), None, "{text}");
        }
        for (text, value) in [("48h", 172_800_000), ("1h30m", 5_400_000), ("1.5s", 1500), ("0.99", 0), ("7", 7)] {
            assert_eq!(number(text), Some(value), "{text}");
        }
        for text in ["30d", "potato", "5 m", ""] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
