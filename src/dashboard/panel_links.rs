//! Where the rows, points and titles of an evaluated panel lead.

use std::collections::HashSet;

use url::form_urlencoded;

use super::{
    PanelData,
    kinds::{Content, Table},
};

/// A link of a panel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PanelLink {
    /// What leads there: the panel's title, and the row or point.
    pub label: String,
    /// The address, as the panel has it.
    pub address: String,
}

impl PanelData {
    /// Returns its links: that of its title first, then those of its rows and points. Several links
    /// with one address are one.
    #[must_use]
    pub fn links(&self) -> Vec<PanelLink> {
        let title = self.link.iter().map(|address| (String::new(), address.as_str()));
        let mut links: Vec<(String, &str)> = title.collect();
        match &self.content {
            Content::Table(table) => links.extend(links_of_rows(table)),
            Content::Map(map) => links.extend(
                map.countries
                    .iter()
                    .filter_map(|country| Some((country.name.clone(), country.href.as_deref()?))),
            ),
            _ => {}
        }
        for chart in self.content.charts() {
            for series in &chart.series {
                let points = series.points.iter().filter_map(|point| {
                    let name = point.name.as_deref().unwrap_or(&point.x_shown);
                    let series = Some(series.name.as_str()).filter(|_| chart.series.len() > 1);
                    let label = series
                        .map_or_else(|| name.to_owned(), |series| format!("{series}, {name}"));
                    Some((label, point.href.as_deref()?))
                });
                links.extend(points);
            }
        }
        let mut known = HashSet::new();
        links.retain(|(_, address)| known.insert(*address));
        let link = |(what, address): (String, &str)| PanelLink {
            label: if what.is_empty() {
                self.title.clone()
            } else {
                format!("{}: {what}", self.title)
            },
            address: address.to_owned(),
        };
        links.into_iter().map(link).collect()
    }
}

fn links_of_rows(table: &Table) -> impl Iterator<Item = (String, &str)> {
    table.rows.iter().zip(&table.decorations).flat_map(|(cells, decorations)| {
        let row = cells.first().map_or("", String::as_str);
        decorations.iter().zip(cells).filter_map(move |(decoration, cell)| {
            let label = if cell == row { row.to_owned() } else { format!("{row}, {cell}") };
            Some((label, decoration.href.as_deref()?))
        })
    })
}

/// Returns the dashboard to which an address leads, by its name in addresses, and what is selected
/// there; `None` if it leads to another page.
#[must_use]
pub fn dashboard_of(address: &str) -> Option<(String, Vec<(String, String)>)> {
    let address = address.split('#').next().unwrap_or_default();
    let (path, query) = address.split_once('?').unwrap_or((address, ""));
    let slug = path.strip_prefix("/dashboard/").filter(|slug| !slug.is_empty())?;
    if slug.contains('/') {
        return None;
    }
    let selection = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    Some((slug.to_owned(), selection))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dashboards_address_names_it_and_what_is_selected() {
        let selection = vec![("city".to_owned(), "São Paulo".to_owned())];
        assert_eq!(
            dashboard_of("/dashboard/orders?city=S%C3%A3o+Paulo#top"),
            Some(("orders".to_owned(), selection))
        );
        assert_eq!(dashboard_of("/dashboard/orders"), Some(("orders".to_owned(), Vec::new())));
        for other in ["/dashboard/", "/dashboard/a/panel/b.csv", "/tables/a", "https://example.com"]
        {
            assert_eq!(dashboard_of(other), None, "{other}");
        }
    }
}
