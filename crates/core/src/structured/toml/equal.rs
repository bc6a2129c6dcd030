//! When two pieces of TOML say the same, whatever their layout and the order of keys.

use toml_edit::{Item, TableLike, Value};

pub fn same(a: &Item, b: &Item) -> bool {
    if let (Some(a), Some(b)) = (a.as_table_like(), b.as_table_like()) {
        return same_tables(a, b);
    }
    match (a, b) {
        (Item::Value(a), Item::Value(b)) => same_values(a, b),
        (Item::ArrayOfTables(a), Item::ArrayOfTables(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| same_tables(a, b))
        }
        // Tables of an array stand under headers of their own, or between braces.
        (Item::ArrayOfTables(tables), Item::Value(Value::Array(array)))
        | (Item::Value(Value::Array(array)), Item::ArrayOfTables(tables)) => {
            let mut pairs = tables.iter().zip(array);
            tables.len() == array.len()
                && pairs.all(|(table, value)| value.as_inline_table().is_some_and(|inline| same_tables(table, inline)))
        }
        (Item::None | Item::Value(_) | Item::Table(_) | Item::ArrayOfTables(_), _) => false,
    }
}

pub fn same_tables(a: &dyn TableLike, b: &dyn TableLike) -> bool {
    a.len() == b.len() && a.iter().all(|(key, item)| b.get(key).is_some_and(|other| same(item, other)))
}

fn same_values(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.value() == b.value(),
        (Value::Integer(a), Value::Integer(b)) => a.value() == b.value(),
        (Value::Boolean(a), Value::Boolean(b)) => a.value() == b.value(),
        (Value::Datetime(a), Value::Datetime(b)) => a.value() == b.value(),
        // As written: not every float equals itself.
        (Value::Float(a), Value::Float(b)) => a.display_repr() == b.display_repr(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_values(a, b)),
        (Value::InlineTable(a), Value::InlineTable(b)) => same_tables(a, b),
        (
            Value::String(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_)
            | Value::InlineTable(_),
            _,
        ) => false,
    }
}
