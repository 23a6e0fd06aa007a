//! Charts with two axes as inline SVG.
//!
//! Owns where things lie in a chart: margins, grid, labels, curves. Knows nothing of records. Text is
//! placed so that marks never touch each other; colours come from the page's style.

use std::fmt::Write as _;

use super::escape::escape;
use super::scale::{Mark, Scale};

/// About the width of a letter of the charts' font.
const LETTER: f64 = 6.2;
const LINE: f64 = 14.0;
const GAP: f64 = 6.0;

/// Curves of different kinds that the style knows.
const COLOURS: usize = 6;
const DASHES: usize = 5;

/// A line through points, with what it is called in the legend.
pub(super) struct Curve {
    pub(super) name: String,
    /// Which of the colours, and which of the dashes.
    pub(super) colour: usize,
    pub(super) dash: usize,
    /// In the order of their x.
    pub(super) points: Vec<Point>,
    /// Whether points are marked.
    pub(super) dots: bool,
}

/// A point, with how far repeats lie from it, and what a pointer is told.
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) ends: Option<(f64, f64)>,
    pub(super) title: String,
}

/// A chart to be drawn.
pub(super) struct Plot<'a> {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) x: &'a Scale,
    pub(super) y: &'a Scale,
    /// What it shows, for those who cannot see it.
    pub(super) label: &'a str,
    /// Lines above the chart that labels of phases take.
    pub(super) head: f64,
}

/// A chart that is being drawn.
pub(super) struct Canvas<'a> {
    plot: &'a Plot<'a>,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    svg: String,
}

impl<'a> Plot<'a> {
    /// Draws axes and grid.
    pub(super) fn begin(&'a self) -> Canvas<'a> {
        let y_marks = self.y.marks(usize::MAX);
        let widest = y_marks.iter().map(|mark| width_of(&mark.label)).fold(0.0, f64::max);
        let left = widest + GAP + 3.0;
        let mut canvas = Canvas {
            plot: self,
            left,
            right: self.width - 14.0,
            top: 9.0 + self.head,
            bottom: self.height - LINE - GAP,
            svg: format!(
                "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">",
                self.width,
                self.height,
                escape(self.label)
            ),
        };
        canvas.y_axis(&y_marks);
        canvas.x_axis();
        canvas
    }
}

fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

impl Canvas<'_> {
    /// Where an x lies.
    pub(super) fn x(&self, value: f64) -> f64 {
        self.left + self.plot.x.place(value) * (self.right - self.left)
    }

    fn y(&self, value: f64) -> f64 {
        self.bottom - self.plot.y.place(value) * (self.bottom - self.top)
    }

    fn y_axis(&mut self, marks: &[Mark]) {
        let mut last = f64::INFINITY;
        for mark in marks {
            let y = self.bottom - mark.at * (self.bottom - self.top);
            let _ = write!(
                self.svg,
                "<line class=\"grid\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>",
                self.left, self.right
            );
            if last - y >= LINE {
                last = y;
                let x = self.left - GAP;
                self.text(x, y + 4.0, "end", &mark.label);
            }
        }
    }

    fn x_axis(&mut self) {
        let room = ((self.right - self.left) / 56.0).floor() as usize;
        let mut last = f64::NEG_INFINITY;
        let marks = self.plot.x.marks(room.max(2));
        for mark in &marks {
            let x = self.left + mark.at * (self.right - self.left);
            let _ = write!(
                self.svg,
                "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
                self.top, self.bottom
            );
            // A label at the edge is moved inside.
            let half = width_of(&mark.label) / 2.0;
            let middle = x.clamp(half + 1.0, (self.plot.width - half - 1.0).max(half + 1.0));
            if middle - half < last + GAP {
                continue;
            }
            last = middle + half;
            let y = self.plot.height - GAP;
            self.text(middle, y, "middle", &mark.label);
        }
        let _ = write!(
            self.svg,
            "<line class=\"axis\" x1=\"{0:.1}\" x2=\"{1:.1}\" y1=\"{2:.1}\" y2=\"{2:.1}\"/>",
            self.left, self.right, self.bottom
        );
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, text: &str) {
        let text = escape(text);
        let _ = write!(
            self.svg,
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
        );
    }

