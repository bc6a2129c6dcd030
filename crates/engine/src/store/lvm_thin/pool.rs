//! The thin pool: what the kernel says of it, how much room it has, and what a person should know about it.
//!
//! Separate because here LVM's view (metadata on disk) and the kernel's (`dmsetup status`) meet.

use thinroot_core::inventory::Space;

use super::report::Lv;

/// Share of data or metadata in use from which a pool is a finding: the last fifth is what an update may need.
const FULL_PERCENT: u64 = 80;
/// Bytes of a thin metadata block (dm-thin's fixed size).
const METADATA_BLOCK_BYTES: u64 = 4096;
/// Largest chunk that keeps layers cheap: each first write to a chunk copies all of it.
const GOOD_CHUNK_BYTES: u64 = 64 << 10;
/// `thin_pool_autoextend_threshold` that means "never".
const NEVER_EXTEND: u64 = 100;

/// `dmsetup status` of a thin pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) transaction_id: u64,
    pub(super) metadata: Blocks,
    pub(super) data: Blocks,
    pub(super) mode: Mode,
    pub(super) needs_check: bool,
}

/// Used and all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blocks {
    pub(super) used: u64,
    pub(super) total: u64,
}

/// What the pool still does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Everything.
    ReadWrite,
    /// Reads only: its metadata is damaged or full.
    ReadOnly,
    /// No new blocks.
    OutOfDataSpace,
}

/// Parses the status line (kernel documentation, device-mapper/thin-provisioning): `START LENGTH thin-pool TRANSACTION
/// USED/TOTAL-METADATA USED/TOTAL-DATA HELD-ROOT MODE DISCARD WHEN-FULL needs_check|- LOW-WATER`, or only `Fail`.
pub(super) fn parse_status(line: &str) -> Result<Status, String> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [_, _, "thin-pool", id, metadata, data, _, mode, rest @ ..] = fields.as_slice() else {
        return Err(format!("the kernel says of the pool: {:?}", line.trim()));
    };
    let blocks = |text: &str| {
        let (used, total) = text.split_once('/')?;
        Some(Blocks { used: used.parse().ok()?, total: total.parse().ok()? })
    };
    let mode = match *mode {
        "rw" => Some(Mode::ReadWrite),
        "ro" => Some(Mode::ReadOnly),
        "out_of_data_space" => Some(Mode::OutOfDataSpace),
        _ => None,
    };
    let bad = || format!("the kernel's words on the pool are not understood: {:?}", line.trim());
    Ok(Status {
        transaction_id: id.parse().map_err(|_| bad())?,
        metadata: blocks(metadata).ok_or_else(bad)?,
        data: blocks(data).ok_or_else(bad)?,
        mode: mode.ok_or_else(bad)?,
        needs_check: rest.contains(&"needs_check"),
    })
}

/// Room in the pool: exact from the kernel where it is active, else from LVM's percentages.
pub(super) fn space(pool: &Lv, status: Option<&Status>) -> Space {
    let part = |total: u64, percent: Option<f64>| (total as f64 * percent.unwrap_or(0.0) / 100.0) as u64;
    let (data, metadata) = match status {
        Some(status) => (status.data.used * pool.chunk_bytes, status.metadata.used * METADATA_BLOCK_BYTES),
        None => (part(pool.size_bytes, pool.data_percent), part(pool.metadata_bytes, pool.metadata_percent)),
    };
    Space {
        data_total_bytes: pool.size_bytes,
        data_used_bytes: data,
        metadata_total_bytes: pool.metadata_bytes,
        metadata_used_bytes: metadata,
        extendable_bytes: pool.vg_free_bytes,
    }
}

/// Whether the volume group still has room worth mentioning for the pool: what `install` leaves free is.
pub(super) fn could_be_extended(pool: &Lv) -> bool {
    pool.vg_free_bytes >= pool.size_bytes / 20
}

