//! The command line: every verb, and the options that all of them share.
//!
//! What a verb takes stands beside what it does, in `verbs/`; here is only what belongs to more than one of them.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use thinroot_core::name::ImageId;
use thinroot_engine::host::StoreRef;

use crate::verbs::{
    abandon, apply, base, bless, check, health, image, init, install, kargs, layer, prune, resume, rollback, state,
    status, update,
};

/// Image-based updates for Linux hosts whose root file system stays a normal, writable file system.
///
/// Each image is kept as a sealed, read-only base. The host boots a layer: a writable thin snapshot of one base. An
/// update adds a new base and a new layer beside the old ones, carries the host's own state across, and arms the new
/// layer's boot entry in one atomic act. Going back is choosing the old layer's entry.
///
/// A base never changes, nothing that the running layer reads is written before the new layer is armed, and a run that
/// was killed or lost its power is finished by 'thinroot resume' or undone by 'thinroot abandon'.
///
/// stdout is the answer, stderr the story of how it came about.
#[derive(Debug, Parser)]
#[command(name = "thinroot", version, disable_help_subcommand = true, max_term_width = 100)]
pub struct Cli {
    /// Options of every verb.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The store: dir:PATH for a directory of image files, lvm:VG/POOL for an LVM thin pool [default: that of the running layer]
    #[arg(long, global = true, value_name = "STORE", env = "THINROOT_STORE", hide_env_values = true)]
    pub store: Option<StoreRef>,
    /// The boot directory [default: PATH/boot for dir:PATH, /boot for lvm:VG/POOL]
    #[arg(long, global = true, value_name = "DIR", env = "THINROOT_BOOT_DIR", hide_env_values = true)]
    pub boot_dir: Option<PathBuf>,
    /// Answer with one JSON object on stdout, and tell the story as one JSON event a line on stderr
    #[arg(long, global = true)]
    pub json: bool,
    /// Tell no story: print the answer and errors only
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// An image to read.
#[derive(Debug, Clone, clap::Args)]
pub struct ImageArgs {
    /// Where the image is: dir:PATH, tar:FILE, squashfs:FILE, raw:FILE, oci:DIR[:TAG] or oci-archive:FILE[:TAG]
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// Who the image is, whatever it says itself
    #[arg(long = "as", value_name = "NAME-VERSION-RELEASE")]
    pub identity: Option<ImageId>,
}

/// Every verb.
#[derive(Debug, Subcommand)]
#[allow(missing_docs, reason = "what a variant means is said by its arguments, which are also its help text")]
pub enum Verb {
    Status(status::Args),
    Init(init::Args),
    Install(install::Args),
    Base(base::Args),
    Layer(layer::Args),
    Update(update::Args),
    Apply(apply::Args),
    Rollback(rollback::Args),
    Resume(resume::Args),
    Abandon(abandon::Args),
    Prune(prune::Args),
    Check(check::Args),
    Bless(bless::Args),
    Health(health::Args),
    Image(image::Args),
    Kargs(kargs::Args),
    State(state::Args),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;

    fn parse(line: &str) -> Result<Cli, ErrorKind> {
        Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.kind())
    }

    #[test]
    fn the_definition_is_sound() {
        crate::command().debug_assert();
    }

    #[test]
    fn global_options_stand_before_and_behind_the_verb() {
        for line in ["thinroot --store dir:/s --json status", "thinroot status --store dir:/s --json"] {
            let cli = parse(line).unwrap();
            assert_eq!(cli.global.store, Some("dir:/s".parse().unwrap()), "{line}");
            assert!(cli.global.json && !cli.global.quiet, "{line}");
        }
    }

    #[test]
    fn names_sizes_and_stores_are_checked_at_the_door() {
        let bad = [
            ("thinroot --store /s status", ErrorKind::ValueValidation),
            ("thinroot rollback --to node-1-0", ErrorKind::ValueValidation),
            ("thinroot base remove node", ErrorKind::ValueValidation),
            ("thinroot update tar:x --size 8GB", ErrorKind::ValueValidation),
            ("thinroot update tar:x --as node", ErrorKind::ValueValidation),
            ("thinroot update tar:x --fs btrfs", ErrorKind::InvalidValue),
            ("thinroot update tar:x --check --plan", ErrorKind::ArgumentConflict),
            ("thinroot prune --keep x", ErrorKind::ValueValidation),
            ("thinroot base add", ErrorKind::MissingRequiredArgument),
            ("thinroot layer remove", ErrorKind::MissingRequiredArgument),
            ("thinroot frobnicate", ErrorKind::InvalidSubcommand),
        ];
        for (line, kind) in bad {
            assert_eq!(parse(line).unwrap_err(), kind, "{line}");
        }
    }

    #[test]
    fn a_command_for_a_layer_keeps_its_own_options() {
        let cli = parse("thinroot layer shell node-1-0+1 -- ls -l --json").unwrap();
        let Verb::Layer(args) = cli.verb else { panic!("not layer") };
        let layer::What::Shell { layer, command } = args.what else { panic!("not shell") };
        assert_eq!(layer.to_string(), "node-1-0+1");
        assert_eq!(command, ["ls", "-l", "--json"]);
        assert!(!cli.global.json);
    }
}
