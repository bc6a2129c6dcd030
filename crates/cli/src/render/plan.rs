//! Plans before they are carried out: steps, room, state.

use std::fmt::Write;

use thinroot_core::plan::update::Planned;
use thinroot_core::plan::{Need, Plan, RECORDS_MARGIN_BYTES, RESERVE_BYTES, Room};
use thinroot_core::state::StatePlan;
use thinroot_engine::host::Preview;

use super::state::{self, Extent};
use crate::size::human;

/// Everything an update would do.
pub fn preview(preview: &Preview, room: Room) -> String {
    let plan = match &preview.planned {
        Planned::Nothing(why) => return format!("nothing to do: {why}\n"),
        Planned::Plan(plan) => plan,
    };
    whole(plan, preview.need, room, preview.state.as_ref())
}

/// Steps, room, state.
pub fn whole(plan: &Plan, need: Need, room: Room, state: Option<&StatePlan>) -> String {
    let mut out = format!("{plan}\n{}", space(need, room));
    if let Some(state) = state {
        let groups = state::groups(state, Extent::Overview, |_| true);
        let _ = write!(out, "\n{}{groups}{}", state::summary(state), state::checks(state)); // a String
    }
    out
}

/// What is needed at worst, and what is free.
fn space(need: Need, room: Room) -> String {
    format!(
        "needs at most {} in the pool ({} free, {} of it stay reserved)\n\
         needs at most {} in the boot directory ({} free)\n\
         needs at most {} in the records ({} free)\n",
        human(need.pool_bytes),
        human(room.pool.data_free_bytes()),
        human(RESERVE_BYTES),
        human(need.boot_bytes),
        human(room.boot_free_bytes),
        human(need.records_bytes + RECORDS_MARGIN_BYTES),
        human(room.records_free_bytes),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use thinroot_core::inventory::Space;
    use thinroot_core::plan::{FORMAT_VERSION, Purpose, Step};

    #[test]
    fn a_preview_shows_steps_room_and_state() {
        let steps = vec![
            Step::CreateLayer { layer: "node-2-0+1".parse().unwrap(), origin: "node-2-0".parse().unwrap() },
            Step::Arm { layer: "node-2-0+1".parse().unwrap(), tries: 3 },
        ];
        let id = "1-update-1".parse().unwrap();
        let plan = Plan { format: FORMAT_VERSION, id, purpose: Purpose::Update, created_sec: 1, image: None, steps };
        let need = Need { pool_bytes: 40 << 20, boot_bytes: 3 << 20, records_bytes: 1 << 20 };
        let pool = Space { data_total_bytes: 8 << 30, data_used_bytes: 6 << 30, ..Space::default() };
        let room = Room { pool, boot_free_bytes: 100 << 20, records_free_bytes: 2 << 30 };
        let given = Preview { planned: Planned::Plan(plan), state: Some(StatePlan::default()), need };
        let expected = "  \
  1. create layer node-2-0+1 as a snapshot of node-2-0
  2. arm node-2-0+1 for the next boot, 3 tries  <- from here on it only goes forward

needs at most 40 MiB in the pool (2.0 GiB free, 64 MiB of it stay reserved)
needs at most 3.0 MiB in the boot directory (100 MiB free)
needs at most 9.0 MiB in the records (2.0 GiB free)

state: 0 carried, 0 merged, 0 conflicts, 0 to note
";
        assert_eq!(preview(&given, room), expected);
        let nothing = Preview { planned: Planned::Nothing("it is here".into()), state: None, need };
        assert_eq!(preview(&nothing, room), "nothing to do: it is here\n");
    }
}
