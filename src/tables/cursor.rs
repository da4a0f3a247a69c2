//! Cursors: the position at which a page of rows ended, so that the next page starts there at a
//! cost independent of the number of preceding rows.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

/// The last row of a page: its number in the table, and its values in the columns of the order.
///
/// Valid only for the generation and the query for which it was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    #[serde(rename = "g")]
    pub(super) generation: String,
    #[serde(rename = "q")]
    pub(super) query_digest: String,
    #[serde(rename = "r")]
    pub(super) row: i64,
    #[serde(rename = "k")]
    pub(super) keys: Vec<Option<String>>,
}

/// Why a cursor cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// It is not a cursor, or was created for another query.
    #[error(
        "it does not belong to this query; take it from the previous response, and leave the other parameters unchanged"
    )]
    Invalid,
    /// The data has changed since.
    #[error("the data has been renewed since this cursor was created; start again without it")]
    Expired,
}

impl Cursor {
    /// Encodes the cursor for a URL.
    #[must_use]
    pub fn encode(&self) -> String {
        // Serializing texts and numbers as JSON cannot fail.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Decodes a cursor from a URL. Its values are bound like all others.
    ///
    /// # Errors
    /// [`CursorError::Invalid`] if the text is not a cursor.
    pub fn decode(text: &str) -> Result<Self, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Invalid)?;
        serde_json::from_slice(&bytes).map_err(|_| CursorError::Invalid)
    }
}
