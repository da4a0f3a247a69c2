//! Determines how an export revises served values: each table with a key is compared with the
//! previously served generation.
//!
//! Tables of any size are compared in bounded time and memory: rows are hashed into buckets on both
//! sides, and only buckets that differ are joined, at most [`compare::MAX_CELLS`] values of them.
//! Row groups whose digests are the same in both manifests are left out of it.

mod audit;
mod baseline;
mod compare;
mod key;
mod shift;

pub(super) use self::{
    baseline::{Baseline, PREVIOUS, SERVED},
    compare::{ChangedRows, Compared, RevisionThresholds, Sides, compare},
};
pub(super) use crate::store::{ColumnRevision, Revision, format_percent, share};

/// The name of the audit.
pub(super) const NAME: &str = Revision::AUDIT;

/// Maximum number of revised values, and of columns with figures, that a manifest records per
/// table.
const MAX_LARGEST: usize = 10;
const MAX_COLUMNS: usize = 50;
