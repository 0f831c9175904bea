//! Codes of an authenticator app (TOTP, RFC 6238): six digits, 30 seconds, HMAC-SHA-1, which is what all apps know. Pure.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};

/// How long a code is shown, in seconds (RFC 6238 section 5.2).
pub(super) const STEP_SECS: i64 = 30;
/// Digits of a code, and one more than the largest (RFC 4226 section 5.3).
pub(super) const DIGITS: usize = 6;
const MODULUS: u32 = 1_000_000;
/// Codes of one step before and after are good too: clocks differ, and people type (RFC 6238 section 6).
const SKEW: i64 = 1;

/// Returns the step whose code this is: near `now_secs`, in seconds since the epoch, and after the step that was used last.
pub(super) fn step_of(secret: &[u8], code: &str, now_secs: i64, used_step: i64) -> Option<i64> {
    let now = now_secs.div_euclid(STEP_SECS);
    let is_of = |step: &i64| verify_slices_are_equal(code_of(secret, *step).as_bytes(), code.as_bytes()).is_ok();
    (now - SKEW..=now + SKEW).filter(|step| *step > used_step).find(is_of)
}

/// Returns the code of a step (RFC 4226 section 5.3).
fn code_of(secret: &[u8], step: i64) -> String {
    let tag = sign(&Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret), &step.to_be_bytes());
    let offset = tag.as_ref().last().map_or(0, |last| usize::from(last & 0xf));
    let piece =
        tag.as_ref().get(offset..).and_then(<[u8]>::first_chunk).expect("a tag has 20 bytes, 4 more than 15 and one");
    let number = (u32::from_be_bytes(*piece) & 0x7fff_ffff) % MODULUS;
    format!("{number:0DIGITS$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6238 appendix B.
    const SECRET: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_the_standard() {
        // RFC 4226 appendix D.
        let counted =
            ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
        for (step, code) in (0..).zip(counted) {
            assert_eq!(code_of(SECRET, step), code, "{step}");
        }
        // RFC 6238 appendix B, SHA-1: the last six of its eight digits.
        for (secs, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(step_of(SECRET, code, secs, -1), Some(secs / 30), "{secs}");
        }
    }

    #[test]
    fn a_code_is_good_one_step_early_and_late_and_only_once() {
        let found =
            |now_step: i64, used_step| step_of(SECRET, &code_of(SECRET, 100), now_step * STEP_SECS + 29, used_step);
        assert_eq!([98, 99, 100, 101, 102].map(|now| found(now, 0)), [None, Some(100), Some(100), Some(100), None]);
        assert_eq!([99, 100, 101].map(|used| found(100, used)), [Some(100), None, None]);
        for wrong in ["", "12345", "0000000", "abcdef"] {
            assert_eq!(step_of(SECRET, wrong, 3000, 0), None, "{wrong}");
        }
    }
}
