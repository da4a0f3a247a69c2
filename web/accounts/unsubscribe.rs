//! Ends emails without signing in: the address in an email is enough, because it is signed with a
//! key of the site. It ends that digest or that alert's emails, and can do nothing else.

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::{
    Accounts,
    store::StoreError,
    token::{self, Token},
};

/// The name of the key in the store.
const KEY_NAME: &str = "unsubscribe";
/// Bytes of a signature, as many as cannot be guessed.
const SIGNATURE_BYTES: usize = 16;

/// What sends emails until it is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MailSubscription {
    Digest,
    Alert,
}

impl MailSubscription {
    /// Returns its name in addresses.
    fn name(self) -> &'static str {
        match self {
            Self::Digest => "digest",
            Self::Alert => "alert",
        }
    }

    /// Returns the kind of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        [Self::Digest, Self::Alert].into_iter().find(|kind| kind.name() == name)
    }

    /// Returns the path with this token.
    pub(crate) fn path(self, token: &str) -> String {
        format!("/unsubscribe/{}/{token}", self.name())
    }
}

/// Signs the addresses that end emails. Ids alone are not secret: operators see them, and the
/// webhook of an alert contains them.
#[derive(Clone)]
pub(crate) struct UnsubscribeKey(Hmac<Sha256>);

impl UnsubscribeKey {
    /// Returns the path that ends a digest, or the emails of an alert.
    pub(crate) fn address(&self, kind: MailSubscription, id: &str) -> String {
        let signature = self.signed(kind, id).finalize().into_bytes();
        kind.path(&format!("{id}.{}", token::hex(&signature[..SIGNATURE_BYTES])))
    }

    /// Returns the id in a token that was signed for this kind.
    pub(crate) fn verify<'t>(&self, kind: MailSubscription, token: &'t str) -> Option<&'t str> {
        let (id, signature) = token.split_once('.')?;
        let signature = token::from_hex(signature)?;
        let is_right = signature.len() == SIGNATURE_BYTES
            && self.signed(kind, id).verify_truncated_left(&signature).is_ok();
        is_right.then_some(id)
    }

    fn signed(&self, kind: MailSubscription, id: &str) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(format!("unsubscribe/{}/{id}", kind.name()).as_bytes());
        mac
    }
}

impl Accounts {
    /// Returns the site's key, which is created when it is first needed.
    pub(crate) async fn unsubscribe_key(&self) -> Result<UnsubscribeKey, StoreError> {
        let select = "SELECT value FROM site_keys WHERE name = $1";
        let stored: Option<String> =
            sqlx::query_scalar(select).bind(KEY_NAME).fetch_optional(self.store.pool()).await?;
        let key = if let Some(key) = stored {
            key
        } else {
            let insert = sqlx::query(
                "INSERT INTO site_keys (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
            );
            let fresh = Token::random()?;
            insert.bind(KEY_NAME).bind(fresh.reveal()).execute(self.store.pool()).await?;
            // Another server may have been faster.
            sqlx::query_scalar(select).bind(KEY_NAME).fetch_one(self.store.pool()).await?
        };
        let mac = Hmac::new_from_slice(key.as_bytes());
        Ok(UnsubscribeKey(mac.map_err(|error| sqlx::Error::Decode(error.into()))?))
    }

    /// Returns what a digest or an alert is about; `None` if it does not exist.
    pub(crate) async fn subscription_title(
        &self,
        kind: MailSubscription,
        id: &str,
    ) -> Result<Option<String>, StoreError> {
        let select = match kind {
            MailSubscription::Digest => "SELECT title FROM digests WHERE id = $1",
            MailSubscription::Alert => "SELECT title FROM alerts WHERE id = $1",
        };
        Ok(sqlx::query_scalar(select).bind(id).fetch_optional(self.store.pool()).await?)
    }

    /// Ends a digest, or the emails of an alert, which is paused if it has no webhook. What is
    /// ended already stays so.
    pub(crate) async fn end_emails(
        &self,
        kind: MailSubscription,
        id: &str,
    ) -> Result<(), StoreError> {
        let statement = match kind {
            MailSubscription::Digest => "DELETE FROM digests WHERE id = $1",
            MailSubscription::Alert => {
                "UPDATE alerts SET by_mail = 0, is_paused = CASE WHEN webhook = '' THEN 1 ELSE is_paused END WHERE id = $1"
            }
        };
        sqlx::query(statement).bind(id).execute(self.store.pool()).await?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_ends_what_it_was_signed_for_and_nothing_else() {
        let key = |text: &[u8]| UnsubscribeKey(Hmac::new_from_slice(text).unwrap());
        let address = key(b"one").address(MailSubscription::Digest, "1f");
        let token = address.strip_prefix("/unsubscribe/digest/").unwrap();
        assert_eq!(key(b"one").verify(MailSubscription::Digest, token), Some("1f"));
        assert_eq!(key(b"one").verify(MailSubscription::Alert, token), None, "another kind");
        assert_eq!(key(b"two").verify(MailSubscription::Digest, token), None, "another site");
        let signature = token.strip_prefix("1f.").unwrap();
        for forged in [
            "1f".to_owned(),
            "1f.".to_owned(),
            format!("2f.{signature}"),
            // The beginning of a signature would be easier to guess.
            format!("1f.{}", &signature[..2]),
            format!("1f.{signature}00"),
            format!("1f.{}", signature.to_uppercase()),
            format!("1f.{signature}."),
        ] {
            assert_eq!(key(b"one").verify(MailSubscription::Digest, &forged), None, "{forged}");
        }
    }
}
