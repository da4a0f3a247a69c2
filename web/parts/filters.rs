//! A dashboard's filters: a plain form that is sent by GET, so that the address says what is shown.

use materia::dashboard::{Choice, FilterData, OptionData};
use maud::{Markup, html};

/// The form. The script sends it at every change; without one there is a button.
pub(crate) fn filters(action: &str, filters: &[FilterData]) -> Markup {
    if filters.is_empty() {
        return html! {};
    }
    html! {
        form.filters #filters method="get" action=(action) data-live-form="" {
            @for filter in filters { (one(filter)) }
            div.filter-actions {
                button.button type="submit" data-kind="primary" { "Show" }
                a.reset href=(action) { "Reset" }
            }
        }
    }
}

fn one(filter: &FilterData) -> Markup {
    let id = format!("filter-{}", filter.name);
    let about = format!("{id}-about");
    let about_it = filter.problem.as_ref().or(filter.limited.as_ref()).or(filter.note.as_ref());
    let told = about_it.is_some();
    let described = told.then_some(about.as_str());
    html! {
        div.filter data-kind=(match &filter.choice { Choice::One { .. } => "one", Choice::Many { .. } => "many", Choice::Years { .. } => "years", Choice::Search { .. } => "search" }) {
            @match &filter.choice {
                Choice::One { options } => {
                    label for=(id) { (filter.label) }
                    select id=(id) name=(filter.name) aria-describedby=[described] { @for option in options { option value=(option.value) selected[option.chosen] { (option.label) } } }
                },
                Choice::Many { options } => (many(&id, filter, options, described)),
                Choice::Years { first, last, from, to } => (years(&id, filter, (*first, *last), (*from, *to), described)),
                Choice::Search { text } => {
                    label for=(id) { (filter.label) }
                    input id=(id) name=(filter.name) type="search" value=(text) maxlength="200" autocomplete="off" aria-describedby=[described];
                },
            }
            @if told { p.filter-about #(about) data-bad=[filter.problem.as_ref().map(|_| "")] { (about_it.map_or("", String::as_str)) } }
        }
    }
}

/// Check boxes in a fold that says what is chosen.
fn many(id: &str, filter: &FilterData, options: &[OptionData], described: Option<&str>) -> Markup {
    let chosen: Vec<&str> = options.iter().filter(|option| option.chosen).map(|option| option.label.as_str()).collect();
    let said = match chosen.as_slice() {
        all if all.len() == options.len() => format!("All {}", materia::words::count(filter.total.max(options.len()) as u64)),
        [] => "None".to_owned(),
        [one] => (*one).to_owned(),
        [one, other] => format!("{one}, {other}"),
        [one, more @ ..] => format!("{one} and {} more", more.len()),
    };
    // Choosing everything by hand says the same as choosing nothing, and is what the address then says.
    let all = chosen.len() == options.len();
    html! {
        span.filter-label id={ (id) "-label" } { (filter.label) }
        details.choice #(id) {
            summary aria-labelledby={ (id) "-label " (id) "-said" } aria-describedby=[described] { span id={ (id) "-said" } { (said) } }
            fieldset {
                legend.unseen { (filter.label) }
                @for (at, option) in options.iter().enumerate() {
                    label for={ (id) "-" (at) } { input #{ (id) "-" (at) } type="checkbox" name=(filter.name) value=(option.value) checked[option.chosen && !all]; (option.label) }
                }
            }
        }
    }
}

fn years(id: &str, filter: &FilterData, (first, last): (i64, i64), (from, to): (i64, i64), described: Option<&str>) -> Markup {
    let choice = |name: &str, word: &str, chosen: i64| {
        html! {
            label.unseen for={ (id) "-" (name) } { (filter.label) ", " (word) }
            select #{ (id) "-" (name) } name={ (filter.name) "_" (name) } aria-describedby=[described] {
                @for year in first..=last { option value=(year) selected[year == chosen] { (year) } }
            }
        }
    };
    html! {
        span.filter-label aria-hidden="true" { (filter.label) }
        div.years { (choice("from", "from", from)) span aria-hidden="true" { "to" } (choice("to", "to", to)) }
    }
}
