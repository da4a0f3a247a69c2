//! Pages: one file each, data first, then the view.

pub(crate) mod landing;
pub(crate) mod status;
