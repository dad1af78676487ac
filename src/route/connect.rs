//! Waiting for sshd: a connection on which it has said what it is.
//!
//! Every route is tried, the quicker one a little ahead, and the first on which sshd speaks is taken.
//! A connection is kept as long as there is patience, for a loaded or emulated machine needs longer
//! than a moment for its first bytes; meanwhile the engine is asked again whether the way is still the
//! same.

use std::io::{Error, ErrorKind};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use rustix::net::{RecvFlags, recv};
use socket2::{Domain, Socket, Type};

use super::adopted;
use super::hand_over;
use super::routes::Route;
use super::stream::Pump;
use super::user;
use super::way::{Way, way};
use crate::advice::{advised, failure, shell};
use crate::app::App;
use crate::bell;
use crate::engine::{Container, Engine};
use crate::socket;
use crate::store::registry::DevContainer;
use crate::talk::say;
use crate::trust;

/// How long a container may take to come up, and sshd to say all of its greeting.
const PATIENCE: Duration = Duration::from_secs(15);
/// As many times as long an engine may take for a stream: it starts many at once one after the other, and says what it
/// does not do.
const STREAM_TIMES: u32 = 4;
/// After this long the user is told what we wait for.
const QUIET: Duration = Duration::from_secs(1);
/// How far a route is ahead of the next one.
const HEAD_START: Duration = Duration::from_millis(30);
/// How long is waited where nobody listens.
const PAUSE: Duration = Duration::from_millis(100);
/// How long is waited for the next piece of what a stream of the engine says.
const MOMENT: Duration = Duration::from_millis(10);
/// ssh and sshd set `TCP_NODELAY` late or never, and then a small packet waits until the one before is
/// acknowledged: after 40 ms, were it not for this. Two ticks of the clock are the least that the kernel
/// takes.
const ACKNOWLEDGE: i32 = 8_000;
/// How the Feature says what stops it.
const OURS: &str = "lace-ssh: error: ";
/// As much as ssh reads before it gives up.
const GREETING: usize = 8 * 1024;

/// A connection on which sshd has said what it is.
///
/// The engine's own forwarder accepts before sshd listens, and then hangs up; so an accepted
/// connection means nothing until the greeting is there. It is looked at, not taken. ssh would wait for
/// the rest of one for ever. Where whoever asked has gone, there is nothing more to wait for.
pub fn connect(
    app: &App,
    engine: &Engine,
    id: &str,
    devcontainer: &DevContainer,
) -> Result<Socket> {
    within(PATIENCE, app, engine, id, devcontainer)
}

fn within(
    patience: Duration,
    app: &App,
    engine: &Engine,
    id: &str,
    devcontainer: &DevContainer,
) -> Result<Socket> {
    let alias = &devcontainer.alias;
    let pump = Pump {
        program: app.environment.program.clone(),
        id: id.to_owned(),
        alias: alias.clone(),
        endpoint: engine.address().to_owned(),
    };
    let mut race = Race::of(patience, pump);
    let mut told = false;
    loop {
        let way = way(app, engine, id, devcontainer)?;
        if race.is_over() || race.is_lost(&way.routes) {
            let told = race.told(&way.routes[0]);
            let hint = see_why(engine, &told, &way.container);
            return Err(advised(format!("sshd of {alias} {told}"), hint));
        }
        if race.under_way.is_empty() && way.routes[0].address().is_some() {
            // Where nobody waits, ssh tells no more than that it was denied.
            let _ = bell::ask_what_bars(&app.store.trust(id), &way.container.id, alias);
        }
        if let Some(stream) = race.run(&way.routes) {
            check_user(app, devcontainer, &way)?;
            return Ok(stream);
        }
        if hand_over::caller_is_gone() {
            return Err(anyhow!("nobody waits for {alias} any more"));
        }
        let is_late = race.start.elapsed() >= QUIET;
        if is_late && !std::mem::replace(&mut told, true) && hand_over::is_heard() {
            say(format!("waiting for sshd of {alias} {}", way.routes[0]));
        }
        if race.under_way.is_empty() {
            thread::sleep(PAUSE);
        }
    }
}

