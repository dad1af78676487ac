//! The `$schema` member, which editors take completion and checks from.
//!
//! Owns when the member is put in and whose it is. An editor that sees `$schema` uses that schema
//! *instead of* the one it would choose by the file's name, so the file that is linked has to take
//! in the specification's own schema (`allOf`) beside ours. That is why a `$schema` of the user's
//! is never replaced, and why the link is only put in when it is asked for.

use jsonc_parser::ast::{ObjectProp, Value as Node};
use serde_json::json;

use super::Problem;
use super::document::{Document, range_of};
use super::edited::Edited;
use super::insertion::Piece;
use super::member::wrong_type;
use super::plan::{Plan, Step};
use super::sequence::{Sequence, Splice};
use super::style::{Shape, Style, quoted};

const NAME: &str = "$schema";
const WHY: &str = "lets editors complete and check the options";

/// The name of the file that is linked; by it a link is known as ours.
pub const SCHEMA_FILE: &str = "lace-ssh.schema.json";

/// Links `reference`, such as "./lace-ssh/lace-ssh.schema.json", as the first member.
///
/// A link of ours to somewhere else is set right; a `$schema` of the user's is a problem.
pub fn link_schema(text: &str, reference: &str) -> Result<Edited, Problem> {
    let document = Document::parse(text)?;
    let style = Style::of(&document);
    let mut plan = Plan::new(&document, &style);
    let step = Step::new(&[NAME], WHY);
    let wanted = json!(reference);
    match document.member(NAME)? {
        None => {
            let sequence = Sequence::of_object(&document, &style, document.root());
            let piece = Piece::new(Some(NAME), &wanted, Shape::Inline);
            plan.insert(vec![step], sequence.insert(0, &[piece], Shape::Lines));
        }
        Some(found) => match &found.value {
            Node::StringLit(link) if link.value == reference => return plan.finish(),
            Node::StringLit(_) if is_our_link(found) => {
                let range = range_of(&found.value);
                let text = quoted(reference);
                plan.step(step, [Splice { range, text }]);
            }
            Node::StringLit(_) => {
                let message = "there is a \"$schema\" already";
                return Err(
                    Problem::at(document.body(), range_of(&found.value), message).with_hint(
                        format!("to have both, refer to {reference} from that schema"),
                    ),
                );
            }
            _ => return Err(wrong_type(&document, found, "a string")),
        },
    }
    plan.intend(NAME, Some(wanted));
    plan.finish()
}

/// Whether this member is a link that [`link_schema`] made.
pub(super) fn is_our_link(member: &ObjectProp<'_>) -> bool {
    let Node::StringLit(link) = &member.value else {
        return false;
    };
    member.name.as_str() == NAME && link.value.rsplit('/').next() == Some(SCHEMA_FILE)
}
