//! An endpoint that speaks PostgreSQL's protocol and reads what is served.
//!
//! Read-only: everything that reaches the engine is checked by [`materia::guard`] and runs in a
//! namespace that contains only what the session's plan includes (`audience`). A session keeps one
//! generation during a transaction; outside, each statement reads the current one.
//!
//! The frame parser and messages are the crate `pgwire`'s. Its own server collects every result
//! before it sends the first row, so connections are served here (`session`), with bounded buffers
//! and rows that stream from the reader.

mod activity;
mod audience;
mod copy;
mod crash_record;
mod encode;
mod engines;
mod error;
#[cfg(test)]
mod fuzz;
mod lexer;
mod memory;
mod metrics;
mod params;
mod rewrite;
mod running;
mod server;
mod session;
mod session_settings;
mod statement;
mod types;
mod wire;

use std::{io, path::PathBuf};

use futures_util::future::BoxFuture;
use materia::plan::Plan;

pub use crash_record::{CrashHistory, CrashRecord, RefusedStatement, RunningStatement};
pub use server::run;

/// Who a connection belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub account: String,
    /// The account's address, for operators.
    pub email: String,
    pub key: String,
    pub plan: Plan,
    /// Whether everything is visible, without limits.
    pub operator: bool,
    /// The tables in the key's scope; `None` for all that the plan includes.
    pub tables: Option<Vec<String>>,
}

/// Decides who a password belongs to.
pub trait Authenticator: Send + Sync {
    /// Returns whose key a password is, and counts its use.
    fn authenticate(&self, password: String) -> BoxFuture<'_, Result<Identity, AuthError>>;

    /// Returns whose key an id is, if it is still valid.
    fn check(&self, key: String) -> BoxFuture<'_, Result<Identity, AuthError>>;

    /// Records that a key is in use now.
    fn note_use(&self, key: String) -> BoxFuture<'_, ()>;
}

/// Why a key is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthError {
    /// The reason, for the client.
    Refused(String),
    /// The accounts cannot be read.
    Unavailable,
}

/// Why the endpoint cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is in use, or the folder of the socket does not exist.
    #[error("cannot listen on {address}: {source}; choose another place in [postgres]")]
    Listen { address: String, source: io::Error },
    /// Keys would be sent in clear text.
    #[error(
        "[postgres] listen = \"{address}\" is reached by other machines, and keys would be sent in clear text: set cert and key, or listen on 127.0.0.1"
    )]
    NoEncryption { address: std::net::SocketAddr },
    /// The certificate or its key cannot be used.
    #[error("{}: {problem}", path.display())]
    Certificate { path: PathBuf, problem: String },
    /// The system refused a thread or socket.
    #[error("the system refused: {0}")]
    System(#[from] io::Error),
}
