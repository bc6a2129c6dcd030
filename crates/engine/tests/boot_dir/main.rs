//! The boot directory on a real file system: what is written, what is refused, what a power cut leaves.

mod faults;
mod full;
mod kit;
mod loaders;
mod verbs;
