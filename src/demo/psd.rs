//! Sample supply and demand in the layout of USDA's PSD download: one line per country, market year
//! and attribute.

use std::fmt::Write;

use super::base_values::{Country, Sample, hash, noise, whole};

/// Number of countries whose newest harvest a refresh may revise: the first of the table, which are
/// the largest.
const REVISABLE: u64 = 12;
/// Number of countries revised per refresh.
const REVISED_PER_REFRESH: u64 = 3;

/// Earlier releases of which there are sample files: year, month, and the last season.
pub(super) const EARLIER: [(i16, i8, i16); 2] = [(2025, 6, 2025), (2025, 12, 2025)];
/// Number of seasons in an earlier release's sample file.
const EARLIER_SEASONS: i16 = 5;

/// Returns the file of an earlier release, with what was known then of its newest seasons.
pub(super) fn earlier(sample: &Sample, (year, month, last): (i16, i8, i16)) -> String {
    let mut text = String::from(HEADER);
    let mut countries: Vec<&Country> = sample.country.iter().collect();
    countries.sort_by(|a, b| a.name.cmp(&b.name));
    for country in countries {
        let release = format!("{} {year}-{month}", country.code);
        // A release is within a few percent of later ones, the more so the older the season.
        let known = |label: i16| match last - label {
            0 => 1.0 + 0.025 * noise(&release, i64::from(label)),
            1 => 1.0 + 0.008 * noise(&release, i64::from(label)),
            _ => 1.0,
        };
        let seasons = balance(sample, country, last, known);
        for season in seasons.iter().filter(|season| season.label > last - EARLIER_SEASONS) {
            season.write(country, (year, month), &mut text);
        }
    }
    text
}

const HEADER: &str = "Commodity_Code,Commodity_Description,Country_Code,Country_Name,Market_Year,Calendar_Year,Month,Attribute_ID,\
         Attribute_Description,Unit_ID,Unit_Description,Value\n";

/// Returns the file as of `run` refreshes.
pub(super) fn csv(sample: &Sample, run: u32) -> String {
    let mut countries: Vec<(u64, &Country)> = (0..).zip(&sample.country).collect();
    countries.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    let mut text = String::from(HEADER);
    let last = sample.last_market_year;
    for (rank, country) in countries {
        let revised = revision(country, rank, run);
        let known = |label| if label == last { revised } else { 1.0 };
        for year in balance(sample, country, last, known) {
            year.write(country, (year.label, 6), &mut text);
        }
    }
    text
}

/// Returns the factor by which the refreshes up to `run` have changed a country's newest harvest.
fn revision(country: &Country, rank: u64, run: u32) -> f64 {
    (1..=run)
        .filter(|run| {
            let first = hash(&format!("revision {run}"));
            (0..REVISED_PER_REFRESH).any(|next| (first % REVISABLE + next) % REVISABLE == rank)
        })
        .map(|run| {
            let size = 0.02 + 0.01 * noise(&country.code, i64::from(run)).abs();
            if noise("direction", i64::from(run)) < 0.0 { 1.0 - size } else { 1.0 + size }
        })
        .product()
}

/// One country's market year, in thousand 60 kg bags.
struct Year {
    /// The market year's label.
    label: i16,
    beginning: i64,
    production: i64,
    robusta: i64,
    imports: Trade,
    exports: Trade,
    consumption: i64,
    soluble_use: i64,
    ending: i64,
}

/// Imports or exports by form.
struct Trade {
    total: i64,
    roasted: i64,
    soluble: i64,
}

impl Trade {
    fn split(total: i64, roasted: f64, soluble: f64) -> Self {
        Self {
            total,
            roasted: whole(total as f64 * roasted),
            soluble: whole(total as f64 * soluble),
        }
    }
}

