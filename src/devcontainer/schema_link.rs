//! The `$schema` member, which editors take completion and checks from.
//!
//! Owns when the member is put in and whose it is. An editor that sees `$schema` uses that schema
//! *instead of* the one it would choose by the file's name, so the file that is linked has to take
//! in the specification's own schema (`allOf`) beside ours. That is why a `$schema` of the user's
//! is never replaced, and why the link is only put in when it is asked for.

use jsonc_parser::ast::{ObjectProp, Value as Node};
use serde_json::json;

use super::Problem;
use super::document::{range_of, wrong_type};
use super::insertion::Absent;
use super::plan::{Plan, Step};
use super::style::{Shape, quoted};

pub(super) const NAME: &str = "$schema";
const WHY: &str = "lets editors complete and check the options";

/// The name of the file that is linked; by it a link is known as ours.
pub const SCHEMA_FILE: &str = "lace-ssh.schema.json";

/// Links `reference`, such as "./lace-ssh/lace-ssh.schema.json".
///
/// A link of ours to somewhere else is set right; a `$schema` of the user's is a problem.
pub(super) fn link_schema(
    plan: &mut Plan<'_, '_>,
    reference: &str,
    absent: &mut Vec<Absent>,
) -> Result<(), Problem> {
    let document = plan.document;
    let Some(found) = document.member(NAME)? else {
        absent.push(Absent {
            name: NAME,
            value: json!(reference),
            shape: Shape::Inline,
            reason: WHY,
        });
        return Ok(());
    };
    let range = range_of(&found.value);
    match &found.value {
        Node::StringLit(link) if link.value == reference => Ok(()),
        Node::StringLit(_) if is_our_link(found) => {
            plan.replace(Step::new(&[NAME], WHY), range, quoted(reference));
            plan.intend(NAME, Some(json!(reference)));
            Ok(())
        }
        Node::StringLit(_) => {
            let message = "there is a \"$schema\" already";
            Err(
                Problem::at(document.body(), range, message).with_hint(format!(
                    "to have both, refer to {reference} from that schema"
                )),
            )
        }
        _ => Err(wrong_type(document, found, "a string")),
    }
}

/// Whether this member is a link that setup made.
pub(super) fn is_our_link(member: &ObjectProp<'_>) -> bool {
    let Node::StringLit(link) = &member.value else {
        return false;
    };
    member.name.as_str() == NAME && link.value.rsplit('/').next() == Some(SCHEMA_FILE)
}
