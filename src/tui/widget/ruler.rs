//! Lengths on both sides of a zero line between two rows of cells, to an eighth of a cell, for
//! [`StackedBars`](super::StackedBars).

use crate::analysis::scale::Domain;

/// The position of zero, and the value of an eighth of a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ruler {
    /// Rows of cells above and below zero.
    pub up: u16,
    pub down: u16,
    pub eighth: f64,
}

impl Ruler {
    /// Creates a ruler for the least and the largest sum to show, over this many rows of cells.
    pub fn new((least, largest): (f64, f64), rows: u16) -> Self {
        let side = |value: f64| {
            if value.is_finite() {
                value.clamp(0.0, 1e300)
            } else {
                0.0
            }
        };
        let (above, below) = (side(largest), side(-least));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a part of the rows"
        )]
        let up = match (above > 0.0, below > 0.0) {
            (false, false) => rows.div_ceil(2),
            (true, false) => rows,
            (false, true) => 0,
            (true, true) => {
                let share = above / (above + below) * f64::from(rows);
                (share.round() as u16).clamp(1, rows.saturating_sub(1).max(1))
            }
        };
        let down = rows.saturating_sub(up);
        let per = |value: f64, rows: u16| value / (8.0 * f64::from(rows.max(1)));
        let eighth = per(above, up).max(per(below, down));
        Self {
            up,
            down,
            eighth: if eighth > 1e-300 { eighth } else { 1.0 },
        }
    }

    /// The values at the bottom and the top edge.
    pub fn domain(self) -> Domain {
        let edge = |rows: u16| 8.0 * f64::from(rows) * self.eighth;
        Domain::new(-edge(self.down), edge(self.up))
    }

    /// The number of eighths from zero, rounded.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates"
    )]
    pub fn eighths(self, magnitude: f64) -> usize {
        (magnitude / self.eighth).round() as usize
    }

    /// The row of the cell in which a bar of this value ends.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within the plot's rows"
    )]
    pub fn row(self, value: f64) -> Option<u16> {
        let rows = self.up + self.down;
        let cells = (value.abs() / self.eighth / 8.0).ceil().max(1.0);
        let row = match value {
            _ if value.is_nan() || rows == 0 => return None,
            value if value > 0.0 || (value == 0.0 && self.up > 0) => f64::from(self.up) - cells,
            _ => f64::from(self.up) + cells - 1.0,
        };
        Some(row.clamp(0.0, f64::from(rows - 1)) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_have_the_rows_that_they_need() {
        let ruler = |least, largest, rows| Ruler::new((least, largest), rows);
        let rows = |ruler: Ruler| (ruler.up, ruler.down);
        assert_eq!(rows(ruler(-1.0, 1.0, 10)), (5, 5));
        assert_eq!(rows(ruler(-3.0, 1.0, 12)), (3, 9));
        assert_eq!(rows(ruler(-1e-9, 1.0, 12)), (11, 1));
        assert_eq!(rows(ruler(0.0, 1.0, 12)), (12, 0));
        assert_eq!(rows(ruler(-1.0, 0.0, 12)), (0, 12));
        assert_eq!(rows(ruler(f64::NAN, f64::INFINITY, 5)), (3, 2));
        let quarter = ruler(-8.0, 8.0, 4);
        assert_eq!(quarter.eighth.to_bits(), 0.5f64.to_bits());
        assert_eq!(
            (quarter.domain().min(), quarter.domain().max()),
            (-8.0, 8.0)
        );
        assert_eq!(quarter.eighths(3.3), 7);
    }

    #[test]
    fn a_value_is_in_the_cell_that_its_bar_ends_in() {
        let ruler = Ruler::new((-8.0, 8.0), 4);
        let row = |value| ruler.row(value);
        assert_eq!(
            [8.0, 4.1, 4.0, 0.1, 0.0].map(row),
            [0, 0, 1, 1, 1].map(Some)
        );
        assert_eq!(
            [-0.1, -4.0, -4.1, -8.0, -99.0].map(row),
            [2, 2, 3, 3, 3].map(Some)
        );
        assert_eq!(row(f64::NAN), None);
    }
}
