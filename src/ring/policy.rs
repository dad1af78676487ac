//! `rotate` in the options: `initialize` rotates a key whose time has come, and never stops an `up`
//! for it.

use anyhow::{Context, Result, bail};

use super::{Ring, due, rotation};
use crate::engine::{self, Found};
use crate::route::engines::{Engines, Place, Trouble};
use crate::store::registry::DevContainer;
use crate::talk::say;
use crate::trust;

/// Rotates the key of a dev container if its policy says so.
pub fn apply(ring: &mut Ring<'_>, id: &str) -> Result<()> {
    let Some(devcontainer) = ring.registry.devcontainers.get(id).cloned() else {
        return Ok(());
    };
    let Some(key) = ring.registry.keys.get(&devcontainer.key) else {
        return Ok(());
    };
    if !due::may_be_due(&devcontainer, key, ring.now) {
        return Ok(());
    }
    if due::is_of_age(&devcontainer, key, ring.now) {
        rotate(ring, &devcontainer, "its time had come");
        return Ok(());
    }
    // An engine that does not answer says nothing.
    let Ok(found) = container(ring, id, &devcontainer) else {
        return Ok(());
    };
    let is_new = due::is_new(devcontainer.container.as_deref(), found.as_deref());
    if is_new && !rotate(ring, &devcontainer, "for a new container") {
        return Ok(());
    }
    let entry = ring.registry.devcontainers.get_mut(id);
    let entry = entry.context("the dev container is gone")?;
    if entry.container != found {
        entry.container = found;
        ring.save()?;
    }
    Ok(())
}

/// Whether it was done. The old key still opens every door, so the `up` may go on.
fn rotate(ring: &mut Ring<'_>, devcontainer: &DevContainer, why: &str) -> bool {
    let alias = &devcontainer.alias;
    match rotation::one(ring, &devcontainer.key, None, None) {
        Ok(_) => {
            say(format!("rotated the key of {alias} ({why})"));
            true
        }
        Err(error) => {
            say(format!(
                "the key of {alias} was due, but was not rotated: {error:#}"
            ));
            false
        }
    }
}

