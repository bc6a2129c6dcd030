//! Steps on the boot directory, among them the commit point.

use std::path::Path;

use thinroot_core::boot::{KernelVersion, NewEntry, Selection};
use thinroot_core::image::{Kernel, find_kernels};
use thinroot_core::manifest::Manifest;
use thinroot_core::name::LayerName;
use thinroot_core::plan::Step;

use super::Execution;
use crate::boot::KernelFile;
use crate::error::{Error, Result};
use crate::host::image_arguments;
use crate::records::Written;
use crate::store::{Access, Ensured};
use crate::tree::confined;

impl Execution<'_> {
    pub(super) fn write_entry(&mut self, layer: &LayerName, version: &str) -> Result<String> {
        let host = self.host;
        let attempted = format!("write the boot entry of {layer}");
        let bad = |why: String| Error::failed(attempted.clone(), why);
        let manifest = host.manifest(layer.base())?;
        let kernel = find_kernels(&manifest).into_iter().find(|kernel| kernel.version == version);
        let kernel = kernel.ok_or_else(|| bad(format!("{} has no kernel {version}", layer.base())))?;
        let mounted = host.store.mount(&layer.volume(), Access::Inspect)?;
        let installed = self.install(mounted.path(), layer, &manifest, &kernel)?;
        let image_args = image_arguments(mounted.path())?;
        mounted.finish()?;
        let (line, carried, finding) = host.new_command_line(layer, self.state_of(layer).as_ref(), &image_args)?;
        self.findings.extend(finding);
        if !line.replaced.is_empty() {
            self.findings
                .push(format!("kernel arguments of the image that thinroot sets itself: {}", line.replaced.join(" ")));
        }
        let Some((linux, initrd)) = installed.split_first() else {
            return Err(bad(format!("{} has no kernel {version}", layer.base())));
        };
        let title = host.records.image(layer.base())?.map_or_else(|| layer.base().name().into(), |image| image.title);
        let entry = NewEntry {
            layer: layer.clone(),
            kernel: KernelVersion::parse(version).map_err(|e| bad(e.to_string()))?,
            title: format!("{title} ({layer})"),
            machine_id: None,
            linux: linux.name(),
            initrd: initrd.iter().map(KernelFile::name).collect(),
            options: line.text.clone(),
        };
        host.records.put_written(layer, &Written { line: line.text, carried })?;
        host.boot.write_entry(&entry.build().map_err(|e| bad(e.to_string()))?)?;
        Ok(String::new())
    }

    /// The layer that a new one of this plan has its state from; none where it is as the image was published.
    fn state_of(&self, wanted: &LayerName) -> Option<LayerName> {
        let steps = &self.plan().steps;
        let merged = steps.iter().find_map(|step| {
            let Step::MergeState { from, layer, .. } = step else { return None };
            (layer == wanted).then(|| from.clone())
        });
        let copied = || {
            let origin = steps.iter().find_map(|step| {
                let Step::CreateLayer { layer, origin } = step else { return None };
                (layer == wanted).then_some(origin)
            });
            origin.and_then(|origin| origin.as_str().parse().ok())
        };
        merged.or_else(copied)
    }

    /// Copies kernel and initrd out of the mounted layer; each must still be what the image brought. An adopted layer does
    /// not have them: there they lie in its base only.
    fn install(&self, root: &Path, layer: &LayerName, manifest: &Manifest, kernel: &Kernel) -> Result<Vec<KernelFile>> {
        let mut installed = Vec::new();
        for (path, file) in KernelFile::of_kernel(manifest, kernel) {
            if let Some(mut content) = confined::open_file_if_there(root, &path)? {
                self.host.boot.install_kernel(&mut content, &file)?;
            } else {
                let base = self.host.store.mount(&layer.base().volume(), Access::Inspect)?;
                let mut content = confined::open_file(base.path(), &path)?;
                self.host.boot.install_kernel(&mut content, &file)?;
                drop(content);
                base.finish()?;
            }
            installed.push(file);
        }
        Ok(installed)
    }

    pub(super) fn arm(&mut self, layer: &LayerName, tries: u8) -> Result<String> {
        let selection = self.host.boot.read_selection()?.unwrap_or_default();
        let wish = armed(&selection, layer, tries)?;
        self.host.boot.set_selection(&wish).map(|_: Ensured| String::new())
    }

    pub(super) fn suspend(&mut self, layer: &LayerName) -> Result<String> {
        let selection = self.host.boot.read_selection()?.unwrap_or_default();
        if selection.armed().is_some_and(|armed| armed.layer == *layer) {
            let free =
                selection.disarm().map_err(|e| Error::failed(format!("let the default boot, not {layer}"), e))?;
            self.host.boot.set_selection(&free)?;
        }
        Ok(String::new())
    }

    pub(super) fn undo_suspend(&mut self, layer: &LayerName, tries: u8) -> Result<()> {
        self.arm(layer, tries)?;
        // A cut in the middle may have left a file half written that arming what is armed does not write again.
        self.host.boot.sweep().map(drop)
    }

    pub(super) fn disarm(&mut self, layer: &LayerName) -> Result<String> {
        let selection = self.host.boot.read_selection()?.unwrap_or_default();
        let failed = |why: String| Error::failed(format!("boot the default {layer} next"), why);
        if selection.default_layer() != Some(layer) {
            return Err(failed("it is not the default any more".into()));
        }
        if selection.armed().is_some() {
            self.host.boot.set_selection(&selection.disarm().map_err(|e| failed(e.to_string()))?)?;
        }
        Ok(String::new())
    }

    pub(super) fn set_default(&mut self, layer: &LayerName) -> Result<String> {
        let selection = self.host.boot.read_selection()?.unwrap_or_default();
        if selection.default_layer() != Some(layer) {
            let adopted = selection.adopt(layer).map_err(|e| Error::failed(format!("make {layer} the default"), e))?;
            self.host.boot.set_selection(&adopted)?;
        }
        Ok(String::new())
    }

    pub(super) fn remove_entry(&mut self, layer: &LayerName) -> Result<String> {
        let selection = self.host.boot.read_selection()?.unwrap_or_default();
        // The second look: what boots next keeps its entry, whoever asks.
        let forgotten =
            selection.forget(layer).map_err(|e| Error::refused(format!("remove the entry of {layer}"), e))?;
        if forgotten != selection {
            self.host.boot.set_selection(&forgotten)?;
        }
        self.host.boot.remove_entry(layer)?;
        self.host.records.forget_written(layer).map(|()| String::new())
    }

    pub(super) fn undo_entry(&mut self, layer: &LayerName) -> Result<()> {
        self.host.boot.remove_entry(layer)?;
        self.host.records.forget_written(layer)?;
        self.host.boot.sweep().map(|_| ())
    }

    pub(super) fn sweep_boot(&mut self) -> Result<String> {
        let removed = self.host.boot.sweep()?;
        Ok(if removed.is_empty() { String::new() } else { format!("removed {}", removed.join(", ")) })
    }
}

/// The selection that boots `layer` next, whatever was armed before.
fn armed(selection: &Selection, layer: &LayerName, tries: u8) -> Result<Selection> {
    if selection.armed().is_some_and(|armed| armed.layer == *layer && armed.tries_left == tries) {
        return Ok(selection.clone());
    }
    let free = if selection.armed().is_some() { selection.disarm() } else { Ok(selection.clone()) };
    let wish = free.and_then(|free| free.arm(layer, tries));
    wish.map_err(|e| Error::failed(format!("arm {layer}"), e))
}
