//! The test suite as data: which test programs there are, where each runs, what each reported.
//!
//! Separate from the verb because these three are pure and the rules in them decide what counts as tested:
//!
//! - an integration test whose target is named `lvm_…` or `…_lvm` runs only inside the test kernel; everything else runs
//!   on this machine; one named `cuts_…` is the crash suite's part inside the test kernel, run by [`crate::crash`];
//! - a program that ran no test inside the test kernel has failed: its gate is broken.

use std::path::PathBuf;

use serde_json::Value;

/// Where a test program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// This machine.
    Host,
    /// A test kernel of its own, with two empty disks.
    Kernel,
    /// Many test kernels whose power is cut.
    Cuts,
}

/// One compiled test program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestProgram {
    /// Package and target, as in `thinroot-engine/store_lvm`.
    pub name: String,
    /// The executable.
    pub path: PathBuf,
    /// The package's directory, where its tests run.
    pub dir: PathBuf,
    /// Where it runs.
    pub place: Place,
}

/// What one program or all of them reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that were ignored.
    pub skipped: u64,
}

impl Tally {
    /// Tests that ran.
    pub fn ran(self) -> u64 {
        self.passed + self.failed
    }

    /// Adds another's numbers.
    pub fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// Reads the test programs out of what `cargo test --no-run --message-format=json` prints.
pub fn programs(messages: &str) -> Vec<TestProgram> {
    let mut found: Vec<TestProgram> = messages.lines().filter_map(program).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn program(line: &str) -> Option<TestProgram> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let path = PathBuf::from(message["executable"].as_str()?);
    let dir = PathBuf::from(message["manifest_path"].as_str()?).parent()?.to_path_buf();
    let target = message["target"]["name"].as_str()?;
    let kind = message["target"]["kind"][0].as_str()?;
    let package = package_name(message["package_id"].as_str()?);
    let place = match kind {
        "test" if target.starts_with("cuts_") => Place::Cuts,
        "test" if target.starts_with("lvm_") || ["_lvm", "_kernel"].iter().any(|end| target.ends_with(end)) => {
            Place::Kernel
        }
        _ => Place::Host,
    };
    Some(TestProgram { name: format!("{package}/{target}{}", unit_suffix(kind)), path, dir, place })
}

fn unit_suffix(kind: &str) -> &'static str {
    match kind {
        "test" => "",
        "bin" => " (program)",
        _ => " (library)",
    }
}

/// The package's name in an id such as `path+file:///x/crates/core#thinroot-core@0.1.0` or `…/xtask#0.1.0`.
fn package_name(id: &str) -> String {
    let (path, fragment) = id.rsplit_once('#').unwrap_or((id, id));
    let name = fragment.split_once('@').map(|(name, _)| name);
    name.unwrap_or_else(|| path.rsplit('/').next().unwrap_or(path)).to_string()
}

/// Sums up the result lines of the Rust test harness; `None` if there is none, so the program died before its end.
pub fn tally(output: &str) -> Option<Tally> {
    let mut sum = None;
    for line in output.lines().filter(|l| l.starts_with("test result:")) {
        let number = |word: &str| {
            let before = line.split([';', '.']).find_map(|part| part.trim().strip_suffix(word));
            before.and_then(|n| n.trim().parse::<u64>().ok()).unwrap_or(0)
        };
        let one = Tally { passed: number("passed"), failed: number("failed"), skipped: number("ignored") };
        sum.get_or_insert_with(Tally::default).add(one);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(package: &str, kind: &str, target: &str, test: bool) -> String {
        format!(
            r#"{{"reason":"compiler-artifact","package_id":"path+file:///src/crates/{package}#0.1.0","manifest_path":"/src/crates/{package}/Cargo.toml","target":{{"kind":["{kind}"],"name":"{target}"}},"profile":{{"test":{test}}},"executable":"/t/{target}"}}"#
        )
    }

    #[test]
    fn only_gated_integration_tests_go_into_the_kernel() {
        let messages = [
            artifact("engine", "test", "store_lvm", true),
            artifact("engine", "test", "lvm_prune", true),
            artifact("engine", "test", "store_dir", true),
            artifact("cli", "test", "cuts_lvm", true),
            artifact("engine", "lib", "lvm_thin", true),
            artifact("cli", "bin", "thinroot", false),
            r#"{"reason":"build-finished","success":true}"#.to_string(),
            "not json".to_string(),
        ];
        let got: Vec<(String, Place)> = programs(&messages.join("\n")).into_iter().map(|p| (p.name, p.place)).collect();
        let want = [
            ("cli/cuts_lvm", Place::Cuts),
            ("engine/lvm_prune", Place::Kernel),
            ("engine/lvm_thin (library)", Place::Host),
            ("engine/store_dir", Place::Host),
            ("engine/store_lvm", Place::Kernel),
        ];
        assert_eq!(got, want.map(|(n, p)| (n.to_string(), p)));
    }

    #[test]
    fn package_names_in_both_forms() {
        assert_eq!(package_name("path+file:///x/crates/core#thinroot-core@0.1.0"), "thinroot-core");
        assert_eq!(package_name("path+file:///x/xtask#0.1.0"), "xtask");
    }

    #[test]
    fn tally_sums_result_lines_and_misses_none() {
        let line = "test result: ok. 9 passed; 1 failed; 2 ignored; 0 measured; 3 filtered out; finished in 13.47s\n";
        let want = Tally { passed: 18, failed: 2, skipped: 4 };
        assert_eq!(tally(&format!("noise\n{line}more\n{line}")), Some(want));
        assert_eq!(tally("running 3 tests\nSegmentation fault"), None);
    }
}
