//! Consent: a plan is shown before it is applied, and applied only if the user agrees.

use anyhow::Result;

use super::{ask, print_as_is, say};
use crate::change::Plan;

/// What the user has said beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// Look only; nothing may be written.
    Look,
    /// Write without asking.
    Given,
    /// Ask, where there is somebody to ask.
    Ask {
        /// There is a terminal to ask on.
        interactive: bool,
    },
}

/// What became of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There was nothing to change.
    Nothing,
    /// It was shown, and nobody agreed to it (or nobody was asked).
    Shown,
    /// It is written.
    Applied,
}

/// Shows a plan and, if the user agrees, applies it; `before_writing` runs between the two.
///
/// # Errors
/// It cannot be shown, or not be written.
pub fn agree(
    plan: &Plan,
    consent: Consent,
    question: &str,
    before_writing: impl FnOnce() -> Result<()>,
) -> Result<Outcome> {
    if plan.is_empty() {
        return Ok(Outcome::Nothing);
    }
    print_as_is(plan.preview())?;
    match consent {
        Consent::Look => return Ok(Outcome::Shown),
        Consent::Given => {}
        Consent::Ask { interactive: false } => {
            say("nothing written: there is no terminal to ask on; to write it: add --yes");
            return Ok(Outcome::Shown);
        }
        Consent::Ask { interactive: true } => {
            if !ask(question)? {
                say("nothing written");
                return Ok(Outcome::Shown);
            }
        }
    }
    before_writing()?;
    plan.apply()?;
    Ok(Outcome::Applied)
}
