//! Files that are opened again to see what is new, as on network file systems.

use std::time::{Duration, Instant};

use lcascope::feed::{self, FeedEvent};
use lcascope::record::Status;

use crate::common::{Training, assert_closes, folder, reader};

#[test]
fn a_file_that_is_opened_again_and_again_is_followed_to_its_end() {
    let folder = folder();
    let mut training = Training::endless(folder.path(), "run.h5", &[]);
    let own = training.reader();
    training.grown(&own, 0);
    let mut command = reader(&training.path, &[]);
    command.env("LCASCOPE_REOPEN", "1");
    let opening = feed::spawn(command, &training.path).unwrap();
    let feed = opening.ready.recv().unwrap().unwrap();
    let (mut next, mut loss, mut notices) = (0, None, 0);
    let began = Instant::now();
    let mut training = Some(training);
    for event in &feed.events {
        match event {
            FeedEvent::Start(start) => loss = Some(start.train),
            FeedEvent::Steps(steps) => {
                for summary in steps {
                    assert_closes(&summary, next, loss);
                    (next, loss) = (summary.end, Some(summary.loss_after));
                }
                // It has been opened again more than once by now.
                if began.elapsed() > Duration::from_secs(5)
                    && let Some(training) = training.take()
                {
                    training.signal("INT");
                    training.end();
                }
            }
            FeedEvent::Notice(what) => {
                assert!(what.contains("opened again"), "{what}");
                notices += 1;
            }
            FeedEvent::Status { status, .. } => {
                assert_eq!(status, Status::Stopped);
                break;
            }
            FeedEvent::CaughtUp | FeedEvent::Controllable(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((notices, own.refresh().unwrap().committed), (1, next));
    drop(feed);
    drop(opening);
}
