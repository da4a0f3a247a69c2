//! The served generation as the baseline of audits, attached to the same engine as the staged file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
};

use super::super::{
    ExportError, ExportJob,
    engine::Engine,
    plan::{self, ExportPlan, STAGED_CATALOG},
};
use crate::store::{ColumnManifest, Manifest, TableManifest};
use crate::{files, settings::SqlAudit, sql};

/// The catalog of the served generation.
pub(in super::super) const SERVED: &str = "_served";
/// The name under which SQL audits see it.
pub(in super::super) const PREVIOUS: &str = "previous";

pub(in super::super) type BaselineColumns = BTreeMap<String, Vec<ColumnManifest>>;

#[derive(Debug, Clone, Default)]
pub(in super::super) struct Baseline<'a> {
    pub(in super::super) manifest: Option<&'a Manifest>,
    /// A file with the same content.
    pub(in super::super) file: Option<PathBuf>,
    /// Whether it is the audited file itself.
    pub(in super::super) is_audited: bool,
    /// Tables with the same values in the audited file.
    pub(in super::super) reused: BTreeSet<String>,
    /// The tables of the audited file with their digests; empty if it is audited again.
    pub(in super::super) audited: &'a [TableManifest],
}

impl<'a> Baseline<'a> {
    /// Finds the file with the content of `served`. The content of a served lake is also in the
    /// local file from which it was filled, under another id.
    pub(in super::super) fn find(
        job: &ExportJob,
        served: Option<&'a Manifest>,
        kept: Option<&Manifest>,
    ) -> Self {
        let is_same = |kept: &Manifest, served: &Manifest| {
            kept.id == served.id
                || (kept.exported_at == served.exported_at
                    && kept.schema == served.schema
                    && kept.tables == served.tables)
        };
        let local = job.target.local();
        let older = || {
            local
                .list()
                .unwrap_or_default()
                .into_iter()
                .filter_map(|generation| generation.manifest)
        };
        let kept = served.and_then(|served| {
            kept.cloned().into_iter().chain(older()).find(|kept| is_same(kept, served))
        });
        let kept = kept.map(|kept| local.generation_path(&kept.id));
        Self {
            manifest: served,
            file: kept.filter(|file| file.exists() && files::wal_files(file).is_empty()),
            ..Self::default()
        }
    }

    /// Returns the baseline for auditing the served generation itself again.
    pub(in super::super) fn of_audited(served: Option<&'a Manifest>) -> Self {
        Self { manifest: served, is_audited: true, ..Self::default() }
    }

    /// Returns a table of the audited file, if its digests are known.
    pub(super) fn audited(&self, name: &str) -> Option<&'a TableManifest> {
        TableManifest::find(self.audited, name)
    }

    /// Returns the attached catalog with the baseline, if there is one.
    pub(in super::super) fn catalog(&self) -> Option<&'static str> {
        if self.is_audited { Some(STAGED_CATALOG) } else { self.file.as_ref().map(|_| SERVED) }
    }

    /// Returns the baseline's schema, which differs from the staged one if the schema was renamed.
    pub(in super::super) fn schema<'b>(&'b self, plan: &'b ExportPlan) -> &'b str {
        self.manifest
            .filter(|_| !self.is_audited)
            .map_or(plan.schema.as_str(), |manifest| &manifest.schema)
    }

    /// Returns the columns of its tables.
    pub(in super::super) fn columns(
        &self,
        engine: &Engine,
        plan: &ExportPlan,
    ) -> Result<BaselineColumns, ExportError> {
        self.catalog().map_or_else(
            || Ok(BaselineColumns::new()),
            |catalog| plan::columns(engine, catalog, self.schema(plan)),
        )
    }

    /// Makes the served tables readable as `previous.NAME`. A table that is not served is empty
    /// there, and a column that is not served is null, so that SQL audits with joins return no
    /// violations instead of failing.
    pub(in super::super) fn offer(
        &self,
        engine: &Engine,
        plan: &ExportPlan,
        audits: &[SqlAudit],
    ) -> Result<(), ExportError> {
        let is_read = audits.iter().any(|audit| audit.sql.to_lowercase().contains(PREVIOUS));
        if !is_read || plan.schema.eq_ignore_ascii_case(PREVIOUS) {
            return Ok(());
        }
        let served = self.columns(engine, plan)?;
        let catalog = self.catalog().unwrap_or(STAGED_CATALOG);
        for (name, columns) in &served {
            let staged = plan.tables.iter().find(|table| table.name == *name);
            let new = staged
                .iter()
                .flat_map(|table| &table.columns)
                .filter(|column| !columns.iter().any(|known| known.name == column.name));
            let new: Vec<_> = new
                .map(|column| {
                    format!(", NULL::{} AS {}", column.data_type, sql::ident(&column.name))
                })
                .collect();
            view(
                engine,
                name,
                &format!(
                    "SELECT *{} FROM {}",
                    new.concat(),
                    sql::path(&[catalog, self.schema(plan), name])
                ),
            )?;
        }
        for table in plan.tables.iter().filter(|table| !served.contains_key(&table.name)) {
            view(
                engine,
                &table.name,
                &format!(
                    "FROM {} WHERE false",
                    sql::path(&[STAGED_CATALOG, &plan.schema, &table.name])
                ),
            )?;
        }
        Ok(())
    }
}

fn view(engine: &Engine, name: &str, query: &str) -> Result<(), ExportError> {
    engine
        .execute_batch(&format!("CREATE VIEW {} AS {query}", sql::path(&[PREVIOUS, "main", name])))
}
