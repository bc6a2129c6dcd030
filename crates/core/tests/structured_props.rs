//! What must hold of every merge of configuration: what the layer changed is so, all else is as the vendor has it.

mod merge_laws;

use std::collections::{BTreeMap, BTreeSet};

use merge_laws::{comments, merged, rule};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use thinroot_core::structured::{Format, merge};

/// A text of lines that three sides made of one: the words of its lines, then what each side does to them.
fn three_texts(words: &'static [&'static str]) -> impl Strategy<Value = [String; 3]> {
    let lines = prop::collection::vec(0..words.len(), 0..14);
    let edits = || prop::collection::vec((0usize..14, prop::option::of(0..words.len()), prop::bool::ANY), 0..7);
    let ends = prop::array::uniform3(prop::bool::weighted(0.8));
    (lines, edits(), edits(), ends, prop::bool::weighted(0.1)).prop_map(move |(lines, local, vendor, ends, crlf)| {
        let edited = |edits: &[(usize, Option<usize>, bool)]| {
            let mut lines = lines.clone();
            for (at, word, replace) in edits {
                let at = at % (lines.len() + 1);
                if (*replace || word.is_none()) && at < lines.len() {
                    lines.remove(at);
                }
                lines.extend(word);
                lines[at..].rotate_right(usize::from(word.is_some()));
            }
            lines
        };
        let sides = [lines.clone(), edited(&local), edited(&vendor)];
        let mut at = 0;
        sides.map(|side| {
            let mut text: String = side.iter().map(|word| format!("{}\n", words[*word])).collect();
            if !ends[at] && text.ends_with('\n') {
                text.pop();
            }
            at += 1;
            if crlf && at == 3 { text.replace('\n', "\r\n") } else { text }
        })
    })
}

type Entries = BTreeMap<(String, String), Vec<String>>;

/// Section, key and values, read by the simplest means. Sections of one name are counted.
fn entries(text: &str) -> Entries {
    let text = text.replace("\r\n", "\n").replace("\\\n", "\\");
    let mut out = Entries::new();
    let (mut section, mut seen) = (String::new(), BTreeMap::<&str, usize>::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';'])) {
        if line.starts_with('[') {
            let nth = seen.entry(line).or_default();
            section = format!("{line}{nth}");
            *nth += 1;
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or((line, "none"));
        out.entry((section.clone(), key.trim().into())).or_default().push(value.trim().into());
    }
    out
}

fn headers(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with('[')).collect()
}

fn by_key(format: Format, base: Option<&str>, local: &str, vendor: &str) {
    let shown = format!("{base:?} {local:?} {vendor:?}");
    let Some((text, lost)) = merged(format, base, local, vendor) else {
        let repeats = |text: &str| headers(text).len() > BTreeSet::from_iter(headers(text)).len();
        let unclear = [base.unwrap_or_default(), local, vendor].into_iter().any(repeats);
        assert!(unclear, "refused: {shown}");
        return;
    };
    let shown = format!("{shown} gave {text:?}");
    let base = base.unwrap_or_default();
    let [b, l, n] = [base, local, vendor].map(entries);
    let keys: BTreeSet<_> = b.keys().chain(l.keys()).chain(n.keys()).collect();
    let mut wanted = Entries::new();
    let mut losses = 0;
    for key in keys {
        let (values, lost) = rule(b.get(key), l.get(key), n.get(key));
        losses += usize::from(lost);
        wanted.extend(values.map(|values| (key.clone(), values.clone())));
    }
    assert_eq!(entries(&text), wanted, "{shown}");
    assert_eq!(lost.len(), losses, "{shown}");
    let own = comments(local);
    assert!(own.difference(&comments(base)).all(|line| comments(&text).contains(line)), "{shown}");
    let own = headers(local).into_iter().filter(|header| !headers(base).contains(header));
    assert!(own.clone().all(|header| headers(&text).contains(&header)), "{shown}");
    // The vendor's comments go only with a section that the layer took out.
    let count = |text, header: &str| headers(text).into_iter().filter(|other| *other == header).count();
    let dropped = headers(base).into_iter().any(|header| count(base, header) > count(local, header));
    assert!(dropped || base == vendor || comments(vendor).is_subset(&comments(&text)), "{shown}");
}

