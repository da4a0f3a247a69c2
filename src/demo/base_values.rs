//! The hand-written magnitudes on which the sample figures are based, and the deterministic noise
//! added to them.
//!
//! Everything here is basic arithmetic on integer steps, without a clock, a random source, or `sin`
//! and `exp`, whose last digits differ between machines. The figures are the same on every machine.

use serde::Deserialize;
use std::collections::BTreeMap;

use super::DemoError;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sample {
    years: Vec<i16>,
    pub(super) last_market_year: i16,
    pub(super) country: Vec<Country>,
    pub(super) price: Vec<Price>,
    pub(super) open_interest: Vec<OpenInterest>,
    pub(super) us_import: Vec<UsImport>,
    pub(super) season: BTreeMap<String, [f64; 12]>,
    pub(super) rain: Vec<Rain>,
}

/// One country's magnitudes, in thousand 60 kg bags at the years of [`Sample`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Country {
    pub(super) code: String,
    pub(super) name: String,
    pub(super) since: i16,
    pub(super) production: Vec<f64>,
    pub(super) consumption: Vec<f64>,
    /// Robusta's share of production.
    #[serde(default)]
    pub(super) robusta: f64,
    /// Deviation of harvests from the trend, as a share of it.
    #[serde(default)]
    pub(super) swing: f64,
    /// Share by which harvests exceed the trend in on-years, and fall below it in off-years.
    #[serde(default)]
    pub(super) biennial: f64,
    /// Stocks as a share of a year's harvest or consumption, whichever is larger.
    pub(super) stocks: f64,
    /// Re-exports of imports, as a share of consumption.
    #[serde(default)]
    pub(super) reexports: f64,
    #[serde(default)]
    pub(super) soluble_use: f64,
    #[serde(default)]
    pub(super) soluble_exports: f64,
}

/// World prices at mid-year, US dollars per kg.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Price {
    pub(super) year: i16,
    pub(super) arabica: f64,
    pub(super) robusta: f64,
}

/// Open interest in Coffee C at mid-year.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OpenInterest {
    pub(super) year: i16,
    pub(super) contracts: f64,
}

/// US imports from one origin, metric tons in an ordinary month.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UsImport {
    pub(super) origin: String,
    pub(super) tons: f64,
    /// Month (1 to 12) in which shipments peak.
    pub(super) peak: i8,
}

/// Annual rainfall in the regions of one origin, mm.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rain {
    pub(super) origin: String,
    pub(super) season: String,
    pub(super) regions: BTreeMap<String, f64>,
}

impl Sample {
    /// Parses the embedded table.
    pub(super) fn embedded() -> Result<Self, DemoError> {
        let sample: Self = toml::from_str(include_str!("../../infra/beanflows/sample.toml"))
            .map_err(|error| DemoError::builtin_models("sample.toml", error.to_string()))?;
        let wanted = sample.years.len();
        for country in &sample.country {
            if country.production.len() != wanted || country.consumption.len() != wanted {
                return Err(DemoError::builtin_models(
                    "sample.toml",
                    format!("{} needs {wanted} figures in each list", country.name),
                ));
            }
        }
        if let Some(rain) =
            sample.rain.iter().find(|rain| !sample.season.contains_key(&rain.season))
        {
            return Err(DemoError::builtin_models(
                "sample.toml",
                format!("{} names season {}, which is not there", rain.origin, rain.season),
            ));
        }
        Ok(sample)
    }

    /// Returns one of a country's figures for a year.
    pub(super) fn at(&self, figures: &[f64], year: i16) -> f64 {
        between(
            self.years.iter().map(|year| f64::from(*year)).zip(figures.iter().copied()),
            f64::from(year),
        )
    }
}

/// Interpolates linearly between `points`, which are in order; constant before the first and after
/// the last.
pub(super) fn between(points: impl Iterator<Item = (f64, f64)>, at: f64) -> f64 {
    let mut before: Option<(f64, f64)> = None;
    for (x, y) in points {
        if at <= x {
            return match before {
                Some((x0, y0)) => y0 + (y - y0) * (at - x0) / (x - x0),
                None => y,
            };
        }
        before = Some((x, y));
    }
    before.map_or(0.0, |(_, y)| y)
}

/// Noise of mean 0 and variance 1, within -3 and 3: deterministic for a series and step, whatever
/// the order of calls.
pub(super) fn noise(series: &str, step: i64) -> f64 {
    let mut seed =
        hash(series).wrapping_add(step.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15));
    (0..3).map(|_| uniform(&mut seed)).sum()
}

/// Returns the next number between -1 and 1 (`SplitMix64`, Steele et al. 2014).
fn uniform(seed: &mut u64) -> f64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *seed;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    (mixed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

/// FNV-1a, 64 bits: unlike the standard library's hasher, the same in every release of Rust.
pub(super) fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Rounds to an integer.
#[expect(clippy::cast_possible_truncation, reason = "sample magnitudes are far below 2^53")]
pub(super) fn whole(figure: f64) -> i64 {
    figure.round() as i64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]
    use super::*;

    #[test]
    fn the_table_of_magnitudes_is_whole() {
        let sample = Sample::embedded().unwrap();
        assert!(sample.country.len() >= 40, "{} countries", sample.country.len());
        for (season, shares) in &sample.season {
            assert!(
                (shares.iter().sum::<f64>() - 100.0).abs() < 1e-9,
                "{season} does not add up to 100 %"
            );
        }
    }

    #[test]
    fn figures_lie_on_the_line_between_two_years_and_stay_level_outside() {
        let points = [(2000.0, 10.0), (2010.0, 20.0)];
        for (year, height) in
            [(1990.0, 10.0), (2000.0, 10.0), (2005.0, 15.0), (2010.0, 20.0), (2020.0, 20.0)]
        {
            assert!((between(points.into_iter(), year) - height).abs() < 1e-9, "{year}");
        }
    }

    #[test]
    fn noise_is_the_same_every_time_and_centred() {
        assert!((noise("rain", 7) - noise("rain", 7)).abs() < f64::EPSILON);
        let many: Vec<f64> = (0..10_000).map(|step| noise("rain", step)).collect();
        let mean = many.iter().sum::<f64>() / 10_000.0;
        let variance = many.iter().map(|x| x * x).sum::<f64>() / 10_000.0;
        assert!(mean.abs() < 0.05, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.05, "variance {variance}");
    }

    #[test]
    fn hashes_are_those_of_the_published_algorithm() {
        assert_eq!(hash(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(hash("a"), 0xaf63_dc4c_8601_ec8c);
    }
}
