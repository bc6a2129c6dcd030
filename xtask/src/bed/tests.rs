//! The bed's own promises, each with a real kernel.

use super::*;

/// A cache of this test's own, removed at the end.
struct Place(Cache);

impl Place {
    fn new(name: &str) -> Self {
        crate::packages::ensure(&[crate::packages::UML]).unwrap();
        let dir = std::env::temp_dir().join(format!("xtask-bed-{}-{name}", std::process::id()));
        Place(Cache::at(dir).unwrap())
    }

    fn jobs_left(&self) -> usize {
        std::fs::read_dir(self.0.root().join("jobs")).unwrap().count()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        std::fs::remove_dir_all(self.0.root()).unwrap();
    }
}

#[test]
fn runs_a_command_and_hands_everything_over() {
    let place = Place::new("run");
    let cmd = "echo \"$A\"; echo oops >&2; id -u; exit 7";
    let got = Bed::new(&place.0).env("A", "it's here").run(cmd).unwrap();
    assert_eq!((got.end, got.stdout.as_str(), got.stderr.as_str()), (End::Done(7), "it's here\n0\n", "oops\n"));
    assert_eq!(place.jobs_left(), 0);
}

#[test]
fn has_real_thin_provisioning_and_guards_the_host() {
    let place = Place::new("lvm");
    let disk = place.0.root().join("disk");
    sparse_disk(&disk, 512).unwrap();
    let shown = place.0.root().join("shown");
    std::fs::create_dir(&shown).unwrap();
    let cmd = format!(
        "set -e; exec 2>&1; vgcreate -q -q vg0 /dev/ubda >/dev/null; lvcreate -q -q -T -L 200M vg0/pool >/dev/null
         lvcreate -q -q -T -V 1G -n a vg0/pool >/dev/null; lvcreate -q -q -s -n b vg0/a >/dev/null
         lvs --noheadings -o lv_name,origin --separator , vg0 | tr -d ' '
         if touch {0}/x; then echo wrote into a read-only bind; exit 9; fi
         touch /etc/bed-was-here; vgchange -qq -an vg0 >/dev/null",
        shown.display()
    );
    let got = Bed::new(&place.0).disk(&disk, Access::Write).bind(&shown, Access::Read).run(&cmd).unwrap();
    let text = got.expect_done("lvm").unwrap();
    assert!(text.contains("a,\nb,a\npool,\n"), "{text}");
    assert!(!Path::new("/etc/bed-was-here").exists());
}

#[test]
fn a_cut_keeps_what_was_synced_and_loses_what_was_not() {
    let place = Place::new("cut");
    let disk = place.0.root().join("disk");
    sparse_disk(&disk, 128).unwrap();
    let cmd = "mkfs.ext4 -q /dev/ubda && mount /dev/ubda /mnt && echo a >/mnt/synced && sync -f /mnt
               echo b >/mnt/not; echo NOW; sleep 100";
    let bed = Bed::new(&place.0).disk(&disk, Access::Write);
    let got = bed.run_and_kill(cmd, &Plug::OnSaying("NOW".into())).unwrap();
    assert_eq!((got.end, got.stdout.as_str()), (End::Cut, "NOW\n"));
    let inside = bed.run("echo c >/tmp/x; echo o >/proc/sysrq-trigger; sleep 100").unwrap();
    assert_eq!(inside.end, End::Cut);
    let after = bed.run("mount /dev/ubda /mnt && ls /mnt && e2fsck -V 2>&1 | head -c 6").unwrap();
    assert_eq!(after.expect_done("look").unwrap(), "lost+found\nsynced\ne2fsck");
    assert_eq!(place.jobs_left(), 0);
}

#[test]
fn a_hung_command_is_killed() {
    let place = Place::new("hang");
    let got = Bed::new(&place.0).timeout(Duration::from_secs(6)).run("sleep 1000").unwrap();
    assert_eq!((got.end, got.rc()), (End::TimedOut, None));
}

#[test]
fn a_clock_that_stands_still_is_noticed_and_one_that_goes_on_is_not() {
    let place = Place::new("alive");
    let sign = place.0.root().join("alive");
    let mut heartbeat = Heartbeat::default();
    let looks = STALLED.as_millis() / POLL.as_millis();
    let mut stops_within = |looks| (0..looks).any(|_| heartbeat.has_stopped(&sign));
    assert!(!stops_within(looks + 2), "nothing is expected before the first sign");
    for time in [1, 2, 3] {
        let file = File::create(&sign).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(time)).unwrap();
        assert!(!stops_within(looks), "{time}");
    }
    assert!(stops_within(looks));
}
