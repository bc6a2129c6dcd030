//! What `status`, `base list` and `layer list` show.

use thinroot_core::boot::KeepReason;
use thinroot_core::journal::Outcome;
use thinroot_core::name::LayerName;
use thinroot_engine::host::{LastPlan, Status};
use thinroot_engine::store::StoreKind;

use super::report::list;
use super::table::{Align, table};
use crate::size::human;

/// Everything on one page.
pub fn status(status: &Status) -> String {
    let parts = [head(status), layers(status), bases(status), list("findings", &status.findings)];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

fn head(status: &Status) -> String {
    let kind = match status.store {
        StoreKind::Directory => "directory",
        StoreKind::LvmThin => "LVM thin pool",
        StoreKind::Simulated => "simulated",
    };
    let space = &status.space;
    let mut out =
        format!("store  {kind}, {} free of {}", human(space.data_free_bytes()), human(space.data_total_bytes));
    if space.metadata_total_bytes > 0 {
        // In u128 the product cannot overflow.
        let percent = u128::from(space.metadata_used_bytes) * 100 / u128::from(space.metadata_total_bytes);
        out.push_str(&format!(", {percent}% of its metadata used"));
    }
    let boot = &status.boot_space;
    out.push_str(&format!("\nboot   {} free of {}\n", human(boot.free_bytes), human(boot.total_bytes)));
    if let (Some(loader), Some(next)) = (status.loader, &status.next) {
        out.push_str(&format!("next   {next}, says {}\n", loader.as_str()));
    }
    if let Some(last) = &status.last {
        out.push_str(&format!("last   {}\n", last_plan(last)));
    }
    out
}

fn last_plan(last: &LastPlan) -> String {
    let outcome = match last.outcome {
        None => "open",
        Some(Outcome::Done) => "done",
        Some(Outcome::DoneWithFindings) => "done, with findings",
        Some(Outcome::Failed) => "failed and undone",
        Some(Outcome::Abandoned) => "abandoned",
    };
    let detail = match last.detail.lines().collect::<Vec<_>>()[..] {
        [] => String::new(),
        [only] => format!(": {only}"),
        [first, ref rest @ ..] => format!(": {first} (and {} more)", rest.len()),
    };
    format!("{} {outcome}{detail}", last.id)
}

/// The layers.
pub fn layers(status: &Status) -> String {
    let header = [
        ("LAYER", Align::Left),
        ("MARKS", Align::Left),
        ("SIZE", Align::Right),
        ("USED", Align::Right),
        ("KEPT BECAUSE", Align::Left),
    ];
    let row = |layer: &thinroot_engine::host::LayerStatus| {
        [
            layer.name.to_string(),
            marks(status, &layer.name, layer.has_entry, layer.failure.as_deref()),
            human(layer.size_bytes),
            layer.used_bytes.map_or("-".into(), human),
            kept(&layer.kept),
        ]
    };
    table(header, &status.layers.iter().map(row).collect::<Vec<_>>())
}

fn marks(status: &Status, layer: &LayerName, has_entry: bool, failure: Option<&str>) -> String {
    let mut marks = Vec::new();
    if status.booted.as_ref() == Some(layer) {
        marks.push("booted".to_string());
    }
    if status.default.as_ref() == Some(layer) {
        marks.push("default".into());
    }
    if let Some(armed) = status.armed.as_ref().filter(|armed| armed.layer == *layer) {
        marks.push(format!("armed ({})", super::count_of(armed.tries_left.into(), "try", "tries")));
    }
    if let Some(failure) = failure {
        marks.push(format!("failed ({failure})"));
    }
    if !has_entry {
        marks.push("no boot entry".into());
    }
    marks.join(", ")
}

fn kept(reasons: &[KeepReason]) -> String {
    if reasons.is_empty() {
        return "nothing: prune may take it".into();
    }
    reasons.iter().map(KeepReason::as_str).collect::<Vec<_>>().join(", ")
}

/// The bases.
pub fn bases(status: &Status) -> String {
    let header = [
        ("BASE", Align::Left),
        ("TITLE", Align::Left),
        ("SIZE", Align::Right),
        ("USED", Align::Right),
        ("WRITTEN OVER", Align::Left),
        ("KEPT BECAUSE", Align::Left),
    ];
    let row = |base: &thinroot_engine::host::BaseStatus| {
        [
            base.name.to_string(),
            base.title.clone().unwrap_or_else(|| "-".into()),
            human(base.size_bytes),
            base.used_bytes.map_or("-".into(), human),
            base.origin.as_ref().map_or("-".into(), ToString::to_string),
            kept(&base.kept),
        ]
    };
    table(header, &status.bases.iter().map(row).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use thinroot_core::inventory::Space;
    use thinroot_engine::boot::{BootSpace, LoaderKind};
    use thinroot_engine::host::{ArmedStatus, BaseStatus, LayerStatus};

    fn layer(name: &str, used: Option<u64>, failure: Option<&str>, kept: &[KeepReason]) -> LayerStatus {
        LayerStatus {
            name: name.parse().unwrap(),
            size_bytes: 4 << 30,
            used_bytes: used,
            has_entry: failure.is_none(),
            failure: failure.map(Into::into),
            kept: kept.to_vec(),
        }
    }

    #[test]
    fn a_whole_status_reads_as_expected() {
        let given = Status {
            thinroot_status: 1,
            store: StoreKind::LvmThin,
            space: Space {
                data_total_bytes: 20 << 30,
                data_used_bytes: 8 << 30,
                metadata_total_bytes: 32 << 20,
                metadata_used_bytes: 4 << 20,
                extendable_bytes: 0,
            },
            boot_space: BootSpace {
                total_bytes: 512 << 20,
                free_bytes: 300 << 20,
                free_inodes: None,
                block_bytes: 4096,
            },
            loader: Some(LoaderKind::Grub),
            next: Some("node-2-0+2".parse().unwrap()),
            booted: Some("node-1-0+1".parse().unwrap()),
            default: Some("node-1-0+1".parse().unwrap()),
            armed: Some(ArmedStatus { layer: "node-2-0+2".parse().unwrap(), tries_left: 3 }),
            bases: vec![BaseStatus {
                name: "node-2-0".parse().unwrap(),
                title: Some("Node 2".into()),
                image_digest: None,
                origin: Some("node-1-0".parse().unwrap()),
                size_bytes: 4 << 30,
                used_bytes: Some(700 << 20),
                kept: vec![KeepReason::HasLayer],
            }],
            layers: vec![
                layer("node-1-0+1", Some(800 << 20), None, &[KeepReason::Booted, KeepReason::Default]),
                layer("node-2-0+1", None, Some("tries used up"), &[]),
                layer("node-2-0+2", None, None, &[KeepReason::Armed, KeepReason::Recent]),
            ],
            last: Some(LastPlan {
                id: "17-update-1".parse().unwrap(),
                purpose: thinroot_core::plan::Purpose::Update,
                outcome: Some(Outcome::DoneWithFindings),
                detail: "a\nb\nc".into(),
            }),
            findings: vec!["the pool is degraded".into()],
        };
        let expected = "\
store  LVM thin pool, 12 GiB free of 20 GiB, 12% of its metadata used
boot   300 MiB free of 512 MiB
next   node-2-0+2, says GRUB
last   17-update-1 done, with findings: a (and 2 more)

LAYER       MARKS                                     SIZE     USED  KEPT BECAUSE
node-1-0+1  booted, default                        4.0 GiB  800 MiB  booted, the default
node-2-0+1  failed (tries used up), no boot entry  4.0 GiB        -  nothing: prune may take it
node-2-0+2  armed (3 tries)                        4.0 GiB        -  armed, among the newest

BASE      TITLE      SIZE     USED  WRITTEN OVER  KEPT BECAUSE
node-2-0  Node 2  4.0 GiB  700 MiB  node-1-0      the base of a layer that stays

findings:
  - the pool is degraded
";
        assert_eq!(status(&given), expected);
    }
}
