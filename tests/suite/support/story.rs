//! A page of the documentation as a story: what it has a reader write and type is written and typed, in order, by a user with
//! an empty home folder, and what the commands print is compared with what the page says.
//!
//! In a block of `console`, a line `$ …` is a command (`> …` goes on with it) and what follows is what it prints, both streams
//! as they come; `…` stands for anything within a line, and alone for any lines; `^C` at the end is the key, once the rest was
//! printed; an answer after `[y/N]` is typed at a terminal. What differs from run to run (times, numbers of ports, fingerprints,
//! names that an engine gives) counts as the same. A reader does not see the comments that belong to the next block:
//!
//! - `<!-- file: PATH -->`: it is what he writes into that file;
//! - `<!-- fails -->`: its commands end with another status than 0;
//! - `<!-- prepare: COMMAND -->`: what is there before; said to him in words.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use regex::Regex;
use snapbox::{Assert, IntoData};

use super::engine::{DevContainer, IMAGE};
use super::{Said, User, binary, without_waiting};

/// The image that the pages speak of, and which a test does not fetch.
const SHOWN_IMAGE: &str = "mcr.microsoft.com/devcontainers/base:debian";

/// How a question ends, and what stands at the terminal once it was answered.
const ASKS: &str = "[y/N] ";
const ANSWERED: &str = "[y/N] y\n";

/// The longest that any command may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// What differs from run to run, and what stands for it on both sides. The first that fits counts.
static ALIKE: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    [
        (r"SHA256:[A-Za-z0-9+/]+…?", "SHA256:…"),
        (r"AAAA[A-Za-z0-9+/=]*…?", "AAAA…"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "<time>"),
        (r"\b[0-9a-v]{52}\b", "<dev container ID>"),
        (r"\b([0-9a-f]{64}|[0-9a-f]{12})\b", "<container>"),
        (
            r"\b(container|--container|restart|exec -u root) [a-z]+_[a-z]+\d?\b",
            "$1 <name>",
        ),
        (r"\b127\.0\.0\.1(\]?):[2-6]\d{4}\b", "127.0.0.1$1:<port>"),
        (r"\b172\.\d+\.\d+\.\d+\b", "<address>"),
        (r"\b\d+ ms\b", "<n> ms"),
        (r"\b\d+s\b", "<age>"),
        (r"\b\d{15,20}\b", "<serial>"),
        (r"(\S)  +", "$1  "),
        (r"(?m)[ \t]+$", ""),
    ]
    .map(|(pattern, placeholder)| (Regex::new(pattern).unwrap(), placeholder))
    .into()
});

/// A page, by its path in the repository.
pub struct Page {
    pub path: String,
    pub blocks: Vec<Block>,
}

/// A fenced block.
pub struct Block {
    /// The line of its fence, from 1.
    pub line: usize,
    /// What its text is written in.
    pub language: String,
    pub text: String,
    /// The comments that belong to it.
    notes: Vec<Note>,
}

#[derive(PartialEq, Eq)]
enum Note {
    File(String),
    Fails,
    Prepare(String),
}

/// A command, and what the page says that it prints.
struct Step {
    line: usize,
    command: String,
    says: String,
    /// It is ended by Ctrl-C.
    ended: bool,
}

impl Page {
    /// A file of the repository.
    pub fn read(path: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self::of(path, &text)
    }

    /// A page with this text.
    pub fn of(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            blocks: blocks(text),
        }
    }

    /// Plays it for somebody on a machine without an engine; what the page says otherwise.
    pub fn play(&self) -> String {
        let user = User::without_config("home/me");
        self.play_by(&user, &|program| user.command(program))
    }

    /// Plays it with a real engine; the containers are taken away at the end.
    pub fn play_with_engine(&self) {
        let container = DevContainer::of(User::without_config("home/me"));
        let faults = self.play_by(&container.user, &|program| container.command(program));
        assert!(faults.is_empty(), "{faults}");
    }

    fn play_by(&self, user: &User, command: &dyn Fn(&str) -> Command) -> String {
        let reader = Reader::of(user, command);
        let mut faults = String::new();
        for block in &self.blocks {
            for note in &block.notes {
                match note {
                    Note::File(path) => reader.write(path, &block.text),
                    Note::Prepare(line) => {
                        let (status, said) = reader.type_in(line, None);
                        let at = self.at(block.line);
                        assert!(status.success(), "{at}: {line}\n{said}");
                    }
                    Note::Fails => {}
                }
            }
            if block.language == "console" {
                for step in block.steps() {
                    if let Err(fault) = reader.take(&step, block.notes.contains(&Note::Fails)) {
                        let at = self.at(step.line);
                        let _ = writeln!(faults, "\n{at}: $ {}\n{fault}", step.command);
                    }
                }
            }
        }
        faults
    }

    fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path)
    }
}