const INI: [&str; 23] = [
    "[a]",
    "[b]",
    "[c]",
    "",
    "",
    "#",
    "# one",
    "# two",
    "; three",
    "# four",
    "k=1",
    "k=2",
    "k =1",
    "k=",
    "l=1",
    "l = 2",
    "m",
    "m=1",
    "n=1 \\\n  2",
    "n=1",
    "o=1",
    "o=2",
    "p=3",
];

const ASSIGNMENTS: [&str; 18] = [
    "", "", "#", "# one", "# two", "# three", "#K=9", "K=1", "K=2", "K=\"1\"", "L=1", "L = 2", "M='a b'", "M=", "N=1",
    "O=1", "O=2", "p.q=3",
];

/// A mount as its fields.
type Mounts = BTreeMap<String, Vec<String>>;

const DEFAULTS: [&str; 6] = ["", "", "", "defaults", "0", "0"];

fn mounts(text: &str) -> Mounts {
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let mut out = Mounts::new();
    for line in lines {
        let mut fields: Vec<String> = line.split_whitespace().map(String::from).collect();
        fields.extend(DEFAULTS.iter().skip(fields.len()).map(|field| field.to_string()));
        assert!(out.insert(fields[1].clone(), fields).is_none(), "{text:?}");
    }
    out
}

fn option_map(list: &str) -> BTreeMap<&str, &str> {
    let options = list.split(',').filter(|option| !option.is_empty());
    options.map(|option| (option.split('=').next().unwrap(), option)).collect()
}

/// The fields of one mount that all rules together give.
fn mount_of(b: Option<&Vec<String>>, l: Option<&Vec<String>>, n: Option<&Vec<String>>) -> Option<Vec<String>> {
    let (Some(l), Some(n)) = (l, n) else { return rule(b, l, n).0.cloned() };
    let field = |at: usize| {
        let (b, l, n) = (b.map(|b| b[at].as_str()), l[at].as_str(), n[at].as_str());
        let (value, lost) = rule(b, Some(l), Some(n));
        if at != 3 || !lost {
            return value.unwrap().to_owned();
        }
        let (b, l, n) = (option_map(b.unwrap_or_default()), option_map(l), option_map(n));
        let names: BTreeSet<_> = l.keys().chain(n.keys()).collect();
        let options = names.into_iter().filter_map(|name| rule(b.get(name), l.get(name), n.get(name)).0.copied());
        let options = options.collect::<Vec<_>>().join(",");
        if options.is_empty() { DEFAULTS[3].to_owned() } else { options }
    };
    Some((0..6).map(field).collect())
}

fn fstab() -> impl Strategy<Value = String> {
    let options = ["ro", "rw", "x=1", "x=2", "y"];
    let options = prop::collection::btree_set(prop::sample::select(options.to_vec()), 0..4);
    let line = (0usize..5, 0..2, options, 0usize..3, "[ \t]{1,3}").prop_map(|(place, kind, options, more, gap)| {
        let mut seen = BTreeSet::new();
        let options: Vec<&str> = options.into_iter().filter(|option| seen.insert(option.split('=').next())).collect();
        let options = if options.is_empty() { "defaults".to_owned() } else { options.join(",") };
        let all = [format!("s{kind}"), format!("/{place}"), format!("t{more}"), options, "0".into(), more.to_string()];
        (place, all[..3 + more].join(&gap) + "\n")
    });
    let line = prop_oneof![3 => line, 1 => (5usize..9).prop_map(|nth| (nth, format!("# {nth}\n")))];
    prop::collection::vec(line, 0..9).prop_map(|lines| {
        let mut seen = BTreeSet::new();
        lines.into_iter().filter(|(place, _)| seen.insert(*place)).map(|(_, line)| line).collect()
    })
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        (0..3).prop_map(|number| json!(number)),
        Just(json!("x")),
        Just(Value::Null),
        prop::collection::vec(0..4, 0..4).prop_map(|list| json!(list)),
    ];
    let value = leaf.prop_recursive(3, 16, 4, |inner| {
        let object = prop::collection::btree_map("[abc]", inner.clone(), 0..4);
        prop_oneof![
            4 => object.prop_map(|members| Value::Object(Map::from_iter(members))),
            1 => prop::collection::vec(inner, 0..3).prop_map(Value::Array),
        ]
    });
    prop::collection::btree_map("[abcd]", value, 0..5).prop_map(|members| Value::Object(Map::from_iter(members)))
}

