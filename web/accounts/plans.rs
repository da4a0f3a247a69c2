//! What each plan allows: one table, read by one function.

use materia::plan::Plan;

/// What a plan includes. Everything that depends on a plan asks [`entitlements`]; nothing compares plans by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entitlements {
    /// Dashboards and panels that ask for this plan or a lesser one are open.
    pub(crate) opens: Plan,
    /// How many years back figures are shown; none: as far as they go.
    pub(crate) history_years: Option<u16>,
    /// Rows of one answer of the explorer or the API.
    pub(crate) answer_rows: u32,
    /// Requests to the API in a day; 0: no API.
    pub(crate) api_requests_a_day: u32,
    /// Whether tables and answers may be downloaded.
    pub(crate) downloads: bool,
}

impl Entitlements {
    /// Whether what asks for `plan` is open.
    pub(crate) fn include(self, plan: Plan) -> bool {
        plan <= self.opens
    }

    /// As lines for people, for the page of prices and the settings.
    pub(crate) fn lines(self) -> Vec<String> {
        let count = |number: u32| materia::words::count(u64::from(number));
        let mut lines = vec![match self.opens {
            Plan::Free => "the open dashboards".to_owned(),
            Plan::Starter => "the open dashboards and those for Starter".to_owned(),
            Plan::Pro => "every dashboard".to_owned(),
        }];
        lines.push(self.history_years.map_or_else(|| "the whole history".to_owned(), |years| format!("{years} years of history")));
        lines.push(format!("answers of up to {} rows", count(self.answer_rows)));
        if self.downloads {
            lines.push("downloads".to_owned());
        }
        if self.api_requests_a_day > 0 {
            lines.push(format!("{} requests to the API a day", count(self.api_requests_a_day)));
        }
        lines
    }
}

/// What `plan` allows.
pub(crate) fn entitlements(plan: Plan) -> Entitlements {
    match plan {
        Plan::Free => {
            Entitlements { opens: Plan::Free, history_years: Some(5), answer_rows: 1_000, api_requests_a_day: 0, downloads: false }
        }
        Plan::Starter => {
            Entitlements { opens: Plan::Starter, history_years: Some(20), answer_rows: 10_000, api_requests_a_day: 1_000, downloads: true }
        }
        Plan::Pro => {
            Entitlements { opens: Plan::Pro, history_years: None, answer_rows: 100_000, api_requests_a_day: 20_000, downloads: true }
        }
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
            assert!(less.history_years.unwrap_or(u16::MAX) < more.history_years.unwrap_or(u16::MAX));
            assert!(more.downloads || !less.downloads);
        }
    }

    #[test]
    fn what_asks_for_more_than_the_plan_is_closed() {
        assert!(entitlements(Plan::Free).include(Plan::Free) && !entitlements(Plan::Free).include(Plan::Starter));
        assert!(entitlements(Plan::Starter).include(Plan::Starter) && !entitlements(Plan::Starter).include(Plan::Pro));
        assert!(Plan::ALL.into_iter().all(|plan| entitlements(Plan::Pro).include(plan)));
    }
}
