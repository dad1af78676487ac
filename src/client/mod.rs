//! What ssh clients read: text out of values. Writes nothing.

pub mod elsewhere;
pub mod guest;
pub mod include;
pub mod openssh;
pub mod quote;
pub mod wezterm;

use deunicode::deunicode;

/// An alias from names that people gave to folders: `lace-` and their lower-case letters (those of other scripts as
/// they are written in Latin ones), digits, `-`, `_` and `.`, everything else a single hyphen; short enough for every client.
pub fn alias(names: &[String]) -> String {
    const LONGEST: usize = 48;
    let names: Vec<_> = names.iter().map(|name| deunicode(name)).collect();
    let is_apart = |c: char| !c.is_ascii_alphanumeric() && !"_.".contains(c);
    let mut alias = String::from("lace");
    for word in names.iter().flat_map(|name| name.split(is_apart)) {
        let word = word.trim_matches(['.', '_']).to_ascii_lowercase();
        if !word.is_empty() {
            alias.push('-');
            alias.push_str(&word);
        }
    }
    if alias == "lace" {
        alias.push_str("-workspace");
    }
    alias.truncate(LONGEST);
    alias.trim_end_matches(['-', '.', '_']).to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn folder_names_become_aliases() {
        let alias = |names: &[&str]| {
            super::alias(&names.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        for (names, expected) in [
            (vec!["my-project"], "lace-my-project"),
            (vec!["My Project (2)", ""], "lace-my-project-2"),
            (vec!["api", "rust"], "lace-api-rust"),
            (vec!["..", "\n%h\""], "lace-h"),
            (vec!["проект"], "lace-proekt"),
            (vec!["Café Zürich"], "lace-cafe-zurich"),
            (vec!["Łódź_straße"], "lace-lodz_strasse"),
            (vec!["日本", "開発"], "lace-ri-ben-kai-fa"),
            (vec!["\u{200b}\u{202e}"], "lace-workspace"),
            (vec!["a.b_c"], "lace-a.b_c"),
            (vec!["._a_."], "lace-a"),
            (vec!["_", "x"], "lace-x"),
            (vec!["lace"], "lace-lace"),
            (vec![], "lace-workspace"),
        ] {
            assert_eq!(alias(&names), expected);
        }
        assert_eq!(alias(&["x".repeat(99).as_str()]).len(), 48);
        // Cut where it would end in what is no end of a name.
        for cut in ["-", ".", "_"] {
            let start = "x".repeat(42);
            assert_eq!(
                alias(&[&format!("{start}{cut}yyy")]),
                format!("lace-{start}")
            );
        }
    }
}
