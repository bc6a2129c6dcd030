//! Rules of the house that the compiler does not know.
//!
//! Pure: each check takes a path and its text and gives complaints, so every rule has a test that shows it can fail. The
//! verb reads the tracked files and hands them in.

/// The core may use these crates and no others: each is pure.
pub const CORE_DEPENDENCIES: &[&str] = &["serde", "serde_json", "saphyr-parser", "thiserror", "toml_edit"];
/// Above this a file should be split where its subject changes.
pub const WARN_LINES: usize = 400;
/// Above this it must be.
pub const MAX_LINES: usize = 500;

/// Modules of the standard library that touch the world.
const IMPURE_MODULES: &[&str] = &["fs", "process", "net", "env", "thread", "os", "io"];
/// Names that bring in the clock or chance under whatever path.
const IMPURE_NAMES: &[&str] = &["SystemTime", "Instant", "rand", "RandomState"];
/// A module named so says nothing about its subject.
const EMPTY_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "misc", "common"];
/// Unfinished work. Split so that this file does not find itself.
const MARKERS: &[&str] =
    &[concat!("to", "do!("), concat!("FIX", "ME"), concat!("db", "g!("), concat!("unimplemen", "ted!(")];

/// One complaint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// File, with a line where there is one.
    pub place: String,
    /// What is wrong and why it matters.
    pub what: String,
    /// Whether it fails the check.
    pub weight: Weight,
}

/// How grave it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Only said.
    Warning,
    /// Fails the check.
    Failure,
}

fn failure(place: impl Into<String>, what: impl Into<String>) -> Complaint {
    Complaint { place: place.into(), what: what.into(), weight: Weight::Failure }
}

/// All rules for one tracked text file. `foreign` are texts that belong to this machine only: its paths, its mirror.
pub fn check_file(path: &str, text: &str, foreign: &[String]) -> Vec<Complaint> {
    let mut found = traces(path, text, foreign);
    if path.ends_with(".rs") {
        found.extend(length(path, text));
        found.extend(name(path));
        found.extend(markers(path, text));
        if path.starts_with("crates/core/src/") {
            found.extend(impurity(path, text));
        }
    }
    found
}

/// The core's dependencies that are not known to be pure.
pub fn core_dependencies<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<Complaint> {
    let foreign = names.into_iter().filter(|name| !CORE_DEPENDENCIES.contains(name));
    let what = |name| format!("the core depends on {name}; it may only use {}", CORE_DEPENDENCIES.join(", "));
    foreign.map(|name| failure("crates/core/Cargo.toml", what(name))).collect()
}

fn length(path: &str, text: &str) -> Option<Complaint> {
    let lines = text.lines().count();
    let weight = match lines {
        0..=WARN_LINES => return None,
        _ if lines <= MAX_LINES => Weight::Warning,
        _ => Weight::Failure,
    };
    Some(Complaint { place: path.into(), what: format!("{lines} lines; split it where its subject changes"), weight })
}

fn name(path: &str) -> Option<Complaint> {
    let part = path.trim_end_matches(".rs").split('/').find(|part| EMPTY_NAMES.contains(part))?;
    Some(failure(path, format!("a module named {part} says nothing; name it for its subject")))
}

fn markers(path: &str, text: &str) -> Vec<Complaint> {
    on_lines(path, text, |line| {
        MARKERS.iter().find(|m| line.contains(**m)).map(|m| format!("{m} marks unfinished work"))
    })
}

fn traces(path: &str, text: &str, foreign: &[String]) -> Vec<Complaint> {
    on_lines(path, text, |line| {
        foreign.iter().find(|trace| names(line, trace)).map(|trace| format!("{trace} exists on one machine only"))
    })
}

/// Whether a line names this path or host; `/a/b` does not occur in `/x/a/b` nor in `/a/bc`.
fn names(line: &str, trace: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || "._-".contains(c);
    line.match_indices(trace).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(inner);
        let after = line[at + trace.len()..].chars().next().is_some_and(inner);
        !before && (!after || trace.ends_with('/'))
    })
}

fn on_lines(path: &str, text: &str, rule: impl Fn(&str) -> Option<String>) -> Vec<Complaint> {
    let numbered = text.lines().enumerate();
    numbered.filter_map(|(i, line)| Some(failure(format!("{path}:{}", i + 1), rule(line)?))).collect()
}

