//! Which engine has the container of a dev container.
//!
//! The endpoint that `initialize` saw is a first guess, for nothing tells which engine the `up` will use. So
//! all engines of this machine are asked, each once and all at the same time, and what they tell is taken
//! together: a container that runs is found wherever it is, and one that runs twice is not taken for either.
//! ssh alone, which a person waits for, asks no more than where it was the last time and where `initialize` took it
//! to be, if it runs there. What it has found elsewhere it remembers; who only looks writes nothing.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::advice::{advised, failure, hint_of};
use crate::app::App;
use crate::engine::plan::{Plan, plan};
use crate::engine::{self, Address, Container, Engine, Found, Sought, endpoint};
use crate::settings;
use crate::socket;
use crate::store::registry::DevContainer;
use crate::store::{other_ids, whereabouts};
use crate::talk::say;

/// Who takes so long to tell nothing is given up.
const LONG: Duration = Duration::from_secs(4);

/// Where a dev container is.
pub struct Place {
    /// The engine that has its container; where there is none, the likeliest.
    pub engine: Engine,
    /// What there is, among all engines.
    pub found: Found,
}

/// Engines that were asked, each once.
pub struct Engines<'a> {
    app: &'a App<'a>,
    sockets: Vec<String>,
    named: Vec<String>,
    /// Why the settings do not tell which are named.
    trouble: Option<Trouble>,
    answers: HashMap<String, Answer>,
}

/// What an engine tells; nothing, where none listens at a socket that nobody has named.
type Answer = std::result::Result<Option<(Engine, Vec<Container>)>, Trouble>;

/// An error that may be told more than once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Trouble {
    message: String,
    hint: Option<String>,
}

impl Trouble {
    fn of(error: &anyhow::Error) -> Self {
        Self {
            message: format!("{error:#}"),
            hint: hint_of(error).map(str::to_owned),
        }
    }

