//! Fingerprints identify a relation's content without reading its values, so that the next export
//! copies only what has changed.
//!
//! A table's fingerprint derives from its storage: the outline of its segments ([`segments`]), the
//! bytes of their blocks ([`blocks`]) and which of its rows are alive. A view's derives from the
//! text of every view and macro below it and the fingerprints of every table below it
//! ([`lineage`]). A relation that cannot be identified this way, because it depends on the time of
//! day or exists only in this process' memory, has no fingerprint and is always copied.
//!
//! The checksum that DuckDB stores with a block is not sufficient: it is the same when two
//! eight-byte values in the block change places, and when a pair of equal values is replaced by
//! another pair. So the blocks themselves are read, and their bytes are hashed.

pub(super) mod blocks;
pub(super) mod lineage;
pub(super) mod row_source;
mod segments;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use self::{
    blocks::{BlockLayout, Blocks},
    lineage::{Dependencies, Lineage},
    segments::StorageLayout,
};
use super::{
    ExportError, ExportJob,
    concurrent::join,
    engine::Engine,
    plan::{ExportPlan, TablePlan},
};
use crate::digest::DigestBuilder;
use crate::store::RelationKind;

/// Version of the fingerprint format, part of the recipe: increment it whenever fingerprints are
/// computed differently, so that an older materia's are not reused.
pub(super) const FORMAT_VERSION: u32 = 4;

/// A relation's fingerprint, or why it has none.
pub(super) type Fingerprint = Result<ContentFingerprint, String>;

/// Identifies the content of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ContentFingerprint {
    pub(super) digest: String,
    /// Fingerprints of the full row groups at the start of the only table below it; empty if there
    /// are several tables or the first row group is not full. They identify the same rows of the
    /// relation if it passes on the rows of that table as they are ([`row_source`]).
    pub(super) row_groups: Vec<String>,
}

/// A table's schema and name, as spelled in the lakehouse.
type TableName = (String, String);

/// Returns the fingerprints of the plan's relations, in its order. `lakehouse` is the attached
/// file.
pub(super) fn all(
    engine: &Engine,
    plan: &ExportPlan,
    lakehouse: &File,
    job: &ExportJob,
) -> Result<Vec<Fingerprint>, ExportError> {
    let Ok(Some(layout)) = BlockLayout::read(lakehouse) else {
        return Ok(none_fingerprinted(
            plan,
            "its file is laid out in a way that this materia does not know",
        ));
    };
    let lineage = Lineage::of(engine, &plan.catalog)?;
    let mut below = Vec::with_capacity(plan.tables.len());
    for table in &plan.tables {
        below.push(lineage.dependencies(&table.origin, table)?);
    }
    let wanted: BTreeSet<&TableName> =
        below.iter().flatten().flat_map(|below| &below.tables).collect();
    let wanted = wanted.into_iter().map(|name| (name, lineage.declared(name))).collect();
    let mut stored = Stored::find_layout(engine, plan, lakehouse, layout, wanted, job)?;
    let ids: Vec<_> = stored.outlines.values().flatten().flat_map(StorageLayout::blocks).collect();
    let hashed = stored.blocks.add(
        lakehouse,
        layout,
        ids.into_iter(),
        blocks::threads(&job.limits),
        &job.cancel,
    );
    match hashed {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            return Err(ExportError::Interrupted);
        }
        // DuckDB's own error, raised when it copies, describes a damaged file best.
        Err(error) => {
            return Ok(none_fingerprinted(plan, &format!("its blocks cannot be read: {error}")));
        }
        Ok(()) => {}
    }
    let Stored { outlines, blocks } = stored;
    let digests = |outline: StorageLayout| {
        Ok((outline.digest(&blocks)?, outline.row_group_digests(&blocks)?))
    };
    let tables: BTreeMap<_, _> =
        outlines.into_iter().map(|(name, outline)| (name, outline.and_then(digests))).collect();
    let of = |(table, below): (&TablePlan, &Result<Dependencies, String>)| {
        let below = below.as_ref().map_err(Clone::clone)?;
        let mut text = DigestBuilder::new();
        text.add(&definition_digest(table));
        for below in &below.texts {
            text.add(below);
        }
        let mut row_groups = Vec::new();
        for name in &below.tables {
            text.add(&name.0).add(&name.1);
            match tables.get(name) {
                Some(Ok((digest, of_row_groups))) => {
                    if below.tables.len() == 1 {
                        let relation = text.digest();
                        let of =
                            |row_group| DigestBuilder::new().add(&relation).add(row_group).digest();
                        row_groups = of_row_groups.iter().map(|row_group| of(row_group)).collect();
                    }
                    text.add(digest);
                }
                Some(Err(why)) => return Err(why.clone()),
                None => return Err(format!("{}.{} was not inspected", name.0, name.1)),
            }
        }
        Ok(ContentFingerprint { digest: text.digest(), row_groups })
    };
    Ok(plan.tables.iter().zip(&below).map(of).collect())
}

