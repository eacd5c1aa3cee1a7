//! A run file in which every LCA value is known, for tests.

use std::path::PathBuf;

use tempfile::TempDir;

use super::{RecordMaker, RunShape};
use crate::store::{RunReader, RunWriter, WriteOptions, remove_datasets};

/// A finished run in a file, and its contents.
pub struct RecordedRun {
    pub shape: RunShape,
    /// Every LCA value in nats, `[T][P]`.
    pub lca: Vec<Vec<f64>>,
    /// LCA by class and layer, `[T][C][L]`.
    pub by_class: Vec<Vec<Vec<f64>>>,
    /// LCA of the layers for the held-out loss, `[T][L]`.
    pub held_out: Vec<Vec<f64>>,
    /// Losses of the classes, `[T+1][C]`.
    pub class_loss: Vec<Vec<f64>>,
    pub reader: RunReader,
    folder: TempDir,
}

impl RecordedRun {
    /// Writes a complete run and opens it.
    pub fn new(shape: RunShape) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.h5");
        let mut maker = RecordMaker::new(shape);
        let mut writer = RunWriter::create(&path, &maker.header, WriteOptions::default()).unwrap();
        let start = maker.start();
        writer.start(&start).unwrap();
        let mut class_loss = vec![start.losses.train_class];
        let (mut by_class, mut held_out) = (Vec::new(), Vec::new());
        let layers = shape.layers.max(1);
        for step in 0..shape.steps {
            let record = maker.step(step);
            writer.step(&record).unwrap();
            let classes = record.lca.class_layer.chunks(layers);
            let row = |row: &[f32]| row.iter().copied().map(f64::from).collect();
            by_class.push(classes.map(row).collect());
            held_out.extend(record.lca_held_out.map(|held_out| held_out.layer));
            class_loss.push(record.after.train_class);
        }
        let end = maker.end();
        writer.finish(&end).unwrap();
        Self {
            shape,
            lca: maker.lca,
            by_class,
            held_out,
            class_loss,
            reader: RunReader::open(&path).unwrap(),
            folder,
        }
    }

    /// Makes the same run in a file without some datasets.
    pub fn without(&self, datasets: &[&str]) -> Self {
        let other = Self::new(self.shape);
        remove_datasets(&other.path(), datasets);
        let reader = RunReader::open(&other.path()).unwrap();
        Self { reader, ..other }
    }

    /// The path of its file.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("run.h5")
    }

    /// The LCA of a layer in a step.
    pub fn layer(&self, step: usize, layer: usize) -> f64 {
        let range = self.reader.header().layout.layers[layer].range.clone();
        self.lca[step][range].iter().sum()
    }
}
