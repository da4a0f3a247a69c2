//! Additional checks of finished data that callers pass to an export.

use std::{io, path::Path};

use super::{Audit, Store};

/// Finished data that is about to be published, as passed to a [`Check`].
pub struct Candidate<'a> {
    /// A file, or one snapshot of a lake.
    pub store: &'a Store,
    pub schema: &'a str,
    /// DuckDB's threads; `None` is one per core.
    pub threads: Option<usize>,
    /// Folder for data that exceeds memory.
    pub spill: &'a Path,
    /// Returns whether the export is being canceled; the check may then stop early.
    pub is_cancelled: &'a (dyn Fn() -> bool + Sync),
}

/// A check supplied by the caller of an export.
pub trait Check: std::fmt::Debug + Send + Sync {
    /// The name of the check in plans.
    fn name(&self) -> &'static str;

    /// Returns a digest that changes whenever the checked conditions do.
    fn digest(&self) -> String;

    /// Checks the data. Failed audits of severity `error` refuse the export.
    ///
    /// # Errors
    /// The operating system's, when the check cannot start.
    fn run(&self, candidate: &Candidate<'_>) -> io::Result<Vec<Audit>>;
}
