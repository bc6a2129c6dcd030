//! `state resolve`: decide over a path that an update decided over.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use thinroot_core::name::LayerName;
use thinroot_core::path::TreePath;
use thinroot_core::state::Choice;
use thinroot_core::state::text::{MAX_TEXT_BYTES, has_markers};
use thinroot_engine::error::{Error, ErrorKind, IoContext, Result};
use thinroot_engine::host::{ChangedSince, EditWish, Host};

use super::tree_path;
use super::undo::edited;
use crate::answer::Answer;
use crate::guide::{CHANGES, Guide};
use crate::session::{Mounts, Session};

/// Which path, and what it is to be.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("side").required(true))]
pub struct Args {
    /// The path
    #[arg(value_name = "PATH")]
    pub path: OsString,
    /// What this host had before the update
    #[arg(long, group = "side")]
    pub mine: bool,
    /// What the image ships
    #[arg(long, group = "side")]
    pub theirs: bool,
    /// The content of this file; owner, mode and attributes stay
    #[arg(long, group = "side", value_name = "FILE")]
    pub merged: Option<PathBuf>,
    /// Both texts in $VISUAL or $EDITOR, with marks where they clash
    #[arg(long, group = "side")]
    pub edit: bool,
    /// Also where the path was changed in the layer since; what it is now is kept
    #[arg(long)]
    pub force: bool,
    /// The layer [default: the newest that an update made]
    #[arg(long, value_name = "LAYER")]
    pub layer: Option<LayerName>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub plan: bool,
}

/// How it is used.
pub const GUIDE: Guide = Guide {
    verb: &["state", "resolve"],
    examples: &[
        ("thinroot state resolve /etc/ssh/sshd_config --theirs", "take the image's version after all"),
        ("thinroot state resolve /etc/hosts --merged /root/hosts", "take this text"),
        ("thinroot state resolve /etc/hosts --edit", "choose line by line"),
    ],
    exits: CHANGES,
};

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    let path = tree_path(&args.path)?;
    let host = session.host(Mounts::Private)?;
    let wish = match (args.mine, args.theirs, &args.merged) {
        (true, ..) => EditWish::Side(path, Choice::Mine),
        (_, true, _) => EditWish::Side(path, Choice::Theirs),
        (.., Some(file)) => EditWish::Text(path, text_of(file)?),
        (false, false, None) => EditWish::Text(path.clone(), by_hand(&host, args.layer.as_ref(), &path)?),
    };
    let changed = if args.force { ChangedSince::KeepAside } else { ChangedSince::Refuse };
    edited(session, &host, args.layer.as_ref(), &wish, changed, args.plan)
}

fn text_of(file: &Path) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let opened = std::fs::File::open(file).at("open", file)?;
    opened.take(MAX_TEXT_BYTES + 1).read_to_end(&mut text).at("read", file)?;
    let refuse = |why| Err(Error::new(ErrorKind::Usage, format!("take {}", file.display()), why));
    if text.len() as u64 > MAX_TEXT_BYTES {
        return refuse(format!("it is larger than {MAX_TEXT_BYTES} bytes"));
    }
    if has_markers(&text) {
        return refuse("there are still conflict marks in it".into());
    }
    Ok(text)
}

/// Lets a person edit both texts. Nobody else can read the file meanwhile.
fn by_hand(host: &Host, layer: Option<&LayerName>, path: &TreePath) -> Result<Vec<u8>> {
    let marked = host.marked_text(layer, path)?;
    let editor = ["VISUAL", "EDITOR"].into_iter().find_map(std::env::var_os);
    let editor = editor.unwrap_or_else(|| "vi".into());
    let scratch = thinroot_engine::mounts::Scratch::new("edit")?;
    let file = scratch.path().join(std::ffi::OsStr::from_bytes(path.file_name()));
    std::fs::write(&file, &marked).at("write", &file)?;
    // The variable may hold options, so a shell takes it apart; the file is an argument and never part of the script.
    let script = format!("{} \"$1\"", editor.display());
    let status = std::process::Command::new("/bin/sh").args(["-c", &script, "sh"]).arg(&file).status();
    let ended = status.at("start the editor", Path::new(&editor))?;
    if !ended.success() {
        let why = format!("'{}' ended with {ended}", editor.display());
        return Err(Error::failed(format!("edit {path}"), why).mend("set EDITOR; nothing has been changed"));
    }
    if std::fs::read(&file).at("read", &file)? == marked {
        return Err(Error::refused(format!("edit {path}"), "the text was not changed")
            .mend("to take one side as it is: --mine or --theirs"));
    }
    text_of(&file)
}