    /// As one that is told.
    pub fn into_error(self) -> anyhow::Error {
        advised(self.message, self.hint)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The engine for ssh, which a person waits for; what is found elsewhere than it was is remembered.
///
/// # Errors
/// No engine can be asked that may have it, or several have one that runs.
pub fn for_ssh(app: &App, id: &str, known: &DevContainer) -> Result<Engine> {
    let mut engines = Engines::of(app);
    let plan = engines.plan(id, &known.endpoint);
    let engine = match engines.likeliest(id, known, &plan) {
        Some(engine) => engine,
        None => engines.only(id, known)?.engine,
    };
    if !is_first(&engine, &plan)
        && let Err(error) = whereabouts::write(&app.store, id, &known.endpoint, engine.address())
    {
        // The next search takes longer, and no more.
        say(format!("{error:#}"));
    }
    Ok(engine)
}

/// What the container of a dev container is known by.
pub fn sought(app: &App, id: &str, known: &DevContainer) -> Sought {
    let adopted = known.adopted.as_ref().map(|adopted| engine::Adopted {
        container: adopted.container.clone(),
        made_from: adopted
            .workspace
            .as_ref()
            .map(|it| (it.folder.clone(), it.config_file.clone())),
    });
    Sought {
        trust: trust(app, id, &known.other_ids),
        adopted,
    }
}

/// Which of several is meant, nobody can tell.
pub fn several(engine: &Engine, alias: &str, containers: &[Container]) -> anyhow::Error {
    // One that no CLI has made is less likely the one that is meant.
    let foreign = containers.iter().rev().find(|it| it.labelled.is_none());
    let other = foreign.or(containers.last());
    let other = other.map(|it| it.name.as_str());
    failure(
        format!(
            "several running containers have the trust folder of {alias} mounted: {}",
            engine::names(containers)
        ),
        format!(
            "stop all but one: {} stop {}",
            engine.command(),
            other.unwrap_or_default()
        ),
    )
}

/// Its trust folder, under each of its IDs.
fn trust(app: &App, id: &str, other_ids: &[String]) -> Vec<PathBuf> {
    let ids = std::iter::once(id).chain(other_ids.iter().map(String::as_str));
    ids.map(|id| app.store.trust(id)).collect()
}

/// Where it is, for whoever looks.
///
/// # Errors
/// As [`for_ssh`].
pub fn for_a_look(app: &App, id: &str, known: &DevContainer) -> Result<Place> {
    Engines::of(app).only(id, known)
}

fn is_first(engine: &Engine, plan: &Plan) -> bool {
    let first = plan.here.first().or(plan.elsewhere.first());
    first.is_some_and(|first| first == engine.address())
}

impl<'a> Engines<'a> {
    /// None of them is asked yet.
    pub fn of(app: &'a App<'a>) -> Self {
        let (named, trouble) = match settings::read(&app.store) {
            Ok(settings) => (settings.engines, None),
            Err(error) => (Vec::new(), Some(Trouble::of(&error))),
        };
        let certified = |it: &String| endpoint::certified(app.environment, it);
        Self {
            app,
            sockets: endpoint::sockets(app.environment),
            named: named.iter().map(certified).collect(),
            trouble,
            answers: HashMap::new(),
        }
    }

    /// Where the container of a dev container is.
    ///
    /// # Errors
    /// It is at none that has told, and another that may have it has not.
    pub fn place(&mut self, id: &str, known: &DevContainer) -> std::result::Result<Place, Trouble> {
        self.find(id, &known.endpoint, &sought(self.app, id, known))
    }

    /// Where a container is that has the trust folder of `id`, or of another ID of it, mounted, of which `initialize` saw
    /// the engine at `guess`.
    ///
    /// # Errors
    /// As [`Engines::place`].
    pub fn wired(&mut self, id: &str, guess: &str) -> std::result::Result<Place, Trouble> {
        let sought = Sought {
            trust: trust(self.app, id, &other_ids::of(&self.app.store, id)),
            adopted: None,
        };
        self.find(id, guess, &sought)
    }

    fn find(
        &mut self,
        id: &str,
        guess: &str,
        sought: &Sought,
    ) -> std::result::Result<Place, Trouble> {
        let plan = self.plan(id, guess);
        self.ask(&plan.here, guess);
        let mut found = self.found(&plan.here, sought);
        let mut asked = plan.here.clone();
        if matches!(found, Found::None | Found::Unproven(_)) {
            self.ask(&plan.elsewhere, guess);
            asked.extend(plan.elsewhere.iter().cloned());
            found = self.found(&asked, sought);
        }
        match &found {
            Found::None => self.is_certain(&plan, &asked)?,
            Found::One(one) if one.runs() => (),
            Found::Several(_) => (),
            // It may run where it was, or was taken to be.
            Found::One(_) | Found::Unproven(_) => self.have_told(&self.known(id, guess))?,
        }
        let has = |engine: &&Engine| match &found {
            Found::None => true,
            Found::One(one) => engine.has(one),
            Found::Several(all) | Found::Unproven(all) => {
                all.first().is_some_and(|it| engine.has(it))
            }
        };
        let told = asked.iter().filter_map(|it| self.told(it));
        let engine = told.map(|(engine, _)| engine).find(has);
        let engine = engine
            .cloned()
            .ok_or_else(|| Trouble::of(&anyhow!("no engine is known")))?;
        let found = found.map(|it| engine.with_contract(it));
        Ok(Place { engine, found })
    }

    /// All containers of the engines of this machine and, with `elsewhere`, of those that the settings name.
    ///
    /// # Errors
    /// None of them has told: why, of the first that was expected to.
    pub fn all(
        &mut self,
        elsewhere: bool,
    ) -> std::result::Result<Vec<(Engine, Container)>, Trouble> {
        let guess = endpoint::endpoint(self.app.environment);
        let guess = guess.map_err(|error| Trouble::of(&error))?;
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let plan = plan(&[&guess], &self.sockets, &self.named, real);
        let mut asked = plan.here;
        if elsewhere {
            asked.extend(plan.elsewhere);
        }
        self.ask(&asked, &guess);
        let told: Vec<_> = asked.iter().filter_map(|it| self.told(it)).collect();
        if told.is_empty() {
            self.have_told(&asked)?;
        }
        let mut all: Vec<(Engine, Container)> = Vec::new();
        for (engine, containers) in told {
            // Two ways to one engine.
            let is_new = |it: &&Container| !all.iter().any(|(_, known)| known.id == it.id);
            let new: Vec<_> = containers.iter().filter(is_new).cloned().collect();
            all.extend(new.into_iter().map(|it| (engine.clone(), it)));
        }
        Ok(all)
    }

    /// Where a dev container is that does not run at several.
    fn only(&mut self, id: &str, known: &DevContainer) -> Result<Place> {
        let place = match self.alone(id, known) {
            Some(place) => place,
            None => self.place(id, known).map_err(Trouble::into_error)?,
        };
        match &place.found {
            Found::Several(all) => Err(several(&place.engine, &known.alias, all)),
            _ => Ok(place),
        }
    }

    fn plan(&self, id: &str, guess: &str) -> Plan {
        let known = self.known(id, guess);
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        plan(&known, &self.sockets, &self.named, real)
    }

    /// Where it was found the last time, and where `initialize` took it to be.
    fn known(&self, id: &str, guess: &str) -> Vec<String> {
        let remembered = whereabouts::read(&self.app.store, id, guess);
        let guess = endpoint::certified(self.app.environment, guess);
        remembered.into_iter().chain([guess]).collect()
    }

    /// The engine at which the container runs, among those that are known to have, or to have had it; or the only
    /// one there is.
    fn likeliest(&mut self, id: &str, known: &DevContainer, plan: &Plan) -> Option<Engine> {
        let sought = sought(self.app, id, known);
        let all: Vec<_> = plan.here.iter().chain(&plan.elsewhere).collect();
        let known = self.known(id, &known.endpoint).into_iter();
        let known = known.filter(|it| all.contains(&it));
        let named = |it: String| Engine::named(&it, &self.named);
        let mut engines =
            known.filter_map(|it| Some(named(it).ok()?.seen_from(self.app.environment)));
        if all.len() == 1 {
            return engines.next();
        }
        let first = engines.next()?;
        // It is quicker to ask another one here than to open the wrong one of two.
        let mut asked: Vec<_> = engines.filter(Engine::is_here).collect();
        asked.insert(0, first);
        let mut told = Vec::new();
        for engine in &asked {
            let begun = Instant::now();
            match engine.likely(&sought) {
                Ok(containers) => told.push(engine::found(&containers, &sought)),
                Err(error) => self.gave_up(engine.address(), Trouble::of(&error), begun),
            }
        }
        match engine::across(told) {
            Found::One(one) if one.runs() => asked.into_iter().find(|engine| engine.has(&one)),
            _ => None,
        }
    }

    /// Where it runs, if all engines of this machine tell when they are asked for this one alone: among many, that is answered
    /// sooner than a list of all. None: a list has to tell.
    fn alone(&mut self, id: &str, known: &DevContainer) -> Option<Place> {
        let (plan, sought) = (self.plan(id, &known.endpoint), sought(self.app, id, known));
        if plan.here.iter().any(|it| self.answers.contains_key(it)) {
            return None;
        }
        let likely = |engine: &Engine| engine.likely(&sought);
        let begun = Instant::now();
        let (mut told, mut have_all) = (Vec::new(), true);
        for (endpoint, answer) in self.answers(plan.here.iter(), &known.endpoint, &likely) {
            match answer {
                Ok(answer) => told.extend(answer),
                Err(trouble) => {
                    have_all = false;
                    self.gave_up(&endpoint, trouble, begun);
                }
            }
        }
        if !have_all {
            return None;
        }
        let found = told.iter().map(|(_, it)| engine::found(it, &sought));
        let found = engine::across(found);
        let one = match &found {
            Found::One(one) if one.runs() => one,
            Found::Several(all) => all.first()?,
            _ => return None,
        };
        let engine = told.iter().map(|(engine, _)| engine).find(|it| it.has(one));
        let engine = engine?.clone();
        let found = found.map(|it| engine.with_contract(it));
        Some(Place { engine, found })
    }

    /// What has taken so long is not asked again: it would again.
    fn gave_up(&mut self, endpoint: &str, trouble: Trouble, begun: Instant) {
        if begun.elapsed() >= LONG {
            self.answers.insert(endpoint.to_owned(), Err(trouble));
        }
    }

    /// Asks those that were not asked yet.
    fn ask(&mut self, endpoints: &[String], guess: &str) {
        let new = endpoints
            .iter()
            .filter(|it| !self.answers.contains_key(*it));
        let answers = self.answers(new, guess, &Engine::containers);
        self.answers.extend(answers);
    }

    /// What these engines tell, all at the same time.
    fn answers<'e>(
        &self,
        endpoints: impl Iterator<Item = &'e String>,
        guess: &str,
        list: &(dyn Fn(&Engine) -> Result<Vec<Container>> + Sync),
    ) -> Vec<(String, Answer)> {
        let named = &self.named;
        let is_named = |it: &String| it == guess || named.contains(it);
        thread::scope(|scope| {
            let asked: Vec<_> = endpoints
                .map(|it| {
                    let is_named = is_named(it);
                    (
                        it.clone(),
                        scope.spawn(move || ask(it, is_named, named, list)),
                    )
                })
                .collect();
            let fell_over = |_| Err(Trouble::of(&anyhow!("the question fell over")));
            let environment = self.app.environment;
            let seen = |(engine, found): (Engine, _)| (engine.seen_from(environment), found);
            let answered = asked.into_iter();
            let answer = |told: ScopedJoinHandle<'_, Answer>| {
                Ok(told.join().unwrap_or_else(fell_over)?.map(seen))
            };
            answered.map(|(it, told)| (it, answer(told))).collect()
        })
    }

