//! Paths through parameter space that another program has taken.
//!
//! What is allocated depends on the path alone, so the weights of each step may come from anywhere: a
//! recorded run, a folder of snapshots ([`Snapshots`]), or the straight line between two points
//! ([`Straight`]). The trainer follows a [`Course`] instead of an optimizer.

mod snapshots;
mod straight;

pub use snapshots::Snapshots;
pub use straight::Straight;

/// Why a course cannot be followed. Says what was wrong, and where.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CourseError(pub String);

/// The points of a path, one behind another; a step leads from each to the next.
pub trait Course: Send {
    /// One less than there are points; at least 1.
    fn steps(&self) -> u64;

    /// Writes the point after so many steps, up to [`steps`](Course::steps), into `params` (`[P]`, in the
    /// order of the layout).
    ///
    /// # Errors
    /// It cannot be read, or is of another network.
    fn point(&mut self, done: u64, params: &mut [f32]) -> Result<(), CourseError>;
}
