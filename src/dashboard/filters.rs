//! Resolves the filters of a request: their options, the selection, and the values for panels.

use std::collections::HashSet;

use futures_util::future::join_all;
use jiff::{Timestamp, civil::Date, tz::TimeZone};

use super::{
    FilterData, FilterValue, OptionData,
    bounded::{self, Part},
    kinds::NONE,
    limits::{MAX_OPTIONS, Notes},
    model::{
        Dashboard, Filter, FilterKind, FilterOptions, Preset, RangeBounds, RangeDefault,
        RelativeTo, Value, YearBounds, YearsDefault,
    },
    parameters,
    rows::{ColumnKind, ResultRows},
};
use crate::{
    humanize,
    plan::Plan,
    reader::{Param, Pin, Query, QueryResult},
};

/// The filters of a request, as in URLs: pairs of names and values; a name may be repeated.
pub type FilterParams = [(String, String)];

impl Dashboard {
    /// Returns the parameters of an address that select something in a filter. Empty values are
    /// left out, unless they override a default.
    #[must_use]
    pub fn selection(&self, params: &FilterParams) -> Vec<(String, String)> {
        let is_known =
            |name: &String| self.filters.iter().any(|filter| filter.parameters().contains(name));
        let is_override = |name: &String| {
            let has_other = params.iter().any(|(other, value)| other == name && !value.is_empty());
            let filter = self.filters.iter().find(|filter| filter.name == *name);
            !has_other && filter.is_some_and(Filter::can_be_emptied)
        };
        let selects = |name: &String, value: &String| {
            is_known(name) && (!value.is_empty() || is_override(name))
        };
        let mut selection = params.to_vec();
        selection.retain(|(name, value)| selects(name, value));
        selection.dedup();
        selection
    }
}

/// Longer texts are truncated.
const MAX_SEARCH_CHARS: usize = 200;
/// The value of a range whose ends are selected.
const CUSTOM: &str = "custom";
/// The option that selects everything.
const ALL: &str = "All";

/// The days that a range can show.
struct RangeDays {
    /// The first and the last day.
    bounds: Result<(Date, Date), String>,
    /// The current day, if presets end with it.
    today: Option<Date>,
}

/// A filter with its selection, and the values for panels with their names.
pub(super) struct ResolvedFilter {
    pub(super) data: FilterData,
    values: Vec<(String, Param)>,
    /// The values without a selection.
    initial: Vec<(String, Param)>,
    /// Every option, for queries that do not handle an empty selection.
    options: Option<(String, Param)>,
}

impl ResolvedFilter {
    /// Returns the values for a query; `handles_all` is whether the query handles an empty
    /// selection.
    pub(super) fn selected(&self, handles_all: bool) -> Vec<(String, Param)> {
        self.for_query(&self.values, handles_all)
    }

    /// Works like [`Self::selected`], without a selection.
    pub(super) fn initial(&self, handles_all: bool) -> Vec<(String, Param)> {
        self.for_query(&self.initial, handles_all)
    }

    fn for_query(&self, values: &[(String, Param)], handles_all: bool) -> Vec<(String, Param)> {
        let mut values = values.to_vec();
        let Some((name, options)) = self.options.as_ref().filter(|_| !handles_all) else {
            return values;
        };
        for (known, value) in &mut values {
            if known == name && *value == Param::Null {
                *value = options.clone();
            }
        }
        values
    }
}

/// Resolves every filter; their queries run concurrently.
pub(super) async fn resolve(
    dashboard: &Dashboard,
    pin: &Pin,
    params: &FilterParams,
    plan: Plan,
) -> Vec<ResolvedFilter> {
    let depends =
        |filter: &Filter| filter.sql().is_some_and(|sql| !parameters::used(sql).is_empty());
    let (dependent, free): (Vec<_>, Vec<_>) =
        dashboard.filters.iter().enumerate().partition(|(_, filter)| depends(filter));
    let one = |(at, filter): (usize, &'_ Filter)| {
        let filter = filter.clone();
        async move { (at, resolve_one(&filter, pin, params, plan, None).await) }
    };
    let mut resolved: Vec<(usize, ResolvedFilter)> = join_all(free.into_iter().map(one)).await;
    // Each of the others uses those before it.
    for (at, filter) in dependent {
        let before: Vec<&ResolvedFilter> = resolved.iter().map(|(_, filter)| filter).collect();
        let query = filter.sql().map(|sql| bind(sql, &dashboard.filters, &before));
        let next = resolve_one(filter, pin, params, plan, query).await;
        resolved.push((at, next));
    }
    resolved.sort_by_key(|(at, _)| *at);
    resolved.into_iter().map(|(_, filter)| filter).collect()
}

