//! Manifests: metadata of a generation that is readable without opening it.

use serde::{Deserialize, Serialize};

use super::{AuditReport, GenerationId, LakehouseInfo, Publisher, Revision};

/// Metadata of one generation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub id: GenerationId,
    /// When its data was read from the lakehouse.
    pub exported_at: jiff::Timestamp,
    /// The source of the export; absent for a file that materia found already served.
    pub lakehouse: Option<LakehouseInfo>,
    /// The exporter, in a lake; absent in manifests of former versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<Publisher>,
    /// The schema of its tables.
    pub schema: String,
    /// The source schemas in the lakehouse; empty if they are the same one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// The time zone in which views were evaluated; absent in manifests of former versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The oldest DuckDB version that can read the file.
    pub storage_version: Option<String>,
    /// Size of the file in bytes.
    pub bytes: u64,
    pub tables: Vec<TableManifest>,
    /// Every audit and its result.
    #[serde(default)]
    pub audits: AuditReport,
    /// Differences to the values of the previously served generation; empty if none was compared or
    /// none differs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<Revision>,
    /// Published despite failed audits.
    #[serde(default)]
    pub forced: bool,
    /// The version of materia that wrote the manifest.
    pub materia: String,
    /// State that a later incremental export needs; absent for a file that materia found already
    /// served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<IncrementalState>,
}

/// One table of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableManifest {
    pub name: String,
    /// The kind of the relation in the lakehouse.
    pub kind: RelationKind,
    pub rows: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// In table order.
    pub columns: Vec<ColumnManifest>,
    /// Fingerprint of the source that detects unchanged content; absent for a table that is always
    /// copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Digest of the table's content; absent if its types cannot be hashed, or if an older version
    /// of materia exported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Digest of each 122,880 rows, the size of a full row group in DuckDB, in order and including
    /// the last rows, by which the next export recognizes unchanged ones; empty for smaller tables,
    /// or if an older version of materia exported the table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub row_groups: Vec<String>,
    /// Fingerprint of the storage of each full row group at the start of the lakehouse's table, by
    /// which the next export recognizes unchanged rows without reading their values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stored_row_groups: Vec<String>,
    /// Digest of the rows in any order, prefixed with the DuckDB version that computed it. Only in
    /// lakes; absent if an older version of materia published the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<String>,
}

impl TableManifest {
    /// Returns the table of this name. Exports sort tables by name; others are searched one by one.
    pub(crate) fn find<'a>(tables: &'a [Self], name: &str) -> Option<&'a Self> {
        match tables.binary_search_by(|table| table.name.as_str().cmp(name)) {
            Ok(at) => tables.get(at),
            Err(_) => tables.iter().find(|table| table.name == name),
        }
    }

    /// Returns whether both tables have the same rows and values, as far as digests and
    /// fingerprints are recorded.
    pub(crate) fn has_same_content(&self, other: &Self) -> bool {
        let both = |one: &Option<String>, other: &Option<String>| one.is_some() && one == other;
        let described = |table: &Self| {
            (
                table.name.clone(),
                table.kind,
                table.rows,
                table.comment.clone(),
                table.columns.clone(),
            )
        };
        described(self) == described(other)
            && if self.content.is_some() && other.content.is_some() {
                self.content == other.content
            } else {
                both(&self.fingerprint, &other.fingerprint)
            }
    }
}

impl Manifest {
    /// Returns the table of this name.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&TableManifest> {
        TableManifest::find(&self.tables, name)
    }

    /// Returns whether both generations have the same content, as far as digests and fingerprints
    /// are recorded.
    pub(crate) fn has_same_content(&self, other: &Self) -> bool {
        let recipe = other.basis.as_ref().map(|basis| basis.recipe.as_str());
        self.id == other.id || self.was_built_from(&other.schema, recipe, &other.tables)
    }

    /// Returns whether the generation has exactly the content of these tables, as far as digests
    /// and fingerprints are recorded.
    pub(crate) fn was_built_from(
        &self,
        schema: &str,
        recipe: Option<&str>,
        tables: &[TableManifest],
    ) -> bool {
        // Fingerprints are comparable only between tables exported with the same recipe; content
        // digests always are.
        let comparable =
            recipe.is_some() && self.basis.as_ref().map(|basis| basis.recipe.as_str()) == recipe;
        let has_content =
            |tables: &[TableManifest]| tables.iter().all(|table| table.content.is_some());
        self.schema == schema
            && self.tables.len() == tables.len()
            && (comparable || (has_content(&self.tables) && has_content(tables)))
            && tables.iter().all(|table| {
                self.table(&table.name).is_some_and(|kept| kept.has_same_content(table))
            })
    }

    /// Returns the total rows of all tables.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.tables.iter().map(|table| table.rows).sum()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct RetainedGeneration {
    pub id: GenerationId,
    /// The manifest, unless it is missing or unreadable.
    pub manifest: Option<Manifest>,
    /// Whether this generation is being served.
    pub served: bool,
    /// Whether it is retained until unpinned.
    pub pinned: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RelationKind {
    Table,
    View,
}

/// One column of a relation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnManifest {
    pub name: String,
    /// In DuckDB's notation.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Whether the column allows nulls.
    pub nullable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// State of an export that a later one needs to reuse its tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncrementalState {
    /// Everything outside the lakehouse on which the content of tables depends: versions, time
    /// zone, schema.
    pub recipe: String,
    /// Digest of the audits that ran.
    pub checks: String,
    /// Identity of the lakehouse file and digest of the export's settings, where they show whether
    /// it has been written since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lakehouse: Option<String>,
    /// Hash of every byte of the generation's file.
    pub content: String,
    /// Modification time of that file, in nanoseconds since 1970.
    pub modified_ns: u64,
    /// Unused bytes inside that file.
    pub free_bytes: u64,
}
