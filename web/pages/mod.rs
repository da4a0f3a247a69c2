//! Pages: one file each, data first, then the view.

pub(crate) mod admin;
pub(crate) mod auth;
pub(crate) mod dashboard;
pub(crate) mod docs;
pub(crate) mod landing;
pub(crate) mod legal;
pub(crate) mod methodology;
pub(crate) mod settings;
pub(crate) mod status;
pub(crate) mod tables;
