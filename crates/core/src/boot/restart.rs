//! How a host comes into the layer that boots next: by restarting the machine, or only its userspace.
//!
//! A soft reboot (systemd 254 and later) ends every service and starts the next layer's under the kernel that runs. It saves
//! firmware, loader and kernel, and cannot do what only those do: it is chosen where the kernel and its arguments would come
//! out the same. Must stay true: what cannot be told is a reason for the whole restart, which always works.

use std::collections::BTreeMap;

use serde::Serialize;

use super::cmdline;

/// The first systemd that offers it.
pub const SOFT_REBOOT_SINCE: u32 = 254;

/// Words of a command line that say where the root is and who started it, and nothing about the kernel.
const ABOUT_THE_ROOT: [&str; 7] = ["BOOT_IMAGE", "initrd", "root", "ro", "rw", "rd.lvm.lv", "rootflags"];

/// What is known of the running host and of what it would come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Version of the systemd that runs; none where another init does.
    pub running_systemd: Option<u32>,
    /// That of the next layer's; none where it has none, or does not say.
    pub next_systemd: Option<u32>,
    /// The command line of the running kernel.
    pub running_line: String,
    /// The file of the kernel that runs, which is named by its content; none where an entry of ours did not start it.
    pub running_kernel: Option<String>,
    /// The command line of the next layer's entry.
    pub next_line: String,
    /// The file of its kernel.
    pub next_kernel: String,
}

/// How.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "restart", rename_all = "kebab-case")]
pub enum Restart {
    /// Of the userspace alone.
    Soft,
    /// Of the machine.
    Full {
        /// Why not less.
        why: String,
    },
}

impl Restart {
    /// In a few words.
    pub fn as_str(&self) -> &'static str {
        match self {
            Restart::Soft => "soft reboot",
            Restart::Full { .. } => "reboot",
        }
    }
}

/// The cheapest way that is safe.
pub fn cheapest(facts: &Facts) -> Restart {
    match obstacle(facts) {
        None => Restart::Soft,
        Some(why) => Restart::Full { why },
    }
}

fn obstacle(facts: &Facts) -> Option<String> {
    let Some(running) = facts.running_systemd else { return Some("the init of this host is not systemd".into()) };
    if running < SOFT_REBOOT_SINCE {
        return Some(format!("systemd {running} offers no soft reboot, {SOFT_REBOOT_SINCE} and later do"));
    }
    match facts.next_systemd {
        None => return Some("the next layer does not say which systemd it has".into()),
        // It takes over the state of the one that runs, which only newer ones understand.
        Some(next) if next < running => {
            return Some(format!("the next layer has systemd {next}, which cannot take over from systemd {running}"));
        }
        Some(_) => {}
    }
    match &facts.running_kernel {
        None => {
            return Some("an entry that is not thinroot's started this kernel, so it is not known which it is".into());
        }
        Some(kernel) if *kernel != facts.next_kernel => return Some("the kernel is another one".into()),
        Some(_) => {}
    }
    match (about_the_kernel(&facts.running_line), about_the_kernel(&facts.next_line)) {
        (Some(running), Some(next)) if running == next => None,
        (Some(running), Some(next)) => {
            let only = |a: &BTreeMap<String, usize>, b: &BTreeMap<String, usize>| {
                a.iter()
                    .filter(|(word, count)| b.get(*word) != Some(count))
                    .map(|(word, _)| word.clone())
                    .collect::<Vec<_>>()
            };
            let mut words = only(&running, &next);
            words.extend(only(&next, &running));
            words.sort();
            words.dedup();
            match words.is_empty() {
                true => Some("the kernel arguments come in another order".into()),
                false => Some(format!("the kernel arguments differ: {}", words.join(" "))),
            }
        }
        _ => Some("the kernel arguments cannot be read".into()),
    }
}

/// Words with how often they come. Their order is not compared: a loader may put its own anywhere.
fn about_the_kernel(line: &str) -> Option<BTreeMap<String, usize>> {
    let mut words = BTreeMap::new();
    for word in cmdline::split(line).ok()? {
        let key = word.split_once('=').map_or(word.as_str(), |(key, _)| key);
        if !ABOUT_THE_ROOT.contains(&key) && !key.starts_with("thinroot.") {
            *words.entry(word).or_default() += 1;
        }
    }
    Some(words)
}

/// The version in the first line of `systemctl --version`, or in the name of systemd's own library.
pub fn systemd_version(text: &str) -> Option<u32> {
    let rest = text.strip_prefix("systemd ").or_else(|| text.strip_prefix("libsystemd-shared-"))?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            running_systemd: Some(254),
            next_systemd: Some(257),
            running_line: "BOOT_IMAGE=/thinroot/ab-vmlinuz root=/dev/mapper/a-n--1--0+1 rd.lvm.lv=a/n-1-0+1 rw \
                           thinroot.layer=n-1-0+1 quiet console=ttyS0 thinroot.try"
                .into(),
            running_kernel: Some("ab-vmlinuz".into()),
            next_line: "root=/dev/mapper/a-n--2--0+1 rd.lvm.lv=a/n-2-0+1 rw thinroot.layer=n-2-0+1 quiet console=ttyS0"
                .into(),
            next_kernel: "ab-vmlinuz".into(),
        }
    }

    #[test]
    fn only_where_kernel_and_arguments_stay_the_userspace_is_enough() {
        assert_eq!(cheapest(&facts()), Restart::Soft);
        let full = |change: fn(&mut Facts), words: &str| {
            let mut facts = facts();
            change(&mut facts);
            let Restart::Full { why } = cheapest(&facts) else { panic!("soft although: {words}") };
            assert!(why.contains(words), "{why}");
        };
        full(|f| f.running_systemd = None, "not systemd");
        full(|f| f.running_systemd = Some(252), "systemd 252 offers no");
        full(|f| f.next_systemd = None, "does not say");
        full(|f| f.next_systemd = Some(253), "cannot take over");
        full(|f| f.running_kernel = None, "not thinroot's");
        full(|f| f.next_kernel = "cd-vmlinuz".into(), "another one");
        full(|f| f.next_line += " mitigations=off", "differ: mitigations=off");
        full(|f| f.next_line = f.next_line.replace("quiet", "quiet quiet"), "differ: quiet");
        full(|f| f.running_line += " \"x", "cannot be read");
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(systemd_version("systemd 254 (254.26-1~bpo12+1)"), Some(254));
        assert_eq!(systemd_version("libsystemd-shared-257.so"), Some(257));
        assert_eq!(systemd_version("libsystemd-shared-252.39.so"), Some(252));
        assert_eq!(systemd_version("sysvinit 3"), None);
    }
}
