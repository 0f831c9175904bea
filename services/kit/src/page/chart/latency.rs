//! Latency over time: the median as a line, up to the 95 % quantile as a band, fails at the foot, gaps as gaps.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::html::{Html, escape};
use super::super::words;
use super::{percent, scale};

/// Height of the plot and of the whole chart, in pixels; the difference holds the times.
const PLOT: f64 = 150.0;
const WHOLE: u32 = 172;
/// Units across: the plot is stretched to the page's width.
const ACROSS: f64 = 1000.0;
/// Room above the highest value, so that a label does not lie on it.
const HEADROOM: f64 = 14.0;

/// What some time came to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Sample {
    /// Begin of the time, milliseconds since the epoch.
    pub at_ms: i64,
    /// Median of the passes' latencies, none without a pass.
    pub p50_ms: Option<f64>,
    /// 95 % of the passes took at most this.
    pub p95_ms: Option<f64>,
    /// Everything that was asked.
    pub asked: u64,
    /// Fails.
    pub fails: u64,
    /// Could not be asked.
    pub unknown: u64,
}

/// A latency chart.
#[derive(Debug, Clone, Copy)]
pub struct Latency<'a> {
    /// What is shown, for people.
    pub name: &'a str,
    /// The samples, oldest first.
    pub samples: &'a [Sample],
    /// The range.
    pub from_ms: i64,
    /// Its end.
    pub to_ms: i64,
    /// Length of one sample.
    pub span_ms: i64,
    /// Two samples further apart than this have a gap between them, in which nobody looked.
    pub gap_ms: i64,
    /// The objective for the 95 % quantile, if there is one.
    pub objective_ms: Option<f64>,
    /// The zone of the times below.
    pub zone: &'a TimeZone,
}

