//! Alertmanager's name for a set of labels, so that ours and theirs can be compared. Pure.

/// Returns FNV-1a (64 bit) over the sorted names and values, each followed by 0xFF, as 16 hexadecimal digits
/// (github.com/prometheus/common, model/fingerprinting.go; reproduced against Alertmanager 0.25).
pub(super) fn fingerprint<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut labels: Vec<(&str, &str)> = labels.collect();
    labels.sort_unstable();
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for text in labels.iter().flat_map(|(name, value)| [name, value]) {
        for byte in text.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_is_alertmanagers() {
        let labels = [("severity", "warning"), ("alertname", "Demo"), ("instance", "a")];
        assert_eq!(fingerprint(labels.into_iter()), "c4f6e6fff971f854");
    }
}
