//! The pages of the documentation whose commands need an engine: what they print is what the pages say.
//!
//! `cargo test` lists these as ignored; `tests/run.sh` prepares the machine and runs them.

use crate::docs::WITH_ENGINE;
use crate::support::story::Page;

/// A test for each page, and a list of them.
macro_rules! pages {
    ($($name:ident $path:literal)*) => {
        $(
            #[test]
            #[ignore = "needs an engine; run by tests/run.sh"]
            fn $name() {
                Page::read($path).play_with_engine();
            }
        )*
        const PLAYED: &[&str] = &[$($path),*];
    };
}

pages! {
    readme "README.md"
    access "docs/access.md"
    adopting "docs/adopting.md"
    clients "docs/clients.md"
    getting_started "docs/getting-started.md"
    how_it_works "docs/how-it-works.md"
    keys "docs/keys.md"
    migrating "docs/migrating.md"
    ports "docs/ports.md"
    troubleshooting "docs/troubleshooting.md"
}

#[test]
fn each_page_is_played() {
    assert_eq!(PLAYED, WITH_ENGINE);
}