    /// Names above the chart, each at its x, as far as there is room.
    pub(super) fn names(&mut self, names: &[(f64, String)]) {
        let mut last = f64::NEG_INFINITY;
        for (value, name) in names {
            let x = self.x(*value);
            if x < last + GAP || x + width_of(name) > self.plot.width {
                continue;
            }
            last = x + width_of(name);
            let _ = write!(
                self.svg,
                "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{:.1}\"/>",
                self.top - 4.0,
                self.bottom
            );
            let y = self.top - 8.0;
            self.text(x, y, "start", name);
        }
    }

    /// Marks a stretch of x as one with failures.
    pub(super) fn failed(&mut self, from: f64, to: f64, title: &str) {
        let (left, right) = (self.x(from), self.x(to));
        let _ = write!(
            self.svg,
            "<rect class=\"failed\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\">\
             <title>{}</title></rect>",
            self.top,
            (right - left).max(1.5),
            self.bottom - self.top,
            escape(title)
        );
    }

    /// A line through points.
    pub(super) fn curve(&mut self, curve: &Curve) {
        let style = style_of(curve);
        if curve.points.len() > 1 {
            let mut path = String::new();
            for point in &curve.points {
                let _ = write!(path, "{:.1},{:.1} ", self.x(point.x), self.y(point.y));
            }
            let _ = write!(
                self.svg,
                "<polyline class=\"curve {style}\" points=\"{}\"/>",
                path.trim_end()
            );
        }
        for point in &curve.points {
            self.point(curve, point);
        }
    }

    fn point(&mut self, curve: &Curve, point: &Point) {
        let colour = curve.colour % COLOURS;
        let (x, y) = (self.x(point.x), self.y(point.y));
        if let Some((min, max)) = point.ends {
            let (low, high) = (self.y(min), self.y(max));
            let _ = write!(
                self.svg,
                "<line class=\"whisker s{colour}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{low:.1}\" \
                 y2=\"{high:.1}\"/>"
            );
        }
        if curve.dots {
            let _ = write!(
                self.svg,
                "<circle class=\"dot s{colour}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.2\">\
                 <title>{}</title></circle>",
                escape(&point.title)
            );
        }
    }

    /// A line that keeps its height from one x to the next: pieces of a start, an end and a y.
    pub(super) fn steps(&mut self, colour: usize, is_warm_up: bool, pieces: &[(f64, f64, f64)]) {
        let mut path = String::new();
        for (from, to, y) in pieces {
            let y = self.y(*y);
            let _ = write!(path, "{:.1},{y:.1} {:.1},{y:.1} ", self.x(*from), self.x(*to));
        }
        let _ = write!(
            self.svg,
            "<polyline class=\"curve s{}{}\" points=\"{}\"/>",
            colour % COLOURS,
            if is_warm_up { " warm" } else { "" },
            path.trim_end()
        );
    }

    /// The chart.
    pub(super) fn end(mut self) -> String {
        self.svg += "</svg>";
        self.svg
    }
}

fn style_of(curve: &Curve) -> String {
    match curve.dash % DASHES {
        0 => format!("s{}", curve.colour % COLOURS),
        dash => format!("s{} dash{dash}", curve.colour % COLOURS),
    }
}

/// What stands beside a chart to tell its curves apart.
pub(super) fn legend(curves: &[Curve]) -> String {
    let mut html = String::from("<ul class=\"legend\">");
    for curve in curves {
        let _ = write!(
            html,
            "<li><svg viewBox=\"0 0 24 10\" aria-hidden=\"true\"><polyline class=\"curve {}\" \
             points=\"1,5 23,5\"/></svg>{}</li>",
            style_of(curve),
            escape(&curve.name)
        );
    }
    html + "</ul>"
}
