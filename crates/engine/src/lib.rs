//! The effects of thinroot: stores, sources, bases, layers, state, boot entries, and the executor that carries plans out.
//!
//! Data flows one way: survey, plan (in `thinroot_core`), execute. Everything that happens to a host happens here, and
//! everything that can be decided without touching one is decided in the core.

pub mod adopt;
pub mod base;
pub mod boot;
pub mod cmd;
pub mod confine;
pub mod deadman;
pub mod durable;
pub mod error;
pub mod execute;
pub mod fault;
pub mod health;
pub mod host;
pub mod install;
pub mod lock;
pub mod mounts;
pub mod progress;
pub mod publish;
pub mod records;
pub mod source;
pub mod state;
pub mod store;
mod sys;
pub mod tree;
