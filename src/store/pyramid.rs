//! Summaries of 32, 1024 and 32,768 steps, written beside the steps that they summarise.
//!
//! ```text
//! steps          0 1 2 … 31 | 32 … 63 | …          lca/…, step/…: every step
//! pyramid/32     ----- 0 ---|--- 1 ---| …          a row as soon as its 32 steps are done
//! pyramid/1024   ------------- 0 ------------ …    a row of 32 rows of the level below
//! pyramid/32768  …
//! ```
//!
//! A row is a [`StepSummary`], so it closes as its steps do. To draw a million steps, a thousand rows are read. Only
//! whole groups are in the file: the steps after the last one are read one by one.

use hdf5::{Dataset, File, Group};

use super::growing_dataset::{AnyGrowingDataset, create_columns, cut, open_columns, push_record};
use super::schema::{Axes, DatasetColumn, RowGetter};
use crate::record::{LayerSummary, RunHeader, StepSummary};
use crate::summary_fields;

/// Steps per row of each level. Each is a multiple of the one before.
pub const WIDTHS: [u64; 3] = [32, 1024, 32_768];

/// The most rows in a chunk: most runs have few of them.
const CHUNK_ROWS: usize = 128;

/// Generates the rows in memory, the table that is written, and the datasets that are read, from the fields of a
/// summary.
macro_rules! columns {
    (
        steps { $($step:ident: $step_number:ident $step_rule:ident $step_unit:literal $step_what:literal;)* }
        layers { $($layer:ident: $layer_number:ident $layer_rule:ident $layer_unit:literal $layer_what:literal;)* }
    ) => {
        /// Rows of a level, column by column: `[rows]` or `[rows, L]`.
        #[derive(Debug, Default, PartialEq)]
        pub struct LevelRows {
            $($step: Vec<$step_number>,)*
            $($layer: Vec<$layer_number>,)*
        }

        /// The columns of a level, below `pyramid/<width>/`.
        pub const COLUMNS: &[DatasetColumn<LevelRows>] = &[
            $(column!($step_number $step None $step_unit $step_what),)*
            $(column!($layer_number $layer Layers $layer_unit $layer_what),)*
        ];

        /// The open datasets of a level.
        pub struct Datasets {
            $($step: Dataset,)*
            $($layer: Dataset,)*
        }

        impl Datasets {
            /// Opens each dataset by its name and axes.
            pub fn open<E>(open: impl Fn(&str, Axes) -> Result<Dataset, E>) -> Result<Self, E> {
                Ok(Self {
                    $($step: open(stringify!($step), Axes::None)?,)*
                    $($layer: open(stringify!($layer), Axes::Layers)?,)*
                })
            }

            pub fn each(&self) -> impl Iterator<Item = &Dataset> {
                [$(&self.$step,)* $(&self.$layer,)*].into_iter()
            }

            /// Reads rows of all columns.
            pub fn read<E>(&self, read: &impl ReadColumn<Error = E>) -> Result<LevelRows, E> {
                Ok(LevelRows {
                    $($step: read.column(&self.$step)?,)*
                    $($layer: read.column(&self.$layer)?,)*
                })
            }
        }

        impl LevelRows {
            /// The single row of a summary.
            pub fn of(summary: &StepSummary) -> Self {
                Self {
                    $($step: vec![summary.$step],)*
                    $($layer: summary.layers.iter().map(|layer| layer.$layer).collect(),)*
                }
            }

            /// The summary in row `row`, which covers `width` steps starting at `first`.
            pub fn summary(&self, row: usize, first: u64, width: u64, layers: usize) -> StepSummary {
                let layer = |at: usize| LayerSummary { $($layer: self.$layer[at],)* };
                StepSummary {
                    first,
                    end: first + width,
                    $($step: self.$step[row],)*
                    layers: (row * layers..(row + 1) * layers).map(layer).collect(),
                }
            }
        }
    };
}