/// The fenced blocks of a page.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut notes = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let line = line.trim_start();
        if let Some(note) = line.strip_prefix("<!-- ") {
            let note = note.strip_suffix(" -->").expect("a comment is one line");
            notes.push(match note.split_once(": ") {
                Some(("file", path)) => Note::File(path.to_owned()),
                Some(("prepare", command)) => Note::Prepare(command.to_owned()),
                None if note == "fails" => Note::Fails,
                _ => panic!("line {}: no such note: {note}", number + 1),
            });
        } else if let Some(language) = line.strip_prefix("```") {
            let within = lines.by_ref().map(|(_, line)| line);
            let within = within.take_while(|line| line.trim() != "```");
            let text = within.map(|line| format!("{line}\n")).collect();
            blocks.push(Block {
                line: number + 1,
                language: language.to_owned(),
                text,
                notes: std::mem::take(&mut notes),
            });
        } else {
            let left = line.is_empty() || notes.is_empty();
            assert!(left, "line {}: a comment belongs to a block", number + 1);
        }
    }
    blocks
}

impl Block {
    /// It is what a reader writes into a file.
    pub fn is_file(&self) -> bool {
        self.notes.iter().any(|note| matches!(note, Note::File(_)))
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for (number, line) in self.text.lines().enumerate() {
            if let Some(command) = line.strip_prefix("$ ") {
                steps.push(Step {
                    line: self.line + 1 + number,
                    command: command.to_owned(),
                    says: String::new(),
                    ended: false,
                });
                continue;
            }
            let step = steps.last_mut().expect("a block begins with a command");
            if step.says.is_empty() && line.starts_with("> ") && step.command.ends_with('\\') {
                step.command.push('\n');
                step.command.push_str(&line[2..]);
            } else if line == "^C" {
                step.ended = true;
            } else {
                step.says.push_str(line);
                step.says.push('\n');
            }
        }
        steps
    }
}

/// Who reads the page, at a shell that goes on from command to command.
struct Reader<'a> {
    command: &'a dyn Fn(&str) -> Command,
    /// What is real and temporary around the reader's files.
    root: PathBuf,
    home: PathBuf,
}

/// Goes on where the last command has left the shell, and leaves it to the next one.
const SHELL: &str = r#"
    state=$1 line=$2
    [ ! -e "$state" ] || . "$state"
    cd "${FOLDER:-$HOME}"
    eval "$line"
    status=$?
    export FOLDER=$PWD
    export -p >"$state"
    exit $status
"#;

/// ssh would read the configuration of whoever runs the tests, for it does not go by HOME.
const OWN_CONFIG: &str = r#"[ -e "$HOME/.ssh/config" ] || exec PROGRAM -F none "$@"
exec PROGRAM -F "$HOME/.ssh/config" "$@""#;

impl<'a> Reader<'a> {
    fn of(user: &User, command: &'a dyn Fn(&str) -> Command) -> Self {
        let home = user.project();
        let root = home.parent().unwrap().parent().unwrap().to_path_buf();
        let reader = Self {
            command,
            root,
            home,
        };
        let programs = reader.programs();
        fs::create_dir(&programs).unwrap();
        for name in ["ssh", "scp", "sftp"] {
            let found = Said::of(Command::new("sh").args(["-c", &format!("command -v {name}")]));
            reader.script(name, &OWN_CONFIG.replace("PROGRAM", found.out.trim()));
        }
        if let Ok(cli) = std::env::var("LACE_SSH_TEST_DEVCONTAINER") {
            reader.script("devcontainer", &format!("exec '{cli}' \"$@\""));
        }
        reader
    }

    fn programs(&self) -> PathBuf {
        self.root.join("programs")
    }

    fn script(&self, name: &str, body: &str) {
        let path = self.programs().join(name);
        // Another program writes it: see `super::script`.
        let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" >\"$0\" && chmod 755 \"$0\"";
        Said::of(Command::new("sh").args(["-c", write]).arg(path).arg(body)).expect(0);
    }

    /// A file, as an editor writes it.
    fn write(&self, path: &str, text: &str) {
        let path = match path.strip_prefix("~/") {
            Some(path) => self.home.join(path),
            None => panic!("{path}: name it from ~/ on"),
        };
        let folder = path.parent().unwrap();
        let is_new = !folder.exists();
        fs::create_dir_all(folder).unwrap();
        if is_new && folder.ends_with(".config/lace/ssh") {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
        }
        fs::write(path, text.replace(SHOWN_IMAGE, IMAGE)).unwrap();
    }

