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

    /// How a run ended that did the same in several regions, each by itself: as all of them did, where they ended alike.
    pub fn of_regions(exits: &[Self]) -> Self {
        let first = exits.first().copied().unwrap_or(Self::Serves);
        if exits.iter().all(|exit| *exit == first) {
            return first;
        }
        // A defect and a wish to stop say more of the run than what it has reached.
        if let Some(told) = [Self::Defect, Self::Cancelled].into_iter().find(|told| exits.contains(told)) {
            return told;
        }
        let is_untouched = |exit: &Self| {
            matches!(exit, Self::BadInput | Self::Refused | Self::BuildFailed | Self::Blocked | Self::Held)
        };
        // Nothing was changed anywhere, so what serves is what served.
        if exits.iter().all(is_untouched) {
            return Self::Blocked;
        }
        if exits.iter().all(|exit| matches!(exit, Self::Serves | Self::Superseded)) {
            return Self::Superseded;
        }
        Self::Degraded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_that_end_alike_end_as_one_and_others_as_a_mix() {
        use Exit::*;
        for (exits, all) in [
            (vec![Serves, Serves], Serves),
            (vec![BuildFailed, BuildFailed], BuildFailed),
            (vec![Serves, Blocked], Degraded),
            (vec![Serves, Restored, Serves], Degraded),
            (vec![Refused, Blocked], Blocked),
            (vec![Superseded, Serves], Superseded),
            (vec![Serves, Cancelled], Cancelled),
            (vec![Defect, Cancelled], Defect),
        ] {
            assert_eq!(Exit::of_regions(&exits), all, "{exits:?}");
        }
    }
}
