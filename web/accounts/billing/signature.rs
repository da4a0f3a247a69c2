//! Signatures of webhooks: that of Standard Webhooks, and Stripe's own.

use axum::http::HeaderMap;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD},
};
use hmac::{Hmac, Mac};
use jiff::Timestamp;
use materia::settings::Secret;
use sha2::Sha256;

/// How far the time of a message may be from ours, in seconds. An older one is refused, so that a
/// recorded message cannot be sent again later.
const TOLERANCE: i64 = 300;

/// Who signed a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// <https://www.standardwebhooks.com>: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    Standard,
    /// `stripe-signature`.
    Stripe,
}

/// Why a message is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    #[error("the signature's headers are missing or malformed")]
    Malformed,
    #[error("no secret is configured for this signature")]
    NoSecret,
    #[error("the message is more than five minutes old or from the future")]
    Expired,
    #[error("the signature does not match")]
    Mismatch,
}

/// A message whose signature matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) scheme: Scheme,
    /// The id of the message, for Standard Webhooks; Stripe's is in the body.
    pub(crate) id: Option<String>,
}

/// The secrets that messages are signed with; each may be several, separated by commas, while one
/// replaces another.
#[derive(Debug, Clone, Default)]
pub(crate) struct SigningSecrets {
    pub(crate) standard: Option<Secret>,
    pub(crate) stripe: Option<Secret>,
}

impl SigningSecrets {
    /// Checks that secrets of Standard Webhooks are keys.
    pub(crate) fn check(&self) -> Result<(), String> {
        let is_key = |secret: &Secret| each(secret).all(|one| standard_key(one).is_some());
        if self.standard.as_ref().is_none_or(is_key) {
            return Ok(());
        }
        Err("it must be whsec_ and at least 16 bytes in Base64, such as the output of `openssl rand -base64 32` behind whsec_".to_owned())
    }

    /// Checks who signed a message, and when.
    pub(crate) fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Verified, SignatureError> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(header) = text("stripe-signature") {
            let secrets = self.stripe.as_ref().ok_or(SignatureError::NoSecret)?;
            verify_stripe(header, body, secrets, now)?;
            return Ok(Verified { scheme: Scheme::Stripe, id: None });
        }
        let [id, at, signatures] = ["webhook-id", "webhook-timestamp", "webhook-signature"]
            .map(|name| text(name).filter(|value| !value.is_empty()));
        let (Some(id), Some(at), Some(signatures)) = (id, at, signatures) else {
            return Err(SignatureError::Malformed);
        };
        let secrets = self.standard.as_ref().ok_or(SignatureError::NoSecret)?;
        check_time(at, now)?;
        let signed = [id.as_bytes(), b".", at.as_bytes(), b".", body].concat();
        let given = signatures.split(' ').filter_map(|one| one.strip_prefix("v1,"));
        let given: Vec<Vec<u8>> = given.filter_map(|one| STANDARD.decode(one).ok()).collect();
        let keys = each(secrets).filter_map(standard_key);
        if matches(keys, &signed, &given) {
            Ok(Verified { scheme: Scheme::Standard, id: Some(id.to_owned()) })
        } else {
            Err(SignatureError::Mismatch)
        }
    }
}

fn each(secrets: &Secret) -> impl Iterator<Item = &str> {
    secrets.reveal().split(',').map(str::trim).filter(|secret| !secret.is_empty())
}

/// Returns the key in a secret of Standard Webhooks: Base64, usually behind `whsec_`.
pub(crate) fn standard_key(secret: &str) -> Option<Vec<u8>> {
    let encoded = secret.strip_prefix("whsec_").unwrap_or(secret).trim_end_matches('=');
    STANDARD_NO_PAD.decode(encoded).ok().filter(|key| key.len() >= 16)
}

fn verify_stripe(
    header: &str,
    body: &[u8],
    secrets: &Secret,
    now: Timestamp,
) -> Result<(), SignatureError> {
    let parts = || header.split(',').filter_map(|part| part.trim().split_once('='));
    let at = parts().find(|(name, _)| *name == "t").ok_or(SignatureError::Malformed)?.1;
    check_time(at, now)?;
    let signed = [at.as_bytes(), b".", body].concat();
    let given: Vec<Vec<u8>> =
        parts().filter(|(name, _)| *name == "v1").filter_map(|(_, text)| hex(text)).collect();
    // Stripe's key is the secret as it is written.
    let keys = each(secrets).map(|secret| secret.as_bytes().to_vec());
    if matches(keys, &signed, &given) { Ok(()) } else { Err(SignatureError::Mismatch) }
}

fn check_time(text: &str, now: Timestamp) -> Result<(), SignatureError> {
    let at: i64 = text.parse().map_err(|_| SignatureError::Malformed)?;
    let is_near = now.as_second().abs_diff(at) <= TOLERANCE.unsigned_abs();
    if is_near { Ok(()) } else { Err(SignatureError::Expired) }
}

/// Whether any key makes any of the signatures, compared in constant time.
fn matches(keys: impl Iterator<Item = Vec<u8>>, signed: &[u8], given: &[Vec<u8>]) -> bool {
    let mut found = false;
    for key in keys {
        for signature in given {
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&key) else { continue };
            mac.update(signed);
            found |= mac.verify_slice(signature).is_ok();
        }
    }
    found
}

