//! Draws time series in panels, one below the other, and shades the time of an outage.

use crate::chart::{CAPTION, COLOURS, LABEL, TITLE};
use plotters::coord::Shift;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use std::error::Error;
use std::ops::Range;
use std::path::Path;

const WIDTH: u32 = 1_000;
const PANEL_HEIGHT: u32 = 260;
/// The space above the lines, for the legend.
const HEADROOM: f64 = 1.4;
const SHADE: RGBColor = RGBColor(236, 236, 236);

type Drawn = Result<(), Box<dyn Error>>;

/// A drawing.
#[derive(Debug)]
pub struct Panels<'a> {
    /// The title.
    pub title: &'a str,
    /// The time of the outage, in seconds.
    pub down_s: Range<f64>,
    /// The panels, from the top.
    pub panels: Vec<Panel<'a>>,
}

/// A panel with one or more lines.
#[derive(Debug)]
pub struct Panel<'a> {
    /// The caption.
    pub caption: &'a str,
    /// The unit of the values.
    pub unit: &'a str,
    /// Whether the scale is logarithmic; values below 1 are then not shown.
    pub is_log: bool,
    /// Up to four lines, each with its name and its points: seconds and value.
    pub lines: Vec<(&'a str, Vec<(f64, f64)>)>,
}

impl Panels<'_> {
    /// Writes the drawing as SVG.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> Drawn {
        let count = u32::try_from(self.panels.len())?;
        let root = SVGBackend::new(path, (WIDTH, PANEL_HEIGHT * count + 30)).into_drawing_area();
        root.fill(&WHITE)?;
        let root = root.titled(self.title, ("sans-serif", TITLE))?;
        for (panel, area) in self.panels.iter().zip(root.split_evenly((self.panels.len(), 1))) {
            panel.draw(&area, &self.down_s, self.end_s())?;
        }
        root.present()?;
        Ok(())
    }

    fn end_s(&self) -> f64 {
        let points = self.panels.iter().flat_map(|panel| &panel.lines).flat_map(|(_, points)| points);
        points.map(|(at_s, _)| *at_s).fold(self.down_s.end, f64::max)
    }
}

impl Panel<'_> {
    fn draw<'a>(&self, area: &DrawingArea<SVGBackend<'a>, Shift>, down_s: &Range<f64>, end_s: f64) -> Drawn {
        let numbers = self.lines.iter().flat_map(|(_, points)| points).map(|(_, number)| *number);
        let most = numbers.fold(1.0, f64::max);
        let mut chart = ChartBuilder::on(area);
        chart
            .caption(self.caption, ("sans-serif", CAPTION))
            .margin(10)
            .margin_right(30)
            .x_label_area_size(40)
            .y_label_area_size(70);
        if self.is_log {
            let numbers = 1.0..most.powf(HEADROOM).max(10.0);
            self.draw_on(chart.build_cartesian_2d(0.0..end_s, numbers.clone().log_scale())?, down_s, &numbers)
        } else {
            let numbers = 0.0..most * HEADROOM;
            self.draw_on(chart.build_cartesian_2d(0.0..end_s, numbers.clone())?, down_s, &numbers)
        }
    }

    fn draw_on<'a, Y>(
        &self,
        mut chart: ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, Y>>,
        down_s: &Range<f64>,
        numbers: &Range<f64>,
    ) -> Drawn
    where
        Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let down = [(down_s.start, numbers.start), (down_s.end, numbers.end)];
        chart.draw_series([Rectangle::new(down, SHADE.filled())])?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("time (s)")
            .x_label_formatter(&|time| format!("{time:.0}"))
            .y_desc(self.unit)
            .y_label_formatter(&|number| format!("{number:.0}"))
            .label_style(("sans-serif", LABEL))
            .draw()?;
        for ((name, points), colour) in self.lines.iter().zip(COLOURS) {
            let shown = points.iter().map(|(at_s, number)| (*at_s, number.max(numbers.start)));
            chart
                .draw_series(LineSeries::new(shown, colour.stroke_width(2)))?
                .label(*name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], colour.stroke_width(2)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperRight)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.2))
            .label_font(("sans-serif", LABEL))
            .draw()?;
        Ok(())
    }
}
