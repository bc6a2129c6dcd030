//! `cargo xtask uml`: one command in a test kernel.

use std::process::ExitCode;
use std::time::Duration;

use crate::bed::{Access, Bed, End};
use crate::cache::Cache;
use crate::{Context, Result, packages};

/// What the shell's `timeout` gives.
const TIMED_OUT: u8 = 124;
/// The kernel died without a result.
const CUT: u8 = 125;

/// Parses the options, runs the command, gives its exit code.
pub fn run(args: &[String]) -> Result<ExitCode> {
    packages::ensure(&[packages::UML])?;
    let cache = Cache::open()?;
    let mut bed = Bed::new(&cache).live();
    let mut words = args.iter();
    let mut command = Vec::new();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word.as_str() {
            "-d" => {
                let (path, access) = access(value()?);
                bed = bed.disk(path, access);
            }
            "-b" => {
                let (path, access) = access(value()?);
                bed = bed.bind(path, access);
            }
            "-e" => {
                let (key, value) = value()?.split_once('=').ok_or("-e needs KEY=VALUE")?;
                bed = bed.env(key, value);
            }
            "-t" => bed = bed.timeout(Duration::from_secs(value()?.parse().context("-t SECONDS")?)),
            "--" => command.extend(words.by_ref().cloned()),
            _ => return Err(format!("unknown option {word:?}; the command comes after --")),
        }
    }
    if command.is_empty() {
        return Err("no command: cargo xtask uml -- COMMAND".into());
    }
    let got = bed.run(&command.join(" "))?;
    Ok(match got.end {
        End::Done(rc) => ExitCode::from(u8::try_from(rc).unwrap_or(u8::MAX)),
        End::Cut => {
            eprintln!("xtask: the test kernel died without a result; it said last:\n{}", got.console);
            ExitCode::from(CUT)
        }
        End::TimedOut => ExitCode::from(TIMED_OUT),
        End::Stalled => {
            eprintln!("the clock of the test kernel stood still; try again");
            ExitCode::from(CUT)
        }
    })
}

fn access(word: &str) -> (&str, Access) {
    word.strip_suffix(",ro").map_or((word, Access::Write), |path| (path, Access::Read))
}
