//! Amounts of money: `€1,234.50`, `1.234,50 €`, `CHF 1’234.50`.

use std::{fmt::Display, str::FromStr};

use serde::Deserialize;

use crate::locale::{Locale, NBSP};

/// A currency of ISO 4217.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Currency {
    code: &'static str,
    sign: &'static str,
    decimals: u8,
}

const fn currency(code: &'static str, sign: &'static str, decimals: u8) -> Currency {
    Currency { code, sign, decimals }
}

/// The known currencies. Where several share a sign (kr, $), only the most traded one has it.
const CURRENCIES: [Currency; 46] = [
    currency("AED", "AED", 2),
    currency("ARS", "ARS", 2),
    currency("AUD", "A$", 2),
    currency("BGN", "BGN", 2),
    currency("BRL", "R$", 2),
    currency("CAD", "CA$", 2),
    currency("CHF", "CHF", 2),
    currency("CLP", "CLP", 0),
    currency("CNY", "CN¥", 2),
    currency("COP", "COP", 2),
    currency("CRC", "CRC", 2),
    currency("CZK", "Kč", 2),
    currency("DKK", "DKK", 2),
    currency("EGP", "EGP", 2),
    currency("ETB", "ETB", 2),
    currency("EUR", "€", 2),
    currency("GBP", "£", 2),
    currency("GTQ", "GTQ", 2),
    currency("HKD", "HK$", 2),
    currency("HNL", "HNL", 2),
    currency("HUF", "Ft", 2),
    currency("IDR", "IDR", 2),
    currency("ILS", "₪", 2),
    currency("INR", "₹", 2),
    currency("JPY", "¥", 0),
    currency("KES", "KES", 2),
    currency("KRW", "₩", 0),
    currency("MXN", "MX$", 2),
    currency("NGN", "₦", 2),
    currency("NOK", "NOK", 2),
    currency("NZD", "NZ$", 2),
    currency("PEN", "PEN", 2),
    currency("PHP", "₱", 2),
    currency("PLN", "zł", 2),
    currency("RON", "RON", 2),
    currency("SAR", "SAR", 2),
    currency("SEK", "SEK", 2),
    currency("SGD", "S$", 2),
    currency("THB", "THB", 2),
    currency("TRY", "₺", 2),
    currency("TWD", "NT$", 2),
    currency("UAH", "₴", 2),
    currency("UGX", "UGX", 0),
    currency("USD", "$", 2),
    currency("VND", "₫", 0),
    currency("ZAR", "ZAR", 2),
];

/// Where the sign of a currency is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignPosition {
    Before,
    After,
}

/// How precisely an amount is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MoneyDigits {
    /// With this number of decimals.
    Decimals(u8),
    /// With three digits and a power of a thousand.
    Compact,
}

/// How an amount of money is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    currency: Currency,
    pub(super) digits: MoneyDigits,
    /// As in the locale if absent.
    position: Option<SignPosition>,
}

impl Money {
    /// Returns the codes of the known currencies.
    pub(super) fn codes() -> impl Iterator<Item = &'static str> + Clone {
        CURRENCIES.iter().map(|currency| currency.code)
    }

    /// Returns the code of the currency.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.currency.code
    }

    /// Returns it with the sign at a position other than the locale's.
    #[must_use]
    pub fn with_position(self, position: SignPosition) -> Self {
        Self { position: Some(position), ..self }
    }

    /// Returns it with this number of decimals.
    #[must_use]
    pub fn with_decimals(self, decimals: u8) -> Self {
        Self { digits: MoneyDigits::Decimals(decimals), ..self }
    }

    /// Returns it in compact form.
    #[must_use]
    pub fn compact(self) -> Self {
        Self { digits: MoneyDigits::Compact, ..self }
    }

    /// Adds the sign to a number in English, and writes it as in the locale.
    pub(super) fn print(self, english: String, locale: Locale) -> String {
        let (minus, amount) = match english.strip_prefix(super::format::MINUS) {
            Some(amount) => (super::format::MINUS, amount.to_owned()),
            None => ("", english),
        };
        let amount = locale.number(amount);
        let sign = self.currency.sign;
        // Letters would run into the digits.
        let word = if sign.ends_with(char::is_alphabetic) { NBSP } else { "" };
        match self.position.map_or(locale.sign_position(), |position| (position, None)) {
            (SignPosition::After, _) => format!("{minus}{amount}{NBSP}{sign}"),
            (SignPosition::Before, space) => {
                format!("{minus}{sign}{}{amount}", space.unwrap_or(word))
            }
        }
    }
}

impl FromStr for Money {
    type Err = ();

    /// Parses `EUR`, `EUR.0`, `EUR.compact`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (code, digits) = text.split_once('.').map_or((text, None), |(c, d)| (c, Some(d)));
        let found =
            CURRENCIES.into_iter().find(|currency| currency.code.eq_ignore_ascii_case(code));
        let currency = found.ok_or(())?;
        let digits = match digits {
            None => MoneyDigits::Decimals(currency.decimals),
            Some("compact") => MoneyDigits::Compact,
            Some(decimals) => {
                let decimals = decimals.parse().map_err(|_| ())?;
                MoneyDigits::Decimals(Some(decimals).filter(|decimals| *decimals <= 8).ok_or(())?)
            }
        };
        Ok(Self { currency, digits, position: None })
    }
}

impl Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.digits {
            MoneyDigits::Decimals(decimals) => write!(f, "{}.{decimals}", self.currency.code),
            MoneyDigits::Compact => write!(f, "{}.compact", self.currency.code),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_is_where_the_locale_or_the_unit_has_it() {
        let shown = |locale: &str, format: &str, amount: &str| {
            let money: Money = format.parse().unwrap();
            money.print(amount.to_owned(), locale.parse().unwrap()).replace('\u{a0}', "_")
        };
        assert_eq!(shown("en", "EUR", "−1,234.50"), "−€1,234.50");
        assert_eq!(shown("en", "chf", "1,234.50"), "CHF_1,234.50");
        assert_eq!(shown("de", "EUR", "−1,234.50"), "−1.234,50_€");
        assert_eq!(shown("de-CH", "CHF", "1,234.50"), "CHF_1’234.50");
        assert_eq!(shown("nl", "EUR", "1,234.50"), "€_1.234,50");
        assert_eq!(shown("sv", "SEK", "12"), "12_SEK");
        let after: Money = "USD".parse().unwrap();
        let after = after.with_position(SignPosition::After);
        assert_eq!(after.print("5".to_owned(), Locale::default()), "5\u{a0}$");
        assert!(Money::from_str("EURO").is_err() && Money::from_str("EUR.x").is_err());
    }

    #[test]
    fn a_currency_has_the_decimals_that_are_usual() {
        let name = |text: &str| text.parse::<Money>().unwrap().to_string();
        assert_eq!(name("EUR"), "EUR.2");
        assert_eq!(name("JPY"), "JPY.0");
        assert_eq!(name("USD.compact"), "USD.compact");
    }
}
