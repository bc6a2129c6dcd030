//! The rules of `install`, by rows and by what every disk must give.

use super::*;
use proptest::prelude::*;

fn disk(mib: u64) -> Disk {
    let name = "/dev/sdx".to_string();
    Disk { name, size_bytes: mib * MIB, sector_bytes: 512, read_only: false, holds: vec![], used_by: vec![] }
}

fn wish(loader: Loader) -> Wish {
    Wish { loader, vg: "thinroot".into(), pool: "pool".into(), volumes: vec![], wipe: false }
}

const NEEDS: Needs = Needs { content_bytes: 700 * MIB, kernel_bytes: 30 * MIB, root_bytes: 3 * GIB };

#[test]
fn a_disk_for_grub_starts_with_bios_and_uefi() {
    let layout = layout(&disk(16 << 10), &wish(Loader::Grub), &NEEDS).unwrap();
    let parts: Vec<_> =
        layout.partitions.iter().map(|p| (p.purpose, p.start_bytes / MIB, p.size_bytes / MIB)).collect();
    let want = [
        (Purpose::BiosBoot, 1, 1),
        (Purpose::Esp, 2, 128),
        (Purpose::Boot, 130, 512),
        (Purpose::Lvm, 642, 16384 - 643),
    ];
    assert_eq!(parts, want);
    let mib = (layout.data_bytes / MIB, layout.metadata_bytes / MIB, layout.reserve_bytes / MIB);
    assert_eq!(mib, (14632, 160, 788));
    assert_eq!(14632 + 2 * 160 + 788, (16384 - 643 - 1) / 4 * 4);
    let script = layout.sfdisk_script();
    assert!(script.starts_with(
        "label: gpt\nunit: sectors\n1: start=2048, size=2048, type=21686148-6449-6E6F-744E-656564454649, name=\"bios-boot\"\n"
    ));
}

#[test]
fn a_disk_for_systemd_boot_has_its_kernels_in_the_efi_system_partition() {
    let four_k = Disk { sector_bytes: 4096, ..disk(16 << 10) };
    let layout = layout(&four_k, &wish(Loader::SystemdBoot), &Needs { kernel_bytes: 150 * MIB, ..NEEDS }).unwrap();
    let parts: Vec<_> = layout.partitions.iter().map(|p| (p.purpose, p.size_bytes / MIB)).collect();
    assert_eq!(parts, [(Purpose::Esp, 768), (Purpose::Lvm, 16384 - 770)]);
    assert_eq!(layout.boot().unwrap().mount_point, Some("/efi"));
    assert!(layout.sfdisk_script().contains("1: start=256, size=196608, "));
}

#[test]
fn what_could_be_lost_is_refused() {
    let refuse = |disk: Disk, wish: Wish| layout(&disk, &wish, &NEEDS).unwrap_err();
    let grub = || wish(Loader::Grub);
    let used = Disk { used_by: vec!["/dev/sdx1 is mounted at /srv".into()], ..disk(16 << 10) };
    for wipe in [false, true] {
        let why = refuse(used.clone(), Wish { wipe, ..grub() }).why;
        assert_eq!(why, "/dev/sdx is in use: /dev/sdx1 is mounted at /srv");
    }
    let full = Disk { holds: vec!["a gpt partition table".into(), "ext4 on /dev/sdx1".into()], ..disk(16 << 10) };
    let why = refuse(full.clone(), grub()).why;
    assert_eq!(why, "/dev/sdx is not empty: a gpt partition table; ext4 on /dev/sdx1");
    assert_eq!(layout(&full, &Wish { wipe: true, ..grub() }, &NEEDS).unwrap().wiped, full.holds);
    assert!(refuse(Disk { read_only: true, ..disk(16 << 10) }, grub()).why.contains("cannot be written"));
    assert!(refuse(Disk { sector_bytes: 520, ..disk(16 << 10) }, grub()).why.contains("520"));
    let small = refuse(disk(3 << 10), grub()).why;
    assert!(small.starts_with("/dev/sdx has 3072 MiB and 4125 MiB are needed: 642 for booting,"), "{small}");
    let volumes = vec![SharedVolume { mount_point: "/srv".into(), name: "srv".into(), size_bytes: 20 * GIB }];
    assert!(refuse(disk(16 << 10), Wish { volumes, ..grub() }).why.contains("20480 MiB of shared volumes"));
}

#[test]
fn what_belongs_to_a_layer_is_not_shared() {
    let name = |path: &str| SharedVolume::new(path, 1).map(|volume| volume.name);
    assert_eq!(name("/srv"), Ok("srv".into()));
    assert_eq!(name("/var/lib/libvirt"), Ok("var-lib-libvirt".into()));
    for bad in
        ["/", "srv", "", "/srv/", "//srv", "/srv/../etc", "/a b", "/var", "/var/lib", "/etc/x", "/usr/local", "/boot/x"]
    {
        assert!(name(bad).is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn what_a_refusal_says_is_needed_is_enough_and_not_much_more(
        content in 1u64..40_000, kernel in 1u64..400, root in 1u64..60_000, grub in proptest::bool::ANY,
    ) {
        let needs = Needs { content_bytes: content * MIB, kernel_bytes: kernel * MIB, root_bytes: root * MIB };
        let wish = wish(if grub { Loader::Grub } else { Loader::SystemdBoot });
        let why = layout(&disk(100), &wish, &needs).unwrap_err().why;
        let least: u64 = why.split(" and ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let fits = layout(&disk(least), &wish, &needs);
        prop_assert!(fits.is_ok(), "{:?}", fits);
        prop_assert!(layout(&disk(least * 9 / 10 - 100), &wish, &needs).is_err());
        let layout = fits.unwrap();
        let mut end = MIB;
        for partition in &layout.partitions {
            prop_assert_eq!(partition.start_bytes, end);
            prop_assert_eq!(partition.size_bytes % MIB, 0);
            end += partition.size_bytes;
        }
        prop_assert!(end + MIB <= layout.disk_bytes);
    }
}
