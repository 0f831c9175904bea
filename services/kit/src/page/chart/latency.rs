//! Latency over time: the median as a line, up to the 95 % quantile as a band, fails at the foot, gaps as gaps.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::html::{Html, escape};
use super::super::words;
use super::series::{Sample, Series};
use super::{percent, scale};

/// Height of the plot and of the whole chart, in pixels; the difference holds the times.
const PLOT: f64 = 150.0;
const WHOLE: u32 = 172;
/// Units across: the plot is stretched to the page's width.
const ACROSS: f64 = 1000.0;
/// Room above the highest value, so that a label does not lie on it.
const HEADROOM: f64 = 14.0;

/// A latency chart.
#[derive(Debug, Clone, Copy)]
pub struct Latency<'a> {
    /// What is shown, for people.
    pub name: &'a str,
    /// The samples and their range.
    pub series: Series<'a>,
    /// The objective for the 95 % quantile, if there is one.
    pub objective_ms: Option<f64>,
    /// The zone of the times below.
    pub zone: &'a TimeZone,
}

impl Latency<'_> {
    /// Draws it.
    pub fn to_svg(&self) -> Html {
        let (end, ticks) = scale::ticks(self.series.largest());
        let y = |ms: f64| PLOT - (ms / end).clamp(0.0, 1.0) * (PLOT - HEADROOM);
        let mut svg = format!(
            r#"<svg class="chart" width="100%" height="{WHOLE}" role="img"><title>Latency of {}</title><desc>{}</desc>"#,
            escape(self.name),
            escape(&self.series.in_words())
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

    fn x(&self, at_ms: i64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of years stay far below 2^53")]
        let share = (at_ms - self.series.from_ms) as f64 / (self.series.to_ms - self.series.from_ms).max(1) as f64;
        share.clamp(0.0, 1.0) * ACROSS
    }

    /// A sample is drawn in the middle of its time.
    fn middle(&self, sample: &Sample) -> f64 {
        self.x(sample.at_ms + self.series.span_ms / 2)
    }

    fn gaps(&self) -> String {
        let gap = |(from, to): (i64, i64)| {
            let (x, width) = (self.x(from), self.x(to) - self.x(from));
            format!(
                r#"<rect class="gap" x="{x:.1}" width="{width:.1}" height="{PLOT}"><title>{}: nobody looked</title></rect>"#,
                self.range(from, to)
            )
        };
        self.series.missing().into_iter().map(gap).collect()
    }

    fn curves(&self, y: impl Fn(f64) -> f64) -> String {
        let (mut band, mut line) = (String::new(), String::new());
        for stretch in self.series.stretches() {
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

    /// Fails and unknowns, neighbours joined, as bars that stand on the axis, as high as their share.
    fn marks(&self) -> String {
        let mut marks = String::new();
        for (class, count) in
            [("unknown", (|sample| sample.unknown) as fn(&Sample) -> u64), ("fail", |sample| sample.fails)]
        {
            let mut open: Option<(i64, i64, u64, u64)> = None;
            for sample in self.series.samples.iter().filter(|sample| count(sample) > 0) {
                let end = sample.at_ms + self.series.span_ms;
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
        #[expect(clippy::cast_precision_loss, reason = "counts of probes stay far below 2^53")]
        let high = hits as f64 / asked.max(1) as f64 * PLOT;
        format!(
            r#"<g class="{class}"><title>{}: {hits} of {asked} {said}</title><rect class="veil" x="{x:.1}" y="{:.1}" width="{width:.1}" height="{high:.1}"/><rect x="{x:.1}" y="{:.1}" width="{width:.1}" height="7"/></g>"#,
            self.range(from, to),
            PLOT - high,
            PLOT - 7.0
        )
    }

    fn axis(&self) -> String {
        let whole = self.series.to_ms - self.series.from_ms;
        let mut axis = format!(r#"<line class="axis" x2="100%" y1="{PLOT}" y2="{PLOT}"/>"#);
        for (at_ms, label) in scale::times(self.series.from_ms, self.series.to_ms, self.zone) {
            let part = at_ms - self.series.from_ms;
            // A label at the edge would be cut off, and the right end says the zone.
            if part * 100 < whole * 4 || part * 100 > whole * 80 {
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
        let _infallible = write!(
            axis,
            r#"<text class="tick" x="100%" y="{}" text-anchor="end">{}</text>"#,
            PLOT + 17.0,
            scale::offset(self.series.to_ms, self.zone)
        );
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

#[cfg(test)]
mod tests {
    use super::*;

    fn svg(samples: &[Sample]) -> String {
        let series = Series { samples, from_ms: 0, to_ms: 60_000, span_ms: 1000, gap_ms: 2500 };
        let name = "health <b>";
        Latency { name, series, objective_ms: Some(200.0), zone: &TimeZone::UTC }.to_svg().to_string()
    }

    fn pass(at_ms: i64, ms: f64) -> Sample {
        Sample { at_ms, p50_ms: Some(ms), p95_ms: Some(2.0 * ms), asked: 1, ..Sample::default() }
    }

    /// How often a line is begun anew.
    fn starts(svg: &str) -> usize {
        let line = svg.split(r#"class="line" d=""#).nth(1).unwrap().split('"').next().unwrap();
        line.matches('M').count()
    }

    #[test]
    fn a_gap_is_not_bridged_and_an_empty_series_has_no_line() {
        assert_eq!(starts(&svg(&[pass(0, 5.0), pass(1000, 6.0), pass(30_000, 5.0)])), 2);
        assert!(svg(&[pass(0, 5.0), pass(30_000, 5.0)]).contains(": nobody looked</title>"));
        assert_eq!(starts(&svg(&[])), 0);
        assert!(svg(&[]).contains("<desc>Nobody looked in this time.</desc>"));
    }

    #[test]
    fn one_sample_is_a_dot_and_huge_or_broken_values_still_make_a_chart() {
        assert!(svg(&[pass(30_000, 5.0)]).contains("h0\""));
        for ms in [0.0, 1e-9, 1e18, f64::MAX, f64::INFINITY, f64::NAN] {
            let svg = svg(&[pass(0, ms), pass(1000, 5.0)]);
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{ms}: {svg}");
        }
        assert!(svg(&[pass(0, 5.0)]).contains("health &lt;b&gt;"));
    }

    #[test]
    fn neighbouring_fails_are_one_mark_that_says_how_many() {
        let fail = |at_ms| Sample { at_ms, asked: 2, fails: 1, ..Sample::default() };
        let svg = svg(&[fail(1000), fail(2000), fail(30_000)]);
        assert_eq!(svg.matches(r#"<g class="fail">"#).count(), 2);
        assert!(svg.contains("1 Jan 00:00 – 00:00 +00:00: 2 of 4 failed"), "{svg}");
    }
}
