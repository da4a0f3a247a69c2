//! The `[brand]` section: whose site it is.

use serde::{Deserialize, Deserializer};

use crate::plan::Plan;

/// The `[brand]` section. Neutral where nothing is set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrandSettings {
    /// What the service is called.
    pub name: String,
    /// What it is, in one line: the headline of the landing page.
    pub headline: String,
    /// What it is, in two or three sentences.
    pub about: String,
    /// What speaks for it, in the middle of the landing page.
    pub points: Vec<Selling>,
    /// The logo, as one inline `<svg>` element without scripts; drawn in the colour of the text around it (`currentColor`).
    #[serde(deserialize_with = "logo")]
    pub logo: Option<String>,
    /// The address to write to.
    pub contact: Option<String>,
    /// Who is responsible for the site, for its foot.
    pub owner: Option<String>,
    /// The brand's colours.
    pub colours: Colours,
    /// What each plan costs and is for.
    pub plans: Vec<PlanOffer>,
    /// Where the data comes from.
    pub sources: Vec<Source>,
    /// What the landing page shows of the data.
    pub landing: LandingSettings,
}

impl Default for BrandSettings {
    fn default() -> Self {
        Self {
            name: "materia".to_owned(),
            headline: "Your figures, as fresh as their last export".to_owned(),
            about: "Dashboards on data that is audited before it is published, and that never shows half an update.".to_owned(),
            points: Vec::new(),
            logo: None,
            contact: None,
            owner: None,
            colours: Colours::default(),
            plans: Vec::new(),
            sources: Vec::new(),
            landing: LandingSettings::default(),
        }
    }
}

/// `[[brand.points]]`: something that speaks for the service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selling {
    /// In a few words.
    pub title: String,
    /// In a sentence or two.
    pub text: String,
}

/// `[brand.colours]`: as `#rrggbb`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Colours {
    /// Buttons, links and the first series of a chart, on light ground.
    #[serde(deserialize_with = "colour")]
    pub accent: String,
    /// The same on dark ground.
    #[serde(deserialize_with = "colour")]
    pub accent_dark: String,
}

impl Default for Colours {
    fn default() -> Self {
        Self { accent: "#2f5bd8".to_owned(), accent_dark: "#8aa8ff".to_owned() }
    }
}

/// `[[brand.plans]]`: one plan as it is offered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanOffer {
    /// Which plan.
    pub plan: Plan,
    /// What it costs: `€49 a month`.
    pub price: String,
    /// For whom it is, in one line.
    #[serde(default)]
    pub about: String,
    /// What it includes, one line each.
    #[serde(default)]
    pub includes: Vec<String>,
}

/// `[[brand.sources]]`: a source of the data.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Who publishes it, and what it is called.
    pub name: String,
    /// Where it is published.
    #[serde(default)]
    pub url: Option<String>,
    /// Under what terms: `CC BY 4.0`.
    pub licence: String,
    /// What is taken from it, and how often it is renewed.
    #[serde(default)]
    pub about: String,
}

/// `[brand.landing]`: panels of a dashboard that everybody may see on the landing page.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LandingSettings {
    /// The dashboard's slug. Default: the first one's.
    pub dashboard: Option<String>,
    /// The panels to show, by their titles. Default: its first figures and its first chart.
    pub panels: Vec<String>,
}

fn colour<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.chars().all(|char| char.is_ascii_hexdigit()));
    // It becomes part of the style sheet.
    match digits {
        Some(_) => Ok(text),
        None => Err(serde::de::Error::custom(format!("{text:?} is not a colour; write for example \"#2f5bd8\""))),
    }
}

fn logo<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(deserializer)?.trim().to_owned();
    let lower = text.to_lowercase();
    if !lower.starts_with("<svg") || !lower.ends_with("</svg>") || lower.contains("<script") || lower.contains("javascript:") {
        return Err(serde::de::Error::custom("the logo must be one <svg>...</svg> element without scripts"));
    }
    Ok(Some(text))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        toml::from_str::<BrandSettings>(text).unwrap_err().message().to_owned()
    }

    #[test]
    fn what_would_end_up_in_the_style_sheet_is_a_colour_and_nothing_else() {
        assert_eq!(complaint("[colours]\naccent = 'red}'"), "\"red}\" is not a colour; write for example \"#2f5bd8\"");
        assert!(toml::from_str::<BrandSettings>("[colours]\naccent = '#a1B2c3'").is_ok());
    }

    #[test]
    fn a_logo_is_one_drawing_without_scripts() {
        assert!(toml::from_str::<BrandSettings>("logo = '<svg viewBox=\"0 0 1 1\"></svg>'").is_ok());
        assert!(complaint("logo = '<svg><script>x</script></svg>'").contains("without scripts"));
        assert!(complaint("logo = 'logo.png'").contains("<svg>"));
    }
}