fn see_why(engine: &Engine, told: &str, container: &Container) -> Option<String> {
    let (command, name) = (engine.command(), &container.name);
    match container.is_adopted {
        // It has no log; what it says is all.
        true => told.contains(adopted::NO_SSHD).then(|| {
            let name = shell(Path::new(name));
            format!("to have it installed there: lace-ssh adopt --container {name} --install")
        }),
        false => Some(format!("see why: {command} exec {name} cat {}", trust::LOG)),
    }
}

/// The remote user may have changed with a new container: then this connection would be refused. Where
/// it is not the dev container that says so, ssh will refuse the connection.
fn check_user(app: &App, devcontainer: &DevContainer, way: &Way) -> Result<()> {
    match (&way.container.remote_user, user::known(app, devcontainer)) {
        (Some(now), Some(known))
            if *now != known && !devcontainer.user_chosen && way.is_ours(app, devcontainer)? =>
        {
            user::learn(app, devcontainer, now)?;
            let message = format!(
                "the remote user of {} is {now} now, no longer {known}",
                devcontainer.alias
            );
            Err(failure(message, "this is written down; run ssh again"))
        }
        _ => Ok(()),
    }
}

/// Connections that are waited for, each in a thread of its own.
struct Race {
    start: Instant,
    /// How long sshd is waited for where the network leads there.
    patience: Duration,
    /// What starts an exec stream.
    pump: Pump,
    /// How far a route is ahead of the next one.
    head_start: Duration,
    /// How long all of them are waited for at a time.
    quiet: Duration,
    arrive: Sender<(Route, Result<Socket, Trouble>)>,
    arrived: Receiver<(Route, Result<Socket, Trouble>)>,
    under_way: Vec<Route>,
    /// What went wrong last, and where.
    trouble: Option<(Route, Trouble)>,
}

/// What came instead of a greeting.
#[derive(Debug)]
enum Trouble {
    /// Nothing, or nothing that is one.
    Nothing(Error),
    /// Something else, and then the end.
    Says(String),
}

impl<E: Into<Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Nothing(error.into())
    }
}

impl Race {
    fn of(patience: Duration, pump: Pump) -> Self {
        let (arrive, arrived) = channel();
        Self {
            start: Instant::now(),
            patience,
            pump,
            head_start: HEAD_START,
            quiet: QUIET,
            arrive,
            arrived,
            under_way: Vec::new(),
            trouble: None,
        }
    }

    /// Starts those routes that are not under way, and waits for a while.
    fn run(&mut self, routes: &[Route]) -> Option<Socket> {
        for (index, route) in routes.iter().enumerate() {
            let is_its_turn = index == 0 || route.address().is_some();
            let may_start = is_its_turn || self.start.elapsed() >= self.quiet;
            if may_start && !self.under_way.contains(route) && !self.has_told(route) {
                self.start(route);
                if let Some(stream) = self.first(self.head_start) {
                    return Some(stream);
                }
            }
        }
        self.first(self.quiet)
    }

    fn start(&mut self, route: &Route) {
        let deadline = self.start + times(route) * self.patience;
        // What went wrong before says more than that there is no time left.
        if left(deadline).is_err() {
            return;
        }
        self.under_way.push(route.clone());
        let (route, arrive) = (route.clone(), self.arrive.clone());
        let pump = self.pump.clone();
        thread::spawn(move || {
            let result = greeted(&route, &pump, deadline);
            // Nobody waits for it any more where another was first.
            let _ = arrive.send((route, result));
        });
    }