    /// Where those are that have told, among all that were asked.
    pub fn answered(&self) -> Vec<String> {
        let mut answered: Vec<_> = self
            .answers
            .iter()
            .filter(|(_, answer)| matches!(answer, Ok(Some(_))))
            .map(|(endpoint, _)| endpoint.clone())
            .collect();
        answered.sort();
        answered
    }

    fn told(&self, endpoint: &str) -> Option<&(Engine, Vec<Container>)> {
        self.answers.get(endpoint)?.as_ref().ok()?.as_ref()
    }

    fn found(&self, endpoints: &[String], sought: &Sought) -> Found {
        let told = endpoints.iter().filter_map(|it| self.told(it));
        engine::across(told.map(|(_, containers)| engine::found(containers, sought)))
    }

    /// None of these was asked in vain.
    fn have_told(&self, endpoints: &[String]) -> std::result::Result<(), Trouble> {
        let mut answers = endpoints.iter().filter_map(|it| self.answers.get(it));
        match answers.find_map(|it| it.as_ref().err()) {
            Some(trouble) => Err(trouble.clone()),
            None => Ok(()),
        }
    }

    /// That there is no container is certain only where everybody has told who may have it.
    fn is_certain(&self, plan: &Plan, asked: &[String]) -> std::result::Result<(), Trouble> {
        self.have_told(asked)?;
        match (&plan.refused, &self.trouble) {
            (Some(_), Some(trouble)) => Err(trouble.clone()),
            (Some(refused), None) => match Engine::named(refused, &self.named) {
                Ok(_) => Ok(()),
                Err(error) => Err(Trouble::of(&error)),
            },
            (None, _) => Ok(()),
        }
    }
}

