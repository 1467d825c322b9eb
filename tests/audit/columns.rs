//! The declaration of the audit row (`service/src/record/columns.rs`) names exactly the columns of the table.

use std::collections::BTreeMap;
use system_tests::{postgres, root};

/// Types of the declaration, and what Postgres calls them.
const TYPES: [(&str, &str); 12] = [
    ("Uuid", "uuid"),
    ("String", "text"),
    ("OffsetDateTime", "timestamp with time zone"),
    ("Hex", "bytea"),
    ("i16", "smallint"),
    ("i32", "integer"),
    ("i64", "bigint"),
    ("f32", "real"),
    ("f64", "double precision"),
    ("bool", "boolean"),
    ("Value", "jsonb"),
    ("Vec<f32>", "real[]"),
];

#[test]
fn the_declared_columns_are_those_of_the_table() {
    let columns = postgres::psql(
        &postgres::shared().database(),
        "select attname, format_type(atttypid, atttypmod) || case when attnotnull then ' not null' else '' end \
         from pg_attribute where attrelid = 'predictions'::regclass and attnum > 0 and not attisdropped",
    );
    let columns = columns.unwrap();
    let table: BTreeMap<String, String> = columns
        .lines()
        .filter_map(|line| line.split_once('|'))
        .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
        .collect();
    let declared = declared();
    let missing = |from: &BTreeMap<String, String>, other: &BTreeMap<String, String>| {
        let names = from.keys().filter(|name| !other.contains_key(*name)).cloned();
        names.collect::<Vec<String>>().join(", ")
    };
    let names = missing(&declared, &table);
    assert!(
        names.is_empty(),
        "service/src/record/columns.rs declares {names}, which the table lacks: add a migration"
    );
    let names = missing(&table, &declared);
    assert!(
        names.is_empty(),
        "the table has {names}, which service/src/record/columns.rs does not declare: add a line"
    );
    for (name, kind) in &declared {
        let found = &table[name];
        assert_eq!(kind, found, "{name} is declared as `{kind}`, but the table has `{found}`");
    }
}

/// Name and Postgres type of each line `name: Type;` or `name: Type, rule;`.
fn declared() -> BTreeMap<String, String> {
    let source = std::fs::read_to_string(root().join("service/src/record/columns.rs")).unwrap();
    let (_, list) = source.split_once("macro_rules! with_columns").unwrap();
    let (list, _) = list.split_once("use with_columns;").unwrap();
    let column = |line: &str| {
        let (name, declared) = line.trim().strip_suffix(';')?.split_once(": ")?;
        let (kind, rule) = declared.split_once(", ").unwrap_or((declared, ""));
        let inner = kind.strip_prefix("Option<").and_then(|kind| kind.strip_suffix('>'));
        let kind = inner.unwrap_or(kind);
        let known = TYPES.iter().find(|(rust, _)| *rust == kind);
        let (_, kind) = known.unwrap_or_else(|| panic!("{kind}: add this type to TYPES"));
        // The row has no value before the insert, but the table always has one.
        let nullable = inner.is_some() && rule != "by_database";
        Some((name.to_owned(), if nullable { (*kind).to_owned() } else { format!("{kind} not null") }))
    };
    list.lines().filter_map(column).collect()
}
