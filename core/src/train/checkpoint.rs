//! Saves and restores a training's state.

use std::time::Duration;

use super::trainer::Trainer;
use crate::lca::AllocatorMemory;
use crate::optim::Groups;
use crate::record::{Checkpoint, ParamTotals, SavedArray, SavedKind, SavedShape, SavedValues};

/// Error for a state saved by another program or with another configuration.
#[derive(Debug, thiserror::Error)]
#[error("the checkpoint does not fit this training: {0}")]
pub struct MisfitError(String);

impl Trainer {
    /// Returns the state after the steps done.
    #[must_use]
    pub fn checkpoint(&mut self) -> Checkpoint {
        let arrays = self.state().into_iter().map(|part| SavedArray {
            name: part.name,
            description: part.description,
            values: part.values.saved(),
        });
        let arrays = arrays.collect();
        Checkpoint {
            step: self.step,
            arrays,
        }
    }

    /// Returns the layout that all checkpoints of this training share.
    #[must_use]
    pub fn checkpoint_shape(&mut self) -> Vec<SavedShape> {
        let parts = self.state().into_iter().map(|part| SavedShape {
            name: part.name,
            description: part.description,
            kind: part.values.kind(),
            len: part.values.len(),
        });
        parts.collect()
    }

    /// Returns the parts of the state, in the order in which they are saved.
    fn state(&mut self) -> Vec<StatePart<'_>> {
        let mut parts = Vec::new();
        let mut add = |name, description, values| {
            parts.push(StatePart {
                name,
                description,
                values,
            });
        };
        let all = |values| Values::F32(vec![Piece::Values(values)]);
        add("params", "[P] parameters", all(&self.theta));
        let what = "[Q] running averages of batch norms";
        add("running", what, all(&self.running));
        let totals = self.allocator.totals();
        let what = "[P] sum of allocations, in nats";
        add("lca_sum", what, Values::F64(&totals.lca_sum));
        let what = "[P] steps that helped";
        add("helped", what, Values::U32(&totals.helped));
        let what = "[P] steps whose movement turned round";
        add("update_flips", what, Values::U32(&totals.update_flips));
        let what = "[P] steps over which the full gradient changed sign";
        add("gradient_flips", what, Values::U32(&totals.gradient_flips));
        let what = "[P] allocations of the last step, in nats";
        add("last_lca", what, Values::F64(self.allocator.lca()));
        let what = "[P] signs in the last step, two bits each (1 positive, 2 negative), from the lowest: of the \
                    movement, of the change of the full gradient, of the change of the allocation";
        add("last_signs", what, Values::U8(self.allocator.signs()));
        add_groups(&mut self.groups, add);
        parts
    }

    /// Returns true if the parameters are those of a state.
    #[must_use]
    pub fn is_at(&self, saved: &Checkpoint) -> bool {
        let same = |values: &SavedValues| match values {
            SavedValues::F32(values) => {
                let pairs = values.iter().zip(&self.theta);
                values.len() == self.theta.len()
                    && pairs.into_iter().all(|(a, b)| a.to_bits() == b.to_bits())
            }
            _ => false,
        };
        let params = saved.arrays.iter().find(|array| array.name == "params");
        params.is_some_and(|array| same(&array.values))
    }

    /// Restores a state. The training continues exactly as the saved one would have. Must be called before
    /// [`start`](Trainer::start).
    ///
    /// # Errors
    /// The arrays are not those of this network and optimizer.
    pub fn restore(&mut self, saved: &Checkpoint) -> Result<(), MisfitError> {
        let mut from = SavedArrays(saved.arrays.iter());
        from.copy_f32("params", &mut self.theta)?;
        from.copy_f32("running", &mut self.running)?;
        let mut totals = ParamTotals::new(self.theta.len());
        totals.steps = saved.step;
        from.copy_f64("lca_sum", &mut totals.lca_sum)?;
        from.copy_u32("helped", &mut totals.helped)?;
        from.copy_u32("update_flips", &mut totals.update_flips)?;
        from.copy_u32("gradient_flips", &mut totals.gradient_flips)?;
        let AllocatorMemory { lca, signs } = self.allocator.memory();
        from.copy_f64("last_lca", lca)?;
        from.copy_u8("last_signs", signs)?;
        self.allocator.set_totals(totals);
        restore_groups(&mut self.groups, &mut from)?;
        self.next.copy_from_slice(&self.theta);
        self.step = saved.step;
        self.batches.seek(self.optimizer_steps(self.step));
        Ok(())
    }

    /// Sets the run's clock to `seconds`.
    pub fn set_clock(&mut self, seconds: f64) {
        self.earlier = Duration::try_from_secs_f64(seconds).unwrap_or_default();
    }
}

