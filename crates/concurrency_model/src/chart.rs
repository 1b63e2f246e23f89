//! Draws runs over time: throughput, latency, and the limit on concurrent calls.

use crate::report::{SAMPLE_US, Sample, Span};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

const WIDTH: u32 = 1_000;
const HEIGHT: u32 = 980;
/// The number of samples that a point averages.
const SMOOTHED_OVER: usize = 4;
/// Font sizes, in pixels.
pub(crate) const TITLE: i32 = 22;
pub(crate) const CAPTION: i32 = 17;
pub(crate) const LABEL: i32 = 14;

const CAPACITY: RGBColor = RGBColor(150, 150, 150);
/// A colour for each run, from the palette of Okabe and Ito, which colour-blind readers can distinguish.
pub(crate) const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(230, 159, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn Error>>;

/// A chart of several runs.
#[derive(Debug)]
pub struct Chart<'a> {
    /// The title.
    pub title: &'a str,
    /// Up to four runs, each with its name.
    pub runs: &'a [(String, Vec<Sample>)],
    /// The capacity of the gateway.
    pub spans: &'a [Span],
}

impl Chart<'_> {
    /// Writes the chart as SVG.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Drawn {
        let root = SVGBackend::new(path, (WIDTH, HEIGHT)).into_drawing_area();
        root.fill(&WHITE)?;
        let root = root.titled(self.title, ("sans-serif", TITLE))?;
        let panels = root.split_evenly((3, 1));
        self.answered(&panels[0])?;
        self.latency(&panels[1])?;
        self.limits(&panels[2])?;
        root.present()?;
        Ok(())
    }

    fn end_s(&self) -> f64 {
        self.spans.last().map_or(0.0, |span| seconds(span.until_us))
    }

    fn answered(&self, area: &Area<'_>) -> Drawn {
        let most = self.spans.iter().map(|span| span.capacity).fold(0.0, f64::max) * 1.2;
        let mut chart = ChartBuilder::on(area)
            .caption("Calls answered in time per second, and the capacity of the gateway", ("sans-serif", CAPTION))
            .margin(10)
            .margin_right(30)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..self.end_s(), 0.0..most)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("time (s)")
            .x_label_formatter(&|time| format!("{time:.0}"))
            .y_desc("calls/s")
            .y_label_formatter(&|calls| format!("{calls:.0}"))
            .label_style(("sans-serif", LABEL))
            .draw()?;
        let capacity =
            self.spans.iter().flat_map(|span| [span.from_us, span.until_us].map(|us| (seconds(us), span.capacity)));
        chart
            .draw_series(LineSeries::new(capacity, CAPACITY.stroke_width(6)))?
            .label("capacity")
            .legend(|(x, y)| PathElement::new([(x, y), (x + 20, y)], CAPACITY.stroke_width(6)));
        for ((name, samples), colour) in self.runs.iter().zip(COLOURS) {
            let points = samples.chunks(SMOOTHED_OVER).map(|chunk| {
                let answered: u64 = chunk.iter().map(|sample| sample.answered).sum();
                (middle_s(chunk), answered as f64 / seconds(SAMPLE_US * chunk.len() as i64))
            });
            chart
                .draw_series(LineSeries::new(points, colour.stroke_width(2)))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperMiddle)
            .background_style(WHITE.mix(0.8))
            .border_style(CAPACITY)
            .label_font(("sans-serif", LABEL))
            .draw()?;
        Ok(())
    }

    fn latency(&self, area: &Area<'_>) -> Drawn {
        let mut chart = ChartBuilder::on(area)
            .caption("Mean latency; a gap where no call was answered", ("sans-serif", CAPTION))
            .margin(10)
            .margin_right(30)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..self.end_s(), (20.0..10_000.0).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("time (s)")
            .x_label_formatter(&|time| format!("{time:.0}"))
            .y_desc("latency (ms, log)")
            .y_label_formatter(&|ms| format!("{ms:.0}"))
            .label_style(("sans-serif", LABEL))
            .draw()?;
        for ((_, samples), colour) in self.runs.iter().zip(COLOURS) {
            let points: Vec<Option<(f64, f64)>> = samples
                .chunks(SMOOTHED_OVER)
                .map(|chunk| {
                    let answered: u64 = chunk.iter().map(|sample| sample.answered).sum();
                    let latency_us: i64 = chunk.iter().map(|sample| sample.latency_us).sum();
                    (answered > 0).then(|| (middle_s(chunk), latency_us as f64 / answered as f64 / 1_000.0))
                })
                .collect();
            for line in points.split(Option::is_none) {
                chart.draw_series(LineSeries::new(line.iter().flatten().copied(), colour.stroke_width(2)))?;
            }
        }
        Ok(())
    }

    fn limits(&self, area: &Area<'_>) -> Drawn {
        let most = self.runs.iter().flat_map(|(_, samples)| samples).map(|sample| sample.limit).max().unwrap_or(1);
        let mut chart = ChartBuilder::on(area)
            .caption("Limit on concurrent calls", ("sans-serif", CAPTION))
            .margin(10)
            .margin_right(30)
            .x_label_area_size(40)
            .y_label_area_size(60)
            .build_cartesian_2d(0.0..self.end_s(), (1.0..most as f64 * 1.5).log_scale())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("time (s)")
            .x_label_formatter(&|time| format!("{time:.0}"))
            .y_desc("limit (log)")
            .y_label_formatter(&|limit| format!("{limit:.0}"))
            .label_style(("sans-serif", LABEL))
            .draw()?;
        for ((_, samples), colour) in self.runs.iter().zip(COLOURS) {
            let points = samples.iter().map(|sample| (seconds(sample.at_us + SAMPLE_US), sample.limit.max(1) as f64));
            chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
        }
        Ok(())
    }
}

fn seconds(us: i64) -> f64 {
    us as f64 / 1_000_000.0
}

fn middle_s(chunk: &[Sample]) -> f64 {
    let from = chunk.first().map_or(0, |sample| sample.at_us);
    seconds(from + SAMPLE_US * chunk.len() as i64 / 2)
}
