//! The available views: their names, contents, and the choices each accepts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A view of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum View {
    Overview,
    Decomposition,
    Cumulative,
    HeatMap,
    Layers,
    Oscillation,
    Helping,
    HeldOut,
    Synchronisation,
    Events,
    Tensors,
    Units,
    Classes,
    Distribution,
    Parameters,
    Parameter,
}

impl View {
    pub const ALL: [Self; 16] = [
        Self::Overview,
        Self::Decomposition,
        Self::Cumulative,
        Self::HeatMap,
        Self::Layers,
        Self::Oscillation,
        Self::Helping,
        Self::HeldOut,
        Self::Synchronisation,
        Self::Events,
        Self::Tensors,
        Self::Units,
        Self::Classes,
        Self::Distribution,
        Self::Parameters,
        Self::Parameter,
    ];

    /// The view's name, and a description of its contents.
    #[must_use]
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Overview => (
                "overview",
                "losses, accuracies, residuals and costs by step",
            ),
            Self::Decomposition => ("decomposition", "every layer's LCA by step, stacked"),
            Self::Cumulative => ("cumulative", "every layer's cumulative LCA by step"),
            Self::HeatMap => ("heat-map", "every layer's LCA by step, as a heat map"),
            Self::Layers => (
                "layers",
                "every layer's totals: LCA, help and hurt, sign flips",
            ),
            Self::Oscillation => (
                "oscillation",
                "sign flips of updates and gradients by step and layer",
            ),
            Self::Helping => ("helping", "parameters that help, hurt or are idle, by step"),
            Self::HeldOut => (
                "held-out",
                "LCA of the training and the held-out loss, by step and layer",
            ),
            Self::Synchronisation => (
                "synchronisation",
                "every layer's deepest moments of learning, and which are shared",
            ),
            Self::Events => (
                "events",
                "residuals, loss spikes, values that are not finite, synchronised steps",
            ),
            Self::Tensors => ("tensors", "every tensor's LCA by step"),
            Self::Units => (
                "units",
                "LCA of a layer's units (neurons or channels) by step (--layer)",
            ),
            Self::Classes => ("classes", "LCA of the loss of each class by step"),
            Self::Distribution => ("distribution", "histogram of single allocations"),
            Self::Parameters => (
                "parameters",
                "every parameter's total LCA, and how often it helped",
            ),
            Self::Parameter => (
                "parameter",
                "one parameter's weight, gradient and LCA by step (--parameter)",
            ),
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.words().0)
    }
}

/// A word that is not the name of a view.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown view `{given}` ({})", View::ALL.map(|view| view.to_string()).join(", "))]
pub struct UnknownView {
    given: String,
}

impl FromStr for View {
    type Err = UnknownView;

    fn from_str(word: &str) -> Result<Self, UnknownView> {
        let found = Self::ALL.into_iter().find(|view| view.words().0 == word);
        found.ok_or_else(|| UnknownView {
            given: word.to_owned(),
        })
    }
}

/// A choice that a request may make besides the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestChoice {
    Layer,
    Unit,
    Parameter,
    Every,
}

impl RequestChoice {
    pub const ALL: [Self; 4] = [Self::Layer, Self::Unit, Self::Parameter, Self::Every];

    /// The corresponding flag of `lcascope export`.
    #[must_use]
    pub fn flag(self) -> &'static str {
        match self {
            Self::Layer => "--layer",
            Self::Unit => "--unit",
            Self::Parameter => "--parameter",
            Self::Every => "--every",
        }
    }
}

impl View {
    /// Why a choice would have no effect: what the view is about. `None` if the choice is accepted.
    #[must_use]
    pub fn refuses(self, choice: RequestChoice) -> Option<&'static str> {
        let everything = matches!(self, Self::Overview | Self::Synchronisation | Self::Events);
        let moments = matches!(self, Self::Synchronisation | Self::Events);
        let together = matches!(self, Self::Layers | Self::Distribution | Self::Parameters);
        match choice {
            RequestChoice::Layer if everything => Some("the whole network"),
            RequestChoice::Layer | RequestChoice::Unit if self == Self::Parameter => {
                Some("one parameter")
            }
            RequestChoice::Unit if !matches!(self, Self::Units | Self::Parameters) => {
                Some("more than one unit")
            }
            RequestChoice::Every if moments => Some("single steps"),
            RequestChoice::Every if together => Some("all steps together"),
            RequestChoice::Parameter if self != Self::Parameter => Some("more than one parameter"),
            _ => None,
        }
    }

    /// The choice that the view requires, and how to make it.
    #[must_use]
    pub fn required_choice(self) -> Option<(RequestChoice, &'static str)> {
        match self {
            Self::Units => Some((RequestChoice::Layer, "one layer: give --layer NAME")),
            Self::Parameter => Some((
                RequestChoice::Parameter,
                "one parameter: give --parameter INDEX",
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_parsed_from_their_names() {
        for view in View::ALL {
            assert_eq!(view.to_string().parse(), Ok(view));
        }
        let error = "loss".parse::<View>().unwrap_err().to_string();
        assert!(
            error.contains("`loss`") && error.contains("held-out"),
            "{error}"
        );
    }

    #[test]
    fn no_view_refuses_a_choice_it_requires() {
        for view in View::ALL {
            if let Some((choice, _)) = view.required_choice() {
                assert_eq!(view.refuses(choice), None, "{view}");
            }
        }
        assert_eq!(View::Layers.refuses(RequestChoice::Layer), None);
        assert!(View::Layers.refuses(RequestChoice::Every).is_some());
        assert!(View::Layers.refuses(RequestChoice::Parameter).is_some());
    }
}
