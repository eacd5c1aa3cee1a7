//! Section on synchronisation: whether layers learn at the same moments more often than by chance.

use super::{asked, index};
use crate::export::{Axis, Chart, Column, Figure};
use crate::query::{Chance, Synchronisation, Topic};
use crate::report::ReportError;
use crate::report::page::{Page, note_of};
use crate::report::repeats::real;
use crate::report::runs::ReportedRun;
use crate::report::words::p_value;
use crate::sheet::View;

pub fn write(page: &mut Page) -> Result<(), ReportError> {
    let mut runs = Vec::new();
    for run in &page.group.runs {
        let found = asked!(
            run,
            Topic::Synchronisation { class: None },
            1,
            Synchronisation
        );
        runs.push((run.run.name.clone(), found));
    }
    page.text(
        "A moment of learning of a layer is a step in which its LCA is lower than in the steps before and \
         after; the 20 deepest of each layer count. A moment is shared if another layer has one in the same \
         step. Chance is estimated from 10,000 draws in which each moment is jittered by one or two steps, or \
         all moments of a layer are shifted circularly. p is the share of draws with at least as many shared \
         moments.",
    );
    for (name, found) in &runs {
        page.text(format!(
            "{name}: {} of {} moments are shared; by chance it would be {:.1} ± {:.1} (p = {}).",
            found.pairs,
            found.count,
            found.jitter.mean,
            found.jitter.deviation,
            p_value(found.jitter.p)
        ));
    }
    let columns = table("run", &runs);
    let caption = "Here, ± is the standard deviation of the draws.";
    let rows = runs.len();
    page.table("synchronisation", caption, columns, rows)?;
    if let Some(first) = page.group.runs.first() {
        let exhibit = first.exhibit(View::Synchronisation, 1)?;
        let caption = format!(
            "The deepest moments of each layer of {}. Shared ones are blue and marked on top.",
            first.run.name
        );
        let name = format!("{}moments", page.prefix);
        page.document.figure(&name, caption, exhibit);
    }
    if let (Some((_, found)), Some(first)) = (runs.first(), page.group.runs.first()) {
        null(page, first, found)?;
    }
    classes(page)
}

/// Selects one of the null models of an answer.
type SelectChance = fn(&Synchronisation) -> &Chance;

fn table(what: &str, rows: &[(String, Synchronisation)]) -> Vec<Column> {
    let counts =
        |count: &dyn Fn(&Synchronisation) -> u64| rows.iter().map(|(_, it)| count(it)).collect();
    let chance = |of: SelectChance, value: fn(&Chance) -> f64| {
        rows.iter().map(|(_, it)| value(of(it))).collect()
    };
    let mut columns = vec![
        Column::text(what, rows.iter().map(|(name, _)| name.clone()).collect()),
        Column::u64("moments", None, counts(&|it| it.count)),
        Column::u64("shared", None, counts(&|it| it.pairs)),
        Column::u64("shared steps", None, counts(&|it| it.shared.len() as u64)),
    ];
    let models: [(&str, SelectChance); 2] =
        [("jitter", |it| &it.jitter), ("circular", |it| &it.circular)];
    for (model, of) in models {
        let name = format!("by chance, {model}");
        columns.push(Column::f64(name.clone(), None, chance(of, |it| it.mean)));
        let deviation = chance(of, |it| it.deviation);
        columns.push(Column::f64(
            crate::report::document::error_of(&name),
            None,
            deviation,
        ));
        columns.push(Column::f64(
            format!("p {model}"),
            None,
            chance(of, |it| it.p),
        ));
    }
    columns
}

/// Writes the distribution of the draws' counts, with the run's.
fn null(page: &mut Page, run: &ReportedRun, found: &Synchronisation) -> Result<(), ReportError> {
    let bars = &found.jitter.bars;
    let (Some(_), Some(last)) = (bars.first(), bars.last()) else {
        return Ok(());
    };
    let mut edges: Vec<f64> = bars.iter().map(|bar| real(bar.0)).collect();
    edges.push(real(last.1));
    let columns = vec![
        Column::u64("from", None, bars.iter().map(|bar| bar.0).collect()),
        Column::u64(
            "to (excluded)",
            None,
            bars.iter().map(|bar| bar.1).collect(),
        ),
        Column::u64(
            "draws",
            None,
            bars.iter().map(|bar| u64::from(bar.2)).collect(),
        ),
    ];
    let chart = Chart::Histogram {
        edges,
        counts: bars.iter().map(|bar| f64::from(bar.2)).collect(),
        mark: Some((real(found.pairs) + 0.5, format!("the run: {}", found.pairs))),
    };
    let title = "Shared moments compared with chance";
    let x = Axis::new("shared moments", None);
    let figure = Figure {
        title: title.to_owned(),
        note: note_of(run),
        x,
        y: Axis::new("draws", None),
        chart,
    };
    let name = &run.run.name;
    let caption = format!("{name}: number of shared moments in 10,000 jittered draws.");
    page.figure("synchronisation-null", &caption, columns, figure)
}

/// Writes the synchronisation within each class.
fn classes(page: &mut Page) -> Result<(), ReportError> {
    let Some(first) = page.group.runs.first() else {
        return Ok(());
    };
    let mut rows = Vec::new();
    for (class, name) in first.header().classes.iter().enumerate() {
        let topic = Topic::Synchronisation {
            class: Some(index(class)),
        };
        match first.query_all_steps(topic, 1) {
            Ok(crate::query::Answer::Synchronisation(found)) => rows.push((name.clone(), found)),
            Ok(_) => {}
            Err(ReportError::Unknown(why)) => {
                let why = crate::report::page::sentence(&why);
                page.text(format!("By class, not recorded: {why}"));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    let columns = table("class", &rows);
    let caption = format!(
        "The same for the loss of each class, in {}.",
        first.run.name
    );
    let shown = rows.len().min(40);
    page.table("synchronisation-by-class", &caption, columns, shown)
}
