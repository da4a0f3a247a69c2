//! What can be chosen, what was asked for, and what the panels get.

use std::collections::HashSet;

use futures_util::future::join_all;

use super::{
    Choice, FilterData, OptionData,
    bounded::{self, Part},
    limits::{MAX_OPTIONS, Notes},
    model::{Bounds, Dashboard, Filter, FilterKind, Options, Value, YearsDefault},
    rows::{Holds, Rows},
};
use crate::{
    plan::Plan,
    reader::{Answer, Param, Pin, Query},
    words,
};

/// What viewers ask for, as it stands in addresses: names and values, a name as often as it has values.
pub type Asked = [(String, String)];

/// Nobody looks for a longer text.
const LONGEST_SEARCH: usize = 200;

/// A filter's choice, and what panels get under which names.
pub(super) struct Resolved {
    pub(super) data: FilterData,
    pub(super) values: Vec<(String, Param)>,
}

/// Resolves every filter; their queries run at the same time.
pub(super) async fn resolve(dashboard: &Dashboard, pin: &Pin, asked: &Asked, plan: Plan) -> Vec<Resolved> {
    join_all(dashboard.filters.iter().map(|filter| one(filter, pin, asked, plan))).await
}

async fn one(filter: &Filter, pin: &Pin, asked: &Asked, plan: Plan) -> Resolved {
    let mut notes = Notes::default();
    let there_is = match filter.sql() {
        Some(sql) => Some(bounded::run(pin, sql, Query::new, Part::First, &mut notes).await),
        None => None,
    };
    let failed = there_is.as_ref().is_some_and(|there_is| there_is.as_ref().is_err_and(|undrawn| !undrawn.by_amount));
    let there_is = match &there_is {
        None => Ok(None),
        Some(Ok(answer)) => Ok(Some(answer.as_ref())),
        Some(Err(undrawn)) => Err(undrawn.reason.clone()),
    };
    let wanted = |name: &str| asked.iter().filter(|(asked, _)| asked == name).map(|(_, value)| value.clone()).collect::<Vec<_>>();
    let mut resolved = match &filter.kind {
        FilterKind::Search { default } => filter.search(wanted(&filter.name).first(), default),
        FilterKind::Choice { options, default } => {
            let options = there_is.map(|answer| options.list(answer));
            filter.choice(options, wanted(&filter.name).first(), default.as_ref())
        }
        FilterKind::Many { options, default } => {
            let options = there_is.map(|answer| options.list(answer));
            filter.many(options, &wanted(&filter.name), default.as_deref())
        }
        FilterKind::Years { bounds, default, last } => {
            // No answer binds an empty span: the panels say that they have nothing to show.
            let bounds = there_is.and_then(|answer| bounds.span(answer));
            // A plan sees no more than the plans above it do.
            let most = last.iter().filter(|(limited, _)| **limited >= plan).map(|(_, last)| i64::from(*last)).min();
            let [from, to] = [format!("{}_from", filter.name), format!("{}_to", filter.name)].map(|name| wanted(&name).first().cloned());
            filter.years(bounds, *default, most, plan, (from, to))
        }
    };
    resolved.data.failed = failed;
    resolved.data.note = resolved.data.note.or(notes.texts.pop());
    resolved
}

impl Filter {
    fn resolved(&self, choice: Choice, problem: Option<String>, values: Vec<(String, Param)>) -> Resolved {
        let data = FilterData {
            name: self.name.clone(),
            label: self.label.clone(),
            choice,
            problem,
            limited: None,
            total: 0,
            note: None,
            failed: false,
        };
        Resolved { data, values }
    }

    /// The first options, and those beyond them that were chosen; what is bound does not depend on what is listed.
    fn listed(&self, options: &[Value], is_chosen: impl Fn(&Value) -> bool, is_wanted: impl Fn(&Value) -> bool) -> Listed {
        let (first, rest) = options.split_at(options.len().min(self.max_options));
        let wanted = rest.iter().filter(|option| is_wanted(option)).take(MAX_OPTIONS.largest);
        let note = (!rest.is_empty()).then(|| {
            let [shown, all] = [first.len(), options.len()].map(|number| words::count(number as u64));
            format!("Listing the first {shown} of {all} options.")
        });
        let list = first.iter().chain(wanted).map(|option| option.data(is_chosen(option))).collect();
        Listed { list, total: options.len(), note }
    }

    fn search(&self, asked: Option<&String>, default: &str) -> Resolved {
        let text: String = asked.map_or(default, String::as_str).trim().chars().take(LONGEST_SEARCH).collect();
        let value = (self.name.clone(), Param::Text(text.clone()));
        self.resolved(Choice::Search { text }, None, vec![value])
    }

    fn choice(&self, options: Result<Vec<Value>, String>, asked: Option<&String>, default: Option<&String>) -> Resolved {
        let (options, mut problem) = or_problem(options);
        let mut chosen = options.first();
        // The default is a wish too, which what is asked for overrides.
        for (wish, whose) in [(default, "the default"), (asked, "")] {
            let Some(wish) = wish.filter(|_| !options.is_empty()) else { continue };
            match options.iter().find(|option| option.text == *wish) {
                Some(found) => {
                    chosen = Some(found);
                    problem = None;
                }
                None => problem = Some(self.not_there(whose, wish)),
            }
        }
        let value = (self.name.clone(), chosen.map_or(Param::Null, |option| option.param.clone()));
        let chosen = chosen.map(|option| option.text.clone());
        let is_chosen = |option: &Value| chosen.as_ref() == Some(&option.text);
        let listed = self.listed(&options, is_chosen, is_chosen);
        let mut resolved = self.resolved(Choice::One { options: listed.list }, problem, vec![value]);
        (resolved.data.total, resolved.data.note) = (listed.total, listed.note);
        resolved
    }

