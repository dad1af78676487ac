//! An engine that another program leads to: `ssh` to one on another machine, and the `docker` command to one
//! that wants TLS, of which it has all that is needed, with the messages that people know.
//!
//! Each connection is a process whose stdin and stdout are one end of a socket pair. It is kept for the next
//! question, and ends with the engine, or with us: it then finds its stdin at its end.

use std::ffi::OsString;
use std::io::{Error, Result};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Pair;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker, errors};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{HOST, HeaderValue};
use hyper::{Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::address::Address;

/// Until ssh gives up a machine that does not answer: before we give up ssh, whose words say more.
const CONNECT: u64 = 6;
/// What is waited for the last words of a program that has hung up.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Until a connection whose last answer has been read has noticed that.
const NOTICED: Duration = Duration::from_millis(200);
/// So many of them are told.
const WORDS: u64 = 2048;
/// What says to the docker command where it has to go; it is told by arguments.
const MISLEADING: [&str; 6] = [
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "DOCKER_API_VERSION",
];

/// The command whose stdin and stdout are a connection to the engine; none where none is needed.
pub fn command(address: &Address) -> Option<Vec<OsString>> {
    match address {
        Address::Ssh {
            user,
            host,
            port,
            socket,
        } => Some(ssh(user.as_deref(), host, *port, socket.as_deref())),
        Address::Tcp {
            host: _,
            port: _,
            certificates: Some(folder),
        } => Some(docker(&address.to_string(), folder)),
        Address::Unix(_) | Address::Tcp { .. } => None,
    }
}

fn ssh(user: Option<&str>, host: &str, port: Option<u16>, socket: Option<&str>) -> Vec<OsString> {
    let mut words = vec!["ssh".to_owned(), "-T".to_owned()];
    for option in [
        // Nobody can answer: stdin is the engine's, and the terminal the session's.
        "BatchMode=yes",
        &format!("ConnectTimeout={CONNECT}"),
        "LogLevel=ERROR",
        // Whatever the user's configuration has for sessions there, this is none.
        "ForwardAgent=no",
        "ForwardX11=no",
        "ClearAllForwardings=yes",
        "PermitLocalCommand=no",
        "RemoteCommand=none",
        "RequestTTY=no",
    ] {
        words.extend(["-o".to_owned(), option.to_owned()]);
    }
    if let Some(user) = user {
        words.extend(["-l".to_owned(), user.to_owned()]);
    }
    if let Some(port) = port {
        words.extend(["-p".to_owned(), port.to_string()]);
    }
    let remote = match socket {
        None => "docker system dial-stdio".to_owned(),
        Some(path) if path.contains("podman") => {
            format!("podman --url unix://{path} system dial-stdio")
        }
        Some(path) => format!("docker --host unix://{path} system dial-stdio"),
    };
    words.extend(["--".to_owned(), host.to_owned(), remote]);
    words.into_iter().map(OsString::from).collect()
}

fn docker(host: &str, certificates: &Path) -> Vec<OsString> {
    let mut words: Vec<OsString> = ["docker", "--host", host, "--tlsverify"]
        .map(OsString::from)
        .into();
    for (option, file) in [
        ("--tlscacert=", "ca.pem"),
        ("--tlscert=", "cert.pem"),
        ("--tlskey=", "key.pem"),
    ] {
        let mut word = OsString::from(option);
        // Without the first, the machine's own CAs are meant; without the others, no certificate is shown.
        let path = certificates.join(file);
        if path.exists() {
            word.push(path);
        }
        words.push(word);
    }
    words.extend(["system", "dial-stdio"].map(OsString::from));
    words
}

/// The engine that this command leads to. Nothing is run yet.
pub fn engine(command: Vec<OsString>, seconds: u64) -> std::result::Result<Docker, errors::Error> {
    let line = Arc::new(Line {
        command,
        free: Mutex::default(),
        busy: Mutex::default(),
        programs: Mutex::default(),
    });
    let ask = move |request| {
        let line = line.clone();
        async move { Ok(line.ask(request).await?) }
    };
    Docker::connect_with_custom_transport(ask, Some("http://engine"), seconds, API_DEFAULT_VERSION)
}

/// The connections to one engine.
struct Line {
    command: Vec<OsString>,
    /// Connections that nobody asks anything just now.
    free: Mutex<Vec<Connection>>,
    /// What the programs of others say.
    busy: Mutex<Vec<UnixStream>>,
    /// All programs that were started.
    programs: Mutex<Vec<Child>>,
}

struct Connection {
    ask: SendRequest<<BollardRequest as Asked>::Body>,
    /// What its program says.
    words: UnixStream,
}

/// For the type of what a question carries, which bollard does not name.
trait Asked {
    type Body;
}

impl<B> Asked for hyper::Request<B> {
    type Body = B;
}

impl Line {
    async fn ask(&self, mut request: BollardRequest) -> Result<Response<Incoming>> {
        // A server is asked for a path, not for an address.
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
        let host = HeaderValue::from_static("engine");
        request.headers_mut().insert(HOST, host);
        let mut connection = match self.free().await {
            Some(connection) => connection,
            None => self.dial().await?,
        };
        match connection.ask.send_request(request).await {
            Ok(answer) => {
                locked(&self.free).push(connection);
                Ok(answer)
            }
            Err(error) => Err(self.why(connection, Error::other(error)).await),
        }
    }

    /// A connection on which the last answer has come to its end.
    async fn free(&self) -> Option<Connection> {
        let mut last = locked(&self.free).pop()?;
        match timeout(NOTICED, last.ask.ready()).await {
            Ok(Ok(())) => Some(last),
            // It still answers, or is a stream now. Its program may have something to say, so we listen.
            _ => {
                locked(&self.busy).push(last.words);
                None
            }
        }
    }

    async fn dial(&self) -> Result<Connection> {
        let (ours, theirs) = Pair::pair()?;
        let (words, said) = Pair::pair()?;
        let (program, arguments) = self.command.split_first().expect("it has a program");
        let mut command = Command::new(program);
        for name in MISLEADING {
            command.env_remove(name);
        }
        command
            .args(arguments)
            .stdin(OwnedFd::from(theirs.try_clone()?))
            .stdout(OwnedFd::from(theirs))
            .stderr(OwnedFd::from(said));
        let started = command.spawn().map_err(|error| {
            let program = program.to_string_lossy();
            Error::other(format!("cannot run {program}, which leads there: {error}"))
        })?;
        locked(&self.programs).push(started);
        // It would keep our own ends of the pairs open.
        drop(command);
        let io = TokioIo::new(tokio_stream(ours)?);
        let words = tokio_stream(words)?;
        let (ask, connection) = http1::handshake(io).await.map_err(Error::other)?;
        tokio::spawn(connection.with_upgrades());
        Ok(Connection { ask, words })
    }

    /// What the program says of a connection that broke, for it knows more.
    async fn why(&self, mut connection: Connection, error: Error) -> Error {
        let mut words = Vec::new();
        let mut first = (&mut connection.words).take(WORDS);
        let _ = timeout(LAST_WORDS, first.read_to_end(&mut words)).await;
        let words = String::from_utf8_lossy(&words);
        let lines: Vec<_> = words
            .lines()
            .map(str::trim)
            .filter(|it| !it.is_empty())
            .collect();
        let program = self.command[0].to_string_lossy();
        match lines.is_empty() {
            true => error,
            false => Error::other(format!("{program} says: {}", lines.join("; "))),
        }
    }
}

/// A program that does not find the end of its stdin, as it still waits for another machine, would stay.
impl Drop for Line {
    fn drop(&mut self) {
        for program in &mut *locked(&self.programs) {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

fn tokio_stream(pair: Pair) -> Result<UnixStream> {
    pair.set_nonblocking(true)?;
    UnixStream::from_std(pair)
}

fn locked<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Instant;

    use super::super::Engine;
    use super::*;

    fn words(text: &str) -> Vec<String> {
        let command = command(&Address::parse(text).unwrap()).unwrap();
        let text = |word: OsString| word.into_string().unwrap();
        command.into_iter().map(text).collect()
    }

    #[test]
    fn ssh_is_told_where_to_go_by_arguments_that_are_no_options() {
        let plain = words("ssh://build");
        let options = plain.iter().filter(|it| it.contains('=')).count();
        assert_eq!(plain.len(), 2 + 2 * options + 3, "{plain:?}");
        for option in [
            "BatchMode=yes",
            "ConnectTimeout=6",
            "ClearAllForwardings=yes",
            "ForwardAgent=no",
        ] {
            let at = plain.iter().position(|it| it == option).unwrap();
            assert_eq!(plain[at - 1], "-o");
        }
        for (address, expected) in [
            (
                "ssh://build",
                &["--", "build", "docker system dial-stdio"][..],
            ),
            (
                "ssh://me@[::1]:2222",
                &[
                    "-l",
                    "me",
                    "-p",
                    "2222",
                    "--",
                    "::1",
                    "docker system dial-stdio",
                ],
            ),
            (
                "ssh://build/run/user/7/docker.sock",
                &[
                    "--",
                    "build",
                    "docker --host unix:///run/user/7/docker.sock system dial-stdio",
                ],
            ),
            (
                "ssh://build/run/podman/podman.sock",
                &[
                    "--",
                    "build",
                    "podman --url unix:///run/podman/podman.sock system dial-stdio",
                ],
            ),
        ] {
            let words = words(address);
            assert_eq!((&*words[0], &*words[1]), ("ssh", "-T"));
            assert_eq!(
                words[words.len() - expected.len()..],
                *expected,
                "{address}"
            );
        }
    }

    #[test]
    fn docker_is_told_which_certificates_there_are_and_always_checks() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().display().to_string();
        let address = format!("tcp://build:2376#{path}");
        let expected = |files: [&str; 3]| {
            let [ca, cert, key] = files;
            format!(
                "docker --host tcp://build:2376 --tlsverify --tlscacert={ca} --tlscert={cert} --tlskey={key} system dial-stdio"
            )
        };
        assert_eq!(words(&address).join(" "), expected(["", "", ""]));
        for file in ["ca.pem", "cert.pem", "key.pem"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        let files = ["ca.pem", "cert.pem", "key.pem"].map(|file| format!("{path}/{file}"));
        assert_eq!(
            words(&address).join(" "),
            expected(files.each_ref().map(String::as_str))
        );
        for none in ["unix:///x", "tcp://127.0.0.1:2375", "tcp://build:2375"] {
            assert_eq!(command(&Address::parse(none).unwrap()), None);
        }
    }

    /// An engine to which this script leads.
    fn by(script: &str, patience: Duration) -> Engine {
        let command = ["sh", "-c", script].map(OsString::from).into();
        Engine {
            docker: engine(command, 8).unwrap(),
            address: "ssh://build".into(),
            endpoint: "ssh://build".into(),
            variables: String::new(),
            is_here: false,
            patience,
        }
    }

    const PATIENCE: Duration = Duration::from_secs(8);

    #[test]
    fn one_program_carries_one_question_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("asked");
        let list = r#"[{"Id":"a","Names":["/a"],"State":"running","Ports":[{"PrivatePort":2222,"PublicPort":9,"Type":"tcp"}]}]"#;
        // Answers at the empty line that ends a question.
        let script = format!(
            "echo started >>{0}; while read -r line; do case $line in GET*|Host*|host*) echo \"$line\" >>{0};; esac; \
             [ \"$line\" != \"$(printf '\\r')\" ] || printf 'HTTP/1.1 200 OK\\r\\nContent-Length: {1}\\r\\n\\r\\n%s' '{2}'; done",
            file.display(),
            list.len(),
            list
        );
        let engine = by(&script, PATIENCE);
        for _ in 0..3 {
            let all = engine.containers().unwrap();
            assert_eq!((all.len(), all[0].name.as_str()), (1, "a"));
            // It is published on that machine.
            assert_eq!(
                (all[0].published(2222), &*all[0].endpoint),
                (None, "ssh://build")
            );
        }
        let asked = fs::read_to_string(&file).unwrap();
        let asked: Vec<_> = asked
            .lines()
            .map(|line| line.trim_end().to_lowercase())
            .collect();
        assert_eq!(
            asked.iter().filter(|it| *it == "started").count(),
            1,
            "{asked:?}"
        );
        assert_eq!(
            asked.iter().filter(|it| *it == "host: engine").count(),
            3,
            "{asked:?}"
        );
        let paths = asked
            .iter()
            .filter(|it| it.starts_with("get /containers/json?"));
        assert_eq!(paths.count(), 3, "{asked:?}");
    }

    #[test]
    fn why_a_program_does_not_lead_there_is_told_in_its_own_words() {
        let told = |script: &str| by(script, PATIENCE).containers().unwrap_err().to_string();
        let refused = told(
            "echo 'ssh: connect to host build: refused' >&2; echo >&2; echo ' more' >&2; exit 255",
        );
        assert_eq!(
            refused,
            "cannot reach the engine at ssh://build: sh says: ssh: connect to host build: refused; more"
        );
        // What is no answer, and no word.
        for script in [
            "exit 0",
            "echo Welcome",
            "head -c 1 >/dev/null; echo Welcome",
        ] {
            let told = told(script);
            assert!(
                told.starts_with("cannot reach the engine at ssh://build: "),
                "{told}"
            );
            assert!(!told.contains("says"), "{told}");
        }
        let many = told("yes word | head -c 100000 >&2");
        assert!(
            many.contains("sh says: word; word") && many.len() < 3 * WORDS as usize,
            "{many}"
        );
        let mut nowhere = by("", PATIENCE);
        nowhere.docker = engine(vec!["/nowhere/ssh".into()], 8).unwrap();
        assert_eq!(
            nowhere.containers().unwrap_err().to_string(),
            "cannot reach the engine at ssh://build: cannot run /nowhere/ssh, which leads there: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn a_program_that_waits_for_ever_is_given_up_and_ends() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let script = format!("echo $$ >{}; exec sleep 1000", file.display());
        let engine = by(&script, Duration::from_millis(300));
        let began = Instant::now();
        let told = engine.containers().unwrap_err().to_string();
        assert_eq!(
            told,
            "the engine at ssh://build did not answer within 0.3 s"
        );
        assert!(began.elapsed() < PATIENCE);
        let pid = fs::read_to_string(&file).unwrap();
        let process = Path::new("/proc").join(pid.trim());
        assert!(!cfg!(target_os = "linux") || process.exists());
        drop(engine);
        assert!(!process.exists());
    }

    #[test]
    fn what_misleads_docker_is_not_handed_on() {
        let script = MISLEADING.map(|name| format!("${{{name}-}}")).concat();
        // A variable that a test sets would be seen by others; PATH is always there.
        let told = by(
            &format!("echo \"seen: {script} ${{PATH:+path}}\" >&2"),
            PATIENCE,
        );
        let told = told.containers().unwrap_err().to_string();
        assert!(told.ends_with("sh says: seen:  path"), "{told}");
    }
}
