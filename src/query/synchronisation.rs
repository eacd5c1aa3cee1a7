//! Moments of learning of all layers in the run so far, compared with chance.
//!
//! The moments are found step by step and kept ([`StepWatch`] for the training loss, [`ClassMoments`] within the
//! classes), so a new step costs O(layers). The null distributions are drawn again only when their outcome can have
//! changed: for jitter, when the moments change; for circular shifts, also when the run grows.

use serde::{Deserialize, Serialize};

use super::Answer;
use super::input::{NO_CLASSES, QueryInput, no_such_index};
use super::watch::{ReadOutcome, StepWatch};
use crate::analysis::moments::{KEEP, Moments, shared};
use crate::analysis::nulls::{self, Draws, NullModel};
use crate::store::{StepDataset, StoreError};

/// Moments of the steps `0 .. steps`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Synchronisation {
    pub steps: u64,
    /// `[L]`: the steps of each layer's 20 deepest moments, ascending.
    pub moments: Vec<Vec<u64>>,
    /// Steps that are moments of two or more layers, and the number of layers.
    pub shared: Vec<(u64, u32)>,
    /// #{(layer, t) : t is shared} and #{(layer, t)}.
    pub pairs: u64,
    pub count: u64,
    /// By chance: each moment jittered by 1–2 steps on its own; all moments of a layer shifted circularly together.
    pub jitter: Chance,
    pub circular: Chance,
}

/// The outcome of a null model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Chance {
    pub draws: u32,
    pub mean: f64,
    pub deviation: f64,
    /// `(1 + draws with at least as many pairs) / (1 + draws)`
    pub p: f64,
    /// Number of draws by their count of pairs: `(first, end, draws)`, ascending, without gaps.
    pub bars: Vec<(u64, u64, u32)>,
}

impl Chance {
    fn simulate(sets: &[Vec<u64>], steps: u64, model: NullModel) -> Self {
        let null = nulls::null(sets, &(0..steps), model, Draws::default());
        let bars = null.histogram.into_iter();
        Self {
            draws: null.draws,
            mean: null.mean,
            deviation: null.deviation,
            p: null.p,
            bars: bars
                .map(|bar| (bar.counts.start as u64, bar.counts.end as u64, bar.draws))
                .collect(),
        }
    }
}

/// The latest null distributions, and the inputs they depend on.
#[derive(Default)]
pub(super) struct NullCache {
    sets: Vec<Vec<u64>>,
    /// Steps of the run, and the part of them that matters to jitter.
    steps: u64,
    near: u64,
    jitter: Chance,
    circular: Chance,
}

impl NullCache {
    fn draw(&mut self, sets: &[Vec<u64>], steps: u64) {
        let last = sets.iter().filter_map(|set| set.last()).max();
        // Jitter moves a moment by at most two steps, within the run.
        let near = steps.min(last.map_or(0, |last| last.saturating_add(3)));
        let same = self.sets == sets;
        if !same || self.near != near || self.jitter.draws == 0 {
            self.jitter = Chance::simulate(sets, near, NullModel::Jitter);
        }
        if !same || self.steps != steps || self.circular.draws == 0 {
            self.circular = Chance::simulate(sets, steps, NullModel::Circular);
        }
        if !same {
            self.sets = sets.to_vec();
        }
        (self.steps, self.near) = (steps, near);
    }
}

/// Moments within each class.
pub(super) struct ClassMoments {
    next: u64,
    /// `[C]`: the moments within each class.
    classes: Vec<Moments>,
    /// Steps whose allocation was split by class.
    measured: u64,
}

impl ClassMoments {
    fn new(classes: usize, layers: usize) -> Self {
        Self {
            next: 0,
            classes: vec![Moments::new(layers, KEEP); classes],
            measured: 0,
        }
    }

