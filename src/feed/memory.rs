//! What a training in this process knows and its file does not yet.
//!
//! The file has eight snapshots of every parameter's totals; the training has those of its last step,
//! and tells them between two steps ([`Inquiry`]). A step may take long, and somebody may ask for
//! something else meanwhile: then the snapshot has to do, and the reply is taken when it is there.

use std::ops::Range;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::detail::Desk;
use crate::query::UnitParams;
use crate::record::ParamTotals;
use crate::train::Inquiry;

/// How long a reply is waited for, and how often it is looked whether somebody asks for something else.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

/// Asks a training.
pub(super) struct Memory {
    training: Sender<Inquiry>,
    /// What has been asked and not been answered.
    asked: Option<Asked>,
}

struct Asked {
    parameters: Vec<Range<usize>>,
    reply: Receiver<ParamTotals>,
}

impl Memory {
    pub fn new(training: Sender<Inquiry>) -> Self {
        Self {
            training,
            asked: None,
        }
    }

    /// Puts the newest totals of a unit's parameters in the place of older ones, unless the training
    /// has ended or takes too long.
    pub fn renew(&mut self, unit: &mut UnitParams, desk: &Desk, quit: &Receiver<()>) {
        let other = |asked: &Asked| asked.parameters != unit.rows;
        if self.asked.as_ref().is_none_or(other) {
            self.ask(&unit.rows);
        }
        let Some(asked) = &self.asked else { return };
        let until = Instant::now() + PATIENCE;
        let reply = loop {
            match asked.reply.recv_timeout(LOOK) {
                Ok(totals) => break Some(totals),
                Err(RecvTimeoutError::Disconnected) => break None,
                Err(RecvTimeoutError::Timeout) => {
                    let left = quit.try_recv().is_err_and(|it| it.is_disconnected());
                    if left || !desk.requests.is_empty() || Instant::now() >= until {
                        // Taken when the same is asked for again.
                        return;
                    }
                }
            }
        };
        self.asked = None;
        let count: usize = unit.rows.iter().map(ExactSizeIterator::len).sum();
        let newer = |totals: &ParamTotals| {
            let known = unit.totals.as_ref().map_or(0, |it| it.steps);
            totals.steps > known && totals.lca_sum.len() == count
        };
        if let Some(totals) = reply.filter(newer) {
            unit.totals = Some(totals);
        }
    }

    fn ask(&mut self, parameters: &[Range<usize>]) {
        let (sender, reply) = bounded(1);
        let inquiry = Inquiry {
            parameters: parameters.to_vec(),
            reply: sender,
        };
        // One that has ended is not asked any more.
        self.asked = (self.training.send(inquiry)).is_ok().then(|| Asked {
            parameters: parameters.to_vec(),
            reply,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::detail;
    use super::*;
    use crate::query::{Part, Query, Topic};
    use crate::train::inquiries;

    fn totals(steps: u64) -> ParamTotals {
        ParamTotals {
            steps,
            lca_sum: vec![0.5; 3],
            helped: vec![1; 3],
            update_flips: vec![2; 3],
            gradient_flips: vec![3; 3],
        }
    }

    fn unit(steps: u64) -> UnitParams {
        UnitParams {
            rows: vec![4..6, 9..10],
            totals: Some(totals(steps)),
            ..UnitParams::default()
        }
    }

    #[test]
    fn the_memory_is_newer_than_the_file() {
        let (asking, asked) = inquiries();
        let (_details, desk) = detail::channel();
        let (_quit, quitting) = bounded(0);
        let mut memory = Memory::new(asking);
        let training = thread::spawn(move || {
            let inquiry = asked.recv().unwrap();
            assert_eq!(inquiry.parameters, [4..6, 9..10]);
            inquiry.reply.send(totals(12)).unwrap();
        });
        let mut newest = unit(8);
        memory.renew(&mut newest, &desk, &quitting);
        training.join().unwrap();
        assert_eq!(newest.totals, Some(totals(12)));
        // The training is gone: the file's stand.
        let mut last = unit(16);
        memory.renew(&mut last, &desk, &quitting);
        assert_eq!(last, unit(16));
    }

    #[test]
    fn a_late_reply_is_taken_when_the_same_is_asked_again() {
        let (asking, asked) = inquiries();
        let (details, desk) = detail::channel();
        let (_quit, quitting) = bounded(0);
        let mut memory = Memory::new(asking);
        // Somebody asks for something else: no reply is waited for.
        let other = Query {
            topic: Topic::Tensors,
            part: Part::Window,
            steps: 0..1,
            columns: 1,
        };
        details.requests.send(other).unwrap();
        let mut early = unit(8);
        memory.renew(&mut early, &desk, &quitting);
        assert_eq!(early, unit(8));
        desk.requests.recv().unwrap();
        asked.recv().unwrap().reply.send(totals(12)).unwrap();
        memory.renew(&mut early, &desk, &quitting);
        assert_eq!(early.totals, Some(totals(12)));
        assert!(asked.is_empty(), "it was asked once");
    }
}
