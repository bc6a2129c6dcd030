//! Holds the text merge to the real `git merge-file`: same verdict, same bytes; and has git apply our diffs.

use std::fs;
use std::path::Path;
use std::process::Command;

use thinroot_core::state::text::{Merge, merge3, unified};

/// Small generator with a fixed seed, so that a failure is the same on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }

    fn text(&mut self, lines: u64, alphabet: u64, ending: &str) -> Vec<String> {
        (0..self.below(lines + 1)).map(|_| format!("{}{ending}", (b'a' + self.below(alphabet) as u8) as char)).collect()
    }

    /// A side: the base with some lines removed, added or replaced, and sometimes without its last newline.
    fn edit(&mut self, base: &[String], edits: u64, alphabet: u64, ending: &str) -> Vec<u8> {
        let mut lines = base.to_vec();
        for _ in 0..self.below(edits) {
            let line = format!("{}{ending}", (b'a' + self.below(alphabet) as u8) as char);
            let at = self.below(lines.len() as u64 + 1) as usize;
            match self.below(3) {
                0 => lines.insert(at, line),
                1 if at < lines.len() => drop(lines.remove(at)),
                _ if at < lines.len() => lines[at] = line,
                _ => lines.push(line),
            }
        }
        let mut text = lines.concat().into_bytes();
        if self.below(8) == 0 {
            text.pop();
        }
        text
    }
}

fn git(dir: &Path, texts: [&[u8]; 3]) -> Option<Vec<u8>> {
    for (name, text) in ["base", "ours", "theirs"].iter().zip(texts) {
        fs::write(dir.join(name), text).unwrap();
    }
    let out = Command::new("git")
        .current_dir(dir)
        .args(["-c", "merge.conflictStyle=merge", "merge-file", "-p", "ours", "base", "theirs"])
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", dir)
        .output()
        .expect("git must be installed for this test");
    match out.status.code() {
        Some(0) => Some(out.stdout),
        Some(1..=127) => None,
        _ => panic!("git merge-file: {}", String::from_utf8_lossy(&out.stderr)),
    }
}

fn compare(seed: u64, rounds: usize, lines: u64, edits: u64, alphabet: u64) {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice(seed);
    let (mut clean, mut wrong) = (0, Vec::new());
    for round in 0..rounds {
        let ending = if round % 10 == 0 { "\r\n" } else { "\n" };
        let base_lines = dice.text(lines, alphabet, ending);
        let ours = dice.edit(&base_lines, edits, alphabet, ending);
        let theirs = dice.edit(&base_lines, edits, alphabet, ending);
        let mut base = base_lines.concat().into_bytes();
        if dice.below(8) == 0 {
            base.pop();
        }
        let expected = git(dir.path(), [&base, &ours, &theirs]);
        let found = match merge3(&base, &ours, &theirs) {
            Merge::Clean(text) => Some(text),
            Merge::Conflict => None,
        };
        clean += usize::from(expected.is_some());
        if found != expected {
            let show = |t: &[u8]| String::from_utf8_lossy(t).replace('\n', "");
            wrong.push(format!(
                "{} | {} | {}: git {:?}, we {:?}",
                show(&base),
                show(&ours),
                show(&theirs),
                expected.as_deref().map(show),
                found.as_deref().map(show)
            ));
        }
    }
    // Both verdicts must really have occurred.
    assert!(clean > rounds / 20 && clean < rounds * 19 / 20, "{clean} clean of {rounds}");
    assert!(wrong.is_empty(), "{} of {rounds} differ:\n{}", wrong.len(), wrong[..wrong.len().min(10)].join("\n"));
}

#[test]
fn tiny_alphabet() {
    compare(1, 1500, 12, 5, 3);
}

#[test]
fn small_alphabet() {
    compare(2, 1500, 20, 5, 8);
}

#[test]
fn longer_texts() {
    compare(3, 600, 200, 5, 12);
}

#[test]
fn mostly_distinct_lines() {
    compare(4, 600, 25, 5, 26);
}

/// Many edits at once, so that the search meets its cut-offs; the other side cuts the end off.
#[test]
fn one_side_rewritten() {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice(5);
    let mut clean = 0;
    for _ in 0..60 {
        let base: Vec<String> = (0..1500).map(|_| format!("{}\n", dice.below(40))).collect();
        let mut ours = base.clone();
        for _ in 0..600 {
            let at = dice.below(1000) as usize;
            ours[at] = format!("{}\n", dice.below(40));
            ours.swap(at, (at + 7) % 1000);
        }
        let mut theirs = base.clone();
        theirs.splice(1100 + dice.below(300) as usize.., []);
        let [base, ours, theirs] = [base, ours, theirs].map(|lines| lines.concat().into_bytes());
        let found = match merge3(&base, &ours, &theirs) {
            Merge::Clean(text) => Some(text),
            Merge::Conflict => None,
        };
        clean += usize::from(found.is_some());
        assert!(found == git(dir.path(), [&base, &ours, &theirs]));
    }
    assert!(clean > 30, "{clean}");
}

#[test]
fn git_applies_our_diffs() {
    let dir = tempfile::tempdir().unwrap();
    let mut dice = Dice(11);
    for round in 0..150 {
        let old_lines = dice.text(40, 6, "\n");
        let (old, new) = (old_lines.concat().into_bytes(), dice.edit(&old_lines, 6, 6, "\n"));
        if old.is_empty() || new.is_empty() || old == new {
            continue;
        }
        fs::write(dir.path().join("f"), &old).unwrap();
        let patch = [b"--- a/f\n+++ b/f\n".to_vec(), unified(&old, &new)].concat();
        fs::write(dir.path().join("patch"), &patch).unwrap();
        let out = Command::new("git").current_dir(dir.path()).args(["apply", "patch"]).output().unwrap();
        let (patch, said) = (String::from_utf8_lossy(&patch), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "round {round}: {said}\n{patch}");
        assert_eq!(fs::read(dir.path().join("f")).unwrap(), new, "round {round}:\n{patch}");
    }
}
