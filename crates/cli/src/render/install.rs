//! The layout of a disk.

use thinroot_core::install::{Layout, Purpose};

use super::table::{Align, table};
use crate::size::human;

/// Everything that will be on it.
pub fn layout(layout: &Layout) -> String {
    let header = [
        ("PARTITION", Align::Right),
        ("FOR", Align::Left),
        ("START", Align::Right),
        ("SIZE", Align::Right),
        ("FILE SYSTEM", Align::Left),
        ("MOUNTED AT", Align::Left),
    ];
    let rows: Vec<[String; 6]> = layout
        .partitions
        .iter()
        .map(|part| {
            let (purpose, fs) = match part.purpose {
                Purpose::BiosBoot => ("GRUB for BIOS", "-"),
                Purpose::Esp => ("EFI system", "vfat"),
                Purpose::Boot => ("boot", "ext4"),
                Purpose::Lvm => ("volume group", "LVM"),
            };
            [
                part.number.to_string(),
                purpose.into(),
                human(part.start_bytes),
                human(part.size_bytes),
                fs.into(),
                part.mount_point.unwrap_or("-").into(),
            ]
        })
        .collect();
    let loader = layout.loader.as_str();
    let mut out =
        format!("{}, {}, booted by {loader}\n\n{}\n", layout.disk, human(layout.disk_bytes), table(header, &rows));
    out += &format!(
        "volume group {}: thin pool {} of {}, metadata {} and as much spare, {} left free to let it grow\n\
         root {} (thin)\n",
        layout.vg,
        layout.pool,
        human(layout.data_bytes),
        human(layout.metadata_bytes),
        human(layout.reserve_bytes),
        human(layout.root_bytes)
    );
    for volume in &layout.volumes {
        out +=
            &format!("volume {} {} (thin), mounted at {}\n", volume.name, human(volume.size_bytes), volume.mount_point);
    }
    out + &super::report::list("lost", &layout.wiped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use thinroot_core::install::{Disk, Loader, Needs, SharedVolume, Wish};

    #[test]
    fn a_layout_reads_as_expected() {
        let disk = Disk {
            name: "/dev/sdb".into(),
            size_bytes: 16 << 30,
            sector_bytes: 512,
            read_only: false,
            holds: vec!["gpt on /dev/sdb".into()],
            used_by: vec![],
        };
        let wish = Wish {
            loader: Loader::Grub,
            vg: "thinroot".into(),
            pool: "pool".into(),
            volumes: vec![SharedVolume::new("/srv", 2 << 30).unwrap()],
            wipe: true,
        };
        let needs = Needs { content_bytes: 700 << 20, kernel_bytes: 30 << 20, root_bytes: 3 << 30 };
        let expected = "\
/dev/sdb, 16 GiB, booted by GRUB

PARTITION  FOR              START     SIZE  FILE SYSTEM  MOUNTED AT
        1  GRUB for BIOS  1.0 MiB  1.0 MiB  -            -
        2  EFI system     2.0 MiB  128 MiB  vfat         /boot/efi
        3  boot           130 MiB  512 MiB  ext4         /boot
        4  volume group   642 MiB   15 GiB  LVM          -

volume group thinroot: thin pool pool of 14 GiB, metadata 160 MiB and as much spare, 788 MiB left free to let it grow
root 3.0 GiB (thin)
volume srv 2.0 GiB (thin), mounted at /srv
lost:
  - gpt on /dev/sdb
";
        assert_eq!(layout(&thinroot_core::install::layout(&disk, &wish, &needs).unwrap()), expected);
    }
}