/// Returns a country's market years, oldest first; supply equals distribution in every year.
fn balance(sample: &Sample, country: &Country, last: i16, known: impl Fn(i16) -> f64) -> Vec<Year> {
    let usual = |label| {
        country.stocks
            * sample.at(&country.production, label).max(sample.at(&country.consumption, label))
    };
    let mut stocks = whole(usual(country.since));
    let mut years = Vec::new();
    for label in country.since..=last {
        let step = i64::from(label);
        let trend = sample.at(&country.production, label);
        let season = if label % 2 == 0 { country.biennial } else { -country.biennial };
        let harvest = trend
            * (1.0 + 0.6 * country.swing * noise(&country.code, step) + season)
            * known(label);
        let use_of_year =
            sample.at(&country.consumption, label) * (1.0 + 0.012 * noise(&country.name, step));

        let beginning = stocks;
        let production = whole(harvest.max(0.0));
        let consumption = whole(use_of_year);
        let kept = usual(label) * (1.0 + 0.2 * noise(&country.code, -step));
        let ending = whole((kept + 0.25 * (harvest - trend)).max(0.0));
        let reexports = whole(use_of_year * country.reexports);
        // The surplus for the world market after consumption, stocks and re-exports; countries with
        // a deficit import.
        let surplus = beginning + production - consumption - ending;
        let (imports, exports) =
            if surplus >= reexports { (0, surplus) } else { (reexports - surplus, reexports) };
        years.push(Year {
            label,
            beginning,
            production,
            robusta: whole(production as f64 * country.robusta),
            imports: Trade::split(imports, 0.04, 0.5 * country.soluble_use),
            exports: Trade::split(
                exports,
                if production == 0 { 0.3 } else { 0.01 },
                country.soluble_exports,
            ),
            consumption,
            soluble_use: whole(consumption as f64 * country.soluble_use),
            ending,
        });
        stocks = ending;
    }
    years
}

impl Year {
    /// Returns USDA's 19 attributes, in the order of its file.
    fn attributes(&self) -> [(&'static str, &'static str, i64); 19] {
        let supply = self.beginning + self.production + self.imports.total;
        let distribution = self.consumption + self.exports.total + self.ending;
        [
            ("029", "Arabica Production", self.production - self.robusta),
            (
                "090",
                "Bean Exports",
                self.exports.total - self.exports.roasted - self.exports.soluble,
            ),
            (
                "058",
                "Bean Imports",
                self.imports.total - self.imports.roasted - self.imports.soluble,
            ),
            ("020", "Beginning Stocks", self.beginning),
            ("125", "Domestic Consumption", self.consumption),
            ("176", "Ending Stocks", self.ending),
            ("088", "Exports", self.exports.total),
            ("057", "Imports", self.imports.total),
            ("056", "Other Production", 0),
            ("028", "Production", self.production),
            ("107", "Roast & Ground Exports", self.exports.roasted),
            ("075", "Roast & Ground Imports", self.imports.roasted),
            ("053", "Robusta Production", self.robusta),
            ("141", "Rst,Ground Dom. Consum", self.consumption - self.soluble_use),
            ("154", "Soluble Dom. Cons.", self.soluble_use),
            ("114", "Soluble Exports", self.exports.soluble),
            ("082", "Soluble Imports", self.imports.soluble),
            ("178", "Total Distribution", distribution),
            ("086", "Total Supply", supply),
        ]
    }

    /// Writes its lines, revised last in a year and a month.
    fn write(&self, country: &Country, (revised, month): (i16, i8), text: &mut String) {
        let Country { code, name, .. } = country;
        let year = self.label;
        for (id, attribute, value) in self.attributes() {
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "0711100,\"Coffee, Green\",{code},\"{name}\",{year},{revised},{month:02},{id},\"{attribute}\",02,\"(1000 60 KG BAGS)\",{value}.0000"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
    use super::*;

    #[test]
    fn what_a_country_has_is_what_it_uses_ships_and_keeps() {
        let sample = Sample::embedded().unwrap();
        for country in &sample.country {
            let mut carried = None;
            for year in balance(&sample, country, sample.last_market_year, |_| 1.0) {
                let name = format!("{} {}", country.name, year.label);
                let supply = year.beginning + year.production + year.imports.total;
                assert_eq!(supply, year.consumption + year.exports.total + year.ending, "{name}");
                assert_eq!(
                    carried.unwrap_or(year.beginning),
                    year.beginning,
                    "{name} begins with what the year before left"
                );
                for (_, attribute, value) in year.attributes() {
                    assert!(value >= 0, "{name}: {attribute} is {value}");
                }
                carried = Some(year.ending);
            }
        }
    }

    #[test]
    fn a_refresh_revises_the_newest_harvest_of_three_countries() {
        let sample = Sample::embedded().unwrap();
        for run in 1..=20 {
            let revised: Vec<&str> = (0..)
                .zip(&sample.country)
                .filter(|(rank, country)| {
                    (revision(country, *rank, run) - revision(country, *rank, run - 1)).abs() > 1e-9
                })
                .map(|(_, country)| country.name.as_str())
                .collect();
            assert_eq!(revised.len(), 3, "run {run}: {revised:?}");
        }
    }
}
