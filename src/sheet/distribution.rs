//! Histograms of the sizes of allocations.

use super::SheetError;
use super::input::{SheetInput, number};
use super::overview::NATS;
use crate::export::{Axis, Chart, Column, Exhibit};
use crate::query::{Analyst, Answer, Query, StepScope, Topic};

pub fn distribution(input: &SheetInput) -> Result<Exhibit, SheetError> {
    let layer = input.request.layer.map(u32::try_from).transpose();
    let layer = layer.map_err(|_| SheetError::Unknown("no such layer".to_owned()))?;
    let query = Query {
        topic: Topic::Histogram { layer },
        part: StepScope::Window,
        steps: input.request.steps.clone(),
        columns: 1,
    };
    // Never cancelled; the poll only reports progress.
    let called_off = || {
        input.alive();
        false
    };
    let answer = Analyst::new().answer(input.reader, &query, &called_off)?;
    let histogram = match answer {
        Answer::Histogram(histogram) => histogram,
        Answer::Unknown(why) => return Err(SheetError::Unknown(why)),
        other => {
            let what = format!("an answer to another question, a bug: {other:?}");
            return Err(SheetError::Unknown(what));
        }
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
