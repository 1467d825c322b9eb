//! A changed value in any column of a row is found at that row.

use crate::tampering::row_at;
use crate::target::{PREDICTED, ROWS, Target, random};
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use system_tests::postgres;

/// Changed values in addition to one of each column.
const MORE_CHANGES: usize = 50;

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_value_of_any_column_is_found_at_its_row() {
    let target = Target::fill().await;
    let columns = postgres::psql(
        &postgres::shared().url(&target.database),
        "select attname, format_type(atttypid, atttypmod) from pg_attribute \
         where attrelid = 'predictions'::regclass and attnum > 0 and not attisdropped order by 1",
    );
    let columns = columns.unwrap();
    // The time of the database is not part of the leaf.
    let columns: Vec<(&str, &str)> = columns
        .lines()
        .filter_map(|line| line.split_once('|'))
        .filter(|(column, _)| *column != "recorded_at")
        .collect();
    let keys = |row: &str| {
        let row: serde_json::Map<_, _> = serde_json::from_str(row).unwrap();
        row.into_iter().map(|(key, _)| key).collect::<BTreeSet<String>>()
    };
    let names: BTreeSet<String> = columns.iter().map(|(column, _)| (*column).to_owned()).collect();
    let keys = keys(target.log.leaves[0].row.as_ref().unwrap());
    for column in &names {
        assert!(keys.contains(column), "{column} is null in the first row of Target::fill; set it there");
    }
    assert_eq!(keys, names, "the canonical form has a key that is not a column");

    // Every column in a row of its own, in one database.
    let change = |(index, (column, kind)): (u64, &(&str, &str))| {
        format!("update predictions set {} where id = {}; ", changed_column(column, kind), row_at(index))
    };
    let changes: String = (0..PREDICTED).zip(&columns).map(change).collect();
    let found = target.findings(&target.attacked(&format!("{UNCHECK}{changes}")));
    let expected: Vec<(u64, u64)> = (0..columns.len() as u64).map(|index| (index, 1)).collect();
    assert!(
        columns.len() as u64 <= PREDICTED,
        "each of {} columns needs a row of its own: raise PREDICTED and ROWS in target.rs",
        columns.len()
    );
    let in_tree: Vec<_> = found.into_iter().filter(|(index, _)| *index < ROWS).collect();
    assert_eq!(in_tree, expected, "{columns:?}");

    // One character of every column, in random rows.
    for n in 0..columns.len() + MORE_CHANGES {
        let (column, _) = columns[n % columns.len()];
        let index = random(if n < columns.len() { PREDICTED } else { ROWS });
        let mut forged = target.log.clone();
        let leaf = &mut forged.leaves[index as usize];
        leaf.row = leaf.row.as_deref().map(|row| change_a_character(row, column));
        assert_eq!(target.findings(&forged.export()), [(index, 1)], "{column}");
    }
}

/// Drops the check constraints, so that every column can be changed.
const UNCHECK: &str = "do $$ declare c text; begin for c in select conname from pg_constraint \
    where conrelid = 'predictions'::regclass and contype = 'c' loop execute format('alter table predictions drop constraint %I', c); \
    end loop; end $$; alter table predictions alter timings drop not null; ";

/// SQL for the smallest change of a column by its type.
fn changed_column(column: &str, kind: &str) -> String {
    match kind {
        "uuid" => format!(
            "{column} = overlay({column}::text placing case right({column}::text, 1) when '0' then '1' else '0' end from 36 for 1)::uuid"
        ),
        "text" => format!(
            "{column} = coalesce(overlay({column} placing chr(ascii({column}) # 1) from 1 for 1), 'x')"
        ),
        "timestamp with time zone" => format!("{column} = {column} + interval '1 microsecond'"),
        "bytea" => format!("{column} = set_byte({column}, 7, get_byte({column}, 7) # 1)"),
        "smallint" | "integer" | "bigint" => format!("{column} = {column} # 1"),
        "real" | "double precision" => {
            format!("{column} = case coalesce({column}, 0) when 0 then 1e-6 else {column} * 1.000001 end")
        }
        "real[]" => format!("{column}[1] = {column}[1] + 1"),
        "boolean" => format!("{column} = not {column}"),
        "jsonb" => format!("{column} = {column} || '{{\"x\": 1}}'"),
        other => panic!("no change for {column} of type {other}"),
    }
}

/// Changes one character of a column's value in a row.
fn change_a_character(row: &str, column: &str) -> String {
    let columns: BTreeMap<&str, &RawValue> = serde_json::from_str(row).unwrap();
    let Some(value) = columns.get(column) else {
        // A null `since` column is omitted.
        return row.replacen('{', &format!("{{\"{column}\":0,"), 1);
    };
    let value = value.get();
    let bytes = value.as_bytes();
    // Letters and digits of a string, digits of a number: the result is still JSON.
    let may_change = |at: &usize| match bytes[0] {
        b'"' => bytes[*at].is_ascii_alphanumeric(),
        _ => bytes[*at].is_ascii_digit(),
    };
    let candidates: Vec<usize> = (0..bytes.len()).filter(may_change).collect();
    let changed = match value {
        "true" => "false".to_owned(),
        "false" => "true".to_owned(),
        "null" => "0".to_owned(),
        _ => loop {
            let at = candidates[random(candidates.len() as u64) as usize];
            let other = match bytes[at] {
                b'9' => b'8',
                b'z' | b'Z' => b'x',
                character => character + 1,
            };
            let changed = format!("{}{}{}", &value[..at], char::from(other), &value[at + 1..]);
            // The 17th digit of a number may not change its value.
            let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            if read(&changed) != read(value) {
                break changed;
            }
        },
    };
    let (before, after) = row.split_at(value.as_ptr() as usize - row.as_ptr() as usize);
    format!("{before}{changed}{}", &after[value.len()..])
}