    /// The first connection that arrives, unless this takes too long or all have failed.
    fn first(&mut self, patience: Duration) -> Option<Socket> {
        let until = Instant::now() + patience;
        while !self.under_way.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            let (route, result) = self.arrived.recv_timeout(left).ok()?;
            self.under_way.retain(|it| *it != route);
            match result {
                Ok(stream) => return Some(stream),
                // What an exec stream has told is not forgotten for a port where nobody listens.
                Err(_) if matches!(&self.trouble, Some((route, _)) if self.has_told(route)) => {}
                Err(trouble) => self.trouble = Some((route, trouble)),
            }
        }
        None
    }

    /// Time is up, and no stream that may take longer is under way.
    fn is_over(&self) -> bool {
        let is_stream = |route: &Route| route.address().is_none();
        self.start.elapsed() >= self.patience && !self.under_way.iter().any(is_stream)
    }

    /// This is an exec stream, and the one who was to start sshd has told why he does not: he would again.
    fn has_told(&self, route: &Route) -> bool {
        let is_stream = route.address().is_none();
        is_stream && matches!(&self.trouble, Some((of, Trouble::Says(_))) if of == route)
    }

    /// No way is left. What the Feature says of its sshd holds for the one that listens, too, where nobody does.
    fn is_lost(&self, routes: &[Route]) -> bool {
        let is_ours =
            matches!(&self.trouble, Some((_, Trouble::Says(line))) if line.contains(OURS));
        let speaks_for_all = is_ours && self.under_way.is_empty();
        match speaks_for_all {
            true => routes.iter().any(|route| self.has_told(route)),
            false => routes.iter().all(|route| self.has_told(route)),
        }
    }

    /// What went wrong, where nothing better is known at this route.
    fn told(&self, route: &Route) -> String {
        let silence = Trouble::from(ErrorKind::TimedOut);
        let (route, trouble) = match &self.trouble {
            Some((route, trouble)) => (route, trouble),
            None => (route, &silence),
        };
        match trouble {
            // The beginning of a greeting is no reason.
            Trouble::Says(line) if route.address().is_none() && !line.starts_with("SSH-") => {
                format!("does not start: {}", line.trim_start_matches(OURS))
            }
            _ => format!("does not answer {route}: {}", in_words(trouble, route)),
        }
    }
}

fn times(route: &Route) -> u32 {
    if route.address().is_some() {
        1
    } else {
        STREAM_TIMES
    }
}

fn in_words(trouble: &Trouble, route: &Route) -> String {
    match trouble {
        Trouble::Says(line) => format!("it says {line:?} and hangs up"),
        Trouble::Nothing(error) => match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                let patience = times(route) * PATIENCE;
                format!("it says nothing for {} s", patience.as_secs())
            }
            ErrorKind::ConnectionReset => "it hangs up".to_owned(),
            _ => error.to_string(),
        },
    }
}

/// A connection on which the whole greeting has arrived.
fn greeted(route: &Route, pump: &Pump, deadline: Instant) -> Result<Socket, Trouble> {
    let stream = open(route, pump, left(deadline)?)?;
    let mut said = [0; GREETING];
    let mut length = 0;
    loop {
        stream.set_read_timeout(Some(left(deadline).map_err(|error| slow(length, error))?))?;
        // Waits for one more byte than there was; at a socket pair, as long as there was none.
        let more = &mut said[..=length];
        let (seen, _) = match recv(&stream, more, RecvFlags::PEEK | RecvFlags::WAITALL) {
            Err(rustix::io::Errno::INTR) => continue,
            answer => answer.map_err(|error| slow(length, error.into()))?,
        };
        if seen <= length && left(deadline).is_ok() {
            if route.address().is_none() && !has_hung_up(&stream) {
                continue;
            }
            return Err(match said[..length].split(|byte| *byte == b'\n').next() {
                Some(line) if !line.is_empty() => {
                    Trouble::Says(String::from_utf8_lossy(line).trim_end().to_owned())
                }
                _ => ErrorKind::ConnectionReset.into(),
            });
        }
        (length, _) = recv(&stream, &mut said[..], RecvFlags::PEEK).map_err(Error::from)?;
        if is_greeting(&said[..length]) {
            stream.set_read_timeout(None)?;
            return Ok(stream);
        }
        if length == GREETING {
            return Err(Error::other("it does not speak SSH").into());
        }
    }
}

