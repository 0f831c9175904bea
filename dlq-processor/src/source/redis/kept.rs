//! All fields of a hash, or of a stream's entry, as one run of bytes: of each field the lengths of name and value, 4 bytes each
//! with the highest first, and then both.

/// Names and values, as Redis has them; of a stream's entry a name may come twice.
pub(crate) type Hash = Vec<(Vec<u8>, Vec<u8>)>;

/// Returns the value of the first field of that name.
pub(crate) fn field<'h>(hash: &'h Hash, name: &str) -> Option<&'h [u8]> {
    hash.iter().find(|(known, _)| known == name.as_bytes()).map(|(_, value)| value.as_slice())
}

/// Joins the fields.
pub(crate) fn join(hash: &Hash) -> Vec<u8> {
    let length = |part: &[u8]| u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes();
    let mut joined = Vec::with_capacity(hash.iter().map(|(name, value)| 8 + name.len() + value.len()).sum());
    for (name, value) in hash {
        joined.extend(length(name));
        joined.extend(length(value));
        joined.extend(name);
        joined.extend(value);
    }
    joined
}

/// Parts them again; none if that is not how they were joined.
pub(crate) fn part(mut joined: &[u8]) -> Option<Hash> {
    let mut hash = Hash::new();
    while !joined.is_empty() {
        let (name, rest) = joined.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_first_chunk::<4>()?;
        let [name, value] = [name, value].map(|length| u32::from_be_bytes(*length) as usize);
        let (name, rest) = rest.split_at_checked(name)?;
        let (value, rest) = rest.split_at_checked(value)?;
        hash.push((name.to_vec(), value.to_vec()));
        joined = rest;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_joined_is_parted_again(hash: Hash) {
            prop_assert_eq!(part(&join(&hash)), Some(hash));
        }

        #[test]
        fn what_was_not_joined_is_refused_and_nothing_worse(bytes: Vec<u8>) {
            if let Some(hash) = part(&bytes) {
                prop_assert_eq!(join(&hash), bytes);
            }
        }
    }
}
