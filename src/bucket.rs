//! Files in an S3 bucket, or in a server that speaks its protocol: what the accounts' backups need.
//!
//! rusty-s3 signs the requests and ureq sends them. A whole client, such as `object_store`, would
//! bring an HTTP client and a TLS library of its own.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::Path,
    thread::sleep,
    time::Duration,
};

use jiff::Timestamp;
use rusty_s3::{
    Bucket, Credentials as SigningKey, S3Action as _, UrlStyle, actions::ListObjectsV2,
};
use serde::Deserialize;
use url::Url;

use crate::{humanize, secret::Secret};

/// How long a signed request is valid; clocks may differ by minutes.
const SIGNATURE_LIFETIME: Duration = Duration::from_mins(15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A listing, which `materia status` waits for.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);
/// The transfer of a whole file.
const TRANSFER_TIMEOUT: Duration = Duration::from_mins(10);
/// Delays before a request is repeated that the storage did not answer or refused for the moment.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(3)];
/// Storage with an address of its own has one region, whose name is arbitrary.
const DEFAULT_REGION: &str = "us-east-1";

/// The credentials and the address of S3 storage, from the environment variables that S3 tools
/// share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageCredentials {
    pub(crate) key_id: Option<String>,
    pub(crate) secret: Option<Secret>,
    pub(crate) session_token: Option<Secret>,
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<Url>,
}

impl StorageCredentials {
    /// Reads `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION` or
    /// `AWS_DEFAULT_REGION`, and `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL` for a server that is
    /// not Amazon's.
    ///
    /// # Errors
    /// The endpoint is not a valid URL.
    pub fn load(env: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let get = |names: &[&str]| {
            names.iter().find_map(|name| env(name).filter(|text| !text.is_empty()))
        };
        let endpoint =
            get(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]).map(|text| Url::parse(&text));
        let endpoint = endpoint
            .transpose()
            .map_err(|error| format!("{error}; write for example https://s3.example.com"))?;
        Ok(Self {
            key_id: get(&["AWS_ACCESS_KEY_ID"]),
            secret: get(&["AWS_SECRET_ACCESS_KEY"]).map(Secret::new),
            session_token: get(&["AWS_SESSION_TOKEN"]).map(Secret::new),
            region: get(&["AWS_REGION", "AWS_DEFAULT_REGION"]),
            endpoint,
        })
    }
}

/// A folder in a bucket: `s3://bucket/folder`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct BucketFolder {
    bucket: String,
    /// Without slashes at its ends; may be empty.
    folder: String,
}

impl BucketFolder {
    const SCHEME: &str = "s3://";

    /// Returns whether a text is meant as the address of a bucket.
    #[must_use]
    pub fn matches(text: &str) -> bool {
        text.starts_with(Self::SCHEME)
    }

    /// Splits the address of a file into its folder and its name; `None` if it names no file.
    #[must_use]
    pub fn split_file(text: &str) -> Option<(Self, &str)> {
        let (folder, name) = text.rsplit_once('/')?;
        let folder = Self::try_from(folder.to_owned()).ok()?;
        (!name.is_empty()).then_some((folder, name))
    }

    /// Returns the address of a file in the folder.
    #[must_use]
    pub fn address(&self, name: &str) -> String {
        format!("{self}/{name}")
    }

    fn key(&self, name: &str) -> String {
        if self.folder.is_empty() { name.to_owned() } else { format!("{}/{name}", self.folder) }
    }
}

impl TryFrom<String> for BucketFolder {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (bucket, folder) = text
            .strip_prefix(Self::SCHEME)
            .map(|rest| rest.split_once('/').unwrap_or((rest, "")))
            .filter(|(bucket, _)| !bucket.is_empty() && !text.contains(['?', '#', '\\']))
            .ok_or_else(|| {
                format!(
                    "{text:?} is not a folder in a bucket; write for example s3://bucket/backups"
                )
            })?;
        Ok(Self { bucket: bucket.to_owned(), folder: folder.trim_matches('/').to_owned() })
    }
}

impl fmt::Display for BucketFolder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", Self::SCHEME, self.bucket)?;
        if self.folder.is_empty() { Ok(()) } else { write!(formatter, "/{}", self.folder) }
    }
}

/// Why a bucket could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// There are no credentials.
    #[error("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, which {0} needs")]
    NoCredentials(String),
    /// The bucket's name or the endpoint cannot be part of a URL.
    #[error("{0} is not a usable address: {1}; check AWS_ENDPOINT_URL and the bucket's name")]
    Address(String, String),
    /// There is no such file.
    #[error("{0} does not exist")]
    Missing(String),
    #[error("{address}: the storage refused with status {status}{}", if code.is_empty() { String::new() } else { format!(" ({code})") })]
    Refused {
        address: String,
        status: u16,
        /// S3's own name of the problem, if the response has one.
        code: String,
    },
    /// The storage did not respond.
    #[error("{0}: the storage did not respond: {1}")]
    Unreachable(String, String),
    /// The response cannot be parsed, or is incomplete.
    #[error("{0}: the storage's response cannot be used: {1}")]
    Response(String, String),
    /// A local file cannot be read or written.
    #[error(transparent)]
    Local(#[from] io::Error),
}