    fn many(&self, options: Result<Vec<Value>, String>, asked: &[String], default: Option<&[String]>) -> Resolved {
        let (options, mut problem) = or_problem(options);
        let (wishes, whose) = if asked.is_empty() { (default.unwrap_or_default(), "the default") } else { (asked, "") };
        let known: HashSet<&str> = options.iter().map(|option| option.text.as_str()).collect();
        let unknown = wishes.iter().find(|wish| !known.contains(wish.as_str()));
        if let Some(unknown) = unknown.filter(|_| !options.is_empty()) {
            problem = Some(self.not_there(whose, unknown));
        }
        let wishes: HashSet<&str> = wishes.iter().map(String::as_str).collect();
        let wanted = |option: &Value| wishes.contains(option.text.as_str());
        let any = options.iter().any(wanted);
        let chosen = |option: &Value| !any || wanted(option);
        let params = options.iter().filter(|option| chosen(option)).map(|option| option.param.clone()).collect();
        let listed = self.listed(&options, chosen, wanted);
        let values = vec![(self.name.clone(), Param::List(params))];
        let mut resolved = self.resolved(Choice::Many { options: listed.list }, problem, values);
        (resolved.data.total, resolved.data.note) = (listed.total, listed.note);
        resolved
    }

    fn years(
        &self,
        bounds: Result<(i64, i64), String>,
        default: YearsDefault,
        most: Option<i64>,
        plan: Plan,
        (asked_from, asked_to): (Option<String>, Option<String>),
    ) -> Resolved {
        let (mut problem, mut limited) = (None, None);
        let (mut first, last) = bounds.unwrap_or_else(|why| {
            problem = Some(why);
            (0, -1)
        });
        if let Some(most) = most.filter(|most| last - first + 1 > *most) {
            limited = Some(format!("The {plan} plan shows the last {most} years"));
            first = last - most + 1;
        }
        let mut inside = |asked: Option<String>, default: i64| {
            let year = match asked.as_deref().map(str::trim).filter(|text| !text.is_empty()).map(str::parse) {
                Some(Ok(year)) => year,
                Some(Err(_)) => {
                    problem = Some(self.not_there("", asked.as_deref().unwrap_or_default()));
                    default
                }
                None => default,
            };
            if first <= last { year.clamp(first, last) } else { year }
        };
        let (from, to) = match default {
            YearsDefault::All => (first, last),
            YearsDefault::Last(number) => (last - i64::from(number) + 1, last),
            YearsDefault::Range(from, to) => (from, to),
        };
        let (from, to) = (inside(asked_from, from), inside(asked_to, to));
        let (from, to) = if first <= last { (from.min(to), from.max(to)) } else { (first, last) };
        let values = vec![(format!("{}_from", self.name), Param::Int(from)), (format!("{}_to", self.name), Param::Int(to))];
        let mut resolved = self.resolved(Choice::Years { first, last, from, to }, problem, values);
        resolved.data.limited = limited;
        resolved
    }

    fn not_there(&self, whose: &str, wish: &str) -> String {
        let whose = if whose.is_empty() { String::new() } else { format!("{whose} ") };
        format!("{whose}{wish:?} is not among {}", self.label)
    }
}

/// What a filter lists.
struct Listed {
    list: Vec<OptionData>,
    total: usize,
    note: Option<String>,
}

fn or_problem(options: Result<Vec<Value>, String>) -> (Vec<Value>, Option<String>) {
    match options {
        Ok(options) if options.is_empty() => (options, Some("there is nothing to choose from".to_owned())),
        Ok(options) => (options, None),
        Err(problem) => (Vec::new(), Some(problem)),
    }
}

impl Value {
    fn data(&self, chosen: bool) -> OptionData {
        OptionData { value: self.text.clone(), label: self.label.clone(), chosen }
    }
}

impl Options {
    /// The options of the file, or those that the query told: values of the first column with the type they have there, labels of the second.
    fn list(&self, answer: Option<&Answer>) -> Vec<Value> {
        let (Self::Sql(_), Some(answer)) = (self, answer) else {
            return if let Self::Fixed(values) = self { values.clone() } else { Vec::new() };
        };
        let rows = Rows::of(answer);
        let mut values = Vec::<Value>::new();
        for row in rows.each() {
            let Some(text) = row.text(0) else { continue };
            let text = text.into_owned();
            let param = match rows.holds(0) {
                Holds::Whole => text.parse().map(Param::Int).ok(),
                Holds::Number => text.parse().map(Param::Float).ok(),
                Holds::Time | Holds::Other => None,
            };
            let label = row.text(1).map_or_else(|| text.clone(), std::borrow::Cow::into_owned);
            values.push(Value { param: param.unwrap_or_else(|| Param::Text(text.clone())), text, label });
        }
        values
    }
}

impl Bounds {
    /// The first and the last year, of the file or as the query told.
    #[allow(clippy::cast_possible_truncation, reason = "a year that does not fit saturates, and nothing lies in it")]
    fn span(&self, answer: Option<&Answer>) -> Result<(i64, i64), String> {
        if let Self::Fixed(first, last) = self {
            return Ok((*first, *last));
        }
        let nothing = || "its sql tells no first and last year".to_owned();
        let rows = answer.map(Rows::of).ok_or_else(nothing)?;
        let row = rows.each().next().ok_or_else(nothing)?;
        let span = row.number(0).zip(row.number(1)).filter(|(first, last)| first <= last);
        span.map(|(first, last)| (first as i64, last as i64)).ok_or_else(nothing)
    }
}
