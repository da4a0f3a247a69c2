//! Pages: one file each, data first, then the view.

pub(crate) mod dashboard;
pub(crate) mod landing;
pub(crate) mod legal;
pub(crate) mod methodology;
pub(crate) mod status;
