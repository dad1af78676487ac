//! The same edits with jsonc-parser's CST, as its documentation has them done.
//!
//! stdin: `{"text": …, "add": [[path, name | null, value], …], "remove": [[path, index | name], …]}`;
//! stdout: `{"text": …}` or `{"error": …}`.

use std::io::Read;

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstRootNode};
use serde_json::{Value, json};

fn main() {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).unwrap();
    let input: Value = serde_json::from_str(&input).unwrap();
    let output = match edit(&input) {
        Ok(text) => json!({ "text": text }),
        Err(error) => json!({ "error": error }),
    };
    println!("{output}");
}

fn edit(input: &Value) -> Result<String, String> {
    let text = input["text"].as_str().unwrap();
    let root = CstRootNode::parse(text, &ParseOptions::default()).map_err(|e| e.to_string())?;
    let object = root.object_value_or_create().ok_or("no object")?;
    for add in input["add"].as_array().into_iter().flatten() {
        let (member, name, value) = (add[0].as_str(), add[1].as_str(), &add[2]);
        match (member, name) {
            (None, Some(name)) => {
                object.append(name, to_input(value));
            }
            (Some(member), Some(name)) => {
                let inner = object.object_value_or_create(member).ok_or("not an object")?;
                inner.append(name, to_input(value));
            }
            (Some(member), None) => {
                let inner = object.array_value_or_create(member).ok_or("not an array")?;
                inner.append(to_input(value));
            }
            (None, None) => return Err("nothing to add to".to_owned()),
        }
    }
    for remove in input["remove"].as_array().into_iter().flatten() {
        let (member, name) = (remove[0].as_str(), &remove[1]);
        match (member, name) {
            (None, Value::String(name)) => object.get(name).ok_or("gone")?.remove(),
            (Some(member), Value::String(name)) => {
                let inner = object.object_value(member).ok_or("not an object")?;
                inner.get(name).ok_or("gone")?.remove();
            }
            (Some(member), Value::Number(index)) => {
                let inner = object.array_value(member).ok_or("not an array")?;
                let index = index.as_u64().unwrap() as usize;
                inner.elements().into_iter().nth(index).ok_or("gone")?.remove();
            }
            _ => return Err("nothing to remove from".to_owned()),
        }
    }
    Ok(root.to_string())
}

fn to_input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(value) => CstInputValue::Number(value.to_string()),
        Value::String(value) => CstInputValue::String(value.clone()),
        Value::Array(items) => CstInputValue::Array(items.iter().map(to_input).collect()),
        Value::Object(members) => {
            let named = members.iter().map(|(name, value)| (name.clone(), to_input(value)));
            CstInputValue::Object(named.collect())
        }
    }
}
