//! Values of the engine as text for people. Deterministic: same value, same text.

pub mod adopt;
pub mod image;
pub mod install;
pub mod plan;
pub mod report;
pub mod state;
pub mod status;
pub mod table;

/// `1 path`, `2 paths`.
pub fn count(number: usize, one: &str) -> String {
    count_of(number, one, &format!("{one}s"))
}

/// As [`count`], for words with a plural of their own.
pub fn count_of(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
