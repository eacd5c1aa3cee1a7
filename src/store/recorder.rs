//! The recorder: the thread that owns a run file and writes the records sent to it.

use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};
use serde::{Deserialize, Serialize};

use super::compression::WriteOptions;
use super::error::StoreError;
use super::replace::NewFile;
use super::resume::{KeptPart, Resumable};
use super::schema::bytes_per_step;
use super::writer::RunWriter;
use crate::record::{Checkpoint, RunEnd, RunHeader, StartRecord, Status, StepRecord};

/// Time between commits, each of which also renews the heartbeat.
const COMMIT_EVERY: Duration = Duration::from_millis(500);

/// Time between heartbeats while there is nothing to commit: during a long step, or a pause. Each makes HDF5 go through
/// everything that it keeps in memory of a large file.
const BEAT_EVERY: Duration = Duration::from_secs(3);

/// The most bytes of records waiting for the disk; beyond that the training waits.
const QUEUE_BYTES: usize = 64 << 20;

/// The sending end: a queue bounded by bytes, and the thread behind it.
pub struct Recorder {
    /// None once closed, which ends the thread.
    queue: Option<Sender<RecorderMessage>>,
    thread: Option<JoinHandle<Result<(), StoreError>>>,
    waited: Duration,
}

enum RecorderMessage {
    Start(StartRecord),
    Step(Box<StepRecord>),
    Checkpoint(Box<Checkpoint>),
    Paused(bool),
    End(RunEnd),
}

/// The error of a recorder that accepts no more records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueClosed;

/// Statistics of the recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecorderStats {
    /// Time for which the training waited for the disk.
    pub waited: Duration,
    /// Records in the write queue, and its capacity.
    pub queued: usize,
    pub room: usize,
}

impl Recorder {
    /// Creates the run file and starts the thread that owns it.
    ///
    /// # Errors
    /// The file cannot be created.
    pub fn spawn(
        path: &Path,
        header: &RunHeader,
        options: WriteOptions,
    ) -> Result<Self, StoreError> {
        Self::spawn_thread(RunWriter::create(path, header, options)?, path, header)
    }

    /// Starts the thread on a file created in advance.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin(
        new: NewFile,
        header: &RunHeader,
        options: WriteOptions,
    ) -> Result<Self, StoreError> {
        let path = new.path.clone();
        Self::spawn_thread(RunWriter::begin(new, header, options)?, &path, header)
    }

    /// Opens a run file to continue it, and starts the thread that owns it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn resume(run: Resumable, keep: KeptPart, header: &RunHeader) -> Result<Self, StoreError> {
        let path = run.path().to_owned();
        Self::spawn_thread(run.write_on(keep, header)?, &path, header)
    }

    fn spawn_thread(
        writer: RunWriter,
        path: &Path,
        header: &RunHeader,
    ) -> Result<Self, StoreError> {
        let (queue, messages) = bounded(queue_len(header));
        let thread = thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || write_all(writer, &messages))
            .map_err(StoreError::io(path))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            waited: Duration::ZERO,
        })
    }

    /// Ends the run in the file, and waits until it is closed.
    ///
    /// # Errors
    /// The file could not be written; it contains everything committed before.
    pub fn finish(mut self, end: RunEnd) -> Result<RecorderStats, StoreError> {
        // A recorder that has failed accepts no more; its own error says why.
        let _ = self.send(RecorderMessage::End(end));
        self.close()?;
        Ok(RecorderStats {
            waited: self.waited,
            ..RecorderStats::default()
        })
    }

    /// Waits until the file is closed.
    fn close(&mut self) -> Result<(), StoreError> {
        self.queue = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err(StoreError::RecorderLost),
            None => Ok(()),
        }
    }

    /// The current statistics.
    #[must_use]
    pub fn stats(&self) -> RecorderStats {
        RecorderStats {
            waited: self.waited,
            queued: self.queue.as_ref().map_or(0, Sender::len),
            room: self.queue.as_ref().and_then(Sender::capacity).unwrap_or(0),
        }
    }

    /// Queues the run's first row.
    ///
    /// # Errors
    /// The recorder has failed; [`finish`](Self::finish) says why.
    pub fn start(&mut self, record: StartRecord) -> Result<(), QueueClosed> {
        self.send(RecorderMessage::Start(record))
    }

    /// Queues a step; waits while the queue is full.
    ///
    /// # Errors
    /// The recorder has failed; [`finish`](Self::finish) says why.
    pub fn step(&mut self, record: StepRecord) -> Result<(), QueueClosed> {
        self.send(RecorderMessage::Step(Box::new(record)))
    }

    /// Queues a checkpoint of the state after the last step; waits while the queue is full.
    ///
    /// # Errors
    /// The recorder has failed; [`finish`](Self::finish) says why.
    pub fn checkpoint(&mut self, checkpoint: Checkpoint) -> Result<(), QueueClosed> {
        self.send(RecorderMessage::Checkpoint(Box::new(checkpoint)))
    }

    /// Queues that the training has paused or resumed.
    ///
    /// # Errors
    /// The recorder has failed; [`finish`](Self::finish) says why.
    pub fn paused(&mut self, paused: bool) -> Result<(), QueueClosed> {
        self.send(RecorderMessage::Paused(paused))
    }

    fn send(&mut self, message: RecorderMessage) -> Result<(), QueueClosed> {
        let queue = self.queue.as_ref().ok_or(QueueClosed)?;
        match queue.try_send(message) {
            Ok(()) => Ok(()),
            Err(TrySendError::Disconnected(_)) => Err(QueueClosed),
            Err(TrySendError::Full(message)) => {
                let began = Instant::now();
                let sent = queue.send(message);
                self.waited += began.elapsed();
                sent.map_err(|_| QueueClosed)
            }
        }
    }
}

