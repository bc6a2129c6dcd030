//! LVM tags: what we know of a volume, kept where losing our records cannot lose it.
//!
//! ```text
//! thinroot:base|layer|frozen|volume|records   what it is for; this tag makes a volume ours
//! thinroot:fs=ext4|xfs                        its file system
//! thinroot:staging                            under construction
//! thinroot:unfinished                         making it was not completed (no file system yet, or not its own UUID yet)
//! thinroot:image=<16 hexadecimal digits>      the image of a ready base
//! thinroot:name=<name>                        what we call it, where its logical volume has another name: an adopted root
//! thinroot:adopted                            it was there before us, and 'init --undo' gives it back
//! ```
//! LVM allows only `A-Za-z0-9_+.-/=!:&#` in tags; everything above does.

use thinroot_core::inventory::{FsKind, Phase, Role, Volume};

use super::report::Lv;

/// Under construction.
pub(super) const STAGING: &str = "thinroot:staging";
/// Making it was not completed.
pub(super) const UNFINISHED: &str = "thinroot:unfinished";

/// It was there before us: it can be given back.
pub(super) const ADOPTED: &str = "thinroot:adopted";

const IMAGE: &str = "thinroot:image=";
const NAME: &str = "thinroot:name=";
const ROLES: [Role; 5] = [Role::Base, Role::Layer, Role::Frozen, Role::Shared, Role::Records];

/// The tag of a role.
pub(super) fn role(role: Role) -> String {
    format!("thinroot:{}", role.as_str())
}

/// The tag of a file system.
pub(super) fn fs(fs: FsKind) -> String {
    format!("thinroot:fs={}", fs.as_str())
}

/// The tag of an image.
pub(super) fn image(digest: &str) -> String {
    format!("{IMAGE}{digest}")
}

/// The tag of a name.
pub(super) fn name(name: &str) -> String {
    format!("{NAME}{name}")
}

/// What we call a logical volume.
pub(super) fn volume_name(lv: &Lv) -> &str {
    lv.tags.iter().find_map(|tag| tag.strip_prefix(NAME)).unwrap_or(&lv.name)
}

/// The volume that a logical volume is; none where it is not ours, an error where its tags contradict each other.
pub(super) fn volume(lv: &Lv) -> Result<Option<Volume>, String> {
    let has = |tag: &str| lv.tags.iter().any(|found| found == tag);
    let roles: Vec<Role> = ROLES.into_iter().filter(|found| has(&role(*found))).collect();
    let kinds: Vec<FsKind> = [FsKind::Ext4, FsKind::Xfs].into_iter().filter(|found| has(&fs(*found))).collect();
    let (role, fs) = match (roles.as_slice(), kinds.as_slice()) {
        ([], _) => return Ok(None),
        ([role], [fs]) => (*role, *fs),
        ([_], _) => return Err(format!("{} must have one tag that says its file system", lv.name)),
        (_, _) => return Err(format!("{} has tags of several roles", lv.name)),
    };
    let name = volume_name(lv).parse().map_err(|error| format!("{} has tags of ours: {error}", lv.name))?;
    let used = lv.data_percent.map(|percent| (lv.size_bytes as f64 * percent / 100.0) as u64);
    Ok(Some(Volume {
        name,
        role,
        phase: if has(STAGING) { Phase::Staging } else { Phase::Ready },
        origin: lv.origin.as_ref().and_then(|origin| origin.parse().ok()),
        image_digest: lv.tags.iter().find_map(|tag| tag.strip_prefix(IMAGE)).map(Into::into),
        fs,
        size_bytes: lv.size_bytes,
        used_bytes: used,
    }))
}

#[cfg(test)]
mod tests {
    use super::super::report;
    use super::*;

    #[test]
    fn tags_say_what_a_volume_is() {
        let mut lvs = report::parse(include_str!("../../../tests/fixtures/lvm/lvs.json")).unwrap();
        let found: Vec<Option<Volume>> = lvs.iter().map(|lv| volume(lv).unwrap()).collect();
        let base = Volume {
            name: "node-1-0".parse().unwrap(),
            role: Role::Base,
            phase: Phase::Ready,
            origin: None,
            image_digest: Some("0123456789abcdef".into()),
            fs: FsKind::Ext4,
            size_bytes: 256 << 20,
            used_bytes: None,
        };
        let layer = Volume {
            name: "node-1-0+1".parse().unwrap(),
            role: Role::Layer,
            phase: Phase::Staging,
            origin: Some("node-1-0".parse().unwrap()),
            image_digest: None,
            used_bytes: Some(9_448_928),
            ..base.clone()
        };
        assert_eq!(found, [None, Some(base), Some(layer), None, None]);

        lvs[1].tags.push("thinroot:layer".into());
        assert_eq!(volume(&lvs[1]).unwrap_err(), "node-1-0 has tags of several roles");
        lvs[2].tags.retain(|tag| !tag.starts_with("thinroot:fs="));
        assert_eq!(volume(&lvs[2]).unwrap_err(), "node-1-0+1 must have one tag that says its file system");

        lvs[1] = Lv {
            name: "root".into(),
            tags: vec!["thinroot:layer".into(), fs(FsKind::Xfs), name("a-1-0+1")],
            ..lvs[1].clone()
        };
        assert_eq!(volume(&lvs[1]).unwrap().unwrap().name.as_str(), "a-1-0+1");
    }
}
