//! Saves and restores a training's state.

use std::time::Duration;

use super::trainer::Trainer;
use crate::lca::AllocatorMemory;
use crate::optim::Groups;
use crate::record::{Checkpoint, ParamTotals, SavedArray, SavedValues};

/// Error for a state saved by another program or with another configuration.
#[derive(Debug, thiserror::Error)]
#[error("the checkpoint does not fit this training: {0}")]
pub struct MisfitError(String);

impl Trainer {
    /// Returns the state after the steps done.
    #[must_use]
    pub fn checkpoint(&mut self) -> Checkpoint {
        let mut arrays = Vec::new();
        let mut save = |name, description, values| {
            arrays.push(SavedArray {
                name,
                description,
                values,
            });
        };
        save(
            "params",
            "[P] parameters",
            SavedValues::F32(self.theta.clone()),
        );
        save(
            "running",
            "[Q] running averages of batch norms",
            SavedValues::F32(self.running.clone()),
        );
        let totals = self.allocator.totals();
        save(
            "lca_sum",
            "[P] sum of allocations, in nats",
            SavedValues::F64(totals.lca_sum.clone()),
        );
        for (name, description, counts) in [
            ("helped", "[P] steps that helped", &totals.helped),
            (
                "update_flips",
                "[P] steps whose movement turned round",
                &totals.update_flips,
            ),
            (
                "gradient_flips",
                "[P] steps over which the full gradient changed sign",
                &totals.gradient_flips,
            ),
        ] {
            save(name, description, SavedValues::U32(counts.clone()));
        }
        let memory = self.allocator.memory();
        save(
            "last_lca",
            "[P] allocations of the last step, in nats",
            SavedValues::F64(memory.lca.to_vec()),
        );
        save(
            "last_signs",
            "[P] signs in the last step, two bits each (1 positive, 2 negative), from the lowest: of the movement, of \
             the change of the full gradient, of the change of the allocation",
            SavedValues::U8(memory.signs.to_vec()),
        );
        save_groups(&mut self.groups, &mut save);
        Checkpoint {
            step: self.step,
            arrays,
        }
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

/// Saves the optimizers and the gradients waiting for delayed layers, group by group.
fn save_groups(
    groups: &mut Groups,
    save: &mut impl FnMut(&'static str, &'static str, SavedValues),
) {
    let mut averages = Vec::new();
    let mut steps = Vec::new();
    let mut waiting = Vec::new();
    let mut gradients = Vec::new();
    for group in groups.memory() {
        for average in &group.optimizer.averages {
            averages.extend_from_slice(average);
        }
        steps.push(
            group
                .optimizer
                .steps
                .map_or(0, |steps| u64::from(steps.unsigned_abs())),
        );
        waiting.push(group.waiting.len() as u64);
        for gradient in group.waiting.iter() {
            gradients.extend_from_slice(gradient);
        }
        // A queue that is not full yet takes up the space of a full one.
        let room = (group.delay - group.waiting.len()) * group.range.len();
        gradients.resize(gradients.len() + room, 0.0);
    }
    save(
        "optimizer_averages",
        "running sums and averages of the optimizer, group of layers behind group",
        SavedValues::F32(averages),
    );
    save(
        "optimizer_steps",
        "steps of the optimizer of each group of layers, where its formula counts them",
        SavedValues::U64(steps),
    );
    save(
        "delayed",
        "gradients that wait, of groups with a delay, oldest first",
        SavedValues::F32(gradients),
    );
    save(
        "delayed_count",
        "how many of them wait, for each group of layers",
        SavedValues::U64(waiting),
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
