//! Checkers of the new image, run on what was merged: which there are, which a plan concerns, what their answer means.
//!
//! Separate because a merge that is right by its own rules may still be wrong for the program that reads it, and only that
//! program knows. Must stay true: a checker never makes a result that nobody had; what it refuses becomes what this host
//! had before, or stops the update.

use serde::{Deserialize, Serialize};

use super::plan::{Action, Content, Decision, Facet, FacetResult, Level, Origin, StatePlan};
use super::policy::Reach;
use super::statements;
use crate::manifest::Manifest;
use crate::path::TreePath;

/// Largest file that describes a checker.
pub const MAX_FILE_BYTES: u64 = 64 * 1024;
/// Longest a checker may be given, in seconds.
const MAX_LIMIT_SEC: u64 = 300;
const LIMIT_SEC: u64 = 20;

/// What happens where a checker refuses what was merged, and not what the image ships.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// Contents that were merged become what this host had; where that is refused too, the update stops.
    Local,
    /// The update stops.
    Block,
    /// It is told.
    Report,
}

/// A checker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Validator {
    /// Its name; an image's or an admin's takes the place of a built-in one.
    pub name: String,
    /// What it is about.
    pub paths: Vec<(TreePath, Reach)>,
    /// Program and arguments, in the new layer.
    pub argv: Vec<String>,
    /// A directory below `/run` that it needs.
    pub directory: Option<String>,
    /// How long it may run, in seconds.
    pub limit_sec: u64,
    /// What its refusal does.
    pub on_failure: OnFailure,
}

/// A checker that a plan will run, or has run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// The checker.
    pub name: String,
    /// Program and arguments.
    pub argv: Vec<String>,
    /// A directory below `/run` that it needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// How long it may run, in seconds.
    pub limit_sec: u64,
    /// What its refusal does.
    pub on_failure: OnFailure,
    /// Paths of the plan that it is about.
    pub paths: Vec<TreePath>,
    /// What it said; none before it was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
}

/// What a checker said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What it comes to.
    pub verdict: Verdict,
    /// The end of what it said; empty where all is well.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub said: String,
}

/// What an answer comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All is well.
    Good,
    /// It refuses the image as it was shipped in the same words, so it says nothing about the merge.
    AsShipped,
    /// It refused what was merged, and takes what this host had.
    TookLocal,
    /// It refuses what was merged, and that is told.
    Refused,
    /// It did not end in time, or could not be run.
    Unable,
}

impl Validator {
    /// Those that every image has without shipping any.
    pub fn built_in() -> Vec<Validator> {
        let path = |text: &str| TreePath::parse(text.as_bytes()).expect("a constant path");
        let make = |name: &str, file: &str, tree: Option<&str>, run: &str, on_failure| Validator {
            name: name.into(),
            paths: [(path(file), Reach::Exact)].into_iter().chain(tree.map(|t| (path(t), Reach::Tree))).collect(),
            argv: run.split(' ').map(String::from).collect(),
            directory: None,
            limit_sec: LIMIT_SEC,
            on_failure,
        };
        let mut sshd =
            make("sshd", "etc/ssh/sshd_config", Some("etc/ssh/sshd_config.d"), "/usr/sbin/sshd -t", OnFailure::Local);
        sshd.directory = Some("sshd".into());
        let sudo = "/usr/sbin/visudo -c -q";
        vec![
            make("group", "etc/group", None, "/usr/sbin/grpck -r -q", OnFailure::Report),
            sshd,
            make("sudoers", "etc/sudoers", Some("etc/sudoers.d"), sudo, OnFailure::Local),
        ]
    }

    /// Reads one from a file `NAME.validator`; an error names the line.
    ///
    /// ```text
    /// path /etc/app.conf            what it is about, as in a policy; may stand several times
    /// path /etc/app.d/**
    /// run /usr/bin/app --check      no shell: words are parted by blanks
    /// directory app                 made below /run
    /// limit 30                      seconds
    /// on-failure local              or block, or report
    /// ```
    pub fn parse(name: &str, text: &[u8]) -> Result<Validator, String> {
        let mut out = Validator {
            name: name.into(),
            paths: Vec::new(),
            argv: Vec::new(),
            directory: None,
            limit_sec: LIMIT_SEC,
            on_failure: OnFailure::Local,
        };
        statements::each(name, text, |line| out.line(line))?;
        match (out.paths.is_empty(), out.argv.is_empty()) {
            (true, _) => Err(format!("{name}: no line 'path PATH' says what it is about")),
            (_, true) => Err(format!("{name}: no line 'run PROGRAM' says how it checks")),
            (false, false) => Ok(out),
        }
    }

    fn line(&mut self, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        let rest = rest.trim();
        match word {
            "path" => self.paths.push(Reach::parse(rest)?),
            "run" if !self.argv.is_empty() => return Err("it says twice how it checks".into()),
            "run" if rest.starts_with('/') => self.argv = rest.split_whitespace().map(String::from).collect(),
            "run" => return Err(format!("'{rest}' is not a program named from the root on")),
            "directory" => self.directory = Some(plain_name(rest)?),
            "limit" => {
                let most = |seconds: &u64| (1..=MAX_LIMIT_SEC).contains(seconds);
                let limit = rest.parse().ok().filter(most);
                self.limit_sec = limit.ok_or(format!("'{rest}' is not between 1 and {MAX_LIMIT_SEC} seconds"))?;
            }
            "on-failure" => {
                self.on_failure = match rest {
                    "local" => OnFailure::Local,
                    "block" => OnFailure::Block,
                    "report" => OnFailure::Report,
                    _ => return Err(format!("'{rest}' is neither local, block nor report")),
                }
            }
            _ => return Err(format!("'{word}' is none of path, run, directory, limit, on-failure")),
        }
        Ok(())
    }