impl BucketError {
    /// Returns whether another attempt may succeed.
    fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(..) => true,
            Self::Refused { status, .. } => *status >= 500 || *status == 429,
            _ => false,
        }
    }
}

/// A file in a bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    pub name: String,
    pub modified_at: Timestamp,
}

/// Reads and writes the files of a folder in a bucket.
#[derive(Debug)]
pub struct BucketClient {
    folder: BucketFolder,
    bucket: Bucket,
    key: SigningKey,
    agent: ureq::Agent,
}

impl BucketClient {
    /// Prepares requests; sends none.
    pub fn new(
        folder: &BucketFolder,
        credentials: &StorageCredentials,
    ) -> Result<Self, BucketError> {
        let (Some(id), Some(secret)) = (&credentials.key_id, &credentials.secret) else {
            return Err(BucketError::NoCredentials(folder.to_string()));
        };
        let key = match &credentials.session_token {
            Some(token) => SigningKey::new_with_token(id, secret.reveal(), token.reveal()),
            None => SigningKey::new(id, secret.reveal()),
        };
        let region = credentials.region.as_deref().unwrap_or(DEFAULT_REGION);
        let unusable = |problem: String| BucketError::Address(folder.to_string(), problem);
        let (endpoint, style) = if let Some(endpoint) = &credentials.endpoint {
            (endpoint.clone(), UrlStyle::Path)
        } else {
            let url = format!("https://s3.{region}.amazonaws.com");
            // A name with dots does not match the certificate's wildcard.
            let has_dots = folder.bucket.contains('.');
            let style = if has_dots { UrlStyle::Path } else { UrlStyle::VirtualHost };
            (Url::parse(&url).map_err(|error| unusable(error.to_string()))?, style)
        };
        let bucket = Bucket::new(endpoint, style, folder.bucket.clone(), region.to_owned())
            .map_err(|error| unusable(error.to_string()))?;
        let agent = ureq::Agent::config_builder()
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(TRANSFER_TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent("materia")
            .build()
            .new_agent();
        Ok(Self { folder: folder.clone(), bucket, key, agent })
    }

    /// Uploads a file. It appears whole or not at all.
    pub fn put(&self, name: &str, from: &Path) -> Result<(), BucketError> {
        let address = self.folder.address(name);
        let key = self.folder.key(name);
        let action = self.bucket.put_object(Some(&self.key), &key);
        with_retries(|| {
            let url = action.sign(SIGNATURE_LIFETIME);
            // A file is sent with its length, which S3 requires.
            let response = self.agent.put(url.as_str()).send(File::open(from)?);
            Self::check(&address, response).map(drop)
        })
    }

    pub fn get(&self, name: &str, to: &mut File) -> Result<(), BucketError> {
        let mut body = self.open(name)?;
        // Its length is compared with the header's.
        io::copy(&mut body, to)
            .map(drop)
            .map_err(|error| BucketError::Response(self.folder.address(name), error.to_string()))
    }

    /// Returns whether a file in the bucket has the same content as a local one.
    pub fn same_bytes(&self, name: &str, local: &Path) -> Result<bool, BucketError> {
        let mut remote = self.open(name)?;
        let mut local = io::BufReader::new(File::open(local)?);
        let (mut here, mut there) = (vec![0; 64 << 10], vec![0; 64 << 10]);
        loop {
            let read = remote.read(&mut there).map_err(|error| {
                BucketError::Response(self.folder.address(name), error.to_string())
            })?;
            if read == 0 {
                return Ok(local.read(&mut here)? == 0);
            }
            match local.read_exact(&mut here[..read]) {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                result => result?,
            }
            if here[..read] != there[..read] {
                return Ok(false);
            }
        }
    }

    /// Lists the files of the folder, without those in folders below it, by name.
    pub fn list(&self) -> Result<Vec<StoredFile>, BucketError> {
        let address = self.folder.to_string();
        let unusable = |problem: String| BucketError::Response(address.clone(), problem);
        let prefix = self.folder.key("");
        let mut files = Vec::new();
        let mut token = None;
        loop {
            let mut action = self.bucket.list_objects_v2(Some(&self.key));
            action.with_prefix(prefix.clone());
            if let Some(token) = token.take() {
                action.with_continuation_token(token);
            }
            let url = action.sign(SIGNATURE_LIFETIME);
            let request = self.agent.get(url.as_str()).config();
            let response = request.timeout_global(Some(LIST_TIMEOUT)).build().call();
            let mut body = Self::check(&address, response)?;
            let text = body.read_to_string().map_err(|error| unusable(error.to_string()))?;
            let page = ListObjectsV2::parse_response(&text)
                .map_err(|error| unusable(error.to_string()))?;
            for object in page.contents {
                let Some(name) = object.key.strip_prefix(&prefix) else { continue };
                if name.is_empty() || name.contains('/') {
                    continue;
                }
                let modified_at = object.last_modified.as_deref().unwrap_or_default().parse();
                let modified_at =
                    modified_at.map_err(|error| unusable(format!("{name}: {error}")))?;
                files.push(StoredFile { name: name.to_owned(), modified_at });
            }
            match page.next_continuation_token {
                Some(next) => token = Some(next),
                None => break,
            }
        }
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(files)
    }

    pub fn delete(&self, name: &str) -> Result<(), BucketError> {
        let key = self.folder.key(name);
        let action = self.bucket.delete_object(Some(&self.key), &key);
        let response = self.agent.delete(action.sign(SIGNATURE_LIFETIME).as_str()).call();
        Self::check(&self.folder.address(name), response).map(drop)
    }

    fn open(&self, name: &str) -> Result<ureq::BodyReader<'static>, BucketError> {
        let key = self.folder.key(name);
        let action = self.bucket.get_object(Some(&self.key), &key);
        let body = with_retries(|| {
            let response = self.agent.get(action.sign(SIGNATURE_LIFETIME).as_str()).call();
            Self::check(&self.folder.address(name), response)
        })?;
        Ok(body.into_reader())
    }

