//! Mounted trees: how they are read, and nothing about what they mean.
//!
//! Separate because an image directory, a mounted base and a mounted layer are read the same way and are trusted
//! equally little.

pub mod read;