    fn concerns(&self, path: &TreePath) -> bool {
        self.paths.iter().any(|(at, reach)| reach.covers(at, path))
    }
}

fn plain_name(text: &str) -> Result<String, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    match !text.is_empty() && text.len() < 64 && !text.starts_with('.') && text.chars().all(legal) {
        true => Ok(text.into()),
        false => Err(format!("'{text}' is no plain name of a directory")),
    }
}

/// The checkers that a plan concerns: about something that it writes or removes, and in the image.
pub fn concerned(validators: &[Validator], plan: &StatePlan, new: &Manifest) -> Vec<Check> {
    let check = |validator: &Validator| {
        let written = plan.decisions.iter().filter(|decision| decision.action != Action::Leave);
        let paths: Vec<TreePath> =
            written.map(|decision| &decision.path).filter(|path| validator.concerns(path)).cloned().collect();
        let program = TreePath::parse(validator.argv.first()?.trim_start_matches('/').as_bytes()).ok()?;
        let there = new.get(&program).is_some();
        (!paths.is_empty() && there).then(|| Check {
            name: validator.name.clone(),
            argv: validator.argv.clone(),
            directory: validator.directory.clone(),
            limit_sec: validator.limit_sec,
            on_failure: validator.on_failure,
            paths,
            answer: None,
        })
    };
    validators.iter().filter_map(check).collect()
}

/// Takes what this host had in the place of what was merged, of the paths that a checker is about and `wanted` names.
/// What was changed in the plan.
pub fn take_local(plan: &mut StatePlan, check: &Check, wanted: impl Fn(&Decision) -> bool) -> Vec<Decision> {
    let mut changed = Vec::new();
    for decision in plan.decisions.iter_mut().filter(|decision| check.paths.contains(&decision.path)) {
        let Some(local) = with_local(decision, &check.name).filter(|_| wanted(decision)) else { continue };
        *decision = local;
        changed.push(decision.clone());
    }
    plan.recount();
    changed
}

/// A decision that merged contents, as one that takes the host's.
fn with_local(decision: &Decision, checker: &str) -> Option<Decision> {
    let Action::Put { content: Content::Merged { .. }, .. } = &decision.action else { return None };
    let local = decision.local.clone()?;
    let mut out = decision.clone();
    out.action = Action::Put { entry: local, content: Content::Local };
    out.local = None;
    out.level = Level::Conflict;
    out.reason = format!("{}; what was merged is refused by the check {checker}", decision.reason);
    out.facets.retain(|result| result.facet != Facet::Content);
    let loser = Some("the merged text and the image's".to_string());
    out.facets.insert(0, FacetResult { facet: Facet::Content, from: Origin::Local, loser });
    Some(out)
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let run = self.argv.join(" ");
        match &self.answer {
            None => write!(f, "{}: {run}", self.name),
            Some(answer) => {
                let what = match answer.verdict {
                    Verdict::Good => "good",
                    Verdict::AsShipped => "refuses the image as it was shipped too, so it was not heard",
                    Verdict::TookLocal => "refused what was merged, so this host's version stands",
                    Verdict::Refused => "refuses what was merged",
                    Verdict::Unable => "could not say",
                };
                write!(f, "{}: {run}: {what}", self.name)?;
                let said = answer.said.lines().last().unwrap_or_default();
                if said.is_empty() { Ok(()) } else { write!(f, ": {said}") }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checker_is_read() {
        let text = b"# ours\npath /etc/app.conf\npath /etc/app.d/** # all\nrun /usr/bin/app --check  -v\ndirectory app\nlimit 30\non-failure block\n";
        let read = Validator::parse("app", text).unwrap();
        let path = |text: &str| TreePath::parse(text.as_bytes()).unwrap();
        assert_eq!(read.paths, [(path("etc/app.conf"), Reach::Exact), (path("etc/app.d"), Reach::Tree)]);
        assert_eq!(read.argv, ["/usr/bin/app", "--check", "-v"]);
        let rest = (read.directory.as_deref(), read.limit_sec, read.on_failure);
        assert_eq!(rest, (Some("app"), 30, OnFailure::Block));
        assert!(read.concerns(&path("etc/app.d/x/y")) && !read.concerns(&path("etc/app.conf2")));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        for (text, why) in [
            (&b""[..], "no line 'path PATH'"),
            (b"path /etc/x", "no line 'run PROGRAM'"),
            (b"path etc/x", "f:1: 'etc/x'"),
            (b"\nrun app", "f:2: 'app' is not a program named from the root on"),
            (b"run /a\nrun /b", "f:2: it says twice"),
            (b"directory ../x", "no plain name"),
            (b"limit 0", "not between 1 and 300"),
            (b"on-failure panic", "neither local, block nor report"),
            (b"shell x", "'shell' is none of"),
            (b"\xff", "not UTF-8"),
        ] {
            let error = Validator::parse("f", text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
