//! The data served before the export, with which the export is compared and which must never be
//! lost.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    CancellationToken, ExportError, ResourceLimits,
    engine::Engine,
    header, incremental,
    plan::{self, STAGED_CATALOG},
    progress::Progress,
    publish::link_or_copy,
    seal,
};
use crate::{
    sql,
    store::{
        AttemptRecord, AuditReport, FileStore, GenerationId, Manifest, RelationKind,
        RolledBackContent, ServedState, TableManifest, remove_generation,
    },
};

/// The previously served data.
pub(super) struct Previous {
    /// The generation at the served path.
    pub(super) served: Option<GenerationId>,
    /// Its manifest; if the served file is missing or damaged, the manifest of the last good
    /// generation, with which the next one is compared.
    pub(super) manifest: Option<Manifest>,
    /// Contents that were rolled back, which are not published.
    pub(super) withheld: Vec<RolledBackContent>,
}

impl Previous {
    /// Returns the manifest of the generation at the served path.
    pub(super) fn served(&self) -> Option<&Manifest> {
        self.manifest.as_ref().filter(|manifest| self.served.as_ref() == Some(&manifest.id))
    }
}

/// Returns the previously served data. A served file that materia did not publish is first retained
/// as a generation.
pub(super) fn previous(
    target: &FileStore,
    schema: &str,
    cancel: &CancellationToken,
    record: &AttemptRecord,
    watch: &mut dyn Progress,
) -> Result<Previous, ExportError> {
    let served = match target
        .served()
        .map_err(|source| ExportError::io("look at", target.served_path(), source))?
    {
        ServedState::Generation(id) => {
            let served = ensure_manifest(target, id, schema, cancel, watch)?;
            if let Some(manifest) = served.as_ref().and_then(|id| target.manifest(id)) {
                incremental::restore_times(target, &manifest, cancel, watch)?;
            }
            served
        }
        ServedState::Missing => None,
        ServedState::Foreign => import_foreign(target, schema, cancel, record, watch)?,
    };
    let id = match &served {
        Some(id) => Some(id.clone()),
        None => target
            .generation_ids()
            .map_err(|source| ExportError::io("read", &target.generations_dir(), source))?
            .pop(),
    };
    Ok(Previous { served, manifest: id.and_then(|id| target.manifest(&id)), withheld: Vec::new() })
}

/// Retains a foreign served file as a generation, so that it can be restored.
fn import_foreign(
    target: &FileStore,
    schema: &str,
    cancel: &CancellationToken,
    record: &AttemptRecord,
    watch: &mut dyn Progress,
) -> Result<Option<GenerationId>, ExportError> {
    let path = target.served_path();
    if !is_duckdb(path) {
        if target
            .generation_ids()
            .map_err(|source| ExportError::io("read", &target.generations_dir(), source))?
            .is_empty()
        {
            let why = "it exists, but is not a DuckDB database and was not written by materia; move it, or name another file";
            return Err(ExportError::Target { path: path.to_path_buf(), why: why.to_owned() });
        }
        watch.notice("the served file is damaged and will be replaced");
        return Ok(None);
    }
    target.create_generations_dir()?;
    let id =
        backdated_id(target, record).map_err(|source| ExportError::io("look at", path, source))?;
    let kept = target.generation_path(&id);
    link_or_copy(path, &kept)
        .map_err(|source| ExportError::io("keep the served file as", &kept, source))?;
    ensure_manifest(target, id, schema, cancel, watch)
}

/// Ensures that the served generation has a manifest, without which it cannot be restored: an
/// exporter may have been killed after it retained a foreign file and before it wrote the manifest.
fn ensure_manifest(
    target: &FileStore,
    id: GenerationId,
    schema: &str,
    cancel: &CancellationToken,
    watch: &mut dyn Progress,
) -> Result<Option<GenerationId>, ExportError> {
    if target.manifest(&id).is_some() {
        return Ok(Some(id));
    }
    match inspect(target, &id, schema, cancel)
        .and_then(|manifest| Ok(target.write_manifest(&manifest)?))
    {
        Ok(()) => {
            watch.notice(&format!("the file that was served is retained as generation {id}"));
            Ok(Some(id))
        }
        Err(error) => {
            let _ = remove_generation(target, &id);
            let ExportError::Engine { source, .. } = error else { return Err(error) };
            watch.notice(&format!("the served file cannot be read and will be replaced: {source}"));
            Ok(None)
        }
    }
}

