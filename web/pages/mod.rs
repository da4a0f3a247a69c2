//! Pages, one file each: first the data, then the view.

pub(crate) mod admin;
pub(crate) mod auth;
pub(crate) mod billing;
pub(crate) mod dashboard;
pub(crate) mod docs;
pub(crate) mod feed;
pub(crate) mod health;
pub(crate) mod home;
pub(crate) mod landing;
pub(crate) mod legal;
pub(crate) mod methodology;
pub(crate) mod panel;
pub(crate) mod pricing;
pub(crate) mod search;
pub(crate) mod search_engines;
pub(crate) mod settings;
pub(crate) mod tables;
pub(crate) mod unsubscribe;
