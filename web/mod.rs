//! The site: what customers see in the browser, and who may see what.

mod accounts;
mod app;
mod assets;
mod error;
pub(crate) mod log;
mod page;
mod pages;
mod parts;
mod router;
mod security;
mod server;
mod viewer;

pub(crate) use server::{StartError, run};
