//! Axis scales: from values to positions and back.
//!
//! ```text
//! Linear    (v - min) / (max - min)
//! Log       likewise for log10 v; a lower bound that is not positive becomes max / 1e6
//! SymLog    likewise for sign(v) log10(1 + |v| / linear): straight near zero, decades far out
//! ```

/// The range of values of an axis: both ends finite, `min < max`, and far enough apart to be divided into ticks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Domain {
    min: f64,
    max: f64,
}

impl Default for Domain {
    fn default() -> Self {
        Self { min: 0.0, max: 1.0 }
    }
}

impl Domain {
    /// From `a` to `b`, in either order. [`Domain::of`] says how values that are not finite are treated.
    #[must_use]
    pub fn new(a: f64, b: f64) -> Self {
        Self::of([a, b])
    }

    /// `-max..max`, for signed values.
    #[must_use]
    pub fn symmetric(max: f64) -> Self {
        Self::of([-max, max])
    }

    /// The smallest domain that contains all `values`. Values that are not finite are ignored; a single value gets a
    /// margin on both sides; without any it is 0..1.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        // Far beyond any loss, yet differences still fit into an f64.
        const LIMIT: f64 = 1e300;
        let finite = values.into_iter().filter(|value| value.is_finite());
        let ends = finite.fold(None, |ends, value| {
            let value = value.clamp(-LIMIT, LIMIT);
            let (min, max): (f64, f64) = ends.unwrap_or((value, value));
            Some((min.min(value), max.max(value)))
        });
        let Some((min, max)) = ends else {
            return Self::default();
        };
        let magnitude = min.abs().max(max.abs());
        if max - min > (magnitude * 1e-12).max(1e-280) {
            return Self { min, max };
        }
        let room = if magnitude < 1e-260 {
            0.5
        } else {
            magnitude * 0.05
        };
        Self {
            min: min - room,
            max: max + room,
        }
    }

    #[must_use]
    pub fn min(self) -> f64 {
        self.min
    }

    #[must_use]
    pub fn max(self) -> f64 {
        self.max
    }

    /// Returns the positive part, for a logarithmic axis.
    fn positive(self) -> (f64, f64) {
        match self {
            Self { max, .. } if max < 1e-290 => (1e-6, 1.0),
            Self { min, max } if min <= 0.0 => (max * 1e-6, max),
            Self { min, max } => (min, max),
        }
    }
}

/// The mapping of an axis from values to positions.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Scale {
    #[default]
    Linear,
    Log,
    /// Linear within about `linear` of zero, in the values' unit, and logarithmic beyond.
    SymLog {
        linear: f64,
    },
}

impl Scale {
    /// Returns the position of `value` on the axis: 0 at the domain's minimum, 1 at its maximum; values outside are
    /// clamped. `None` for NaN.
    #[must_use]
    pub fn to_unit(self, domain: Domain, value: f64) -> Option<f64> {
        let (low, high) = self.ends(domain);
        let place = (self.linearise(domain, value) - low) / (high - low);
        (!value.is_nan()).then(|| place.clamp(0.0, 1.0))
    }

    /// Returns the value at a position on the axis, the inverse of [`Scale::to_unit`]. A NaN position counts as the
    /// minimum.
    #[must_use]
    pub fn from_unit(self, domain: Domain, unit: f64) -> f64 {
        let (low, high) = self.ends(domain);
        let unit = if unit.is_nan() { 0.0 } else { unit };
        let bent = low + unit.clamp(0.0, 1.0) * (high - low);
        let value = match self {
            Self::Linear => bent,
            Self::Log => 10f64.powf(bent),
            Self::SymLog { .. } => {
                let linear = self.linear(domain);
                (bent.abs().exp_m1() * linear).copysign(bent)
            }
        };
        // Rounding may overshoot an end.
        let (min, max) = self.range(domain);
        value.clamp(min, max)
    }

    /// Returns the position of a signed value on an axis symmetric about zero: -1 at `-max` and below, 0 at zero, 1 at
    /// `max` and above. `None` for NaN. A `max` that is not a usable magnitude (zero, negative or not finite) counts as
    /// 1.
    #[must_use]
    pub fn to_signed_unit(self, max: f64, value: f64) -> Option<f64> {
        let sound = max.is_finite() && max > 1e-270;
        let domain = Domain::new(0.0, if sound { max } else { 1.0 });
        let place = self.to_unit(domain, value.abs())?;
        Some(if value == 0.0 {
            0.0
        } else {
            place.copysign(value)
        })
    }