/// The storage layout of tables, and hashes of some of their blocks.
#[derive(Default)]
struct Stored<'a> {
    outlines: BTreeMap<&'a TableName, Result<StorageLayout, String>>,
    blocks: Blocks,
}

impl<'a> Stored<'a> {
    /// Reads the layout of these tables, each with its statement, on two threads: DuckDB uses one
    /// thread for it, and a large table takes as long as all others together. The thread that
    /// finishes first hashes blocks until the other is done.
    fn find_layout(
        engine: &Engine,
        plan: &ExportPlan,
        lakehouse: &File,
        layout: BlockLayout,
        tables: Vec<(&'a TableName, &str)>,
        job: &ExportJob,
    ) -> Result<Self, ExportError> {
        let (next, looking) = (Mutex::new(tables.into_iter()), AtomicUsize::new(2));
        let work = |engine: &Engine| {
            let mut stored = Self::default();
            loop {
                let tables = take(&next);
                if tables.is_empty() {
                    break;
                }
                let layouts = segments::read_storage_layouts(engine, &plan.catalog, &tables)?;
                stored.outlines.extend(tables.into_iter().map(|(name, _)| name).zip(layouts));
            }
            if looking.fetch_sub(1, Ordering::SeqCst) == 2 {
                let ids: Vec<_> =
                    stored.outlines.values().flatten().flat_map(StorageLayout::blocks).collect();
                // A block that cannot be read is retried with the others below, and its error is
                // reported there.
                let _ = stored.blocks.add(lakehouse, layout, ids.into_iter(), 1, &job.cancel);
            }
            Ok(stored)
        };
        let (work, second) = (&work, engine.try_clone()?);
        let (other, own): (Result<Self, ExportError>, _) =
            join(move || work(&second), || work(engine));
        let (mut stored, other) = (own?, other?);
        stored.outlines.extend(other.outlines);
        stored.blocks.merge(other.blocks);
        Ok(stored)
    }
}

/// Takes as many tables as are read together: fewer towards the end, so that both threads finish at
/// about the same time.
fn take<T>(from: &Mutex<impl ExactSizeIterator<Item = T>>) -> Vec<T> {
    let mut from = from.lock().unwrap_or_else(PoisonError::into_inner);
    let number = from.len().div_ceil(4).min(segments::TABLES_PER_QUERY);
    from.by_ref().take(number).collect()
}

fn none_fingerprinted(plan: &ExportPlan, why: &str) -> Vec<Fingerprint> {
    vec![Err(why.to_owned()); plan.tables.len()]
}

/// Returns a digest of an exported table's definition: everything that does not come from its rows.
fn definition_digest(table: &TablePlan) -> String {
    let kind = if table.kind == RelationKind::View { "view" } else { "table" };
    let mut text = DigestBuilder::new();
    text.add(kind).add_json(&table.comment).add_json(&table.columns).add_json(&table.order_by);
    text.digest()
}
