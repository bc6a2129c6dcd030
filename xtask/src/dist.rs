//! Packages of this tree: what is in them, and for whom.
//!
//! Separate from the verb, so that tests pack a small program instead of the real one. Must stay true: equal input gives
//! equal bytes; whatever is in a package comes from this repository or was built from it.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{Context, Result, workspace};

mod deb;
mod rpm;

/// What packages say of themselves.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Version, in the form that both kinds of packages order alike: `0.1.0`, or `0.1.0~git20260101.abcdef0` before it.
    pub version: String,
    /// When the source was committed, in seconds since 1970: every file of a package has it as its time.
    pub epoch: u64,
    /// Where the project is at home.
    pub homepage: String,
}

/// A kind of package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// For dpkg and apt.
    Deb,
    /// For rpm and dnf.
    Rpm,
}

impl Facts {
    /// Those of this repository's last commit. Only a commit that is tagged with its version has that version.
    pub fn of_repository() -> Result<Facts> {
        let metadata = workspace::metadata()?;
        let packages = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
        let own =
            packages.iter().find(|package| package["name"] == "thinroot").ok_or("there is no package thinroot")?;
        let text = |key: &str| own[key].as_str().map(String::from).ok_or(format!("thinroot has no {key}"));
        let (version, homepage) = (text("version")?, text("repository")?);
        let epoch = git(&["log", "-1", "--format=%ct"])?;
        let tags = git(&["tag", "--points-at", "HEAD"])?;
        let version = match tags.lines().any(|tag| tag == format!("v{version}")) {
            true => version,
            false => format!("{version}~git{}", git(&["log", "-1", "--format=%cd.%h", "--date=format:%Y%m%d"])?),
        };
        Ok(Facts { version, epoch: epoch.parse().context("read the time of the last commit")?, homepage })
    }
}

/// Packs a program with this repository's units and documentation. Gives the file.
pub fn pack(kind: Kind, program: &Path, facts: &Facts, work: &Path, out: &Path) -> Result<PathBuf> {
    let tree = work.join("tree");
    if tree.exists() {
        std::fs::remove_dir_all(&tree).context(format!("remove {}", tree.display()))?;
    }
    lay_out(kind, program, &tree)?;
    set_times(&tree, facts.epoch)?;
    std::fs::create_dir_all(out).context(format!("create {}", out.display()))?;
    match kind {
        Kind::Deb => deb::pack(&tree, facts, work, out),
        Kind::Rpm => rpm::pack(&tree, facts, work, out),
    }
}

/// Documentation for users, from the root of the repository.
const DOCS: [&str; 9] = [
    "README.md",
    "CHANGELOG.md",
    "docs/boot.md",
    "docs/exit-codes.md",
    "docs/glossary.md",
    "docs/health.md",
    "docs/json.md",
    "docs/migrations.md",
    "docs/policy.md",
];

/// What initrds are made with, for both tools that make them.
const INITRD: [(&str, &str, u32); 5] = [
    ("initramfs-hook.sh", "usr/share/initramfs-tools/hooks/thinroot", 0o755),
    ("deadman.sh", "usr/share/initramfs-tools/scripts/init-top/thinroot", 0o755),
    ("module-setup.sh", "usr/lib/dracut/modules.d/95thinroot/module-setup.sh", 0o755),
    ("deadman.sh", "usr/lib/dracut/modules.d/95thinroot/deadman.sh", 0o755),
    ("dracut-hook.sh", "usr/lib/dracut/modules.d/95thinroot/hook.sh", 0o755),
];

/// Where the hook for kernels is called from, by Debian's kernels and initramfs-tools, and by kernel-install.
const KERNEL_HOOKS: [&str; 3] =
    ["etc/kernel/postinst.d/zz-thinroot", "etc/kernel/postrm.d/zz-thinroot", "etc/initramfs/post-update.d/zz-thinroot"];
const KERNEL_INSTALL_HOOK: &str = "usr/lib/kernel/install.d/95-thinroot.install";

