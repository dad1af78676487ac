//! The chain from a name to a session, walked link by link: what holds, what does not and why, and what mends it.
//!
//! One check a file, each the same: it looks at a [`Patient`] and tells a [`Link`]; what it decides is decided by a pure
//! function. Looking changes nothing. Who shows the links, asks, and has them mended, is `commands/doctor.rs`.

mod account;
mod agent;
pub mod ahead;
mod block;
mod certificate;
mod client_files;
mod clock;
mod config;
mod container;
mod effect;
mod engine;
mod feature;
mod host_key;
mod include;
mod inside;
mod key;
pub mod link;
mod listen;
mod log;
mod login;
mod mount;
mod patient;
mod port;
mod registry;
mod route;
mod settings;
mod space;
mod speed;
mod ssh;
mod sshd;
mod store;
mod strangers;
mod trust;

use anyhow::Result;

use self::link::Link;
pub use self::link::WIDEST;
pub use self::patient::Patient;
pub use self::registry::NAME as REGISTRY;
use crate::app::App;
use crate::environment::Environment;
use crate::settings::Settings;
use crate::store::registry::Registry;
use crate::workspace::target::Target;

/// The links that no dev container has for itself.
pub fn of_the_machine(
    app: &App,
    settings: &Result<Settings>,
    registry: &Result<Registry>,
) -> Vec<Link> {
    let known = registry.as_ref().ok();
    let mut links = vec![
        ssh::check(),
        settings::check(app, settings, known),
        store::check(app),
        space::check(app),
        registry::check(app, registry),
    ];
    links.extend(known.map(|registry| log::check(app, registry)));
    links.push(include::check(app, known));
    links
}

/// The surroundings as ssh has them for this alias: its agent is the one that the user's configuration names, if it does.
pub fn as_ssh_has_it(app: &App, alias: &str) -> Environment {
    let mut environment = app.environment.clone();
    if let Some(agent) = effect::agent(app, alias) {
        environment.agent = Some(agent);
    }
    environment
}

