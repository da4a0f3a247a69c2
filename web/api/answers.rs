//! What the API answers with, as types: the documentation is made from them.

use materia::{
    plan::Plan,
    reader::GenerationInfo,
    tables::access::{Access, Seen},
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::web::parts::generation_name;

/// What is being served.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Generation {
    /// Names it; the same as in `X-Materia-Generation`.
    #[schema(example = "20261121T120000.000Z")]
    id: String,
    /// When its data was read from the pipeline.
    #[schema(format = DateTime)]
    exported_at: Option<String>,
    /// Size of its file, in bytes.
    bytes: u64,
}

impl From<&GenerationInfo> for Generation {
    fn from(info: &GenerationInfo) -> Self {
        Self { id: generation_name(info), exported_at: info.exported_at.map(|at| at.to_string()), bytes: info.bytes }
    }
}

/// How much of a table the key's account sees.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "access", rename_all = "lowercase")]
pub(crate) enum Sees {
    /// All of it.
    All,
    /// The last years.
    Last {
        /// How many.
        years: u32,
        /// The first year that is seen.
        from: i64,
        /// The column that tells the year.
        column: String,
    },
    /// Nothing, without a larger plan.
    Locked {
        /// That plan.
        #[schema(value_type = String, example = "starter")]
        plan: Plan,
    },
}

/// A table.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Table {
    /// Its name in addresses.
    #[schema(example = "coffee_prices")]
    name: String,
    /// What it holds, in what unit, from where.
    description: Option<String>,
    /// Its rows, all years together.
    rows: u64,
    #[serde(flatten)]
    sees: Sees,
    /// Its columns, in their order.
    columns: Vec<Column>,
}

/// A column.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Column {
    /// Its name.
    #[schema(example = "arabica")]
    name: String,
    /// Its type, as DuckDB writes it.
    #[serde(rename = "type")]
    #[schema(example = "DOUBLE")]
    data_type: String,
    /// Whether it may hold nulls.
    nullable: bool,
    /// What it means, and in what unit.
    description: Option<String>,
    /// The operators that filter by it.
    #[schema(example = json!(["eq", "gte", "in", "is"]))]
    operators: Vec<&'static str>,
}

impl From<&Seen> for Table {
    fn from(seen: &Seen) -> Self {
        let columns = seen.table.columns.iter().map(|column| Column {
            name: column.name.clone(),
            data_type: column.data_type.clone(),
            nullable: column.nullable,
            description: column.comment.clone(),
            operators: materia::tables::Kind::of(&column.data_type).operators().iter().map(|operator| operator.name()).collect(),
        });
        let how_much = match seen.access {
            Access::All => Sees::All,
            Access::Locked(plan) => Sees::Locked { plan },
            Access::Last { years, since } => Sees::Last {
                years,
                from: since.year,
                column: seen.table.columns.get(since.column).map(|column| column.name.clone()).unwrap_or_default(),
            },
        };
        Self {
            name: seen.table.name.clone(),
            description: seen.table.comment.clone(),
            rows: seen.table.rows,
            sees: how_much,
            columns: columns.collect(),
        }
    }
}

/// A dashboard.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DashboardLine {
    /// Its name in addresses.
    #[schema(example = "pulse")]
    pub(super) slug: String,
    /// Its title.
    pub(super) title: String,
    /// What it shows.
    pub(super) description: Option<String>,
    /// The smallest plan that sees it.
    #[schema(value_type = String, example = "free")]
    pub(super) plan: Plan,
    /// Whether the key's account does not.
    pub(super) locked: bool,
}