    /// Reads up to the end of the steps asked for.
    fn catch_up(
        &mut self,
        input: &QueryInput,
        table: &StepDataset,
    ) -> Result<ReadOutcome, StoreError> {
        let header = input.reader.header();
        let layers = header.layout.layers.len();
        if input.steps.end < self.next {
            *self = Self::new(self.classes.len(), layers);
        }
        for rows in table.blocks(&(self.next..input.steps.end)) {
            if (input.cancelled)() {
                return Ok(ReadOutcome::Cancelled);
            }
            let values = table.reals(rows.clone())?;
            for (step, row) in rows.zip(values.chunks(table.row_len())) {
                self.measured += u64::from(row.iter().any(|a| a.is_finite()));
                for (class, a) in self.classes.iter_mut().zip(row.chunks(layers)) {
                    class.push(step, a);
                }
                self.next = step + 1;
            }
        }
        Ok(ReadOutcome::Done)
    }
}

/// The cached state of this topic.
#[derive(Default)]
pub(super) struct SynchronisationCache {
    pub all: NullCache,
    classes: Option<ClassMoments>,
    /// For the class asked about last.
    class: Option<(u32, NullCache)>,
}

/// Answers for all layers, for the training loss or within one class.
pub(super) fn answer(
    input: &QueryInput,
    class: Option<u32>,
    watch: &mut StepWatch,
    kept: &mut SynchronisationCache,
) -> Result<Answer, StoreError> {
    let Some(class) = class else {
        if watch.catch_up(input)? == ReadOutcome::Cancelled {
            return Ok(Answer::Cancelled);
        }
        let known = counted(watch.moments(), watch.steps(), &mut kept.all);
        return Ok(Answer::Synchronisation(known));
    };
    let header = input.reader.header();
    let (classes, layers) = (header.classes.len(), header.layout.layers.len());
    if class as usize >= classes {
        return Ok(no_such_index("class", class));
    }
    let table = input.reader.table("lca/class_layer")?;
    let Some(table) = table.filter(|table| table.row_len() > 0) else {
        return Ok(Answer::Unknown(NO_CLASSES.to_owned()));
    };
    if table.rows() == 0 {
        // No data yet, and no row to show that classes and layers fit the file.
        return Ok(Answer::Synchronisation(Synchronisation::default()));
    }
    let within = (kept.classes).get_or_insert_with(|| ClassMoments::new(classes, layers));
    if within.catch_up(input, &table)? == ReadOutcome::Cancelled {
        return Ok(Answer::Cancelled);
    }
    if within.measured == 0 && within.next > 0 {
        return Ok(Answer::Unknown(NO_CLASSES.to_owned()));
    }
    if within.measured < within.next && within.classes.iter().all(is_empty) {
        return Ok(Answer::Unknown(
            "moments within a class need three consecutive steps split by class: train with --by-class and \
             --class-every 1"
                .to_owned(),
        ));
    }
    if kept.class.as_ref().is_none_or(|(of, _)| *of != class) {
        kept.class = Some((class, NullCache::default()));
    }
    match (&mut kept.class, within.classes.get(class as usize)) {
        (Some((_, nulls)), Some(moments)) => {
            let known = counted(moments, within.next, nulls);
            Ok(Answer::Synchronisation(known))
        }
        _ => Ok(no_such_index("class", class)),
    }
}

fn is_empty(moments: &Moments) -> bool {
    moments.sets().iter().all(Vec::is_empty)
}

/// Counts the shared moments and compares them with chance.
pub(super) fn counted(moments: &Moments, steps: u64, nulls: &mut NullCache) -> Synchronisation {
    let moments = moments.sets();
    nulls.draw(&moments, steps);
    let shared = shared(&moments);
    let of = |layers: usize| u32::try_from(layers).unwrap_or(u32::MAX);
    Synchronisation {
        steps,
        shared: (shared.steps.iter())
            .map(|at| (at.step, of(at.layers)))
            .collect(),
        pairs: shared.pairs as u64,
        count: shared.moments as u64,
        jitter: nulls.jitter.clone(),
        circular: nulls.circular.clone(),
        moments,
    }
}
