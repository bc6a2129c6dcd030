//! The pure part of thinroot: what things are called, what an image contains, what will be done and why.
//!
//! Nothing here touches a file, a process, a network, a clock or a source of randomness: observations, ids and
//! times come in as values, and plans go out as values. `cargo xtask tidy` checks that.
//!
//! Reading order: [`name`] and [`path`] (the words), [`manifest`] and [`image`] (what an image is), [`inventory`] (what a
//! host looks like), [`plan`] and [`install`] (what will be done), [`journal`] (how far it got), [`rewrite`] (how one base becomes the
//! next), [`state`] with [`accounts`] and [`ids`] (what a layer keeps when its image changes), [`boot`] (what starts it,
//! and what may go), [`audit`] (what must hold).

pub mod accounts;
pub mod adopt;
pub mod audit;
pub mod boot;
pub mod ids;
pub mod image;
pub mod install;
pub mod inventory;
pub mod journal;
pub mod manifest;
pub mod name;
pub mod path;
pub mod plan;
pub mod rewrite;
pub mod state;
pub mod structured;