/// Signs a message as Standard Webhooks says: the value of `webhook-signature`.
pub(crate) fn sign(key: &[u8], id: &str, at: i64, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(format!("{id}.{at}.").as_bytes());
    mac.update(body);
    Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|digit| digit.to_digit(16)?.try_into().ok()).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use std::fmt::Write as _;

    use super::*;

    pub(crate) const STANDARD_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    pub(crate) const STRIPE_SECRET: &str = "whsec_test_5Wk0c1yC6Q2mXb8n";

    /// Returns the header that Stripe would send.
    pub(crate) fn stripe_header(secret: &str, at: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{at}.").as_bytes());
        mac.update(body);
        let mut hex = String::new();
        for byte in mac.finalize().into_bytes() {
            let _ = write!(hex, "{byte:02x}");
        }
        format!(
            "t={at},v1={hex},v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39"
        )
    }

    pub(crate) fn standard_key_of_tests() -> Vec<u8> {
        standard_key(STANDARD_SECRET).unwrap()
    }

    /// Returns the header that a sender of Standard Webhooks would send.
    pub(crate) fn sign_as_sender(key: &[u8], id: &str, at: i64, body: &[u8]) -> String {
        sign(key, id, at, body).unwrap()
    }

    fn secrets() -> SigningSecrets {
        SigningSecrets {
            standard: Some(Secret::new(format!(
                "whsec_AAAAAAAAAAAAAAAAAAAAAAAA, {STANDARD_SECRET}"
            ))),
            stripe: Some(Secret::new(STRIPE_SECRET.to_owned())),
        }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_example_of_standard_webhooks_is_accepted_and_any_change_to_it_is_not() {
        // From the specification's own libraries.
        let (id, at, body) =
            ("msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        let now = Timestamp::from_second(1_614_265_330).unwrap();
        let with = |id: &str, at: &str, signature: &str, body: &[u8], now: Timestamp| {
            let headers = headers(&[
                ("webhook-id", id),
                ("webhook-timestamp", at),
                ("webhook-signature", signature),
            ]);
            secrets().verify(&headers, body, now)
        };
        let verified = with(id, at, signature, body, now).unwrap();
        assert_eq!(verified, Verified { scheme: Scheme::Standard, id: Some(id.to_owned()) });
        let several = format!("v1,AAAA v2,bbbb {signature}");
        assert!(with(id, at, &several, body, now).is_ok());
        let mismatch = Err(SignatureError::Mismatch);
        assert_eq!(with("msg_other", at, signature, body, now), mismatch);
        assert_eq!(with(id, "1614265331", signature, body, now), mismatch);
        assert_eq!(with(id, at, signature, b"{}", now), mismatch);
        assert_eq!(with(id, at, "v1,", body, now), mismatch);
        let later = Timestamp::from_second(1_614_265_330 + 301).unwrap();
        assert_eq!(with(id, at, signature, body, later), Err(SignatureError::Expired));
        assert_eq!(with(id, "soon", signature, body, now), Err(SignatureError::Malformed));
        assert_eq!(with("", at, signature, body, now), Err(SignatureError::Malformed));
    }

    #[test]
    fn what_we_sign_ourselves_is_what_receivers_verify() {
        let key = standard_key(STANDARD_SECRET).unwrap();
        let signed = sign(&key, "msg_1", 1_614_265_330, b"{}").unwrap();
        let headers = headers(&[
            ("webhook-id", "msg_1"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", &signed),
        ]);
        let now = Timestamp::from_second(1_614_265_330).unwrap();
        assert!(secrets().verify(&headers, b"{}", now).is_ok());
    }

    #[test]
    fn stripes_signature_is_checked_with_stripes_scheme() {
        let (at, body) = (1_700_000_000, b"{\"id\":\"evt_1\"}");
        let now = Timestamp::from_second(at).unwrap();
        let verify = |header: &str, body: &[u8], now| {
            secrets().verify(&headers(&[("stripe-signature", header)]), body, now)
        };
        let header = stripe_header(STRIPE_SECRET, at, body);
        assert_eq!(verify(&header, body, now).unwrap().scheme, Scheme::Stripe);
        assert_eq!(verify(&header, b"{}", now), Err(SignatureError::Mismatch));
        let foreign = stripe_header("whsec_other", at, body);
        assert_eq!(verify(&foreign, body, now), Err(SignatureError::Mismatch));
        // v0 is for Stripe's own tests and signs nothing.
        let only_v0 = header.replace("v1=", "v2=");
        assert_eq!(verify(&only_v0, body, now), Err(SignatureError::Mismatch));
        let later = Timestamp::from_second(at + 400).unwrap();
        assert_eq!(verify(&header, body, later), Err(SignatureError::Expired));
        assert_eq!(verify("nonsense", body, now), Err(SignatureError::Malformed));
        let none = SigningSecrets::default();
        let refused = none.verify(&headers(&[("stripe-signature", &header)]), body, now);
        assert_eq!(refused, Err(SignatureError::NoSecret));
    }

    #[test]
    fn a_secret_that_is_too_short_signs_nothing() {
        assert_eq!(standard_key("whsec_"), None);
        assert_eq!(standard_key("whsec_c2hvcnQ="), None);
        assert!(standard_key(STANDARD_SECRET).is_some());
    }
}
