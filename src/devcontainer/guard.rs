//! The guard: no edited text leaves this crate without having been read again.
//!
//! Owns the checks between a plan and its result. It trusts neither the planner nor the splicing:
//! the text outside the planned ranges must be the same, the result must parse, say exactly what
//! was intended, and still hold every comment that was not taken out with its element.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use jsonc_parser::ast::Value as Node;
use serde_json::Value;

use super::Problem;
use super::document::{Document, to_value};
use super::sequence::Splice;

/// What must come of an edit.
#[derive(Default)]
pub(super) struct Intent {
    /// For each member of the root that is touched: its value, or that it is gone.
    pub(super) members: BTreeMap<String, Option<Value>>,
    /// Stretches of the old body whose comments go with what they belong to.
    pub(super) dropped: Vec<Range<usize>>,
}

/// The body with all splices, which must be in order and apart from each other.
pub(super) fn apply(body: &str, splices: &[Splice]) -> Result<String, Problem> {
    let mut edited = String::with_capacity(body.len() + 1024);
    let mut taken = 0;
    for splice in splices {
        let kept = body.get(taken..splice.range.start);
        let (Some(kept), true) = (kept, splice.range.start <= splice.range.end) else {
            return Err(refuse("two planned changes overlap"));
        };
        edited.push_str(kept);
        edited.push_str(&splice.text);
        taken = splice.range.end;
    }
    match body.get(taken..) {
        Some(rest) => edited.push_str(rest),
        None => return Err(refuse("a planned change lies outside the file")),
    }
    Ok(edited)
}

/// Checks `edited` against the plan that it came from.
pub(super) fn check(
    before: &Document<'_>,
    splices: &[Splice],
    edited: &str,
    intent: &Intent,
) -> Result<(), Problem> {
    check_rest(before.body(), splices, edited)?;
    let after = Document::parse(edited)
        .map_err(|problem| refuse(&format!("the result cannot be read ({problem})")))?;
    check_values(before, &after, intent)?;
    check_comments(before, &after, splices, intent)
}

/// Outside the planned ranges every byte is where it was.
fn check_rest(body: &str, splices: &[Splice], edited: &str) -> Result<(), Problem> {
    let changed = || refuse("text outside the planned changes is not the same");
    let mut rest = edited;
    let mut taken = 0;
    for splice in splices {
        let kept = body.get(taken..splice.range.start).ok_or_else(changed)?;
        rest = rest.strip_prefix(kept).ok_or_else(changed)?;
        rest = rest
            .strip_prefix(splice.text.as_str())
            .ok_or_else(changed)?;
        taken = splice.range.end;
    }
    if body.get(taken..) == Some(rest) {
        Ok(())
    } else {
        Err(changed())
    }
}

/// Every member of the root says what it said, or what was intended.
fn check_values(
    before: &Document<'_>,
    after: &Document<'_>,
    intent: &Intent,
) -> Result<(), Problem> {
    let differs = |name: &str| refuse(&format!("\"{name}\" would not have the intended value"));
    let mut new = untouched(after, intent);
    for (name, old) in untouched(before, intent) {
        match new.next() {
            Some((found, value)) if found == name && same(old, value) => {}
            _ => return Err(differs(name)),
        }
    }
    if let Some((name, _)) = new.next() {
        return Err(differs(name));
    }
    for (name, wanted) in &intent.members {
        let found: Vec<Value> = named(after, name).map(to_value).collect();
        let is_doubled = doubled(after, name) > doubled(before, name);
        if found.as_slice() != wanted.as_slice() || is_doubled {
            return Err(differs(name));
        }
    }
    Ok(())
}

/// The values of the root's members of that name.
fn named<'d, 't>(document: &'d Document<'t>, name: &str) -> impl Iterator<Item = &'d Node<'t>> {
    let members = document.root().properties.iter();
    members
        .filter(move |member| member.name.as_str() == name)
        .map(|member| &member.value)
}

/// How many names are given again within the members of that name.
fn doubled(document: &Document<'_>, name: &str) -> usize {
    let again = |node: &Node<'_>| {
        let Node::Object(object) = node else { return 0 };
        let names: BTreeSet<&str> = object.properties.iter().map(|p| p.name.as_str()).collect();
        object.properties.len() - names.len()
    };
    named(document, name).map(again).sum()
}

/// The members of the root that are to stay as they are.
fn untouched<'d, 't>(
    document: &'d Document<'t>,
    intent: &'d Intent,
) -> impl Iterator<Item = (&'d str, &'d Node<'t>)> {
    let members = document.root().properties.iter();
    let named = members.map(|member| (member.name.as_str(), &member.value));
    named.filter(|(name, _)| !intent.members.contains_key(*name))
}