fn impurity(path: &str, text: &str) -> Vec<Complaint> {
    let code = code_only(text);
    let modules = std_modules(&code).into_iter().filter(|m| IMPURE_MODULES.contains(&m.as_str()));
    let words = code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| IMPURE_NAMES.contains(w));
    let mut found: Vec<String> = modules.map(|m| format!("std::{m}")).chain(words.map(String::from)).collect();
    found.sort();
    found.dedup();
    found.into_iter().map(|name| failure(path, format!("the core is pure, but this uses {name}"))).collect()
}

/// The text without comments, string literals and white space.
fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skip = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |at| at + 2)
        } else if let Some(length) = raw_string(rest) {
            length
        } else if first == '"' {
            string(rest)
        } else if rest.starts_with("'\"'") || rest.starts_with("'\\\"'") {
            // A quote as a character begins no string.
            rest[1..].find('\'').map_or(1, |at| at + 2)
        } else {
            // A word boundary must stay one.
            code.push(if first.is_whitespace() { ' ' } else { first });
            first.len_utf8()
        };
        rest = &rest[skip..];
    }
    code
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a raw string literal such as `r#"…"#` at the beginning of the text.
fn raw_string(text: &str) -> Option<usize> {
    let after = text.strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    after[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let body = 1 + hashes + 1;
    Some(text[body..].find(&end).map_or(text.len(), |at| body + at + end.len()))
}

/// First path segments after `std::`, also out of `std::{a, b::c}`.
fn std_modules(code: &str) -> Vec<String> {
    let squeezed: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    let ident = |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let mut found = Vec::new();
    for (at, word) in squeezed.match_indices("std::") {
        let rest = &squeezed[at + word.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.push(ident(rest));
            continue;
        };
        let mut depth = 1;
        let mut at_start = true;
        for (i, c) in group.char_indices() {
            if at_start {
                found.push(ident(&group[i..]));
            }
            at_start = depth == 1 && c == ',';
            depth += i32::from(c == '{') - i32::from(c == '}');
            if depth == 0 {
                break;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<(String, String)> {
        let foreign = ["/home/me/src".to_string(), "mirror.example".to_string(), "/job/".to_string()];
        check_file(path, text, &foreign).into_iter().map(|c| (c.place, c.what)).collect()
    }

    #[test]
    fn core_stays_pure() {
        let dirty = "use std::{collections::BTreeMap, fs::{self, File}, fmt};\nfn f() { let t = std :: time::Instant::now(); }\n";
        let want = ["Instant", "std::fs"]
            .map(|n| ("crates/core/src/x.rs".to_string(), format!("the core is pure, but this uses {n}")));
        assert_eq!(complaints("crates/core/src/x.rs", dirty), want);
        assert_eq!(complaints("crates/engine/src/x.rs", dirty), []);
        let clean = "// std::fs\n/* std::env */ use std::fmt; const A: &str = \"std::\\\"process\"; const B: char = '\"';\n\
                     const C: &str = r#\"std::fs \"x\" \"#; use std::collections::{BTreeMap, BTreeSet}; fn random() {}\n";
        assert_eq!(complaints("crates/core/src/x.rs", clean), []);
        assert!(core_dependencies(["serde", "thiserror"]).is_empty());
        assert_eq!(core_dependencies(["serde", "rustix"]).len(), 1);
    }

    #[test]
    fn long_files_are_said_and_then_refused() {
        let weight = |lines: usize| check_file("a.rs", &"x\n".repeat(lines), &[]).first().map(|c| c.weight);
        assert_eq!(
            [400, 401, 500, 501].map(weight),
            [None, Some(Weight::Warning), Some(Weight::Warning), Some(Weight::Failure)]
        );
    }

    #[test]
    fn empty_names_and_markers_are_found() {
        assert_eq!(complaints("crates/x/src/helpers.rs", "").len(), 1);
        assert_eq!(complaints("crates/x/src/common/mod.rs", "").len(), 1);
        assert_eq!(complaints("crates/x/src/commons.rs", "").len(), 0);
        for marker in MARKERS {
            let want = (String::from("a.rs:2"), format!("{marker} marks unfinished work"));
            assert_eq!(complaints("a.rs", &format!("fn a() {{\n {marker}) }}")), [want]);
        }
    }

    #[test]
    fn traces_of_a_machine_are_found_in_any_file() {
        let text = "ok /x/home/me/src\nsee /home/me/src/a\nhttp://mirror.example/d\nnot my-mirror.example\n/home/me/srcs\n/job/x\n/a/job/x\n";
        let places: Vec<String> = complaints("README.md", text).into_iter().map(|c| c.0).collect();
        assert_eq!(places, ["README.md:2", "README.md:3", "README.md:6"]);
    }
}
