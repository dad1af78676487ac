//! Further people's and machines' keys: who is let in where beside the user, what may be granted, and what
//! becomes of a grant.
//!
//! How a line is written is `keys/authorized_keys.rs`'s; that what a key has opened ends with its line is the
//! Feature's.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Result, anyhow};
use jiff::Timestamp;

use super::Ring;
use crate::advice::failure;
use crate::keys::PublicKey;
use crate::keys::authorized_keys::{self, Command, Limits};
use crate::store::audit::Kind;
use crate::store::registry::{DevContainer, Grant, Key, Registry};

/// What the log calls the keys in the home folder of an account.
const OWN_KEYS: &str = "authorized_keys";

/// A grant that has a line in a dev container's `authorized_keys`.
#[derive(Debug)]
pub struct Granted<'r> {
    /// The grant.
    pub grant: &'r Grant,
    /// Its key.
    pub public: PublicKey,
    /// Its line, without a line ending.
    pub line: String,
}

/// The grants that a dev container knows now, each key once. One that cannot be read is none, nor is one of
/// a key of the ring that opens it anyway: its user would be shut out with the grant.
pub fn granted<'r>(registry: &'r Registry, id: &str, now: i64) -> Vec<Granted<'r>> {
    let devcontainer = registry.devcontainers.get(id);
    let key = devcontainer.and_then(|known| registry.keys.get(&known.key));
    let mut taken: BTreeSet<_> = key
        .into_iter()
        .flat_map(publics)
        .map(str::to_owned)
        .collect();
    let is_there = |grant: &&Grant| !grant.is_over(now) && grant.unknown.is_empty();
    let there = registry.granted(id).filter(is_there);
    let mut there: Vec<_> = there.filter_map(|grant| read(grant).ok()).collect();
    there.sort_by_key(|it| !it.grant.opens());
    there.retain(|it| taken.insert(it.public.render_bare()));
    there
}

/// All public halves that a key has, and had until its overlap is over.
fn publics(key: &Key) -> impl Iterator<Item = &str> {
    let next = key.next.iter().map(|next| &next.public);
    let retired = key.retired.iter().map(|old| &old.public);
    let all = std::iter::once(&key.public).chain(next).chain(retired);
    all.map(String::as_str)
}

fn read(grant: &Grant) -> Result<Granted<'_>> {
    let limits = Limits {
        until: grant.until.map(Timestamp::from_second).transpose()?,
        command: grant.command.as_deref().map(Command::parse).transpose()?,
        no_forwarding: grant.no_forwarding,
    };
    let public = PublicKey::parse(&grant.public)?.with_comment(&grant.name)?;
    let line = authorized_keys::limited(&public, &limits);
    Ok(Granted {
        grant,
        public,
        line,
    })
}

/// The fingerprint of a grant's key; what cannot be read has none.
pub fn fingerprint(grant: &Grant) -> Option<String> {
    let public = PublicKey::parse(&grant.public).ok()?;
    Some(public.fingerprint())
}

/// For whom a grant lets its key in: an alias, or all.
pub fn target(registry: &Registry, grant: &Grant) -> String {
    match &grant.dev_container {
        None => "every dev container".to_owned(),
        Some(id) => alias(registry, id).unwrap_or(id).to_owned(),
    }
}

fn alias<'r>(registry: &'r Registry, id: &str) -> Option<&'r str> {
    let known: Option<&DevContainer> = registry.devcontainers.get(id);
    known.map(|known| known.alias.as_str())
}

/// What is forbidden to whoever has the key of a grant, in words; nothing where nothing is.
pub fn limits(grant: &Grant) -> Option<String> {
    match &grant.command {
        Some(command) => Some(format!("only the command `{command}`, no forwarding")),
        None => grant.forwards_nothing().then(|| "no forwarding".to_owned()),
    }
}

