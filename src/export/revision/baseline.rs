//! What a staged file is compared with: the generation that is served, beside it in the same engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::super::{
    ExportError, Job, Manifest,
    engine::Engine,
    generations,
    lakehouse::COMPANIONS,
    plan::{self, Column, Plan, STAGED},
};
use crate::{files, settings::SqlAudit, sql};

/// The catalog of the served generation.
pub(in super::super) const SERVED: &str = "_served";
/// The name under which SQL audits see it.
pub(in super::super) const PREVIOUS: &str = "previous";

/// Columns by table.
pub(in super::super) type Columns = BTreeMap<String, Vec<Column>>;

/// What is served now.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Baseline<'a> {
    /// What is known about it.
    pub(in super::super) manifest: Option<&'a Manifest>,
    /// A file that holds the same.
    pub(in super::super) file: Option<PathBuf>,
    /// It is the file that is audited.
    pub(in super::super) is_audited: bool,
    /// Tables that hold the same values as in it.
    pub(in super::super) reused: BTreeSet<String>,
}

impl<'a> Baseline<'a> {
    /// Finds the file with the content of `served`. What a lake serves is also in the file that it was filled from, under another id.
    pub(in super::super) fn find(job: &Job, served: Option<&'a Manifest>, kept: Option<&Manifest>) -> Self {
        let is_same = |kept: &Manifest, served: &Manifest| {
            kept.id == served.id || (kept.exported_at == served.exported_at && kept.schema == served.schema && kept.tables == served.tables)
        };
        let file = job.target.file();
        let older = || generations::list(&file).unwrap_or_default().into_iter().filter_map(|generation| generation.manifest);
        let kept = served.and_then(|served| kept.cloned().into_iter().chain(older()).find(|kept| is_same(kept, served)));
        let kept = kept.map(|kept| file.generation(&kept.id));
        Self { manifest: served, file: kept.filter(|file| file.exists() && !has_log(file)), ..Self::default() }
    }

    /// The served generation is what is audited once more.
    pub(in super::super) fn audited(served: Option<&'a Manifest>) -> Self {
        Self { manifest: served, is_audited: true, ..Self::default() }
    }

    /// The catalog that holds it, where one does.
    pub(in super::super) fn catalog(&self) -> Option<&'static str> {
        if self.is_audited { Some(STAGED) } else { self.file.as_ref().map(|_| SERVED) }
    }

    /// Its schema: another one than is staged where it was renamed.
    pub(in super::super) fn schema<'b>(&'b self, plan: &'b Plan) -> &'b str {
        self.manifest.filter(|_| !self.is_audited).map_or(plan.schema.as_str(), |manifest| &manifest.schema)
    }

    /// Returns the columns of its tables.
    pub(in super::super) fn columns(&self, engine: &Engine, plan: &Plan) -> Result<Columns, ExportError> {
        self.catalog().map_or_else(|| Ok(Columns::new()), |catalog| plan::columns(engine, catalog, self.schema(plan)))
    }

    /// Makes the served tables readable as `previous.NAME`. A table that is not served has no rows there, and a column that is not has no
    /// values, so that an audit that joins them finds nothing rather than failing.
    pub(in super::super) fn offer(&self, engine: &Engine, plan: &Plan, audits: &[SqlAudit]) -> Result<(), ExportError> {
        let is_read = audits.iter().any(|audit| audit.sql.to_lowercase().contains(PREVIOUS));
        if !is_read || plan.schema.eq_ignore_ascii_case(PREVIOUS) {
            return Ok(());
        }
        let served = self.columns(engine, plan)?;
        let catalog = self.catalog().unwrap_or(STAGED);
        for (name, columns) in &served {
            let staged = plan.tables.iter().find(|table| table.name == *name);
            let new =
                staged.iter().flat_map(|table| &table.columns).filter(|column| !columns.iter().any(|known| known.name == column.name));
            let new: Vec<_> = new.map(|column| format!(", NULL::{} AS {}", column.data_type, sql::ident(&column.name))).collect();
            view(engine, name, &format!("SELECT *{} FROM {}", new.concat(), sql::path(&[catalog, self.schema(plan), name])))?;
        }
        for table in plan.tables.iter().filter(|table| !served.contains_key(&table.name)) {
            view(engine, &table.name, &format!("FROM {} WHERE false", sql::path(&[STAGED, &plan.schema, &table.name])))?;
        }
        Ok(())
    }
}

/// Whether a writer left something beside a file that opening it would apply.
fn has_log(file: &Path) -> bool {
    COMPANIONS.iter().any(|ending| files::with_suffix(file, ending).exists())
}

fn view(engine: &Engine, name: &str, query: &str) -> Result<(), ExportError> {
    engine.quick(&format!("CREATE VIEW {} AS {query}", sql::path(&[PREVIOUS, "main", name])))
}