/// Returns the query of a filter's options with what is selected in the filters before it.
fn bind(
    sql: &str,
    filters: &[Filter],
    before: &[&ResolvedFilter],
) -> (String, Vec<(String, Param)>) {
    let expanded = parameters::expand(sql, filters);
    let used = parameters::used(&expanded);
    let values = before
        .iter()
        .flat_map(|filter| filter.selected(parameters::handles_all(sql, &filter.data.name)))
        .filter(|(name, _)| used.contains(&name.as_str()))
        .collect();
    (expanded, values)
}

async fn resolve_one(
    filter: &Filter,
    pin: &Pin,
    params: &FilterParams,
    plan: Plan,
    bound: Option<(String, Vec<(String, Param)>)>,
) -> ResolvedFilter {
    let mut notes = Notes::default();
    let own = || filter.sql().map(|sql| (sql.to_owned(), Vec::new()));
    let options_result = match bound.or_else(own) {
        Some((sql, values)) => {
            let query = |part: &str| {
                values
                    .iter()
                    .fold(Query::new(part), |query, (name, value)| query.bind(name, value.clone()))
            };
            Some(bounded::run(pin, &sql, query, Part::First, &mut notes).await)
        }
        None => None,
    };
    let failed = options_result
        .as_ref()
        .is_some_and(|result| result.as_ref().is_err_and(|undrawn| !undrawn.by_amount));
    let options_result = match &options_result {
        None => Ok(None),
        Some(Ok(answer)) => Ok(Some(answer.as_ref())),
        Some(Err(undrawn)) => Err(undrawn.reason.clone()),
    };
    let given = |name: &str| {
        params
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
            .collect::<Vec<_>>()
    };
    let mut resolved = match &filter.kind {
        FilterKind::Search { default } => {
            filter.resolve_search(given(&filter.name).first(), default)
        }
        FilterKind::Choice { options, default, all } => {
            let options = options_result.map(|answer| options.list(answer));
            filter.resolve_choice(options, given(&filter.name).first(), default.as_ref(), *all)
        }
        FilterKind::Many { options, default } => {
            let options = options_result.map(|answer| options.list(answer));
            filter.resolve_many(options, &given(&filter.name), default.as_deref())
        }
        FilterKind::Range { bounds, default, relative_to } => {
            let bounds = options_result.and_then(|answer| bounds.days(answer));
            let [from, to] = [format!("{}_from", filter.name), format!("{}_to", filter.name)]
                .map(|name| given(&name).first().cloned());
            let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
            let today = (*relative_to == RelativeTo::Today).then_some(today);
            let days = RangeDays { bounds, today };
            filter.resolve_range(days, *default, given(&filter.name).first(), (from, to))
        }
        FilterKind::Numbers { bounds, default } => {
            let bounds = options_result.and_then(|answer| bounds.numbers(answer));
            let [from, to] = [format!("{}_from", filter.name), format!("{}_to", filter.name)]
                .map(|name| given(&name).first().cloned());
            filter.resolve_numbers(bounds, *default, (from, to))
        }
        FilterKind::Years { bounds, default, last, .. } => {
            // Without a result an empty range is bound, so that the panels show that there is no
            // data.
            let bounds = options_result.and_then(|answer| bounds.span(answer));
            // A plan never has less access than a smaller one.
            let max_years = last
                .iter()
                .filter(|(limited, _)| **limited >= plan)
                .map(|(_, last)| i64::from(*last))
                .min();
            let [from, to] = [format!("{}_from", filter.name), format!("{}_to", filter.name)]
                .map(|name| given(&name).first().cloned());
            filter.resolve_years(bounds, *default, max_years, plan, (from, to))
        }
    };
    resolved.data.failed = failed;
    resolved.data.note = resolved.data.note.or(notes.texts.pop());
    resolved
}