fn ask(
    endpoint: &str,
    is_named: bool,
    named: &[String],
    list: &dyn Fn(&Engine) -> Result<Vec<Container>>,
) -> Answer {
    if !is_named && !listens(endpoint) {
        return Ok(None);
    }
    let ask = || -> Result<_> {
        let engine = Engine::named(endpoint, named)?;
        let containers = list(&engine)?;
        Ok(Some((engine, containers)))
    };
    ask().map_err(|error| Trouble::of(&error))
}

/// What an engine has left, or what is not for us, is no engine.
fn listens(endpoint: &str) -> bool {
    match Address::parse(endpoint) {
        Ok(Address::Unix(path)) => match socket::connect(&path) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
        },
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use serde_json::Value;

    use super::*;
    use crate::engine::example;
    use crate::environment::Environment;

    /// A user, and the engines of his machine by name: each listens at a socket of its own.
    struct Machine {
        home: tempfile::TempDir,
        environment: Environment,
    }

    impl Machine {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            let environment = Environment {
                docker_host: None,
                ..Environment::example(home.path())
            };
            let machine = Self { home, environment };
            machine.app().store.prepare().unwrap();
            machine
        }

        fn app(&self) -> App<'_> {
            App::new(&self.environment)
        }

        /// Docker's and Podman's well-known sockets.
        fn socket(&self, name: &str) -> PathBuf {
            self.home.path().join(match name {
                "docker" => "run/docker.sock",
                "podman" => "run/user/podman/podman.sock",
                other => other,
            })
        }

        fn endpoint(&self, name: &str) -> String {
            format!("unix://{}", self.socket(name).display())
        }

        /// Each container is its ID, its state and the dev container that it is of.
        fn engine(&self, name: &str, containers: &[(&str, &str, &str)]) -> String {
            let socket = self.socket(name);
            fs::create_dir_all(socket.parent().unwrap()).unwrap();
            let folder = self.home.path().join(name.replace('/', "-") + "-engine");
            fs::create_dir_all(&folder).unwrap();
            let store = self.app().store;
            let of = |(id, state, of): &(&str, &str, &str)| -> Value {
                example::container(id, state, &store.trust(of), 7)
            };
            example::engine(&folder, containers.iter().map(of).collect());
            fs::rename(folder.join("engine.sock"), &socket).unwrap();
            self.endpoint(name)
        }

        fn name(&self, settings: &str) {
            fs::write(self.app().store.settings(), settings).unwrap();
        }
    }

    fn told(place: std::result::Result<Place, Trouble>) -> String {
        match place {
            Err(trouble) => format!("error: {trouble}"),
            Ok(Place { engine, found }) => {
                let file = engine.address().rsplit('/').next().unwrap().to_owned();
                let found = match found {
                    Found::None => "none".to_owned(),
                    Found::One(one) => format!("{} {}", one.id, one.state),
                    Found::Several(all) | Found::Unproven(all) => all.len().to_string(),
                };
                format!("{found} at {file}")
            }
        }
    }

    #[test]
    fn an_engine_that_hangs_is_waited_for_once() {
        let machine = Machine::new();
        let docker = machine.engine("docker", &[]);
        let socket = machine.socket("podman");
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let hangs = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let app = machine.app();
        for (guess, is_likeliest) in [(docker, true), (machine.endpoint("podman"), false)] {
            let known = DevContainer {
                endpoint: guess,
                ..DevContainer::example("lace-x", "k")
            };
            let error = match is_likeliest {
                true => for_ssh(&app, "x", &known).map(drop),
                false => for_a_look(&app, "x", &known).map(drop),
            };
            let error = format!("{:#}", error.unwrap_err());
            assert!(error.contains("podman.sock"), "{error}");
            // A connection that says nothing was to see whether somebody listens.
            hangs.set_nonblocking(true).unwrap();
            let came = std::iter::from_fn(|| hangs.accept().ok());
            let asked = came.filter(|(stream, _)| {
                let mut stream = stream;
                stream.set_nonblocking(true).unwrap();
                std::io::Read::read(&mut stream, &mut [0]).is_ok_and(|read| read > 0)
            });
            assert_eq!(asked.count(), 1);
        }
    }

    #[test]
    fn a_dev_container_is_found_at_whichever_engine_of_this_machine_has_it() {
        let machine = Machine::new();
        let docker = machine.engine(
            "docker",
            &[
                ("d", "running", "x"),
                ("s", "exited", "y"),
                ("v", "running", "v"),
            ],
        );
        let podman = machine.engine(
            "podman",
            &[
                ("p", "running", "y"),
                ("q", "exited", "x"),
                ("w", "running", "v"),
                ("z", "paused", "z"),
            ],
        );
        let app = machine.app();
        let mut engines = Engines::of(&app);
        for (id, guess, expected) in [
            ("x", &docker, "d running at docker.sock"),
            ("x", &podman, "d running at docker.sock"),
            ("y", &docker, "p running at podman.sock"),
            ("z", &docker, "z paused at podman.sock"),
            ("v", &docker, "2 at docker.sock"),
            ("v", &podman, "2 at podman.sock"),
            ("n", &docker, "none at docker.sock"),
            ("n", &podman, "none at podman.sock"),
        ] {
            assert_eq!(told(engines.wired(id, guess)), expected, "{id}");
        }
        let known = |endpoint: &str| DevContainer {
            endpoint: endpoint.into(),
            ..DevContainer::example("lace-x", "k")
        };
        let error = engines
            .only("v", &known(&docker))
            .map(|_| ())
            .unwrap_err()
            .to_string();
        let both = format!("v-name at {docker}, w-name at {podman}");
        assert!(
            error.ends_with(&format!("of lace-x mounted: {both}")),
            "{error}"
        );
        assert_eq!(
            engines.only("y", &known(&docker)).unwrap().engine.address(),
            podman
        );
        // One that is found is found, whoever else is silent.
        let gone = machine.endpoint("gone");
        assert_eq!(told(engines.wired("y", &gone)), "p running at podman.sock");
        // One that is stopped may run where it was.
        let error = told(engines.wired("z", &gone));
        assert!(error.starts_with("error: no engine at "), "{error}");
        whereabouts::write(&app.store, "z", &docker, &gone).unwrap();
        assert_eq!(told(engines.wired("z", &docker)), error);
        assert_eq!(told(engines.wired("z", &podman)), "z paused at podman.sock");
        let error = told(engines.wired("n", &gone));
        assert_eq!(
            error,
            format!("error: no engine at {gone}: there is no such socket")
        );
    }

    #[test]
    fn what_is_left_of_an_engine_is_none_unless_it_was_named() {
        let machine = Machine::new();
        let docker = machine.engine("docker", &[]);
        let left = machine.socket("podman");
        fs::create_dir_all(left.parent().unwrap()).unwrap();
        drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
        let app = machine.app();
        let podman = machine.endpoint("podman");
        assert_eq!(
            told(Engines::of(&app).wired("x", &docker)),
            "none at docker.sock"
        );
        let error = told(Engines::of(&app).wired("x", &podman));
        assert!(
            error.starts_with("error: cannot reach the engine at unix://"),
            "{error}"
        );
        machine.name(&format!("{{ \"engines\": [\"{podman}\"] }}"));
        let error = told(Engines::of(&app).wired("x", &docker));
        assert!(error.contains("podman.sock: Connection refused"), "{error}");
    }

    #[test]
    fn an_engine_that_listens_in_an_odd_place_is_asked_where_the_settings_name_it() {
        let machine = Machine::new();
        let docker = machine.engine("docker", &[]);
        let own = machine.engine("own.sock", &[("o", "running", "x")]);
        let app = machine.app();
        assert_eq!(
            told(Engines::of(&app).wired("x", &docker)),
            "none at docker.sock"
        );
        machine.name(&format!("{{ \"engines\": [\"{own}\"] }}"));
        assert_eq!(
            told(Engines::of(&app).wired("x", &docker)),
            "o running at own.sock"
        );
    }

    #[test]
    fn another_machine_is_asked_only_where_it_is_named_and_none_here_has_it() {
        let machine = Machine::new();
        let docker = machine.engine("docker", &[("s", "exited", "x")]);
        let app = machine.app();
        // It is on no machine at all: whoever asks it gets an error.
        let far = "tcp://192.0.2.1:2375";
        let unnamed = "error: the engine at tcp://192.0.2.1:2375 is on another machine, and the settings do not name it";
        assert_eq!(
            told(Engines::of(&app).wired("x", far)),
            "s exited at docker.sock"
        );
        assert_eq!(told(Engines::of(&app).wired("n", far)), unnamed);
        assert_eq!(
            told(Engines::of(&app).wired("n", &docker)),
            "none at docker.sock"
        );
        machine.name("{ \"engines\": [\"tcp://192.0.2.1:2375\"] }");
        assert_eq!(
            told(Engines::of(&app).wired("x", &docker)),
            "s exited at docker.sock"
        );
        for guess in [&docker, far] {
            let asked = told(Engines::of(&app).wired("n", guess));
            assert!(
                asked.starts_with("error: the engine at tcp://192.0.2.1:2375 has no TLS"),
                "{asked}"
            );
        }
        // Half of what settings say is not taken for the whole; where they are not needed, nobody minds.
        machine.name("{ \"engines\": [");
        assert_eq!(
            told(Engines::of(&app).wired("x", far)),
            "s exited at docker.sock"
        );
        assert_eq!(
            told(Engines::of(&app).wired("n", &docker)),
            "none at docker.sock"
        );
        let trouble = told(Engines::of(&app).wired("n", far));
        assert!(trouble.contains("settings.jsonc"), "{trouble}");
    }

    #[test]
    fn ssh_goes_where_it_was_found_the_last_time_and_a_look_remembers_nothing() {
        let machine = Machine::new();
        let docker = machine.engine("docker", &[("d", "running", "x"), ("v", "running", "v")]);
        let podman = machine.engine("podman", &[("p", "running", "y"), ("w", "running", "v")]);
        let app = machine.app();
        let known = |endpoint: &str| DevContainer {
            endpoint: endpoint.into(),
            ..DevContainer::example("lace-x", "k")
        };
        let at = |engine: Result<Engine>| engine.unwrap().address().to_owned();
        assert_eq!(
            at(for_a_look(&app, "y", &known(&docker)).map(|it| it.engine)),
            podman
        );
        assert!(!app.store.engines().exists());
        assert_eq!(at(for_ssh(&app, "x", &known(&docker))), docker);
        assert!(!app.store.engines().exists(), "it is where it was");
        assert_eq!(at(for_ssh(&app, "y", &known(&docker))), podman);
        let remembered = |id: &str| whereabouts::read(&app.store, id, &docker);
        assert_eq!(
            (remembered("y"), remembered("x")),
            (Some(podman.clone()), None)
        );
        // Now it is asked first, whoever else is there.
        fs::remove_file(machine.socket("docker")).unwrap();
        assert_eq!(at(for_ssh(&app, "y", &known(&docker))), podman);
        let several = |engine: Result<Engine>| {
            let error = engine.map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with("several running"), "{error}");
        };
        let third = machine.engine("run/user/docker.sock", &[("t", "running", "y")]);
        assert_eq!(at(for_ssh(&app, "y", &known(&docker))), podman);
        several(for_a_look(&app, "y", &known(&docker)).map(|it| it.engine));
        assert_eq!(at(for_ssh(&app, "y", &known(&third))), third);
        fs::remove_file(machine.socket("run/user/docker.sock")).unwrap();
        machine.engine("docker", &[("d", "running", "y")]);
        several(for_ssh(&app, "y", &known(&docker)));
        several(for_a_look(&app, "y", &known(&docker)).map(|it| it.engine));
        // It has moved.
        fs::remove_file(machine.socket("podman")).unwrap();
        machine.engine("podman", &[]);
        assert_eq!(at(for_ssh(&app, "y", &known(&docker))), docker);
        assert_eq!(remembered("y"), Some(docker.clone()));
    }

    #[test]
    fn where_there_is_one_engine_nothing_is_asked_before_it_is_needed() {
        let machine = Machine::new();
        let socket = machine.socket("docker");
        fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let docker = machine.endpoint("docker");
        let known = DevContainer {
            endpoint: docker.clone(),
            ..DevContainer::example("lace-x", "k")
        };
        let app = machine.app();
        assert_eq!(for_ssh(&app, "x", &known).unwrap().address(), docker);
        assert!(listener.accept().is_err(), "it was asked");
    }
}