/// The links of one dev container, in the order in which a connection needs them, each as it is asked for. `is_broken`: one of
/// the machine's is.
pub fn of<'p>(patient: &'p Patient<'_>, is_broken: bool) -> impl Iterator<Item = Link> + 'p {
    let checks: [fn(&Patient<'_>) -> Link; 22] = [
        config::check,
        key::check,
        agent::check,
        strangers::check,
        trust::check,
        host_key::check,
        client_files::check,
        block::check,
        listen::check,
        engine::check,
        container::check,
        feature::check,
        mount::check,
        space::check_there,
        clock::check,
        account::check,
        sshd::check,
        route::check,
        port::check,
        login::check,
        certificate::check,
        speed::check,
    ];
    let mut is_broken = is_broken;
    checks.into_iter().map(move |check| {
        let link = login::after(check(patient), is_broken);
        is_broken |= link.is_broken();
        link
    })
}

/// The one link of a workspace of which nothing is known yet.
pub fn of_unknown(app: &App, target: &Target, settings: &Settings) -> Link {
    config::check_unknown(app, target, settings)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::{Value, json};

    use super::link::{Remedy, State};
    use super::*;
    use crate::engine::example;
    use crate::environment::Environment;
    use crate::keys::KeyPair;
    use crate::ring::{Ring, identity};
    use crate::route::example::Sshd;
    use crate::store::registry::{Auth, Custody, Grant, Signer};
    use crate::trust::{self as contract, CONTRACT};

    /// What root sees in a container in which all is well.
    const WELL: &str = "clock NOW\nmount ro\nsshd runs\nspace / 90 90 4096000 900 900\nend\n";

    /// A store with one dev container, an sshd of this machine that stands for the container's, and an engine.
    struct Scene {
        home: tempfile::TempDir,
        environment: Environment,
        sshd: Sshd,
    }

    impl Scene {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            let trust = home.path().join(".config/lace/ssh/trust/x");
            let sshd = Sshd::trusting(home.path(), &trust);
            let socket = home.path().join("engine.sock");
            let environment = Environment {
                program: sshd.program(home.path()),
                docker_host: Some(format!("unix://{}", socket.display())),
                ..Environment::example(home.path())
            };
            Self {
                home,
                environment,
                sshd,
            }
        }

        fn app(&self) -> App<'_> {
            App::new(&self.environment)
        }

        /// The dev container `x`, with the host key that sshd has.
        fn register(&self) -> Registry {
            let app = self.app();
            let mut ring = Ring::open(&app, "test").unwrap();
            ring.knows("x", "lace-x", "lace-x");
            let pair = KeyPair::generate(&[77; 32], "host").unwrap();
            for file in [app.store.host_key("x"), app.store.mounted_host_key("x")] {
                identity::write_private(&file, &pair).unwrap();
            }
            let known = ring.registry.devcontainers.get_mut("x").unwrap();
            known.host_key.current.clone_from(&self.sshd.host_key);
            (known.user, known.user_chosen) = (Some(self.sshd.user.clone()), true);
            known.endpoint = format!("unix://{}", self.home.path().join("engine.sock").display());
            ring.touch_one("x");
            ring.commit().unwrap();
            ring.registry.clone()
        }

        /// In this state, where root sees these lines.
        fn container(&self, id: &str, state: &str, seen: &str) -> Value {
            let trust = self.app().store.trust("x");
            let mut told = example::container(id, state, &trust, self.sshd.port);
            let feature = json!([{
                "entrypoint": contract::ENTRYPOINT,
                "customizations": { "lace": { "ssh": { "contract": CONTRACT } } },
            }]);
            told["Labels"] = json!({ "devcontainer.metadata": feature.to_string() });
            let now = crate::app::now().to_string();
            let print = format!("printf %s '{}'", seen.replace("NOW", &now));
            told["Runs"] = json!(["sh", "-c", print]);
            told
        }

        fn look(&self, registry: &Registry, containers: Vec<Value>) -> Vec<Link> {
            let socket = self.home.path().join("engine.sock");
            let _ = fs::remove_file(&socket);
            example::engine(self.home.path(), containers);
            let (app, settings) = (self.app(), Settings::default());
            let patient = Patient::of(&app, &settings, registry, "x", crate::app::now());
            of(&patient, false).collect()
        }
    }

    fn link<'l>(links: &'l [Link], name: &str) -> &'l Link {
        links.iter().find(|link| link.name == name).unwrap()
    }

    /// Each of these is in this state, and says these words.
    fn are(links: &[Link], expected: &[(&str, State, &str)]) {
        for (name, state, words) in expected {
            let link = link(links, name);
            assert!(
                link.state == *state && link.says.contains(words),
                "{name}: {link:#?}"
            );
        }
    }

    /// Only a login tells: none of what is said beside ours decides where it leads.
    #[test]
    fn what_the_users_own_file_says_beside_ours_is_tried() {
        use State::{Breaks, Holds};
        let scene = Scene::new();
        let registry = scene.register();
        let app = scene.app();
        let users = crate::workspace::user_config::path(&app);
        fs::create_dir_all(users.parent().unwrap()).unwrap();
        for (more, state, words) in [
            ("", Holds, "ssh takes for lace-x what ours says"),
            ("ServerAliveInterval 7", Holds, "what ours says"),
            (
                "PubkeyAcceptedKeyTypes ssh-rsa",
                Breaks,
                "of what it says beside ours, one does that: pubkeyacceptedalgorithms",
            ),
        ] {
            let text = format!(
                "Include {}\nHost *\n    {more}\n",
                app.store.config().display()
            );
            fs::write(&users, text).unwrap();
            let links = scene.look(&registry, vec![scene.container("c", "running", WELL)]);
            are(&links, &[("login", Holds, ""), ("block", state, words)]);
        }
    }

    #[test]
    fn which_engine_docker_itself_asks_is_told() {
        use State::{Holds, Warns};
        let mut scene = Scene::new();
        let registry = scene.register();
        let engine = scene.home.path().join("engine.sock");
        let own = scene.environment.system_sockets.join("docker.sock");
        fs::create_dir_all(&scene.environment.system_sockets).unwrap();
        fs::create_dir_all(&scene.environment.docker_config).unwrap();
        let look = |scene: &Scene, state, words: &str, remedy: &str| {
            let links = scene.look(&registry, vec![scene.container("c", "running", WELL)]);
            are(&links, &[("engine", state, words)]);
            let told = link(&links, "engine").remedy.as_ref();
            let told = told.map(Remedy::shown).unwrap_or_default();
            assert!(told.starts_with(remedy), "{told}");
        };
        look(&scene, Holds, "engine.sock", "");
        scene.environment.docker_host = None;
        let asks = format!(
            "`docker` and `devcontainer up` ask unix://{} here",
            own.display()
        );
        let export = format!(
            "for what they shall do with this one: export DOCKER_HOST=unix://{}",
            engine.display()
        );
        look(&scene, Warns, &asks, &export);
        // It is the same by another name.
        std::os::unix::fs::symlink(&engine, &own).unwrap();
        look(&scene, Holds, "docker", "");
        let config = scene.environment.docker_config.join("config.json");
        fs::write(config, r#"{"currentContext":"gone"}"#).unwrap();
        let nowhere = "the current docker context leads nowhere: cannot read the docker context";
        look(&scene, Warns, nowhere, "docker context use default");
        scene.environment.docker_context = Some("lost".into());
        look(
            &scene,
            Warns,
            "DOCKER_CONTEXT leads nowhere",
            "unset DOCKER_CONTEXT",
        );
        scene.environment.docker_host = Some("unix:///none".into());
        let silent = "DOCKER_HOST names unix:///none, which does not answer";
        look(&scene, Warns, silent, "unset DOCKER_HOST");
    }

    #[test]
    fn what_was_learnt_or_has_run_out_since_the_last_command_is_no_fault() {
        use State::{Breaks, Holds};
        let scene = Scene::new();
        scene.register();
        let app = scene.app();
        let mut ring = Ring::open(&app, "test").unwrap();
        let known = ring.registry.devcontainers.get_mut("x").unwrap();
        (known.user, known.user_chosen) = (None, false);
        let public = KeyPair::generate(&[5; 32], "x")
            .unwrap()
            .public()
            .render_bare();
        let lease = Grant {
            until: Some(ring.now + 1),
            ..Grant::example("lease", &public)
        };
        ring.grant(lease).unwrap();
        ring.commit().unwrap();
        drop(ring);
        crate::store::learnt::write(&app.store, "lace-x", &scene.sshd.user).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2100));
        let look = || {
            let registry = crate::ring::look(&app).unwrap();
            assert_eq!(
                registry.devcontainers["x"].user.as_ref(),
                Some(&scene.sshd.user)
            );
            scene.look(&registry, vec![])
        };
        are(
            &look(),
            &[("trust", Holds, ""), ("client-files", Holds, "")],
        );
        // A number names no account.
        let mut registry = crate::ring::look(&app).unwrap();
        registry.devcontainers.get_mut("x").unwrap().user = None;
        crate::store::learnt::forget(&app.store, "lace-x").unwrap();
        let mut container = scene.container("c", "running", WELL);
        let labels = container["Labels"]["devcontainer.metadata"]
            .as_str()
            .unwrap();
        let labels = labels.replacen("[{", "[{\"remoteUser\":\"1000\",", 1);
        container["Labels"]["devcontainer.metadata"] = labels.into();
        are(
            &scene.look(&registry, vec![container]),
            &[(
                "account",
                Breaks,
                "names the remote user \"1000\", which cannot be one",
            )],
        );
        crate::store::learnt::write(&app.store, "lace-x", &scene.sshd.user).unwrap();
        // What nobody of ours has written is one.
        for name in ["authorized_keys", "revoked_keys"] {
            fs::write(app.store.trust("x").join(name), "#").unwrap();
        }
        are(
            &look(),
            &[("trust", Breaks, "authorized_keys, revoked_keys")],
        );
        assert!(!link(&look(), "trust").says.contains("refuses everybody"));
    }

    #[test]
    fn a_connection_is_followed_to_its_end() {
        use State::{Holds, Unknown, Warns};
        let scene = Scene::new();
        let registry = scene.register();
        let running = |seen: &str| vec![scene.container("c", "running", seen)];
        let links = scene.look(&registry, running(WELL));
        are(
            &links,
            &[
                ("key", Holds, "lace-x, in its file"),
                ("trust", Holds, "is as it must be"),
                ("host-key", Holds, "SHA256:"),
                ("client-files", Holds, ""),
                ("engine", Holds, "engine.sock"),
                ("container", Holds, "c-name runs"),
                ("feature", Holds, "follows contract"),
                ("mount", Holds, "read-only"),
                ("container-disk", Holds, "MB left in /"),
                ("clock", Holds, "as here"),
                ("account", Holds, &scene.sshd.user),
                ("sshd", Holds, "it runs"),
                ("route", Holds, "published at 127.0.0.1:"),
                ("port", Holds, "has proven the pinned host key"),
                ("login", Holds, "gets in, in "),
                ("certificate", Holds, "not needed"),
                ("speed", Holds, ""),
            ],
        );
        // What root sees, and a login tells.
        let late = WELL.replace("NOW", "1000");
        are(
            &scene.look(&registry, running(&late)),
            &[("clock", Warns, " s behind")],
        );
        let full = WELL.replace("space / 90", "space / 0");
        are(
            &scene.look(&registry, running(&full)),
            &[("container-disk", Warns, "is full")],
        );
        let locked = WELL.replace("end", "account locked\nend");
        are(
            &scene.look(&registry, running(&locked)),
            &[("account", Holds, "")],
        );
        let cut = WELL.replace("end\n", "");
        are(
            &scene.look(&registry, running(&cut)),
            &[("mount", Unknown, "does not tell")],
        );
    }

    #[test]
    fn a_login_that_fails_or_is_not_tried_is_told_with_its_reason() {
        use State::{Breaks, Unknown, Warns};
        let scene = Scene::new();
        let registry = scene.register();
        let running = |seen: &str| vec![scene.container("c", "running", seen)];
        let full = WELL.replace("space / 90", "space / 0");
        let locked = WELL.replace("end", "account locked\nend");
        // Nobody is let in.
        let app = scene.app();
        let trusted = app.store.trust("x").join(contract::AUTHORIZED_KEYS);
        let lines = fs::read(&trusted).unwrap();
        fs::write(&trusted, "").unwrap();
        let links = scene.look(&registry, running(&locked));
        are(
            &links,
            &[
                ("trust", Breaks, contract::AUTHORIZED_KEYS),
                ("account", Breaks, "is locked"),
                ("login", Breaks, "Permission denied"),
                ("speed", Unknown, "nobody has got in"),
            ],
        );
        let advised = link(&links, "login").remedy.as_ref().unwrap();
        assert_eq!(advised.shown(), "what is broken above comes first");
        let full = scene.look(&registry, running(&full));
        are(&full, &[("container-disk", Breaks, "is full")]);
        fs::write(&trusted, lines).unwrap();

        // Another host key than is pinned.
        let other = KeyPair::generate(&[3; 32], "other").unwrap();
        let mut pins = registry.clone();
        let known = pins.devcontainers.get_mut("x").unwrap();
        known.host_key.current = other.public().render_bare();
        let pin = crate::inventory::known_hosts(&pins);
        fs::write(app.store.known_hosts(), pin).unwrap();
        let links = scene.look(&pins, running(WELL));
        are(
            &links,
            &[
                ("host-key", Breaks, "is not the one that sshd reads"),
                ("port", Breaks, "nothing proves"),
                ("login", Breaks, "answered with the host key"),
            ],
        );
        // A key that nobody can use without being asked.
        let mut kept = registry.clone();
        kept.keys.get_mut("lace-x").unwrap().custody = Custody::SecurityKey;
        let links = scene.look(&kept, running(WELL));
        are(
            &links,
            &[
                ("login", Unknown, "would have to be touched"),
                ("agent", Breaks, "no ssh-agent"),
            ],
        );
        kept.keys.get_mut("lace-x").unwrap().custody = Custody::Agent;
        let links = scene.look(&kept, running(WELL));
        are(
            &links,
            &[
                ("login", Unknown, "not in the agent"),
                ("key", Warns, "not in the agent any more"),
            ],
        );
        kept.keys.get_mut("lace-x").unwrap().custody = Custody::UserAgent;
        let links = scene.look(&kept, running(WELL));
        are(&links, &[("key", Breaks, "and that one does not have it")]);
        // Between two host keys both are pinned.
        kept = registry.clone();
        let known = kept.devcontainers.get_mut("x").unwrap();
        known.host_key.next = Some(other.public().render_bare());
        let links = scene.look(&kept, running(WELL));
        are(
            &links,
            &[("host-key", Warns, "and the one that is to take its place")],
        );
        let advised = link(&links, "host-key").remedy.as_ref().unwrap().shown();
        assert!(
            advised.ends_with("lace-ssh host-key rotate lace-x"),
            "{advised}"
        );
        kept.keys.clear();
        let links = scene.look(&kept, running(WELL));
        are(
            &links,
            &[("key", Breaks, "there is no key lace-x any more")],
        );
    }

    #[test]
    fn where_there_is_no_container_to_look_into_it_is_said_why() {
        use State::{Breaks, Holds, Unknown, Warns};
        let scene = Scene::new();
        let registry = scene.register();
        let one = |id: &str, state: &str| scene.container(id, state, WELL);
        let stopped = scene.look(&registry, vec![one("c", "exited")]);
        are(
            &stopped,
            &[
                ("engine", Holds, ""),
                ("container", Breaks, "c-name is exited"),
                ("mount", Unknown, "its container does not run"),
                ("login", Unknown, "its container does not run"),
                ("port", Unknown, "its container does not run"),
                ("certificate", Holds, ""),
            ],
        );
        let start = Remedy::silent(&["connect", "lace-x", "--", "true"]);
        assert_eq!(link(&stopped, "container").remedy, Some(start));
        let paused = scene.look(&registry, vec![one("c", "paused")]);
        assert_eq!(
            link(&paused, "container").remedy.as_ref().unwrap().shown(),
            "docker unpause c-name"
        );
        let none = scene.look(&registry, Vec::new());
        are(
            &none,
            &[
                ("container", Breaks, "has no container"),
                ("route", Unknown, "it has no container"),
            ],
        );
        let two = scene.look(&registry, vec![one("c", "running"), one("d", "running")]);
        are(
            &two,
            &[
                ("container", Breaks, "several running containers"),
                ("feature", Unknown, "several containers of it run"),
            ],
        );
        // One that is only named like it: it is looked at by nobody, and ssh has it prove itself.
        let mut like = one("c", "running");
        let elsewhere = "/elsewhere/.config/lace/ssh/trust/x";
        like["Mounts"] = json!([{ "Source": elsewhere, "Destination": contract::MOUNT_TARGET }]);
        let links = scene.look(&registry, vec![like]);
        are(
            &links,
            &[
                ("container", Warns, elsewhere),
                ("clock", Unknown, "no container is certainly its own"),
                ("login", Holds, ""),
            ],
        );
        // Nobody tells.
        let (app, settings) = (scene.app(), Settings::default());
        fs::remove_file(scene.home.path().join("engine.sock")).unwrap();
        let patient = Patient::of(&app, &settings, &registry, "x", 0);
        let links: Vec<_> = of(&patient, false).collect();
        are(
            &links,
            &[
                ("engine", Breaks, "no engine at "),
                ("sshd", Unknown, "no engine tells where it is"),
            ],
        );
    }

    #[test]
    fn certificates_are_asked_for_where_nothing_else_opens_it() {
        let scene = Scene::new();
        scene.register();
        let app = scene.app();
        let mut ring = Ring::open(&app, "test").unwrap();
        ring.certify("x").unwrap();
        ring.registry.devcontainers.get_mut("x").unwrap().auth = Auth::Certificate;
        ring.commit().unwrap();
        let registry = ring.registry.clone();
        drop(ring);
        let looks = || scene.look(&registry, vec![scene.container("c", "running", WELL)]);
        // The program of this scene gets nobody a certificate.
        are(
            &looks(),
            &[("certificate", State::Breaks, "ssh has got none")],
        );
        // A signer may be a person, who is not disturbed for a look.
        let mut by_signer = registry.clone();
        let known = by_signer.devcontainers.get_mut("x").unwrap();
        known.signer = Some(Signer {
            principal: "{alias}".into(),
            cas: vec![registry.ca.as_ref().unwrap().public.clone()],
        });
        let links = scene.look(&by_signer, vec![scene.container("c", "running", WELL)]);
        let words = "a signer would be asked for a certificate";
        are(&links, &[("login", State::Unknown, words)]);
        crate::ca::renew(&app, &registry, "x", crate::app::now()).unwrap();
        are(
            &looks(),
            &[
                ("certificate", State::Holds, "good until "),
                ("login", State::Holds, ""),
            ],
        );
        let late = |links: &[Link]| link(links, "clock").state;
        let behind = scene.container("c", "running", &WELL.replace("NOW", "1000"));
        assert_eq!(late(&scene.look(&registry, vec![behind])), State::Breaks);
        fs::write(crate::ca::own::file(&app.store), "nonsense").unwrap();
        are(&looks(), &[("certificate", State::Breaks, "or is damaged")]);
        // One without a certificate, whose container does not run, waits for the next ssh.
        let stopped = scene.look(&registry, vec![scene.container("c", "exited", WELL)]);
        assert!(link(&stopped, "certificate").is_broken());
        assert!(Path::new(&app.store.ca()).exists());
    }
}