/// Waits until the file is closed, for a run that could not begin.
impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

/// The capacity of the queue in records.
fn queue_len(header: &RunHeader) -> usize {
    let row = usize::try_from(bytes_per_step(header)).unwrap_or(usize::MAX);
    let layout = &header.layout;
    let arrays = u64::from(header.record_params > 0) + u64::from(header.record_weights > 0);
    let params = layout.params() * 4 * usize::try_from(arrays).unwrap_or(2);
    (QUEUE_BYTES / row.saturating_add(params).max(1)).clamp(2, 1024)
}

/// The body of the thread. If the file can no longer be written, closes it with its content so far.
fn write_all(
    mut writer: RunWriter,
    messages: &Receiver<RecorderMessage>,
) -> Result<(), StoreError> {
    match write_steps(&mut writer, messages) {
        Ok(end) => writer.finish(&end),
        Err(error) => Err(writer.abandon(error)),
    }
}

/// Writes until the end of the run, and returns that.
fn write_steps(
    writer: &mut RunWriter,
    messages: &Receiver<RecorderMessage>,
) -> Result<RunEnd, StoreError> {
    // The first step is committed at once: a run that soon fails keeps it.
    let mut commit_at = Instant::now();
    let mut last_beat = Instant::now();
    let mut waiting = false;
    // The pause state in the file, and the last one sent: however often it changes, a write takes the latest.
    let (mut written, mut paused) = (false, false);
    loop {
        let patience = if waiting {
            commit_at.saturating_duration_since(Instant::now())
        } else {
            COMMIT_EVERY
        };
        match messages.recv_timeout(patience) {
            Ok(RecorderMessage::Start(record)) => {
                writer.start(&record)?;
                writer.commit()?;
            }
            Ok(RecorderMessage::Step(record)) => {
                writer.step(&record)?;
                waiting = true;
            }
            Ok(RecorderMessage::Checkpoint(checkpoint)) => {
                writer.checkpoint(&checkpoint)?;
                waiting = false;
                commit_at = Instant::now() + COMMIT_EVERY;
            }
            Ok(RecorderMessage::Paused(now)) => paused = now,
            Ok(RecorderMessage::End(end)) => {
                if written {
                    writer.paused(false)?;
                }
                return Ok(end);
            }
            Err(RecvTimeoutError::Timeout) => {}
            // The trainer ended without a message: keep what it sent, and record that.
            Err(RecvTimeoutError::Disconnected) => {
                return Ok(RunEnd {
                    status: Status::Failed,
                    message: "the training thread ended unexpectedly".to_owned(),
                    totals: None,
                });
            }
        }
        // As soon as the queue is empty, so that all earlier steps are included: a reader of a paused run sees its
        // latest step.
        let due = Instant::now() >= commit_at;
        if paused != written && (messages.is_empty() || due) {
            writer.paused(paused)?;
            written = paused;
            waiting = false;
            commit_at = Instant::now() + COMMIT_EVERY;
        }
        if waiting && due {
            writer.commit()?;
            waiting = false;
            last_beat = Instant::now();
            commit_at = last_beat + COMMIT_EVERY;
        } else if last_beat.elapsed() >= BEAT_EVERY {
            writer.heartbeat()?;
            last_beat = Instant::now();
        }
    }
}
