//! Live totals: knowledge of a training in this process that its file does not have yet.
//!
//! The file has eight snapshots of every parameter's totals; the training has those of its last step, and sends them on
//! request between two steps ([`Inquiry`]). A step may take long, and the screen may ask for something else meanwhile:
//! the snapshot must do then. A late reply is only as new as the time it was sent: if the same query comes again, it is
//! used only until there is a newer one.

use std::ops::Range;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};

use super::detail::DetailServer;
use crate::query::UnitParams;
use crate::record::ParamTotals;
use crate::train::Inquiry;

/// The wait for a reply, and the interval between checks for another query meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(20);

/// Requests totals from a training.
pub(super) struct LiveTotals {
    training: Sender<Inquiry>,
    /// The unanswered inquiry, if any.
    asked: Option<PendingTotals>,
}

struct PendingTotals {
    parameters: Vec<Range<usize>>,
    reply: Receiver<ParamTotals>,
}

impl LiveTotals {
    pub fn new(training: Sender<Inquiry>) -> Self {
        Self {
            training,
            asked: None,
        }
    }

    /// Replaces the totals of a unit's parameters with the newest, unless the training has ended or takes too long.
    pub fn renew(&mut self, unit: &mut UnitParams, server: &DetailServer, quit: &Receiver<()>) {
        // A pending inquiry will return totals as new as another one's would be.
        let asked = (self.asked.take()).filter(|asked| asked.parameters == unit.rows);
        let (late, waits) = match asked.map(|asked| (asked.reply.try_recv(), asked)) {
            Some((Ok(totals), _)) => (Some(totals), None),
            Some((Err(TryRecvError::Empty), asked)) => (None, Some(asked)),
            Some((Err(TryRecvError::Disconnected), _)) | None => (None, None),
        };
        self.asked = waits.or_else(|| self.request_totals(&unit.rows));
        let reply = self.wait(server, quit);
        let count: usize = unit.rows.iter().map(ExactSizeIterator::len).sum();
        for totals in [late, reply].into_iter().flatten() {
            let known = unit.totals.as_ref().map_or(0, |it| it.steps);
            if totals.steps > known && totals.lca_sum.len() == count {
                unit.totals = Some(totals);
            }
        }
    }

    /// Waits for the reply; gives up if it takes too long or another query comes.
    fn wait(&mut self, server: &DetailServer, quit: &Receiver<()>) -> Option<ParamTotals> {
        let until = Instant::now() + PATIENCE;
        let reply = loop {
            match self.asked.as_ref()?.reply.recv_timeout(LOOK) {
                Ok(totals) => break Some(totals),
                Err(RecvTimeoutError::Disconnected) => break None,
                Err(RecvTimeoutError::Timeout) => {
                    let left = quit.try_recv().is_err_and(|it| it.is_disconnected());
                    if left || !server.requests.is_empty() || Instant::now() >= until {
                        return None;
                    }
                }
            }
        };
        self.asked = None;
        reply
    }

    fn request_totals(&self, parameters: &[Range<usize>]) -> Option<PendingTotals> {
        let (sender, reply) = bounded(1);
        let inquiry = Inquiry {
            parameters: parameters.to_vec(),
            reply: sender,
        };
        // The send fails if the training has ended.
        (self.training.send(inquiry))
            .is_ok()
            .then(|| PendingTotals {
                parameters: parameters.to_vec(),
                reply,
            })
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::detail;
    use super::*;
    use crate::query::{Query, Topic};
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
    fn live_totals_are_newer_than_the_file() {
        let (asking, asked) = inquiries();
        let (_details, server) = detail::channel();
        let (_quit, quitting) = bounded(0);
        let mut live_totals = LiveTotals::new(asking);
        let training = thread::spawn(move || {
            let inquiry = asked.recv().unwrap();
            assert_eq!(inquiry.parameters, [4..6, 9..10]);
            inquiry.reply.send(totals(12)).unwrap();
        });
        let mut newest = unit(8);
        live_totals.renew(&mut newest, &server, &quitting);
        training.join().unwrap();
        assert_eq!(newest.totals, Some(totals(12)));
        // The training is gone: the file's totals stay.
        let mut last = unit(16);
        live_totals.renew(&mut last, &server, &quitting);
        assert_eq!(last, unit(16));
    }

    #[test]
    fn a_late_reply_is_used_only_until_a_newer_one() {
        let (asking, asked) = inquiries();
        let (details, server) = detail::channel();
        let (_quit, quitting) = bounded(0);
        let mut live_totals = LiveTotals::new(asking);
        // The screen asks for something else: the reply is not waited for.
        let other = Query::about(Topic::Tensors, 0..1, 1);
        details.requests.send(other).unwrap();
        let mut early = unit(8);
        live_totals.renew(&mut early, &server, &quitting);
        assert_eq!(early, unit(8));
        server.requests.recv().unwrap();
        asked.recv().unwrap().reply.send(totals(12)).unwrap();
        // Meanwhile the training has gone on.
        let training = thread::spawn({
            let asked = asked.clone();
            move || asked.recv().unwrap().reply.send(totals(900)).unwrap()
        });
        live_totals.renew(&mut early, &server, &quitting);
        training.join().unwrap();
        assert_eq!(early.totals, Some(totals(900)));

        // If no newer reply comes, the late one is still better than the file's, and a pending inquiry is not repeated.
        let other = || Query::about(Topic::Tensors, 0..1, 1);
        details.requests.send(other()).unwrap();
        let mut again = unit(910);
        live_totals.renew(&mut again, &server, &quitting);
        live_totals.renew(&mut again, &server, &quitting);
        assert_eq!((&again, asked.len()), (&unit(910), 1));
        asked.recv().unwrap().reply.send(totals(950)).unwrap();
        live_totals.renew(&mut again, &server, &quitting);
        assert_eq!((again.totals, asked.len()), (Some(totals(950)), 1));
    }
}