impl Filter {
    fn resolved(
        &self,
        value: FilterValue,
        problem: Option<String>,
        values: Vec<(String, Param)>,
    ) -> ResolvedFilter {
        let data = FilterData {
            name: self.name.clone(),
            label: self.label.clone(),
            value,
            problem,
            limited: None,
            total: 0,
            note: None,
            hidden: self.hidden,
            failed: false,
            can_be_emptied: self.can_be_emptied(),
        };
        ResolvedFilter { data, initial: values.clone(), values, options: None }
    }

    /// Returns the first options and any further requested ones; bound values do not depend on
    /// which options are listed.
    fn list_options(
        &self,
        options: &[Value],
        is_selected: impl Fn(&Value) -> bool,
        is_requested: impl Fn(&Value) -> bool,
    ) -> Listed {
        let (first, rest) = options.split_at(options.len().min(self.max_options));
        let selected = rest.iter().filter(|option| is_requested(option)).take(MAX_OPTIONS.max);
        let note = (!rest.is_empty()).then(|| {
            let [shown, all] =
                [first.len(), options.len()].map(|number| humanize::count(number as u64));
            format!("Listing the first {shown} of {all} options.")
        });
        let list: Vec<OptionData> =
            first.iter().chain(selected).map(|option| option.data(is_selected(option))).collect();
        Listed { list, total: options.len(), note }
    }

    fn resolve_search(&self, given: Option<&String>, default: &str) -> ResolvedFilter {
        let cut = |text: &str| text.trim().chars().take(MAX_SEARCH_CHARS).collect::<String>();
        let text = cut(given.map_or(default, String::as_str));
        let value = |text: String| vec![(self.name.clone(), Param::Text(text))];
        let values = value(text.clone());
        let mut resolved = self.resolved(FilterValue::Search { text }, None, values);
        resolved.initial = value(cut(default));
        resolved
    }

    fn resolve_choice(
        &self,
        options: Result<Vec<Value>, String>,
        given: Option<&String>,
        default: Option<&String>,
        all: bool,
    ) -> ResolvedFilter {
        let (options, mut problem) = or_problem(options);
        let given = given.filter(|given| !(all && given.is_empty()));
        let without = options.first().filter(|_| !all);
        let find = |text: &String| options.iter().find(|option| option.text == *text);
        let initial = default.and_then(find).or(without);
        let mut selected = initial;
        // The default is treated like a request, which an actual one overrides.
        for (text, owner) in [(default, "the default "), (given, "")] {
            let Some(text) = text.filter(|_| !options.is_empty()) else { continue };
            if let Some(found) = find(text) {
                selected = Some(found);
                problem = None;
            } else {
                let shown = selected.map_or(ALL, |option| option.label.as_str());
                problem = Some(self.unknown_option(owner, text, shown));
            }
        }
        let values = |selected: Option<&Value>| {
            vec![
                (self.name.clone(), selected.map_or(Param::Null, |option| option.param.clone())),
                (format!("{}__all", self.name), Param::Bool(selected.is_none())),
            ]
        };
        let text = selected.map(|option| option.text.clone());
        let is_listed = |option: &Value| text.as_ref() == Some(&option.text);
        let mut listed = self.list_options(&options, is_listed, is_listed);
        if all {
            let everything = OptionData {
                value: String::new(),
                label: ALL.to_owned(),
                chosen: selected.is_none(),
            };
            listed.list.insert(0, everything);
        }
        let value = FilterValue::One { options: listed.list };
        let mut resolved = self.resolved(value, problem, values(selected));
        resolved.initial = values(initial);
        // A query that does not handle "All" gets an option.
        resolved.options = options
            .first()
            .map(|option| (self.name.clone(), option.param.clone()))
            .filter(|_| selected.is_none());
        (resolved.data.total, resolved.data.note) = (listed.total, listed.note);
        resolved
    }

