//! The levels of a file's pyramid.

use std::cell::Cell;
use std::path::Path;

use hdf5::{Dataset, File};

use super::bounds::RowBound;
use super::error::{Context, StoreError};
use super::open::open_dataset;
use super::pyramid::{Datasets, WIDTHS, group_name};
use crate::record::RunHeader;

/// The levels of a file's pyramid; empty if an older program wrote the file.
pub struct Levels(pub(super) Vec<OpenLevel>);

pub struct OpenLevel {
    pub(super) width: u64,
    pub(super) datasets: Datasets,
    /// For each dataset, in order: the rows that the file can hold.
    pub(super) bounds: Vec<RowBound>,
    /// Rows known to exist in all datasets.
    pub(super) rows: Cell<u64>,
}

impl Levels {
    pub fn open(path: &Path, file: &File, header: &RunHeader) -> Result<Self, StoreError> {
        if !file.link_exists("pyramid") {
            return Ok(Self(Vec::new()));
        }
        let there = |width: &&u64| {
            let pyramid = file.group("pyramid");
            pyramid.is_ok_and(|group| group.link_exists(&width.to_string()))
        };
        let level = |&width: &u64| {
            let group = group_name(width);
            let dataset = |name: &str, axes| {
                open_dataset(path, file, &format!("{group}/{name}"), Some(axes), header)
            };
            let datasets = Datasets::open(dataset)?;
            let bound = |dataset: &Dataset| {
                RowBound::for_dataset(dataset, dataset.shape().iter().skip(1).product())
            };
            let bounds = datasets.each().map(bound).collect::<hdf5::Result<_>>();
            Ok(OpenLevel {
                width,
                datasets,
                bounds: bounds.doing(path, || format!("read the types of {group}"))?,
                rows: Cell::new(0),
            })
        };
        let levels = WIDTHS.iter().filter(there).map(level);
        Ok(Self(levels.collect::<Result<_, StoreError>>()?))
    }

    /// Whether any level has rows of steps beyond the first `committed`.
    pub fn have_more(&self, committed: u64) -> bool {
        let mut all = self.0.iter().flat_map(|level| {
            let whole = committed / level.width;
            level.datasets.each().map(move |dataset| (dataset, whole))
        });
        all.any(|(dataset, whole)| rows_in(dataset) > whole)
    }

    /// The number of steps per row of each level.
    pub fn widths(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|level| level.width)
    }
}

pub fn rows_in(dataset: &Dataset) -> u64 {
    dataset.shape().first().copied().unwrap_or(0) as u64
}
