//! Draws the report: rates by connections against the limit, CPU time a claim by process, and latencies by the number of claims.

use super::statistics::Results;
use plotters::prelude::*;
use std::error::Error;
use std::path::Path;

type Drawn = Result<(), Box<dyn Error>>;

const WIDTH: u32 = 1_000;
const HEIGHT: u32 = 560;
const FONT: &str = "sans-serif";
const TITLE: i32 = 22;
const LABEL: i32 = 15;
/// The palette of Okabe and Ito, which colour-blind readers can distinguish.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(150, 150, 150),
    RGBColor(0, 0, 0),
];
/// The processes of the bars, and their names.
const PROCESSES: [(&str, &str); 7] = [
    ("claim_process", "claim_process"),
    ("payments", "payments"),
    ("postgres", "PostgreSQL"),
    ("kafka", "Kafka"),
    ("local_broker", "embedded broker"),
    ("simulated_gateway", "gateway"),
    ("load", "load generator"),
];

/// A line through points of one name.
type Line = (String, Vec<(f64, f64)>);

/// Writes the plots of what was measured.
///
/// # Errors
/// If a file cannot be written.
pub fn write(results: &Results, directory: &Path) -> Drawn {
    let rates = rates(results);
    if !rates.is_empty() {
        lines(
            &directory.join("rates.svg"),
            "Claims a second by connections, and the limit",
            "connections",
            "claims/s",
            &rates,
        )?;
    }
    let bars = bars(results);
    if !bars.is_empty() {
        cpu(&directory.join("cpu.svg"), &bars)?;
    }
    let latencies = latencies(results);
    if !latencies.is_empty() {
        let title = "Median latency of reads by the number of claims";
        lines(&directory.join("reads.svg"), title, "claims", "ms", &latencies)?;
    }
    Ok(())
}

/// Single claims on both stacks by connections, and the limits as level lines.
fn rates(results: &Results) -> Vec<Line> {
    let mut lines = Vec::new();
    for (prefix, stack) in [("", "PostgreSQL and Kafka"), ("embedded, ", "embedded default")] {
        let singles = numbered(results, &format!("{prefix}single, "), " connections", "rate");
        if let (Some(first), Some(last)) = (singles.first(), singles.last()) {
            let level = |group: &str| results.spread(&format!("{prefix}limit, n = {group}"), "rate");
            for group in ["1", "64"] {
                if let Some(limit) = level(group) {
                    lines.push((
                        format!("limit of {stack}, n = {group}"),
                        vec![(first.0, limit.median), (last.0, limit.median)],
                    ));
                }
            }
            lines.push((format!("single claims, {stack}"), singles));
        }
    }
    lines
}

fn latencies(results: &Results) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (case, _) in &results.cases {
        let Some((name, _)) = case.strip_suffix(" claims").and_then(|case| case.rsplit_once(", ")) else { continue };
        if name.starts_with("GET ") && !lines.iter().any(|(known, _)| known == name) {
            lines.push((name.to_owned(), numbered(results, &format!("{name}, "), " claims", "p50_ms")));
        }
    }
    lines
}

/// The medians of a figure of all cases whose names differ in a number.
fn numbered(results: &Results, before: &str, after: &str, figure: &str) -> Vec<(f64, f64)> {
    let points = results.cases.iter().filter_map(|(case, _)| {
        let number: f64 = case.strip_prefix(before)?.strip_suffix(after)?.parse().ok()?;
        Some((number, results.spread(case, figure)?.median))
    });
    points.collect()
}

/// The CPU time of each process for each case that loads the services.
fn bars(results: &Results) -> Vec<(String, Vec<f64>)> {
    let cases = results
        .cases
        .iter()
        .map(|(case, _)| case)
        .filter(|case| results.spread(case, "cpu_us/claim_process").is_some() && !case.starts_with("GET "));
    let of = |case: &str, process: &str| {
        results.spread(case, &format!("cpu_us/{process}")).map_or(0.0, |spread| spread.median)
    };
    cases.map(|case| (case.clone(), PROCESSES.iter().map(|(process, _)| of(case, process)).collect())).collect()
}

/// Lines over two logarithmic axes.
fn lines(path: &Path, title: &str, x: &str, y: &str, all: &[Line]) -> Drawn {
    let points = || all.iter().flat_map(|(_, points)| points);
    let range = |of: fn(&(f64, f64)) -> f64| {
        let least = points().map(of).fold(f64::MAX, f64::min);
        let most = points().map(of).fold(0.0, f64::max);
        (least.max(1e-3) * 0.8)..(most * 1.25)
    };
    let root = SVGBackend::new(path, (WIDTH, HEIGHT)).into_drawing_area();
    root.fill(&WHITE)?;
    let (plot, legend) = root.titled(title, (FONT, TITLE))?.split_horizontally(WIDTH - 330);
    let mut chart = ChartBuilder::on(&plot)
        .margin(12)
        .x_label_area_size(46)
        .y_label_area_size(80)
        .build_cartesian_2d(range(|point| point.0).log_scale(), range(|point| point.1).log_scale())?;
    let label = |value: &f64| if *value < 10.0 { format!("{value}") } else { format!("{value:.0}") };
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .x_desc(x)
        .y_desc(y)
        .x_label_formatter(&label)
        .y_label_formatter(&label)
        .label_style((FONT, LABEL))
        .draw()?;
    for (index, (name, points)) in all.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        // A second turn through the colours has thinner lines.
        let style = colour.stroke_width(if index < COLOURS.len() { 3 } else { 1 });
        chart.draw_series(LineSeries::new(points.iter().copied(), style))?;
        chart.draw_series(points.iter().map(|point| Circle::new(*point, 4, colour.filled())))?;
        key(&legend, index, name, style)?;
    }
    root.present()?;
    Ok(())
}

