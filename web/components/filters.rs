//! A dashboard's filters: a GET form, so that the URL contains their state.

use materia::dashboard::TAB;
use materia::dashboard::{FilterData, FilterValue, OptionData, PanelData};
use maud::{Markup, html};

/// The page that has the filters.
pub(crate) struct FilteredPage<'a> {
    /// Its address without a selection.
    pub(crate) address: &'a str,
    /// The value of the chosen tab in addresses, if it is not the first one.
    pub(crate) tab: Option<&'a str>,
    /// Its panels.
    pub(crate) panels: &'a [PanelData],
}

/// Renders the form. The script submits it at every change; without scripts there is a button.
pub(crate) fn filters(page: &FilteredPage<'_>, filters: &[FilterData]) -> Markup {
    if filters.is_empty() {
        return html! {};
    }
    html! {
        form.filters #filters method="get" action=(page.address) data-live-form="" {
            @if let Some(tab) = page.tab { input type="hidden" name=(TAB) value=(tab); }
            @for filter in filters {
                @if filter.hidden { (hidden(filter)) } @else { (render_filter(filter, &touched(filter, page.panels))) }
            }
            div.filter-actions {
                button.button type="submit" data-kind="primary" { "Show" }
                a.reset href={ (page.address) @if let Some(tab) = page.tab { "?" (TAB) "=" (tab) } } { "Reset" }
            }
        }
    }
}

/// Describes the selection, with one text per filter that restricts the data: `Country: Brazil,
/// Vietnam`.
pub(crate) fn filters_in_words(filters: &[FilterData]) -> Vec<String> {
    let chosen = |options: &[OptionData]| {
        let labels = options.iter().filter(|option| option.chosen && !option.value.is_empty());
        labels.map(|option| option.label.clone()).collect::<Vec<_>>()
    };
    let in_words = |filter: &FilterData| {
        let text = match &filter.value {
            FilterValue::One { options } => chosen(options).join(", "),
            FilterValue::Many { options } => {
                let labels = chosen(options);
                if labels.len() == options.len() { String::new() } else { labels.join(", ") }
            }
            FilterValue::Years { from, to, .. } if from <= to => {
                let [from, to] = [from, to].map(|year| filter.value.year_label(*year));
                format!("{from} to {to}")
            }
            FilterValue::Years { .. } => String::new(),
            FilterValue::Range { first, last, from, to, .. } => {
                if first == from && last == to {
                    String::new()
                } else {
                    format!("{from} to {to}")
                }
            }
            FilterValue::Search { text } => text.clone(),
        };
        (!text.is_empty()).then(|| format!("{}: {text}", filter.label))
    };
    filters.iter().filter_map(in_words).collect()
}

/// Renders a filter that only addresses set: what is selected, so that the figures are not mistaken
/// for all of them, and the values for the next address.
fn hidden(filter: &FilterData) -> Markup {
    let chosen = |options: &[OptionData]| -> Vec<String> {
        let chosen = options.iter().filter(|option| option.chosen && !option.value.is_empty());
        chosen.map(|option| option.value.clone()).collect()
    };
    let own = |values: Vec<String>| -> Vec<(String, String)> {
        values.into_iter().map(|value| (filter.name.clone(), value)).collect()
    };
    let ends = |from: String, to: String| {
        vec![(format!("{}_from", filter.name), from), (format!("{}_to", filter.name), to)]
    };
    let values = match &filter.value {
        FilterValue::One { options } => own(chosen(options)),
        FilterValue::Many { options } => {
            let chosen = chosen(options);
            if chosen.len() == options.len() { Vec::new() } else { own(chosen) }
        }
        FilterValue::Years { from, to, .. } => ends(from.to_string(), to.to_string()),
        FilterValue::Range { from, to, presets, .. } => match chosen(presets) {
            preset if preset.is_empty() => ends(from.clone(), to.clone()),
            preset => own(preset),
        },
        FilterValue::Search { text } => own(vec![text.clone()]),
    };
    let words = filters_in_words(std::slice::from_ref(filter));
    html! {
        @if values.is_empty() && filter.can_be_emptied { input type="hidden" name=(filter.name) value="" data-empty; }
        @for (name, value) in values.iter().filter(|(_, value)| filter.can_be_emptied || !value.is_empty()) { input type="hidden" name=(name) value=(value); }
        @for words in words { p.filter.fixed { (words) } }
        @if let Some(problem) = &filter.problem { p.filter-about data-bad="" { (problem) } }
    }
}

/// Says which panels a filter changes; nothing where it changes all of them.
fn touched(filter: &FilterData, panels: &[PanelData]) -> String {
    let uses = |panel: &&PanelData| panel.filters.contains(&filter.name);
    let titles: Vec<&str> = panels.iter().filter(uses).map(|panel| panel.title.as_str()).collect();
    if titles.len() == panels.len() || titles.is_empty() {
        return String::new();
    }
    format!("Changes {} of {} panels: {}", titles.len(), panels.len(), titles.join(", "))
}