/// The tree as it is on a host.
fn lay_out(kind: Kind, program: &Path, tree: &Path) -> Result<()> {
    let root = workspace::root();
    let put = |from: &Path, to: &str, mode: u32| -> Result<()> {
        let to = tree.join(to);
        let dir = to.parent().unwrap_or(tree);
        std::fs::create_dir_all(dir).context(format!("create {}", dir.display()))?;
        std::fs::copy(from, &to).context(format!("copy {} to {}", from.display(), to.display()))?;
        std::fs::set_permissions(&to, PermissionsExt::from_mode(mode)).context(format!("chmod {}", to.display()))
    };
    put(program, "usr/bin/thinroot", 0o755)?;
    for unit in listed(&root.join("units"))? {
        put(&unit, &format!("usr/lib/systemd/system/{}", file_name(&unit)), 0o644)?;
    }
    for (from, to, mode) in INITRD {
        put(&root.join("packaging/initrd").join(from), to, mode)?;
    }
    let hooks: &[&str] = match kind {
        Kind::Deb => &KERNEL_HOOKS,
        Kind::Rpm => &[KERNEL_INSTALL_HOOK],
    };
    for hook in hooks {
        put(&root.join("packaging/kernel/hook.sh"), hook, 0o755)?;
    }
    for page in listed(&root.join("docs/man"))? {
        let to = format!("usr/share/man/man8/{}", file_name(&page));
        put(&page, &to, 0o644)?;
        // Without a name and a time in it, so that its bytes depend on the page alone.
        run(Command::new("gzip").args(["-9n", "--force"]).arg(tree.join(&to)))?;
    }
    let (zsh, licences) = match kind {
        Kind::Deb => ("vendor-completions", "usr/share/doc/thinroot"),
        Kind::Rpm => ("site-functions", "usr/share/licenses/thinroot"),
    };
    let completions = root.join("docs/completions");
    put(&completions.join("thinroot.bash"), "usr/share/bash-completion/completions/thinroot", 0o644)?;
    put(&completions.join("thinroot.fish"), "usr/share/fish/vendor_completions.d/thinroot.fish", 0o644)?;
    put(&completions.join("_thinroot"), &format!("usr/share/zsh/{zsh}/_thinroot"), 0o644)?;
    for doc in DOCS {
        put(&root.join(doc), &format!("usr/share/doc/thinroot/{}", file_name(Path::new(doc))), 0o644)?;
    }
    for example in listed(&root.join("docs/examples/migrations"))? {
        let to = format!("usr/share/doc/thinroot/examples/migrations/{}", file_name(&example));
        put(&example, &to, 0o644)?;
    }
    for need in ["required", "wanted"] {
        for example in listed(&root.join("docs/examples/health").join(need))? {
            let to = format!("usr/share/doc/thinroot/examples/health/{need}/{}", file_name(&example));
            put(&example, &to, 0o755)?;
        }
    }
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        put(&root.join(licence), &format!("{licences}/{licence}"), 0o644)?;
    }
    std::fs::write(tree.join(licences).join("third-party"), third_party()?).context("write licences of others")?;
    match kind {
        Kind::Deb => {
            let text = "Source: this repository. Licence: MIT OR Apache-2.0, see LICENSE-MIT and LICENSE-APACHE.\n\
                        Libraries in the program: see third-party.\n";
            std::fs::write(tree.join("usr/share/doc/thinroot/copyright"), text).context("write copyright")
        }
        Kind::Rpm => {
            let preset = root.join("packaging/rpm/80-thinroot.preset");
            put(&preset, "usr/lib/systemd/system-preset/80-thinroot.preset", 0o644)
        }
    }
}

/// The licence texts of the libraries that are linked in, as their packages bring them.
fn third_party() -> Result<String> {
    let args =
        ["tree", "--package", "thinroot", "--edges", "normal", "--prefix", "none", "--format", "{p}", "--locked"];
    let out = workspace::cargo(&args).output().context("run cargo tree")?;
    if !out.status.success() {
        return Err(format!("cargo tree: {}", String::from_utf8_lossy(&out.stderr)));
    }
    let linked = String::from_utf8_lossy(&out.stdout).into_owned();
    let linked: std::collections::BTreeSet<&str> = linked.lines().filter_map(|line| line.split(' ').next()).collect();
    let metadata = workspace::metadata()?;
    let mut text = String::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let of = |key: &str| package[key].as_str().unwrap_or_default();
        if package["source"].is_null() || !linked.contains(of("name")) {
            continue;
        }
        text += &format!("== {} {}: {}\n\n", of("name"), of("version"), of("license"));
        let dir = Path::new(of("manifest_path")).parent().unwrap_or(Path::new("/"));
        let is_licence = |path: &PathBuf| {
            let name = file_name(path).to_ascii_uppercase();
            path.is_file() && ["LICENSE", "LICENCE", "COPYING", "NOTICE"].iter().any(|word| name.starts_with(word))
        };
        for file in listed(dir)?.into_iter().filter(is_licence) {
            text += &String::from_utf8_lossy(&std::fs::read(&file).context(format!("read {}", file.display()))?);
            text += "\n\n";
        }
    }
    Ok(text)
}

/// A text of this repository's packaging, with its `@WORD@`s filled in.
fn template(name: &str, words: &[(&str, &str)]) -> Result<String> {
    let path = workspace::root().join("packaging").join(name);
    let text = std::fs::read_to_string(&path).context(format!("read {}", path.display()))?;
    Ok(words.iter().fold(text, |text, (word, value)| text.replace(&format!("@{word}@"), value)))
}

/// Everything below a directory has this time, so that packages of equal trees are equal.
fn set_times(dir: &Path, epoch: u64) -> Result<()> {
    let when = format!("@{epoch}");
    run(Command::new("find").arg(dir).args(["-exec", "touch", "--no-dereference", "--date", &when, "{}", "+"]))
}

fn listed(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir).context(format!("read {}", dir.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
    paths.iter_mut().for_each(|paths| paths.sort());
    paths.context(format!("read {}", dir.display()))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn git(args: &[&str]) -> Result<String> {
    let mut command = Command::new("git");
    said(command.args(args).current_dir(workspace::root())).map(|text| text.trim().to_string())
}

/// Runs a command that has to succeed; gives what it wrote to stdout.
fn said(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let out = command.stdin(Stdio::null()).output().context(&shown)?;
    match out.status.success() {
        true => Ok(String::from_utf8_lossy(&out.stdout).into_owned()),
        false => Err(format!("{shown}: {}: {}", out.status, String::from_utf8_lossy(&out.stderr))),
    }
}

fn run(command: &mut Command) -> Result<()> {
    said(command).map(drop)
}
