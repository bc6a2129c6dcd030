//! Kernel arguments: what an image says, what was changed here, and what the next layer gets of it.
//!
//! Must stay true: what was done to an entry by hand is found and carried like any state; a wish reaches a host only in a
//! layer that has tries and something to fall back to.

use std::io::Read;
use std::path::Path;

use thinroot_core::boot::cmdline::{by_hand, revised, with_wishes};
use thinroot_core::boot::{AdminChange, CommandLine, options};
use thinroot_core::name::LayerName;
use thinroot_core::path::TreePath;

use super::{Change, Host};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::tree::confined;

/// Where an image states kernel arguments, first one that is there; the names are kernel-install's.
const COMMAND_LINE_FILES: [&str; 2] = ["etc/kernel/cmdline", "usr/lib/kernel/cmdline"];
/// Longest file of kernel arguments that is read; the kernel takes 2,047 bytes.
const MAX_COMMAND_LINE_FILE: u64 = 64 << 10;

/// The kernel arguments of a layer, and what one made from it would get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    /// The layer.
    pub layer: LayerName,
    /// Its whole command line; none where it has no entry.
    pub line: Option<String>,
    /// The image's own, as the layer has them.
    pub image: String,
    /// What was changed by hand, in this layer or in one before it.
    pub by_hand: Vec<AdminChange>,
    /// What was asked for with `thinroot kargs`.
    pub wishes: Vec<AdminChange>,
    /// What the next layer gets, without the words that name its root.
    pub next: String,
    /// Why a change by hand is not carried.
    pub finding: Option<String>,
}

impl Host {
    /// The kernel arguments of the layer that runs, else of the one that boots next.
    pub fn arguments(&self) -> Result<Arguments> {
        let selection = self.boot.read_selection()?.unwrap_or_default();
        let layer = self.booted.as_ref().or(selection.default_layer()).ok_or_else(|| {
            Error::refused("look at kernel arguments", "no layer runs here, and none is the default")
                .mend("make one: thinroot layer fork BASE")
        })?;
        self.arguments_with(layer, self.records.argument_wishes()?)
    }

    fn arguments_with(&self, layer: &LayerName, wishes: Vec<AdminChange>) -> Result<Arguments> {
        let mounted = self.look_into(layer)?;
        let image = image_arguments(mounted.path())?;
        mounted.finish()?;
        let (by_hand, finding) = self.changed_by_hand(layer)?;
        let usage = |why: &dyn std::fmt::Display| Error::new(ErrorKind::Usage, "set kernel arguments", why);
        let all = with_wishes(&image, &by_hand, &wishes).map_err(|why| usage(&why))?;
        let root = self.store.kernel_root(&layer.volume())?;
        let own = options(&root, layer, "", &[]).map_err(|why| usage(&why))?.text;
        let next = options(&root, layer, &image, &all).map_err(|why| usage(&why))?.text;
        let next = next.strip_prefix(&own).unwrap_or(&next).trim().to_string();
        Ok(Arguments {
            layer: layer.clone(),
            line: self.boot.command_line(layer)?,
            image,
            by_hand,
            wishes,
            next,
            finding,
        })
    }

    /// What was changed by hand in the entry of a layer, or of the layers that its state came from; and why what is in its
    /// entry now cannot be carried.
    fn changed_by_hand(&self, layer: &LayerName) -> Result<(Vec<AdminChange>, Option<String>)> {
        let (Some(written), Some(now)) = (self.records.written(layer)?, self.boot.command_line(layer)?) else {
            return Ok((Vec::new(), None));
        };
        let root = self.store.kernel_root(&layer.volume())?;
        Ok(match by_hand(&root, layer, &written.line, &now) {
            Ok(mut changes) => {
                changes.splice(0..0, written.carried);
                (changes, None)
            }
            Err(why) => {
                let finding =
                    format!("the kernel arguments in the entry of {layer} were changed and are not carried: {why}");
                (written.carried, Some(finding))
            }
        })
    }

    /// The command line of a new layer's entry, what of it was carried from `from`, and a finding.
    pub(crate) fn new_command_line(
        &self,
        layer: &LayerName,
        from: Option<&LayerName>,
        image_args: &str,
    ) -> Result<(CommandLine, Vec<AdminChange>, Option<String>)> {
        let failed = |why: &dyn std::fmt::Display| Error::failed(format!("write the boot entry of {layer}"), why);
        let (carried, finding) = match from {
            Some(from) => self.changed_by_hand(from)?,
            None => (Vec::new(), None),
        };
        let root = self.store.kernel_root(&layer.volume())?;
        let all = with_wishes(image_args, &carried, &self.records.argument_wishes()?).map_err(|why| failed(&why))?;
        let line = options(&root, layer, image_args, &all).map_err(|why| failed(&why))?;
        Ok((line, carried, finding))
    }
}

impl Change<'_> {
    /// Adds to what is wanted of the kernel arguments of every next layer, each change in order. Everything is checked
    /// first, against the layer that runs.
    pub fn want_arguments(&self, changes: &[AdminChange]) -> Result<Arguments> {
        let host = self.host();
        let layer = host.arguments()?.layer;
        let wishes = changes.iter().fold(host.records.argument_wishes()?, |wishes, change| revised(&wishes, change));
        let arguments = host.arguments_with(&layer, wishes)?;
        host.records.put_argument_wishes(&arguments.wishes)?;
        Ok(arguments)
    }

    /// Wants nothing any more. What was changed by hand stays.
    pub fn forget_argument_wishes(&self) -> Result<Arguments> {
        self.host().records.put_argument_wishes(&[])?;
        self.host().arguments()
    }
}

/// The image's own kernel arguments, from the layer: an admin's edit of the file counts.
pub(crate) fn image_arguments(root: &Path) -> Result<String> {
    for name in COMMAND_LINE_FILES {
        let path = TreePath::parse(name.as_bytes()).expect("a constant path");
        let Some(file) = confined::open_file_if_there(root, &path)? else { continue };
        let mut text = String::new();
        file.take(MAX_COMMAND_LINE_FILE).read_to_string(&mut text).at("read", name)?;
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        return Ok(lines.collect::<Vec<_>>().join(" ").trim().to_string());
    }
    Ok(String::new())
}
