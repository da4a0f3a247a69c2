//! The `[[panel]]` sections: the keys that all kinds have in common.

use toml::Spanned;

use super::{ParseContext, RawText};
use crate::{
    dashboard::{
        kinds::RawPanel,
        limits::{Bounds, MAX_BARS, MAX_CELLS, MAX_POINTS, MAX_SERIES, PanelLimits},
        model::{Filter, Panel, PanelOrigin, PanelRequirements, ValueSpec},
        title_links,
    },
    humanize,
    plan::Plan,
    values::Format,
};

/// The dashboard's settings for its panels.
pub(super) struct Around<'f> {
    pub(super) plan: Plan,
    pub(super) public: bool,
    pub(super) filters: &'f [Filter],
    /// The names of filters with errors.
    pub(super) invalid: &'f [String],
}

impl ParseContext<'_> {
    pub(super) fn panel(
        &mut self,
        raw: RawPanel,
        line: usize,
        around: &Around<'_>,
    ) -> Option<Panel> {
        let kind = raw.kind.0;
        for (key, start) in raw.written() {
            if !kind.all_keys().contains(&key) {
                let message = format!(
                    "{key:?} means nothing to a panel of the kind {:?}; it has: {}",
                    kind.name,
                    kind.all_keys().join(", ")
                );
                self.problem(Some(start), message);
            }
        }
        let width = match &raw.width {
            None => kind.width,
            Some(width) if (1..=12).contains(width.get_ref()) => *width.get_ref(),
            Some(width) => {
                self.problem(
                    Some(width.span().start),
                    format!("{} is no width: a row has 12 columns", width.get_ref()),
                );
                12
            }
        };
        let (plan, public) = self.audience(&raw, around);
        let values = self.values(raw.unit.as_ref(), raw.format.as_ref());
        // The largest series or, in a chart without series, the largest bars.
        let top_series = raw.top.as_ref().filter(|_| raw.series.is_some());
        let top_bars = raw.top.as_ref().filter(|_| raw.series.is_none());
        Some(Panel {
            line,
            title: raw.title.clone(),
            title_link: self.title_link(raw.title_link.as_ref(), around),
            texts: Vec::new(),
            tab: raw.tab.as_ref().map(|tab| tab.get_ref().clone()),
            section: raw.section.clone(),
            note: raw.note.clone(),
            width,
            plan,
            public,
            values,
            x_format: raw.x_format.as_ref().map(copied),
            requirements: PanelRequirements {
                allow_empty: raw.allow_empty.as_ref().is_some_and(copied),
                severity: raw.severity.as_ref().map(copied).unwrap_or_default(),
                min_rows: raw.min_rows.as_ref().map(copied),
            },
            origin: self.origin(&raw),
            limits: PanelLimits {
                series: self.limit(raw.max_series.as_ref().or(top_series), &MAX_SERIES),
                bars: self.limit(raw.max_bars.as_ref().or(top_bars), &MAX_BARS),
                points: self.limit(raw.max_points.as_ref(), &MAX_POINTS),
                cells: self.limit(raw.max_cells.as_ref(), &MAX_CELLS),
                has_own_points: raw.max_points.is_some(),
                is_top: raw.top.is_some(),
                page: 0,
                others: raw.others.as_ref().map(copied),
            },
            visualization: (kind.parse)(self, raw, line)?,
        })
    }

    /// Returns the link of a title, if it is safe.
    fn title_link(&mut self, link: Option<&RawText>, around: &Around<'_>) -> Option<String> {
        let link = link?;
        let checked = title_links::check(link.get_ref(), around.filters, around.invalid);
        self.ok_or_report(link.span().start, checked).map(|()| link.get_ref().clone())
    }

    /// Returns where a panel's figures come from.
    fn origin(&mut self, raw: &RawPanel) -> PanelOrigin {
        let mut formulas = Vec::new();
        if let Some(named) = &raw.formula {
            for name in named.get_ref().clone().list() {
                let found = self.units.find_formula(&name);
                formulas.extend(self.ok_or_report(named.span().start, found));
            }
        }
        let freshness = raw.freshness.as_ref().map(|named| named.get_ref().clone().list());
        PanelOrigin { freshness: freshness.unwrap_or_default(), formulas }
    }

    /// Returns the unit and the format of numbers.
    pub(in crate::dashboard) fn values(
        &mut self,
        unit: Option<&Spanned<String>>,
        format: Option<&Spanned<Format>>,
    ) -> ValueSpec {
        let unit = unit.and_then(|unit| {
            let found = self.units.find(unit.get_ref());
            self.ok_or_report(unit.span().start, found)
        });
        ValueSpec { unit, format: format.map(copied) }
    }

    /// Returns the plan that a panel requires, and whether it is public.
    fn audience(&mut self, raw: &RawPanel, around: &Around<'_>) -> (Plan, bool) {
        let plan = raw.plan.unwrap_or_default().max(around.plan);
        // A dashboard's `public` applies only to its free panels.
        let public = raw.public.as_ref().map_or(around.public && plan == Plan::Free, copied);
        if let (Some(given), true) = (&raw.public, public && plan > Plan::Free) {
            self.problem(
                Some(given.span().start),
                format!(
                    "a panel that requires the plan {plan} cannot be public: remove plan or public"
                ),
            );
        }
        (plan, public && plan == Plan::Free)
    }

    /// Returns a limit within its bounds, or the default if the file sets none.
    pub(in crate::dashboard) fn limit(
        &mut self,
        given: Option<&Spanned<usize>>,
        bounds: &Bounds,
    ) -> usize {
        let Some(given) = given else { return bounds.default };
        let (number, max) = (*given.get_ref(), bounds.max);
        if number < 1 || number > max {
            let message = format!(
                "{} = {number} is outside of its range: use 1 to {}",
                bounds.key,
                humanize::count(max as u64)
            );
            self.problem(Some(given.span().start), message);
        }
        number.clamp(1, max)
    }
}

fn copied<T: Copy>(value: &Spanned<T>) -> T {
    *value.get_ref()
}