/// Nobody is left at the other end of a socket pair; for a moment it is waited for that.
fn has_hung_up(stream: &Socket) -> bool {
    socket::is_left_alone(stream, Some(MOMENT))
}

/// There may be other lines before the one that counts.
fn is_greeting(said: &[u8]) -> bool {
    said.split_inclusive(|byte| *byte == b'\n')
        .any(|line| line.starts_with(b"SSH-") && line.ends_with(b"\n"))
}

/// Time is up: before it said anything, or before it came to an end.
fn slow(length: usize, error: Error) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut if length > 0 => {
            Error::other("its greeting does not come to an end")
        }
        _ => error,
    }
}

fn left(deadline: Instant) -> Result<Duration, Error> {
    let left = deadline.saturating_duration_since(Instant::now());
    (!left.is_zero())
        .then_some(left)
        .ok_or_else(|| ErrorKind::TimedOut.into())
}

fn open(route: &Route, pump: &Pump, patience: Duration) -> Result<Socket, Error> {
    let address = match route {
        Route::Bridge { address, .. } | Route::Published(address) => *address,
        Route::Mount { folder, container } => {
            return pump.start(container, &["--mount".as_ref(), folder.as_ref()]);
        }
        Route::Exec { container } => return pump.start(container, &[]),
        Route::Adopted { container } => return pump.start(container, &[pump.id.as_ref()]),
    };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if let Route::Bridge { interface, .. } = route {
        socket::bind_to(&socket, interface)?;
    }
    socket.connect_timeout(&address.into(), patience)?;
    hasten(&socket)?;
    Ok(socket)
}