/// Two values say the same, member by member in the same order.
fn same(a: &Node<'_>, b: &Node<'_>) -> bool {
    match (a, b) {
        (Node::StringLit(a), Node::StringLit(b)) => a.value == b.value,
        (Node::NumberLit(a), Node::NumberLit(b)) => a.value == b.value,
        (Node::BooleanLit(a), Node::BooleanLit(b)) => a.value == b.value,
        (Node::NullKeyword(_), Node::NullKeyword(_)) => true,
        (Node::Array(a), Node::Array(b)) => {
            a.elements.len() == b.elements.len()
                && a.elements.iter().zip(&b.elements).all(|(a, b)| same(a, b))
        }
        (Node::Object(a), Node::Object(b)) => {
            let pairs = a.properties.iter().zip(&b.properties);
            a.properties.len() == b.properties.len()
                && pairs
                    .into_iter()
                    .all(|(a, b)| a.name.as_str() == b.name.as_str() && same(&a.value, &b.value))
        }
        _ => false,
    }
}

/// Every comment that does not go with its element is still there, in order.
fn check_comments(
    before: &Document<'_>,
    after: &Document<'_>,
    splices: &[Splice],
    intent: &Intent,
) -> Result<(), Problem> {
    let mut dropped = intent.dropped.clone();
    dropped.sort_by_key(|range| range.start);
    let cut: Vec<Range<usize>> = splices.iter().map(|splice| splice.range.clone()).collect();
    let mut found = after
        .comments(0..after.body().len())
        .map(|mark| mark.range());
    for comment in before.comments(0..before.body().len()) {
        let range = comment.range();
        let goes = is_within(&range, &dropped) && is_within(&range, &cut);
        let text = &before.body()[range];
        if !goes && !found.any(|new| same_comment(text, &after.body()[new])) {
            let lost = text.lines().next().unwrap_or_default();
            return Err(refuse(&format!("the comment `{lost}` would be lost")));
        }
    }
    Ok(())
}

/// Whether `range` lies in one of these, which are in order and apart from each other.
fn is_within(range: &Range<usize>, outer: &[Range<usize>]) -> bool {
    let started = outer.partition_point(|outer| outer.start <= range.start);
    outer[..started]
        .last()
        .is_some_and(|outer| range.end <= outer.end)
}

/// A comment that is moved in or out with its value keeps all but its lines' indentation.
fn same_comment(old: &str, new: &str) -> bool {
    // A lone CR ends a line, too. The line ends themselves are never changed.
    fn lines(text: &str) -> impl Iterator<Item = &str> {
        text.split(['\n', '\r']).map(str::trim_start)
    }
    old == new || lines(old).eq(lines(new))
}

