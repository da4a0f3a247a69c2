//! The site: what customers see in the browser, and who may see what.

mod accounts;
mod api;
mod app;
mod assets;
mod boards;
mod cache;
mod client;
mod data;
mod error;
mod events;
pub(crate) mod log;
mod metrics;
mod page;
mod pages;
mod parts;
mod router;
mod security;
mod serve;
mod server;
mod traffic;
mod viewer;

pub(crate) use accounts::{Account, Accounts, Actor, Copied, Email, backup, copy};
pub(crate) use app::Clock;
pub(crate) use server::run;
pub(crate) use viewer::Role;

#[cfg(test)]
mod tests;
