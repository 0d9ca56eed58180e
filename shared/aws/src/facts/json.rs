//! JSON and DynamoDB's attributes: the same values, so that operators query rows by the names of their fields.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Map, Number, Value};

/// An item of a table.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// Levels that a map may have: DynamoDB takes 32, the attribute that holds it included.
const DEPTH_MAX: usize = 30;

/// Octets that a map may have by DynamoDB's count, with room for keys and debt under the 400 KB of an item.
const BYTES_MAX: usize = 380_000;

/// The members of a JSON object as attributes, if reading them back gives the same object: compact JSON, whose
/// numbers are whole and fit into 64 bits, not too deep and not too large in DynamoDB's form. The order of members
/// is not kept; they come back sorted.
pub(crate) fn to_map(text: &str) -> Option<Item> {
    let Ok(Value::Object(members)) = serde_json::from_str::<Value>(text) else { return None };
    let map = members_to_map(&members, 1)?;
    // Reading drops white space, spare escapes and repeated members, all of which make a text longer.
    let same = serde_json::to_string(&members).is_ok_and(|again| again.len() == text.len());
    (same && size_of_map(&map) <= BYTES_MAX).then_some(map)
}

/// A JSON value as attribute, under the same conditions.
pub(crate) fn to_attribute(value: &Value, depth: usize) -> Option<AttributeValue> {
    if depth > DEPTH_MAX {
        return None;
    }
    Some(match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(yes) => AttributeValue::Bool(*yes),
        Value::Number(n) if n.is_i64() || n.is_u64() => AttributeValue::N(n.to_string()),
        Value::Number(_) => return None,
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Array(items) => {
            AttributeValue::L(items.iter().map(|v| to_attribute(v, depth + 1)).collect::<Option<_>>()?)
        }
        Value::Object(members) => AttributeValue::M(members_to_map(members, depth)?),
    })
}

fn members_to_map(members: &Map<String, Value>, depth: usize) -> Option<Item> {
    members
        .iter()
        .map(|(name, value)| {
            let attribute = to_attribute(value, depth + 1)?;
            (!name.is_empty()).then(|| (name.clone(), attribute))
        })
        .collect()
}

/// Attributes as a JSON object, its members sorted by name.
pub(crate) fn from_map(map: &Item) -> Option<Map<String, Value>> {
    let mut names: Vec<&String> = map.keys().collect();
    names.sort_unstable();
    names.into_iter().map(|name| Some((name.clone(), from_attribute(map.get(name)?)?))).collect()
}

/// An attribute as JSON; `None` for what [`to_attribute`] does not make.
pub(crate) fn from_attribute(attribute: &AttributeValue) -> Option<Value> {
    Some(match attribute {
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::Bool(yes) => Value::Bool(*yes),
        AttributeValue::N(n) => Value::Number(whole(n)?),
        AttributeValue::S(text) => Value::String(text.clone()),
        AttributeValue::L(items) => Value::Array(items.iter().map(from_attribute).collect::<Option<_>>()?),
        AttributeValue::M(map) => Value::Object(from_map(map)?),
        _ => return None,
    })
}

fn whole(text: &str) -> Option<Number> {
    text.parse::<u64>().map(Number::from).or_else(|_| text.parse::<i64>().map(Number::from)).ok()
}

/// Octets by DynamoDB's count, never less.
fn size_of_map(map: &Item) -> usize {
    map.iter().map(|(name, value)| name.len() + 1 + size(value)).sum::<usize>() + 3
}

fn size(attribute: &AttributeValue) -> usize {
    match attribute {
        AttributeValue::S(text) => text.len() + 1,
        AttributeValue::N(n) => n.len() / 2 + 3,
        AttributeValue::L(items) => items.iter().map(|v| size(v) + 1).sum::<usize>() + 3,
        AttributeValue::M(map) => size_of_map(map),
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn there_and_back(text: &str) -> Option<String> {
        to_map(text).map(|map| serde_json::to_string(&from_map(&map).unwrap()).unwrap())
    }

    #[test]
    fn an_object_comes_back_as_it_went() {
        for text in [
            "{}",
            r#"{"a":null,"b":[true,false,[],{}],"c":""}"#,
            r#"{"max":18446744073709551615,"min":-9223372036854775808,"zero":0}"#,
            r#"{"text":"\u0000\u001f\"\\è📧\n"}"#,
        ] {
            assert_eq!(there_and_back(text).as_deref(), Some(text));
        }
        assert_eq!(there_and_back(r#"{"b":1,"a":2}"#).as_deref(), Some(r#"{"a":2,"b":1}"#));
    }

    #[test]
    fn what_a_map_cannot_hold_is_left_to_text() {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(40), "]".repeat(40));
        let many = format!(r#"{{"a":[{}1]}}"#, "1,".repeat(170_000));
        for text in [
            "",
            "[]",
            "1",
            "{",
            "{} {}",
            "{ }",
            r#"{"a":1.5}"#,
            r#"{"a":1e3}"#,
            r#"{"a":-0}"#,
            r#"{"a":340282366920938463463374607431768211455}"#,
            r#"{"a":1,"a":2}"#,
            r#"{"":1}"#,
            r#"{"a":"\/"}"#,
            &deep,
            &many,
        ] {
            assert_eq!(to_map(text), None, "{text:.60}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::hash_map(".{1,8}", inner, 0..8)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_object_of_whole_numbers_comes_back(value in values()) {
            let text = serde_json::json!({ "x": value }).to_string();
            prop_assert_eq!(there_and_back(&text), Some(text));
        }

        #[test]
        fn any_text_is_held_exactly_or_not_at_all(text in ".{0,60}") {
            if let Some(back) = there_and_back(&text) {
                prop_assert_eq!(
                    serde_json::from_str::<Value>(&back).unwrap(),
                    serde_json::from_str::<Value>(&text).unwrap()
                );
            }
        }
    }
}