    fn resolve_many(
        &self,
        options: Result<Vec<Value>, String>,
        given: &[String],
        default: Option<&[String]>,
    ) -> ResolvedFilter {
        let (options, mut problem) = or_problem(options);
        let (requested, owner) = if given.is_empty() {
            (default.unwrap_or_default(), "the default ")
        } else {
            (given, "")
        };
        let known: HashSet<&str> = options.iter().map(|option| option.text.as_str()).collect();
        // An empty value selects nothing, and so everything.
        let unknown =
            requested.iter().find(|text| !text.is_empty() && !known.contains(text.as_str()));
        let requested: HashSet<&str> = requested.iter().map(String::as_str).collect();
        let is_requested = |option: &Value| requested.contains(option.text.as_str());
        let any = options.iter().any(is_requested);
        if let Some(unknown) = unknown.filter(|_| !options.is_empty()) {
            let shown = if any { "the others" } else { "all" };
            problem = Some(self.unknown_option(owner, unknown, shown));
        }
        let list_of = |is_selected: &dyn Fn(&Value) -> bool| {
            let selected = options.iter().filter(|option| is_selected(option));
            let params: Vec<Param> = selected
                .filter(|option| option.param != Param::Null)
                .map(|option| option.param.clone())
                .collect();
            // An empty list has no type.
            if params.is_empty() { Param::Null } else { Param::List(params) }
        };
        let values = |any: bool, is_selected: &dyn Fn(&Value) -> bool| {
            let none = any
                && options.iter().any(|option| is_selected(option) && option.param == Param::Null);
            vec![
                (self.name.clone(), if any { list_of(is_selected) } else { Param::Null }),
                (format!("{}__all", self.name), Param::Bool(!any)),
                (format!("{}__none", self.name), Param::Bool(none)),
            ]
        };
        let listed =
            self.list_options(&options, |option| !any || is_requested(option), is_requested);
        let value = FilterValue::Many { options: listed.list };
        let mut resolved = self.resolved(value, problem, values(any, &is_requested));
        let is_default =
            |option: &Value| default.is_some_and(|default| default.contains(&option.text));
        resolved.initial = values(options.iter().any(is_default), &is_default);
        resolved.options = (!any).then(|| (self.name.clone(), list_of(&|_: &Value| true)));
        (resolved.data.total, resolved.data.note) = (listed.total, listed.note);
        resolved
    }

