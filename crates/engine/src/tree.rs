//! Mounted trees: how they are read and written, and nothing about what they mean.
//!
//! Separate because an image directory, a mounted base and a mounted layer are read the same way and are trusted
//! equally little, and because whatever writes into one must not be led out of it.

pub mod confined;
pub mod content;
pub mod flags;
pub mod meta;
pub mod read;
pub mod write;