/// Stacked horizontal bars.
fn cpu(path: &Path, bars: &[(String, Vec<f64>)]) -> Drawn {
    const LEFT: i32 = 270;
    const ROW: i32 = 34;
    const TOP: i32 = 60;
    let height = TOP + ROW * i32::try_from(bars.len())? + 20;
    let root = SVGBackend::new(path, (WIDTH, u32::try_from(height)?)).into_drawing_area();
    root.fill(&WHITE)?;
    let text = (FONT, LABEL).into_font().color(&BLACK);
    root.draw(&Text::new("CPU microseconds a claim, by process", (20, 8), (FONT, TITLE).into_font()))?;
    let mut at = 20;
    for ((_, name), colour) in PROCESSES.iter().zip(COLOURS) {
        root.draw(&Rectangle::new([(at, 38), (at + 14, 52)], colour.filled()))?;
        root.draw(&Text::new(*name, (at + 19, 37), text.clone()))?;
        at += 32 + 9 * i32::try_from(name.len())?;
    }
    let most = bars.iter().map(|(_, parts)| parts.iter().sum::<f64>()).fold(1.0, f64::max);
    let scale = f64::from(WIDTH as i32 - LEFT - 90) / most;
    for ((case, parts), row) in bars.iter().zip(0..) {
        let top = TOP + ROW * row + 4;
        root.draw(&Text::new(case.as_str(), (20, top + 5), text.clone()))?;
        let mut from = 0.0;
        for (part, colour) in parts.iter().zip(COLOURS) {
            let x = |value: f64| LEFT + (value * scale) as i32;
            root.draw(&Rectangle::new([(x(from), top), (x(from + part), top + ROW - 8)], colour.filled()))?;
            from += part;
        }
        root.draw(&Text::new(format!("{from:.0}"), (LEFT + (from * scale) as i32 + 6, top + 5), text.clone()))?;
    }
    root.present()?;
    Ok(())
}

fn key<DB: DrawingBackend>(
    area: &DrawingArea<DB, plotters::coord::Shift>,
    index: usize,
    name: &str,
    style: ShapeStyle,
) -> Result<(), Box<dyn Error>>
where
    DB::ErrorType: 'static,
{
    let y = 24 + 24 * i32::try_from(index)?;
    area.draw(&PathElement::new([(4, y), (28, y)], style))?;
    area.draw(&Text::new(name.to_owned(), (34, y - 8), (FONT, LABEL).into_font().color(&BLACK)))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_plot_is_drawn_from_the_cases_that_it_needs() {
        let mut results = Results::default();
        let mut add = |case: &str, figure: &str, value: f64| results.add(case, [(figure.to_owned(), value)].into());
        add("limit, n = 64", "rate", 30_000.0);
        for (connections, rate) in [(1, 500.0), (64, 9_000.0)] {
            add(&format!("single, {connections} connections"), "rate", rate);
            add(&format!("single, {connections} connections"), "cpu_us/claim_process", 25.0);
            add(&format!("single, {connections} connections"), "cpu_us/postgres", 30.0);
        }
        for claims in [1_000, 1_000_000] {
            add(&format!("GET /v1/claims?status=settled, {claims} claims"), "p50_ms", 2.5);
        }
        assert_eq!(
            rates(&results)[1],
            ("single claims, PostgreSQL and Kafka".to_owned(), vec![(1.0, 500.0), (64.0, 9_000.0)])
        );
        let latencies = latencies(&results);
        assert_eq!(latencies, [("GET /v1/claims?status=settled".to_owned(), vec![(1_000.0, 2.5), (1_000_000.0, 2.5)])]);
        assert_eq!(bars(&results).iter().map(|(_, parts)| parts.iter().sum::<f64>()).collect::<Vec<_>>(), [55.0, 55.0]);
        let directory = tempfile::tempdir().unwrap();
        write(&results, directory.path()).unwrap();
        for name in ["rates.svg", "cpu.svg", "reads.svg"] {
            let svg = std::fs::read_to_string(directory.path().join(name)).unwrap();
            assert!(svg.ends_with("</svg>\n"), "{name}");
        }
    }

    #[test]
    fn nothing_is_drawn_of_what_was_not_measured() {
        let directory = tempfile::tempdir().unwrap();
        write(&Results::default(), directory.path()).unwrap();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
