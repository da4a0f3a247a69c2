//! The entitlements of each plan: one table, read by one function. The years of history that a
//! filter offers are declared with the filter in its dashboard file; access to tables in `[tables]`
//! of `materia.toml`.

use materia::{humanize, plan::Plan};

/// The features of a plan. Everything that depends on a plan uses [`entitlements`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Entitlements {
    /// The largest plan whose dashboards, panels and filters are visible.
    pub(crate) visible_plan: Plan,
    /// Rows in one response of the explorer or the API.
    pub(crate) answer_rows: u32,
    /// Daily quota of API requests; 0 if the plan does not include the API.
    pub(crate) api_requests_a_day: u32,
    /// Concurrent downloads of whole tables, fewer than half of the reader's slots; 0 if the plan
    /// does not include downloads.
    pub(crate) downloads_at_once: u32,
    /// Alerts on figures; those beyond are paused.
    pub(crate) alerts: u32,
}

/// Returns the entitlements of a plan.
pub(crate) fn entitlements(plan: Plan) -> Entitlements {
    match plan {
        Plan::Free => Entitlements {
            visible_plan: Plan::Free,
            answer_rows: 1_000,
            api_requests_a_day: 0,
            downloads_at_once: 0,
            alerts: 0,
        },
        Plan::Starter => Entitlements {
            visible_plan: Plan::Starter,
            answer_rows: 10_000,
            api_requests_a_day: 1_000,
            downloads_at_once: 2,
            alerts: 20,
        },
        Plan::Pro => Entitlements {
            visible_plan: Plan::Pro,
            answer_rows: 100_000,
            api_requests_a_day: 20_000,
            downloads_at_once: 3,
            alerts: 100,
        },
    }
}

impl Entitlements {
    /// Returns the entitlements as a list for pricing pages, for brands without a list.
    pub(crate) fn feature_list(self) -> Vec<String> {
        let count = |number: u32| humanize::count(u64::from(number));
        let mut feature_list = vec![match self.visible_plan {
            Plan::Free => "Free dashboards".to_owned(),
            Plan::Starter => "Free and Starter dashboards".to_owned(),
            Plan::Pro => "All dashboards".to_owned(),
        }];
        feature_list.push(format!("Up to {} rows at a time", count(self.answer_rows)));
        if self.downloads_at_once > 0 {
            feature_list.push("Full table downloads".to_owned());
        }
        if self.alerts > 0 {
            feature_list.push(format!("{} alerts on figures", count(self.alerts)));
        }
        if self.api_requests_a_day > 0 {
            feature_list.push(format!("{} API requests a day", count(self.api_requests_a_day)));
        }
        feature_list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_pays_more_gets_everything_that_others_get() {
        for pair in Plan::ALL.windows(2) {
            let (less, more) = (entitlements(pair[0]), entitlements(pair[1]));
            assert!(
                less.visible_plan < more.visible_plan
                    && less.answer_rows < more.answer_rows
                    && less.api_requests_a_day < more.api_requests_a_day
            );
            assert!(more.downloads_at_once > less.downloads_at_once && more.alerts > less.alerts);
            assert!(more.feature_list().len() >= less.feature_list().len());
        }
    }
}
