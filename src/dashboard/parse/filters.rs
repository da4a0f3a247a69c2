//! The `[[filter]]` sections.

use jiff::civil::Date;
use toml::Spanned;

use super::{
    ParseContext,
    raw::{FilterKindName, RawFilter, RawOption},
};
use crate::{
    dashboard::{
        limits::MAX_OPTIONS,
        model::{
            Filter, FilterKind, FilterOptions, Preset, RangeBounds, RangeDefault, Value,
            YearBounds, YearsDefault, default_title,
        },
        parameters,
    },
    reader::Param,
};

impl ParseContext<'_> {
    pub(super) fn filter(&mut self, file: Spanned<RawFilter>, before: &[Filter]) -> Option<Filter> {
        let line = self.line(file.span().start);
        let file = file.into_inner();
        let (name, at) = (file.name.get_ref().clone(), file.name.span().start);
        let fits =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        if !name.starts_with(|letter: char| letter.is_ascii_lowercase()) || !name.chars().all(fits)
        {
            self.problem(Some(at), format!("{name:?} cannot be a filter's name: use lower-case letters, digits and _, a letter first"));
            return None;
        }
        let kind = self.filter_kind(&file, line, before)?;
        let max_options = self.limit(file.max_options.as_ref(), &MAX_OPTIONS);
        let label = file.label.unwrap_or_else(|| default_title(&name));
        let filter = Filter { line, name, label, kind, max_options, hidden: file.hidden };
        if before
            .iter()
            .flat_map(Filter::parameters)
            .any(|other| filter.parameters().contains(&other))
        {
            self.problem(
                Some(at),
                format!("there is another filter of the name {:?}", filter.name),
            );
            return None;
        }
        Some(filter)
    }

    fn filter_kind(
        &mut self,
        file: &RawFilter,
        line: usize,
        before: &[Filter],
    ) -> Option<FilterKind> {
        let kind = *file.kind.get_ref();
        self.check_keys(file, kind);
        let known: Vec<String> = before.iter().flat_map(Filter::parameters).collect();
        if let Some(sql) = &file.sql
            && let Some(name) = parameters::used(sql.get_ref())
                .into_iter()
                .find(|name| !known.iter().any(|known| known == name))
        {
            self.problem(
                Some(sql.span().start),
                format!("a filter's sql can use the filters before it only, and ${name} is none"),
            );
            return None;
        }
        let default = file.default.as_ref();
        if kind == FilterKindName::Search {
            let text = default
                .map(|default| self.ok_or_report(default.span().start, text_of(default.get_ref())))
                .unwrap_or_default();
            return Some(FilterKind::Search { default: text.unwrap_or_default() });
        }
        let options = match (&file.sql, &file.options) {
            (Some(sql), None) => FilterOptions::Sql(sql.get_ref().clone()),
            (None, Some(options)) => FilterOptions::Fixed(self.options(options)?),
            (_, both) => {
                let what = if both.is_some() {
                    "has both sql and options; one of them is enough"
                } else {
                    "needs sql or options"
                };
                self.problems.push(
                    self.error(Some(line), format!("the filter {:?} {what}", file.name.get_ref())),
                );
                return None;
            }
        };
        match kind {
            FilterKindName::Choice => {
                let default = default
                    .map(|default| {
                        self.ok_or_report(default.span().start, text_of(default.get_ref()))
                    })
                    .unwrap_or_default();
                // Whether "All" is an option, the panels' SQL decides.
                Some(FilterKind::Choice { options, default, all: false })
            }
            FilterKindName::Many => {
                let default = default
                    .map(|default| {
                        self.ok_or_report(default.span().start, texts_of(default.get_ref()))
                    })
                    .unwrap_or_default();
                Some(FilterKind::Many { options, default })
            }
            FilterKindName::Range => {
                let bounds = match options {
                    FilterOptions::Sql(sql) => RangeBounds::Sql(sql),
                    FilterOptions::Fixed(values) => {
                        let days = match values.as_slice() {
                            [first, last] => first.text.parse().ok().zip(last.text.parse().ok()),
                            _ => None,
                        };
                        let Some((first, last)) = days else {
                            self.problem(Some(file.kind.span().start), "options of a range are the first and the last day, as in [\"2020-01-01\", \"2024-12-31\"]".to_owned());
                            return None;
                        };
                        RangeBounds::Fixed(first, last)
                    }
                };
                let default = match default {
                    None => RangeDefault::Preset(Preset::Max),
                    Some(default) => {
                        self.ok_or_report(default.span().start, range_default(default.get_ref()))?
                    }
                };
                let relative_to =
                    file.relative_to.as_ref().map(|day| *day.get_ref()).unwrap_or_default();
                Some(FilterKind::Range { bounds, default, relative_to })
            }
            FilterKindName::Numbers => {
                let pair = |values: &[Value]| match values {
                    [first, last] => first
                        .text
                        .parse()
                        .ok()
                        .zip(last.text.parse().ok())
                        .filter(|(first, last): &(f64, f64)| first <= last),
                    _ => None,
                };
                let bounds = match options {
                    FilterOptions::Sql(sql) => RangeBounds::Sql(sql),
                    FilterOptions::Fixed(values) => {
                        let Some((first, last)) = pair(&values) else {
                            self.problem(Some(file.kind.span().start), "options of numbers are the smallest and the largest, as in [0, 500]".to_owned());
                            return None;
                        };
                        RangeBounds::Fixed(first, last)
                    }
                };
                let default = match default {
                    None => None,
                    Some(default) => {
                        let texts = texts_of(default.get_ref()).unwrap_or_default();
                        let numbers: Vec<f64> =
                            texts.iter().filter_map(|text| text.parse().ok()).collect();
                        let [from, to] = numbers.as_slice() else {
                            self.problem(
                                Some(default.span().start),
                                "the default of numbers is from and to, as in [10, 200]".to_owned(),
                            );
                            return None;
                        };
                        Some((*from, *to))
                    }
                };
                Some(FilterKind::Numbers { bounds, default })
            }
            FilterKindName::Years | FilterKindName::Search => {
                let bounds = match options {
                    FilterOptions::Sql(sql) => YearBounds::Sql(sql),
                    FilterOptions::Fixed(values) => self.fixed_years(file, &values)?,
                };
                let default = match default {
                    None => YearsDefault::All,
                    Some(default) => self
                        .ok_or_report(default.span().start, years_default(default.get_ref()))
                        .unwrap_or(YearsDefault::All),
                };
                let last =
                    file.last.as_ref().map(|last| last.get_ref().clone()).unwrap_or_default();
                let seasons = file.seasons.as_ref().is_some_and(|seasons| *seasons.get_ref());
                Some(FilterKind::Years { bounds, default, last, seasons })
            }
        }
    }

    /// Reports keys that mean nothing to a filter of this kind.
    fn check_keys(&mut self, file: &RawFilter, kind: FilterKindName) {
        let meant = |key: &str| match kind {
            FilterKindName::Search => key == "default",
            FilterKindName::Range => {
                matches!(key, "sql" | "options" | "default" | "relative_to")
            }
            FilterKindName::Numbers => matches!(key, "sql" | "options" | "default"),
            FilterKindName::Years => {
                matches!(key, "sql" | "options" | "default" | "last" | "seasons")
            }
            FilterKindName::Choice | FilterKindName::Many => {
                matches!(key, "sql" | "options" | "default" | "max_options")
            }
        };
        let written = [
            ("sql", file.sql.as_ref().map(Spanned::span)),
            ("options", file.options.as_ref().map(Spanned::span)),
            ("default", file.default.as_ref().map(Spanned::span)),
            ("last", file.last.as_ref().map(Spanned::span)),
            ("seasons", file.seasons.as_ref().map(Spanned::span)),
            ("relative_to", file.relative_to.as_ref().map(Spanned::span)),
            ("max_options", file.max_options.as_ref().map(Spanned::span)),
        ];
        for (key, span) in written {
            if let Some(span) = span.filter(|_| !meant(key)) {
                self.problem(
                    Some(span.start),
                    format!("{key:?} means nothing to a filter of the kind {:?}", kind.name()),
                );
            }
        }
    }

    fn options(&mut self, options: &Spanned<Vec<RawOption>>) -> Option<Vec<Value>> {
        let start = options.span().start;
        if options.get_ref().is_empty() {
            self.problem(Some(start), "there is nothing to choose from".to_owned());
            return None;
        }
        let one = |option: &RawOption| -> Result<Value, String> {
            let (value, label) = match option {
                RawOption::Named { value, label } => (value, Some(label.clone())),
                RawOption::Bare(value) => (value, None),
            };
            let text = text_of(value)?;
            let param = match value {
                toml::Value::Integer(number) => Param::Int(*number),
                toml::Value::Float(number) => Param::Float(*number),
                toml::Value::Boolean(truth) => Param::Bool(*truth),
                _ => Param::Text(text.clone()),
            };
            Ok(Value { label: label.unwrap_or_else(|| text.clone()), text, param })
        };
        let values = options.get_ref().iter().map(one).collect();
        self.ok_or_report(start, values)
    }

    fn fixed_years(&mut self, file: &RawFilter, values: &[Value]) -> Option<YearBounds> {
        let start = file.options.as_ref().map(|options| options.span().start);
        if let [Value { param: Param::Int(first), .. }, Value { param: Param::Int(last), .. }] =
            values
            && first <= last
        {
            return Some(YearBounds::Fixed(*first, *last));
        }
        self.problem(
            start,
            "options of years are the first and the last year, as in [1990, 2026]".to_owned(),
        );
        None
    }
}

