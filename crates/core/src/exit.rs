//! The exit codes, which are part of the contract with workflows.

use serde::{Deserialize, Serialize};

/// How a run ended, as the process reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// 0: the release that was asked for serves, on every host, as last observed.
    Serves,
    /// 1: a defect in skipper.
    Defect,
    /// 2: bad `skipper.yml`, flags or inputs; nothing was touched.
    BadInput,
    /// 3: refused by AWS, GitHub or a registry: credentials or permissions.
    Refused,
    /// 4: build or push failed; nothing was deployed.
    BuildFailed,
    /// 5: the plan cannot be carried out; what serves is unchanged.
    Blocked,
    /// 6: the release failed; the previous one serves everywhere again, as last observed.
    Restored,
    /// 7: no release serves everywhere; the message lists what runs where.
    Degraded,
    /// 8: cancelled.
    Cancelled,
    /// 9: somebody else holds the lease.
    Held,
    /// 10: a newer commit serves already; nothing was deployed.
    Superseded,
}

impl Exit {
    /// The process exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Serves => 0,
            Self::Defect => 1,
            Self::BadInput => 2,
            Self::Refused => 3,
            Self::BuildFailed => 4,
            Self::Blocked => 5,
            Self::Restored => 6,
            Self::Degraded => 7,
            Self::Cancelled => 8,
            Self::Held => 9,
            Self::Superseded => 10,
        }
    }

    /// The word used in the `status` output, the comment's heading and `--output json`.
    pub const fn status(self) -> &'static str {
        match self {
            Self::Serves => "succeeded",
            Self::Defect => "defect",
            Self::BadInput => "bad-input",
            Self::Refused => "refused",
            Self::BuildFailed => "build-failed",
            Self::Blocked => "blocked",
            Self::Restored => "restored",
            Self::Degraded => "degraded",
            Self::Cancelled => "cancelled",
            Self::Held => "held",
            Self::Superseded => "superseded",
        }
    }
}
