//! The packages of an image, as its own package database lists them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// A package without its version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PackageName {
    /// Its name.
    pub name: String,
    /// As its manager spells it: `amd64`, `x86_64`, `all`, `noarch`.
    pub arch: String,
}

/// Versions by package: one as a rule, several of kernels and the like.
pub type Packages = BTreeMap<PackageName, BTreeSet<String>>;

/// Packages that are installed, of `/var/lib/dpkg/status` or the files beneath `status.d`. What is configured only, or half
/// removed, is not one.
pub fn of_dpkg_status(text: &str) -> Packages {
    let mut packages = Packages::new();
    for stanza in text.split("\n\n") {
        let field = |name: &str| {
            let value = |line: &str| line.strip_prefix(name)?.strip_prefix(':').map(|rest| rest.trim().to_string());
            stanza.lines().find_map(value)
        };
        // Files beneath status.d say no status: what is listed there is installed.
        let installed = field("Status").is_none_or(|status| status.ends_with(" installed"));
        if let (Some(name), Some(version), true) = (field("Package"), field("Version"), installed) {
            let arch = field("Architecture").unwrap_or_default();
            packages.entry(PackageName { name, arch }).or_default().insert(version);
        }
    }
    packages
}

/// What `rpm -qa --qf` is asked for by whoever calls [`of_rpm_query`].
pub const RPM_QUERY: &str = "%{NAME}\\t%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\\t%{ARCH}\\n";

/// Packages of rpm's answer; the keys that its database also holds are none.
pub fn of_rpm_query(text: &str) -> Packages {
    let mut packages = Packages::new();
    for line in text.lines() {
        let mut fields = line.split('\t');
        let (Some(name), Some(version), Some(arch)) = (fields.next(), fields.next(), fields.next()) else { continue };
        if name != "gpg-pubkey" {
            let key = PackageName { name: name.into(), arch: arch.into() };
            packages.entry(key).or_default().insert(version.into());
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(packages: &Packages) -> Vec<String> {
        let line = |(key, versions): (&PackageName, &BTreeSet<String>)| {
            format!("{}:{} {}", key.name, key.arch, versions.iter().cloned().collect::<Vec<_>>().join(","))
        };
        packages.iter().map(line).collect()
    }

    #[test]
    fn what_dpkg_has_installed_is_listed() {
        let text = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2-1\nDescription: x\n Version: 9\n\n\
                    Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 1\n\n\
                    Package: libc6\nStatus: hold ok installed\nArchitecture: i386\nVersion: 2\n\n\
                    Package: tzdata\nArchitecture: all\nVersion: 2026a\n";
        assert_eq!(listed(&of_dpkg_status(text)), ["bash:amd64 5.2-1", "libc6:i386 2", "tzdata:all 2026a"]);
        assert!(of_dpkg_status("").is_empty());
    }

    #[test]
    fn rpm_has_several_of_one_name_and_keys_that_are_no_packages() {
        let text =
            "kernel\t6.1-1\tx86_64\nkernel\t6.2-1\tx86_64\nbind\t32:9.16-1\tx86_64\ngpg-pubkey\t1-2\t(none)\nhalf\n";
        assert_eq!(listed(&of_rpm_query(text)), ["bind:x86_64 32:9.16-1", "kernel:x86_64 6.1-1,6.2-1"]);
    }
}
