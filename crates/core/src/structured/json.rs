//! JSON: objects by key, to any depth; lists of scalars as sets; everything else as one value.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};
use serde_json::{Map, Number, Value};

use super::{Merged, three_way};

pub(super) fn merge(base: Option<&str>, local: &str, vendor: &str) -> Option<Merged> {
    let b = base.map(parse).map_or(Some(None), |value| value.map(Some))?;
    let (l, n) = (parse(local)?, parse(vendor)?);
    let mut lost = Vec::new();
    let value = node(b.as_ref(), Some(&l), Some(&n), &mut Vec::new(), &mut lost)?;
    let text = if value == n { vendor.as_bytes().to_vec() } else { write(&value, vendor)? };
    Some(Merged { text, lost })
}

fn node(
    b: Option<&Value>,
    l: Option<&Value>,
    n: Option<&Value>,
    at: &mut Vec<String>,
    lost: &mut Vec<String>,
) -> Option<Value> {
    // An object that one side removed is an empty one: what the other put into it since is not removed with the rest.
    let was_object = b.is_some_and(Value::is_object);
    let object = |side: Option<&'_ Value>| match side {
        Some(Value::Object(object)) => Some(object.clone()),
        None if was_object => Some(Map::new()),
        Some(_) | None => None,
    };
    let removed = l.is_none() || n.is_none();
    if let (Some(l), Some(n)) = (object(l), object(n)) {
        let b = b.and_then(Value::as_object);
        let mut out = Map::new();
        for key in n.keys().chain(l.keys().filter(|key| !n.contains_key(*key))) {
            at.push(key.clone());
            let (old, mine, theirs) = (b.and_then(|b| b.get(key)), l.get(key), n.get(key));
            // Without a common ancestor what only one side has comes along.
            let value = match (b, mine, theirs) {
                (None, Some(only), None) | (None, None, Some(only)) => Some(only.clone()),
                _ => node(old, mine, theirs, at, lost),
            };
            at.pop();
            out.extend(value.map(|value| (key.clone(), value)));
        }
        return (!out.is_empty() || !removed).then_some(Value::Object(out));
    }
    if let (Some(Value::Array(b)), Some(Value::Array(l)), Some(Value::Array(n))) = (b, l, n)
        && [b, l, n].into_iter().all(|list| is_set(list))
    {
        return Some(Value::Array(sets(b, l, n)));
    }
    let (value, gave_way) = three_way(Some(&b), &l, &n);
    if gave_way {
        lost.push(at.join("."));
    }
    value.cloned()
}

fn is_set(list: &[Value]) -> bool {
    let scalar = |value: &Value| !value.is_array() && !value.is_object();
    list.iter().enumerate().all(|(i, value)| scalar(value) && !list[..i].contains(value))
}

fn sets(b: &[Value], l: &[Value], n: &[Value]) -> Vec<Value> {
    if b == l {
        return n.to_vec();
    }
    if b == n {
        return l.to_vec();
    }
    let stays = |value: &&Value| l.contains(value) || !b.contains(value);
    let added = |value: &&Value| !n.contains(value) && !b.contains(value);
    n.iter().filter(stays).chain(l.iter().filter(added)).cloned().collect()
}

/// With the vendor's indentation and end.
fn write(value: &Value, like: &str) -> Option<Vec<u8>> {
    let indented = like.lines().find(|line| line.starts_with([' ', '\t']) && !line.trim().is_empty());
    let mut out = Vec::new();
    match indented {
        Some(line) => {
            let indent = &line[..line.len() - line.trim_start().len()];
            let formatter = PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut Serializer::with_formatter(&mut out, formatter)).ok()?;
        }
        None => out = serde_json::to_vec(value).ok()?,
    }
    if like.ends_with('\n') {
        out.push(b'\n');
    }
    Some(out)
}

/// None where it is no JSON, or an object has a key twice: which of them counts is up to whoever reads it.
fn parse(text: &str) -> Option<Value> {
    serde_json::from_str::<Strict>(text).ok().map(|strict| strict.0)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without a key twice")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(value)) = items.next_element()? {
            list.push(value);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((key, Strict(value))) = entries.next_entry::<String, Strict>()? {
            if object.insert(key, value).is_some() {
                return Err(de::Error::custom("a key stands twice"));
            }
        }
        Ok(Value::Object(object))
    }
}
