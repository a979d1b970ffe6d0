//! What goes wrong at a call, as the adapters pass it on: the kinds of trouble that AWS, a registry, an engine and GitHub make.

use std::time::Duration;

use skipper_core::exit::Exit;

use super::{SimWorld, State};
use crate::ports::{PortError, PortErrorKind, PortResult};

/// A fault at a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The call it strikes, such as `compute.launch` or `remote.run/start`.
    pub call: String,
    /// What happens.
    pub kind: FaultKind,
    /// Calls that go well before it strikes.
    pub after: u32,
    /// Calls it strikes; for ever when absent.
    pub times: Option<u32>,
}

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    /// It is asked too often, for longer than the adapter's own retries last.
    Throttled,
    /// The other side has trouble: HTTP 5xx, no effect.
    ServerError,
    /// It has its effect, and nobody hears of it in time.
    TimeoutDone,
    /// It has no effect, and nobody hears of that in time.
    TimeoutUndone,
    /// The connection breaks at once, before there is an effect.
    Reset,
    /// It reads what there was before the last change.
    Stale,
    /// It has its effect, and what comes back cannot be read.
    Malformed,
    /// It is refused for want of permission.
    Denied,
    /// What it is about does not exist.
    Missing,
    /// There is no room for what it would make.
    Full,
    /// The run ends for good before the call.
    DiesBefore,
    /// The run ends for good when the call has had its effect.
    DiesAfter,
}

impl FaultKind {
    /// Everything that may happen to a call of a run that goes on.
    pub const TROUBLES: [Self; 8] = [
        Self::Throttled,
        Self::ServerError,
        Self::TimeoutDone,
        Self::TimeoutUndone,
        Self::Reset,
        Self::Stale,
        Self::Malformed,
        Self::Denied,
    ];

    /// Whether it can happen to this call: only what reads can be late, only what changes can be done and not heard of.
    pub fn can_strike(self, call: &str) -> bool {
        match self {
            Self::Stale => READS.contains(&call),
            Self::TimeoutDone => changes(call),
            _ => true,
        }
    }

    /// How long the caller waits until it knows.
    const fn takes(self) -> Duration {
        match self {
            Self::Throttled | Self::ServerError => Duration::from_secs(5),
            Self::TimeoutDone | Self::TimeoutUndone => Duration::from_secs(60),
            _ => Duration::ZERO,
        }
    }
}

/// Calls that answer with what they find. Watching a script is none: its result stands under the command's own id.
const READS: [&str; 14] = [
    "compute.account",
    "compute.instances",
    "compute.security_groups",
    "compute.addresses",
    "compute.owned",
    "compute.launch_facts",
    "remote.agents",
    "registry.resolve",
    "code_host.pull_requests",
    "code_host.shown_plan",
    "code_host.is_behind",
    "code_host.pull_request",
    "store.read",
    "store.secrets",
];

fn changes(call: &str) -> bool {
    !READS.contains(&call) && !call.starts_with("remote.watch")
}

impl Fault {
    /// A fault that strikes once, at the next call.
    pub fn once(call: &str, kind: FaultKind) -> Self {
        Self { call: call.to_owned(), kind, after: 0, times: Some(1) }
    }

    /// A fault that strikes every call.
    pub fn always(call: &str, kind: FaultKind) -> Self {
        Self { call: call.to_owned(), kind, after: 0, times: None }
    }
}

impl SimWorld {
    /// Makes a call: counts it, lets the fault that is due strike, and takes a little time.
    pub(super) async fn call<T>(&self, name: &str, effect: impl AsyncFnOnce() -> PortResult<T>) -> PortResult<T> {
        let fault = self.strike(name);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let Some(Fault { kind, .. }) = fault else { return effect().await };
        match kind {
            FaultKind::DiesBefore => self.die().await,
            FaultKind::DiesAfter => {
                // Whatever the answer is, nobody hears it any more.
                let _ = effect().await;
                self.die().await
            }
            FaultKind::Stale => {
                // What reads does so in one go: nobody else sees the earlier world.
                self.change().swap_earlier();
                let answer = effect().await;
                self.change().swap_earlier();
                answer
            }
            kind => {
                if matches!(kind, FaultKind::TimeoutDone | FaultKind::Malformed) {
                    effect().await?;
                }
                tokio::time::sleep(kind.takes()).await;
                Err(passed_on(name, kind))
            }
        }
    }

    /// Counts a call; the fault that strikes it.
    pub(super) fn strike(&self, name: &str) -> Option<Fault> {
        let mut state = self.change();
        *state.calls.entry(name.to_owned()).or_default() += 1;
        state.due_fault(name)
    }

    /// The run is dead: it learns nothing any more and does nothing any more.
    pub(super) async fn die<T>(&self) -> T {
        let death = self.look().death.clone();
        death.notify_one();
        std::future::pending().await
    }

    /// Waits until a fault has ended a run.
    pub async fn died(&self) {
        let death = self.look().death.clone();
        death.notified().await;
    }
}

/// What the adapter of the call's port makes of it.
pub(super) fn passed_on(call: &str, kind: FaultKind) -> PortError {
    let (port, _) = call.split_once('.').unwrap_or((call, ""));
    // A registry's requests may all be repeated, and an engine's answers are told apart by their words alone.
    let unheard = match port {
        "registry" | "engine" => PortErrorKind::Transient,
        _ if changes(call) => PortErrorKind::Unclear,
        _ => PortErrorKind::Transient,
    };
    let (error, what) = match kind {
        FaultKind::Denied => (PortErrorKind::Denied, "was denied"),
        FaultKind::Missing => (PortErrorKind::Missing, "is about something that does not exist"),
        FaultKind::Full => (PortErrorKind::Capacity, "found no room"),
        FaultKind::Throttled => (PortErrorKind::Transient, "was throttled"),
        FaultKind::Malformed => match port {
            "registry" => (PortErrorKind::Other, "got an answer that is not understood"),
            "engine" => (PortErrorKind::Unclear, "got an answer that ended without the image's digest"),
            "code_host" if !changes(call) => (PortErrorKind::Other, "got an answer that is not understood"),
            _ => (unheard, "got an answer that is not understood"),
        },
        FaultKind::ServerError => (unheard, "met trouble on the other side"),
        _ => (unheard, "got no answer"),
    };
    let mut error = PortError::new(error, format!("the simulated call `{call}` {what}"));
    let cleans = matches!(call, "engine.stock" | "engine.clean");
    if matches!(port, "registry" | "engine") && !cleans && error.kind != PortErrorKind::Denied {
        error.failure.exit = Exit::BuildFailed;
    }
    error
}

impl State {
    fn due_fault(&mut self, name: &str) -> Option<Fault> {
        let fault = self.faults.iter_mut().find(|fault| fault.call == name && fault.times != Some(0))?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        let due = fault.clone();
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        Some(due)
    }

    /// What there is and what there was change places.
    fn swap_earlier(&mut self) {
        let earlier = &mut self.earlier;
        std::mem::swap(&mut self.hosts, &mut earlier.hosts);
        std::mem::swap(&mut self.security_groups, &mut earlier.security_groups);
        std::mem::swap(&mut self.parameters, &mut earlier.parameters);
        std::mem::swap(&mut self.secrets, &mut earlier.secrets);
        std::mem::swap(&mut self.registry.tags, &mut earlier.tags);
    }
}
