//! Gzip files that inflate to many zeros, made without ever holding or compressing those zeros.
//!
//! One block of zeros is compressed once, with a full flush so that it ends on a whole byte and refers to nothing
//! before it. Such a block may be repeated (RFC 1951 section 3.2.3), and checksums of the parts combine.

use flate2::{Compress, Compression, Crc, FlushCompress};

/// Zeros in one repeated block.
const BLOCK_BYTES: u64 = 1 << 20;
/// Magic, deflate, no flags, no time, no extra flags, unknown system (RFC 1952 section 2.3).
const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// An empty final block (RFC 1951 section 3.2.6).
const LAST_BLOCK: [u8; 2] = [3, 0];

/// One gzip file of zeros.
pub(crate) struct Bomb {
    block: Vec<u8>,
    blocks: u64,
    /// The zeros that fill no block, and everything that ends the file.
    tail: Vec<u8>,
}

impl Bomb {
    /// Makes the file that inflates to `bytes` of zeros.
    pub(crate) fn new(bytes: u64) -> Self {
        let (blocks, rest) = (bytes / BLOCK_BYTES, bytes % BLOCK_BYTES);
        let mut crc = checksum(rest);
        let of_block = checksum(BLOCK_BYTES);
        for _ in 0..blocks {
            crc.combine(&of_block);
        }
        let mut tail = deflated(rest);
        tail.extend(LAST_BLOCK);
        tail.extend(crc.sum().to_le_bytes());
        // ISIZE is the size modulo 2^32: the low four bytes.
        tail.extend(bytes.to_le_bytes().iter().take(4));
        Self { block: deflated(BLOCK_BYTES), blocks, tail }
    }

    /// Returns the size of the file in bytes.
    pub(crate) fn len(&self) -> u64 {
        HEAD.len() as u64 + self.blocks * self.block.len() as u64 + self.tail.len() as u64
    }

    /// Returns the parts of the file in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let blocks = (0..self.blocks).map(|_| self.block.as_slice());
        std::iter::once(HEAD.as_slice()).chain(blocks).chain(std::iter::once(self.tail.as_slice()))
    }
}

fn checksum(count: u64) -> Crc {
    let mut crc = Crc::new();
    crc.update(&zeros(count));
    crc
}

fn deflated(count: u64) -> Vec<u8> {
    // The worst case is far below; a mebibyte of zeros takes about a kibibyte.
    let mut block = Vec::with_capacity(16 * 1024);
    let mut compress = Compress::new(Compression::best(), false);
    compress.compress_vec(&zeros(count), &mut block, FlushCompress::Full).expect("zeros can be compressed");
    block
}

fn zeros(count: u64) -> Vec<u8> {
    vec![0; usize::try_from(count).expect("at most one block")]
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_bomb_is_small_and_inflates_to_exactly_its_size() {
        for bytes in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, 5 * BLOCK_BYTES + 7] {
            let file: Vec<u8> = Bomb::new(bytes).pieces().flatten().copied().collect();
            assert_eq!(file.len() as u64, Bomb::new(bytes).len());
            assert!(file.len() as u64 <= 64 + bytes / 500, "{bytes} became {}", file.len());
            let mut inflated = Vec::new();
            flate2::read::GzDecoder::new(file.as_slice()).read_to_end(&mut inflated).unwrap();
            assert_eq!(inflated, zeros(bytes));
        }
    }
}
