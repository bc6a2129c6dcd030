//! Whether there is room: what a plan needs against what a survey found, with numbers in the refusal.
//!
//! The running layer must never be the victim of an update, so a reserve stays untouched.

use super::Refusal;
use crate::inventory::Space;

/// Never planned into: the running layer may write this much while we stage. Smaller endangers the running host,
/// larger only refuses earlier.
pub const RESERVE_BYTES: u64 = 64 << 20;
/// Pool metadata that stays free, in percent. Below it dm-thin goes into a state that needs repair by hand.
const METADATA_RESERVE_PERCENT: u64 = 10;
/// Pool metadata a changed 64 KiB chunk may cost, generously (measured: 4 to 40 bytes).
const METADATA_BYTES_PER_CHUNK: u64 = 128;
/// Journal, manifests and decisions of one plan.
pub const RECORDS_MARGIN_BYTES: u64 = 8 << 20;
/// Entry, selection and temporary files.
pub const BOOT_MARGIN_BYTES: u64 = 1 << 20;

/// What a plan will use, at worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    /// In the pool.
    pub pool_bytes: u64,
    /// In the boot directory.
    pub boot_bytes: u64,
    /// In the records.
    pub records_bytes: u64,
}

/// What is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Room {
    /// The pool.
    pub pool: Space,
    /// Free in the boot directory.
    pub boot_free_bytes: u64,
    /// Free in the records.
    pub records_free_bytes: u64,
}

const fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// Refuses where something would not fit.
pub fn check(need: Need, room: Room) -> Result<(), Refusal> {
    let free = room.pool.data_free_bytes();
    let wanted = need.pool_bytes + RESERVE_BYTES;
    if wanted > free {
        let extend = match room.pool.extendable_bytes {
            0 => String::new(),
            more => format!(", or extend the pool (the volume group has {} MiB free)", mib(more)),
        };
        return Err(Refusal::new(
            format!(
                "the pool has {} MiB free and this needs up to {} MiB and a reserve of {} MiB",
                mib(free),
                mib(need.pool_bytes),
                mib(RESERVE_BYTES)
            ),
            format!("free space with 'thinroot prune'{extend}"),
        ));
    }
    let metadata_need = need.pool_bytes / (64 << 10) * METADATA_BYTES_PER_CHUNK;
    let metadata_limit = room.pool.metadata_total_bytes / 100 * (100 - METADATA_RESERVE_PERCENT);
    if room.pool.metadata_total_bytes > 0 && room.pool.metadata_used_bytes + metadata_need > metadata_limit {
        return Err(Refusal::new(
            format!(
                "the pool's metadata would be too full: {} of {} KiB used, up to {} KiB more needed, {METADATA_RESERVE_PERCENT} percent must stay free",
                room.pool.metadata_used_bytes >> 10,
                room.pool.metadata_total_bytes >> 10,
                metadata_need.div_ceil(1 << 10),
            ),
            "extend it with 'lvextend --poolmetadatasize +64M VG/POOL', or free space with 'thinroot prune'",
        ));
    }
    let small = [
        ("boot directory", need.boot_bytes, BOOT_MARGIN_BYTES, room.boot_free_bytes),
        ("record volume", need.records_bytes, RECORDS_MARGIN_BYTES, room.records_free_bytes),
    ];
    for (what, bytes, margin, free) in small {
        if bytes + margin > free {
            return Err(Refusal::new(
                format!("the {what} has {} MiB free and this needs up to {} MiB", mib(free), mib(bytes + margin)),
                "free space with 'thinroot prune'",
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn room() -> Room {
        Room {
            pool: Space {
                data_total_bytes: 1000 * MIB,
                data_used_bytes: 500 * MIB,
                metadata_total_bytes: 10 * MIB,
                metadata_used_bytes: MIB,
                extendable_bytes: 0,
            },
            boot_free_bytes: 100 * MIB,
            records_free_bytes: 100 * MIB,
        }
    }

    #[test]
    fn what_fits_passes_and_what_does_not_says_the_numbers() {
        let fits = Need { pool_bytes: 436 * MIB, boot_bytes: 99 * MIB, records_bytes: 92 * MIB };
        assert_eq!(check(fits, room()), Ok(()));
        let pool = check(Need { pool_bytes: 437 * MIB, ..Need::default() }, room()).unwrap_err();
        assert!(pool.why.contains("500 MiB free") && pool.why.contains("437 MiB"), "{}", pool.why);
        let boot = check(Need { boot_bytes: 100 * MIB, ..Need::default() }, room()).unwrap_err();
        assert!(boot.why.contains("boot directory has 100 MiB free") && boot.why.contains("101 MiB"), "{}", boot.why);
        let records = check(Need { records_bytes: 93 * MIB, ..Need::default() }, room()).unwrap_err();
        assert!(records.why.contains("record volume"), "{}", records.why);
        let mut tight = room();
        tight.pool.metadata_used_bytes = 9 * MIB + 1;
        assert!(check(Need::default(), tight).unwrap_err().why.contains("metadata"));
        let mut extendable = room();
        extendable.pool.extendable_bytes = 50 * MIB;
        let refusal = check(Need { pool_bytes: 900 * MIB, ..Need::default() }, extendable).unwrap_err();
        assert!(refusal.mend.contains("50 MiB"), "{}", refusal.mend);
    }
}
