//! What goes wrong: a call fails before or after its effect, once or for ever.

use std::time::Duration;

use super::SimWorld;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It is refused and has no effect.
    Fails(PortErrorKind),
    /// It has its effect, and the reply is lost.
    LosesReply,
    /// It takes so long that nobody waits for it, and has no effect.
    TimesOut,
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
        let fault = {
            let mut state = self.change();
            *state.calls.entry(name.to_owned()).or_default() += 1;
            state.due_fault(name)
        };
        tokio::time::sleep(Duration::from_millis(50)).await;
        match fault {
            None => effect().await,
            Some(FaultKind::Fails(kind)) => Err(PortError::new(kind, format!("the simulated call `{name}` fails"))),
            Some(FaultKind::LosesReply) => {
                effect().await?;
                Err(PortError::new(
                    PortErrorKind::Unclear,
                    format!("the reply to the simulated call `{name}` was lost"),
                ))
            }
            Some(FaultKind::TimesOut) => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Err(PortError::new(PortErrorKind::Unclear, format!("the simulated call `{name}` timed out")))
            }
        }
    }
}

impl super::State {
    fn due_fault(&mut self, name: &str) -> Option<FaultKind> {
        let fault = self.faults.iter_mut().find(|fault| fault.call == name && fault.times != Some(0))?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        if let Some(times) = &mut fault.times {
            *times -= 1;
        }
        Some(fault.kind)
    }
}
