//! What is known of an image.

use std::fmt::Write;

use thinroot_core::image::ImageInfo;
use thinroot_core::image::compare::{AccountTable, Comparison, PackageChange, PathChange, What};
use thinroot_core::image::lint::{Finding, Level};

use super::count;
use crate::size::human;

/// How many paths of a finding are named.
const NAMED: usize = 5;

/// A fact a line.
pub fn image(info: &ImageInfo) -> String {
    let mut out = String::new();
    let mut fact = |name: &str, value: String| {
        let _ = writeln!(out, "{name:<9} {value}"); // writing to a String cannot fail
    };
    fact("image", info.id.to_string());
    fact("title", info.title.clone());
    fact("arch", info.arch.as_str().into());
    fact("digest", info.digest.to_string());
    fact("content", format!("{} in {} paths", human(info.content_bytes), info.paths));
    for kernel in &info.kernels {
        let initrd = kernel.initrd.as_ref().map_or("none".to_string(), ToString::to_string);
        fact("kernel", format!("{}: {}, initrd {initrd}", kernel.version, kernel.image));
    }
    fact("source", info.source.clone());
    out
}

/// A line a difference; `+` came, `-` went, `~` is another.
pub fn diff([old, new]: [&ImageInfo; 2], diff: &Comparison, paths: bool) -> String {
    let mut out = format!("{} -> {}\n", old.id, new.id);
    let mut line = |text: String| out.extend([text.as_str(), "\n"]);
    let versions = |info: &ImageInfo| {
        let versions: Vec<&str> = info.kernels.iter().map(|kernel| kernel.version.as_str()).collect();
        versions.join(", ")
    };
    let (was, is) = (versions(old), versions(new));
    line(if was == is { format!("kernels: {is}, as before") } else { format!("kernels: {was} -> {is}") });
    match &diff.packages {
        None => line("packages: not compared, an image has no list of them that can be read here".into()),
        Some(packages) => {
            line(format!("packages: {}", count(packages.len(), "difference")));
            packages.iter().for_each(|package| line(format!("  {}", package_line(package, packages))));
        }
    }
    line(format!("accounts: {}", count(diff.accounts.len(), "difference")));
    for account in &diff.accounts {
        let table = match account.table {
            AccountTable::User => "user",
            AccountTable::Group => "group",
        };
        let name = &account.name;
        line(match (account.old, account.new) {
            (Some(old), Some(new)) => format!("  ~ {table} {name} {old} -> {new}"),
            (Some(old), None) => format!("  - {table} {name} {old}"),
            (None, new) => format!("  + {table} {name} {}", new.unwrap_or_default()),
        });
    }
    let configuration = || diff.paths.iter().filter(|path| path.config);
    line(format!("configuration: {}", count(configuration().count(), "difference")));
    configuration().for_each(|path| line(format!("  {}", path_line(path))));
    let of = |kind: fn(&What) -> bool| diff.paths.iter().filter(|path| kind(&path.what)).count();
    line(format!(
        "paths: {} added, {} removed, {} changed, {} in their time only; {} of new contents, {} gone",
        of(|what| *what == What::Added),
        of(|what| *what == What::Removed),
        of(|what| matches!(what, What::Changed(_))),
        diff.times_only,
        human(diff.new_bytes),
        human(diff.gone_bytes)
    ));
    if paths {
        diff.paths.iter().for_each(|path| line(format!("  {}", path_line(path))));
    }
    out
}

/// The architecture is named where it tells two packages apart.
fn package_line(package: &PackageChange, all: &[PackageChange]) -> String {
    let several = all.iter().filter(|other| other.name == package.name).count() > 1;
    let name = if several { format!("{}:{}", package.name, package.arch) } else { package.name.clone() };
    let (old, new) = (package.old.join(", "), package.new.join(", "));
    match (old.is_empty(), new.is_empty()) {
        (true, _) => format!("+ {name} {new}"),
        (_, true) => format!("- {name} {old}"),
        (false, false) => format!("~ {name} {old} -> {new}"),
    }
}

fn path_line(path: &PathChange) -> String {
    match &path.what {
        What::Added => format!("+ {}", path.path),
        What::Removed => format!("- {}", path.path),
        What::Changed(facets) => format!("~ {} ({})", path.path, facets.join(", ")),
    }
}

/// A finding, what it is about beneath it.
pub fn lint(info: &ImageInfo, findings: &[Finding]) -> String {
    let mut out = String::new();
    for finding in findings {
        out += &format!("{} {}: {}\n", finding.level, finding.rule, finding.said);
        finding.paths.iter().take(NAMED).for_each(|path| out += &format!("  {path}\n"));
        if finding.paths.len() > NAMED {
            out += &format!("  and {} more\n", finding.paths.len() - NAMED);
        }
    }
    let of = |level: Level| findings.iter().filter(|finding| finding.level == level).count();
    out + &format!("{}: {}, {}\n", info.id, count(of(Level::Error), "error"), count(of(Level::Warning), "warning"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use thinroot_core::image::{Arch, Kernel};
    use thinroot_core::manifest::Digest;
    use thinroot_core::path::TreePath;

    #[test]
    fn every_fact_has_its_line() {
        let kernel =
            Kernel { version: "6.1".into(), image: TreePath::parse(b"boot/vmlinuz-6.1").unwrap(), initrd: None };
        let info = ImageInfo {
            id: "node-2-0".parse().unwrap(),
            digest: Digest([1; 32]),
            arch: Arch::X86_64,
            title: "Node 2".into(),
            kernels: vec![kernel],
            paths: 7,
            content_bytes: 3 << 20,
            source: "tar:x.tar".into(),
        };
        let expected = format!(
            "\
image     node-2-0
title     Node 2
arch      x86_64
digest    {}
content   3.0 MiB in 7 paths
kernel    6.1: /boot/vmlinuz-6.1, initrd none
source    tar:x.tar
",
            "01".repeat(32)
        );
        assert_eq!(image(&info), expected);
    }
}
