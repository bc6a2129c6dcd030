//! The verbs: what each is called, and its arguments.

use std::process::ExitCode;

use crate::Result;

mod bench;
mod demo;
mod dist;
mod images;
mod licences;
mod proof;
mod test;
mod tidy;
mod uml;
mod vm;

const HELP: &str = "\
cargo xtask VERB
  demo [--no-vm]     shows an update of a real Debian, with everything built from this tree
  proof              carries fifty changes of an admin to the image of today and looks for each in the booted machine
  dist [--out DIRECTORY]
                     builds a .deb and a .rpm of this tree
  test [--quick|--nightly]
                     builds and runs all tests, those with real LVM in a test kernel
  crash [--nightly]  only the power cuts of these: an update, a rollback, a removal, on real LVM
  bench [--quick] [growth|copy|delta|memory|page]…
                     measures room, time and memory, and writes docs/performance.md
  bench [--quick] state
                     measures the state engine, and writes docs/performance-state.md
  tidy               checks the rules of the house that the compiler does not know
  licences           checks that every dependency has an allowed licence
  images [--weekly]  builds the Debian images of demo and bench into the cache
  vm [--small | [WAY]… [ROW]…]
                     hosts made by 'thinroot install', started by real firmware; a WAY is bios-grub, uefi-grub or
                     uefi-systemd-boot; a ROW is chain (loaders alone), life (a Debian is updated, goes back and forward, bad
                     images give way), cuts (power cuts during an update and a first start), or short (a part of life)
  uml [-d IMAGE[,ro]]… [-b DIR[,ro]]… [-e K=V]… [-t SECONDS] -- COMMAND
                     runs a shell command as root in a throw-away test kernel
";

/// Runs one verb.
pub fn run(args: &[String]) -> Result<ExitCode> {
    let (verb, rest) = args.split_first().map_or(("help", args), |(verb, rest)| (verb.as_str(), rest));
    match verb {
        "test" => test::run(rest),
        "crash" => test::run_cuts(rest),
        "bench" => bench::run(rest),
        // Started by bench inside the test kernel.
        "bench-guest" => bench::run_guest(rest),
        "images" => images::run(rest),
        "vm" => vm::run(rest),
        "tidy" => tidy::run(rest),
        "licences" => licences::run(rest),
        "demo" => demo::run(rest),
        "dist" => dist::run(rest),
        "proof" => proof::run(rest),
        "uml" => uml::run(rest),
        "help" | "-h" | "--help" => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        other => Err(format!("no verb {other:?}\n{HELP}")),
    }
}
