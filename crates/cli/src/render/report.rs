//! What came of a plan.

use thinroot_core::name::LayerName;
use thinroot_core::plan::{Plan, Step};
use thinroot_core::state::StatePlan;
use thinroot_engine::execute::Report;

/// The layer a plan makes, where it makes one.
pub fn new_layer(plan: &Plan) -> Option<&LayerName> {
    plan.steps.iter().find_map(|step| if let Step::PublishLayer { layer } = step { Some(layer) } else { None })
}

/// The layer a plan arms, and its tries.
pub fn armed(plan: &Plan) -> Option<(&LayerName, u8)> {
    plan.steps.iter().find_map(|step| if let Step::Arm { layer, tries } = step { Some((layer, *tries)) } else { None })
}

/// Layers and bases that a plan removes, in its order.
pub fn removed(plan: &Plan) -> Vec<String> {
    let gone = plan.steps.iter().filter_map(|step| {
        if let Step::RemoveLayer { layer } = step {
            Some(format!("layer {layer}"))
        } else if let Step::RemoveBase { base } = step {
            Some(format!("base {base}"))
        } else {
            None
        }
    });
    gone.collect()
}

/// `boot entry of X armed, 3 tries; go back: thinroot rollback`, or what the new layer waits for.
pub fn what_boots(plan: &Plan) -> String {
    match (armed(plan), new_layer(plan)) {
        (Some((layer, tries)), _) => {
            format!("boot entry of {layer} armed, {tries} tries; go back: thinroot rollback\n")
        }
        (None, Some(layer)) if sets_default(plan) => format!("{layer} is the default: it boots next\n"),
        (None, Some(layer)) => {
            format!("{layer} has a boot entry and is not armed; arm it: thinroot rollback --to {layer}\n")
        }
        (None, None) => String::new(),
    }
}

fn sets_default(plan: &Plan) -> bool {
    plan.steps.iter().any(|step| matches!(step, Step::SetDefault { .. }))
}

/// Findings, one a line.
pub fn findings(report: &Report) -> String {
    list("findings", &report.findings)
}

/// What came of a plan that carried state: the state, and findings about anything else.
pub fn with_state(report: &Report, state: &StatePlan) -> String {
    let told: Vec<String> = state.findings().collect();
    let others: Vec<String> = report.findings.iter().filter(|finding| !told.contains(finding)).cloned().collect();
    super::state::outcome(state) + &list("findings", &others)
}

/// A titled list; nothing for an empty one.
pub fn list(title: &str, items: &[String]) -> String {
    if items.is_empty() {
        return String::new();
    }
    let lines: String = items.iter().map(|item| format!("  - {item}\n")).collect();
    format!("{title}:\n{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use thinroot_core::plan::{FORMAT_VERSION, Purpose};

    fn plan(steps: Vec<Step>) -> Plan {
        let id = "1-update-1".parse().unwrap();
        Plan { format: FORMAT_VERSION, id, purpose: Purpose::Update, created_sec: 1, image: None, steps }
    }

    #[test]
    fn what_boots_is_said_for_every_ending() {
        let layer: LayerName = "node-2-0+1".parse().unwrap();
        let publish = Step::PublishLayer { layer: layer.clone() };
        let rows = [
            (
                vec![publish.clone(), Step::Arm { layer: layer.clone(), tries: 3 }],
                "boot entry of node-2-0+1 armed, 3 tries; go back: thinroot rollback\n",
            ),
            (
                vec![publish.clone(), Step::SetDefault { layer: layer.clone() }],
                "node-2-0+1 is the default: it boots next\n",
            ),
            (
                vec![publish],
                "node-2-0+1 has a boot entry and is not armed; arm it: thinroot rollback --to node-2-0+1\n",
            ),
            (vec![Step::SweepBoot], ""),
        ];
        for (steps, text) in rows {
            assert_eq!(what_boots(&plan(steps)), text);
        }
    }

    #[test]
    fn removals_are_named() {
        let steps = vec![
            Step::RemoveEntry { layer: "node-1-0+1".parse().unwrap() },
            Step::RemoveLayer { layer: "node-1-0+1".parse().unwrap() },
            Step::RemoveBase { base: "node-1-0".parse().unwrap() },
        ];
        assert_eq!(removed(&plan(steps)), ["layer node-1-0+1", "base node-1-0"]);
        assert_eq!(list("findings", &["a".into(), "b".into()]), "findings:\n  - a\n  - b\n");
        assert_eq!(list("findings", &[]), "");
    }
}
