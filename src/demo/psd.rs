//! Sample supply and demand in the layout of USDA's PSD download: one line per country, market year and attribute.

use std::fmt::Write;

use super::sample::{Country, Sample, hash, noise, whole};

/// Countries whose newest harvest a refresh may revise: the first of the table, which are the largest.
const REVISABLE: u64 = 12;
/// How many of them one refresh revises.
const REVISED_AT_ONCE: u64 = 3;

/// The file as it stands after `run` refreshes.
pub(super) fn csv(sample: &Sample, run: u32) -> String {
    let mut countries: Vec<(u64, &Country)> = (0..).zip(&sample.country).collect();
    countries.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    let mut text = String::from(
        "Commodity_Code,Commodity_Description,Country_Code,Country_Name,Market_Year,Calendar_Year,Month,Attribute_ID,\
         Attribute_Description,Unit_ID,Unit_Description,Value\n",
    );
    for (rank, country) in countries {
        for year in balance(sample, country, revision(country, rank, run)) {
            year.write(country, &mut text);
        }
    }
    text
}

/// By what factor the refreshes up to `run` have changed a country's newest harvest.
fn revision(country: &Country, rank: u64, run: u32) -> f64 {
    (1..=run)
        .filter(|run| {
            let first = hash(&format!("revision {run}"));
            (0..REVISED_AT_ONCE).any(|next| (first % REVISABLE + next) % REVISABLE == rank)
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
        Self { total, roasted: whole(total as f64 * roasted), soluble: whole(total as f64 * soluble) }
    }
}

/// A country's market years, oldest first: what was there and came in is what left and remained, in every one.
fn balance(sample: &Sample, country: &Country, revised: f64) -> Vec<Year> {
    let usual = |label| country.stocks * sample.at(&country.production, label).max(sample.at(&country.consumption, label));
    let mut stocks = whole(usual(country.since));
    let mut years = Vec::new();
    for label in country.since..=sample.last_market_year {
        let step = i64::from(label);
        let trend = sample.at(&country.production, label);
        let season = if label % 2 == 0 { country.biennial } else { -country.biennial };
        let newest = if label == sample.last_market_year { revised } else { 1.0 };
        let harvest = trend * (1.0 + 0.6 * country.swing * noise(&country.code, step) + season) * newest;
        let use_of_year = sample.at(&country.consumption, label) * (1.0 + 0.012 * noise(&country.name, step));

        let beginning = stocks;
        let production = whole(harvest.max(0.0));
        let consumption = whole(use_of_year);
        let kept = usual(label) * (1.0 + 0.2 * noise(&country.code, -step));
        let ending = whole((kept + 0.25 * (harvest - trend)).max(0.0));
        let reexports = whole(use_of_year * country.reexports);
        // What is left for the world after use, stocks and what is only passed on; a country that lacks coffee buys it.
        let surplus = beginning + production - consumption - ending;
        let (imports, exports) = if surplus >= reexports { (0, surplus) } else { (reexports - surplus, reexports) };
        years.push(Year {
            label,
            beginning,
            production,
            robusta: whole(production as f64 * country.robusta),
            imports: Trade::split(imports, 0.04, 0.5 * country.soluble_use),
            exports: Trade::split(exports, if production == 0 { 0.3 } else { 0.01 }, country.soluble_exports),
            consumption,
            soluble_use: whole(consumption as f64 * country.soluble_use),
            ending,
        });
        stocks = ending;
    }
    years
}

impl Year {
    /// USDA's 19 attributes, in the order of its file.
    fn attributes(&self) -> [(&'static str, &'static str, i64); 19] {
        let supply = self.beginning + self.production + self.imports.total;
        let distribution = self.consumption + self.exports.total + self.ending;
        [
            ("029", "Arabica Production", self.production - self.robusta),
            ("090", "Bean Exports", self.exports.total - self.exports.roasted - self.exports.soluble),
            ("058", "Bean Imports", self.imports.total - self.imports.roasted - self.imports.soluble),
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

    fn write(&self, country: &Country, text: &mut String) {
        let Country { code, name, .. } = country;
        let year = self.label;
        for (id, attribute, value) in self.attributes() {
            // Writing into a string cannot fail.
            let _ = writeln!(
                text,
                "0711100,\"Coffee, Green\",{code},\"{name}\",{year},{year},06,{id},\"{attribute}\",02,\"(1000 60 KG BAGS)\",{value}.0000"
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
            for year in balance(&sample, country, 1.0) {
                let name = format!("{} {}", country.name, year.label);
                let supply = year.beginning + year.production + year.imports.total;
                assert_eq!(supply, year.consumption + year.exports.total + year.ending, "{name}");
                assert_eq!(carried.unwrap_or(year.beginning), year.beginning, "{name} begins with what the year before left");
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
                .filter(|(rank, country)| (revision(country, *rank, run) - revision(country, *rank, run - 1)).abs() > 1e-9)
                .map(|(_, country)| country.name.as_str())
                .collect();
            assert_eq!(revised.len(), 3, "run {run}: {revised:?}");
        }
    }
}