macro_rules! column {
    (f64 $($rest:tt)*) => { column!(F64 $($rest)*) };
    (u64 $($rest:tt)*) => { column!(U64 $($rest)*) };
    ($kind:ident $field:ident $axes:ident $unit:literal $what:literal) => {
        DatasetColumn {
            path: stringify!($field),
            axes: Axes::$axes,
            row: RowGetter::$kind(|rows: &LevelRows| &rows.$field),
            unit: $unit,
            description: $what,
        }
    };
}

summary_fields!(columns);

/// Reads the requested rows of a column.
pub trait ReadColumn {
    type Error;
    fn column<T: hdf5::H5Type>(&self, dataset: &Dataset) -> Result<Vec<T>, Self::Error>;
}

/// The name of a level's group.
pub fn group_name(width: u64) -> String {
    format!("pyramid/{width}")
}

/// The pyramid of a file being written.
pub struct Pyramid {
    levels: Vec<LevelWriter>,
}

struct LevelWriter {
    width: u64,
    series: Vec<AnyGrowingDataset>,
    /// The summary of the group that is not complete yet.
    unfinished: Option<StepSummary>,
}

impl Pyramid {
    /// Creates the datasets.
    pub fn create(file: &File, header: &RunHeader) -> hdf5::Result<Self> {
        Self::with_datasets(|width| {
            let group = file.create_group(&group_name(width))?;
            create_columns(&group, COLUMNS, header, CHUNK_ROWS)
        })
    }

    /// Reopens the pyramid of a file that continues after `done` committed steps. `steps` are the summaries of single
    /// steps since the last multiple of 32. A file without a pyramid stays without one.
    ///
    /// From here on, exactly what an uninterrupted run would have written is written, over any rows of later steps.
    pub fn reopen(
        file: &File,
        header: &RunHeader,
        done: u64,
        steps: Vec<StepSummary>,
    ) -> hdf5::Result<Option<Self>> {
        if !file.link_exists("pyramid") {
            return Ok(None);
        }
        let count = |steps: u64| usize::try_from(steps).unwrap_or(usize::MAX);
        let mut pyramid = Self::with_datasets(|width| {
            let group = file.group(&group_name(width))?;
            open_columns(&group, COLUMNS, header, count(done / width))
        })?;
        // Each level's unfinished group consists of the whole rows of the level below, in order.
        let mut parts = steps;
        for level in &mut pyramid.levels {
            let since = done / level.width * level.width;
            for part in parts.iter().filter(|part| part.first >= since) {
                level.merge(part);
            }
            let row_of_next = since / level.width;
            let per_next = (WIDTHS.iter().find(|&&width| width > level.width))
                .map_or(0, |next| row_of_next % (next / level.width));
            let group = file.group(&group_name(level.width))?;
            parts = read_rows(
                &group,
                header,
                level.width,
                row_of_next - per_next..row_of_next,
            )?;
        }
        Ok(Some(pyramid))
    }

    fn with_datasets(
        series: impl Fn(u64) -> hdf5::Result<Vec<AnyGrowingDataset>>,
    ) -> hdf5::Result<Self> {
        let level = |&width: &u64| {
            Ok(LevelWriter {
                width,
                series: series(width)?,
                unfinished: None,
            })
        };
        Ok(Self {
            levels: WIDTHS.iter().map(level).collect::<hdf5::Result<_>>()?,
        })
    }

    /// Adds the next step.
    pub fn push(&mut self, step: &StepSummary) {
        let mut whole: Option<StepSummary> = None;
        for level in &mut self.levels {
            level.merge(whole.as_ref().unwrap_or(step));
            match level.take_whole() {
                Some(group) => whole = Some(group),
                None => return,
            }
        }
    }

