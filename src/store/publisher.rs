//! Who publishes to a lake, which several machines can write.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The exporter of a generation, or of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publisher {
    /// The machine's host name.
    pub host: String,
    /// The name of the user, or its number.
    pub user: String,
    /// The absolute path of the lakehouse; absent for a rollback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lakehouse: Option<PathBuf>,
}

impl Publisher {
    /// Returns this process as the exporter of `lakehouse`.
    pub(crate) fn current(lakehouse: Option<&Path>) -> Self {
        let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
        let id = nix::unistd::geteuid();
        let user = nix::unistd::User::from_uid(id).ok().flatten().map(|user| user.name);
        Self {
            host: host.unwrap_or_else(|_| "localhost".to_owned()),
            user: user.unwrap_or_else(|| id.to_string()),
            lakehouse: lakehouse.map(|path| {
                path.canonicalize()
                    .or_else(|_| std::path::absolute(path))
                    .unwrap_or_else(|_| path.to_owned())
            }),
        }
    }

    /// Returns whether both are exports of one lakehouse on one machine, by whichever user.
    pub(crate) fn is_same_source(&self, other: &Self) -> bool {
        self.host == other.host && self.lakehouse == other.lakehouse
    }
}

impl std::fmt::Display for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, user, lakehouse } = self;
        write!(f, "{user} on {host}")?;
        match lakehouse {
            Some(lakehouse) => write!(f, ", from {}", lakehouse.display()),
            None => Ok(()),
        }
    }
}
