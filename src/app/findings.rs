//! The findings of the run, and the way from each to the screen that shows it.

use super::screen::{Depth, Screen};
use super::state::App;
use crate::analysis::findings::{Evidence, Finding, FindingView};
use crate::analysis::numbers::format_signed;
use crate::query::{Answer, Query, Topic};

impl App {
    /// Returns the query for findings.
    #[must_use]
    pub fn about_findings(&self) -> Query {
        self.about_all(Topic::Findings)
    }

    /// Returns what happened so far, most important first; `None` until it is known.
    #[must_use]
    pub fn findings(&self) -> Option<&[Finding]> {
        match self.model.queries.answer(&self.about_findings()) {
            Some((_, Answer::Findings(known))) => Some(&known.findings),
            _ => None,
        }
    }

    /// Returns the end of the steps that the findings are about; 0 until they are known.
    #[must_use]
    pub fn findings_until(&self) -> u64 {
        match self.model.queries.answer(&self.about_findings()) {
            Some((_, Answer::Findings(known))) => known.steps,
            _ => 0,
        }
    }

    /// `Enter` in the list: shows the selected finding's evidence.
    pub(super) fn enter_finding(&mut self) {
        let row = self.overlays.finding_row;
        let findings = self.findings().unwrap_or_default();
        let found = findings.get(row.min(findings.len().saturating_sub(1)));
        let Some(evidence) = found.map(|finding| finding.evidence.clone()) else {
            return;
        };
        self.overlays.open = None;
        self.show_evidence(&evidence);
    }

    fn show_evidence(&mut self, evidence: &Evidence) {
        let end = self.model.timeline.end();
        self.nav.comparing = false;
        if let Some(layer) = evidence
            .layer
            .filter(|layer| *layer < self.model.timeline.layers())
        {
            self.nav.layer = layer;
        }
        if let Some(class) = evidence.class {
            self.nav.class = class.min(self.model.header.classes.len().saturating_sub(1));
        }
        self.nav.screen = match evidence.view {
            FindingView::Overview | FindingView::Layer => Screen::Overview,
            FindingView::Decomposition => Screen::Decomposition,
            FindingView::Oscillation => Screen::Oscillation,
            FindingView::Synchronisation => Screen::Synchronisation,
            FindingView::Classes => Screen::Classes,
            FindingView::HeldOut => Screen::HeldOut,
            FindingView::Run => Screen::Run,
        };
        self.nav.focus = 0;
        self.nav.depth = match evidence.view {
            FindingView::Layer => Depth::Layer(self.nav.layer),
            _ => Depth::Network,
        };
        self.playback.settle(&mut self.nav.window, end);
        match &evidence.steps {
            Some(steps) if !steps.is_empty() => self.nav.window.show(steps),
            _ => self.nav.window.zoom_out(),
        }
        if let Some(step) = evidence.cursor {
            self.jump_to(step);
        }
    }

    /// `{` and `}`: goes to the selected layer's next worse or next milder step; from any other step, to the worst.
    pub(super) fn visit_worst(&mut self, by: isize) {
        let layer = self.nav.depth.layer().unwrap_or(self.nav.layer);
        let Some(known) = self.happened() else {
            return self.overlays.say("reading the steps; try again");
        };
        let worst = known.worst.get(layer).cloned().unwrap_or_default();
        let name = self.model.header.layout.layers.get(layer);
        let name = name.map_or(String::new(), |layer| layer.name.clone());
        let cursor = self.cursor();
        let here = worst.iter().position(|(step, _)| Some(*step) == cursor);
        let next = here.map_or(Some(0), |here| here.checked_add_signed(by));
        let Some((rank, &(step, lca))) = next.and_then(|at| Some((at + 1, worst.get(at)?))) else {
            let none = format!("{name} has not hurt in any step");
            let no_more = format!("no more steps: {name} hurt most in {} steps", worst.len());
            return self
                .overlays
                .say(if worst.is_empty() { none } else { no_more });
        };
        self.jump_to(step);
        let lca = format_signed(lca, 8);
        let of = worst.len();
        self.overlays.say(format!(
            "{name}: {rank} of {of} worst steps, {} nats in step {step}",
            lca.trim()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::findings::FindingKind;
    use crate::app::state::tests::app;
    use crate::app::{Action, Overlay};
    use crate::feed::Origin;
    use crate::query::{RunEvents, RunFindings};

    #[test]
    fn enter_shows_the_evidence_of_the_selected_finding() {
        let mut app = app(Origin::Replay);
        let finding = |view, layer, steps, cursor| Finding {
            kind: FindingKind::Spikes,
            is_trouble: true,
            text: String::new(),
            evidence: Evidence {
                view,
                layer,
                class: None,
                steps,
                cursor,
            },
        };
        let known = RunFindings {
            steps: 20,
            findings: vec![
                finding(FindingView::Run, None, None, None),
                finding(FindingView::Decomposition, Some(1), Some(4..14), Some(7)),
                finding(FindingView::Layer, Some(1), None, Some(3)),
            ],
        };
        app.act(Action::Findings);
        app.act(Action::Enter);
        assert_eq!(app.overlays.open, Some(Overlay::Findings), "not known yet");
        app.model
            .queries
            .take(app.about_findings(), Answer::Findings(known));
        app.act(Action::Select(1));
        app.act(Action::Enter);
        assert_eq!(app.overlays.open, None);
        assert_eq!((app.nav.screen, app.nav.layer), (Screen::Decomposition, 1));
        assert_eq!((app.cursor(), app.visible().contains(&7)), (Some(7), true));
        assert_eq!(app.visible().count(), 10);
        app.act(Action::Findings);
        app.act(Action::Select(100));
        app.act(Action::Enter);
        assert_eq!((app.nav.depth, app.cursor()), (Depth::Layer(1), Some(3)));
        assert_eq!(app.visible(), 0..20);
    }

    #[test]
    fn braces_visit_the_worst_steps_of_the_selected_layer_in_order() {
        let mut app = app(Origin::Replay);
        app.act(Action::Milder);
        assert!(app.overlays.notice().contains("reading"));
        let happened = RunEvents {
            steps: 20,
            worst: vec![Vec::new(), vec![(7, 0.5), (2, 0.25), (11, 0.125)]],
            ..RunEvents::default()
        };
        app.model
            .queries
            .take(app.about_events(), Answer::Happened(happened));
        app.act(Action::Milder);
        assert_eq!(app.overlays.notice(), "a has not hurt in any step");
        app.act(Action::Select(1));
        let mut steps = Vec::new();
        for action in [
            Action::Milder,
            Action::Milder,
            Action::Milder,
            Action::Worse,
        ] {
            app.act(action);
            steps.push(app.cursor().unwrap());
        }
        assert_eq!(steps, [7, 2, 11, 2]);
        let notice = "b: 2 of 3 worst steps, +0.250 nats in step 2";
        assert_eq!(app.overlays.notice(), notice);
        app.act(Action::Milder);
        app.act(Action::Milder);
        assert_eq!(app.cursor(), Some(11));
        assert!(app.overlays.notice().starts_with("no more steps"));
    }
}