fn refuse(check: &str) -> Problem {
    Problem::whole(format!("the planned edit was refused: {check}"))
        .with_hint("the file was left as it is; please report this with the file")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TEXT: &str = "{\n  // why\n  \"a\": 1, // one\n  \"b\": [2]\n}\n";

    fn guarded(splices: &[Splice], edited: &str, intent: &Intent) -> Result<(), String> {
        let before = Document::parse(TEXT).unwrap();
        check(&before, splices, edited, intent).map_err(|problem| problem.to_string())
    }

    /// The splice that puts `new` in the place of `old`.
    fn put(old: &str, new: &str) -> Splice {
        let start = TEXT.find(old).unwrap();
        Splice {
            range: start..start + old.len(),
            text: new.to_owned(),
        }
    }

    fn intent(name: &str, value: Option<Value>) -> Intent {
        Intent {
            members: BTreeMap::from([(name.to_owned(), value)]),
            dropped: Vec::new(),
        }
    }

    /// What the guard says of an edit that is spliced as planned.
    fn planned(splice: Splice, intent: &Intent) -> Result<(), String> {
        let edited = apply(TEXT, std::slice::from_ref(&splice)).unwrap();
        guarded(&[splice], &edited, intent)
    }

    #[test]
    fn a_right_edit_passes() {
        for (splice, intent) in [
            (put("[2]", "[2, 3]"), intent("b", Some(json!([2, 3])))),
            (put("[2]", "[2], \"c\": 1"), intent("c", Some(json!(1)))),
            (put("\"a\": 1, // one\n", "// one\n"), intent("a", None)),
            // A comment that goes along with its element to another indentation.
            (put("  // why", "\t// why"), Intent::default()),
        ] {
            assert_eq!(planned(splice, &intent), Ok(()));
        }
    }

    #[test]
    fn what_is_not_touched_says_what_it_said_down_to_the_last_member() {
        let checked = |old: &str, new: &str| {
            let text = format!("{{\"v\": {old}}}");
            let splices = [Splice {
                range: 6..6 + old.len(),
                text: new.to_owned(),
            }];
            let edited = apply(&text, &splices).unwrap();
            let before = Document::parse(&text).unwrap();
            check(&before, &splices, &edited, &Intent::default())
        };
        for (old, new) in [
            (r#""x""#, r#""y""#),
            ("1", "2"),
            ("1", r#""1""#),
            ("true", "false"),
            ("null", "false"),
            ("[1]", "[2]"),
            ("[1]", "[1, 1]"),
            ("[1, 2]", "[1]"),
            ("[1, 2]", "[2, 1]"),
            ("[]", "{}"),
            ("[[1], [2]]", "[[1], [3]]"),
            (r#"{"a": 1}"#, r#"{"a": 2}"#),
            (r#"{"a": 1}"#, r#"{"b": 1}"#),
            (r#"{"a": 1}"#, r#"{"a": 1, "b": 1}"#),
            (r#"{"a": 1, "b": 1}"#, r#"{"a": 1}"#),
            (r#"{"a": 1, "b": 2}"#, r#"{"b": 2, "a": 1}"#),
            (r#"{"a": {"b": "x"}}"#, r#"{"a": {"b": "y"}}"#),
            (r#"{"a": {"b": "x"}}"#, r#"{"a": {"c": "x"}}"#),
            ("1, \"w\": 1", "1, \"u\": 1"),
        ] {
            let problem = checked(old, new).unwrap_err().to_string();
            assert!(problem.contains("intended value"), "{old} {new} {problem}");
        }
        for (old, new) in [
            (r#""x""#, r#""\u0078""#),
            ("[1,null,true]", "[ 1, null, true ]"),
            (r#"{"a":{"b":1}}"#, r#"{ "a": { "b": 1 } }"#),
        ] {
            assert!(checked(old, new).is_ok(), "{old} {new}");
        }
    }

    #[test]
    fn changes_that_overlap_or_lie_outside_are_refused() {
        let twice = [put("// why", ""), put("why", "")];
        assert!(
            apply(TEXT, &twice)
                .unwrap_err()
                .to_string()
                .contains("overlap")
        );
        let outside = [Splice::insert(TEXT.len() + 1, "x")];
        assert!(apply(TEXT, &outside).is_err());
        #[expect(
            clippy::reversed_empty_ranges,
            reason = "what a faulty plan could hold"
        )]
        let backwards = [Splice::delete(5..4)];
        assert!(apply(TEXT, &backwards).is_err());
        let amid_a_character = [Splice::insert(1, "x")];
        assert!(apply("é", &amid_a_character).is_err());
    }

    #[test]
    fn text_outside_the_plan_that_moved_is_refused() {
        let splices = [put("[2]", "[3]")];
        let edited = TEXT.replace("[2]", "[3]").replace("  \"a\"", " \"a\"");
        let said = guarded(&splices, &edited, &intent("b", Some(json!([3])))).unwrap_err();
        assert!(said.contains("outside the planned changes"), "{said}");
        let longer = format!("{} ", TEXT.replace("[2]", "[3]"));
        assert!(guarded(&splices, &longer, &intent("b", Some(json!([3])))).is_err());
        // What stands within the range is not what the plan puts there.
        let other = TEXT.replace("[2]", "[4]");
        let said = guarded(&splices, &other, &intent("b", Some(json!([4])))).unwrap_err();
        assert!(said.contains("outside the planned changes"), "{said}");
    }

    #[test]
    fn a_result_that_cannot_be_read_is_refused() {
        let said = planned(put("[2]", "[2"), &Intent::default()).unwrap_err();
        assert!(said.contains("cannot be read (5:1"), "{said}");
    }

    #[test]
    fn a_value_that_was_not_intended_is_refused() {
        for (splice, intent) in [
            (put("[2]", "[3]"), Intent::default()),
            (put("[2]", "[3]"), intent("b", Some(json!([2])))),
            (put("[2]", "[3]"), intent("b", None)),
            (put("[2]", "[2], \"c\": 1"), Intent::default()),
            (put("[2]", "[2], \"b\": [2]"), intent("b", Some(json!([2])))),
            (put("\"a\": 1, // one\n", "// one\n"), Intent::default()),
            (put("\"b\"", "\"c\""), Intent::default()),
            (put("[2]", "{}"), Intent::default()),
        ] {
            let said = planned(splice, &intent).unwrap_err();
            assert!(said.contains("intended value"), "{said}");
        }
    }

    #[test]
    fn a_name_that_is_given_again_is_refused() {
        let inner = r#"{"b": 1, "c": 2}"#;
        for (old, new, is_right) in [
            // The value is the intended one: of a name that is given twice the last counts.
            (inner, r#"{"b": 1, "c": 2, "b": 1}"#, false),
            (inner, r#"{"b": 0, "b": 1, "c": 2}"#, false),
            (inner, r#"{ "b": 1, "c": 2 }"#, true),
            (r#"{"b": 1}"#, inner, true),
            // The user's own doubles are his; none comes to them.
            (r#"{"b": 0, "b": 1}"#, r#"{"b": 0, "b": 1, "c": 2}"#, true),
            (r#"{"b": 0, "b": 1}"#, r#"{"b": 1, "c": 2}"#, true),
            (
                r#"{"b": 0, "b": 1}"#,
                r#"{"b": 0, "b": 1, "c": 0, "c": 2}"#,
                false,
            ),
        ] {
            let text = format!("{{\"a\": {old}}}");
            let before = Document::parse(&text).unwrap();
            let splices = [Splice {
                range: 6..6 + old.len(),
                text: new.to_owned(),
            }];
            let edited = apply(&text, &splices).unwrap();
            let intent = intent("a", Some(json!({ "b": 1, "c": 2 })));
            let checked = check(&before, &splices, &edited, &intent).map_err(|it| it.to_string());
            match is_right {
                true => assert_eq!(checked, Ok(()), "{old} {new}"),
                false => assert!(
                    checked.unwrap_err().contains("intended value"),
                    "{old} {new}"
                ),
            }
        }
    }

    #[test]
    fn a_comment_that_would_be_lost_is_refused() {
        let said = planned(put("// why", ""), &Intent::default()).unwrap_err();
        assert!(
            said.contains("the comment `// why` would be lost"),
            "{said}"
        );
        let changed = planned(put("// one", "// two"), &Intent::default()).unwrap_err();
        assert!(changed.contains("`// one`"), "{changed}");
        // Said to go, but not within what is taken out; then said to go, and taken out.
        let start = TEXT.find("// why").unwrap();
        let mut gone = intent("b", Some(json!([2])));
        gone.dropped.push(start..start + "// why".len());
        assert_eq!(planned(put("// why", ""), &gone), Ok(()));
        // Said to go, and only half of it taken out.
        let half = planned(put("why", ""), &gone).unwrap_err();
        assert!(half.contains("`// why`"), "{half}");
        gone.dropped[0] = 0..1;
        assert!(planned(put("// why", ""), &gone).is_err());
    }

    #[test]
    fn a_comment_counts_from_the_first_byte_on() {
        let text = "// first\n{ \"a\": 1 }\n";
        let before = Document::parse(text).unwrap();
        let whole = [Splice {
            range: 0..8,
            text: "// other".to_owned(),
        }];
        let edited = apply(text, &whole).unwrap();
        let nothing = Intent {
            members: BTreeMap::new(),
            dropped: Vec::new(),
        };
        let problem = check(&before, &whole, &edited, &nothing).unwrap_err();
        assert!(
            problem
                .to_string()
                .contains("the comment `// first` would be lost")
        );
        // One more beside it is no loss.
        let longer = [Splice {
            range: 8..8,
            text: "\n// more".to_owned(),
        }];
        let edited = apply(text, &longer).unwrap();
        check(&before, &longer, &edited, &nothing).unwrap();
    }

    #[test]
    fn comments_go_with_several_elements_and_the_others_keep_their_order() {
        let ranges = |texts: [&str; 2]| texts.map(|text| put(text, "").range).to_vec();
        let splices = [put("// why", ""), put("// one", "")];
        let edited = apply(TEXT, &splices).unwrap();
        for dropped in [["// why", "// one"], ["// one", "// why"]] {
            let intent = Intent {
                dropped: ranges(dropped),
                ..Intent::default()
            };
            assert_eq!(guarded(&splices, &edited, &intent), Ok(()), "{dropped:?}");
        }
        let swapped = [put("// why", "// one"), put("// one", "// why")];
        let edited = apply(TEXT, &swapped).unwrap();
        let said = guarded(&swapped, &edited, &Intent::default()).unwrap_err();
        assert!(said.contains("would be lost"), "{said}");
    }

    #[test]
    fn a_comment_is_the_same_one_where_only_the_indentation_of_its_lines_differs() {
        for (old, new, is_same) in [
            ("// a", "// a", true),
            ("/* a\n   b */", "/* a\n\tb */", true),
            ("/* a\r   b */", "/* a\rb */", true),
            ("// a", "// b", false),
            ("// a ", "// a", false),
            ("/* a\n   b */", "/* a b */", false),
            ("/* a\n b */", "/* a\n c */", false),
            ("/* a\n b\n c */", "/* a\n b */", false),
        ] {
            assert_eq!(same_comment(old, new), is_same, "{old:?} {new:?}");
        }
    }
}
