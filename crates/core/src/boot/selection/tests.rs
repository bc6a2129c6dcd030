//! Tests of [`super`]: every state times every event, and the stories that matter.

use super::*;

fn layer(number: u32) -> LayerName {
    format!("node-{number}-0+1").parse().unwrap()
}

fn adopted() -> Selection {
    Selection::default().adopt(&layer(1)).unwrap()
}

/// A state in short: `default armed:tries good… !failed…`, by image number.
fn short(selection: &Selection) -> String {
    let number = |layer: &LayerName| layer.base().version().to_string();
    let mut out = selection.default_layer().map_or("-".into(), number);
    if let Some(armed) = selection.armed() {
        out += &format!(" {}:{}", number(&armed.layer), armed.tries_left);
    }
    selection.good().iter().for_each(|l| out += &format!(" g{}", number(l)));
    selection.failed().iter().for_each(|f| out += &format!(" !{}", number(&f.layer)));
    out
}

#[derive(Debug, Clone, Copy)]
enum Event {
    Adopt(u32),
    Arm(u32, u8),
    Disarm,
    Start,
    Bless(u32),
    Fail(u32),
    Forgive(u32),
    Forget(u32),
}

fn apply(state: &Selection, event: Event) -> Result<Selection, SelectionError> {
    match event {
        Event::Adopt(n) => state.adopt(&layer(n)),
        Event::Arm(n, tries) => state.arm(&layer(n), tries),
        Event::Disarm => state.disarm(),
        Event::Start => state.start().map(|(_, after)| after),
        Event::Bless(n) => state.bless(&layer(n)),
        Event::Fail(n) => state.fail(&layer(n), None, "why"),
        Event::Forgive(n) => Ok(state.forgive(&layer(n))),
        Event::Forget(n) => state.forget(&layer(n)),
    }
}

#[test]
fn every_state_and_every_event() {
    use Event::*;
    let events = [
        Adopt(1),
        Arm(1, 3),
        Arm(2, 3),
        Arm(3, 0),
        Arm(3, 10),
        Disarm,
        Start,
        Bless(1),
        Bless(2),
        Bless(3),
        Fail(1),
        Fail(2),
        Forgive(2),
        Forget(1),
        Forget(2),
    ];
    let blessed = adopted().bless(&layer(1)).unwrap();
    let armed = blessed.arm(&layer(2), 1).unwrap();
    let spent = apply(&armed, Start).unwrap();
    let fallen = apply(&spent, Start).unwrap();
    let moved = armed.bless(&layer(2)).unwrap();
    // One row a state, one column an event; the refusal's variant where there is one.
    let table: [(&Selection, [&str; 15]); 7] = [
        (
            &Selection::default(),
            [
                "1",
                "NoDefault",
                "NoDefault",
                "NoDefault",
                "NoDefault",
                "NothingArmed",
                "NoDefault",
                "NotSelected",
                "NotSelected",
                "NotSelected",
                "NotSelected",
                "NotSelected",
                "-",
                "-",
                "-",
            ],
        ),
        (
            &adopted(),
            [
                "HasDefault",
                "IsDefault",
                "1 2:3",
                "Tries",
                "Tries",
                "NothingArmed",
                "1",
                "1 g1",
                "NotSelected",
                "NotSelected",
                "NotSelected",
                "NotSelected",
                "1",
                "InUse",
                "1",
            ],
        ),
        (
            &blessed,
            [
                "HasDefault",
                "IsDefault",
                "1 2:3 g1",
                "Tries",
                "Tries",
                "NothingArmed",
                "1 g1",
                "1 g1",
                "NotSelected",
                "NotSelected",
                "NotSelected",
                "NotSelected",
                "1 g1",
                "InUse",
                "1 g1",
            ],
        ),
        (
            &armed,
            [
                "HasDefault",
                "AlreadyArmed",
                "AlreadyArmed",
                "AlreadyArmed",
                "AlreadyArmed",
                "1 g1",
                "1 2:0 g1",
                "1 2:1 g1",
                "2 g2 g1",
                "NotSelected",
                "NotSelected",
                "1 g1 !2",
                "1 2:1 g1",
                "InUse",
                "InUse",
            ],
        ),
        (
            &spent,
            [
                "HasDefault",
                "AlreadyArmed",
                "AlreadyArmed",
                "AlreadyArmed",
                "AlreadyArmed",
                "1 g1",
                "1 g1 !2",
                "1 2:0 g1",
                "2 g2 g1",
                "NotSelected",
                "NotSelected",
                "1 g1 !2",
                "1 2:0 g1",
                "InUse",
                "InUse",
            ],
        ),
        (
            &fallen,
            [
                "HasDefault",
                "IsDefault",
                "1 2:3 g1 !2",
                "Tries",
                "Tries",
                "NothingArmed",
                "1 g1 !2",
                "1 g1 !2",
                "NotSelected",
                "NotSelected",
                "NotSelected",
                "1 g1 !2",
                "1 g1",
                "InUse",
                "1 g1 !2",
            ],
        ),
        (
            &moved,
            [
                "HasDefault",
                "2 1:3 g2 g1",
                "IsDefault",
                "Tries",
                "Tries",
                "NothingArmed",
                "2 g2 g1",
                "NotSelected",
                "2 g2 g1",
                "NotSelected",
                "NotSelected",
                "NotSelected",
                "2 g2 g1",
                "2 g2",
                "InUse",
            ],
        ),
    ];
    for (state, wants) in table {
        for (event, want) in events.into_iter().zip(wants) {
            let got = match apply(state, event) {
                Ok(after) => short(&after),
                Err(error) => format!("{error:?}").split('(').next().unwrap_or_default().to_string(),
            };
            assert_eq!(got, want, "{} {event:?}", short(state));
        }
    }
}