fn text_of(value: &toml::Value) -> Result<String, String> {
    match value {
        toml::Value::String(text) => Ok(text.clone()),
        toml::Value::Integer(number) => Ok(number.to_string()),
        toml::Value::Float(number) => Ok(number.to_string()),
        toml::Value::Boolean(truth) => Ok(truth.to_string()),
        other => Err(format!("expected a text or a number, not {}", other.type_str())),
    }
}

fn texts_of(value: &toml::Value) -> Result<Vec<String>, String> {
    match value {
        toml::Value::Array(values) => values.iter().map(text_of).collect(),
        value => text_of(value).map(|text| vec![text]),
    }
}

fn range_default(value: &toml::Value) -> Result<RangeDefault, String> {
    let wrong = || {
        "the default of a range is a preset, as in \"90d\", or from and to, as in [\"2024-01-01\", \"2024-12-31\"]"
            .to_owned()
    };
    match value {
        toml::Value::String(name) => Preset::parse(name).map(RangeDefault::Preset),
        toml::Value::Array(values) => {
            let day = |value: &toml::Value| match value {
                toml::Value::Datetime(day) => day.to_string().parse::<Date>().ok(),
                other => other.as_str()?.parse().ok(),
            };
            match values.iter().map(day).collect::<Option<Vec<Date>>>().as_deref() {
                Some([from, to]) if from <= to => Ok(RangeDefault::Days(*from, *to)),
                _ => Err(wrong()),
            }
        }
        _ => Err(wrong()),
    }
}

fn years_default(value: &toml::Value) -> Result<YearsDefault, String> {
    let wrong = || {
        "the default of years is how many of the last ones, as in 20, or from and to, as in [2000, 2020]".to_owned()
    };
    match value {
        toml::Value::Integer(number) => u16::try_from(*number)
            .ok()
            .filter(|number| *number > 0)
            .map(YearsDefault::Last)
            .ok_or_else(wrong),
        toml::Value::Array(values) => match values.as_slice() {
            [toml::Value::Integer(from), toml::Value::Integer(to)] if from <= to => {
                Ok(YearsDefault::Range(*from, *to))
            }
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}