impl Latency<'_> {
    /// Draws it.
    pub fn to_svg(&self) -> Html {
        let (end, ticks) = scale::ticks(self.largest());
        let y = |ms: f64| PLOT - ms / end * (PLOT - HEADROOM);
        let mut svg = format!(
            r#"<svg class="chart" width="100%" height="{WHOLE}" role="img"><title>Latency of {}</title><desc>{}</desc>"#,
            escape(self.name),
            escape(&self.in_words())
        );
        for tick in &ticks {
            let _infallible = write!(svg, r#"<line class="grid" x2="100%" y1="{0:.1}" y2="{0:.1}"/>"#, y(*tick));
        }
        let _infallible = write!(
            svg,
            r#"<svg width="100%" height="{PLOT}" viewBox="0 0 {ACROSS} {PLOT}" preserveAspectRatio="none">{}{}{}</svg>"#,
            self.gaps(),
            self.curves(y),
            self.marks()
        );
        if let Some(objective) = self.objective_ms.filter(|objective| *objective <= end) {
            let at = y(objective);
            let _infallible = write!(
                svg,
                r#"<line class="objective" x2="100%" y1="{at:.1}" y2="{at:.1}"/><text class="tick objective-text" x="100%" text-anchor="end" y="{:.1}">objective {}</text>"#,
                at - 4.0,
                words::latency(objective)
            );
        }
        for tick in &ticks {
            let (at, text) = (y(*tick) - 3.0, scale::label(*tick));
            let _infallible = write!(svg, r#"<text class="tick" y="{at:.1}">{text}</text>"#);
        }
        svg.push_str(&self.axis());
        svg.push_str("</svg>");
        Html::of_escaped(svg)
    }

    /// Says what is to be seen, in one sentence.
    pub fn in_words(&self) -> String {
        let asked: u64 = self.samples.iter().map(|sample| sample.asked).sum();
        let fails: u64 = self.samples.iter().map(|sample| sample.fails).sum();
        let unknown: u64 = self.samples.iter().map(|sample| sample.unknown).sum();
        if asked == 0 {
            return "Nobody looked in this time.".to_owned();
        }
        let mut text = format!("Asked {asked} times");
        let _infallible = match fails {
            0 => write!(text, ", no fail"),
            _ => write!(text, ", {fails} failed"),
        };
        if unknown > 0 {
            let _infallible = write!(text, ", {unknown} could not be asked");
        }
        let missing: i64 = self.missing().iter().map(|(from, to)| to - from).sum();
        if missing > 0 {
            let length = std::time::Duration::from_millis(missing.unsigned_abs());
            let _infallible = write!(text, "; nobody looked for {}", words::length(length));
        }
        text.push('.');
        text
    }

    fn largest(&self) -> f64 {
        let values = self.samples.iter().flat_map(|sample| [sample.p50_ms, sample.p95_ms]).flatten();
        values.filter(|ms| ms.is_finite()).fold(0.0, f64::max)
    }

    fn x(&self, at_ms: i64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of years stay far below 2^53")]
        let share = (at_ms - self.from_ms) as f64 / (self.to_ms - self.from_ms).max(1) as f64;
        share.clamp(0.0, 1.0) * ACROSS
    }

    /// A sample is drawn in the middle of its time.
    fn middle(&self, sample: &Sample) -> f64 {
        self.x(sample.at_ms + self.span_ms / 2)
    }

    /// Times in which nobody looked, longer than the rhythm explains.
    fn missing(&self) -> Vec<(i64, i64)> {
        let mut found = Vec::new();
        let mut seen_to = self.from_ms;
        for sample in self.samples.iter().filter(|sample| sample.asked > 0) {
            if sample.at_ms - seen_to > self.gap_ms {
                found.push((seen_to, sample.at_ms));
            }
            seen_to = seen_to.max(sample.at_ms + self.span_ms);
        }
        if self.to_ms - seen_to > self.gap_ms {
            found.push((seen_to, self.to_ms));
        }
        found
    }

    fn gaps(&self) -> String {
        let gap = |(from, to): (i64, i64)| {
            let (x, width) = (self.x(from), self.x(to) - self.x(from));
            format!(
                r#"<rect class="gap" x="{x:.1}" width="{width:.1}" height="{PLOT}"><title>{}: nobody looked</title></rect>"#,
                self.range(from, to)
            )
        };
        self.missing().into_iter().map(gap).collect()
    }

    /// Runs of samples with a latency, broken wherever there is none or a gap lies between.
    fn stretches(&self) -> Vec<Vec<&Sample>> {
        let mut found: Vec<Vec<&Sample>> = Vec::new();
        let mut is_broken = true;
        let mut last_ms = i64::MIN;
        for sample in self.samples {
            let has_latency = sample.p50_ms.is_some_and(f64::is_finite);
            if has_latency {
                is_broken |= sample.at_ms.saturating_sub(last_ms) > self.gap_ms;
                match found.last_mut() {
                    Some(stretch) if !is_broken => stretch.push(sample),
                    _ => found.push(vec![sample]),
                }
                last_ms = sample.at_ms;
            }
            is_broken = !has_latency;
        }
        found
    }

    fn curves(&self, y: impl Fn(f64) -> f64) -> String {
        let (mut band, mut line) = (String::new(), String::new());
        for stretch in self.stretches() {
            let low = |sample: &Sample| y(sample.p50_ms.unwrap_or(0.0));
            let high = |sample: &Sample| low(sample).min(y(sample.p95_ms.unwrap_or(0.0)));
            for (index, sample) in stretch.iter().enumerate() {
                let start = if index == 0 { 'M' } else { 'L' };
                let _infallible = write!(line, "{start}{:.1} {:.1}", self.middle(sample), low(sample));
                let _infallible = write!(band, "{start}{:.1} {:.1}", self.middle(sample), high(sample));
            }
            // A line of no length is drawn as a dot by its round ends.
            line.push_str("h0");
            for sample in stretch.iter().rev() {
                let _infallible = write!(band, "L{:.1} {:.1}", self.middle(sample), low(sample));
            }
            band.push('Z');
        }
        format!(r#"<path class="band" d="{band}"/><path class="line" d="{line}"/>"#)
    }

    /// Fails and unknowns, neighbours joined, as bars that stand on the axis.
    fn marks(&self) -> String {
        let mut marks = String::new();
        for (class, count) in
            [("unknown", (|sample| sample.unknown) as fn(&Sample) -> u64), ("fail", |sample| sample.fails)]
        {
            let mut open: Option<(i64, i64, u64, u64)> = None;
            for sample in self.samples.iter().filter(|sample| count(sample) > 0) {
                let end = sample.at_ms + self.span_ms;
                match &mut open {
                    Some((_, to, hits, asked)) if sample.at_ms <= *to => {
                        (*to, *hits, *asked) = (end, *hits + count(sample), *asked + sample.asked);
                    }
                    _ => {
                        let before = open.replace((sample.at_ms, end, count(sample), sample.asked));
                        marks.extend(before.map(|mark| self.mark(class, mark)));
                    }
                }
            }
            marks.extend(open.map(|mark| self.mark(class, mark)));
        }
        marks
    }

    fn mark(&self, class: &str, (from, to, hits, asked): (i64, i64, u64, u64)) -> String {
        let said = if class == "fail" { "failed" } else { "could not be asked" };
        let (x, width) = (self.x(from), (self.x(to) - self.x(from)).max(3.0));
        format!(
            r#"<g class="{class}"><title>{}: {hits} of {asked} {said}</title><rect class="veil" x="{x:.1}" width="{width:.1}" height="{PLOT}"/><rect x="{x:.1}" y="{:.1}" width="{width:.1}" height="7"/></g>"#,
            self.range(from, to),
            PLOT - 7.0
        )
    }

    fn axis(&self) -> String {
        let whole = self.to_ms - self.from_ms;
        let mut axis = format!(r#"<line class="axis" x2="100%" y1="{PLOT}" y2="{PLOT}"/>"#);
        for (at_ms, label) in scale::times(self.from_ms, self.to_ms, self.zone) {
            let part = at_ms - self.from_ms;
            // A label at the very edge would be cut off.
            if part * 100 < whole * 4 || part * 100 > whole * 96 {
                continue;
            }
            let x = percent(part, whole);
            let _infallible = write!(
                axis,
                r#"<line class="axis" x1="{x}" x2="{x}" y1="{PLOT}" y2="{}"/><text class="tick" x="{x}" y="{}" text-anchor="middle">{}</text>"#,
                PLOT + 4.0,
                PLOT + 17.0,
                escape(&label)
            );
        }
        axis
    }

    fn range(&self, from_ms: i64, to_ms: i64) -> String {
        let show = |ms, format| {
            let at = Timestamp::from_millisecond(ms).unwrap_or_default();
            at.to_zoned(self.zone.clone()).strftime(format).to_string()
        };
        format!("{} – {}", show(from_ms, "%-d %b %H:%M"), show(to_ms, "%H:%M %:z"))
    }
}
