//! What both stores refuse, decided on a volume as the survey reports it.
//!
//! Separate so that the stores cannot drift apart. Must stay true: every refusal here comes before anything is touched.

use thinroot_core::inventory::{Phase, Role, Volume};
use thinroot_core::name::VolumeName;

use super::{Ensured, NewVolume};
use crate::error::{Error, Result};

/// Number of digits of a short image digest.
const SHORT_DIGEST_LEN: usize = 16;

/// The error for a volume that is not there.
pub(super) fn missing(attempted: &str, name: &VolumeName) -> Error {
    Error::refused(format!("{attempted} {}", name.as_str()), "there is no volume of this name in the store")
        .mend("`thinroot status` lists the volumes")
}

/// The error for a volume that somebody uses.
pub(super) fn busy(attempted: &str, name: &VolumeName, who: &str) -> Error {
    Error::new(crate::error::ErrorKind::Busy, format!("{attempted} {}", name.as_str()), who)
        .mend("end what uses it and run again")
}

/// Whether the volume to create is there already; another one under its name is an error.
pub(super) fn created_before(new: &NewVolume, found: &Volume) -> Result<()> {
    let attempted = format!("create {}", new.name.as_str());
    if found.phase != Phase::Staging {
        return Err(taken(&attempted, "is ready"));
    }
    if (found.role, found.fs) != (new.role, new.fs) || found.size_bytes < new.size_bytes || found.origin.is_some() {
        return Err(taken(&attempted, "is of another kind"));
    }
    Ok(())
}

/// Whether the snapshot to take is there already; another volume under its name is an error.
pub(super) fn snapshot_taken_before(origin: &VolumeName, role: Role, found: &Volume) -> Result<()> {
    let attempted = format!("snapshot {} as {}", origin.as_str(), found.name.as_str());
    if found.phase != Phase::Staging {
        return Err(taken(&attempted, "is ready"));
    }
    if found.role != role || found.origin.as_ref() != Some(origin) {
        return Err(taken(&attempted, "is of another kind"));
    }
    Ok(())
}

pub(super) fn taken(attempted: &str, what: &str) -> Error {
    Error::refused(attempted, format!("a volume of this name exists and {what}"))
        .mend("remove that volume if nothing needs it, or choose another name")
}

/// What [`super::Store::publish`] has to do.
pub(super) fn publishing(found: &Volume, image_digest: Option<&str>) -> Result<Ensured> {
    let attempted = format!("publish {}", found.name.as_str());
    let fits = match (found.role, image_digest) {
        (Role::Base, Some(digest)) => {
            digest.len() == SHORT_DIGEST_LEN && digest.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        }
        (Role::Base, None) => false,
        (Role::Layer | Role::Frozen | Role::Shared | Role::Records, digest) => digest.is_none(),
    };
    if !fits {
        return Err(Error::refused(
            attempted,
            "a base is published with the 16 hexadecimal digits of its image's digest, and nothing else with any",
        ));
    }
    match found.phase {
        Phase::Staging => Ok(Ensured::Done),
        Phase::Ready if found.image_digest.as_deref() == image_digest => Ok(Ensured::Already),
        Phase::Ready => Err(Error::refused(attempted, "it is ready and holds another image")),
    }
}

/// Refuses to remove what is ready.
pub(super) fn removable(found: &Volume) -> Result<()> {
    match found.phase {
        Phase::Staging => Ok(()),
        Phase::Ready => {
            Err(Error::refused(format!("remove {}", found.name.as_str()), "it is ready, and only staging volumes go")
                .mend("withdraw it first"))
        }
    }
}
