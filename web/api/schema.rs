//! The types of the API's responses, from which its description is generated.

use materia::{
    plan::Plan,
    reader::GenerationInfo,
    tables::access::{Access, AccessibleTable},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::components::generation_name;

/// The generation that is being served.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Generation {
    /// Its id, as in `X-Materia-Generation`.
    #[schema(example = "20261121T120000.000Z")]
    id: String,
    /// When the data was exported from the pipeline.
    #[schema(format = DateTime)]
    exported_at: Option<String>,
    /// The size of its file, in bytes.
    bytes: u64,
}

impl From<&GenerationInfo> for Generation {
    fn from(info: &GenerationInfo) -> Self {
        Self {
            id: generation_name(info),
            exported_at: info.exported_at.map(|at| at.to_string()),
            bytes: info.bytes,
        }
    }
}

/// How much of a table the key's account can see.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "access", rename_all = "lowercase")]
#[schema(as = Sees)]
pub(crate) enum AccessInfo {
    /// All rows.
    All,
    /// Only recent years.
    Last {
        /// The number of years.
        years: u32,
        /// The first visible year.
        from: i64,
        /// The column with the year.
        column: String,
    },
    /// None, without a larger plan.
    Locked {
        /// The plan that includes the table.
        #[schema(value_type = String, example = "starter")]
        plan: Plan,
    },
}

/// A table and its columns.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Table {
    /// Its name in addresses.
    #[schema(example = "coffee_prices")]
    name: String,
    /// What it contains, with units and source.
    description: Option<String>,
    /// The number of rows of all years.
    rows: u64,
    #[serde(flatten)]
    access: AccessInfo,
    /// The columns in their order.
    columns: Vec<Column>,
}

/// A column of a table.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Column {
    /// Its name in filters and results.
    #[schema(example = "arabica")]
    name: String,
    /// Its type, in DuckDB's notation.
    #[serde(rename = "type")]
    #[schema(example = "DOUBLE")]
    data_type: String,
    /// Whether it may contain nulls.
    nullable: bool,
    /// Its meaning and unit.
    description: Option<String>,
    /// The filter operators that it supports.
    #[schema(example = json!(["eq", "gte", "in", "is"]))]
    operators: Vec<&'static str>,
}

impl From<&AccessibleTable> for Table {
    fn from(table: &AccessibleTable) -> Self {
        let columns = table.table.columns.iter().map(|column| Column {
            name: column.name.clone(),
            data_type: column.data_type.clone(),
            nullable: column.nullable,
            description: column.comment.clone(),
            operators: materia::tables::TypeClass::of(&column.data_type)
                .operators()
                .iter()
                .map(|operator| operator.name())
                .collect(),
        });
        let access_info = match table.access {
            Access::All => AccessInfo::All,
            Access::Locked(plan) => AccessInfo::Locked { plan },
            Access::RecentYears { years, since } => AccessInfo::Last {
                years,
                from: since.year,
                column: table
                    .table
                    .columns
                    .get(since.column)
                    .map(|column| column.name.clone())
                    .unwrap_or_default(),
            },
        };
        Self {
            name: table.table.name.clone(),
            description: table.table.comment.clone(),
            rows: table.table.rows,
            access: access_info,
            columns: columns.collect(),
        }
    }
}

/// A dashboard without its panels.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DashboardLine)]
pub(crate) struct DashboardSummary {
    /// Its name in addresses.
    #[schema(example = "pulse")]
    pub(super) slug: String,
    /// The title on its page.
    pub(super) title: String,
    /// What it shows.
    pub(super) description: Option<String>,
    /// The smallest plan that includes it.
    #[schema(value_type = String, example = "free")]
    pub(super) plan: Plan,
    /// Whether the key's account lacks that plan.
    pub(super) locked: bool,
}