/// What a person should look at. `autoextend` is LVM's effective `thin_pool_autoextend_threshold`, asked for only where
/// the volume group has little left.
pub(super) fn findings(pool: &Lv, status: Option<&Status>, autoextend: Option<u64>) -> Vec<String> {
    let mut found = Vec::new();
    let name = &pool.name;
    let space = space(pool, status);
    let percent = |used: u64, total: u64| used * 100 / total.max(1);
    for (what, used, total) in [
        ("data", space.data_used_bytes, space.data_total_bytes),
        ("metadata", space.metadata_used_bytes, space.metadata_total_bytes),
    ] {
        let percent = percent(used, total);
        if percent > FULL_PERCENT {
            found.push(format!("the {what} of pool {name} is {percent} % full; extend it with `lvextend`, or prune"));
        }
    }
    if autoextend.is_some_and(|threshold| threshold >= NEVER_EXTEND) && !could_be_extended(pool) {
        found.push(format!("pool {name} is not extended automatically, and its volume group has little to give"));
    }
    if !pool.fails_when_full {
        found.push(format!(
            "pool {name} waits when it is full; `lvchange --errorwhenfull y` makes writers fail instead"
        ));
    }
    if pool.chunk_bytes > GOOD_CHUNK_BYTES {
        let kib = pool.chunk_bytes >> 10;
        found.push(format!("pool {name} has chunks of {kib} KiB; with 64 KiB bases would share more"));
    }
    if let Some(health) = &pool.health {
        found.push(format!("LVM says of pool {name}: {health}"));
    }
    let Some(status) = status else { return found };
    match status.mode {
        Mode::ReadWrite => {}
        Mode::ReadOnly => found.push(format!("pool {name} is read-only: its metadata is damaged or full")),
        Mode::OutOfDataSpace => found.push(format!("pool {name} is out of data space: writes fail")),
    }
    if status.needs_check {
        found.push(format!("the metadata of pool {name} needs a check: deactivate it and run `lvconvert --repair`"));
    }
    if pool.transaction_id != Some(status.transaction_id) {
        found.push(format!("a change of pool {name} was interrupted; the next run completes or undoes it"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::report;
    use super::*;

    const HEALTHY: &str = include_str!("../../../tests/fixtures/lvm/pool-status.txt");

    fn pool() -> Lv {
        report::parse(include_str!("../../../tests/fixtures/lvm/lvs.json")).unwrap().pop().unwrap()
    }

    #[test]
    fn a_status_line_of_linux_6_1_is_read() {
        let want = Status {
            transaction_id: 3,
            metadata: Blocks { used: 421, total: 4096 },
            data: Blocks { used: 144, total: 16384 },
            mode: Mode::ReadWrite,
            needs_check: false,
        };
        assert_eq!(parse_status(HEALTHY), Ok(want));
        let full = parse_status(include_str!("../../../tests/fixtures/lvm/pool-status-full.txt")).unwrap();
        assert_eq!((full.mode, full.data.used), (Mode::OutOfDataSpace, full.data.total));
        let checked = HEALTHY.replace("- 1024", "needs_check 1024").replace(" rw ", " ro ");
        assert_eq!(parse_status(&checked), Ok(Status { mode: Mode::ReadOnly, needs_check: true, ..want }));
        assert!(parse_status("0 2097152 thin-pool Fail\n").unwrap_err().contains("Fail"));
        assert!(parse_status("0 2097152 thin-pool x 1/2 1/2 - rw d e - 1").is_err());
    }

    #[test]
    fn room_is_counted_in_bytes() {
        let status = parse_status(HEALTHY).unwrap();
        let want = Space {
            data_total_bytes: 1 << 30,
            data_used_bytes: 144 * 65536,
            metadata_total_bytes: 16 << 20,
            metadata_used_bytes: 421 * 4096,
            extendable_bytes: 2_105_540_608,
        };
        assert_eq!(space(&pool(), Some(&status)), want);
    }

    #[test]
    fn findings_name_what_is_wrong_and_only_that() {
        let status = parse_status(HEALTHY).unwrap();
        assert_eq!(findings(&pool(), Some(&status), Some(100)), Vec::<String>::new());
        let bad = Lv {
            fails_when_full: false,
            vg_free_bytes: 0,
            chunk_bytes: 1 << 20,
            health: Some("out_of_data".into()),
            ..pool()
        };
        let data = Blocks { used: 900, total: 1024 };
        let metadata = Blocks { used: 4000, total: 4096 };
        let status = Status { transaction_id: 2, metadata, data, mode: Mode::OutOfDataSpace, needs_check: true };
        let found = findings(&bad, Some(&status), Some(100));
        let about =
            ["data of", "metadata of", "automatically", "waits", "1024 KiB", "out_of_data", "out of data", "check"];
        for (finding, word) in found.iter().zip(about.iter().chain(&["interrupted"])) {
            assert!(finding.contains(word), "{finding} / {word}");
        }
        assert_eq!(found.len(), about.len() + 1);
        assert_eq!(findings(&Lv { vg_free_bytes: 0, ..pool() }, None, Some(70)), Vec::<String>::new());
    }
}
