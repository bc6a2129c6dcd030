//! Goal: a power cut or a kill at any effect of an update, a rollback or a removal on real LVM leaves a host that boots,
//! loses nothing, and can be finished as well as undone.
//!
//! Method: `cargo xtask crash` orders one deed a boot of the test kernel, because the machine dies in between; what has
//! to be the same before and after travels in a shared directory. The order is in `THINROOT_CUTS`:
//!
//! ```text
//! prepare          a store with a layer and its edits; the state before is recorded
//! list             an undisturbed update: its fault points on stdout, the state after is recorded
//! cut N            the update, with the machine switched off at point N
//! run              the update, to be killed from outside together with the machine
//! mend resume      what a cut left is sound, then finished
//! mend abandon     the same, undone; with a third word, again: then the update is begun anew
//! kill DEED FIRST EVERY
//!                  the process killed at every EVERY-th point from FIRST on, the machine going on
//! ```

use std::fs;
use std::path::PathBuf;

use thinroot_testkit::lab::{LAB, Lab, Sizes, shell};

const PROGRAM: &str = env!("CARGO_BIN_EXE_thinroot");
const UPDATE: &str = "update tar:/lab/node-2.tar";
const OLD: &str = "node-1-0+1";
const SIZES: Sizes = Sizes { disk_mib: 480, pool_mib: 400, metadata_mib: 4, boot_mib: None };

#[test]
fn orders() {
    let Ok(order) = std::env::var("THINROOT_CUTS") else {
        eprintln!("runs inside the UML bed, by order of: cargo xtask crash");
        return;
    };
    match order.split(' ').collect::<Vec<_>>()[..] {
        ["prepare"] => {
            let lab = prepare();
            fs::write(shared("before"), lab.state()).unwrap();
            shell(&format!("umount {LAB}; vgchange -qq -an vg0; sync"));
        }
        ["list"] => list(),
        ["cut", point] => {
            let run = Lab::reopen(PROGRAM).run_with_fault(UPDATE, &format!("cut:{point}"));
            panic!("point {point} was not passed: {run:?}");
        }
        ["run"] => {
            let lab = Lab::reopen(PROGRAM);
            println!("BEGIN");
            lab.ok(UPDATE);
        }
        ["mend", verb] => States::shared().mend(&Lab::reopen(PROGRAM), verb),
        ["mend", verb, "again"] => {
            let (lab, states) = (Lab::reopen(PROGRAM), States::shared());
            states.mend(&lab, verb);
            states.again(&lab);
        }
        ["kill", deed, first, every] => kills(deed, first.parse().unwrap(), every.parse().unwrap()),
        _ => panic!("no such order: {order}"),
    }
}

fn shared(name: &str) -> PathBuf {
    PathBuf::from(std::env::var("THINROOT_SHARED").expect("a shared directory")).join(name)
}

fn read(name: &str) -> String {
    fs::read_to_string(shared(name)).unwrap()
}

fn prepare() -> Lab {
    let lab = Lab::new(PROGRAM, SIZES).with_layer("144M");
    lab.image(2, 3);
    lab
}

fn list() {
    let lab = Lab::reopen(PROGRAM);
    let run = lab.run_with_fault(UPDATE, "list");
    assert_eq!(run.code, 0, "{run:?}");
    fs::write(shared("after"), lab.state()).unwrap();
    lab.assert_sound();
    fs::write(shared("points"), run.stderr).unwrap();
}

/// What a deed leads from and to.
struct States {
    before: String,
    after: String,
}

impl States {
    fn shared() -> States {
        States { before: read("before"), after: read("after") }
    }

    /// What was undone can be done.
    fn again(&self, lab: &Lab) {
        lab.ok(UPDATE);
        assert_eq!(lab.state(), self.after);
        lab.assert_sound();
    }

