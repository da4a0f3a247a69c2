//! The TOML of a dashboard, key by key.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use crate::{
    dashboard::{DataSource, RelativeTo, kinds::RawPanel},
    plan::Plan,
};

/// A text with its place in the file.
pub(in crate::dashboard) type RawText = Spanned<String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDashboard {
    pub(super) title: String,
    pub(super) slug: Option<RawText>,
    #[serde(default = "default_order")]
    pub(super) order: i64,
    pub(super) description: Option<String>,
    pub(super) group: Option<String>,
    #[serde(default)]
    pub(super) plan: Plan,
    pub(super) public: Option<Spanned<bool>>,
    pub(super) colors: Option<Spanned<BTreeMap<String, String>>>,
    pub(super) colours: Option<Spanned<BTreeMap<String, String>>>,
    #[serde(default, rename = "source")]
    pub(super) sources: Vec<Spanned<DataSource>>,
    #[serde(default)]
    pub(super) draft: bool,
    #[serde(default, rename = "query")]
    pub(super) queries: Vec<Spanned<RawQuery>>,
    #[serde(default, rename = "filter")]
    pub(super) filters: Vec<Spanned<RawFilter>>,
    #[serde(default, rename = "panel")]
    pub(super) panels: Vec<Spanned<RawPanel>>,
}

fn default_order() -> i64 {
    100
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawQuery {
    pub(super) name: RawText,
    pub(super) sql: RawText,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFilter {
    pub(super) name: RawText,
    pub(super) label: Option<String>,
    pub(super) kind: Spanned<FilterKindName>,
    pub(super) sql: Option<RawText>,
    pub(super) options: Option<Spanned<Vec<RawOption>>>,
    pub(super) default: Option<Spanned<toml::Value>>,
    pub(super) last: Option<Spanned<BTreeMap<Plan, u16>>>,
    pub(super) max_options: Option<Spanned<usize>>,
    pub(super) seasons: Option<Spanned<bool>>,
    pub(super) relative_to: Option<Spanned<RelativeTo>>,
    #[serde(default)]
    pub(super) hidden: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FilterKindName {
    Choice,
    Many,
    Years,
    Range,
    Numbers,
    Search,
}

impl FilterKindName {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Choice => "choice",
            Self::Many => "many",
            Self::Years => "years",
            Self::Range => "range",
            Self::Numbers => "numbers",
            Self::Search => "search",
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text, a number, or { value = …, label = \"…\" }")]
pub(super) enum RawOption {
    Named { value: toml::Value, label: String },
    Bare(toml::Value),
}
