//! Table data for both pages and the API.

mod chunk_writer;
mod download;
mod explorer_params;
mod result;

pub(crate) use download::{
    Download, DownloadLimiter, DownloadRejection, file_name, tag, text_columns,
};
pub(crate) use explorer_params::ExplorerParams;
pub(crate) use result::{
    Sizes, TableRows, ValueCount, common_values, counted_values, estimate_sizes, file, json,
    summary,
};