    /// Types a command and compares.
    fn take(&self, step: &Step, fails: bool) -> Result<(), String> {
        let (status, said) = self.type_in(&step.command, Some(step));
        let (said, says) = (alike(&self.as_shown(&said)), alike(&step.says));
        let says = says
            .lines()
            .map(|line| match line.trim() {
                "…" => "...\n".to_owned(),
                _ => format!("{}\n", line.replace('…', "[..]")),
            })
            .collect::<String>();
        let compared = Assert::new().normalize_paths(false).try_eq(
            None,
            said.clone().into_data(),
            says.into_data(),
        );
        compared.map_err(|error| format!("{error}\nit printed:\n{said}"))?;
        let killed = status.signal() == Some(rustix::process::Signal::KILL.as_raw());
        match killed || (status.success() == fails && !step.ended) {
            true => Err(format!("it ended with {status}")),
            false => Ok(()),
        }
    }

    /// Types a command, and what it wants to be told; what it printed.
    fn type_in(&self, line: &str, step: Option<&Step>) -> (ExitStatus, String) {
        let line = line.replace(SHOWN_IMAGE, IMAGE);
        let at_terminal = step.is_some_and(|step| step.says.contains(ANSWERED));
        let output = self.root.join("output");
        let file = File::create(&output).unwrap();
        let mut shell = self.shell(&line, at_terminal);
        shell.stdout(file.try_clone().unwrap()).stderr(file);
        let mut child = shell.process_group(0).spawn().unwrap();
        let stdin = child.stdin.take();
        let mut answered = 0;
        let status = wait(&mut child, || {
            let said = fs::read_to_string(&output).unwrap_or_default();
            // Whoever types sees the question first.
            while let Some(mut terminal) = stdin
                .as_ref()
                .filter(|_| said.matches(ASKS).count() > answered)
            {
                terminal.write_all(b"y\n").unwrap();
                answered += 1;
            }
            step.is_some_and(|step| step.ended && said.lines().count() >= step.says.lines().count())
        });
        let said = String::from_utf8_lossy(&fs::read(&output).unwrap()).into_owned();
        let said = without_waiting(&said);
        match stdin {
            Some(_) => (status, said.replace('\r', "").replace(ASKS, ANSWERED)),
            None => (status, said),
        }
    }

    fn shell(&self, line: &str, at_terminal: bool) -> Command {
        let state = self.root.join("state");
        let mut shell = match at_terminal {
            false => {
                let mut shell = self.interruptible("bash");
                shell.args(["-c", SHELL, "bash"]).arg(state).arg(line);
                shell
            }
            true => {
                let script = format!("stty -echo cols 200; {SHELL}");
                let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
                let state = state.display().to_string();
                let all = [&script, "bash", &state, line].map(quoted).join(" ");
                let mut shell = self.interruptible("script");
                shell.args(["-qec", &format!("bash -c {all}"), "/dev/null"]);
                shell.stdin(Stdio::piped());
                shell
            }
        };
        let path = shell.get_envs().find(|(name, _)| *name == "PATH");
        let path = path.and_then(|(_, value)| value?.to_str().map(str::to_owned));
        let path = path.unwrap_or_else(|| std::env::var("PATH").unwrap());
        let (first, second) = (self.programs(), binary());
        let second = second.parent().unwrap();
        shell.env(
            "PATH",
            format!("{}:{}:{path}", first.display(), second.display()),
        );
        shell.env("HOME", &self.home).current_dir(&self.home);
        shell.env("USER", "me").env("LC_ALL", "C.UTF-8");
        shell
    }

    /// A program that ends with Ctrl-C, also where who runs the tests has them ignore that.
    fn interruptible(&self, program: &str) -> Command {
        let mut command = (self.command)("env");
        command.args(["--default-signal=INT,QUIT", program]);
        command
    }

    /// The same for every reader.
    fn as_shown(&self, said: &str) -> String {
        let folder = binary().parent().unwrap().canonicalize().unwrap();
        let root = self.root.canonicalize().unwrap();
        let said = said
            .replace(root.to_str().unwrap(), "")
            .replace(folder.to_str().unwrap(), "/usr/local/bin")
            .replace(IMAGE, SHOWN_IMAGE);
        // The engine has dev containers of other tests, too.
        let is_others = |line: &&str| {
            line.contains(" runs and is not reachable yet: ") && !line.contains(" of /home/me/")
        };
        said.split_inclusive('\n')
            .filter(|line| !is_others(line))
            .collect()
    }
}

/// Waits for the end of a command; once it has printed what it should, for one that does not end by itself.
fn wait(child: &mut Child, mut printed: impl FnMut() -> bool) -> ExitStatus {
    let start = Instant::now();
    let group = rustix::process::Pid::from_child(child);
    let end = |signal| {
        let _ = rustix::process::kill_process_group(group, signal);
    };
    let mut interrupted = false;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if printed() && !interrupted {
            end(rustix::process::Signal::INT);
            interrupted = true;
        }
        // What it printed is then compared, and tells why.
        if start.elapsed() > PATIENCE {
            end(rustix::process::Signal::KILL);
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn alike(text: &str) -> String {
    ALIKE.iter().fold(text.to_owned(), |text, (pattern, same)| {
        pattern.replace_all(&text, *same).into_owned()
    })
}
