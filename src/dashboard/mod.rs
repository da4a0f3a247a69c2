//! Dashboards as files: loaded, checked and answered here, drawn elsewhere.
//!
//! A [`Dashboard`] is what its file says. Answered for one generation, one set of filters and one viewer's plan it becomes
//! [`DashboardData`]: finished values that the terminal and the browser only draw. The files are described in `docs/dashboards.md`.
//!
//! ```text
//! let dashboards = Dashboards::folder(path)?;
//! for dashboard in dashboards.all(&pin).await?.iter() {
//!     let data = answer(dashboard, &pin, &[("country".to_owned(), "BR".to_owned())], Plan::Free).await;
//! }
//! ```

mod answer;
mod axis;
mod bounded;
mod changes;
mod chart;
mod check;
mod cut;
mod data;
mod filters;
mod grid;
mod limits;
mod load;
mod model;
mod overview;
mod parameters;
mod parse;
mod rows;
mod stat;
mod units;

pub use answer::{answer, questions};
pub use check::{Broken, check};
pub use data::*;
pub use filters::Asked;
pub use limits::{Others, PanelLimits, PanelSeverity};
pub use load::{Dashboards, LoadError};
pub use model::*;
pub use units::Unit;
