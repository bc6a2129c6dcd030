//! The `thinroot` command.

fn main() {}