/// A grant that is wanted is none that there is already, and gives no key another meaning.
///
/// # Errors
/// Why it is refused, and what would help.
pub fn check(registry: &Registry, wanted: &Grant) -> Result<()> {
    let shown = fingerprint(wanted).unwrap_or_default();
    let of_ring = |key: &&String| publics(&registry.keys[*key]).any(|it| it == wanted.public);
    if let Some(key) = registry.keys.keys().find(of_ring) {
        return Err(failure(
            format!("{shown} is the key {key} of your own ring"),
            format!("what it opens: lace-ssh keys show {key}"),
        ));
    }
    let live = || registry.access.iter().filter(|it| it.removed.is_none());
    let same = |it: &&Grant| it.public == wanted.public && it.meets(wanted);
    if let Some(there) = live().find(same) {
        let target = target(registry, there);
        return Err(failure(
            format!("{shown} may log in to {target} already, as {}", there.name),
            format!("to give it anew, first: {}", removal(registry, there)),
        ));
    }
    let namesake = |it: &&Grant| it.name == wanted.name && it.public != wanted.public;
    match live().find(namesake) {
        Some(there) => Err(failure(
            format!(
                "{} is another key: {}",
                there.name,
                fingerprint(there).unwrap_or_default()
            ),
            format!(
                "choose another name, or first: {}",
                removal(registry, there)
            ),
        )),
        None => Ok(()),
    }
}

/// The command that removes a grant, and no other.
pub fn removal(registry: &Registry, grant: &Grant) -> String {
    let from = grant.dev_container.as_deref();
    let from = from.and_then(|id| alias(registry, id));
    let from = from.map(|alias| format!(" --from {alias}"));
    let name = &grant.name;
    format!(
        "lace-ssh access remove --name {name}{}",
        from.unwrap_or_default()
    )
}

/// Whose access is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose<'w> {
    /// The key with this fingerprint.
    Fingerprint(&'w str),
    /// The key that is called so.
    Name(&'w str),
}

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Fingerprint(text) | Self::Name(text)) = self;
        f.write_str(text)
    }
}

/// Whether a grant is meant by whom it is for, the one dev container that it must be given for, and what is to
/// become of its sessions: of one that was removed already, only they are left.
pub fn is_meant(grant: &Grant, whose: Whose<'_>, from: Option<&str>, sessions: Sessions) -> bool {
    let is_whose = match whose {
        Whose::Fingerprint(text) => fingerprint(grant).as_deref() == Some(text),
        Whose::Name(name) => grant.name == name,
    };
    is_whose
        && from.is_none_or(|id| grant.dev_container.as_deref() == Some(id))
        && (sessions == Sessions::End || grant.removed.is_none())
}

/// What to do with the sessions that a grant has opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sessions {
    /// They go on, for a week at most.
    Stay,
    /// They end.
    End,
}

