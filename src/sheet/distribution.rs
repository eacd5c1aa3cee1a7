//! Histograms of the sizes of allocations.

use super::SheetError;
use super::input::{SheetInput, number, unexpected};
use super::overview::NATS;
use crate::export::{Axis, Chart, Column, Exhibit};
use crate::query::{Answer, Topic};

pub fn distribution(input: &SheetInput) -> Result<Exhibit, SheetError> {
    let layer = input.request.layer.map(u32::try_from).transpose();
    let layer = layer.map_err(|_| SheetError::Unknown("no such layer".to_owned()))?;
    let histogram = match input.ask(Topic::Histogram { layer })? {
        Answer::Histogram(histogram) => histogram,
        other => return Err(unexpected(&other)),
    };
    let (edges, counts) = (histogram.edges, histogram.counts);
    let columns = vec![
        Column::f64("from", NATS, edges[..counts.len()].to_vec()),
        Column::f64("to", NATS, edges[edges.len() - counts.len()..].to_vec()),
        Column::u64("count", None, counts.clone()),
    ];
    let chart = Chart::Histogram {
        edges,
        counts: counts.into_iter().map(number).collect(),
        mark: None,
    };
    let x = Axis::new("allocation of a parameter in a step", NATS).symlog();
    let y = Axis::new("parameters × steps per bin", None).symlog();
    let title = input.of_layer("Distribution of allocations");
    input.exhibit(title, columns, (x, y, chart))
}
