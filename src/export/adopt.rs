//! What was served before: compared with what is about to be, and never lost.

use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use jiff::{SignedDuration, Timestamp};

use super::{
    Cancel, ExportError, Limits, Manifest, Record, RolledAway, TableManifest,
    engine::Engine,
    generations, header,
    plan::{self, Kind, STAGED},
    publish::{link_or_copy, make_folder, write_manifest},
    reuse,
    watch::Watch,
};
use crate::{
    sql,
    target::{GenerationId, Served, Target},
};

/// What was served last.
pub(super) struct Previous {
    /// The generation that stands at the served path.
    pub(super) served: Option<GenerationId>,
    /// The manifest of it; where the served file is gone or damaged, the last good generation's, which the next one is held against.
    pub(super) manifest: Option<Manifest>,
    /// Contents that were rolled away from, which are not published.
    pub(super) withheld: Vec<RolledAway>,
}

impl Previous {
    /// The manifest of what stands at the served path.
    pub(super) fn served(&self) -> Option<&Manifest> {
        self.manifest.as_ref().filter(|manifest| self.served.as_ref() == Some(&manifest.id))
    }
}

/// What was served last. A served file that materia did not publish is kept as a generation first.
pub(super) fn previous(
    target: &Target,
    schema: &str,
    cancel: &Cancel,
    record: &Record,
    watch: &mut dyn Watch,
) -> Result<Previous, ExportError> {
    let served = match generations::served(target)? {
        Served::Generation(id) => {
            let served = complete(target, id, schema, cancel, watch)?;
            if let Some(manifest) = served.as_ref().and_then(|id| super::manifest(target, id)) {
                reuse::restore_times(target, &manifest, cancel, watch)?;
            }
            served
        }
        Served::Missing => None,
        Served::Foreign => adopt(target, schema, cancel, record, watch)?,
    };
    let id = match &served {
        Some(id) => Some(id.clone()),
        None => generations::ids(target)?.pop(),
    };
    Ok(Previous { served, manifest: id.and_then(|id| super::manifest(target, &id)), withheld: Vec::new() })
}

/// Keeps a foreign served file as a generation of its own, so that it can be brought back.
fn adopt(
    target: &Target,
    schema: &str,
    cancel: &Cancel,
    record: &Record,
    watch: &mut dyn Watch,
) -> Result<Option<GenerationId>, ExportError> {
    let path = target.served_path();
    if !is_duckdb(path) {
        if generations::ids(target)?.is_empty() {
            let why = "what is there now is not a DuckDB database, and materia did not put it there; move it away or name another file";
            return Err(ExportError::Target { path: path.to_path_buf(), why: why.to_owned() });
        }
        watch.notice("the served file is damaged and will be replaced");
        return Ok(None);
    }
    make_folder(target)?;
    let id = id_of_age(target, record).map_err(|source| ExportError::io("look at", path, source))?;
    let kept = target.generation(&id);
    link_or_copy(path, &kept).map_err(|source| ExportError::io("keep the served file as", &kept, source))?;
    complete(target, id, schema, cancel, watch)
}

/// Sees to it that the served generation has a manifest: without one it could not be brought back. A killed exporter may have kept a
/// foreign file and not yet described it.
fn complete(
    target: &Target,
    id: GenerationId,
    schema: &str,
    cancel: &Cancel,
    watch: &mut dyn Watch,
) -> Result<Option<GenerationId>, ExportError> {
    if super::manifest(target, &id).is_some() {
        return Ok(Some(id));
    }
    match inspect(target, &id, schema, cancel).and_then(|manifest| write_manifest(target, &manifest)) {
        Ok(()) => {
            watch.notice(&format!("the file that was served is kept as generation {id}"));
            Ok(Some(id))
        }
        Err(error) => {
            let _ = generations::discard(target, &id);
            let ExportError::Engine { source, .. } = error else { return Err(error) };
            watch.notice(&format!("the served file cannot be read and will be replaced: {source}"));
            Ok(None)
        }
    }
}

/// The time the foreign file was last changed; in any case later than what is kept, or it would be pruned before older ones, and
/// earlier than the attempt that finds it.
fn id_of_age(target: &Target, record: &Record) -> io::Result<GenerationId> {
    let modified = Timestamp::try_from(fs::metadata(target.served_path())?.modified()?).unwrap_or(Timestamp::UNIX_EPOCH);
    let latest = record.id.time().unwrap_or(record.started_at) - SignedDuration::from_millis(1);
    Ok(GenerationId::after(modified.min(latest), target.generation_ids()?.last()))
}

fn is_duckdb(path: &Path) -> bool {
    let mut start = [0_u8; 12];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && header::is_duckdb(&start)
}

/// Writes the manifest that a generation lacks by looking into it: at every value, since counting rows reads none, and half a file
/// can still be counted.
fn inspect(target: &Target, id: &GenerationId, schema: &str, cancel: &Cancel) -> Result<Manifest, ExportError> {
    let path = target.generation(id);
    let engine = Engine::alone(&path, &Limits::default(), &target.work().join("spill"), cancel)?;
    let mut tables = Vec::new();
    for (name, columns) in plan::columns(&engine, STAGED, schema)? {
        let read_all = format!("SELECT count(*), max(hash(COLUMNS(*))) FROM {}", sql::path(&[schema, &name]));
        let rows = engine.rows(&read_all, &[], |row| row.get(0))?.first().copied().unwrap_or_default();
        tables.push(TableManifest { name, kind: Kind::Table, rows, comment: None, columns, fingerprint: None, content: None });
    }
    Ok(Manifest {
        id: id.clone(),
        exported_at: id.time().unwrap_or_default(),
        lakehouse: None,
        schema: schema.to_owned(),
        sources: Vec::new(),
        time_zone: None,
        storage_version: None,
        bytes: fs::metadata(&path).map_or(0, |metadata| metadata.len()),
        tables,
        audits: super::Verdict::default(),
        revisions: Vec::new(),
        forced: false,
        materia: env!("CARGO_PKG_VERSION").to_owned(),
        basis: None,
    })
}

/// Opens a kept generation and compares it with its manifest: only a whole one is brought back.
pub(super) fn verify(target: &Target, id: &GenerationId, cancel: &Cancel) -> Result<Manifest, ExportError> {
    let bad = |why: String| ExportError::BadGeneration { id: id.clone(), why };
    let manifest = super::manifest(target, id).ok_or_else(|| bad("its manifest is missing or unreadable".to_owned()))?;
    let found = inspect(target, id, &manifest.schema, cancel).map_err(|error| match error {
        ExportError::Engine { source, .. } => bad(format!("it cannot be read: {source}")),
        other => other,
    })?;
    for table in &manifest.tables {
        match found.tables.iter().find(|found| found.name == table.name) {
            None => return Err(bad(format!("{} is not in it any more", table.name))),
            Some(found) if found.rows != table.rows => {
                return Err(bad(format!("{} has {} rows, {} when it was published", table.name, found.rows, table.rows)));
            }
            Some(_) => {}
        }
    }
    Ok(manifest)
}