    /// Returns the body of a successful response.
    fn check(
        address: &str,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<ureq::Body, BucketError> {
        let mut response = response.map_err(|error| {
            let why = match error {
                ureq::Error::Timeout(_) => "it took too long".to_owned(),
                // The error of an address would contain the signature.
                ureq::Error::BadUri(_) => "its address cannot be used".to_owned(),
                other => other.to_string(),
            };
            BucketError::Unreachable(address.to_owned(), why)
        })?;
        let status = response.status().as_u16();
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let text = response.body_mut().read_to_string().unwrap_or_default();
        let code = text
            .split_once("<Code>")
            .and_then(|(_, rest)| rest.split_once("</Code>"))
            .map(|(code, _)| humanize::printable(code))
            .unwrap_or_default();
        if status == 404 && code != "NoSuchBucket" {
            return Err(BucketError::Missing(address.to_owned()));
        }
        Err(BucketError::Refused { address: address.to_owned(), status, code })
    }
}

fn with_retries<T>(attempt: impl Fn() -> Result<T, BucketError>) -> Result<T, BucketError> {
    for delay in RETRY_DELAYS {
        match attempt() {
            Err(error) if error.is_transient() => sleep(delay),
            result => return result,
        }
    }
    attempt()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn folder(text: &str) -> Result<BucketFolder, String> {
        BucketFolder::try_from(text.to_owned())
    }

    #[test]
    fn the_address_of_a_folder_names_its_bucket_and_its_files() {
        for (text, file) in [
            ("s3://bucket", "s3://bucket/a.db"),
            ("s3://bucket/", "s3://bucket/a.db"),
            ("s3://bucket/one/two/", "s3://bucket/one/two/a.db"),
        ] {
            let parsed = folder(text).unwrap();
            assert_eq!(parsed.address("a.db"), file);
            assert_eq!(BucketFolder::split_file(file), Some((parsed, "a.db")));
        }
        for wrong in ["s3://", "s3:///folder", "s3://bucket/a?b", "bucket/folder", "/folder"] {
            assert!(folder(wrong).unwrap_err().contains("s3://bucket/backups"), "{wrong}");
        }
        assert_eq!(BucketFolder::split_file("s3://bucket/folder/"), None);
        assert_eq!(BucketFolder::split_file("s3://bucket"), None);
    }

    #[test]
    fn a_client_without_credentials_names_the_variables_and_never_prints_the_secret() {
        let place = folder("s3://bucket/backups").unwrap();
        let error =
            BucketClient::new(&place, &StorageCredentials::default()).map(drop).unwrap_err();
        assert_eq!(
            error.to_string(),
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, which s3://bucket/backups needs"
        );
        let credentials = StorageCredentials {
            key_id: Some("id".to_owned()),
            secret: Some(Secret::new("hunter2".to_owned())),
            ..StorageCredentials::default()
        };
        assert!(!format!("{credentials:?}").contains("hunter2"));
        let client = BucketClient::new(&place, &credentials).unwrap();
        assert!(!format!("{client:?}").contains("hunter2"));
        assert_eq!(
            client.bucket.object_url("backups/a.db").as_str(),
            "https://bucket.s3.us-east-1.amazonaws.com/backups/a.db"
        );
    }
}