    fn resolve_years(
        &self,
        bounds: Result<(i64, i64), String>,
        default: YearsDefault,
        max_years: Option<i64>,
        plan: Plan,
        (given_from, given_to): (Option<String>, Option<String>),
    ) -> ResolvedFilter {
        let (mut problem, mut limited) = (None, None);
        let (mut first, last) = bounds.unwrap_or_else(|why| {
            problem = Some(why);
            (0, -1)
        });
        if let Some(max) = max_years.filter(|max| last - first + 1 > *max) {
            let years = if matches!(self.kind, FilterKind::Years { seasons: true, .. }) {
                "seasons"
            } else {
                "years"
            };
            limited = Some(format!("The {plan} plan shows the last {max} {years}"));
            first = last - max + 1;
        }
        let mut inside = |given: Option<String>, default: i64| {
            let year = match given.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
                Some(text) => text.parse().unwrap_or_else(|_| {
                    let shown = default.to_string();
                    problem = Some(self.unknown_option("", text, &shown));
                    default
                }),
                None => default,
            };
            if first <= last { year.clamp(first, last) } else { year }
        };
        let (from, to) = match default {
            YearsDefault::All => (first, last),
            YearsDefault::Last(number) => (last - i64::from(number) + 1, last),
            YearsDefault::Range(from, to) => (from, to),
        };
        let initial = (inside(None, from), inside(None, to));
        let selected = (inside(given_from, from), inside(given_to, to));
        let in_order = |(from, to): (i64, i64)| {
            if first <= last { (from.min(to), from.max(to)) } else { (first, last) }
        };
        let values = |(from, to)| {
            vec![
                (format!("{}_from", self.name), Param::Int(from)),
                (format!("{}_to", self.name), Param::Int(to)),
            ]
        };
        let (from, to) = in_order(selected);
        let seasons = matches!(self.kind, FilterKind::Years { seasons: true, .. });
        let value = FilterValue::Years { first, last, from, to, seasons };
        let mut resolved = self.resolved(value, problem, values((from, to)));
        resolved.initial = values(in_order(initial));
        resolved.data.limited = limited;
        resolved
    }

    fn resolve_range(
        &self,
        days: RangeDays,
        default: RangeDefault,
        preset: Option<&String>,
        (given_from, given_to): (Option<String>, Option<String>),
    ) -> ResolvedFilter {
        let mut problem = None;
        let (first, last) = days.bounds.unwrap_or_else(|why| {
            problem = Some(why);
            // Nothing lies between them.
            (Date::MAX, Date::MIN)
        });
        let is_known = first <= last;
        let end = days.today.unwrap_or(last);
        let span = |default: RangeDefault| match default {
            RangeDefault::Preset(preset) => match preset.first_day(end) {
                Some(begin) => (begin.max(first).min(end), end),
                None => (first, last.max(end)),
            },
            RangeDefault::Days(from, to) => (from, to),
        };
        let span = |default| if is_known { span(default) } else { (first, last) };
        let mut chosen = match default {
            RangeDefault::Preset(preset) => Some(preset),
            RangeDefault::Days(..) => None,
        };
        let mut selected = span(default);
        let preset = preset.map(String::as_str).filter(|name| !name.is_empty() && *name != CUSTOM);
        let ends = [given_from, given_to].map(|end| end.filter(|text| !text.trim().is_empty()));
        if let Some(name) = preset {
            match Preset::parse(name) {
                Ok(preset) => {
                    (chosen, selected) = (Some(preset), span(RangeDefault::Preset(preset)));
                }
                Err(why) => problem = problem.or(Some(why)),
            }
        } else if ends.iter().any(Option::is_some) {
            let mut day = |text: &Option<String>, other: Date| {
                let Some(text) = text else { return other };
                text.trim().parse().unwrap_or_else(|_| {
                    let shown = other.to_string();
                    problem = Some(self.unknown_option("", text, &shown));
                    other
                })
            };
            let (from, to) = (day(&ends[0], selected.0), day(&ends[1], selected.1));
            (chosen, selected) = (None, (from.min(to), from.max(to)));
        }
        let values = |(from, to): (Date, Date)| {
            let all = is_known && from <= first && to >= last;
            vec![
                (format!("{}_from", self.name), Param::Text(from.to_string())),
                (format!("{}_to", self.name), Param::Text(to.to_string())),
                (format!("{}__all", self.name), Param::Bool(all)),
            ]
        };
        let shown = |day: Date| if is_known { day.to_string() } else { String::new() };
        let value = FilterValue::Range {
            days: true,
            first: shown(first),
            last: shown(last.max(end)),
            from: shown(selected.0),
            to: shown(selected.1),
            presets: Preset::ALL
                .into_iter()
                // What begins before the data is the same as all of it.
                .filter(|preset| {
                    Some(*preset) == chosen
                        || is_known && preset.first_day(end).is_none_or(|day| day > first)
                })
                .map(|preset| OptionData {
                    value: preset.name(),
                    label: preset.label(),
                    chosen: Some(preset) == chosen,
                })
                .collect(),
        };
        let mut resolved = self.resolved(value, problem, values(selected));
        resolved.initial = values(span(default));
        resolved
    }

    fn resolve_numbers(
        &self,
        bounds: Result<(f64, f64), String>,
        default: Option<(f64, f64)>,
        (given_from, given_to): (Option<String>, Option<String>),
    ) -> ResolvedFilter {
        let mut problem = None;
        let (first, last) = bounds.unwrap_or_else(|why| {
            problem = Some(why);
            (1.0, 0.0)
        });
        let is_known = first <= last;
        let initial = default.filter(|_| is_known).unwrap_or((first, last));
        let mut number = |given: Option<String>, other: f64| {
            let Some(text) = given.filter(|text| !text.trim().is_empty()) else { return other };
            text.trim().parse().ok().filter(|number: &f64| number.is_finite()).unwrap_or_else(
                || {
                    problem = Some(self.unknown_option("", &text, &other.to_string()));
                    other
                },
            )
        };
        let (from, to) = (number(given_from, initial.0), number(given_to, initial.1));
        let selected = if is_known { (from.min(to), from.max(to)) } else { (first, last) };
        let values = |(from, to): (f64, f64)| {
            let all = is_known && from <= first && to >= last;
            vec![
                (format!("{}_from", self.name), Param::Float(from)),
                (format!("{}_to", self.name), Param::Float(to)),
                (format!("{}__all", self.name), Param::Bool(all)),
            ]
        };
        let shown = |number: f64| if is_known { number.to_string() } else { String::new() };
        let value = FilterValue::Range {
            days: false,
            first: shown(first),
            last: shown(last),
            from: shown(selected.0),
            to: shown(selected.1),
            presets: Vec::new(),
        };
        let mut resolved = self.resolved(value, problem, values(selected));
        resolved.initial = values(initial);
        resolved
    }

    fn unknown_option(&self, owner: &str, text: &str, shown: &str) -> String {
        let mut label = self.label.clone();
        // Returns a label for use within a sentence: in lower case, unless it is in capitals.
        if label.chars().nth(1).is_some_and(char::is_lowercase) {
            label = label
                .chars()
                .take(1)
                .flat_map(char::to_lowercase)
                .chain(label.chars().skip(1))
                .collect();
        }
        let unknown =
            if owner.is_empty() { "Unknown".to_owned() } else { format!("{owner}is an unknown") };
        format!("{unknown} {label} {text:?}; showing {shown}")
    }
}

