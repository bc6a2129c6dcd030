//! `state`: how a layer differs from its base, what updates did with it, and what they would do.

mod catch_up;
mod conflicts;
mod diff;
mod explain;
mod pin;
mod plan;
mod policy;
mod resolve;
mod show;
mod undo;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use thinroot_core::path::TreePath;
use thinroot_engine::error::{Error, ErrorKind, Result};

use crate::answer::Answer;
use crate::guide::Guide;
use crate::session::Session;

/// State: how a layer differs from its base, and what updates made of it
#[derive(Debug, clap::Args)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub what: What,
}

/// What to do with state.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Show what was changed here against the base
    ///
    /// Lists every path that the layer has added, changed or deleted, and in what: content, mode, owner, group, extended
    /// attributes. With --unified also how the texts differ. Paths that an update would not carry say so. The content
    /// of a file that not everyone may read is never shown.
    ///
    /// Reads only.
    Diff(diff::Args),
    /// Show what an image would make of the state, and do nothing
    ///
    /// Merges the state of the present layer into an image, in memory: what would be carried, merged, set aside, and
    /// what a person would have to decide first. As 'update --plan' does it, but without the steps, and also for an
    /// image that is here already or older. Each decision has an id that is the same for the same question on every
    /// host.
    ///
    /// Reads only.
    Plan(plan::Args),
    /// Say why a path is as it is
    ///
    /// Shows what the layer has at a path and how that differs from the base, the rule that decides over it, and what
    /// each update through which this state came decided: since which base it is different, which side won and where
    /// the other is kept.
    ///
    /// Reads only.
    Explain(explain::Args),
    /// Show what the last update could not merge
    ///
    /// Lists the conflicts of the update that made the newest layer, as far as they are not resolved since: which side
    /// won, and where the other is kept. Exit code 4 says that there are some.
    ///
    /// Reads only.
    Conflicts(conflicts::Args),
    /// The rules over the state: which hold, and which decides over a path
    Policy(policy::Args),
    /// Keep paths as they are here, whatever an image says
    ///
    /// Also where a path is as the image has it now: later images do not change it. What an image would have had there is
    /// kept. Pins outlive updates; they are of this host, not of a layer.
    Pin(pin::Args),
    /// Let images change pinned paths again
    ///
    /// What was kept meanwhile stays as it is, as a change of this host.
    Unpin(pin::Args),
    /// List what is pinned
    ///
    /// Reads only.
    Pins,
    /// Decide over a path that an update decided over
    ///
    /// Takes one of the two sides, another text, or what comes out of an editor, and puts it into the layer, running or
    /// not. What the path had is kept, so that 'state undo' brings it back. The account files (passwd, group, shadow and
    /// their like) are changed together.
    Resolve(resolve::Args),
    /// Take along what was changed after an update was staged
    ///
    /// An update carries the state as it is while it is staged. Whatever is changed on the running layer between then and
    /// the restart is taken along by this: the merge is made again, and only what comes out otherwise is changed in the
    /// staged layer. A path that was changed in the staged layer too stays as it is there, and that is told. The service
    /// thinroot-catch-up runs it when the host shuts down.
    ///
    /// While it works the old layer is what would boot. Where it fails, everything stays as it was staged.
    CatchUp(catch_up::Args),
    /// Take back what an update, or a resolution after it, did to paths
    ///
    /// A path goes back to what it was before the last thing that was done to it: a resolution first, then the decision
    /// of the update, before which it was as the image ships it. With the name of a decision, or --all, everything since
    /// is taken back at once. A path that was changed in the layer since is refused unless --force is given, and is kept
    /// in any case. The undo itself can be undone: its answer says how.
    Undo(undo::Args),
    /// Show what an update carried, merged and set aside, and why
    ///
    /// Shows the recorded decisions of the last update, or of the named plan, by group: conflicts (with the value that
    /// lost), what to note, what was merged, what was carried. What lost is kept in the records; --kept prints it.
    ///
    /// Reads only.
    Show(show::Args),
}

/// How it is used.
pub const GUIDES: &[Guide] = &[
    diff::GUIDE,
    plan::GUIDE,
    explain::GUIDE,
    conflicts::GUIDE,
    resolve::GUIDE,
    undo::GUIDE,
    catch_up::GUIDE,
    show::GUIDE,
    policy::GUIDES[0],
    policy::GUIDES[1],
    pin::GUIDES[0],
    pin::GUIDES[1],
    pin::GUIDES[2],
];

/// Does it.
pub fn run(session: &Session, args: &Args) -> Result<Answer> {
    match &args.what {
        What::Diff(args) => diff::run(session, args),
        What::Plan(args) => plan::run(session, args),
        What::Explain(args) => explain::run(session, args),
        What::Conflicts(args) => conflicts::run(session, args),
        What::Policy(args) => policy::run(session, args),
        What::Pin(args) => pin::set(session, args, true),
        What::Unpin(args) => pin::set(session, args, false),
        What::Pins => pin::list(session),
        What::Resolve(args) => resolve::run(session, args),
        What::Undo(args) => undo::run(session, args),
        What::CatchUp(args) => catch_up::run(session, args),
        What::Show(args) => show::run(session, args),
    }
}

/// A path as a person writes it.
fn tree_path(text: &OsString) -> Result<TreePath> {
    let raw = text.as_bytes();
    let raw = raw.strip_prefix(b"/").unwrap_or(raw);
    let raw = raw.strip_suffix(b"/").unwrap_or(raw);
    TreePath::parse(raw).map_err(|why| Error::new(ErrorKind::Usage, format!("understand path {}", text.display()), why))
}

fn tree_paths(texts: &[OsString]) -> Result<Vec<TreePath>> {
    texts.iter().map(tree_path).collect()
}

/// Whether a path is among those that were asked for; without any, all are.
fn is_wanted(path: &TreePath, wanted: &[TreePath]) -> bool {
    wanted.is_empty() || wanted.iter().any(|dir| path.is_within(dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_as_people_write_them() {
        for text in ["/etc/ssh", "etc/ssh", "/etc/ssh/"] {
            assert_eq!(tree_path(&text.into()).unwrap().to_string(), "/etc/ssh", "{text}");
        }
        assert!(tree_path(&"/".into()).unwrap().is_root());
        assert_eq!(tree_path(&"../x".into()).unwrap_err().kind, ErrorKind::Usage);
    }
}