fn json_text(value: &Value, compact: bool) -> String {
    if compact { value.to_string() } else { serde_json::to_string_pretty(value).unwrap() + "\n" }
}

/// What the layer's and the vendor's values together must be.
fn json_of(b: Option<&Value>, l: Option<&Value>, n: Option<&Value>) -> Option<Value> {
    let (value, lost) = rule(b, l, n);
    match (b, l, n) {
        (b, Some(Value::Object(l)), Some(Value::Object(n))) => {
            let nothing = Map::new();
            let b = b.and_then(Value::as_object).unwrap_or(&nothing);
            let keys: BTreeSet<&String> = l.keys().chain(n.keys()).collect();
            let merged =
                keys.into_iter().filter_map(|key| Some((key.clone(), json_of(b.get(key), l.get(key), n.get(key))?)));
            Some(Value::Object(merged.collect()))
        }
        // An object that one side removed is an empty one: what the other put into it is not removed with the rest.
        (Some(Value::Object(_)), Some(Value::Object(side)), None)
        | (Some(Value::Object(_)), None, Some(Value::Object(side)))
            if lost && !side.is_empty() =>
        {
            let nothing = json!({});
            let merged = json_of(b, l.or(Some(&nothing)), n.or(Some(&nothing)))?;
            Some(merged).filter(|merged| *merged != nothing)
        }
        (Some(Value::Array(b)), Some(Value::Array(l)), Some(Value::Array(n))) if lost => {
            let is_set = |list: &Vec<Value>| {
                let plain = list.iter().all(|item| !item.is_array() && !item.is_object());
                plain && list.iter().map(Value::to_string).collect::<BTreeSet<_>>().len() == list.len()
            };
            let within = |list: &[Value], other: &[Value]| -> Vec<Value> {
                list.iter().filter(|item| other.contains(item)).cloned().collect()
            };
            let ordered = within(b, l) == within(l, b) && within(b, n) == within(n, b);
            if !ordered || ![b, l, n].into_iter().all(is_set) {
                return Some(json!(l));
            }
            let kept = n.iter().filter(|item| l.contains(item) || !b.contains(item));
            let added = l.iter().filter(|item| !b.contains(item) && !n.contains(item));
            Some(Value::Array(kept.chain(added).cloned().collect()))
        }
        _ => value.cloned(),
    }
}

/// The words of a TOML text by table and key; every table has one that never changes.
fn toml_text() -> impl Strategy<Value = BTreeMap<(String, String), String>> {
    let table = prop::sample::select(vec!["", "a", "a.b", "c"]);
    let value = prop::sample::select(vec!["1", "2", "\"x\"", "[ 1, 2 ]", "{ p = 1 }"]);
    let entries =
        prop::collection::btree_map((table.prop_map(String::from), "[klmn]"), value.prop_map(String::from), 0..9);
    entries.prop_map(|mut entries| {
        for table in ["", "a", "a.b", "c"] {
            entries.insert((table.into(), "always".into()), "0".into());
        }
        entries
    })
}