#[test]
fn a_layer_that_is_never_blessed_boots_three_times_and_then_the_old_one_for_good() {
    let mut now = adopted().arm(&layer(2), 3).unwrap();
    let mut booted = Vec::new();
    for _ in 0..6 {
        let (started, after) = now.start().unwrap();
        booted.push((started.layer.base().version().to_string(), started.reason));
        now = after;
    }
    let want = [
        ("2", StartReason::Try),
        ("2", StartReason::Try),
        ("2", StartReason::Try),
        ("1", StartReason::FellBack),
        ("1", StartReason::Default),
        ("1", StartReason::Default),
    ];
    assert_eq!(booted, want.map(|(layer, reason)| (layer.to_string(), reason)));
    let failure = |digest: Option<&str>, reason: &str| Failure {
        layer: layer(2),
        image_digest: digest.map(String::from),
        reason: reason.into(),
    };
    assert_eq!(now.failed(), [failure(None, "its tries were used up and it was not blessed")]);
    // The host that came back knows more; a later failure of the same layer keeps the digest.
    let digest = "0123456789abcdef";
    let told = now.fail(&layer(2), Some(digest), " no\nnetwork ").unwrap();
    assert_eq!(told.failed(), [failure(Some(digest), "no network")]);
    let again = told.arm(&layer(2), 1).unwrap().fail(&layer(2), None, "").unwrap();
    assert_eq!(again.failed(), [failure(Some(digest), "no reason was given")]);
    assert_eq!(again.fail(&layer(2), Some("xyz"), ""), Err(SelectionError::Digest("xyz".into())));
}

#[test]
fn inverses_restore_exactly() {
    let before = adopted().bless(&layer(1)).unwrap().arm(&layer(3), 2).unwrap().fail(&layer(3), None, "x").unwrap();
    for tries in 1..=MAX_TRIES {
        let armed = before.arm(&layer(2), tries).unwrap();
        assert_eq!(armed.disarm().unwrap(), before);
        assert_eq!(armed.disarm().unwrap().arm(&layer(2), tries).unwrap(), armed);
        assert_eq!(armed.fail(&layer(2), None, "y").unwrap().forgive(&layer(2)), before);
    }
}

#[test]
fn lists_are_bounded_and_the_latest_stay() {
    let mut now = adopted();
    for n in 2..50 {
        now = now.arm(&layer(n), 1).unwrap().bless(&layer(n)).unwrap();
        now = now.arm(&layer(1000 + n), 1).unwrap().fail(&layer(1000 + n), None, &"é".repeat(100)).unwrap();
    }
    assert_eq!(now.good(), (42..50).rev().map(layer).collect::<Vec<_>>());
    assert_eq!(now.failed().len(), MAX_FAILED);
    assert_eq!((now.failed()[0].layer.clone(), now.failed()[0].reason.clone()), (layer(1049), "é".repeat(40)));
    assert!(now.to_string().len() < 4096);
}