/// Returns an id from the foreign file's modification time, moved after every retained generation,
/// so that older ones are pruned first, and before the attempt that found it.
fn backdated_id(target: &FileStore, record: &AttemptRecord) -> io::Result<GenerationId> {
    let modified = Timestamp::try_from(fs::metadata(target.served_path())?.modified()?)
        .unwrap_or(Timestamp::UNIX_EPOCH);
    let latest = record.id.time().unwrap_or(record.started_at) - SignedDuration::from_millis(1);
    Ok(GenerationId::after(modified.min(latest), target.generation_ids()?.last()))
}

fn is_duckdb(path: &Path) -> bool {
    let mut start = [0_u8; 12];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && header::is_duckdb(&start)
}

/// Writes a missing manifest by reading every value: counting rows reads none, so it would succeed
/// on a truncated file.
fn inspect(
    target: &FileStore,
    id: &GenerationId,
    schema: &str,
    cancel: &CancellationToken,
) -> Result<Manifest, ExportError> {
    let path = target.generation_path(id);
    let engine = Engine::open_isolated(
        &path,
        &ResourceLimits::default(),
        &target.work().join("spill"),
        cancel,
    )?;
    let mut tables = Vec::new();
    for (name, columns) in plan::columns(&engine, STAGED_CATALOG, schema)? {
        let read_all =
            format!("SELECT count(*), max(hash(COLUMNS(*))) FROM {}", sql::path(&[schema, &name]));
        let rows =
            engine.rows(&read_all, &[], |row| row.get(0))?.first().copied().unwrap_or_default();
        tables.push(TableManifest {
            name,
            kind: RelationKind::Table,
            rows,
            comment: None,
            columns,
            fingerprint: None,
            content: None,
            row_groups: Vec::new(),
            stored_row_groups: Vec::new(),
            values: None,
        });
    }
    Ok(Manifest {
        id: id.clone(),
        exported_at: id.time().unwrap_or_default(),
        lakehouse: None,
        publisher: None,
        schema: schema.to_owned(),
        sources: Vec::new(),
        time_zone: None,
        storage_version: None,
        bytes: fs::metadata(&path).map_or(0, |metadata| metadata.len()),
        tables,
        audits: AuditReport::default(),
        revisions: Vec::new(),
        forced: false,
        materia: env!("CARGO_PKG_VERSION").to_owned(),
        basis: None,
    })
}

/// Opens a retained generation and compares it with its manifest, since only complete ones are
/// restored.
pub(super) fn verify_generation(
    target: &FileStore,
    id: &GenerationId,
    cancel: &CancellationToken,
) -> Result<Manifest, ExportError> {
    let bad = |why: String| ExportError::BadGeneration { id: id.clone(), why };
    let manifest = target
        .manifest(id)
        .ok_or_else(|| bad("its manifest is missing or unreadable".to_owned()))?;
    let found = inspect(target, id, &manifest.schema, cancel).map_err(|error| match error {
        ExportError::Engine { source, .. } => bad(format!("it cannot be read: {source}")),
        other => other,
    })?;
    for table in &manifest.tables {
        match found.tables.iter().find(|found| found.name == table.name) {
            None => return Err(bad(format!("{} is not in it any more", table.name))),
            Some(found) if found.rows != table.rows => {
                return Err(bad(format!(
                    "{} has {} rows, {} when it was published",
                    table.name, found.rows, table.rows
                )));
            }
            Some(_) => {}
        }
    }
    if let Some(basis) = &manifest.basis
        && seal::hash(&target.generation_path(id), &ResourceLimits::default(), cancel)?
            != basis.content
    {
        return Err(bad("its bytes are not those that were published".to_owned()));
    }
    Ok(manifest)
}