/// Lets no small packet wait for another at this end of a connection.
pub(super) fn hasten(socket: &Socket) -> Result<(), Error> {
    socket.set_tcp_nodelay(true)?;
    // Without it, it takes longer.
    let _ = socket::acknowledge_within(socket, ACKNOWLEDGE);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::hint_of;
    use crate::engine::example;
    use crate::environment::Environment;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::os::unix::fs::PermissionsExt;
    use std::slice;

    /// What starts no exec stream.
    fn nothing() -> Pump {
        Pump {
            program: "/nowhere".into(),
            id: "x".into(),
            alias: "lace-x".into(),
            endpoint: "unix:///nowhere".into(),
        }
    }

    /// A listener that does this with every connection.
    fn listener(serve: impl Fn(TcpStream) + Send + 'static) -> Route {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            listener
                .incoming()
                .for_each(|stream| serve(stream.unwrap()))
        });
        Route::Published(address)
    }

    fn says(parts: &'static [&'static str], pause: Duration) -> Route {
        listener(move |mut stream| {
            for part in parts {
                thread::sleep(pause);
                let _ = stream.write_all(part.as_bytes());
            }
            // Until the other side has enough.
            if pause > Duration::ZERO {
                let _ = stream.read(&mut [0]);
            }
        })
    }

    /// Where nobody listens, and nobody else can while the socket is there.
    fn nobody() -> (Socket, Route) {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        socket.bind(&any.into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        (socket, Route::Published(address))
    }

    #[test]
    fn a_greeting_is_a_whole_line_within_its_time() {
        const SLOWLY: Duration = Duration::from_millis(10);
        // Never, or until there is an answer.
        let (short, long) = (Duration::from_millis(400), PATIENCE);
        let many: &[&str] = &["x"; 100];
        let cases = [
            (&["SSH-2.0-x\r\n"][..], SLOWLY, long, "greeted"),
            (&["S", "SH-2", ".0-x", "\r\n"], SLOWLY, long, "greeted"),
            (&["take care\r\n", "SSH-2.0-x\r\n"], SLOWLY, long, "greeted"),
            (&["SSH-2.0-x\r\n"], Duration::ZERO, long, "greeted"),
            (
                &["xSSH-2.0-x\r\n"],
                Duration::ZERO,
                long,
                "it says \"xSSH-2.0-x\" and hangs up",
            ),
            (
                &["SSH-2.0-x"],
                Duration::ZERO,
                long,
                "it says \"SSH-2.0-x\" and hangs up",
            ),
            (
                &["SSH-2.0-x"],
                SLOWLY,
                short,
                "its greeting does not come to an end",
            ),
            (many, SLOWLY, short, "its greeting does not come to an end"),
            (&[], SLOWLY, short, "it says nothing for 15 s"),
            (&[], SLOWLY, Duration::ZERO, "it says nothing for 15 s"),
            (&[], Duration::ZERO, long, "it hangs up"),
            (&["\r\n"], Duration::ZERO, long, "it says \"\" and hangs up"),
            (
                &["Exceeded MaxStartups\r\n", "x"],
                Duration::ZERO,
                long,
                "it says \"Exceeded MaxStartups\" and hangs up",
            ),
        ];
        let greeted = |route: &Route, patience| {
            let told = greeted(route, &nothing(), Instant::now() + patience);
            told.map_err(|trouble| in_words(&trouble, route))
        };
        let told = |parts, pause, patience| match greeted(&says(parts, pause), patience) {
            Ok(mut stream) => {
                assert!(stream.tcp_nodelay().unwrap());
                assert_eq!(
                    stream.read_timeout().unwrap(),
                    None,
                    "ssh waits as long as it likes"
                );
                let mut first = [0; 1];
                stream.read_exact(&mut first).unwrap();
                assert_eq!(first[0], parts[0].as_bytes()[0], "nothing is taken");
                "greeted".to_owned()
            }
            Err(told) => told,
        };
        thread::scope(|scope| {
            // All at once: some wait for nothing.
            let told = cases.map(|(parts, pause, patience, expected)| {
                (
                    scope.spawn(move || told(parts, pause, patience)),
                    parts,
                    expected,
                )
            });
            for (told, parts, expected) in told {
                assert_eq!(told.join().unwrap(), expected, "{parts:?}");
            }
        });
        let endless = listener(|mut stream| while stream.write_all(&[b'x'; 4096]).is_ok() {});
        let told = |route| greeted(route, PATIENCE).unwrap_err();
        assert_eq!(told(&endless), "it does not speak SSH");
        let (_held, nobody) = nobody();
        assert!(told(&nobody).contains("refused"));
    }

    #[test]
    fn the_first_that_speaks_is_taken_and_the_first_route_is_ahead() {
        let from = |stream: Option<Socket>| stream?.peer_addr().unwrap().as_socket();
        let speaks = || says(&["SSH-2.0-x\r\n"], Duration::ZERO);
        let silent = says(&[], Duration::from_millis(1));
        let (first, second) = (speaks(), speaks());
        let mut race = Race::of(PATIENCE, nothing());
        assert_eq!((race.head_start, race.quiet), (HEAD_START, QUIET));
        race.head_start = PATIENCE;
        let taken = from(race.run(&[first.clone(), second.clone()]));
        assert_eq!(taken, first.address());
        assert!(race.under_way.is_empty(), "the second was not needed");
        // One that hangs, and one that is not there, do not keep the other from being taken.
        race.head_start = Duration::from_millis(1);
        race.quiet = PATIENCE;
        let (_held, nobody) = nobody();
        for other in [&silent, &nobody] {
            let taken = from(race.run(&[other.clone(), second.clone()]));
            assert_eq!(taken, second.address());
        }
        assert!(race.under_way.contains(&silent));
    }

    #[test]
    fn a_connection_is_kept_until_it_speaks_and_not_started_anew() {
        let (speak, may_speak) = channel::<()>();
        let late = listener(move |mut stream| {
            // A second connection would wait for ever.
            if may_speak.recv().is_ok() {
                let _ = stream.write_all(b"SSH-2.0-x\r\n");
            }
        });
        let mut race = Race::of(PATIENCE, nothing());
        race.quiet = Duration::from_millis(20);
        let routes = [late];
        assert!(race.run(&routes).is_none());
        assert!(race.run(&routes).is_none());
        assert_eq!(race.under_way, routes);
        speak.send(()).unwrap();
        race.quiet = PATIENCE;
        assert!(race.run(&routes).is_some());
    }

    #[test]
    fn what_went_wrong_is_not_forgotten_when_time_is_up() {
        let (_held, nobody) = nobody();
        let routes = [nobody];
        let mut race = Race::of(PATIENCE, nothing());
        assert!(race.run(&routes).is_none());
        race.start -= PATIENCE;
        assert!(race.run(&routes).is_none());
        let (route, trouble) = race.trouble.unwrap();
        assert_eq!(route, routes[0]);
        assert!(in_words(&trouble, &route).contains("refused"));
    }

    /// What is started in the place of a pump, and notes how.
    struct Pumps(tempfile::TempDir);

    impl Pumps {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        /// One that runs this script.
        fn pump(&self, script: &str) -> Pump {
            let program = self.0.path().join("pump");
            let text = format!(
                "#!/bin/sh\necho $* >>{0}.log\n{script}\n",
                program.display()
            );
            // Another one writes it: a command that is just being started could hold it open.
            let write = "printf %s \"$1\" >\"$0\" && chmod 700 \"$0\"";
            let mut sh = std::process::Command::new("sh");
            sh.args(["-c", write]).arg(&program).arg(text);
            assert!(sh.status().unwrap().success());
            Pump {
                program,
                ..nothing()
            }
        }

        /// How each was started since the last time.
        fn started(&self) -> String {
            let log = self.0.path().join("pump.log");
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let _ = std::fs::remove_file(log);
            text
        }
    }

    #[test]
    fn an_exec_stream_is_the_last_resort_and_what_it_tells_is_final() {
        let pumps = Pumps::new();
        let exec = Route::Exec {
            container: "c".into(),
        };
        let speaks = says(&["SSH-2.0-x\r\n"], Duration::ZERO);
        let silent = says(&[], Duration::from_millis(1));

        // Where the network leads in, nothing is started.
        let mut race = Race::of(PATIENCE, pumps.pump("echo SSH-2.0-p >&0"));
        assert!(race.run(&[speaks, exec.clone()]).is_some());
        assert_eq!(pumps.started(), "");
        // Where it is silent, a moment later; where it is not, at once.
        race.head_start = Duration::from_millis(1);
        race.quiet = Duration::from_secs(1);
        let routes = [silent, exec.clone()];
        assert!(race.run(&routes).is_none());
        assert_eq!(pumps.started(), "");
        race.quiet = PATIENCE / 2;
        race.start -= PATIENCE;
        assert!(race.run(&routes).unwrap().peer_addr().unwrap().is_unix());
        assert_eq!(pumps.started(), "pump lace-x unix:///nowhere c\n");
        let mut race = Race::of(PATIENCE, pumps.pump("echo SSH-2.0-p >&0"));
        race.quiet = PATIENCE;
        assert!(race.run(slice::from_ref(&exec)).is_some());
        pumps.started();

        // What it tells is told, and it is not started again.
        let refuses = pumps.pump("echo 'lace-ssh: error: no account' >&0");
        let mut race = Race::of(PATIENCE, refuses);
        race.quiet = PATIENCE;
        for _ in 0..3 {
            assert!(race.run(slice::from_ref(&exec)).is_none());
        }
        assert_eq!(pumps.started().lines().count(), 1);
        assert!(race.is_lost(slice::from_ref(&exec)));
        let (_held, nobody) = nobody();
        assert!(race.run(slice::from_ref(&nobody)).is_none());
        assert_eq!(race.told(&nobody), "does not start: no account");
        // The Feature speaks for the one that listens, too, unless somebody may yet answer there.
        let both = [nobody.clone(), exec.clone()];
        assert!(race.is_lost(&both) && !race.is_lost(slice::from_ref(&nobody)));
        race.under_way.push(nobody);
        assert!(!race.is_lost(&both));
        // Nobody else does.
        let mut race = Race::of(PATIENCE, pumps.pump("echo 'OCI runtime exec failed' >&0"));
        race.quiet = PATIENCE;
        assert!(race.run(slice::from_ref(&exec)).is_none());
        assert!(race.is_lost(slice::from_ref(&exec)) && !race.is_lost(&both));
        pumps.started();
        // Whatever the pieces in which it comes.
        let slowly = "printf 'lace-ssh: error: no' >&0; sleep 0.1; echo ' account' >&0; sleep 0.1";
        let mut race = Race::of(PATIENCE, pumps.pump(slowly));
        race.quiet = PATIENCE;
        assert!(race.run(slice::from_ref(&exec)).is_none());
        assert_eq!(race.told(&exec), "does not start: no account");
        let slowly = "printf S >&0; sleep 0.1; printf SH-2.0-p >&0; sleep 0.1; echo >&0; sleep 0.1";
        race = Race::of(PATIENCE, pumps.pump(slowly));
        race.quiet = PATIENCE;
        assert!(race.run(slice::from_ref(&exec)).is_some());
        race = Race::of(PATIENCE, pumps.pump("printf SSH-2.0-p >&0"));
        race.quiet = PATIENCE;
        assert!(race.run(slice::from_ref(&exec)).is_none());
        assert_eq!(
            race.told(&exec),
            "does not answer by a stream of the engine: it says \"SSH-2.0-p\" and hangs up"
        );
        // An engine may take longer than the network, and not for ever.
        let patience = Duration::from_millis(100);
        race = Race::of(patience, pumps.pump("printf SSH-2.0-p >&0; sleep 2"));
        race.quiet = 2 * patience;
        assert!(race.run(slice::from_ref(&exec)).is_none());
        assert!(race.start.elapsed() >= race.patience && !race.is_over());
        race.quiet = PATIENCE;
        assert!(race.run(slice::from_ref(&exec)).is_none());
        assert_eq!(
            race.told(&exec),
            "does not answer by a stream of the engine: its greeting does not come to an end"
        );
        let least = STREAM_TIMES * patience;
        assert!(race.is_over() && race.start.elapsed() >= least);
        let silent = Trouble::from(ErrorKind::TimedOut);
        assert_eq!(in_words(&silent, &exec), "it says nothing for 60 s");
        pumps.started();
        // One that only ends may do better.
        let mut race = Race::of(PATIENCE, pumps.pump(""));
        race.quiet = PATIENCE;
        for _ in 0..2 {
            assert!(race.run(slice::from_ref(&exec)).is_none());
        }
        assert_eq!(pumps.started().lines().count(), 2);
        assert_eq!(
            race.told(&exec),
            "does not answer by a stream of the engine: it hangs up"
        );
        assert!(!race.is_lost(&[exec]));
    }

    #[test]
    fn the_mount_is_asked_at_once_where_it_comes_first_and_the_engine_a_moment_later() {
        let pumps = Pumps::new();
        let exec = Route::Exec {
            container: "c".into(),
        };
        let mount = Route::Mount {
            folder: "/t x".into(),
            container: "c".into(),
        };
        let mut race = Race::of(PATIENCE, pumps.pump("echo SSH-2.0-p >&0"));
        race.head_start = PATIENCE;
        let routes = [mount, exec];
        assert!(race.run(&routes).is_some());
        assert_eq!(
            pumps.started(),
            "pump lace-x unix:///nowhere c --mount /t x\n"
        );
        let mut race = Race::of(
            PATIENCE,
            pumps.pump("[ \"$5\" ] && exec sleep 20; echo SSH-2.0-p >&0"),
        );
        race.head_start = Duration::from_millis(1);
        race.quiet = Duration::from_secs(1);
        assert!(race.run(&routes).is_none());
        race.start -= PATIENCE;
        race.quiet = PATIENCE / 2;
        assert!(race.run(&routes).is_some());
        assert_eq!(
            pumps.started().lines().last(),
            Some("pump lace-x unix:///nowhere c")
        );
    }

    /// Connects to a dev container whose known user is `vscode` and whose container says `now`, with its trust
    /// folder, or one that is only named like it, and sshd at this route; what came of it, and who is known then.
    fn connected(
        now: Option<&str>,
        chosen: bool,
        certain: bool,
        sshd: &Route,
    ) -> (Result<Socket>, String) {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let devcontainer = DevContainer {
            user_chosen: chosen,
            ..DevContainer::example("lace-x", "k")
        };
        let like = home.path().join("p/.config/lace/ssh/trust/id");
        let trust = if certain { app.store.trust("id") } else { like };
        let mut container =
            example::container("a", "running", &trust, sshd.address().unwrap().port());
        if let Some(now) = now {
            let label = serde_json::json!([{ "remoteUser": now }]).to_string();
            container["Labels"] = serde_json::json!({ "devcontainer.metadata": label });
        }
        let engine = Engine::at(&example::engine(home.path(), vec![container])).unwrap();
        let way = way(&app, &engine, "id", &devcontainer).unwrap();
        let stream = within(Duration::from_secs(9), &app, &engine, "id", &devcontainer);
        let stream =
            stream.and_then(|stream| check_user(&app, &devcontainer, &way).map(|()| stream));
        (stream, user::known(&app, &devcontainer).unwrap())
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn whoever_waits_in_the_container_is_asked_what_bars_its_account() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let sshd = says(&["SSH-2.0-x\r\n"], Duration::ZERO);
        let trust = app.store.trust("id");
        std::fs::create_dir_all(&trust).unwrap();
        bell::hang(&trust).unwrap();
        let bell = trust.join(trust::BELL);
        std::fs::set_permissions(&bell, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut both = std::fs::OpenOptions::new();
        let mut waits = both.read(true).write(true).open(&bell).unwrap();
        let one = example::container("a", "running", &trust, sshd.address().unwrap().port());
        let engine = Engine::at(&example::engine(home.path(), vec![one])).unwrap();
        let devcontainer = DevContainer::example("lace-x", "k");
        connect(&app, &engine, "id", &devcontainer).unwrap();
        let mut told = [0; 99];
        let length = waits.read(&mut told).unwrap();
        assert_eq!(str::from_utf8(&told[..length]), Ok("? a lace-x\n"));
    }

    #[test]
    fn another_user_than_was_known_is_written_down_where_the_dev_container_says_so() {
        for (now, chosen, certain, expected, known) in [
            (None, false, true, "", "vscode"),
            (Some("vscode"), false, true, "", "vscode"),
            (Some("node"), true, true, "", "vscode"),
            // It cannot be proven: it does not speak SSH any further.
            (Some("node"), false, false, "", "vscode"),
            (
                Some("node"),
                false,
                true,
                "the remote user of lace-x is node now, no longer vscode",
                "node",
            ),
        ] {
            let sshd = says(&["SSH-2.0-x\r\n"], Duration::ZERO);
            let (stream, then) = connected(now, chosen, certain, &sshd);
            let told = match stream {
                Ok(stream) => {
                    assert_eq!(stream.peer_addr().unwrap().as_socket(), sshd.address());
                    String::new()
                }
                Err(error) => error.to_string(),
            };
            assert_eq!((told.as_str(), then.as_str()), (expected, known), "{now:?}");
        }
    }

    #[test]
    fn an_sshd_that_never_answers_is_given_up_with_the_way_to_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment::example(folder.path());
        let app = App::new(&environment);
        let one = example::container("a", "running", &app.store.trust("id"), 7);
        let engine = Engine::at(&example::engine(folder.path(), vec![one])).unwrap();
        let devcontainer = DevContainer::example("lace-x", "k");
        let error = within(Duration::ZERO, &app, &engine, "id", &devcontainer).unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), hint_of(&error)),
            (
                "sshd of lace-x does not answer at 127.0.0.1:7: it says nothing for 15 s",
                Some("see why: docker exec a-name cat /var/lib/lace-ssh/sshd.log")
            )
        );
    }
}
