//! Dashboards as files: loads, checks and evaluates them; drawing is left to front ends.
//!
//! A [`Dashboard`] is the content of its file. Evaluating it for one generation, one set of filters
//! and one viewer's plan results in [`DashboardData`]: finished values that the terminal and the
//! browser only draw. The files are described in `docs/dashboards.md`.
//!
//! Each kind of panel is one module in `kinds/`, with its keys, its query and its finished data.
//!
//! ```text
//! let dashboards = Dashboards::load_dir(path)?;
//! for dashboard in dashboards.all(&pin).await?.iter() {
//!     let data = evaluate(dashboard, &pin, &[("country".to_owned(), "BR".to_owned())], Plan::Free).await;
//! }
//! ```

mod bounded;
mod check;
mod colors;
mod column_charts;
mod data;
mod dead_links;
mod default_dashboard;
mod evaluate;
mod export_check;
mod exposure;
mod figures;
mod filters;
mod kinds;
mod limits;
mod load;
mod lost_rows;
mod model;
mod panel_links;
mod parameters;
mod parse;
mod presets;
mod rows;
mod scaffold;
mod templates;
mod title_links;
mod units;
pub mod world;

pub use check::{PanelFailure, check};
pub use colors::PALETTE_SIZE;
pub use column_charts::{Distribution, development_panel, distribution, distribution_panel};
pub use data::*;
pub use evaluate::{evaluate, panel_queries, queries};
pub use export_check::DashboardsCheck;
pub use exposure::{exposed, tables_read};
pub use figures::{NoFigures, PanelFigures, panel_figures};
pub use filters::FilterParams;
pub use kinds::*;
pub use limits::{Others, PanelLimits, PanelSeverity};
pub use load::{Dashboards, LoadError};
pub use model::*;
pub use panel_links::{PanelLink, dashboard_of};
pub use scaffold::scaffold;
pub use units::{Formula, Unit};