/// A part of a training's state.
struct StatePart<'a> {
    name: &'static str,
    description: &'static str,
    values: Values<'a>,
}

enum Values<'a> {
    U8(&'a [u8]),
    F32(Vec<Piece<'a>>),
    F64(&'a [f64]),
    U32(&'a [u32]),
    U64(Vec<u64>),
}

enum Piece<'a> {
    Values(&'a [f32]),
    Zeros(usize),
}

impl Values<'_> {
    fn len(&self) -> usize {
        match self {
            Self::U8(values) => values.len(),
            Self::F32(pieces) => {
                let lens = pieces.iter().map(|piece| match piece {
                    Piece::Values(values) => values.len(),
                    Piece::Zeros(count) => *count,
                });
                lens.sum()
            }
            Self::F64(values) => values.len(),
            Self::U32(values) => values.len(),
            Self::U64(values) => values.len(),
        }
    }

    fn kind(&self) -> SavedKind {
        match self {
            Self::U8(_) => SavedKind::U8,
            Self::F32(_) => SavedKind::F32,
            Self::F64(_) => SavedKind::F64,
            Self::U32(_) => SavedKind::U32,
            Self::U64(_) => SavedKind::U64,
        }
    }

    fn saved(self) -> SavedValues {
        match self {
            Self::U8(values) => SavedValues::U8(values.to_vec()),
            Self::F32(pieces) => {
                let mut all = Vec::new();
                for piece in pieces {
                    match piece {
                        Piece::Values(values) => all.extend_from_slice(values),
                        Piece::Zeros(count) => all.resize(all.len() + count, 0.0),
                    }
                }
                SavedValues::F32(all)
            }
            Self::F64(values) => SavedValues::F64(values.to_vec()),
            Self::U32(values) => SavedValues::U32(values.to_vec()),
            Self::U64(values) => SavedValues::U64(values),
        }
    }
}

/// Adds the optimizers' memory and the gradients that wait for delayed layers, group by group.
fn add_groups<'a>(
    groups: &'a mut Groups,
    mut add: impl FnMut(&'static str, &'static str, Values<'a>),
) {
    let mut averages = Vec::new();
    let mut steps = Vec::new();
    let mut waiting = Vec::new();
    let mut gradients = Vec::new();
    for group in groups.memory() {
        let own = group.optimizer.averages.into_iter();
        averages.extend(own.map(|average| Piece::Values(average)));
        steps.push(
            group
                .optimizer
                .steps
                .map_or(0, |steps| u64::from(steps.unsigned_abs())),
        );
        waiting.push(group.waiting.len() as u64);
        // A queue that is not full yet takes up the space of a full one.
        let room = (group.delay - group.waiting.len()) * group.range.len();
        let own = group.waiting.iter();
        gradients.extend(own.map(|gradient| Piece::Values(gradient)));
        gradients.push(Piece::Zeros(room));
    }
    add(
        "optimizer_averages",
        "running sums and averages of the optimizer, group of layers behind group",
        Values::F32(averages),
    );
    add(
        "optimizer_steps",
        "steps of the optimizer of each group of layers, where its formula counts them",
        Values::U64(steps),
    );
    add(
        "delayed",
        "gradients that wait, of groups with a delay, oldest first",
        Values::F32(gradients),
    );
    add(
        "delayed_count",
        "how many of them wait, for each group of layers",
        Values::U64(waiting),
    );
}

fn restore_groups(groups: &mut Groups, from: &mut SavedArrays) -> Result<(), MisfitError> {
    let averages = from.f32("optimizer_averages")?;
    let steps = from.u64("optimizer_steps")?;
    let gradients = from.f32("delayed")?;
    let waiting = from.u64("delayed_count")?;
    let mut groups = groups.memory();
    if steps.len() != groups.len() || waiting.len() != groups.len() {
        return Err(MisfitError(format!(
            "it has {} groups of layers instead of {}",
            steps.len(),
            groups.len()
        )));
    }
    let short = || MisfitError("the optimizer's state has the wrong length".to_owned());
    let (mut averages, mut gradients) = (averages, gradients);
    for (group, (&steps, &waiting)) in groups.iter_mut().zip(steps.iter().zip(waiting)) {
        for average in &mut group.optimizer.averages {
            let (own, rest) = averages.split_at_checked(average.len()).ok_or_else(short)?;
            average.copy_from_slice(own);
            averages = rest;
        }
        if let Some(count) = &mut group.optimizer.steps {
            **count = i32::try_from(steps).map_err(|_| short())?;
        }
        let size = group.range.len();
        let (own, rest) = (gradients.split_at_checked(group.delay * size)).ok_or_else(short)?;
        gradients = rest;
        let waiting = usize::try_from(waiting).ok().filter(|&n| n <= group.delay);
        let waiting = waiting.ok_or_else(short)?;
        group.waiting.clear();
        for gradient in 0..waiting {
            let gradient = &own[gradient * size..][..size];
            group.waiting.push_back(gradient.to_vec());
        }
    }
    if averages.is_empty() && gradients.is_empty() {
        Ok(())
    } else {
        Err(short())
    }
}

/// The saved arrays, read in order.
struct SavedArrays<'a>(std::slice::Iter<'a, SavedArray>);

impl<'a> SavedArrays<'a> {
    fn values(&mut self, name: &str) -> Result<&'a SavedValues, MisfitError> {
        match self.0.next() {
            Some(array) if array.name == name => Ok(&array.values),
            _ => Err(MisfitError(format!("`{name}` is missing"))),
        }
    }

    fn f32(&mut self, name: &str) -> Result<&'a [f32], MisfitError> {
        match self.values(name)? {
            SavedValues::F32(values) => Ok(values),
            _ => Err(wrong_type(name)),
        }
    }

    fn u64(&mut self, name: &str) -> Result<&'a [u64], MisfitError> {
        match self.values(name)? {
            SavedValues::U64(values) => Ok(values),
            _ => Err(wrong_type(name)),
        }
    }

    fn copy_f32(&mut self, name: &str, to: &mut [f32]) -> Result<(), MisfitError> {
        copy(name, self.f32(name)?, to)
    }

    fn copy_f64(&mut self, name: &str, to: &mut [f64]) -> Result<(), MisfitError> {
        match self.values(name)? {
            SavedValues::F64(values) => copy(name, values, to),
            _ => Err(wrong_type(name)),
        }
    }

    fn copy_u8(&mut self, name: &str, to: &mut [u8]) -> Result<(), MisfitError> {
        match self.values(name)? {
            SavedValues::U8(values) => copy(name, values, to),
            _ => Err(wrong_type(name)),
        }
    }

    fn copy_u32(&mut self, name: &str, to: &mut [u32]) -> Result<(), MisfitError> {
        match self.values(name)? {
            SavedValues::U32(values) => copy(name, values, to),
            _ => Err(wrong_type(name)),
        }
    }
}

fn wrong_type(name: &str) -> MisfitError {
    MisfitError(format!("`{name}` has the wrong type"))
}

fn copy<T: Copy>(name: &str, from: &[T], to: &mut [T]) -> Result<(), MisfitError> {
    if from.len() != to.len() {
        return Err(MisfitError(format!(
            "`{name}` has {} values instead of {}",
            from.len(),
            to.len()
        )));
    }
    to.copy_from_slice(from);
    Ok(())
}
