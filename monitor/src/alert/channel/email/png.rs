//! A picture in memory, and its PNG file (W3C, Portable Network Graphics, third edition). Small on purpose: a chart of
//! lines and boxes needs no library, and deflate is there already.

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

/// One colour with its opacity, each from 0 to 255.
pub(super) type Rgba = [u8; 4];

/// A picture; it begins transparent.
pub(super) struct Canvas {
    width: usize,
    pixels: Vec<Rgba>,
}

impl Canvas {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self { width, pixels: vec![[0; 4]; width * height] }
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn height(&self) -> usize {
        self.pixels.len() / self.width.max(1)
    }

    /// Lays `colour` over a pixel, if there is one, covering `share` (0 to 1) of it (Porter and Duff, "over").
    pub(super) fn blend(&mut self, x: usize, y: usize, [r, g, b, a]: Rgba, share: f64) {
        if x >= self.width {
            return;
        }
        let Some(pixel) = self.pixels.get_mut(y * self.width + x) else { return };
        let [r0, g0, b0, a0] = *pixel;
        let over = f64::from(a) / 255.0 * share.clamp(0.0, 1.0);
        let under = f64::from(a0) / 255.0 * (1.0 - over);
        let whole = over + under;
        if whole <= 0.0 {
            return;
        }
        let mix = |new: u8, old: u8| byte((f64::from(new) * over + f64::from(old) * under) / whole);
        *pixel = [mix(r, r0), mix(g, g0), mix(b, b0), byte(whole * 255.0)];
    }

    /// Writes the PNG file: eight bits each of red, green, blue and opacity.
    pub(super) fn to_png(&self) -> Vec<u8> {
        let mut png = vec![0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n'];
        let size = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX).to_be_bytes();
        let head = [&size(self.width)[..], &size(self.height()), &[8, 6, 0, 0, 0]].concat();
        chunk(&mut png, *b"IHDR", &head);
        chunk(&mut png, *b"IDAT", &self.deflated());
        chunk(&mut png, *b"IEND", &[]);
        png
    }

    /// Each row with the filter "none" before it: neighbouring rows of a chart are equal, which deflate sees by itself.
    fn deflated(&self) -> Vec<u8> {
        let mut rows = Vec::with_capacity(self.pixels.len() * 4 + self.height());
        for row in self.pixels.chunks(self.width.max(1)) {
            rows.push(0);
            rows.extend(row.iter().flatten());
        }
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&rows).and_then(|()| encoder.finish()).expect("writing into memory does not fail")
    }
}

/// Section 5.3: length, type, content, CRC of the last two.
fn chunk(png: &mut Vec<u8>, kind: [u8; 4], content: &[u8]) {
    png.extend(u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
    png.extend(kind);
    png.extend(content);
    let mut crc = Crc::new();
    crc.update(&kind);
    crc.update(content);
    png.extend(crc.sum().to_be_bytes());
}

fn byte(value: f64) -> u8 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what a byte holds")]
    let byte = value.round().clamp(0.0, 255.0) as u8;
    byte
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_file_has_the_chunks_of_the_standard_and_its_pixels() {
        let mut canvas = Canvas::new(2, 1);
        canvas.blend(1, 0, [255, 0, 0, 255], 1.0);
        canvas.blend(7, 7, [255, 0, 0, 255], 1.0);
        let png = canvas.to_png();
        assert_eq!(&png[..16], b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR");
        // The last chunk is the same in every file.
        assert_eq!(&png[png.len() - 12..], b"\0\0\0\0IEND\xae\x42\x60\x82");
        let start = 8 + 25 + 8;
        let mut rows = Vec::new();
        flate2::read::ZlibDecoder::new(&png[start..png.len() - 16]).read_to_end(&mut rows).unwrap();
        assert_eq!(rows, [0, 0, 0, 0, 0, 255, 0, 0, 255]);
    }

    #[test]
    fn half_over_full_is_half_of_each() {
        let mut canvas = Canvas::new(1, 1);
        canvas.blend(0, 0, [0, 0, 0, 255], 1.0);
        canvas.blend(0, 0, [255, 255, 255, 255], 0.5);
        assert_eq!(canvas.pixels, [[128, 128, 128, 255]]);
    }
}