    /// An upper bound on the bytes that writing the waiting rows, and those of `more` steps after the first `done`,
    /// adds to the file.
    pub fn bytes_needed(&self, done: u64, more: usize) -> u64 {
        let after = done.saturating_add(more as u64);
        let of_level = |level: &LevelWriter| -> u64 {
            let rows = after / level.width - done / level.width;
            let rows = usize::try_from(rows).unwrap_or(usize::MAX);
            level
                .series
                .iter()
                .map(|series| series.bytes_needed(rows))
                .sum()
        };
        self.levels.iter().map(of_level).sum()
    }

    /// Appends the waiting rows.
    pub fn write(&mut self) -> hdf5::Result<()> {
        let mut series = self.levels.iter_mut().flat_map(|level| &mut level.series);
        series.try_for_each(AnyGrowingDataset::write)
    }
}

impl LevelWriter {
    fn merge(&mut self, part: &StepSummary) {
        match &mut self.unfinished {
            Some(group) => group.merge(part),
            None => self.unfinished = Some(part.clone()),
        }
    }

    /// Queues the group for writing if it is complete.
    fn take_whole(&mut self) -> Option<StepSummary> {
        let group = self
            .unfinished
            .take_if(|group| group.end % self.width == 0)?;
        push_record(COLUMNS, &mut self.series, &LevelRows::of(&group));
        Some(group)
    }
}

/// Removes the rows that are not completely within the first `steps` steps.
pub fn cut_to(file: &File, steps: u64) -> hdf5::Result<()> {
    let Ok(pyramid) = file.group("pyramid") else {
        return Ok(());
    };
    let there = |width: &u64| pyramid.link_exists(&width.to_string());
    for width in WIDTHS.into_iter().filter(there) {
        let group = file.group(&group_name(width))?;
        let rows = usize::try_from(steps / width).map_err(|error| error.to_string())?;
        for column in COLUMNS {
            cut(&group.dataset(column.path)?, rows)?;
        }
    }
    Ok(())
}

