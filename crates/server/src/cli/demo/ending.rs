//! How the demo ends: first the generator, with its last request answered, then the pipeline, once it
//! has read what was in the topic by then. The other way round the pipeline's last epoch could miss
//! what is acknowledged after it.

use std::time::Duration;

use super::feed::Feed;
use crate::cli::session::Next;

/// How long the pipeline may take to read what is left when the time given is over.
const CATCH_UP: Duration = Duration::from_secs(20);
/// The same after Ctrl-C, about an epoch: what is not read by then waits for the next start.
const CATCH_UP_ASKED: Duration = Duration::from_secs(1);

/// A generator.
pub trait Generator {
    /// How many events were acknowledged.
    fn accepted(&self) -> u64;
    /// Stops, after the request on its way is answered. How many events were acknowledged.
    fn close(self) -> u64;
}

impl Generator for Feed {
    fn accepted(&self) -> u64 {
        Feed::accepted(self)
    }

    fn close(self) -> u64 {
        Feed::close(self)
    }
}

/// The topic, and how far it was read.
pub trait Topic {
    /// Records that were ever acknowledged.
    fn end(&self) -> u64;
    /// Records that committed epochs have read.
    fn read(&self) -> u64;
}

/// What the generator had sent when it stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Events that were acknowledged to it.
    pub sent: u64,
    /// So many records of the topic must have been read; `None`: there was no time for it.
    pub must_be_read: Option<u64>,
}

/// Decides when what stops.
pub struct Ending<G> {
    /// `None` once it has stopped.
    generator: Option<G>,
    /// When the time given is over.
    until: Option<Duration>,
    sent: u64,
    closed: Option<Closed>,
}

/// The generator has stopped.
struct Closed {
    /// The end of the topic then.
    end: u64,
    /// Until when the pipeline may read on.
    until: Duration,
    must_be_read: bool,
}

impl<G: Generator> Ending<G> {
    /// Of a generator that runs until then.
    pub fn new(generator: G, until: Option<Duration>) -> Self {
        Self {
            generator: Some(generator),
            until,
            sent: 0,
            closed: None,
        }
    }

    /// How many events were acknowledged.
    pub fn accepted(&self) -> u64 {
        self.generator.as_ref().map_or(self.sent, G::accepted)
    }

    /// What the pipeline should do, and whether the user wants to stop.
    pub fn look(
        &mut self,
        is_asked: bool,
        clock: &dyn Fn() -> Duration,
        topic: &dyn Topic,
    ) -> Next {
        let is_over = self.until.is_some_and(|until| clock() >= until);
        if let Some(generator) = self.generator.take_if(|_| is_asked || is_over) {
            self.sent = generator.close();
            let patience = if is_asked { CATCH_UP_ASKED } else { CATCH_UP };
            self.closed = Some(Closed {
                end: topic.end(),
                until: clock() + patience,
                must_be_read: !is_asked,
            });
        } else if is_asked && let Some(closed) = &mut self.closed {
            // The user does not want to wait for what is left.
            closed.must_be_read = false;
            return Next::Stop;
        }
        let Some(closed) = &mut self.closed else {
            return Next::GoOn;
        };
        if topic.read() >= closed.end {
            closed.must_be_read = true;
            return Next::Stop;
        }
        match clock() > closed.until {
            true => Next::Stop,
            false => Next::GoOn,
        }
    }

    /// Stops the generator if it runs: the pipeline has ended by itself.
    pub fn close(mut self) -> Sent {
        if let Some(generator) = self.generator.take() {
            self.sent = generator.close();
        }
        let closed = self.closed.filter(|closed| closed.must_be_read);
        Sent {
            sent: self.sent,
            must_be_read: closed.map(|closed| closed.end),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// 100 records are in the topic, 80 of them read; a request of 10 more is on its way.
    struct World {
        end: Cell<u64>,
        read: Cell<u64>,
        now: Cell<u64>,
    }

    impl World {
        fn new() -> Self {
            Self {
                end: Cell::new(100),
                read: Cell::new(80),
                now: Cell::new(0),
            }
        }

        fn look(&self, ending: &mut Ending<&Self>, is_asked: bool) -> Next {
            ending.look(is_asked, &|| Duration::from_secs(self.now.get()), self)
        }
    }

    impl Topic for World {
        fn end(&self) -> u64 {
            self.end.get()
        }

        fn read(&self) -> u64 {
            self.read.get()
        }
    }

    impl Generator for &World {
        fn accepted(&self) -> u64 {
            self.end.get()
        }

        fn close(self) -> u64 {
            self.end.set(self.end.get() + 10);
            self.end.get()
        }
    }

    #[track_caller]
    fn check_sent(ending: Ending<&World>, must_be_read: Option<u64>) {
        let sent = 110;
        assert_eq!(ending.close(), Sent { sent, must_be_read });
    }

    #[test]
    fn the_request_on_its_way_is_read_before_the_pipeline_stops() {
        for until in [None, Some(Duration::from_secs(60))] {
            let world = World::new();
            let mut ending = Ending::new(&world, until);
            assert_eq!(world.look(&mut ending, false), Next::GoOn);
            assert_eq!(world.look(&mut ending, true), Next::GoOn);
            assert_eq!(world.end.get(), 110, "the generator has stopped");
            world.read.set(100);
            assert_eq!(world.look(&mut ending, false), Next::GoOn);
            // Another client goes on; that is not waited for.
            world.end.set(115);
            world.read.set(112);
            assert_eq!(world.look(&mut ending, false), Next::Stop);
            check_sent(ending, Some(110));
        }
    }

    #[test]
    fn the_time_given_ends_it_too_and_all_must_be_read_then() {
        let world = World::new();
        let mut ending = Ending::new(&world, Some(Duration::from_secs(60)));
        world.now.set(59);
        assert_eq!(world.look(&mut ending, false), Next::GoOn);
        assert_eq!(world.end.get(), 100);
        world.now.set(60);
        assert_eq!(world.look(&mut ending, false), Next::GoOn);
        world.now.set(81);
        assert_eq!(world.look(&mut ending, false), Next::Stop);
        check_sent(ending, Some(110));
    }

    #[test]
    fn a_user_who_asks_does_not_wait_for_ever_and_what_is_left_is_no_defect() {
        let world = World::new();
        let mut ending = Ending::new(&world, Some(Duration::from_secs(60)));
        assert_eq!(world.look(&mut ending, true), Next::GoOn);
        world.now.set(2);
        assert_eq!(world.look(&mut ending, false), Next::Stop);
        check_sent(ending, None);
        // The time is over, and the user asks while the rest is read.
        let world = World::new();
        let mut ending = Ending::new(&world, Some(Duration::ZERO));
        assert_eq!(world.look(&mut ending, false), Next::GoOn);
        assert_eq!(world.look(&mut ending, true), Next::Stop);
        check_sent(ending, None);
    }

    #[test]
    fn a_pipeline_that_ends_by_itself_ends_the_generator() {
        let world = World::new();
        check_sent(Ending::new(&world, None), None);
    }
}