fn render_filter(filter: &FilterData, touched: &str) -> Markup {
    let id = format!("filter-{}", filter.name);
    let about = format!("{id}-about");
    let note = filter.problem.as_ref().or(filter.limited.as_ref()).or(filter.note.as_ref());
    let has_note = note.is_some();
    let touched_id = format!("{id}-touches");
    let has_touched = !touched.is_empty();
    let described =
        [has_note.then_some(about.as_str()), has_touched.then_some(touched_id.as_str())];
    let described = described.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let described = (!described.is_empty()).then_some(described.as_str());
    html! {
        div.filter data-filter=(filter.name) title=[has_touched.then_some(touched)] data-kind=(match &filter.value { FilterValue::One { .. } => "one", FilterValue::Many { .. } => "many", FilterValue::Years { .. } => "years", FilterValue::Range { .. } => "range", FilterValue::Search { .. } => "search" }) {
            @match &filter.value {
                FilterValue::One { options } => {
                    label for=(id) { (filter.label) }
                    select id=(id) name=(filter.name) aria-describedby=[described] { @for option in options { option value=(option.value) selected[option.chosen] { (option.label) } } }
                },
                FilterValue::Many { options } => (many(&id, filter, options, described)),
                FilterValue::Years { first, last, from, to, .. } => (years(&id, filter, (*first, *last), (*from, *to), described)),
                FilterValue::Range { .. } => (range(&id, filter, described)),
                FilterValue::Search { text } => {
                    label for=(id) { (filter.label) }
                    input id=(id) name=(filter.name) data-empty[filter.can_be_emptied] type="search" value=(text) maxlength="200" autocomplete="off" aria-describedby=[described];
                },
            }
            @if has_touched { span.unseen #(touched_id) { (touched) } }
            @if has_note { p.filter-about #(about) data-bad=[filter.problem.as_ref().map(|_| "")] { (note.map_or("", String::as_str)) } }
        }
    }
}

/// With more options than this, one is searched for.
const MANY: usize = 12;

/// Renders checkboxes in a collapsible element that summarizes the selection.
fn many(id: &str, filter: &FilterData, options: &[OptionData], described: Option<&str>) -> Markup {
    let chosen: Vec<&str> =
        options.iter().filter(|option| option.chosen).map(|option| option.label.as_str()).collect();
    let summary = match chosen.as_slice() {
        all if all.len() == options.len() => {
            format!("All {}", materia::humanize::count(filter.total.max(options.len()) as u64))
        }
        [] => "None".to_owned(),
        [one] => (*one).to_owned(),
        [one, other] => format!("{one}, {other}"),
        [one, more @ ..] => format!("{one} and {} more", more.len()),
    };
    // If all options are checked by hand, the parameter is omitted from the URL, as if none were.
    let all = chosen.len() == options.len();
    html! {
        span.filter-label id={ (id) "-label" } { (filter.label) }
        details.choice #(id) {
            summary aria-labelledby={ (id) "-label " (id) "-said" } aria-describedby=[described] { span id={ (id) "-said" } { (summary) } }
            fieldset {
                legend.unseen { (filter.label) }
                // Without any box, the default would be selected again.
                @if filter.can_be_emptied { input type="hidden" name=(filter.name) value="" data-empty; }
                @if options.len() > MANY {
                    div.option-tools {
                        input type="search" data-options="" placeholder="Find" aria-label={ "Find in " (filter.label) } autocomplete="off";
                        button.link type="button" data-check="all" { "All" }
                        button.link type="button" data-check="none" { "None" }
                    }
                }
                @for option in options {
                    label { input type="checkbox" name=(filter.name) value=(option.value) checked[option.chosen && !all]; (option.label) }
                }
            }
        }
    }
}

/// Renders the presets of a range, and its ends.
fn range(id: &str, filter: &FilterData, described: Option<&str>) -> Markup {
    let FilterValue::Range { days, first, last, from, to, presets } = &filter.value else {
        return html! {};
    };
    let end = |name: &str, word: &str, value: &str| {
        html! {
            label.unseen for={ (id) "-" (name) } { (filter.label) ", " (word) }
            input #{ (id) "-" (name) } name={ (filter.name) "_" (name) } type=(if *days { "date" } else { "number" })
                value=(value) min=(first) max=(last) step=[(!days).then_some("any")] aria-describedby=[described];
        }
    };
    let is_custom = !presets.iter().any(|preset| preset.chosen);
    html! {
        span.filter-label aria-hidden="true" { (filter.label) }
        div.range data-range="" {
            @if !presets.is_empty() {
                select #(id) name=(filter.name) aria-label=(filter.label) {
                    @for preset in presets { option value=(preset.value) selected[preset.chosen] { (preset.label) } }
                    option value="custom" selected[is_custom] { "From and to" }
                }
            }
            (end("from", "from", from)) span aria-hidden="true" { "to" } (end("to", "to", to))
        }
    }
}

fn years(
    id: &str,
    filter: &FilterData,
    (first, last): (i64, i64),
    (from, to): (i64, i64),
    described: Option<&str>,
) -> Markup {
    let choice = |name: &str, word: &str, chosen: i64| {
        html! {
            label.unseen for={ (id) "-" (name) } { (filter.label) ", " (word) }
            select #{ (id) "-" (name) } name={ (filter.name) "_" (name) } aria-describedby=[described] {
                @for year in first..=last { option value=(year) selected[year == chosen] { (filter.value.year_label(year)) } }
            }
        }
    };
    html! {
        span.filter-label aria-hidden="true" { (filter.label) }
        div.years { (choice("from", "from", from)) span aria-hidden="true" { "to" } (choice("to", "to", to)) }
    }
}
