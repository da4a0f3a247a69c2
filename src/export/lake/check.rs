//! Verifies a lake: that every data file of the retained generations is present and undamaged and,
//! on request, that every row matches.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use serde::Serialize;

use super::writer;
use crate::{
    export::{
        CancellationToken, ExportError, ResourceLimits, engine::Engine, error::check_cancelled,
        scratch::ScratchDir,
    },
    humanize, sql,
    store::{
        GenerationId, Store,
        lake::{DamagedFile, DataFile, GenerationSnapshot, Lake, LakeError, read_footer},
    },
};

/// How thoroughly a lake is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckDepth {
    /// Checks every file's size and footer.
    Footers,
    /// Also reads every row and compares it with the manifest.
    Rows,
}

/// The result of verifying a lake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LakeCheck {
    /// The number of data files that were read.
    pub files: usize,
    pub bytes: u64,
    pub served: Option<GenerationId>,
    /// The verified generations, newest first.
    pub generations: Vec<GenerationId>,
    /// The number of tables whose rows were compared with the manifest, summed over all
    /// generations.
    pub tables_read: usize,
    pub damage: Vec<LakeDamage>,
}

/// A data file or table that is not as published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LakeDamage {
    pub table: String,
    /// The data file; absent if the whole table differs.
    pub path: Option<String>,
    pub problem: String,
    /// The generations that need it, newest first.
    pub generations: Vec<GenerationId>,
}

/// Verifies every retained generation of a lake.
///
/// # Errors
/// The target is not a lake, or its catalog or storage cannot be reached.
pub fn check_lake(
    target: &Store,
    depth: CheckDepth,
    limits: &ResourceLimits,
    cancel: &CancellationToken,
) -> Result<LakeCheck, ExportError> {
    let Some(lake) = target.lake() else {
        return Err(ExportError::Target {
            path: target.display_name(),
            why: "it is a file, not a lake; `materia status` checks files".to_owned(),
        });
    };
    let commits = lake.commits()?;
    let served = commits.last().map(|commit| commit.manifest.id.clone());
    let newest: BTreeMap<_, _> =
        commits.into_iter().map(|commit| (commit.manifest.id.clone(), commit)).collect();
    let mut needed: BTreeMap<String, (DataFile, Vec<GenerationId>)> = BTreeMap::new();
    for (id, commit) in newest.iter().rev() {
        for file in lake.data_files(commit.snapshot, &commit.manifest.schema)? {
            needed.entry(file.path.clone()).or_insert((file, Vec::new())).1.push(id.clone());
        }
    }
    let mut check = LakeCheck {
        files: needed.len(),
        bytes: needed.values().map(|(file, _)| file.bytes).sum(),
        served,
        generations: newest.keys().rev().cloned().collect(),
        tables_read: 0,
        damage: check_files(lake, &needed, cancel)?,
    };
    if depth == CheckDepth::Rows {
        let work = ScratchDir::begin(target.local().work())?;
        for commit in newest.values().rev() {
            check_rows(lake, commit, &mut check, (limits, &work.spill(), cancel))?;
        }
    }
    Ok(check)
}

fn check_files(
    lake: &Lake,
    needed: &BTreeMap<String, (DataFile, Vec<GenerationId>)>,
    cancel: &CancellationToken,
) -> Result<Vec<LakeDamage>, ExportError> {
    let files: Vec<_> = needed.values().map(|(file, _)| file.clone()).collect();
    let mut damaged = lake.find_damaged_files(&files)?;
    let listed: BTreeSet<_> = damaged.iter().map(|file| file.path.clone()).collect();
    let connection = lake.connect_storage(files.iter().any(DataFile::is_remote))?;
    for file in files.iter().filter(|file| !listed.contains(&file.path)) {
        check_cancelled(cancel)?;
        if let Err(problem) = read_footer(&connection, file) {
            damaged.push(DamagedFile::new(file, problem));
        }
    }
    let with_generations = |DamagedFile { table, path, problem, .. }| LakeDamage {
        table,
        generations: needed.get(&path).map(|(_, ids)| ids.clone()).unwrap_or_default(),
        path: Some(path),
        problem,
    };
    Ok(damaged.into_iter().map(with_generations).collect())
}

/// Reads every row of a generation's tables, except those with damaged files.
fn check_rows(
    lake: &Lake,
    commit: &GenerationSnapshot,
    check: &mut LakeCheck,
    (limits, spill, cancel): (&ResourceLimits, &Path, &CancellationToken),
) -> Result<(), ExportError> {
    let manifest = &commit.manifest;
    let engine = Engine::start(limits, spill, cancel)?;
    let frozen = lake.freeze(commit.snapshot, &manifest.schema)?;
    engine.attach_snapshot(lake, &frozen, writer::OLD_CATALOG)?;
    let known: BTreeSet<_> = check
        .damage
        .iter()
        .filter(|damage| damage.generations.contains(&manifest.id))
        .map(|damage| damage.table.clone())
        .collect();
    for table in manifest.tables.iter().filter(|table| !known.contains(&table.name)) {
        check_cancelled(cancel)?;
        check.tables_read += 1;
        let from = sql::path(&[writer::OLD_CATALOG, &manifest.schema, &table.name]);
        let problem = match writer::digest(&engine, &from) {
            Err(ExportError::Engine { source, .. }) => {
                Some(format!("cannot be read: {}", LakeError::reason(&source)))
            }
            Err(error) => return Err(error),
            Ok(digest) if digest.0 != table.rows => Some(format!(
                "holds {}, {} when it was published",
                humanize::rows(digest.0),
                humanize::count(table.rows)
            )),
            Ok(digest) => {
                let now = writer::recorded_digest(&engine, &digest)?;
                let before = table.values.as_deref();
                let engine_of = |text: &str| text.split(' ').next().map(str::to_owned);
                // Another version of DuckDB may use another hash function.
                let comparable = before.and_then(engine_of) == engine_of(&now);
                (comparable && before != Some(now.as_str()))
                    .then(|| "holds other values than were published".to_owned())
            }
        };
        if let Some(problem) = problem {
            check.damage.push(LakeDamage {
                table: table.name.clone(),
                path: None,
                problem,
                generations: vec![manifest.id.clone()],
            });
        }
    }
    Ok(())
}
