//! The lease, checked exhaustively: three runs whose requests are delayed, lost or land long after nobody waits for them any
//! more, and that stall anywhere for any time. The rules are those of `skipper_core::lease` itself, not a copy.
#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a model that cannot go on should stop, and says how much it has seen"
)]

use std::{collections::BTreeMap, time::Duration};

use skipper_core::lease::{Chain, Claim, Entry, Holder, Look, State, Tenure, Timing};
use stateright::{Checker, Model, Property};

/// A tick is a second. What matters is that a lease is taken over later than it lapses, so both are as short as can be.
const TIMING: Timing = Timing {
    beat: Duration::from_secs(1),
    valid: Duration::from_secs(1),
    stale: Duration::from_secs(2),
    call: Duration::from_secs(1),
};

/// What is looked at: so many runs for so many ticks, each of which loses so many requests or replies.
struct Runs {
    runs: usize,
    ticks: u64,
    losses: u8,
    timing: Timing,
}

/// The store, the clock, and the runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    now: u64,
    store: BTreeMap<u64, Entry>,
    runs: Vec<Run>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Run {
    phase: Phase,
    /// The request whose reply is waited for.
    pending: Option<Pending>,
    /// One that nobody waits for any more, and that may still take effect.
    orphan: Option<Request>,
    /// When it beat or looked again last: once a tick is often enough.
    acted: Option<u64>,
    lost: u8,
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
    sent: u64,
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
    Listed(BTreeMap<u64, Entry>),
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Happens {
    Tick,
    /// All but the highest entry are cleaned away: more than any run would.
    Clean,
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
        let idle = Run { phase: Phase::Idle, pending: None, orphan: None, acted: None, lost: 0 };
        vec![World { now: 0, store: BTreeMap::new(), runs: vec![idle; self.runs] }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Happens>) {
        if world.now < self.ticks {
            actions.push(Happens::Tick);
        }
        if world.store.len() > 1 {
            actions.push(Happens::Clean);
        }
        // The runs are alike: they start in order.
        let first_idle = world.runs.iter().position(|run| run.phase == Phase::Idle);
        actions.extend(first_idle.map(Happens::Start));
        for (index, run) in world.runs.iter().enumerate() {
            let has_acted = run.acted == Some(world.now);
            match (&run.phase, &run.pending) {
                (Phase::Claiming(_), None) if !has_acted => actions.push(Happens::LookAgain(index)),
                (Phase::Holding(_), None) => {
                    actions.push(Happens::Release(index));
                    actions.extend((!has_acted).then_some(Happens::Beat(index)));
                }
                (_, Some(pending)) => {
                    let next = if pending.reply.is_none() { Happens::Lands } else { Happens::Arrives };
                    actions.push(next(index));
                    actions.extend((run.lost < self.losses).then_some(Happens::GivenUp(index)));
                }
                _ => {}
            }
            if run.orphan.is_some() {
                actions.push(Happens::LandsLate(index));
            }
        }
    }

    fn next_state(&self, before: &World, action: Happens) -> Option<World> {
        let mut world = before.clone();
        match action {
            Happens::Tick => world.now += 1,
            Happens::Clean => {
                let highest = world.store.pop_last().expect("there is more than one");
                world.store = BTreeMap::from([highest]);
            }
            Happens::Start(index) => {
                world.runs[index].phase = Phase::Claiming(Claim::new(holder(), index.to_string()));
                world.send(index, Request::List);
            }
            Happens::LookAgain(index) => {
                world.runs[index].acted = Some(before.now);
                world.send(index, Request::List);
            }
            Happens::Beat(index) => {
                let Phase::Holding(tenure) = &mut world.runs[index].phase else { return None };
                if tenure.permits(Duration::from_secs(before.now)).is_err() {
                    world.runs[index].phase = Phase::Gone;
                    return Some(world);
                }
                let (number, entry) = (tenure.number(), tenure.beat());
                world.runs[index].acted = Some(before.now);
                world.send(index, Request::Write(number, entry));
            }
            Happens::Release(index) => {
                let Phase::Holding(tenure) = &world.runs[index].phase else { return None };
                let request = Request::Write(tenure.number(), tenure.release(true));
                // Nobody waits for it.
                world.runs[index] = Run { phase: Phase::Gone, orphan: Some(request), ..world.runs[index].clone() };
            }
            Happens::Lands(index) => {
                let mut pending = world.runs[index].pending.take()?;
                pending.reply = Some(world.take_effect(&pending.request));
                world.runs[index].pending = Some(pending);
            }
            Happens::Arrives(index) => {
                let Pending { request, sent, reply } = world.runs[index].pending.take()?;
                world.arrives(index, &request, sent, reply?, &self.timing);
            }
            Happens::GivenUp(index) => {
                let Pending { request, reply, .. } = world.runs[index].pending.take()?;
                world.runs[index].lost += 1;
                if reply.is_none() && request != Request::List {
                    // One such request a run is enough: an earlier one lands no more.
                    world.runs[index].orphan = Some(request);
                }
            }
            Happens::LandsLate(index) => {
                let request = world.runs[index].orphan.take()?;
                world.take_effect(&request);
            }
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("at most one lease is in force", |_, world: &World| {
                let now = Duration::from_secs(world.now);
                let in_force = world
                    .runs
                    .iter()
                    .filter(|run| matches!(&run.phase, Phase::Holding(tenure) if tenure.is_in_force(now)));
                in_force.count() <= 1
            }),
            Property::always("leases in force have the highest number", |_, world: &World| {
                let now = Duration::from_secs(world.now);
                let highest = world.store.last_key_value().map_or(0, |(number, _)| *number);
                world.runs.iter().all(|run| match &run.phase {
                    Phase::Holding(tenure) if tenure.is_in_force(now) => tenure.number() >= highest,
                    _ => true,
                })
            }),
            Property::sometimes("a dead holder's lease is taken over", |_, world: &World| {
                let held = |run: &Run| matches!(&run.phase, Phase::Holding(_));
                world.runs.iter().filter(|run| held(run)).count() > 1
            }),
            Property::sometimes("the lease is handed on", |_, world: &World| {
                world.store.values().filter(|entry| entry.state == State::Released).count() == 2
            }),
        ]
    }
}

impl World {
    fn send(&mut self, index: usize, request: Request) {
        self.runs[index].pending = Some(Pending { request, sent: self.now, reply: None });
    }

    fn take_effect(&mut self, request: &Request) -> Reply {
        match request {
            Request::List => return Reply::Listed(self.store.clone()),
            Request::Create(number, entry) => drop(self.store.entry(*number).or_insert_with(|| entry.clone())),
            Request::Write(number, entry) => drop(self.store.insert(*number, entry.clone())),
        }
        Reply::Done
    }

    fn arrives(&mut self, index: usize, request: &Request, sent: u64, reply: Reply, timing: &Timing) {
        let (sent, now) = (Duration::from_secs(sent), Duration::from_secs(self.now));
        match (&mut self.runs[index].phase, request, reply) {
            (Phase::Claiming(claim), Request::List, Reply::Listed(listed)) => {
                match claim.look(&listed.into_iter().collect::<Chain>(), timing, sent, now) {
                    Look::Create { number, entry, .. } => self.send(index, Request::Create(number, entry)),
                    Look::Held { .. } => {}
                    Look::Mine(tenure) => self.runs[index].phase = Phase::Holding(tenure),
                }
            }
            (Phase::Claiming(_), ..) => self.send(index, Request::List),
            (Phase::Holding(tenure), ..) => tenure.acknowledged(sent, now),
            (Phase::Idle | Phase::Gone, ..) => {}
        }
    }
}

fn holder() -> Holder {
    Holder { who: String::new(), command: String::new(), revision: None, run_url: None, since: String::new() }
}

fn check(runs: usize, ticks: u64, losses: u8) {
    let checker = Runs { runs, ticks, losses, timing: TIMING }.checker().threads(2).spawn_bfs().join();
    println!(
        "{runs} runs, {ticks} ticks, {losses} losses: {} states, {} of them distinct, {} deep",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth()
    );
    checker.assert_properties();
}

#[test]
fn two_runs_never_hold_the_lease_at_once() {
    check(2, 3, 0);
}
