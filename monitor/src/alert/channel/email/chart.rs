//! A picture of the latency before an incident, since mail clients do not show SVG. It has no words in it: they stand
//! beside it in the mail, where they can be read aloud, copied and coloured.

use kit::page::words;

use super::png::{Canvas, Rgba};

/// Size in pixels, twice that at which it is shown: most screens are that fine.
const WIDTH: usize = 1104;
const HEIGHT: usize = 240;
/// Room above the highest value and below the lowest, in pixels.
const HEADROOM: f64 = 16.0;
const FOOT: f64 = 22.0;
/// Half the width of the line, in pixels.
const RADIUS: f64 = 2.2;
/// Middle tones that stand out from white and from black alike (3:1, WCAG 2.2, 1.4.11), since the ground is the mail's.
const LINE: Rgba = [0x3d, 0x82, 0xd0, 255];
const AREA: Rgba = [0x3d, 0x82, 0xd0, 42];
const FAIL: Rgba = [0xd6, 0x45, 0x3f, 255];
const VEIL: Rgba = [0xd6, 0x45, 0x3f, 38];
const GRID: Rgba = [0x80, 0x88, 0x90, 72];
/// So many usual steps without a point are a gap.
const GAP_STEPS: f64 = 3.5;
/// Latencies above a day are drawn as a day.
const LONGEST_MS: f64 = 86_400_000.0;

/// The picture and what it shows in words.
pub(super) struct Chart {
    pub(super) png: Vec<u8>,
    /// For people who do not see it.
    pub(super) said: String,
    /// Milliseconds since the epoch at its left and right edge.
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
}

impl Chart {
    /// Draws points of milliseconds since the epoch and latency in milliseconds, none for a fail; nothing of fewer than
    /// two points.
    pub(super) fn of(points: &[(i64, Option<f64>)]) -> Option<Self> {
        let ((from_ms, _), (to_ms, _)) = (*points.first()?, *points.last()?);
        if points.len() < 2 || from_ms >= to_ms {
            return None;
        }
        let values: Vec<f64> = points.iter().filter_map(|(_, ms)| usable(*ms)).collect();
        let most = values.iter().copied().fold(0.0, f64::max);
        let plot = Plot::new(points, from_ms, to_ms, most);
        Some(Self { png: plot.draw().to_png(), said: said(points.len(), &values), from_ms, to_ms })
    }
}

fn usable(ms: Option<f64>) -> Option<f64> {
    ms.filter(|ms| ms.is_finite() && *ms >= 0.0).map(|ms| ms.min(LONGEST_MS))
}

/// Says what is to be seen.
fn said(asked: usize, values: &[f64]) -> String {
    let fails = asked - values.len();
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let answers = match (sorted.get(sorted.len() / 2), sorted.last()) {
        (Some(middle), Some(most)) => {
            format!("median {}, slowest {}, ", words::latency(*middle), words::latency(*most))
        }
        _ => String::new(),
    };
    format!("{answers}{fails} of {asked} failed")
}

/// Points in pixels.
struct Plot {
    /// From left to right; no height for a fail.
    points: Vec<(f64, Option<f64>)>,
    /// Points further apart than this have a gap between them.
    gap: f64,
}

impl Plot {
    fn new(points: &[(i64, Option<f64>)], from_ms: i64, to_ms: i64, most: f64) -> Self {
        // In floats, for the times of a broken clock may be as far apart as numbers go.
        let (from, span) = (from_ms as f64, to_ms as f64 - from_ms as f64);
        let (across, high) = (WIDTH as f64 - 2.0 * RADIUS, HEIGHT as f64 - HEADROOM - FOOT);
        let x = |at_ms: i64| RADIUS + ((at_ms as f64 - from) / span).clamp(0.0, 1.0) * across;
        let y = |ms: f64| HEADROOM + high * (1.0 - if most > 0.0 { ms / most } else { 0.0 });
        let points: Vec<(f64, Option<f64>)> =
            points.iter().map(|(at_ms, ms)| (x(*at_ms), usable(*ms).map(y))).collect();
        let mut steps: Vec<f64> = pairs(&points).map(|(left, right)| right.0 - left.0).collect();
        steps.sort_by(f64::total_cmp);
        let usual = steps.get(steps.len() / 2).copied().unwrap_or(across);
        Self { points, gap: usual * GAP_STEPS }
    }

    fn draw(&self) -> Canvas {
        let mut canvas = Canvas::new(WIDTH, HEIGHT);
        for part in 0..=3 {
            let y = HEADROOM + (HEIGHT as f64 - HEADROOM - FOOT) * f64::from(part) / 3.0;
            fill(&mut canvas, (0.0, WIDTH as f64), (y - 1.0, y + 1.0), GRID);
        }
        self.area(&mut canvas);
        self.line(&mut canvas);
        self.fails(&mut canvas);
        canvas
    }

