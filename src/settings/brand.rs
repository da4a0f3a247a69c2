//! The `[brand]` section: the identity of the site.

use serde::{Deserialize, Deserializer};

use super::logo::logo;
use crate::{links, locale::Locale, plan::Plan};

/// The `[brand]` section, with neutral defaults.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrandSettings {
    /// The name of the service.
    pub name: String,
    /// A one-line description: the headline of the landing page.
    pub headline: String,
    /// A description in two or three sentences.
    pub about: String,
    /// Selling points, in the middle of the landing page.
    pub points: Vec<Pricing>,
    /// The logo, as one inline `<svg>` element without scripts; drawn in the color of the
    /// surrounding text (`currentColor`). Only its shapes and their styling are retained.
    #[serde(deserialize_with = "logo")]
    pub logo: Option<String>,
    /// A sentence on every page, such as that figures are samples, or when the site is maintained.
    pub notice: Option<String>,
    /// The contact email address.
    #[serde(deserialize_with = "mailbox")]
    pub contact: Option<String>,
    /// The legal owner of the site, for the footer.
    pub owner: Option<String>,
    pub colours: Palette,
    /// How figures and dates are written.
    pub locale: Locale,
    /// Price and description of each plan.
    pub plans: Vec<PlanOffer>,
    /// The sources of the data.
    pub sources: Vec<Source>,
    /// The dashboard panels on the landing page.
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
            notice: None,
            contact: None,
            owner: None,
            colours: Palette::default(),
            locale: Locale::default(),
            plans: Vec::new(),
            sources: Vec::new(),
            landing: LandingSettings::default(),
        }
    }
}

/// `[[brand.points]]`: a selling point.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pricing {
    /// In a few words.
    pub title: String,
    /// In a sentence or two.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Palette {
    /// Color of buttons, links and the first series of a chart, on a light background.
    #[serde(deserialize_with = "colour")]
    pub accent: String,
    /// The same on a dark background.
    #[serde(deserialize_with = "colour")]
    pub accent_dark: String,
}

impl Default for Palette {
    fn default() -> Self {
        Self { accent: "#2f5bd8".to_owned(), accent_dark: "#8aa8ff".to_owned() }
    }
}

/// `[[brand.plans]]`: one plan as it is offered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanOffer {
    pub plan: Plan,
    /// The price: `€49 a month`.
    pub price: String,
    /// The price where a year is paid at once: `€490 a year`.
    #[serde(default)]
    pub yearly: Option<String>,
    /// The payment provider's page for a month. `{account}` and `{email}` in it are replaced;
    /// without them they are appended as Stripe's payment links want them.
    #[serde(default, deserialize_with = "checkout")]
    pub checkout: Option<String>,
    /// The same for a year.
    #[serde(default, deserialize_with = "checkout")]
    pub checkout_yearly: Option<String>,
    /// The provider's ids of the prices at which the plan is sold: `price_1Q...`.
    #[serde(default)]
    pub prices: Vec<String>,
    /// Days before the first payment.
    #[serde(default)]
    pub trial_days: Option<u16>,
    /// The intended customers, in one line.
    #[serde(default)]
    pub about: String,
    /// The included features, one line each.
    #[serde(default)]
    pub includes: Vec<String>,
}

/// How often a plan is paid for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BillingPeriod {
    /// Every month.
    #[default]
    Month,
    /// Every year.
    Year,
}

impl BillingPeriod {
    /// Returns its name in addresses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

impl PlanOffer {
    /// Returns the price for a period; that of a month where there is none for a year.
    #[must_use]
    pub fn price_of(&self, period: BillingPeriod) -> &str {
        match (period, &self.yearly) {
            (BillingPeriod::Year, Some(yearly)) => yearly,
            _ => &self.price,
        }
    }

    /// Returns the payment provider's page for an account.
    #[must_use]
    pub fn checkout_address(
        &self,
        period: BillingPeriod,
        account: &str,
        email: &str,
    ) -> Option<String> {
        let address = match period {
            BillingPeriod::Month => self.checkout.as_ref(),
            BillingPeriod::Year => self.checkout_yearly.as_ref(),
        }?;
        let encode = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect();
        let [account, email]: [String; 2] = [account, email].map(encode);
        if address.contains("{account}") {
            return Some(address.replace("{account}", &account).replace("{email}", &email));
        }
        let joint = if address.contains('?') { '&' } else { '?' };
        Some(format!("{address}{joint}client_reference_id={account}&prefilled_email={email}"))
    }
}

/// `[[brand.sources]]`: a source of the data.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Publisher and name of the source.
    pub name: String,
    /// Where it is published.
    #[serde(default, deserialize_with = "link")]
    pub url: Option<String>,
    /// The license terms: `CC BY 4.0`.
    pub licence: String,
    /// The text of the license.
    #[serde(default, deserialize_with = "link")]
    pub licence_url: Option<String>,
    /// The attribution that the license requires.
    #[serde(default)]
    pub attribution: Option<String>,
    /// The data used from it, and its update interval.
    #[serde(default)]
    pub about: String,
}