/// The engine's ID of the container of this workspace, with our mount or made before it.
fn container(ring: &Ring<'_>, id: &str, devcontainer: &DevContainer) -> Result<Option<String>> {
    let place = Engines::of(ring.app).place(id, devcontainer);
    let Place { engine, found } = place.map_err(Trouble::into_error)?;
    match found {
        Found::One(container) => return Ok(Some(container.id)),
        Found::None | Found::Unproven(_) => (),
        Found::Several(several) => bail!(
            "several running containers have the same trust folder mounted: {}",
            engine::names(&several)
        ),
    }
    let Some(workspace) = &devcontainer.workspace else {
        return Ok(None);
    };
    let labelled = engine.with_labels(&[
        (trust::LOCAL_FOLDER, &workspace.folder),
        (trust::CONFIG_FILE, &workspace.config_file),
    ])?;
    Ok(labelled.into_iter().next().map(|container| container.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::store::audit::Kind;
    use crate::store::registry::{Custody, Key, Origin, Rotate};
    use serde_json::{Value, json};
    use std::path::Path;

    /// The age of the key when the policy is looked at.
    const AGE: i64 = 3600;

    /// A dev container with this policy, which has last been seen with the container `a`, and an engine that
    /// has these containers or, with `None`, is silent; what was done to its key, and the container that is
    /// written down then.
    fn applied(
        rotate: Rotate,
        edit: impl Fn(&mut DevContainer, &mut Key),
        containers: impl Fn(&Path) -> Option<Vec<Value>>,
    ) -> (&'static str, Option<String>) {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        let entry = DevContainer::example("lace-x", "lace-x");
        ring.register("x", DevContainer { rotate, ..entry });
        let entry = ring.registry.devcontainers.get_mut("x").unwrap();
        entry.container = Some("a".into());
        if let Some(containers) = containers(&app.store.trust("x")) {
            entry.endpoint = example::engine(home.path(), containers);
        }
        edit(entry, ring.registry.keys.get_mut("lace-x").unwrap());
        ring.commit().unwrap();
        let old = ring.registry.keys["lace-x"].public.clone();
        ring.now += AGE;
        apply(&mut ring, "x").unwrap();
        let rolled_back = ring.logged("lace-x").last().unwrap().0 == Kind::RolledBack;
        drop(ring);
        // What the next command will see.
        let registry = app.store.registry().unwrap();
        let key = &registry.keys["lace-x"];
        assert_eq!(key.next, None);
        let done = match (key.public == old, rolled_back) {
            (true, false) => "left",
            (true, true) => "rolled back",
            (false, _) => "rotated",
        };
        (done, registry.devcontainers["x"].container.clone())
    }

    #[test]
    fn a_policy_rotates_what_is_of_age_and_what_a_new_container_is_there_for() {
        let silent = |_: &Path| None;
        let none = |_: &Path| Some(Vec::new());
        let stopped = |id: &'static str| {
            move |trust: &Path| Some(vec![example::container(id, "exited", trust, 1)])
        };
        // It was made before it had our mount.
        let labelled = |_: &Path| {
            let mut container = example::container("b", "exited", "/elsewhere".as_ref(), 1);
            container["Labels"] = json!({
                "devcontainer.local_folder": "/p",
                "devcontainer.config_file": "/p/devcontainer.json",
            });
            Some(vec![container])
        };
        // Nobody knows which of them is new.
        let several = |trust: &Path| {
            let two = ["b", "c"];
            Some(
                two.map(|id| example::container(id, "running", trust, 1))
                    .into(),
            )
        };
        let each = |age| Rotate::OnCreateAndEvery(age);
        let as_it_is = |_: &mut DevContainer, _: &mut Key| {};
        let case = |rotate: Rotate, containers: &dyn Fn(&Path) -> Option<Vec<Value>>| {
            let (done, seen) = applied(rotate, as_it_is, containers);
            (done, seen.unwrap_or_default())
        };
        for (rotate, containers, done, seen) in [
            (Rotate::Never, &none as &dyn Fn(&Path) -> _, "left", "a"),
            (Rotate::Every(AGE), &silent, "rotated", "a"),
            (Rotate::Every(AGE + 1), &none, "left", "a"),
            // An engine that says nothing does not say that there is a new one.
            (Rotate::OnCreate, &silent, "left", "a"),
            (Rotate::OnCreate, &stopped("a"), "left", "a"),
            (Rotate::OnCreate, &stopped("b"), "rotated", "b"),
            (Rotate::OnCreate, &labelled, "rotated", "b"),
            (Rotate::OnCreate, &none, "rotated", ""),
            (Rotate::OnCreate, &several, "left", "a"),
            (each(AGE), &silent, "rotated", "a"),
            (each(AGE + 1), &silent, "left", "a"),
            (each(AGE + 1), &stopped("b"), "rotated", "b"),
        ] {
            let found = case(rotate.clone(), containers);
            assert_eq!(found, (done, seen.to_owned()), "{rotate:?} {seen}");
        }
        // The first one that is seen was made after the key was.
        let first = |entry: &mut DevContainer, _: &mut Key| entry.container = None;
        let seen = applied(Rotate::OnCreate, first, stopped("b"));
        assert_eq!(seen, ("left", Some("b".into())));
        // One that was only adopted has no labels to be found by.
        let adopted = |entry: &mut DevContainer, _: &mut Key| entry.workspace = None;
        let seen = applied(Rotate::OnCreate, adopted, labelled);
        assert_eq!(seen, ("rotated", None));
    }

    #[test]
    fn a_policy_leaves_a_key_alone_that_is_not_its_to_replace() {
        let edits: [fn(&mut DevContainer, &mut Key); 4] = [
            |_, key| key.origin = Origin::Imported,
            |_, key| key.custody = Custody::EncryptedFile,
            |_, key| key.custody = Custody::SecurityKey,
            |entry, _| entry.alias = "lace-y".into(),
        ];
        for (i, edit) in edits.into_iter().enumerate() {
            let rotate = Rotate::OnCreateAndEvery(1);
            let (done, seen) = applied(rotate, edit, |_| Some(Vec::new()));
            assert_eq!((done, seen.as_deref()), ("left", Some("a")), "{i}");
        }
    }

    #[test]
    fn a_rotation_that_fails_stops_no_up_and_is_tried_again_at_the_next() {
        // A container that runs, and does not say who may log in to it: without an overlap, that is too little.
        let running = |trust: &Path| Some(vec![example::container("b", "running", trust, 1)]);
        let at_once = |entry: &mut DevContainer, _: &mut Key| entry.overlap = 0;
        for rotate in [Rotate::OnCreate, Rotate::Every(AGE)] {
            let (done, seen) = applied(rotate, at_once, running);
            assert_eq!((done, seen.as_deref()), ("rolled back", Some("a")));
        }
    }

    #[test]
    fn without_the_dev_container_or_its_key_there_is_nothing_to_rotate() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = Ring::open(&app, "test").unwrap();
        apply(&mut ring, "x").unwrap();
        let entry = DevContainer::example("lace-x", "lace-x");
        let rotate = Rotate::Every(0);
        let entry = DevContainer { rotate, ..entry };
        ring.registry.devcontainers.insert("x".into(), entry);
        apply(&mut ring, "x").unwrap();
        assert!(ring.registry.keys.is_empty());
    }
}