    /// Returns the coordinate in which the axis is evenly spaced.
    fn linearise(self, domain: Domain, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            // Zero and negative values lie below every positive value.
            Self::Log => value.max(0.0).log10(),
            Self::SymLog { .. } => {
                let linear = self.linear(domain);
                (value.abs() / linear).min(f64::MAX).ln_1p().copysign(value)
            }
        }
    }

    /// Returns the values at the two ends.
    pub(super) fn range(self, domain: Domain) -> (f64, f64) {
        match self {
            Self::Log => domain.positive(),
            _ => (domain.min, domain.max),
        }
    }

    /// Returns the coordinates of the two ends.
    fn ends(self, domain: Domain) -> (f64, f64) {
        let (min, max) = self.range(domain);
        (self.linearise(domain, min), self.linearise(domain, max))
    }

    /// Returns the symmetric logarithm's `linear`, clamped to where the arithmetic is sound.
    pub(super) fn linear(self, domain: Domain) -> f64 {
        let magnitude = domain.min.abs().max(domain.max.abs());
        match self {
            Self::SymLog { linear } if linear > 0.0 => {
                linear.clamp(magnitude * 1e-18, magnitude * 1e6)
            }
            _ => magnitude,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn signed_scales_are_symmetric() {
        let scale = Scale::SymLog { linear: 1e-6 };
        for scale in [Scale::Linear, scale] {
            assert_eq!(scale.to_signed_unit(2.0, 2.0), Some(1.0));
            assert_eq!(scale.to_signed_unit(2.0, f64::NEG_INFINITY), Some(-1.0));
            assert_eq!(scale.to_signed_unit(2.0, 0.0), Some(0.0));
            assert_eq!(scale.to_signed_unit(0.0, 0.0), Some(0.0));
            assert_eq!(scale.to_signed_unit(f64::NAN, -3.0), Some(-1.0));
            assert_eq!(scale.to_signed_unit(2.0, f64::NAN), None);
        }
        assert_eq!(Scale::Linear.to_signed_unit(2.0, -0.5), Some(-0.25));
        let tenth = scale.to_signed_unit(1.0, -1e-3).expect("a number");
        let formula = -(1.0 + 1e3f64).ln() / (1.0 + 1e6f64).ln();
        assert!((tenth - formula).abs() < 1e-12, "{tenth} {formula}");
    }

    #[test]
    fn domains_are_valid_for_any_values() {
        let of = |a, b| (Domain::new(a, b).min(), Domain::new(a, b).max());
        assert_eq!(of(3.0, 1.0), (1.0, 3.0));
        assert_eq!(of(2.0, 2.0), (1.9, 2.1));
        assert_eq!(of(0.0, 0.0), (-0.5, 0.5));
        assert_eq!(of(f64::NAN, 2.0), (1.9, 2.1));
        assert_eq!(of(f64::NAN, f64::INFINITY), (0.0, 1.0));
    }

    pub fn any_scale() -> impl Strategy<Value = Scale> {
        prop_oneof![
            Just(Scale::Linear),
            Just(Scale::Log),
            prop::num::f64::ANY.prop_map(|linear| Scale::SymLog { linear }),
            (-9i32..3).prop_map(|exponent| Scale::SymLog {
                linear: 10f64.powi(exponent)
            }),
        ]
    }

    proptest! {
        #[test]
        fn positions_convert_back_to_values(
            scale in any_scale(),
            a in -1e6f64..1e6,
            b in -1e6f64..1e6,
            unit in 0.0f64..=1.0,
        ) {
            let domain = Domain::new(a, b);
            let value = scale.from_unit(domain, unit);
            let back = scale.to_unit(domain, value).expect("a number");
            prop_assert!((back - unit).abs() < 1e-6, "{} {} {}", value, unit, back);
        }

        #[test]
        fn positions_increase_with_values(
            scale in any_scale(),
            a in prop::num::f64::ANY,
            b in prop::num::f64::ANY,
            mut values in prop::collection::vec(prop::num::f64::ANY, 2..9),
        ) {
            values.sort_by(f64::total_cmp);
            let domain = Domain::new(a, b);
            let places: Vec<f64> =
                values.into_iter().filter_map(|value| scale.to_unit(domain, value)).collect();
            prop_assert!(places.iter().all(|place| (0.0..=1.0).contains(place)));
            prop_assert!(places.is_sorted());
        }
    }
}
