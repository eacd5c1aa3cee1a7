//! Screens, and how deep into the network they look.

/// The screens, in the order of their number keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Screen {
    #[default]
    Overview,
    Decomposition,
    Oscillation,
    Synchronisation,
    Classes,
    Distribution,
    HeldOut,
    Run,
}

impl Screen {
    pub const ALL: [Self; 8] = [
        Self::Overview,
        Self::Decomposition,
        Self::Oscillation,
        Self::Synchronisation,
        Self::Classes,
        Self::Distribution,
        Self::HeldOut,
        Self::Run,
    ];

    /// Returns the name on the tab, which is also the command.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Decomposition => "Decomposition",
            Self::Oscillation => "Oscillation",
            Self::Synchronisation => "Synchronisation",
            Self::Classes => "Classes",
            Self::Distribution => "Distribution",
            Self::HeldOut => "Held-out",
            Self::Run => "Run",
        }
    }

    /// Returns an abbreviated name for narrow terminals.
    #[must_use]
    pub fn short_name(self) -> &'static str {
        match self {
            Self::Overview => "Over",
            Self::Decomposition => "Decomp",
            Self::Oscillation => "Osc",
            Self::Synchronisation => "Sync",
            Self::Classes => "Class",
            Self::Distribution => "Dist",
            Self::HeldOut => "Held",
            Self::Run => "Run",
        }
    }

    /// Returns the number key, 1 to 8.
    #[must_use]
    pub fn number(self) -> usize {
        self as usize + 1
    }

    /// Returns the screen this many tabs further on, wrapping around.
    #[must_use]
    pub fn turned(self, by: isize) -> Self {
        let count = Self::ALL.len().cast_signed();
        let at = (self as usize).cast_signed() + by;
        Self::ALL[at.rem_euclid(count).cast_unsigned()]
    }
}

/// The part of the network on the screen, with the way back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Depth {
    /// All layers: the screen of the tab.
    #[default]
    Network,
    /// The tensors and units of a layer.
    Layer(usize),
    /// The weights and bias of a unit. The unit's index is within its layer.
    Unit { layer: usize, unit: usize },
    /// One parameter, by its index in the flat vector. Going up leads to its unit.
    Parameter {
        layer: usize,
        unit: usize,
        parameter: usize,
    },
}

impl Depth {
    /// Returns the level above.
    #[must_use]
    pub fn up(self) -> Self {
        match self {
            Self::Network | Self::Layer(_) => Self::Network,
            Self::Unit { layer, .. } => Self::Layer(layer),
            Self::Parameter { layer, unit, .. } => Self::Unit { layer, unit },
        }
    }

    /// Returns the open layer.
    #[must_use]
    pub fn layer(self) -> Option<usize> {
        match self {
            Self::Network => None,
            Self::Layer(layer) | Self::Unit { layer, .. } | Self::Parameter { layer, .. } => {
                Some(layer)
            }
        }
    }
}

/// The kind of view on screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Here {
    /// Two runs side by side.
    Comparison,
    /// A screen about all layers.
    Network(Screen),
    Layer,
    Unit,
    Parameter,
}

/// A part of the Run screen that can be shown in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunPart {
    Configuration,
    Log,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Network order.
    #[default]
    Order,
    /// Most help in view first.
    Helps,
    /// Most hurt in view first.
    Hurts,
    /// Largest helping share first.
    HelpShare,
    /// Fastest oscillation first.
    Oscillation,
    /// Largest magnitude of Σ A in view first.
    Size,
}

impl Sort {
    pub const ALL: [Self; 6] = [
        Self::Order,
        Self::Helps,
        Self::Hurts,
        Self::HelpShare,
        Self::Oscillation,
        Self::Size,
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "network order",
            Self::Helps => "helps most",
            Self::Hurts => "hurts most",
            Self::HelpShare => "help share",
            Self::Oscillation => "oscillation",
            Self::Size => "largest",
        }
    }

    /// Returns the next order, wrapping around.
    #[must_use]
    pub fn next(self) -> Self {
        Self::ALL[(self as usize + 1) % Self::ALL.len()]
    }

    /// Sorts indices by their keys: totals in nats, shares, and steps per sign flip. NaN comes last, and ties keep
    /// their order.
    pub fn arrange(self, items: &mut [usize], numbers: impl Fn(usize) -> SortKeys) {
        let key = |item: usize| {
            let SortKeys {
                total,
                help_share,
                steps_per_flip,
            } = numbers(item);
            let key = match self {
                Self::Order => 0.0,
                Self::Helps => total,
                Self::Hurts => -total,
                Self::HelpShare => -help_share,
                Self::Oscillation => steps_per_flip,
                Self::Size => -total.abs(),
            };
            // `total_cmp` puts one NaN before all numbers and another after them.
            if key.is_nan() { f64::INFINITY } else { key }
        };
        if self != Self::Order {
            items.sort_by_cached_key(|&item| Ordered(key(item)));
        }
    }
}

/// The numbers that lists are sorted by.
#[derive(Clone, Copy, Debug)]
pub struct SortKeys {
    pub total: f64,
    pub help_share: f64,
    /// Steps per sign flip of updates. The file does not count those of a unit: for units, it is the sign of their LCA
    /// that flips, as their screen says.
    pub steps_per_flip: f64,
}

#[derive(PartialEq)]
struct Ordered(f64);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tabs_wrap_around() {
        assert_eq!(Screen::Run.turned(1), Screen::Overview);
        assert_eq!(Screen::Overview.turned(-1), Screen::Run);
        for (number, screen) in (1..).zip(Screen::ALL) {
            assert_eq!(screen.number(), number);
        }
    }

    #[test]
    fn every_depth_leads_back_to_the_network() {
        let mut depth = Depth::Parameter {
            layer: 1,
            unit: 2,
            parameter: 300,
        };
        for expected in [
            Depth::Unit { layer: 1, unit: 2 },
            Depth::Layer(1),
            Depth::Network,
            Depth::Network,
        ] {
            depth = depth.up();
            assert_eq!(depth, expected);
        }
    }

    #[test]
    fn sorting_is_stable_and_puts_nan_last() {
        let totals = [0.0, -3.0, f64::NAN, 2.0, -3.0];
        let keys = |item: usize| SortKeys {
            total: totals[item],
            help_share: f64::NAN,
            steps_per_flip: totals[item],
        };
        let sorted = |sort: Sort| {
            let mut items = [0, 1, 2, 3, 4];
            sort.arrange(&mut items, keys);
            items
        };
        assert_eq!(sorted(Sort::Order), [0, 1, 2, 3, 4]);
        assert_eq!(sorted(Sort::Helps), [1, 4, 0, 3, 2]);
        assert_eq!(sorted(Sort::Hurts), [3, 0, 1, 4, 2]);
        assert_eq!(sorted(Sort::Size), [1, 4, 3, 0, 2]);
        assert_eq!(sorted(Sort::HelpShare), [0, 1, 2, 3, 4]);
    }
}
