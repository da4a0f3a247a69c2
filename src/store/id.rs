//! Ids of generations.

use serde::{Deserialize, Serialize};

/// The id of one published version: `20261121T021038123Z`, the UTC time of its start in
/// milliseconds. Ids sort chronologically.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GenerationId(String);

impl GenerationId {
    /// Returns the id of an attempt begun at `now`; it is later than `newest` even if the clock
    /// went backwards.
    #[must_use]
    pub fn after(now: jiff::Timestamp, newest: Option<&Self>) -> Self {
        let floor = newest
            .and_then(Self::time)
            .and_then(|time| time.checked_add(jiff::SignedDuration::from_millis(1)).ok());
        Self::at(floor.map_or(now, |floor| now.max(floor)))
    }

    fn at(time: jiff::Timestamp) -> Self {
        Self(time.strftime("%Y%m%dT%H%M%S%3fZ").to_string())
    }

    /// Parses an id; returns `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let id = Self(text.to_owned());
        (id.time().map(Self::at).as_ref() == Some(&id)).then_some(id)
    }

    /// Returns the start time.
    #[must_use]
    pub fn time(&self) -> Option<jiff::Timestamp> {
        if self.0.len() != 19 || !self.0.is_ascii() {
            return None;
        }
        let (seconds, millis) = (&self.0[..15], &self.0[15..18]);
        jiff::Timestamp::strptime("%Y%m%dT%H%M%S.%f%z", format!("{seconds}.{millis}+0000")).ok()
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for GenerationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0)
    }
}

/// What is currently served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServedState {
    Missing,
    Generation(GenerationId),
    /// A file that is not a generation.
    Foreign,
}

impl ServedState {
    /// Returns the generation, if one is served.
    #[must_use]
    pub fn generation(self) -> Option<GenerationId> {
        match self {
            Self::Generation(id) => Some(id),
            Self::Missing | Self::Foreign => None,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_one_another_even_when_the_clock_goes_backwards() {
        let noon: jiff::Timestamp = "2026-11-21T12:00:00.5Z".parse().unwrap();
        let first = GenerationId::after(noon, None);
        assert_eq!(first.as_str(), "20261121T120000500Z");
        let second = GenerationId::after(noon - jiff::SignedDuration::from_hours(3), Some(&first));
        assert_eq!(second.as_str(), "20261121T120000501Z");
        assert!(second > first);
    }

    #[test]
    fn only_a_whole_id_is_an_id() {
        assert!(GenerationId::parse("20261121T120000500Z").is_some());
        for text in [
            "",
            "20261121T120000Z",
            "20261341T120000500Z",
            "20261121T120000500Z.duckdb",
            "../../../etc/pass",
        ] {
            assert_eq!(GenerationId::parse(text), None, "{text}");
        }
    }
}
