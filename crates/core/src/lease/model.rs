//! The lease, checked exhaustively: every way in which runs can meet, with requests that are delayed, lost, or land long after
//! nobody waits for them any more, and with stalls anywhere for any time. The rules are those of this module, not a copy.
//!
//! Time has no bound. The search ends because states that nothing can tell apart are made one (`settle`): times are counted back
//! from now, and no further than anything depends on them; beats and numbers are counted by their order, as nothing else of them matters.
//! Only the highest entry is kept, which is all that [`Chain`] ever looks at.

mod settle;

use std::time::Duration;

use stateright::{Checker, Model, Property};

use super::{Chain, Claim, Entry, Holder, Look, State, Tenure, Timing};

/// A tick is a second. What matters is that a lease is taken over later than it lapses, so both are as short as can be.
const TIMING: Timing = timing(1, 2);

/// Now, always: it is the past that moves.
const NOW: Duration = Duration::from_secs(100);
const TICK: Duration = Duration::from_secs(1);

const fn timing(valid: u64, stale: u64) -> Timing {
    Timing { beat: TICK, valid: Duration::from_secs(valid), stale: Duration::from_secs(stale), call: TICK }
}

/// What is looked at: so many runs, whose requests and replies are lost or not, any number of them.
#[derive(Clone, Copy)]
struct Runs {
    runs: usize,
    losses: bool,
    timing: Timing,
}

