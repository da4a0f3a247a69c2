//! The `[[filter]]` sections.

use toml::Spanned;

use super::{
    Author,
    file::{FilterFile, FilterKind as FilterName, OptionFile},
};
use crate::{
    dashboard::{
        limits::MAX_OPTIONS,
        model::{Bounds, Filter, FilterKind, Options, Value, YearsDefault, title_of},
        parameters,
    },
    reader::Param,
};

impl Author<'_> {
    pub(super) fn filter(&mut self, file: Spanned<FilterFile>, before: &[Filter]) -> Option<Filter> {
        let line = self.line(file.span().start);
        let file = file.into_inner();
        let (name, at) = (file.name.get_ref().clone(), file.name.span().start);
        let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        if !name.starts_with(|letter: char| letter.is_ascii_lowercase()) || !name.chars().all(fits) {
            self.problem(Some(at), format!("{name:?} cannot be a filter's name: use lower-case letters, digits and _, a letter first"));
            return None;
        }
        let kind = self.filter_kind(&file, line)?;
        let max_options = self.limit(file.max_options.as_ref(), &MAX_OPTIONS);
        let label = file.label.unwrap_or_else(|| title_of(&name));
        let filter = Filter { line, name, label, kind, max_options };
        if before.iter().flat_map(Filter::parameters).any(|other| filter.parameters().contains(&other)) {
            self.problem(Some(at), format!("there is another filter of the name {:?}", filter.name));
            return None;
        }
        Some(filter)
    }

    fn filter_kind(&mut self, file: &FilterFile, line: usize) -> Option<FilterKind> {
        let kind = *file.kind.get_ref();
        let meant = |key: &str| match kind {
            FilterName::Search => key == "default",
            FilterName::Years => matches!(key, "sql" | "options" | "default" | "last"),
            FilterName::Choice | FilterName::Many => matches!(key, "sql" | "options" | "default" | "max_options"),
        };
        let written = [
            ("sql", file.sql.as_ref().map(Spanned::span)),
            ("options", file.options.as_ref().map(Spanned::span)),
            ("default", file.default.as_ref().map(Spanned::span)),
            ("last", file.last.as_ref().map(Spanned::span)),
            ("max_options", file.max_options.as_ref().map(Spanned::span)),
        ];
        for (key, span) in written {
            if let Some(span) = span.filter(|_| !meant(key)) {
                self.problem(Some(span.start), format!("{key:?} means nothing to a filter of the kind {:?}", kind.name()));
            }
        }
        if let Some(sql) = &file.sql
            && let Some(name) = parameters::used(sql.get_ref()).first()
        {
            self.problem(Some(sql.span().start), format!("a filter's sql cannot use ${name}: filters do not depend on one another"));
            return None;
        }
        let default = file.default.as_ref();
        if kind == FilterName::Search {
            let text = default.map(|default| self.take(default.span().start, text_of(default.get_ref()))).unwrap_or_default();
            return Some(FilterKind::Search { default: text.unwrap_or_default() });
        }
        let options = match (&file.sql, &file.options) {
            (Some(sql), None) => Options::Sql(sql.get_ref().clone()),
            (None, Some(options)) => Options::Fixed(self.options(options)?),
            (_, both) => {
                let what = if both.is_some() { "has both sql and options; one of them is enough" } else { "needs sql or options" };
                self.problems.push(self.error(Some(line), format!("the filter {:?} {what}", file.name.get_ref())));
                return None;
            }
        };
        match kind {
            FilterName::Choice => {
                let default = default.map(|default| self.take(default.span().start, text_of(default.get_ref()))).unwrap_or_default();
                Some(FilterKind::Choice { options, default })
            }
            FilterName::Many => {
                let default = default.map(|default| self.take(default.span().start, texts_of(default.get_ref()))).unwrap_or_default();
                Some(FilterKind::Many { options, default })
            }
            FilterName::Years | FilterName::Search => {
                let bounds = match options {
                    Options::Sql(sql) => Bounds::Sql(sql),
                    Options::Fixed(values) => self.fixed_years(file, &values)?,
                };
                let default = match default {
                    None => YearsDefault::All,
                    Some(default) => self.take(default.span().start, years_default(default.get_ref())).unwrap_or(YearsDefault::All),
                };
                let last = file.last.as_ref().map(|last| last.get_ref().clone()).unwrap_or_default();
                Some(FilterKind::Years { bounds, default, last })
            }
        }
    }

    fn options(&mut self, options: &Spanned<Vec<OptionFile>>) -> Option<Vec<Value>> {
        let start = options.span().start;
        if options.get_ref().is_empty() {
            self.problem(Some(start), "there is nothing to choose from".to_owned());
            return None;
        }
        let one = |option: &OptionFile| -> Result<Value, String> {
            let (value, label) = match option {
                OptionFile::Named { value, label } => (value, Some(label.clone())),
                OptionFile::Bare(value) => (value, None),
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
        self.take(start, values)
    }

    fn fixed_years(&mut self, file: &FilterFile, values: &[Value]) -> Option<Bounds> {
        let start = file.options.as_ref().map(|options| options.span().start);
        if let [Value { param: Param::Int(first), .. }, Value { param: Param::Int(last), .. }] = values
            && first <= last
        {
            return Some(Bounds::Fixed(*first, *last));
        }
        self.problem(start, "options of years are the first and the last year, as in [1990, 2026]".to_owned());
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

fn years_default(value: &toml::Value) -> Result<YearsDefault, String> {
    let wrong = || "the default of years is how many of the last ones, as in 20, or from and to, as in [2000, 2020]".to_owned();
    match value {
        toml::Value::Integer(number) => u16::try_from(*number).ok().filter(|number| *number > 0).map(YearsDefault::Last).ok_or_else(wrong),
        toml::Value::Array(values) => match values.as_slice() {
            [toml::Value::Integer(from), toml::Value::Integer(to)] if from <= to => Ok(YearsDefault::Range(*from, *to)),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    }
}
