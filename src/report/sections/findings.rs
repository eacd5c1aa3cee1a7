//! The findings of a run: sentences about what happened in it.

use super::asked;
use crate::query::Topic;
use crate::report::ReportError;
use crate::report::page::Page;
use crate::text::harmless;

pub fn write(page: &mut Page) -> Result<(), ReportError> {
    let Some(run) = page.group.runs.first() else {
        return Ok(());
    };
    let known = asked!(run, Topic::Findings, 1, Findings);
    if page.has_repeats() {
        let name = &run.run.name;
        page.text(format!(
            "In {name}, the first of the runs (`lcascope info` has the others):"
        ));
    }
    for finding in known.findings {
        page.text(harmless(&finding.text));
    }
    Ok(())
}