/// The store and the runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    highest: Option<(u64, Entry)>,
    runs: Vec<Run>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Run {
    phase: Phase,
    /// The request whose reply is waited for.
    pending: Option<Pending>,
    /// One that nobody waits for any more, and that may still take effect.
    orphan: Option<Request>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    Claiming(Claim),
    Holding(Tenure),
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Pending {
    request: Request,
    sent: Duration,
    /// What came of it, once it has taken effect.
    reply: Option<Reply>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Request {
    List,
    Create(u64, Entry),
    Write(u64, Entry),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Reply {
    Listed(Option<(u64, Entry)>),
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Happens {
    Tick,
    Start(usize),
    /// A run that found the lease held looks again.
    LookAgain(usize),
    Beat(usize),
    Release(usize),
    /// A request takes effect.
    Lands(usize),
    /// A reply arrives.
    Arrives(usize),
    /// A reply, or the request itself, is lost or late: the run waits no longer.
    GivenUp(usize),
    /// A request that nobody waits for takes effect after all.
    LandsLate(usize),
}

impl Model for Runs {
    type State = World;
    type Action = Happens;

    fn init_states(&self) -> Vec<World> {
        let idle = Run { phase: Phase::Idle, pending: None, orphan: None };
        vec![World { highest: None, runs: vec![idle; self.runs] }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Happens>) {
        actions.push(Happens::Tick);
        // The runs are alike: they start in order.
        let first_idle = world.runs.iter().position(|run| run.phase == Phase::Idle);
        actions.extend(first_idle.map(Happens::Start));
        for (index, run) in world.runs.iter().enumerate() {
            match (&run.phase, &run.pending) {
                (Phase::Claiming(_), None) => actions.push(Happens::LookAgain(index)),
                (Phase::Holding(_), None) => actions.extend([Happens::Release(index), Happens::Beat(index)]),
                (_, Some(pending)) => {
                    let next = if pending.reply.is_none() { Happens::Lands } else { Happens::Arrives };
                    actions.push(next(index));
                    actions.extend(self.losses.then_some(Happens::GivenUp(index)));
                }
                _ => {}
            }
            actions.extend(run.orphan.is_some().then_some(Happens::LandsLate(index)));
        }
    }

    fn next_state(&self, before: &World, action: Happens) -> Option<World> {
        let mut world = before.clone();
        match action {
            Happens::Tick => world.grow_older(),
            Happens::Start(index) => {
                world.runs[index].phase = Phase::Claiming(Claim::new(holder(), index.to_string()));
                world.send(index, Request::List);
            }
            Happens::LookAgain(index) => world.send(index, Request::List),
            Happens::Beat(index) => world.beat(index),
            Happens::Release(index) => world.release(index),
            Happens::Lands(index) => world.lands(index),
            Happens::Arrives(index) => world.arrives(index, &self.timing),
            Happens::GivenUp(index) => world.give_up(index),
            Happens::LandsLate(index) => {
                let request = world.runs[index].orphan.take()?;
                world.take_effect(&request);
            }
        }
        world.settle(&self.timing);
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("at most one lease is in force", |_, world: &World| world.in_force().count() <= 1),
            Property::always("a lease in force has the highest number", |_, world: &World| {
                let highest = world.highest.as_ref().map_or(0, |(number, _)| *number);
                world.in_force().all(|tenure| tenure.number() == highest)
            }),
            Property::sometimes("a dead holder's lease is taken over", |_, world: &World| {
                let held = |run: &Run| matches!(&run.phase, Phase::Holding(_));
                world.in_force().count() == 1 && world.runs.iter().filter(|run| held(run)).count() > 1
            }),
            Property::sometimes("every run comes to its end", |_, world: &World| {
                let is_free = world.highest.as_ref().is_some_and(|(_, entry)| entry.state == State::Released);
                is_free && world.runs.iter().all(|run| run.phase == Phase::Gone)
            }),
        ]
    }
}

impl World {
    fn in_force(&self) -> impl Iterator<Item = &Tenure> {
        self.runs.iter().filter_map(|run| match &run.phase {
            Phase::Holding(tenure) if tenure.is_in_force(NOW) => Some(tenure),
            _ => None,
        })
    }

    fn send(&mut self, index: usize, request: Request) {
        self.runs[index].pending = Some(Pending { request, sent: NOW, reply: None });
    }

    fn beat(&mut self, index: usize) {
        let Phase::Holding(tenure) = &mut self.runs[index].phase else { return };
        if !tenure.is_in_force(NOW) {
            self.runs[index].phase = Phase::Gone;
            return;
        }
        let request = Request::Write(tenure.number(), tenure.beat());
        self.send(index, request);
    }

    /// Gives the lease back, without waiting for an answer.
    fn release(&mut self, index: usize) {
        let run = &mut self.runs[index];
        let Phase::Holding(tenure) = &run.phase else { return };
        run.orphan = Some(Request::Write(tenure.number(), tenure.release(true)));
        run.phase = Phase::Gone;
    }

    fn lands(&mut self, index: usize) {
        let Some(mut pending) = self.runs[index].pending.take() else { return };
        let reply = self.take_effect(&pending.request);
        if matches!(pending.request, Request::Create(..)) {
            // Whatever its reply, the chain is listed next; how long that reply takes, the list may take as well.
            self.send(index, Request::List);
        } else {
            pending.reply = Some(reply);
            self.runs[index].pending = Some(pending);
        }
    }

    fn take_effect(&mut self, request: &Request) -> Reply {
        match request {
            Request::List => return Reply::Listed(self.highest.clone()),
            Request::Create(number, entry) | Request::Write(number, entry) => {
                if self.is_changed_by(request) {
                    self.highest = Some((*number, entry.clone()));
                }
            }
        }
        Reply::Done
    }

    /// Entries are created where nothing is, and nobody looks at those below the highest.
    fn is_changed_by(&self, request: &Request) -> bool {
        let highest = self.highest.as_ref().map_or(0, |(number, _)| *number);
        match request {
            Request::List => false,
            Request::Create(number, _) => *number > highest,
            Request::Write(number, _) => *number == highest,
        }
    }

    fn arrives(&mut self, index: usize, timing: &Timing) {
        let Some(Pending { sent, reply: Some(reply), .. }) = self.runs[index].pending.take() else { return };
        match (&mut self.runs[index].phase, reply) {
            (Phase::Claiming(claim), Reply::Listed(listed)) => {
                match claim.look(&listed.into_iter().collect::<Chain>(), timing, sent, NOW) {
                    Look::Create { number, entry, .. } => self.send(index, Request::Create(number, entry)),
                    Look::Held { .. } => {}
                    Look::Mine(tenure) => self.runs[index].phase = Phase::Holding(tenure),
                }
            }
            (Phase::Holding(tenure), Reply::Done) => tenure.acknowledged(sent, NOW),
            _ => {}
        }
    }

    fn give_up(&mut self, index: usize) {
        let run = &mut self.runs[index];
        let Some(Pending { request, reply, .. }) = run.pending.take() else { return };
        if reply.is_none() && request != Request::List {
            // One such request a run is enough: an earlier one lands no more.
            run.orphan = Some(request);
        }
    }
}

fn holder() -> Holder {
    Holder { who: String::new(), command: String::new(), revision: None, run_url: None, since: String::new() }
}

#[expect(clippy::print_stdout, reason = "the size of the search is what it is worth")]
fn check(model: Runs) -> impl Checker<Runs> {
    let checker = model.checker().threads(2).spawn_bfs().join();
    let losses = if model.losses { "any" } else { "no" };
    println!(
        "{} runs, {losses} losses, valid for {} s and taken over after {} s: {} states, {} of them distinct, {} deep",
        model.runs,
        model.timing.valid.as_secs(),
        model.timing.stale.as_secs(),
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth()
    );
    checker
}

#[test]
fn two_runs_never_hold_the_lease_at_once() {
    check(Runs { runs: 2, losses: true, timing: TIMING }).assert_properties();
    check(Runs { runs: 2, losses: true, timing: timing(3, 4) }).assert_properties();
}

#[test]
fn three_runs_never_hold_the_lease_at_once() {
    check(Runs { runs: 3, losses: false, timing: TIMING }).assert_properties();
}

#[test]
#[ignore = "takes minutes; `cargo lab sweep` runs it"]
fn three_runs_that_lose_requests_never_hold_the_lease_at_once() {
    check(Runs { runs: 3, losses: true, timing: TIMING }).assert_properties();
}

/// That the search finds what is wrong: a beat that may stand still for no longer than a lease is valid.
#[test]
fn a_lease_that_is_taken_over_before_it_lapses_is_held_twice() {
    let checker = check(Runs { runs: 2, losses: false, timing: timing(2, 1) });
    assert!(checker.discovery("at most one lease is in force").is_some());
}
