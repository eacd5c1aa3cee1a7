//! Sums over groups of parameters.

/// Sums over a group of parameters in a range of steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GroupSums {
    /// Σ A, in nats.
    pub lca: f64,
    /// Number of parameter-steps that helped, and that hurt.
    pub helped: u64,
    pub hurt: u64,
    /// Number of parameter-steps whose movement changed sign.
    pub update_flips: u64,
    /// Number of parameter-steps over which the full gradient changed sign.
    pub gradient_flips: u64,
    /// Number of all parameter-steps.
    pub param_steps: u64,
}

impl GroupSums {
    /// Returns the share of the parameter-steps that helped, 0 to 1; NaN if there are none.
    #[must_use]
    pub fn help_share(&self) -> f64 {
        ratio(self.helped, self.param_steps)
    }

    /// Returns the share of the parameter-steps that hurt, 0 to 1; NaN if there are none.
    #[must_use]
    pub fn hurt_share(&self) -> f64 {
        ratio(self.hurt, self.param_steps)
    }

    /// Returns the mean number of steps between sign flips of a parameter's movement; infinite without flips, NaN
    /// without steps.
    #[must_use]
    pub fn steps_per_flip(&self) -> f64 {
        ratio(self.param_steps, self.update_flips)
    }

    /// Returns the mean number of steps between sign flips of a parameter's full gradient.
    #[must_use]
    pub fn steps_per_gradient_flip(&self) -> f64 {
        ratio(self.param_steps, self.gradient_flips)
    }

    /// Returns the sums of both groups, or of both ranges of steps.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        let Self {
            lca,
            helped,
            hurt,
            update_flips,
            gradient_flips,
            param_steps,
        } = other;
        Self {
            lca: self.lca + lca,
            // A damaged file may hold any counts.
            helped: self.helped.saturating_add(*helped),
            hurt: self.hurt.saturating_add(*hurt),
            update_flips: self.update_flips.saturating_add(*update_flips),
            gradient_flips: self.gradient_flips.saturating_add(*gradient_flips),
            param_steps: self.param_steps.saturating_add(*param_steps),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a count's first 15 digits are enough here"
)]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b as f64
}
