//! What makes GRUB read our choice: a few lines in `custom.cfg`, which the `grub.cfg` that `grub-mkconfig` makes reads at its
//! end and no tool writes; and, on hosts that we install, a `grub.cfg` of our own that does no more than that.

use crate::boot::cmdline;

const BEGIN: &str = "# thinroot: begin\n";
const END: &str = "# thinroot: end\n";
const HOOK: &str = "\
if [ -s \"${config_directory}/thinroot.cfg\" ]; then
  source \"${config_directory}/thinroot.cfg\"
fi
";

/// `custom.cfg` with our lines at its end, so that nothing after them chooses otherwise.
pub fn with_hook(custom: &str) -> String {
    let mut text = without_hook(custom);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text + BEGIN + HOOK + END
}

/// `custom.cfg` as it was before.
pub fn without_hook(custom: &str) -> String {
    let ours = custom.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    ours.map_or(custom.to_string(), |(before, after)| before.to_string() + after)
}

/// `grub.cfg` of a host that we install. GRUB talks on the serial line that the kernel has its console on.
pub fn main_configuration(kernel_arguments: &str) -> String {
    let mut text = String::from(
        "# Written by 'thinroot install'. The distribution's tools may write another (update-grub, grub2-mkconfig):\n\
         # theirs reads custom.cfg as this one does.\nset timeout=3\n",
    );
    if let Some((unit, speed)) = serial(kernel_arguments) {
        text += &format!(
            "serial --unit={unit} --speed={speed}\nterminal_input console serial\nterminal_output console serial\n"
        );
    }
    text + "if [ -s \"${config_directory}/custom.cfg\" ]; then\n  source \"${config_directory}/custom.cfg\"\nfi\n"
}

/// Unit and speed of the first serial console of the PC's kind.
fn serial(kernel_arguments: &str) -> Option<(u8, u32)> {
    let words = cmdline::split(kernel_arguments).unwrap_or_default();
    words.iter().find_map(|word| {
        let (unit, options) = word.strip_prefix("console=ttyS")?.split_once(',').unwrap_or((&word[12..], ""));
        let speed: String = options.chars().take_while(char::is_ascii_digit).collect();
        // What the kernel takes where nothing is said.
        Some((unit.parse().ok().filter(|unit| *unit < 4)?, speed.parse().unwrap_or(9600)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_lines_come_last_and_go_without_a_trace() {
        for before in ["", "set timeout=9\n", "menuentry x {\n}", "# thinroot: end\n"] {
            let after = with_hook(before);
            assert!(after.ends_with(END), "{after}");
            assert_eq!(with_hook(&after), after);
            assert_eq!(without_hook(&after).trim_end(), before.trim_end());
        }
        let moved = format!("{}set default=0\n", with_hook("set timeout=9\n"));
        assert_eq!(with_hook(&moved), with_hook("set timeout=9\nset default=0\n"));
    }

    #[test]
    fn grub_talks_where_the_kernel_does() {
        assert_eq!(serial("quiet console=tty0 console=ttyS1,115200n8 console=ttyS0"), Some((1, 115_200)));
        assert_eq!(serial("console=ttyS0"), Some((0, 9600)));
        for none in ["", "console=tty0", "console=ttyS", "console=ttyS9", "console=ttySx,1"] {
            assert_eq!(serial(none), None, "{none}");
        }
        assert!(main_configuration("console=ttyS0,115200").contains("serial --unit=0 --speed=115200\n"));
        assert!(!main_configuration("quiet").contains("serial"));
    }
}
