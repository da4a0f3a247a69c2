//! What each plan allows: one table, read by one function. How many years of history a
//! filter offers stands with the filter, in its dashboard file; which tables are open, and how much of them, in `[tables]` of `materia.toml`.

use materia::{plan::Plan, words};

/// What a plan includes. Everything that depends on a plan asks [`entitlements`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entitlements {
    /// Dashboards, panels and filters that ask for this plan or a lesser one are open.
    pub(crate) opens: Plan,
    /// Rows of one answer of the explorer or the API.
    pub(crate) answer_rows: u32,
    /// Requests to the API in a day; 0: no API.
    pub(crate) api_requests_a_day: u32,
    /// Downloads of whole tables under way at once; 0: none.
    pub(crate) downloads_at_once: u32,
}

/// What `plan` allows.
pub(crate) fn entitlements(plan: Plan) -> Entitlements {
    match plan {
        Plan::Free => Entitlements { opens: Plan::Free, answer_rows: 1_000, api_requests_a_day: 0, downloads_at_once: 0 },
        Plan::Starter => Entitlements { opens: Plan::Starter, answer_rows: 10_000, api_requests_a_day: 1_000, downloads_at_once: 2 },
        Plan::Pro => Entitlements { opens: Plan::Pro, answer_rows: 100_000, api_requests_a_day: 20_000, downloads_at_once: 8 },
    }
}

impl Entitlements {
    /// As lines for people, where the brand does not say it in its own words.
    pub(crate) fn lines(self) -> Vec<String> {
        let count = |number: u32| words::count(u64::from(number));
        let mut lines = vec![match self.opens {
            Plan::Free => "The open dashboards".to_owned(),
            Plan::Starter => "The open dashboards and those for Starter".to_owned(),
            Plan::Pro => "Every dashboard".to_owned(),
        }];
        lines.push(format!("Answers of up to {} rows", count(self.answer_rows)));
        if self.downloads_at_once > 0 {
            lines.push("Downloads of whole tables".to_owned());
        }
        if self.api_requests_a_day > 0 {
            lines.push(format!("{} requests to the API a day", count(self.api_requests_a_day)));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_pays_more_gets_everything_that_others_get() {
        for pair in Plan::ALL.windows(2) {
            let (less, more) = (entitlements(pair[0]), entitlements(pair[1]));
            assert!(less.opens < more.opens && less.answer_rows < more.answer_rows && less.api_requests_a_day < more.api_requests_a_day);
            assert!(more.downloads_at_once > less.downloads_at_once);
            assert!(more.lines().len() >= less.lines().len());
        }
    }
}