    /// Neighbours that a line may join.
    fn joined(&self) -> impl Iterator<Item = ((f64, f64), (f64, f64))> + '_ {
        pairs(&self.points).filter_map(|(left, right)| {
            let (from, to) = ((left.0, left.1?), (right.0, right.1?));
            (to.0 - from.0 <= self.gap).then_some((from, to))
        })
    }

    fn area(&self, canvas: &mut Canvas) {
        for ((x0, y0), (x1, y1)) in self.joined() {
            for x in pixel(x0)..pixel(x1) {
                let y = y0 + (y1 - y0) * ((x as f64 + 0.5 - x0) / (x1 - x0)).clamp(0.0, 1.0);
                fill(canvas, (x as f64, x as f64 + 1.0), (y, HEIGHT as f64 - FOOT), AREA);
            }
        }
    }

    /// The line is laid on at once, as wide as its points come: pieces that overlap would be darker there.
    fn line(&self, canvas: &mut Canvas) {
        let mut cover = vec![0.0_f64; WIDTH * HEIGHT];
        let dots = self.points.iter().filter_map(|(x, y)| Some(((*x, (*y)?), (*x, (*y)?))));
        for (from, to) in self.joined().chain(dots) {
            let reach = RADIUS + 1.0;
            let (top, bottom) = (from.1.min(to.1) - reach, from.1.max(to.1) + reach);
            for y in pixel(top)..=pixel(bottom).min(HEIGHT - 1) {
                for x in pixel(from.0 - reach)..=pixel(to.0 + reach).min(WIDTH - 1) {
                    let share = RADIUS + 0.5 - distance((x as f64 + 0.5, y as f64 + 0.5), from, to);
                    if let Some(cell) = cover.get_mut(y * WIDTH + x) {
                        *cell = cell.max(share.clamp(0.0, 1.0));
                    }
                }
            }
        }
        for (index, share) in cover.iter().enumerate().filter(|(_, share)| **share > 0.0) {
            canvas.blend(index % WIDTH, index / WIDTH, LINE, *share);
        }
    }

    /// Fails are a bar at the foot under a veil up to the top; neighbours are one.
    fn fails(&self, canvas: &mut Canvas) {
        let half = (self.gap / GAP_STEPS / 2.0).clamp(2.0, 14.0);
        for run in self.points.chunk_by(|left, right| left.1.is_none() == right.1.is_none()) {
            let (Some((first, None)), Some((last, _))) = (run.first(), run.last()) else { continue };
            let across = (first - half, last + half);
            fill(canvas, across, (HEADROOM, HEIGHT as f64 - FOOT), VEIL);
            fill(canvas, across, (HEIGHT as f64 - FOOT + 6.0, HEIGHT as f64 - 2.0), FAIL);
        }
    }
}

fn pairs<T>(items: &[T]) -> impl Iterator<Item = (&T, &T)> {
    items.iter().zip(items.iter().skip(1))
}

/// Fills a box whose edges may lie within pixels.
fn fill(canvas: &mut Canvas, (x0, x1): (f64, f64), (y0, y1): (f64, f64), colour: Rgba) {
    let share = |from: f64, to: f64, at: usize| (to.min(at as f64 + 1.0) - from.max(at as f64)).clamp(0.0, 1.0);
    for y in pixel(y0)..=pixel(y1).min(canvas.height() - 1) {
        for x in pixel(x0)..=pixel(x1).min(canvas.width() - 1) {
            canvas.blend(x, y, colour, share(x0, x1, x) * share(y0, y1, y));
        }
    }
}

/// How far a point is from the piece of a line between two others.
fn distance((x, y): (f64, f64), (x0, y0): (f64, f64), (x1, y1): (f64, f64)) -> f64 {
    let (dx, dy) = (x1 - x0, y1 - y0);
    let length = dx * dx + dy * dy;
    let along = if length > 0.0 { (((x - x0) * dx + (y - y0) * dy) / length).clamp(0.0, 1.0) } else { 0.0 };
    (x - x0 - along * dx).hypot(y - y0 - along * dy)
}

/// The pixel in which a length ends; nothing is left of the first.
fn pixel(length: f64) -> usize {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the size of a picture")]
    let pixel = length.clamp(0.0, (WIDTH + HEIGHT) as f64) as usize;
    pixel
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_drawn_is_said_too() {
        let chart = Chart::of(&[(0, Some(10.0)), (1000, Some(1240.0)), (2000, None), (3000, Some(12.0))]).unwrap();
        assert_eq!(chart.said, "median 12 ms, slowest 1.24 s, 1 of 4 failed");
        assert!(chart.png.len() < 20_000, "{} bytes", chart.png.len());
    }

    #[test]
    fn numbers_that_are_none_and_clocks_that_are_broken_draw_something_or_nothing() {
        assert!(Chart::of(&[]).is_none());
        assert!(Chart::of(&[(5, Some(1.0))]).is_none());
        assert!(Chart::of(&[(5, Some(1.0)), (5, Some(1.0))]).is_none());
        let wild = [(i64::MIN, Some(f64::NAN)), (0, Some(f64::INFINITY)), (7, Some(-1.0)), (i64::MAX, Some(1e300))];
        assert_eq!(Chart::of(&wild).unwrap().said, "median 1 d, slowest 1 d, 3 of 4 failed");
        assert_eq!(Chart::of(&[(0, None), (1, None)]).unwrap().said, "2 of 2 failed");
    }
}
