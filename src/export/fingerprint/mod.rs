//! By what a relation's content is recognised without reading its values: the next export copies only what has changed.
//!
//! A table's fingerprint is made of how it is stored: the outline of its segments ([`segments`]), the bytes of their blocks ([`blocks`]) and
//! which of its rows are alive. A view's is made of the text of every view and macro below it and the fingerprints of every table below
//! it ([`lineage`]). What cannot be recognised so, because it may be another time of day or lies in the memory of this process alone, has
//! none and is always copied.
//!
//! The checksum that DuckDB stores with a block does not do: it is the same when two eight-byte values in the block change places, and
//! when a pair of equal values is replaced by another pair. So the blocks themselves are read, and what is hashed is their bytes.

pub(super) mod blocks;
pub(super) mod lineage;
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

use xxhash_rust::xxh3::xxh3_128;

use self::{
    blocks::{Blocks, Layout},
    lineage::{Below, Lineage},
    segments::Outline,
};
use super::{
    ExportError, Job,
    beside::side_by_side,
    engine::Engine,
    plan::{Kind, Plan, TablePlan},
};

/// Changes whenever a fingerprint is made in another way, so that those of an older materia are not taken for ours: a part of the recipe.
pub(super) const MADE: u32 = 2;

/// What a relation's content is recognised by, or why it cannot be.
pub(super) type Fingerprint = Result<String, String>;

/// A table by its schema and name, as they are spelled.
type TableName = (String, String);

/// The fingerprints of the plan's relations, in its order. `lakehouse` is the file that is attached.
pub(super) fn all(engine: &Engine, plan: &Plan, lakehouse: &File, job: &Job) -> Result<Vec<Fingerprint>, ExportError> {
    let Ok(Some(layout)) = Layout::read(lakehouse) else {
        return Ok(nothing_known(plan, "its file is laid out in a way that this materia does not know"));
    };
    let lineage = Lineage::of(engine, &plan.catalog)?;
    let mut below = Vec::with_capacity(plan.tables.len());
    for table in &plan.tables {
        below.push(lineage.below(&table.origin, table)?);
    }
    let wanted: BTreeSet<&TableName> = below.iter().flatten().flat_map(|below| &below.tables).collect();
    let wanted = wanted.into_iter().map(|name| (name, lineage.declared(name))).collect();
    let mut stored = Stored::look(engine, plan, lakehouse, layout, wanted, job)?;
    let ids: Vec<_> = stored.outlines.values().flatten().flat_map(Outline::blocks).collect();
    let hashed = stored.blocks.add(lakehouse, layout, ids.into_iter(), blocks::threads(&job.limits), &job.cancel);
    match hashed {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(ExportError::Interrupted),
        // What is wrong with the file is told best by DuckDB, when it copies.
        Err(error) => return Ok(nothing_known(plan, &format!("its blocks cannot be read: {error}"))),
        Ok(()) => {}
    }
    let Stored { outlines, blocks } = stored;
    let tables: BTreeMap<_, _> =
        outlines.into_iter().map(|(name, outline)| (name, outline.and_then(|outline| outline.digest(&blocks)))).collect();
    let of = |(table, below): (&TablePlan, &Result<Below, String>)| {
        let below = below.as_ref().map_err(Clone::clone)?;
        let mut text = Text::new();
        text.add(&described(table));
        below.texts.iter().for_each(|below| text.add(below));
        for name in &below.tables {
            text.add(&format!("{name:?}"));
            match tables.get(name) {
                Some(Ok(digest)) => text.add(digest),
                Some(Err(why)) => return Err(why.clone()),
                None => return Err(format!("{}.{} was not looked at", name.0, name.1)),
            }
        }
        Ok(text.digest())
    };
    Ok(plan.tables.iter().zip(&below).map(of).collect())
}

/// How tables are stored, and some of their blocks.
#[derive(Default)]
struct Stored<'a> {
    outlines: BTreeMap<&'a TableName, Result<Outline, String>>,
    blocks: Blocks,
}

impl<'a> Stored<'a> {
    /// Looks at these tables, each with its statement, on two threads: DuckDB uses one for each table, and for a large one it takes as long
    /// as for all others. Whoever is done first reads blocks until the other one is.
    fn look(
        engine: &Engine,
        plan: &Plan,
        lakehouse: &File,
        layout: Layout,
        tables: Vec<(&'a TableName, &str)>,
        job: &Job,
    ) -> Result<Self, ExportError> {
        let (next, looking) = (Mutex::new(tables.into_iter()), AtomicUsize::new(2));
        let work = |engine: &Engine| {
            let mut stored = Self::default();
            while let Some((name, declared)) = take(&next) {
                stored.outlines.insert(name, segments::outline(engine, &plan.catalog, name, declared)?);
            }
            if looking.fetch_sub(1, Ordering::SeqCst) == 2 {
                let ids: Vec<_> = stored.outlines.values().flatten().flat_map(Outline::blocks).collect();
                // A block that cannot be read is tried again, and told, when all others are.
                let _ = stored.blocks.add(lakehouse, layout, ids.into_iter(), 1, &job.cancel);
            }
            Ok(stored)
        };
        let (work, beside) = (&work, engine.beside()?);
        let (other, own): (Result<Self, ExportError>, _) = side_by_side(move || work(&beside), || work(engine));
        let (mut stored, other) = (own?, other?);
        stored.outlines.extend(other.outlines);
        stored.blocks.merge(other.blocks);
        Ok(stored)
    }
}

fn take<T>(from: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    from.lock().unwrap_or_else(PoisonError::into_inner).next()
}

fn nothing_known(plan: &Plan, why: &str) -> Vec<Fingerprint> {
    vec![Err(why.to_owned()); plan.tables.len()]
}

/// Everything about an exported table that does not come from its rows.
fn described(table: &TablePlan) -> String {
    let kind = if table.kind == Kind::View { "view" } else { "table" };
    format!("{kind} {:?} {:?} {:?}", table.comment, table.columns, table.order_by)
}

/// Pieces of text that cannot run into one another.
pub(super) struct Text(String);

impl Text {
    pub(super) fn new() -> Self {
        Self(String::new())
    }

    pub(super) fn add(&mut self, piece: &str) {
        self.0.push_str(&piece.len().to_string());
        self.0.push(':');
        self.0.push_str(piece);
    }

    pub(super) fn digest(&self) -> String {
        format!("{:032x}", xxh3_128(self.0.as_bytes()))
    }
}
