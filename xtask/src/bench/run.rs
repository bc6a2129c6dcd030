//! One run of `thinroot`, timed step by step and watched for its peak of memory.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::job::Group;
use crate::{Context, Result};

/// How often the peak of memory is read. The kernel keeps the peak itself: only one in the last moment can be missed.
const POLL: Duration = Duration::from_millis(5);

/// A program and the options that every call of it gets.
#[derive(Debug, Clone)]
pub struct Thinroot {
    program: PathBuf,
    options: Vec<String>,
}

/// What one run did.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// Wall time of the whole process.
    pub seconds: f64,
    /// Largest resident memory.
    pub peak_kib: u64,
    /// Each phase and step: how it began, how long it took, what it said in the end.
    pub steps: Vec<(String, f64, String)>,
}

impl Run {
    /// Time of the steps whose words begin like this.
    pub fn step_seconds(&self, begin: &str) -> f64 {
        self.steps.iter().filter(|(text, ..)| text.starts_with(begin)).map(|(_, seconds, _)| seconds).sum()
    }

    /// MiB that the writer says it has written.
    pub fn written_mib(&self) -> Option<f64> {
        let said = self.steps.iter().find_map(|(_, _, said)| said.strip_suffix(" MiB written"))?;
        said.rsplit(' ').next()?.parse().ok()
    }
}

impl Thinroot {
    /// A program on a store.
    pub fn new(program: &Path, store: &str, boot_dir: &Path) -> Self {
        let options = ["--store", store, "--boot-dir", &boot_dir.to_string_lossy(), "--json"].map(String::from);
        Thinroot { program: program.into(), options: options.into() }
    }

    /// Runs a verb; findings (exit code 4) are as good as none.
    pub fn run(&self, args: &[&str]) -> Result<Run> {
        let mut command = Command::new(&self.program);
        command.args(&self.options).args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let start = Instant::now();
        let mut group = Group::spawn(&mut command, None)?;
        let status_file = format!("/proc/{}/status", group.child().id());
        let stderr = group.child().stderr.take().ok_or("no pipe for stderr")?;
        let stdout = group.child().stdout.take().ok_or("no pipe for stdout")?;
        let answer = std::thread::spawn(move || std::io::read_to_string(stdout).unwrap_or_default());
        let story = std::thread::spawn(move || listen(stderr, start));
        let mut peak_kib = 0;
        let status = loop {
            peak_kib = peak_kib.max(peak(&status_file));
            if let Some(status) = group.wait_at_most(POLL)? {
                break status;
            }
        };
        let seconds = start.elapsed().as_secs_f64();
        let (steps, words) = story.join().map_err(|_| "the thread that reads the story panicked")?;
        match status.code() {
            Some(0 | 4) => Ok(Run { seconds, peak_kib, steps }),
            Some(_) | None => {
                let answer = answer.join().unwrap_or_default();
                Err(format!("thinroot {}: {status}\n{answer}{words}", args.join(" ")))
            }
        }
    }
}

fn listen(stderr: impl std::io::Read, start: Instant) -> (Vec<(String, f64, String)>, String) {
    let (mut steps, mut words, mut begun) = (Vec::new(), String::new(), (String::new(), 0.0));
    for line in BufReader::new(stderr).lines().map_while(std::result::Result::ok) {
        let now = start.elapsed().as_secs_f64();
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        let text = || event["text"].as_str().unwrap_or_default().to_string();
        match event["event"].as_str() {
            Some("begin") => begun = (text(), now),
            Some("end") => steps.push((begun.0.clone(), now - begun.1, text())),
            Some(_) => {}
            None => words.push_str(&format!("{line}\n")),
        }
    }
    (steps, words)
}

fn peak(status_file: &str) -> u64 {
    let text = std::fs::read_to_string(status_file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// Runs a command that has to succeed; gives its stdout.
pub fn must(program: &str, args: &[&str]) -> Result<String> {
    let out = Command::new(program).args(args).stdin(Stdio::null()).output().context(format!("run {program}"))?;
    if !out.status.success() {
        let words = String::from_utf8_lossy(&out.stderr);
        return Err(format!("{program} {}: {}\n{words}", args.join(" "), out.status));
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_story_gives_steps_with_their_words() {
        let story = "{\"event\":\"begin\",\"step\":2,\"text\":\"write base x\"}\n{\"event\":\"progress\",\"done\":1}\n\
            {\"event\":\"end\",\"step\":2,\"text\":\"3 removed, 12.5 MiB written\"}\nthinroot: oops\n";
        let (steps, words) = listen(story.as_bytes(), Instant::now());
        assert_eq!(words, "thinroot: oops\n");
        let run = Run { steps, ..Run::default() };
        assert_eq!(run.written_mib(), Some(12.5));
        assert_eq!(run.steps[0].0, "write base x");
    }
}