/// The listed options of a filter.
struct Listed {
    list: Vec<OptionData>,
    total: usize,
    note: Option<String>,
}

fn or_problem(options: Result<Vec<Value>, String>) -> (Vec<Value>, Option<String>) {
    match options {
        Ok(options) if options.is_empty() => (options, Some("there are no options".to_owned())),
        Ok(options) => (options, None),
        Err(problem) => (Vec::new(), Some(problem)),
    }
}

impl Value {
    fn data(&self, chosen: bool) -> OptionData {
        OptionData { value: self.text.clone(), label: self.label.clone(), chosen }
    }
}

impl FilterOptions {
    /// Returns the options of the file, or those of the query: values from the first column with
    /// its type, labels from the second. Null is an option, too.
    fn list(&self, answer: Option<&QueryResult>) -> Vec<Value> {
        let (Self::Sql(_), Some(answer)) = (self, answer) else {
            return if let Self::Fixed(values) = self { values.clone() } else { Vec::new() };
        };
        let rows = ResultRows::new(answer);
        let mut values = Vec::<Value>::new();
        for row in rows.each() {
            let Some(text) = row.text(0) else {
                let label =
                    row.text(1).map_or_else(|| NONE.to_owned(), std::borrow::Cow::into_owned);
                values.push(Value { text: NONE.to_owned(), param: Param::Null, label });
                continue;
            };
            let text = text.into_owned();
            let param = match rows.kind(0) {
                ColumnKind::Integer => text.parse().map(Param::Int).ok(),
                ColumnKind::Number => text.parse().map(Param::Float).ok(),
                ColumnKind::Temporal | ColumnKind::Other => None,
            };
            let label = row.text(1).map_or_else(|| text.clone(), std::borrow::Cow::into_owned);
            values.push(Value {
                param: param.unwrap_or_else(|| Param::Text(text.clone())),
                text,
                label,
            });
        }
        values
    }
}

impl RangeBounds<Date> {
    /// Returns the first and the last day, of the file or of the query.
    fn days(&self, answer: Option<&QueryResult>) -> Result<(Date, Date), String> {
        if let Self::Fixed(first, last) = self {
            return Ok((*first, *last));
        }
        let missing = || "its sql returns no first and last day".to_owned();
        let rows = answer.map(ResultRows::new).ok_or_else(missing)?;
        let row = rows.each().next().ok_or_else(missing)?;
        // Dates, and texts that begin with one.
        let day = |column: usize| row.text(column)?.get(..10)?.parse::<Date>().ok();
        day(0).zip(day(1)).filter(|(first, last)| first <= last).ok_or_else(missing)
    }
}

impl RangeBounds<f64> {
    /// Returns the smallest and the largest number, of the file or of the query.
    fn numbers(&self, answer: Option<&QueryResult>) -> Result<(f64, f64), String> {
        if let Self::Fixed(first, last) = self {
            return Ok((*first, *last));
        }
        let missing = || "its sql returns no smallest and largest number".to_owned();
        let rows = answer.map(ResultRows::new).ok_or_else(missing)?;
        let row = rows.each().next().ok_or_else(missing)?;
        row.number(0).zip(row.number(1)).filter(|(first, last)| first <= last).ok_or_else(missing)
    }
}

impl YearBounds {
    /// Returns the first and the last year, from the file or from the query.
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a year that does not fit saturates, and nothing lies in it"
    )]
    fn span(&self, answer: Option<&QueryResult>) -> Result<(i64, i64), String> {
        if let Self::Fixed(first, last) = self {
            return Ok((*first, *last));
        }
        let missing = || "its sql returns no first and last year".to_owned();
        let rows = answer.map(ResultRows::new).ok_or_else(missing)?;
        let row = rows.each().next().ok_or_else(missing)?;
        let span = row.number(0).zip(row.number(1)).filter(|(first, last)| first <= last);
        span.map(|(first, last)| (first as i64, last as i64)).ok_or_else(missing)
    }
}
