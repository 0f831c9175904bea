//! Durations, sizes and ratios as people write them: `1h30m`, `16MiB`, `99.9%`.

use std::time::Duration;

/// Parses `500ms`, `10s`, `1h30m`, `14d`, `2w`. A bare number is refused: its unit would be a guess.
///
/// # Errors
/// One sentence that says what to write instead.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration; write a number with a unit, like 500ms, 10s, 5m, 1h30m or 14d");
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total_ms: f64 = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let unit_end = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, next) = tail.split_at(unit_end);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        total_ms += number * unit_ms(unit).ok_or_else(wrong)?;
        rest = next.trim_start();
    }
    Duration::try_from_secs_f64(total_ms / 1000.0).map_err(|_| wrong())
}

fn unit_ms(unit: &str) -> Option<f64> {
    Some(match unit {
        "ms" => 1.0,
        "s" => 1_000.0,
        "m" | "min" => 60_000.0,
        "h" => 3_600_000.0,
        "d" => 86_400_000.0,
        "w" => 604_800_000.0,
        _ => return None,
    })
}

/// Writes a duration the way [`parse_duration`] reads it, in at most two units.
pub fn show_duration(length: Duration) -> String {
    let ms = length.as_millis();
    if ms == 0 {
        return "0s".to_owned();
    }
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let secs = length.as_secs();
    let units = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    let mut parts = Vec::new();
    let mut rest = secs;
    for (size, name) in units {
        if rest >= size && parts.len() < 2 {
            parts.push(format!("{}{name}", rest / size));
        }
        rest %= size;
    }
    parts.concat()
}

/// Parses `512`, `64KiB`, `10MB`, `1.5GiB` into bytes. `k` and `KB` are 1000, `KiB` is 1024 (IEC 80000-13).
///
/// # Errors
/// One sentence that says what to write instead.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size; write bytes or a number with a unit, like 512, 64KiB or 10MB");
    let text = text.trim();
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let factor: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1024.0 * 1024.0,
        "gib" => 1024.0 * 1024.0 * 1024.0,
        "tib" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return Err(wrong()),
    };
    let bytes = number.parse::<f64>().map_err(|_| wrong())? * factor;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to lie below 2^53 and not below 0"
    )]
    if (0.0..9.0e15).contains(&bytes) { Ok(bytes as u64) } else { Err(wrong()) }
}

/// Parses `99.9%` or `0.999` into a ratio from 0 to 1.
///
/// # Errors
/// One sentence that says what to write instead.
pub fn parse_ratio(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is not a share; write a percentage from 0% to 100%, like 99.9%");
    let text = text.trim();
    let (number, scale) = text.strip_suffix('%').map_or((text, 1.0), |percent| (percent.trim(), 100.0));
    let ratio = number.parse::<f64>().map_err(|_| wrong())? / scale;
    if (0.0..=1.0).contains(&ratio) { Ok(ratio) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_add_up() {
        for (text, ms) in
            [("500ms", 500), ("10s", 10_000), ("1h30m", 5_400_000), ("1.5s", 1_500), ("14d", 1_209_600_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "10", "s", "10 parsecs", "-1s", "1s2"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_shown_as_they_are_written() {
        for (ms, text) in [(500, "500ms"), (10_000, "10s"), (5_400_000, "1h30m"), (90_061_000, "1d1h"), (0, "0s")] {
            assert_eq!(show_duration(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn sizes_know_decimal_and_binary_units() {
        for (text, bytes) in [("512", 512), ("64KiB", 65_536), ("10MB", 10_000_000), ("1.5 GiB", 1_610_612_736)] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in ["", "MB", "-1", "10XB", "1e3"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn shares_are_percentages_or_ratios() {
        assert_eq!(parse_ratio("50%"), Ok(0.5));
        assert_eq!(parse_ratio("0.25"), Ok(0.25));
        assert!(parse_ratio("101%").is_err());
        assert!(parse_ratio("99.9").is_err());
    }
}
