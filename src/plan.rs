//! The plans that customers subscribe to.

use std::{fmt::Display, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::humanize;

/// A plan. A later variant includes everything that earlier ones include.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Plan {
    #[default]
    Free,
    /// The smaller paid plan.
    Starter,
    /// The larger paid plan.
    Pro,
}

impl Plan {
    /// Every plan, the smallest first.
    pub const ALL: [Self; 3] = [Self::Free, Self::Starter, Self::Pro];

    /// Returns the name used in files, addresses and the account store.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Starter => "starter",
            Self::Pro => "pro",
        }
    }

    /// Returns whether this plan grants access to what requires `wanted`.
    #[must_use]
    pub fn includes(self, wanted: Self) -> bool {
        self >= wanted
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|plan| plan.name() == text).ok_or_else(|| {
            let nearest = humanize::nearest(text, Self::ALL.map(Self::name));
            let help = nearest.map_or_else(
                || "use free, starter or pro".to_owned(),
                |nearest| format!("did you mean {nearest:?}?"),
            );
            format!("unknown plan {text:?}; {help}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_plan_includes_what_a_smaller_one_does() {
        assert!(
            Plan::Pro.includes(Plan::Free)
                && Plan::Starter.includes(Plan::Starter)
                && !Plan::Free.includes(Plan::Starter)
        );
        assert_eq!("starter".parse(), Ok(Plan::Starter));
        assert_eq!(
            "startr".parse::<Plan>(),
            Err("unknown plan \"startr\"; did you mean \"starter\"?".to_owned())
        );
    }
}