/// `[brand.landing]`: the dashboard panels that the landing page shows to everyone.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LandingSettings {
    /// The dashboard's slug. Default: the first dashboard.
    pub dashboard: Option<String>,
    /// The titles of the panels. Default: the dashboard's first figures and its first chart.
    pub panels: Vec<String>,
}

fn colour<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = text
        .strip_prefix('#')
        .filter(|digits| digits.len() == 6 && digits.chars().all(|char| char.is_ascii_hexdigit()));
    // Strictly validated, since the color is inserted into the style sheet.
    match digits {
        Some(_) => Ok(text),
        None => Err(serde::de::Error::custom(format!(
            "{text:?} is not a colour; write for example \"#2f5bd8\""
        ))),
    }
}

fn link<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let address = String::deserialize(deserializer)?;
    links::check(&address).map_err(serde::de::Error::custom)?;
    Ok(Some(address))
}

fn checkout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let address = String::deserialize(deserializer)?;
    let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
    if address.starts_with("https://") && is_plain {
        return Ok(Some(address));
    }
    Err(serde::de::Error::custom(format!(
        "{address:?} is not the address of a payment page; write for example \"https://buy.stripe.com/...\""
    )))
}

fn mailbox<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let address = String::deserialize(deserializer)?;
    let parts = address.split_once('@').filter(|(name, host)| !name.is_empty() && !host.is_empty());
    // Strictly validated, since the address is inserted into a link.
    if parts.is_none()
        || address.chars().any(|char| {
            char.is_control()
                || char.is_whitespace()
                || matches!(char, ':' | '/' | '\\' | '?' | '&')
        })
    {
        return Err(serde::de::Error::custom(format!(
            "{address:?} is not an email address; write for example \"hello@example.com\""
        )));
    }
    Ok(Some(address))
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
        assert_eq!(
            complaint("[colours]\naccent = 'red}'"),
            "\"red}\" is not a colour; write for example \"#2f5bd8\""
        );
        assert!(toml::from_str::<BrandSettings>("[colours]\naccent = '#a1B2c3'").is_ok());
    }

    #[test]
    fn a_link_of_the_brand_that_would_run_something_is_a_mistake_that_is_named() {
        let source = |url: &str| format!("[[sources]]\nname = 'a'\nlicence = 'b'\nurl = '{url}'");
        assert!(
            complaint(&source("javascript:alert(1)"))
                .contains("\"javascript:alert(1)\" cannot be a link")
        );
        assert!(toml::from_str::<BrandSettings>(&source("https://example.com")).is_ok());
        for contact in ["javascript:alert(1)@x", "https://example.com", "a b@example.com", "nobody"]
        {
            assert!(
                complaint(&format!("contact = '{contact}'")).contains("not an email address"),
                "{contact}"
            );
        }
    }

    #[test]
    fn a_checkout_gets_the_account_and_its_address() {
        let offer = |checkout: &str| {
            toml::from_str::<BrandSettings>(&format!(
                "[[plans]]\nplan = 'pro'\nprice = '1'\ncheckout = '{checkout}'"
            ))
        };
        let address = |checkout: &str| {
            let offer = offer(checkout).unwrap().plans.remove(0);
            assert_eq!(offer.checkout_address(BillingPeriod::Year, "a1", "bo@x.org"), None);
            offer.checkout_address(BillingPeriod::Month, "a1", "bo+1@x.org").unwrap()
        };
        assert_eq!(
            address("https://buy.stripe.com/x"),
            "https://buy.stripe.com/x?client_reference_id=a1&prefilled_email=bo%2B1%40x.org"
        );
        assert_eq!(
            address("https://pay.example/x?a=b"),
            "https://pay.example/x?a=b&client_reference_id=a1&prefilled_email=bo%2B1%40x.org"
        );
        assert_eq!(
            address("https://pay.example/{account}?mail={email}"),
            "https://pay.example/a1?mail=bo%2B1%40x.org"
        );
        for wrong in ["http://pay.example", "javascript:alert(1)", "https://pay.example/ x"] {
            assert!(offer(wrong).unwrap_err().message().contains("payment page"), "{wrong}");
        }
    }

    #[test]
    fn a_logo_is_one_drawing_without_scripts() {
        assert!(
            toml::from_str::<BrandSettings>("logo = '<svg viewBox=\"0 0 1 1\"></svg>'").is_ok()
        );
        assert!(complaint("logo = '<svg><script>x</script></svg>'").contains("without scripts"));
        assert!(complaint("logo = 'logo.png'").contains("<svg>"));
    }
}