fn written(entries: &BTreeMap<(String, String), String>) -> String {
    let mut out = String::new();
    let mut last = "";
    for ((table, key), value) in entries {
        if table != last {
            out += &format!("\n# of {table}\n[{table}]\n");
            last = table;
        }
        out += &format!("{key} = {value}\n");
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ini(texts in three_texts(&INI), has_base: bool) {
        let [base, local, vendor] = &texts;
        by_key(Format::Ini, has_base.then_some(base.as_str()), local, vendor);
    }

    #[test]
    fn assignments(texts in three_texts(&ASSIGNMENTS), has_base: bool) {
        let [base, local, vendor] = &texts;
        by_key(Format::Assignments, has_base.then_some(base.as_str()), local, vendor);
    }

    #[test]
    fn fstabs(b in prop::option::of(fstab()), l in fstab(), n in fstab()) {
        let (text, _) = merged(Format::Mounts, b.as_deref(), &l, &n).unwrap();
        let (b, l, n) = (mounts(b.as_deref().unwrap_or_default()), mounts(&l), mounts(&n));
        let places: BTreeSet<_> = l.keys().chain(n.keys()).collect();
        let sorted = |mut mount: Vec<String>| {
            let mut options: Vec<&str> = mount[3].split(',').collect();
            options.sort_unstable();
            mount[3] = options.join(",");
            mount
        };
        let merged = places.into_iter().filter_map(|place| mount_of(b.get(place), l.get(place), n.get(place)));
        let wanted: Vec<_> = merged.map(sorted).collect();
        prop_assert_eq!(mounts(&text).into_values().map(sorted).collect::<Vec<_>>(), wanted, "{}", text);
    }

    #[test]
    fn jsons(b in prop::option::of(json_value()), l in json_value(), n in json_value(), compact: [bool; 2]) {
        let texts = (b.as_ref().map(|b| json_text(b, false)), json_text(&l, compact[0]), json_text(&n, compact[1]));
        let (text, _) = merged(Format::Json, texts.0.as_deref(), &texts.1, &texts.2).unwrap();
        let found: Value = serde_json::from_str(&text).unwrap();
        let wanted = json_of(b.as_ref(), Some(&l), Some(&n));
        prop_assert_eq!(Some(found), wanted, "{}", text);
    }

    #[test]
    fn tomls(b in toml_text(), l in toml_text(), n in toml_text()) {
        let (text, lost) = merged(Format::Toml, Some(&written(&b)), &written(&l), &written(&n)).unwrap();
        let keys: BTreeSet<_> = l.keys().chain(n.keys()).chain(b.keys()).collect();
        let mut losses = 0;
        let mut wanted = BTreeMap::new();
        for key in keys {
            let (value, lost) = rule(b.get(key), l.get(key), n.get(key));
            losses += usize::from(lost);
            wanted.extend(value.map(|value| (key.clone(), value.clone())));
        }
        let mut found = BTreeMap::new();
        let mut table = "";
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix('[') {
                table = name.trim_end_matches(']');
            } else {
                let (key, value) = line.split_once(" = ").unwrap();
                found.insert((table.to_owned(), key.to_owned()), value.to_owned());
            }
        }
        prop_assert_eq!(found, wanted, "{}", text);
        prop_assert_eq!(lost.len(), losses);
    }

    /// Whatever comes in, nothing breaks, and what comes out is lines that went in.
    #[test]
    fn anything(texts in prop::array::uniform3("[ak=\\[\\]{}\",:#|&*?%\\\\ \t\r\n1'-]{0,40}")) {
        let [base, local, vendor] = texts.each_ref().map(|text| text.as_bytes());
        let lines = [Format::Mounts, Format::Crypt, Format::Ini, Format::Assignments];
        for format in lines.into_iter().chain([Format::Json, Format::Toml, Format::Yaml]) {
            let merged = merge(format, Some(base), local, vendor);
            prop_assert!(merged.is_none_or(|merged| std::str::from_utf8(&merged.text).is_ok()));
        }
    }
}
