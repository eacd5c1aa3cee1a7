//! The straight line between the ends of another path.

use super::{Trajectory, TrajectoryError};

/// A path in equal steps from the first point of a trajectory to its last: point k of n is `θ_0 + (k / n) (θ_T − θ_0)`,
/// computed in double precision and rounded to single.
///
/// The allocation along it depends only on where the training began and ended, not on the path it took.
pub struct StraightLine {
    steps: u64,
    /// `[P]`
    first: Vec<f32>,
    last: Vec<f32>,
    /// Names of the two ends, if they are files.
    files: Vec<String>,
}

impl StraightLine {
    /// A line of `steps` steps between the ends of `trajectory`; `params` is P.
    ///
    /// # Errors
    /// The ends of `trajectory` cannot be read.
    pub fn between_ends_of(
        trajectory: &mut dyn Trajectory,
        params: usize,
        steps: u64,
    ) -> Result<Self, TrajectoryError> {
        let (mut first, mut last) = (vec![0.0; params], vec![0.0; params]);
        trajectory.point(0, &mut first)?;
        trajectory.point(trajectory.steps(), &mut last)?;
        let mut files = trajectory.files();
        if files.len() > 2 {
            files.drain(1..files.len() - 1);
        }
        Ok(Self {
            steps: steps.max(1),
            files,
            first,
            last,
        })
    }
}

impl Trajectory for StraightLine {
    fn steps(&self) -> u64 {
        self.steps
    }

    fn point(&mut self, done: u64, params: &mut [f32]) -> Result<(), TrajectoryError> {
        if done >= self.steps {
            params.copy_from_slice(&self.last);
            return Ok(());
        }
        #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52 steps")]
        let part = done as f64 / self.steps as f64;
        let ends = self.first.iter().zip(&self.last);
        for (param, (&first, &last)) in params.iter_mut().zip(ends) {
            let (first, last) = (f64::from(first), f64::from(last));
            #[expect(clippy::cast_possible_truncation, reason = "parameters are f32")]
            let value = (first + part * (last - first)) as f32;
            *param = value;
        }
        Ok(())
    }

    fn files(&self) -> Vec<String> {
        self.files.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Corner;

    impl Trajectory for Corner {
        fn steps(&self) -> u64 {
            2
        }

        fn point(&mut self, done: u64, params: &mut [f32]) -> Result<(), TrajectoryError> {
            params.copy_from_slice(
                [[1.0, -2.0], [9.0, 9.0], [2.0, 0.1]][usize::try_from(done).unwrap()].as_slice(),
            );
            Ok(())
        }
    }

    #[test]
    fn a_straight_line_has_equal_steps_between_the_ends_of_its_trajectory() {
        let mut line = StraightLine::between_ends_of(&mut Corner, 2, 4).unwrap();
        let points: Vec<[f32; 2]> = (0..=line.steps())
            .map(|done| {
                let mut point = [0.0; 2];
                line.point(done, &mut point).unwrap();
                point
            })
            .collect();
        assert_eq!(
            (points.len(), points[0], points[4]),
            (5, [1.0, -2.0], [2.0, 0.1])
        );
        assert_eq!(
            [points[1][0], points[2][0], points[3][0]],
            [1.25, 1.5, 1.75]
        );
        for k in 0..4 {
            let step = f64::from(points[k + 1][1]) - f64::from(points[k][1]);
            assert!((step - 2.1 / 4.0).abs() < 1e-6, "{step}");
        }
    }
}
