//! `cargo xtask vm`: the matrix of machines with real firmware.

use std::process::ExitCode;
use std::sync::Mutex;

use crate::cache::Cache;
use crate::image::{self, Weekly};
use crate::matrix::host::{Images, Scope};
use crate::matrix::{Ground, Way, adopt, chain, host, soft};
use crate::{Result, packages};

/// A machine has one processor; more of them than processors here make all of them slower.
const MACHINES: usize = 2;

/// A row of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Chain,
    Short,
    Life,
    Cuts,
    Adopt,
    Soft,
}

impl Row {
    const ALL: [(&'static str, Row); 6] = [
        ("chain", Row::Chain),
        ("short", Row::Short),
        ("life", Row::Life),
        ("cuts", Row::Cuts),
        ("adopt", Row::Adopt),
        ("soft", Row::Soft),
    ];

    fn parse(name: &str) -> Option<Row> {
        Row::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, row)| row)
    }

    fn name(self) -> &'static str {
        Row::ALL.into_iter().find(|(_, row)| *row == self).map_or("", |(name, _)| name)
    }
}

/// For each change: both loaders and both firmwares.
const SMALL: [(Way, Row); 2] = [(Way::BiosGrub, Row::Chain), (Way::UefiSystemdBoot, Row::Chain)];

/// Runs the rows that are asked for, else all but the short one, which is a part of a longer one.
pub fn run(args: &[String]) -> Result<ExitCode> {
    let rows = asked(args)?;
    packages::ensure(&[packages::IMAGES, packages::VM, packages::UML, packages::INSTALL, packages::DIST])?;
    if !rustix::process::getuid().is_root() {
        return Err("the machines' images are made with mounts, and so need root: run it with sudo".into());
    }
    let cache = Cache::open()?;
    let images = image::ensure(&cache, &super::images::today()?, Weekly::No)?;
    let ground = Ground::new(cache)?;
    if rows.iter().any(|(_, row)| *row == Row::Chain) {
        chain::images(&ground, &images.second.archive)?;
    }
    let whole = rows.iter().any(|(_, row)| matches!(row, Row::Short | Row::Life | Row::Cuts));
    let adopted = rows.iter().any(|(_, row)| *row == Row::Adopt);
    let adopted = adopted.then(|| adopt::images(&ground, &images)).transpose()?;
    let softly = rows.iter().any(|(_, row)| *row == Row::Soft);
    let softly = softly.then(|| soft::images(&ground, &images)).transpose()?;
    let life = rows.iter().any(|(_, row)| *row == Row::Life);
    let scope = if life { Scope::Life } else { Scope::Short };
    let hosts = whole.then(|| host::images(&ground, &images, scope)).transpose()?;
    let made = Made { hosts, adopted, softly };
    let (next, ended) = (Mutex::new(rows.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..MACHINES {
            scope.spawn(|| {
                loop {
                    // A statement of its own: the lock must not be held while the row runs.
                    let taken = locked(&next).next();
                    let Some((way, row)) = taken else { break };
                    let result = one(&ground, *way, *row, &made);
                    let said = result.as_ref().map_or_else(|why| format!("FAIL: {why}"), |()| "ok".into());
                    println!("vm: {} {}: {said}", way.name(), row.name());
                    locked(&ended).push(result.map_err(|why| format!("{} {}: {why}", way.name(), row.name())));
                }
            });
        }
    });
    let failed: Vec<String> = locked(&ended).drain(..).filter_map(Result::err).collect();
    failed.iter().for_each(|why| println!("\nvm: {why}"));
    println!("vm: {} passed, {} failed", rows.len() - failed.len(), failed.len());
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The images of the rows that are asked for.
struct Made {
    hosts: Option<Images>,
    adopted: Option<adopt::Images>,
    softly: Option<soft::Images>,
}

fn one(ground: &Ground, way: Way, row: Row, made: &Made) -> Result<()> {
    const NONE: &str = "there are no images";
    let hosts = || made.hosts.as_ref().ok_or(NONE);
    match row {
        Row::Chain => chain::row(ground, way),
        Row::Short => host::short(ground, way, hosts()?),
        Row::Life => host::life(ground, way, hosts()?),
        Row::Cuts => host::cuts(ground, way, hosts()?),
        Row::Adopt => adopt::row(ground, made.adopted.as_ref().ok_or(NONE)?),
        Row::Soft => soft::row(ground, made.softly.as_ref().ok_or(NONE)?),
    }
}

/// `[--small] [WAY]… [ROW]…`
fn asked(args: &[String]) -> Result<Vec<(Way, Row)>> {
    if args == ["--small"] {
        return Ok(SMALL.to_vec());
    }
    let (mut ways, mut rows) = (Vec::new(), Vec::new());
    for word in args {
        match (Way::ALL.into_iter().find(|way| way.name() == word), Row::parse(word)) {
            (Some(way), _) => ways.push(way),
            (None, Some(row)) => rows.push(row),
            (None, None) => {
                return Err(format!("no way and no row {word:?}; usage: cargo xtask vm [--small | [WAY]… [ROW]…]"));
            }
        }
    }
    if ways.is_empty() {
        ways = Way::ALL.to_vec();
    }
    if rows.is_empty() {
        rows = vec![Row::Chain, Row::Life, Row::Cuts, Row::Adopt, Row::Soft];
    }
    let all = rows.iter().flat_map(|row| ways.iter().map(|way| (*way, *row)));
    // A host that is adopted was installed with GRUB for a BIOS; a soft reboot has nothing to do with firmware.
    let one_way = |row: &Row| matches!(row, Row::Adopt | Row::Soft);
    let asked: Vec<(Way, Row)> = all.filter(|(way, row)| !one_way(row) || *way == Way::BiosGrub).collect();
    if asked.is_empty() {
        return Err("the rows 'adopt' and 'soft' are only for bios-grub".into());
    }
    Ok(asked)
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_asked_for_by_name() {
        let ask = |line: &str| asked(&line.split_whitespace().map(String::from).collect::<Vec<_>>());
        assert_eq!(ask("bios-grub life"), Ok(vec![(Way::BiosGrub, Row::Life)]));
        assert_eq!(ask("uefi-grub chain cuts"), Ok(vec![(Way::UefiGrub, Row::Chain), (Way::UefiGrub, Row::Cuts)]));
        assert_eq!(ask("").unwrap().len(), 11);
        assert!(ask("uefi-grub adopt").is_err());
        assert_eq!(ask("--small"), Ok(SMALL.to_vec()));
        assert!(ask("bios").is_err() && ask("--small chain").is_err());
    }
}
