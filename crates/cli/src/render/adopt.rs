//! What adopting a host would do, and what it did.

use thinroot_core::adopt::Deviation;
use thinroot_core::boot::AdminChange;
use thinroot_engine::adopt::Proposal;

use super::report::list;

/// How many files that were changed are named; the rest is counted.
const SHOWN: usize = 20;

/// Everything that was found, and the steps.
pub fn proposal(proposal: &Proposal) -> String {
    let root = &proposal.root;
    let boot = proposal.place.boot_dir.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    let mut text = format!("root      {}/{} in the thin pool {}\n", root.vg, root.lv, root.pool);
    text += &format!("loader    {} in {boot}\n", proposal.adoption.loader.as_str());
    let manager = proposal.manager.map_or("none", thinroot_engine::adopt::vendor::Manager::as_str);
    text += &format!("packages  {manager}\n");
    for adopted in &proposal.adoption.layers {
        let kernel = &adopted.kernel;
        text += &format!(
            "layer     {} is {}/{}; it boots {} with {}\n",
            adopted.layer, root.vg, adopted.volume, kernel.image, kernel.initrd
        );
    }
    let words: Vec<&str> = proposal.arguments.iter().map(word).collect();
    if !words.is_empty() {
        text += &format!("kernel arguments that every image gets: {}\n", words.join(" "));
    }
    text += &changed(proposal);
    text += &list("findings", &proposal.notes);
    text += "steps\n";
    text + &proposal.plan.to_string()
}

fn word(change: &AdminChange) -> &str {
    match change {
        AdminChange::Add(word) | AdminChange::Remove(word) => word,
    }
}

fn changed(proposal: &Proposal) -> String {
    if proposal.changed.is_empty() {
        return String::new();
    }
    let mut text =
        format!("{} paths of packages were changed here; what they were is the base's:\n", proposal.changed.len());
    for (path, deviation) in proposal.changed.iter().take(SHOWN) {
        let what = match deviation {
            Deviation::Missing { .. } => "removed",
            Deviation::Content => "changed",
            Deviation::Meta => "mode or owner",
        };
        text += &format!("  {what:14} {path}\n");
    }
    if proposal.changed.len() > SHOWN {
        text += &format!("  and {} more\n", proposal.changed.len() - SHOWN);
    }
    if !proposal.lacking.is_empty() {
        let packages: Vec<String> = proposal.lacking.iter().map(|(package, _)| package.clone()).collect();
        let files: usize = proposal.lacking.iter().map(|(_, files)| files).sum();
        text += &format!(
            "what {files} of them were is not known without these packages (--fetch downloads them, --packages DIR names \
             where they are): {}\n",
            packages.join(" ")
        );
    }
    text
}

/// What was done.
pub fn adopted(proposal: &Proposal) -> String {
    let layers = proposal.adoption.layers.iter().rev();
    let mut text = String::new();
    for (at, adopted) in layers.enumerate() {
        let how = if at == 0 { "this host runs it, and it boots next" } else { "it can be booted as before" };
        text += &format!("{}/{} is layer {}: {how}\n", proposal.root.vg, adopted.volume, adopted.layer);
    }
    text + "next: thinroot update IMAGE --plan; back to what was: thinroot init --undo\n"
}
