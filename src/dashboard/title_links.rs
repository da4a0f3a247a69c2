//! Links of panel titles: `/dashboard/orders?region=$region` takes the selection of the filter
//! `region` along, whatever its kind.

use url::form_urlencoded;

use super::{
    filters::FilterParams,
    model::{Filter, FilterKind},
};
use crate::{humanize, links};

/// Splits a link into its path, the parameters of its query, and its fragment.
fn split(link: &str) -> (&str, impl Iterator<Item = (&str, &str)>, Option<&str>) {
    let (rest, fragment) = match link.split_once('#') {
        Some((rest, fragment)) => (rest, Some(fragment)),
        None => (link, None),
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    (path, pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))), fragment)
}

/// Checks a link's address and its placeholders.
///
/// # Errors
/// The reason for the author: an address that is not allowed, or `$name` that is no filter or only
/// part of a parameter. Filters that are `invalid` have been reported.
pub(super) fn check(link: &str, filters: &[Filter], invalid: &[String]) -> Result<(), String> {
    links::check(&link.replace('$', ""))?;
    let (path, pairs, fragment) = split(link);
    let mut misplaced = path.contains('$') || fragment.is_some_and(|text| text.contains('$'));
    for (name, value) in pairs {
        let Some(wanted) = value.strip_prefix('$') else {
            misplaced |= name.contains('$') || value.contains('$');
            continue;
        };
        let is_known = filters.iter().any(|filter| filter.name == wanted);
        if !is_known && !invalid.iter().any(|name| name == wanted) {
            let known = filters.iter().map(|filter| filter.name.as_str());
            return Err(humanize::unknown_name_message("filter", wanted, known));
        }
        misplaced |= name.contains('$');
    }
    if misplaced {
        return Err(format!(
            "{link:?} cannot be filled in: $filter is the whole value of a parameter, as in \"/dashboard/orders?region=$region\""
        ));
    }
    Ok(())
}

/// Returns the address with what is selected in the filters that it names. Parameters of filters
/// without a selection are left out, so that the other page has its own defaults.
pub(super) fn address(link: &str, filters: &[Filter], selected: &FilterParams) -> String {
    let (path, pairs, fragment) = split(link);
    let mut query = Vec::<String>::new();
    for (name, value) in pairs {
        let wanted = value.strip_prefix('$').filter(|wanted| !wanted.is_empty());
        let Some(filter) = wanted.and_then(|wanted| filters.iter().find(|one| one.name == wanted))
        else {
            query.push(if value.is_empty() { name.to_owned() } else { format!("{name}={value}") });
            continue;
        };
        let has_ends = !filter.has_options() && !matches!(filter.kind, FilterKind::Search { .. });
        let endings: &[&str] = if has_ends { &["", "_from", "_to"] } else { &[""] };
        for ending in endings {
            let own = format!("{}{ending}", filter.name);
            for (_, value) in
                selected.iter().filter(|(key, value)| *key == own && !value.is_empty())
            {
                let value: String = form_urlencoded::byte_serialize(value.as_bytes()).collect();
                query.push(format!("{name}{ending}={value}"));
            }
        }
    }
    let mut address = path.to_owned();
    if !query.is_empty() {
        address.push('?');
        address.push_str(&query.join("&"));
    }
    if let Some(fragment) = fragment {
        address.push('#');
        address.push_str(fragment);
    }
    address
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dashboard::model::FilterOptions;

    fn filter(name: &str, kind: FilterKind) -> Filter {
        Filter {
            line: 1,
            name: name.to_owned(),
            label: name.to_owned(),
            kind,
            max_options: 10,
            hidden: false,
        }
    }

    fn filters() -> Vec<Filter> {
        let options = || FilterOptions::Fixed(Vec::new());
        let bounds = crate::dashboard::model::RangeBounds::Fixed(0.0, 1.0);
        vec![
            filter("shops", FilterKind::Many { options: options(), default: None }),
            filter("amount", FilterKind::Numbers { bounds, default: None }),
            filter("find", FilterKind::Search { default: String::new() }),
        ]
    }

    #[test]
    fn a_title_takes_the_selection_along_and_nothing_that_is_not_selected() {
        let selected = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>()
        };
        let link = "/dashboard/orders?shop=$shops&sum=$amount&q=$find&tab=all#top";
        let of = |pairs: &[(&str, &str)]| address(link, &filters(), &selected(pairs));
        assert_eq!(of(&[]), "/dashboard/orders?tab=all#top");
        assert_eq!(
            of(&[("shops", "A & B"), ("shops", "C"), ("amount_from", "5"), ("find", "")]),
            "/dashboard/orders?shop=A+%26+B&shop=C&sum_from=5&tab=all#top"
        );
        assert_eq!(address("/tables?x", &filters(), &[]), "/tables?x");
    }

    #[test]
    fn a_placeholder_is_a_filter_and_a_whole_value() {
        let wrong =
            |link: &str| check(link, &filters(), &["broken".to_owned()]).err().unwrap_or_default();
        assert_eq!(wrong("/dashboard/a?shop=$shops&x=$broken"), "");
        assert!(wrong("/dashboard/a?shop=$shop").contains("shops"));
        assert!(wrong("/dashboard/$shops").contains("whole value"));
        assert!(wrong("/dashboard/a?x=1$shops").contains("whole value"));
        assert!(wrong("javascript:$shops").contains("cannot be a link"));
    }
}
