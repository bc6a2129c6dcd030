//! How firmware and loaders call things on each kind of machine.

use std::path::{Path, PathBuf};

use thinroot_core::image::Arch;

use crate::error::{Error, Result};

/// The names of one kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Names {
    /// GRUB's program for UEFI.
    pub grub_efi: &'static str,
    /// GRUB's program for BIOS, where there is such a thing.
    pub grub_bios: Option<&'static str>,
    /// Where firmware looks on a disk that it was told nothing about (UEFI specification, "Removable Media").
    pub removable: &'static str,
    systemd_boot: &'static str,
}

impl Names {
    /// Those of the image's kind.
    pub(super) fn of(arch: Arch) -> Result<Names> {
        match arch {
            Arch::X86_64 => Ok(Names {
                grub_efi: "x86_64-efi",
                grub_bios: Some("i386-pc"),
                removable: "EFI/BOOT/BOOTX64.EFI",
                systemd_boot: "systemd-bootx64.efi",
            }),
            Arch::Aarch64 => Ok(Names {
                grub_efi: "arm64-efi",
                grub_bios: None,
                removable: "EFI/BOOT/BOOTAA64.EFI",
                systemd_boot: "systemd-bootaa64.efi",
            }),
            Arch::Riscv64 | Arch::Ppc64le | Arch::S390x => {
                Err(Error::refused("install", format!("no boot loader is known for {}", arch.as_str()))
                    .mend("lay the disk out by hand, then use 'thinroot init'"))
            }
        }
    }

    /// systemd-boot's own program.
    pub(super) fn systemd_boot_program(self) -> PathBuf {
        Path::new("/usr/lib/systemd/boot/efi").join(self.systemd_boot)
    }
}