impl Ring<'_> {
    /// Lets a key in. What was left of it from before goes. The caller commits.
    ///
    /// # Errors
    /// As [`check`], or the log cannot be written.
    pub fn grant(&mut self, grant: Grant) -> Result<()> {
        check(&self.registry, &grant)?;
        let is_left = |it: &Grant| it.public == grant.public && it.removed.is_some();
        let left = self.registry.access.extract_if(.., |it| is_left(it));
        for old in left.collect::<Vec<_>>() {
            self.touch_granted(&old);
        }
        self.note_access(Kind::Granted, &grant)?;
        self.touch_granted(&grant);
        self.registry.access.push(grant);
        Ok(())
    }

    /// Lets in no longer what `goes`; returns it. It is out of every trust folder before it is noted. The
    /// caller commits.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn withdraw(
        &mut self,
        goes: impl Fn(&Grant) -> bool,
        sessions: Sessions,
    ) -> Result<Vec<Grant>> {
        let gone: Vec<_> = self
            .registry
            .access
            .iter()
            .filter(|it| goes(it))
            .cloned()
            .collect();
        let now = self.now;
        match sessions {
            Sessions::End => self.registry.access.retain(|it| !goes(it)),
            Sessions::Stay => {
                let going = self.registry.access.iter_mut().filter(|it| goes(it));
                going.for_each(|it| it.removed = it.removed.or(Some(now)));
            }
        }
        for grant in &gone {
            self.touch_granted(grant);
        }
        self.write_touched();
        for grant in &gone {
            self.note_access(Kind::Withdrawn, grant)?;
        }
        Ok(gone)
    }

    /// Drops the grants of a dev container that goes itself, and of no other. The caller commits.
    ///
    /// # Errors
    /// The log cannot be written.
    pub fn drop_granted(&mut self, id: &str) -> Result<()> {
        let is_only_here = |grant: &mut Grant| grant.dev_container.as_deref() == Some(id);
        let gone = self.registry.access.extract_if(.., is_only_here);
        for grant in gone.collect::<Vec<_>>() {
            self.note_access(Kind::Withdrawn, &grant)?;
        }
        Ok(())
    }

    /// Lets the account's own keys in a dev container count, or no longer. The caller commits.
    ///
    /// # Errors
    /// There is no such dev container, or the log cannot be written.
    pub fn count_own_keys(&mut self, id: &str, count: bool) -> Result<()> {
        let known = self.registry.devcontainers.get_mut(id);
        let known = known.ok_or_else(|| anyhow!("the dev container {id} is gone"))?;
        known.own_keys = count;
        let alias = known.alias.clone();
        self.touch_one(id);
        let kind = match count {
            true => Kind::Granted,
            false => Kind::Withdrawn,
        };
        self.write_touched();
        self.note(kind, OWN_KEYS, |event| {
            event.dev_container = Some(alias);
            event.dev_container_id = Some(id.to_owned());
            event.detail = Some("the account's own ~/.ssh/authorized_keys".to_owned());
        })
    }

    /// Drops the grants whose time is up: first out of every trust folder, then out of the ring, and only
    /// then is it said. Where a folder cannot be written, the next command tries again.
    ///
    /// # Errors
    /// The log or the registry cannot be written.
    pub fn settle_access(&mut self) -> Result<()> {
        let now = self.now;
        let mut changed = Vec::new();
        for grant in &mut self.registry.access {
            if grant.bound(now) || grant.is_over(now) {
                changed.push(grant.clone());
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        changed.iter().for_each(|grant| self.touch_granted(grant));
        if self.write_touched() > 0 {
            return Ok(());
        }
        self.registry.access.retain(|grant| !grant.is_over(now));
        // What is left of one that was removed was noted then.
        let is_new = |grant: &&Grant| grant.is_over(now) && grant.removed.is_none();
        for grant in changed.iter().filter(is_new) {
            self.note_access(Kind::Expired, grant)?;
        }
        self.save()
    }

    /// Marks the dev containers that a grant concerns as to be written.
    fn touch_granted(&mut self, grant: &Grant) {
        let all = self.registry.devcontainers.keys();
        let concerned = all.filter(|id| grant.is_for(id)).cloned();
        self.touched.extend(concerned);
    }

    /// Writes the trust folders that are marked, before the registry; how many cannot be. Committing tells why.
    fn write_touched(&self) -> usize {
        let touched = self.touched.iter();
        touched.filter(|id| self.write_trust(id).is_err()).count()
    }

    fn note_access(&mut self, kind: Kind, grant: &Grant) -> Result<()> {
        let id = grant.dev_container.clone();
        let alias = id.as_deref().and_then(|id| alias(&self.registry, id));
        let alias = alias.map(str::to_owned);
        let all = id.is_none().then(|| target(&self.registry, grant));
        let until = grant.until.map(|until| format!("until {}", time(until)));
        let told: Vec<_> = all.into_iter().chain(until).chain(limits(grant)).collect();
        self.note(kind, &grant.name, |event| {
            event.fingerprint = fingerprint(grant);
            event.dev_container = alias;
            event.dev_container_id = id;
            event.detail = Some(told.join("; ")).filter(|text| !text.is_empty());
        })
    }
}

/// Seconds since the epoch as RFC 3339, UTC.
pub fn time(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}
