//! What certificates are good for, by a pattern: fixed text, `{user}`, `{alias}`, `{random}`. Pure.
//!
//! A company's CA has rules for the names that it signs, so its user says how they are made. How many dev
//! containers open by one and the same certificate follows from the pattern.

use super::certificate::is_principal;

/// A pattern that can make principals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(String);

/// What is put into a pattern.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// The user's account on this machine.
    pub user: &'a str,
    /// The alias of the dev container.
    pub alias: &'a str,
    /// What makes it another one than a colleague's.
    pub random: &'a str,
}

/// What a certificate by a pattern opens: the dev containers...
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// ...that it was made for: one.
    One,
    /// ...of this user that have this alias.
    AliasOfUser,
    /// ...that have this alias, whoever has them.
    Alias,
    /// ...of this user.
    User,
    /// ...of everybody whose pattern it is.
    All,
}

const PARTS: [&str; 3] = ["{user}", "{alias}", "{random}"];

impl Pattern {
    /// That of the CA of a store: one dev container, whatever becomes of its alias.
    pub fn own() -> Self {
        Self("{alias}-{random}".into())
    }

    /// Reads one.
    ///
    /// # Errors
    /// What in it can be in no principal.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pattern = Self(text.to_owned());
        let example = pattern.fill(&Parts {
            user: "u",
            alias: "a",
            random: "r",
        });
        if let Some(c) = example.chars().find(|c| "{}".contains(*c)) {
            return Err(format!(
                "{text:?} has a {c:?} that belongs to none of {}",
                PARTS.join(", ")
            ));
        }
        match is_principal(&example) {
            true => Ok(pattern),
            false => Err(format!("{text:?} can be no principal")),
        }
    }

    /// The principal that it makes; `None` where one of the parts can be in none.
    pub fn principal(&self, parts: &Parts<'_>) -> Option<String> {
        let whole = [
            ("{user}", parts.user),
            ("{alias}", parts.alias),
            ("{random}", parts.random),
        ];
        let is_whole = |(name, part): &(&str, &str)| !self.has(name) || is_principal(part);
        let principal = self.fill(parts);
        (whole.iter().all(is_whole) && is_principal(&principal)).then_some(principal)
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What a certificate by it opens.
    pub fn scope(&self) -> Scope {
        match (
            self.has("{random}"),
            self.has("{alias}"),
            self.has("{user}"),
        ) {
            (true, ..) => Scope::One,
            (_, true, true) => Scope::AliasOfUser,
            (_, true, false) => Scope::Alias,
            (_, false, true) => Scope::User,
            (_, false, false) => Scope::All,
        }
    }

    fn has(&self, part: &str) -> bool {
        self.0.contains(part)
    }

    /// What is put in is not looked at again: an alias cannot name a part.
    fn fill(&self, parts: &Parts<'_>) -> String {
        let mut left = self.0.as_str();
        let mut filled = String::new();
        while let Some(at) = left.find('{') {
            filled.push_str(&left[..at]);
            left = &left[at..];
            let values = [parts.user, parts.alias, parts.random];
            let part = PARTS
                .iter()
                .zip(values)
                .find(|(part, _)| left.starts_with(**part));
            let (length, value) = part.map_or((1, "{"), |(part, value)| (part.len(), value));
            filled.push_str(value);
            left = &left[length..];
        }
        filled + left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONA: Parts<'_> = Parts {
        user: "mona",
        alias: "lace-x",
        random: "0a1b",
    };

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn a_pattern_makes_a_principal_that_opens_what_is_said_of_it() {
        for (text, principal, scope) in [
            (Pattern::own().text(), "lace-x-0a1b", Scope::One),
            ("{random}", "0a1b", Scope::One),
            ("{user}-{alias}-{random}", "mona-lace-x-0a1b", Scope::One),
            ("{user}-{alias}", "mona-lace-x", Scope::AliasOfUser),
            ("dev:{alias}", "dev:lace-x", Scope::Alias),
            ("{user}", "mona", Scope::User),
            ("{user}.{user}", "mona.mona", Scope::User),
            ("developers", "developers", Scope::All),
        ] {
            assert_eq!(pattern(text).principal(&MONA).as_deref(), Some(principal));
            assert_eq!(pattern(text).scope(), scope, "{text}");
        }
    }

    #[test]
    fn what_can_be_in_no_principal_is_refused() {
        for (text, told) in [
            ("", "no principal"),
            ("-{alias}", "no principal"),
            ("a,b", "no principal"),
            ("{user} x", "no principal"),
            ("{user}\n", "no principal"),
            (
                "{usr}",
                "'{' that belongs to none of {user}, {alias}, {random}",
            ),
            ("{user}}", "'}' that belongs"),
            ("{{user}}", "'{' that belongs"),
        ] {
            let error = Pattern::parse(text).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn a_part_that_can_be_in_none_makes_none_and_no_part_names_another() {
        let user = |user| Parts { user, ..MONA };
        for odd in ["", "a,b", "a b", "DOMAIN\\mona", "-x", "ä", "{random}"] {
            assert_eq!(pattern("x-{user}").principal(&user(odd)), None, "{odd}");
            let without = pattern("{alias}").principal(&user(odd));
            assert_eq!(without.as_deref(), Some("lace-x"));
        }
        let long = "u".repeat(255);
        assert_eq!(
            pattern("{user}").principal(&user(&long)),
            Some(long.clone())
        );
        assert_eq!(pattern("{user}-").principal(&user(&long)), None);
    }
}
