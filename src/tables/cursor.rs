//! Where a page of rows ended, so that the next one begins there however many rows lie before it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// The last row of a page: its number in the table, and its values in the columns that rows are ordered by.
///
/// Good for the generation and the question it was made for, and for no other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    #[serde(rename = "g")]
    pub(super) generation: String,
    #[serde(rename = "q")]
    pub(super) question: String,
    #[serde(rename = "r")]
    pub(super) row: i64,
    #[serde(rename = "k")]
    pub(super) keys: Vec<Option<String>>,
}

/// Why a cursor leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// It is not one of ours, or was made for another question.
    #[error("it does not belong to this question; take it from the answer before, and leave the other parameters as they were")]
    Foreign,
    /// The data has been renewed since.
    #[error("the data has been renewed since this cursor was made; begin again without it")]
    Expired,
}

impl Cursor {
    /// As text for an address.
    #[must_use]
    pub fn encode(&self) -> String {
        // Texts and numbers always become JSON.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// From an address; what it holds is bound like every other value.
    ///
    /// # Errors
    /// [`CursorError::Foreign`] for what is no cursor.
    pub fn decode(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Foreign)?;
        serde_json::from_slice(&bytes).map_err(|_| CursorError::Foreign)
    }
}
