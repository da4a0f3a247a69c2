//! Properties that the HTML of every page must have, checked with a parser.

use std::collections::HashSet;

use scraper::{ElementRef, Html, Selector};

fn all<'a>(page: &'a Html, selector: &str) -> Vec<ElementRef<'a>> {
    page.select(&Selector::parse(selector).unwrap()).collect()
}

/// Panics with every property that a document lacks.
pub(crate) fn assert_valid(what: &str, text: &str) {
    let page = Html::parse_document(text);
    let mut broken: Vec<String> = page.errors.iter().map(ToString::to_string).collect();
    let headings = all(&page, "h1").len();
    if headings != 1 {
        broken.push(format!("{headings} h1"));
    }
    if all(&page, "html[lang]").len() != 1
        || all(&page, "main").len() != 1
        || all(&page, "title").is_empty()
    {
        broken.push("no lang, main or title".to_owned());
    }
    let mut ids = HashSet::new();
    for element in all(&page, "[id]") {
        let id = element.attr("id").unwrap_or_default();
        if !ids.insert(id.to_owned()) {
            broken.push(format!("id {id:?} twice"));
        }
    }
    for element in all(&page, "[aria-labelledby], [aria-describedby], label[for]") {
        for name in ["aria-labelledby", "aria-describedby", "for"] {
            for id in element
                .attr(name)
                .into_iter()
                .flat_map(str::split_whitespace)
                .filter(|id| !ids.contains(*id))
            {
                broken.push(format!("{name} names {id:?}, which is not there"));
            }
        }
    }
    let labels: HashSet<_> = all(&page, "label[for]")
        .iter()
        .filter_map(|label| label.attr("for").map(str::to_owned))
        .collect();
    for element in all(&page, "input:not([type=hidden]):not([type=submit]), select, textarea") {
        let labelled = element.attr("id").is_some_and(|id| labels.contains(id))
            || element.attr("aria-label").is_some();
        if !labelled
            && !element
                .ancestors()
                .filter_map(ElementRef::wrap)
                .any(|above| above.value().name() == "label")
        {
            broken.push(format!("no label: {}", element.html()));
        }
    }
    // The content security policy would block them, which no other test would notice.
    for element in all(&page, "[style], script:not([src]):not([type='application/ld+json']), style")
    {
        broken.push(format!("inline: {}", element.html()));
    }
    for element in all(&page, "*") {
        broken.extend(
            element
                .value()
                .attrs()
                .filter(|(name, _)| name.starts_with("on"))
                .map(|(name, _)| format!("handler {name}")),
        );
    }
    assert!(broken.is_empty(), "{what}: {}", broken.join("; "));
}
