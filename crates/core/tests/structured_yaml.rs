//! What must hold of every merge of YAML, with a reader of its own.

mod merge_laws;

use std::collections::BTreeSet;

use merge_laws::{comments, merged, rule};
use proptest::prelude::*;
use saphyr_parser::{Event, Parser, ScalarStyle, StrInput};
use serde_json::{Map, Value, json};
use thinroot_core::structured::Format;

/// A value as YAML in block style below a key that stands this deep.
fn write_yaml(
    out: &mut String,
    members: &Map<String, Value>,
    depth: usize,
    dashes_deeper: bool,
    mine: &BTreeSet<String>,
) {
    let pad = "  ".repeat(depth);
    for (key, value) in members {
        if depth == 0 && mine.contains(key) {
            *out += &format!("# mine, of {key}\n");
        }
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                *out += &format!("{pad}{key}:\n");
                write_yaml(out, inner, depth + 1, dashes_deeper, mine);
            }
            Value::Array(items) if !items.is_empty() => {
                *out += &format!("{pad}{key}:\n");
                let dash = if dashes_deeper { "  - " } else { "- " };
                items.iter().for_each(|item| *out += &format!("{pad}{dash}{item}\n"));
            }
            Value::String(text) if text.contains('\n') => {
                *out += &format!("{pad}{key}: |\n");
                text.lines().for_each(|line| *out += &format!("{pad}  {line}\n"));
            }
            Value::Null => *out += &format!("{pad}{key}:\n"),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                *out += &format!("{pad}{key}: {value}\n");
            }
        }
        if key == "c" {
            *out += &format!("\n{pad}# behind {key}\n");
        }
    }
}

fn yaml_value() -> impl Strategy<Value = Map<String, Value>> {
    let leaf = prop_oneof![
        (0..3).prop_map(|number| json!(number)),
        Just(json!("x")),
        Just(json!("one\n# two\n  three: 3\n")),
        Just(Value::Null),
        prop::collection::vec(0..4, 0..3).prop_map(|list| json!(list)),
        Just(json!([{"k": 1}, ["y"]])),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        prop::collection::btree_map("[abcd]", inner, 0..4).prop_map(|members| Value::Object(Map::from_iter(members)))
    });
    prop::collection::btree_map("[abcd]", value, 0..5).prop_map(Map::from_iter)
}

/// Reads it by the events of a parser alone.
fn read_yaml(text: &str) -> Value {
    fn node(events: &mut Parser<'_, StrInput<'_>>) -> Option<Value> {
        match events.next_event().unwrap().unwrap().0 {
            Event::Scalar(text, ScalarStyle::Plain, ..) if text.is_empty() => Some(Value::Null),
            Event::Scalar(text, ScalarStyle::Plain, ..) => Some(serde_json::from_str(&text).unwrap_or(json!(text))),
            Event::Scalar(text, ..) => Some(json!(text)),
            Event::SequenceStart(..) => Some(Value::Array(std::iter::from_fn(|| node(events)).collect())),
            Event::MappingStart(..) => {
                let mut members = Map::new();
                while let Some(key) = node(events) {
                    let key = key.as_str().map_or_else(|| key.to_string(), str::to_owned);
                    assert!(members.insert(key, node(events).unwrap()).is_none(), "a key twice");
                }
                Some(Value::Object(members))
            }
            Event::StreamStart | Event::DocumentStart(_) => node(events),
            Event::Nothing
            | Event::StreamEnd
            | Event::DocumentEnd
            | Event::Alias(_)
            | Event::SequenceEnd
            | Event::MappingEnd => None,
        }
    }
    node(&mut Parser::new_from_str(text)).filter(|value| !value.is_null()).unwrap_or(json!({}))
}

/// What the layer's and the vendor's mappings together must be, and how many values of the vendor lost; none where a
/// mapping would be empty.
fn yaml_of(
    b: &Map<String, Value>,
    l: &Map<String, Value>,
    n: &Map<String, Value>,
) -> Option<(Map<String, Value>, usize)> {
    let mut out = Map::new();
    let mut losses = 0;
    let mapping = |value: Option<&Value>| value.and_then(Value::as_object).filter(|inner| !inner.is_empty()).cloned();
    for key in l.keys().chain(n.keys()).chain(b.keys()).collect::<BTreeSet<_>>() {
        let of = [b.get(key), l.get(key), n.get(key)];
        let (value, lost) = rule(of[0], of[1], of[2]);
        match (mapping(of[1]), mapping(of[2])) {
            (Some(l), Some(n)) if of[1] != of[0] && of[1] != of[2] => {
                let (inner, count) = yaml_of(&mapping(of[0]).unwrap_or_default(), &l, &n)?;
                if inner.is_empty() {
                    return None;
                }
                losses += count;
                out.insert(key.clone(), Value::Object(inner));
            }
            _ => {
                losses += usize::from(lost);
                out.extend(value.map(|value| (key.clone(), value.clone())));
            }
        }
    }
    Some((out, losses))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn yamls(
        b in prop::option::of(yaml_value()), l in yaml_value(), n in yaml_value(), deeper: bool,
        mine in prop::collection::btree_set("[abcd]", 0..3), mark: bool, crlf: bool,
    ) {
        let text = |members: &Map<String, Value>, mine: &BTreeSet<String>, crlf: bool| {
            let mut out = if mark { "# head\n---\n".to_owned() } else { String::new() };
            write_yaml(&mut out, members, 0, deeper, mine);
            if crlf { out.replace('\n', "\r\n") } else { out }
        };
        let none = BTreeSet::new();
        let (base, local, vendor) = (b.as_ref().map(|b| text(b, &none, false)), text(&l, &mine, false), text(&n, &none, crlf));
        let nothing = Map::new();
        let whole = base.as_deref() == Some(&local) || base.as_deref() == Some(&vendor) || local == vendor;
        let wanted = yaml_of(b.as_ref().unwrap_or(&nothing), &l, &n);
        match (merged(Format::Yaml, base.as_deref(), &local, &vendor), wanted) {
            (Some((text, lost)), Some((wanted, losses))) => {
                prop_assert_eq!(read_yaml(&text), Value::Object(wanted), "{}", text);
                prop_assert!(whole || lost.len() == losses, "{:?} {}", lost, text);
                let missing = comments(&local).into_iter().find(|line| line.contains("mine") && !comments(&text).contains(line));
                prop_assert_eq!(missing, None, "{}", text);
            }
            (None, None) => {}
            (Some((text, _)), None) => prop_assert!(whole, "an empty mapping: {}", text),
            (None, Some(wanted)) => prop_assert!(false, "refused: {:?} {} {} {:?}", base, local, vendor, wanted),
        }
    }
}
