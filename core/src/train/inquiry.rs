//! Inquiries to a running training: the running totals of some parameters.
//!
//! The file has snapshots of the totals; the training has those of its last step. To ask, send an [`Inquiry`]; the
//! training answers between two steps, even while it is paused, at no more cost than a copy of the totals requested.

use std::collections::VecDeque;
use std::ops::Range;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::record::ParamTotals;

/// A request for the totals of some parameters.
pub struct Inquiry {
    /// Ranges of the flat parameter vector.
    pub parameters: Vec<Range<usize>>,
    /// Receives their totals, range after range. The training does not wait: a reply that does not fit is dropped.
    pub reply: Sender<ParamTotals>,
}

/// Maximum number of inquiries answered between two steps: the latest ones. Older ones, which piled up during a long
/// step, are dropped, which disconnects their reply channels.
const AT_ONCE: usize = 8;

/// Creates both ends: for the inquirer, and for the training.
#[must_use]
pub fn inquiries() -> (Sender<Inquiry>, Receiver<Inquiry>) {
    unbounded()
}

impl Inquiry {
    /// Replies from the totals of all parameters.
    pub(super) fn answer(&self, totals: &ParamTotals) {
        let mut some = ParamTotals {
            steps: totals.steps,
            ..ParamTotals::default()
        };
        for range in &self.parameters {
            let end = range.end.min(totals.lca_sum.len());
            let range = range.start.min(end)..end;
            some.lca_sum.extend(&totals.lca_sum[range.clone()]);
            some.helped.extend(&totals.helped[range.clone()]);
            some.update_flips
                .extend(&totals.update_flips[range.clone()]);
            some.gradient_flips.extend(&totals.gradient_flips[range]);
        }
        let _ = self.reply.try_send(some);
    }
}

/// Answers the pending inquiries.
pub(super) fn answer_waiting(inquiries: &Receiver<Inquiry>, totals: &ParamTotals) {
    let mut waiting: VecDeque<Inquiry> = VecDeque::new();
    for inquiry in inquiries.try_iter() {
        if waiting.len() == AT_ONCE {
            waiting.pop_front();
        }
        waiting.push_back(inquiry);
    }
    for inquiry in waiting {
        inquiry.answer(totals);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use crossbeam_channel::{TryRecvError, bounded};

    use super::*;

    fn totals() -> ParamTotals {
        ParamTotals {
            steps: 7,
            lca_sum: vec![0.5, -1.0, 2.0, -3.0],
            helped: vec![0, 1, 2, 3],
            update_flips: vec![4, 5, 6, 7],
            gradient_flips: vec![8, 9, 10, 11],
        }
    }

    #[test]
    fn ranges_are_concatenated_and_missing_ones_left_out() {
        let (asking, asked) = inquiries();
        let (reply, replies) = bounded(1);
        let parameters = vec![2..3, 0..1, 3..9, 8..9];
        asking.send(Inquiry { parameters, reply }).unwrap();
        answer_waiting(&asked, &totals());
        let expected = ParamTotals {
            steps: 7,
            lca_sum: vec![2.0, 0.5, -3.0],
            helped: vec![2, 0, 3],
            update_flips: vec![6, 4, 7],
            gradient_flips: vec![10, 8, 11],
        };
        assert_eq!(replies.try_recv().unwrap(), expected);
    }

    #[test]
    fn inquiries_do_not_block_the_training() {
        let (asking, asked) = inquiries();
        // There is room for one reply, and no receiver takes it.
        let (reply, replies) = bounded(1);
        for _ in 0..2 {
            let one = 0..4;
            let (parameters, reply) = (Vec::from([one]), reply.clone());
            asking.send(Inquiry { parameters, reply }).unwrap();
        }
        let (done, finished) = bounded(1);
        thread::spawn(move || {
            answer_waiting(&asked, &totals());
            done.send(asked.is_empty()).unwrap();
        });
        let all_taken = finished.recv_timeout(Duration::from_secs(60));
        assert_eq!(all_taken, Ok(true), "it waits for whoever asks");
        assert_eq!(replies.len(), 1);
    }

    #[test]
    fn only_the_latest_inquiry_is_answered_and_earlier_ones_are_closed() {
        let (asking, asked) = inquiries();
        let replies: Vec<_> = (0..AT_ONCE + 3)
            .map(|_| {
                let (reply, replies) = bounded(1);
                let one = 0..1;
                let parameters = Vec::from([one]);
                asking.send(Inquiry { parameters, reply }).unwrap();
                replies
            })
            .collect();
        answer_waiting(&asked, &totals());
        assert!(asked.is_empty());
        for (at, replies) in replies.iter().enumerate() {
            if at < 3 {
                assert_eq!(replies.try_recv(), Err(TryRecvError::Disconnected));
            } else {
                assert_eq!(replies.try_recv().unwrap().steps, 7);
            }
        }
    }
}