    /// Judges what an interruption left, ends it, judges again.
    fn mend(&self, lab: &Lab, verb: &str) {
        let excused = |finding: &String| finding.contains("was interrupted");
        let findings: Vec<String> = lab.check().into_iter().filter(|finding| !excused(finding)).collect();
        assert_eq!(findings, Vec::<String>::new());
        assert_eq!(section(&self.before, OLD), section(&lab.listing(OLD), OLD), "the old layer");
        self.assert_boots(lab);

        let (code, answer) = lab.json(verb);
        assert!([0, 4].contains(&code), "{verb}: {code} {answer}");
        lab.assert_sound();
        let state = lab.state();
        let outcome = answer["report"]["outcome"].as_str().unwrap_or("nothing was open").to_string();
        let whole = [&self.before, &self.after].contains(&&state);
        assert!(whole, "{verb}, {outcome}: neither before nor after:\n{state}");
        match outcome.as_str() {
            "abandoned" => assert!(state == self.before, "abandoned, and not as before:\n{state}"),
            "nothing was open" => {}
            _ => assert!(state == self.after, "{outcome}, and not as an undisturbed run:\n{state}"),
        }
        println!("recovered: {outcome}");
    }

    /// What boots next is the old layer or the new one, and has its entry.
    fn assert_boots(&self, lab: &Lab) {
        let (_, status) = lab.json("status");
        let next = status["armed"]["layer"].as_str().or(status["default"].as_str()).expect("something boots");
        let known = status["layers"].as_array().unwrap().iter().find(|layer| layer["name"] == next);
        assert_eq!(known.map(|layer| layer["has_entry"].clone()), Some(true.into()), "{status}");
    }
}

/// One volume's part of a state.
fn section<'a>(state: &'a str, volume: &str) -> &'a str {
    let (_, rest) = state.split_once(&format!("== {volume}\n")).expect("the volume");
    rest.split("== ").next().expect("a listing")
}

/// Kills the process, not the machine: the same disks, restored for each point.
fn kills(deed: &str, first: usize, every: usize) {
    let lab = prepare();
    let line = match deed {
        "update" => UPDATE,
        "rollback" => {
            lab.ok(UPDATE);
            lab.ok("bless");
            "rollback"
        }
        "prune" => {
            lab.ok(UPDATE);
            lab.ok("bless");
            lab.ok(&format!("update {}", lab.image(3, 3)));
            lab.ok("bless");
            "prune --keep 1"
        }
        _ => panic!("no such deed: {deed}"),
    };
    let before = lab.state();
    save();
    let run = lab.run_with_fault(line, "list");
    assert_eq!(run.code, 0, "{run:?}");
    let points = run.stderr.lines().filter(|line| line.starts_with("fault ")).count();
    let states = States { before, after: lab.state() };
    let mut killed = 0;
    for point in (first..points).step_by(every) {
        restore();
        let run = lab.run_with_fault(line, &format!("kill:{point}"));
        assert_eq!(run.code, 128 + 9, "point {point} of {points}: {run:?}");
        let verb = if killed % 2 == 0 { "resume" } else { "abandon" };
        println!("killed at {point} of {points}, {verb}");
        if deed == "update" {
            states.mend(&lab, verb);
        } else {
            states.mend_removal(&lab, verb);
        }
        killed += 1;
    }
    println!("killed {killed}");
}

impl States {
    /// A rollback or removal that is given up may have done a part: each part is whole.
    fn mend_removal(&self, lab: &Lab, verb: &str) {
        let excused = |finding: &String| finding.contains("was interrupted");
        let findings: Vec<String> = lab.check().into_iter().filter(|finding| !excused(finding)).collect();
        assert_eq!(findings, Vec::<String>::new());
        self.assert_boots(lab);
        let (code, answer) = lab.json(verb);
        assert!([0, 4].contains(&code), "{verb}: {code} {answer}");
        lab.assert_sound();
        if verb == "resume" {
            let state = lab.state();
            assert!([&self.before, &self.after].contains(&&state), "{answer}:\n{state}");
        }
    }
}

fn save() {
    shell(&format!(
        "vgchange -qq -an vg0; dd if=/dev/ubda of={LAB}/saved bs=1M count={} conv=sparse iflag=direct status=none
         cp -a {LAB}/boot {LAB}/saved-boot; vgchange -qq -ay vg0",
        SIZES.disk_mib
    ));
}

fn restore() {
    shell(&format!(
        "vgchange -qq -an vg0; blkdiscard -f -l {}M /dev/ubda
         dd if={LAB}/saved of=/dev/ubda bs=1M conv=sparse oflag=direct status=none
         rm -rf {LAB}/boot; cp -a {LAB}/saved-boot {LAB}/boot; vgchange -qq -ay vg0",
        SIZES.disk_mib
    ));
}
