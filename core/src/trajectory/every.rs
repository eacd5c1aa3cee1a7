//! Every Nth point of another path: a step covers several of that path's steps.

use super::{Trajectory, TrajectoryError};

/// A path through every Nth point of another path, beginning with the first, and through its last.
pub struct EveryNth {
    path: Box<dyn Trajectory>,
    every: u64,
}

impl EveryNth {
    /// Takes every `every`th point of a path of known length.
    #[must_use]
    pub fn new(path: Box<dyn Trajectory>, every: u64) -> Self {
        Self {
            path,
            every: every.max(1),
        }
    }
}

impl Trajectory for EveryNth {
    fn steps(&self) -> u64 {
        self.path.steps().div_ceil(self.every)
    }

    fn point(&mut self, done: u64, params: &mut [f32]) -> Result<(), TrajectoryError> {
        let point = done.saturating_mul(self.every).min(self.path.steps());
        self.path.point(point, params)
    }

    fn files(&self) -> Vec<String> {
        let mut files = self.path.files();
        let last = files.len().saturating_sub(1);
        let every = usize::try_from(self.every).unwrap_or(usize::MAX);
        let mut at = 0..;
        files.retain(|_| at.next().is_some_and(|at| at % every == 0 || at == last));
        files
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path of 7 steps, whose points are their numbers.
    struct Numbered;

    impl Trajectory for Numbered {
        fn steps(&self) -> u64 {
            7
        }

        fn point(&mut self, done: u64, params: &mut [f32]) -> Result<(), TrajectoryError> {
            params[0] = f32::from(u8::try_from(done).unwrap());
            Ok(())
        }

        fn files(&self) -> Vec<String> {
            (0..=7).map(|point| point.to_string()).collect()
        }
    }

    #[test]
    fn the_last_point_is_kept_whatever_the_number() {
        for (every, points) in [
            (1, vec![0, 1, 2, 3, 4, 5, 6, 7]),
            (3, vec![0, 3, 6, 7]),
            (7, vec![0, 7]),
            (u64::MAX, vec![0, 7]),
        ] {
            let mut path = EveryNth::new(Box::new(Numbered), every);
            assert_eq!(path.steps(), points.len() as u64 - 1);
            let names: Vec<String> = points.iter().map(u8::to_string).collect();
            assert_eq!(path.files(), names);
            for (done, &point) in (0..).zip(&points) {
                let mut params = [0.0];
                path.point(done, &mut params).unwrap();
                assert_eq!(params, [f32::from(point)]);
            }
        }
    }
}