/// Reads rows of a level back while the file is open for writing.
fn read_rows(
    group: &Group,
    header: &RunHeader,
    width: u64,
    rows: std::ops::Range<u64>,
) -> hdf5::Result<Vec<StepSummary>> {
    struct RowRange(std::ops::Range<usize>);
    impl ReadColumn for RowRange {
        type Error = hdf5::Error;
        fn column<T: hdf5::H5Type>(&self, dataset: &Dataset) -> hdf5::Result<Vec<T>> {
            super::growing_dataset::read_rows(dataset, self.0.clone())
        }
    }
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let index = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
    let datasets = Datasets::open(|name, _| group.dataset(name))?;
    let read = datasets.read(&RowRange(index(rows.start)..index(rows.end)))?;
    let layers = header.layout.layers.len();
    Ok((0..)
        .zip(rows)
        .map(|(at, row)| read.summary(at, row * width, width, layers))
        .collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::layout::{ParamLayout, TensorKind};
    use crate::store::open;

    fn header() -> RunHeader {
        let mut layout = ParamLayout::default();
        for name in ["a", "b"] {
            layout.push_layer(name, "linear", 3, &[(TensorKind::Bias, vec![3])]);
        }
        RunHeader {
            layout,
            ..RunHeader::default()
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "few steps")]
    fn step(first: u64) -> StepSummary {
        let value = |salt: u64| ((first * 37 + salt) % 101) as f64 / 7.0 - 6.0;
        let layer = |salt: u64| LayerSummary {
            lca: value(salt),
            lca_min: value(salt),
            lca_max: value(salt),
            lca_error: value(salt + 1),
            helped: first % 4,
            hurt: first % 3,
            update_flips: salt,
            gradient_flips: first % 2,
            held_out_lca: value(salt + 2),
        };
        StepSummary {
            first,
            end: first + 1,
            epoch: first as f64,
            learning_rate: value(3),
            batch_loss: value(4),
            seconds: first as f64,
            gradient_evals: first % 5,
            segments: first % 8,
            loss_before: value(5),
            loss_after: value(6),
            train_accuracy: value(7),
            test_loss: value(8),
            test_accuracy: value(9),
            loss_min: value(6),
            loss_max: value(6),
            test_min: value(8),
            test_max: value(8),
            total: value(10),
            residual: value(11),
            worst_residual: value(11).abs(),
            above_tolerance: first % 2,
            layers: vec![layer(20), layer(30)],
        }
    }

    fn steps(range: std::ops::Range<u64>) -> Vec<StepSummary> {
        range.map(step).collect()
    }

    fn push(pyramid: &mut Pyramid, range: std::ops::Range<u64>) {
        for step in steps(range) {
            pyramid.push(&step);
        }
    }

    fn merged(parts: &[StepSummary]) -> StepSummary {
        let mut whole = parts[0].clone();
        for part in &parts[1..] {
            whole.merge(part);
        }
        whole
    }

    fn create(path: &Path) -> (File, Pyramid) {
        let file = open::unlocked().create(path).unwrap();
        let pyramid = Pyramid::create(&file, &header()).unwrap();
        (file, pyramid)
    }

    /// All rows in the file, level by level.
    fn rows(path: &Path) -> Vec<Vec<StepSummary>> {
        let file = open::unlocked().open(path).unwrap();
        let level = |&width: &u64| {
            let group = file.group(&group_name(width)).unwrap();
            let rows = group.dataset("total").unwrap().shape()[0] as u64;
            read_rows(&group, &header(), width, 0..rows).unwrap()
        };
        WIDTHS.iter().map(level).collect()
    }

    #[test]
    fn rows_are_merged_steps_of_complete_groups_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pyramid.h5");
        let (file, mut pyramid) = create(&path);
        push(&mut pyramid, 0..33_000);
        pyramid.write().unwrap();
        drop((pyramid, file));
        let levels = rows(&path);
        assert_eq!(
            levels.iter().map(Vec::len).collect::<Vec<_>>(),
            [1031, 32, 1]
        );
        assert_eq!(levels[0][1], merged(&steps(32..64)));
        assert_eq!(levels[1][1], merged(&levels[0][32..64]));
        assert_eq!((levels[2][0].first, levels[2][0].end), (0, 32_768));
    }

    #[test]
    fn a_continued_file_equals_one_written_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let at_once = folder.path().join("once.h5");
        let (file, mut pyramid) = create(&at_once);
        push(&mut pyramid, 0..35_000);
        pyramid.write().unwrap();
        drop((pyramid, file));
        // Within a group, at the ends of groups, before the first one, and back from rows that were written but not
        // committed; some of those stay after the end if nothing is cut off.
        for (written, done) in [
            (33_900, 33_900),
            (2048, 2048),
            (20, 20),
            (40_000, 1500),
            (4000, 1500),
            (100, 0),
        ] {
            let path = folder.path().join(format!("{done}.h5"));
            let (file, mut pyramid) = create(&path);
            push(&mut pyramid, 0..written);
            pyramid.write().unwrap();
            drop((pyramid, file));
            let file = open::unlocked().open_rw(&path).unwrap();
            if written > 35_000 {
                cut_to(&file, done).unwrap();
            }
            let tail = steps(done / 32 * 32..done);
            let pyramid = Pyramid::reopen(&file, &header(), done, tail).unwrap();
            let mut pyramid = pyramid.expect("the file has a pyramid");
            push(&mut pyramid, done..35_000);
            pyramid.write().unwrap();
            drop((pyramid, file));
            assert_eq!(rows(&path), rows(&at_once), "from {done} on");
        }
    }

    #[test]
    fn a_file_without_a_pyramid_gets_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none.h5");
        let file = open::unlocked().create(path).unwrap();
        let pyramid = Pyramid::reopen(&file, &header(), 100, steps(96..100));
        assert!(pyramid.unwrap().is_none());
    }
}
