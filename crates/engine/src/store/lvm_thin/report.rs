//! Reading `lvs --reportformat json`: one call tells everything about the pool and its volumes.
//!
//! Separate because LVM reports numbers as text and absence as empty text; behind this module both have types.

use serde::Deserialize;

/// The columns asked for; the names in [`Row`] are the same.
pub(super) const COLUMNS: &str = "lv_name,lv_size,lv_tags,origin,pool_lv,data_percent,metadata_percent,\
lv_metadata_size,lv_health_status,lv_active,transaction_id,chunk_size,lv_when_full,vg_free,segtype,lv_permissions,\
lv_device_open";

/// A logical volume.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lv {
    pub(super) name: String,
    pub(super) size_bytes: u64,
    pub(super) tags: Vec<String>,
    pub(super) origin: Option<String>,
    /// The pool a thin volume lies in.
    pub(super) pool: Option<String>,
    /// Of a pool: how full; of a thin volume: how much is mapped. None while inactive.
    pub(super) data_percent: Option<f64>,
    pub(super) metadata_percent: Option<f64>,
    pub(super) metadata_bytes: u64,
    /// LVM's words where the pool is not well.
    pub(super) health: Option<String>,
    pub(super) active: bool,
    /// Of a pool: changes so far, as LVM counts them; of a thin volume: that count when it was made.
    pub(super) transaction_id: Option<u64>,
    pub(super) chunk_bytes: u64,
    pub(super) fails_when_full: bool,
    pub(super) vg_free_bytes: u64,
    pub(super) is_pool: bool,
    pub(super) read_only: bool,
    pub(super) open: bool,
}

#[derive(Debug, Deserialize)]
struct Document {
    report: Vec<Report>,
}

#[derive(Debug, Deserialize)]
struct Report {
    lv: Vec<Row>,
}

#[derive(Debug, Deserialize)]
struct Row {
    lv_name: String,
    lv_size: String,
    lv_tags: String,
    origin: String,
    pool_lv: String,
    data_percent: String,
    metadata_percent: String,
    lv_metadata_size: String,
    lv_health_status: String,
    lv_active: String,
    transaction_id: String,
    chunk_size: String,
    lv_when_full: String,
    vg_free: String,
    segtype: String,
    lv_permissions: String,
    lv_device_open: String,
}

/// Parses the report; an error says which column of which volume makes no sense.
pub(super) fn parse(json: &str) -> Result<Vec<Lv>, String> {
    let document: Document = serde_json::from_str(json).map_err(|error| error.to_string())?;
    document.report.into_iter().flat_map(|report| report.lv).map(volume).collect()
}

/// As [`parse`], of one volume, with the group it is in (a column `vg_name` more).
pub(super) fn parse_one(json: &str) -> Result<(String, Lv), String> {
    let document: serde_json::Value = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let vg = document["report"][0]["lv"][0]["vg_name"].as_str().ok_or("it names no volume group")?.to_string();
    match parse(json)?.as_slice() {
        [lv] => Ok((vg, lv.clone())),
        lvs => Err(format!("it tells of {} volumes", lvs.len())),
    }
}

fn volume(row: Row) -> Result<Lv, String> {
    let bad = |column: &str, value: &str| format!("{}: column {column} is {value:?}", row.lv_name);
    let bytes = |column: &str, value: &str| -> Result<u64, String> {
        if value.is_empty() { Ok(0) } else { value.parse().map_err(|_| bad(column, value)) }
    };
    let percent = |column: &str, value: &str| -> Result<Option<f64>, String> {
        if value.is_empty() { Ok(None) } else { value.parse().map(Some).map_err(|_| bad(column, value)) }
    };
    let text = |value: &str| (!value.is_empty()).then(|| value.to_string());
    Ok(Lv {
        size_bytes: bytes("lv_size", &row.lv_size)?,
        tags: row.lv_tags.split(',').filter(|tag| !tag.is_empty()).map(Into::into).collect(),
        origin: text(&row.origin),
        pool: text(&row.pool_lv),
        data_percent: percent("data_percent", &row.data_percent)?,
        metadata_percent: percent("metadata_percent", &row.metadata_percent)?,
        metadata_bytes: bytes("lv_metadata_size", &row.lv_metadata_size)?,
        health: text(&row.lv_health_status),
        active: row.lv_active == "active",
        transaction_id: match row.transaction_id.as_str() {
            "" => None,
            id => Some(id.parse().map_err(|_| bad("transaction_id", id))?),
        },
        chunk_bytes: bytes("chunk_size", &row.chunk_size)?,
        fails_when_full: row.lv_when_full == "error",
        vg_free_bytes: bytes("vg_free", &row.vg_free)?,
        is_pool: row.segtype == "thin-pool",
        read_only: row.lv_permissions.starts_with("read-only"),
        open: row.lv_device_open == "open",
        name: row.lv_name,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_lvm_2_03_16_is_read() {
        let lvs = parse(include_str!("../../../tests/fixtures/lvm/lvs.json")).unwrap();
        let names: Vec<&str> = lvs.iter().map(|lv| lv.name.as_str()).collect();
        assert_eq!(names, ["foreign", "node-1-0", "node-1-0+1", "plain", "pool"]);
        let base = Lv {
            name: "node-1-0".into(),
            size_bytes: 256 << 20,
            tags: ["thinroot:base", "thinroot:fs=ext4", "thinroot:image=0123456789abcdef"].map(Into::into).into(),
            origin: None,
            pool: Some("pool".into()),
            data_percent: None,
            metadata_percent: None,
            metadata_bytes: 0,
            health: None,
            active: false,
            transaction_id: Some(0),
            chunk_bytes: 0,
            fails_when_full: false,
            vg_free_bytes: 2_105_540_608,
            is_pool: false,
            read_only: true,
            open: false,
        };
        assert_eq!(lvs[1], base);
        let layer = Lv {
            name: "node-1-0+1".into(),
            tags: ["thinroot:fs=ext4", "thinroot:layer", "thinroot:staging"].map(Into::into).into(),
            origin: Some("node-1-0".into()),
            data_percent: Some(3.52),
            active: true,
            transaction_id: Some(1),
            read_only: false,
            ..base
        };
        assert_eq!(lvs[2], layer);
        let pool = Lv {
            name: "pool".into(),
            size_bytes: 1 << 30,
            tags: Vec::new(),
            origin: None,
            pool: None,
            data_percent: Some(0.88),
            metadata_percent: Some(10.28),
            metadata_bytes: 16 << 20,
            transaction_id: Some(3),
            chunk_bytes: 65536,
            fails_when_full: true,
            is_pool: true,
            open: true,
            ..layer
        };
        assert_eq!(lvs[4], pool);
    }

    #[test]
    fn nonsense_is_named() {
        let json = include_str!("../../../tests/fixtures/lvm/lvs.json").replace("268435456", "256.00m");
        assert_eq!(parse(&json).unwrap_err(), "node-1-0: column lv_size is \"256.00m\"");
        assert!(parse("  WARNING: something\n").is_err());
    }
}
