//! A client of ssh-agent: list, add and remove keys over its socket, and have it sign.
//!
//! Messages are encoded and decoded by pure functions; [`Agent`] is the one effect. Where the socket
//! is (`SSH_AUTH_SOCK`) the caller knows. An agent is believed to be what the user runs, but its
//! answers are read as if it were not: no length is trusted, and no answer waited for without end.
//!
//! A key can be tied to a destination (`restrict-destination-v00@openssh.com`, ssh-agent and ssh from
//! OpenSSH 8.9): the agent then signs only for a server that has proven the host key named here, also
//! when the agent is forwarded. Agents that do not know the constraint refuse the key rather than
//! take it without; whether to add it again with less is the caller's decision.

use super::wire::{Reader, Writer};
use super::{KeyPair, PublicKey};
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

const FAILURE: u8 = 5;
const SUCCESS: u8 = 6;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
const ADD_IDENTITY: u8 = 17;
const REMOVE_IDENTITY: u8 = 18;
const ADD_ID_CONSTRAINED: u8 = 25;
const EXTENSION_FAILURE: u8 = 28;

/// An RSA key shall sign with SHA-512, not with SHA-1; for other keys it means nothing.
const RSA_SHA2_512: u32 = 4;

const CONSTRAIN_LIFETIME: u8 = 1;
const CONSTRAIN_EXTENSION: u8 = 255;
const DESTINATION: &[u8] = b"restrict-destination-v00@openssh.com";

/// The limits of OpenSSH's own client.
const MAX_ANSWER: usize = 256 * 1024;
const MAX_IDENTITIES: u32 = 2048;

/// What an agent is asked to do with a key that it is given.
#[derive(Debug, Clone, Default)]
pub struct Constraints {
    /// Forget the key after this time; rounded up to seconds.
    pub lifetime: Option<Duration>,
    /// Use it for this destination only.
    pub destination: Option<Destination>,
}

/// The one place that a key may be used for.
#[derive(Debug, Clone)]
pub struct Destination {
    /// The host key alias.
    pub host: String,
    /// The user there; `None` for any.
    pub user: Option<String>,
    /// The host's pinned keys.
    pub host_keys: Vec<PublicKey>,
}

/// A key that the agent holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The key or certificate, as SSH writes it on the wire.
    wire: Vec<u8>,
    /// The comment; it may hold anything, see [`Identity::comment`].
    comment: String,
}

impl Identity {
    /// Whether this is `key` itself, not a certificate for it.
    pub fn is_key(&self, key: &PublicKey) -> bool {
        self.wire == key.to_wire()
    }

    /// The public key; `None` for a certificate or a kind that is not known here.
    pub fn key(&self) -> Option<PublicKey> {
        PublicKey::from_wire(&self.wire).ok()
    }

    /// The comment, without control characters.
    pub fn comment(&self) -> &str {
        &self.comment
    }
}

/// Why an agent did not do what it was asked.
#[derive(Debug)]
pub enum AgentError {
    /// Nothing listens at the socket.
    Connect(PathBuf, io::Error),
    /// No answer came in this time.
    Timeout(Duration),
    /// The connection broke.
    Broken(io::Error),
    /// The agent said no; what it was asked to do.
    Refused(&'static str),
    /// The agent said something that is no answer; what is wrong with it.
    Malformed(&'static str),
    /// The constraints cannot be written; what is wrong with them.
    Constraint(&'static str),
}

/// A connection to an agent.
pub struct Agent {
    stream: UnixStream,
    patience: Duration,
}

impl Agent {
    /// Connects to the agent at `socket`; it has `patience` to take the connection, and again for each
    /// answer.
    pub fn connect(socket: &Path, patience: Duration) -> Result<Self, AgentError> {
        let (sender, receiver) = mpsc::channel();
        let path = socket.to_owned();
        // A hung agent with a full queue blocks the call for ever, and it has no timeout of its own.
        std::thread::spawn(move || sender.send(UnixStream::connect(path)));
        let stream = receiver
            .recv_timeout(patience)
            .map_err(|_| AgentError::Timeout(patience))?
            .map_err(|error| AgentError::Connect(socket.to_owned(), error))?;
        Ok(Self { stream, patience })
    }

    /// The keys that the agent holds; a locked agent shows none.
    pub fn list(&mut self) -> Result<Vec<Identity>, AgentError> {
        let answer = self.ask(&[REQUEST_IDENTITIES])?;
        decode_identities(&answer)
    }

    /// Whether the agent holds `key`.
    pub fn holds(&mut self, key: &PublicKey) -> Result<bool, AgentError> {
        Ok(self.list()?.iter().any(|identity| identity.is_key(key)))
    }

    /// Gives the agent a key. One that it already holds gets the new comment and constraints.
    pub fn add(&mut self, key: &KeyPair, constraints: &Constraints) -> Result<(), AgentError> {
        let message = encode_add(key, constraints)?;
        decode_done(&self.ask(&message)?, "take the key")
    }

    /// Takes a key from the agent.
    pub fn remove(&mut self, key: &PublicKey) -> Result<(), AgentError> {
        let message = Writer::new().byte(REMOVE_IDENTITY).string(&key.to_wire());
        decode_done(&self.ask(&message.into_bytes())?, "forget the key")
    }

    /// What the agent signs with `key`: the signature as SSH writes it on the wire. It may ask somebody first,
    /// and what it says may be anything: whoever uses it checks it.
    pub fn sign(&mut self, key: &PublicKey, data: &[u8]) -> Result<Vec<u8>, AgentError> {
        let message = Writer::new()
            .byte(SIGN_REQUEST)
            .string(&key.to_wire())
            .string(data)
            .number(RSA_SHA2_512);
        decode_signature(&self.ask(&message.into_bytes())?)
    }

    fn ask(&mut self, message: &[u8]) -> Result<Vec<u8>, AgentError> {
        let deadline = Instant::now() + self.patience;
        let framed = Writer::new().string(message).into_bytes();
        self.send(&framed, deadline)?;
        let mut length = [0; 4];
        self.receive(&mut length, deadline)?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length == 0 || length > MAX_ANSWER {
            return Err(AgentError::Malformed("its length is out of bounds"));
        }
        let mut answer = vec![0; length];
        self.receive(&mut answer, deadline)?;
        Ok(answer)
    }

    fn send(&mut self, mut bytes: &[u8], deadline: Instant) -> Result<(), AgentError> {
        while !bytes.is_empty() {
            let left = self.time_left(deadline)?;
            self.stream
                .set_write_timeout(Some(left))
                .map_err(AgentError::Broken)?;
            let sent = self.stream.write(bytes);
            bytes = &bytes[self.progress(sent)?..];
        }
        Ok(())
    }

    fn receive(&mut self, mut bytes: &mut [u8], deadline: Instant) -> Result<(), AgentError> {
        while !bytes.is_empty() {
            let left = self.time_left(deadline)?;
            self.stream
                .set_read_timeout(Some(left))
                .map_err(AgentError::Broken)?;
            let received = self.stream.read(bytes);
            bytes = &mut bytes[self.progress(received)?..];
        }
        Ok(())
    }

    /// A timeout of zero would mean none, so it never comes to that.
    fn time_left(&self, deadline: Instant) -> Result<Duration, AgentError> {
        let left = deadline.saturating_duration_since(Instant::now());
        match left.is_zero() {
            true => Err(AgentError::Timeout(self.patience)),
            false => Ok(left),
        }
    }

    fn progress(&self, result: io::Result<usize>) -> Result<usize, AgentError> {
        use io::ErrorKind::{Interrupted, TimedOut, UnexpectedEof, WouldBlock};
        match result {
            Ok(0) => Err(AgentError::Broken(UnexpectedEof.into())),
            Ok(count) => Ok(count),
            Err(error) if error.kind() == Interrupted => Ok(0),
            Err(error) if matches!(error.kind(), WouldBlock | TimedOut) => {
                Err(AgentError::Timeout(self.patience))
            }
            Err(error) => Err(AgentError::Broken(error)),
        }
    }
}

fn encode_add(key: &KeyPair, constraints: &Constraints) -> Result<Zeroizing<Vec<u8>>, AgentError> {
    let constrained = constraints.lifetime.is_some() || constraints.destination.is_some();
    let mut message = Writer::new()
        .byte(if constrained {
            ADD_ID_CONSTRAINED
        } else {
            ADD_IDENTITY
        })
        .raw(&key.to_wire())
        .string(key.comment().as_bytes());
    if let Some(lifetime) = constraints.lifetime {
        let seconds = lifetime.as_secs() + u64::from(lifetime.subsec_nanos() > 0);
        // Zero would be taken for no limit by some agents.
        if seconds == 0 {
            return Err(AgentError::Constraint("a lifetime of nothing"));
        }
        let seconds = u32::try_from(seconds)
            .map_err(|_| AgentError::Constraint("a lifetime of more than a century"))?;
        message = message.byte(CONSTRAIN_LIFETIME).number(seconds);
    }
    if let Some(destination) = &constraints.destination {
        message = message
            .byte(CONSTRAIN_EXTENSION)
            .string(DESTINATION)
            .string(&encode_destination(destination)?);
    }
    Ok(message.into_bytes())
}

/// One constraint: from here (an empty hop) to the destination.
fn encode_destination(to: &Destination) -> Result<Zeroizing<Vec<u8>>, AgentError> {
    if to.host.is_empty() || to.host_keys.is_empty() {
        return Err(AgentError::Constraint(
            "a destination without a name or a host key",
        ));
    }
    let user = to.user.as_deref().unwrap_or("");
    // Agents match the user as a pattern, where `!`, `*`, `?` and commas mean more than themselves.
    let is_plain = |c: char| !c.is_control() && !"*?!, ".contains(c);
    if !user.chars().all(is_plain) || !to.host.chars().all(is_plain) {
        return Err(AgentError::Constraint(
            "a destination whose name is a pattern",
        ));
    }
    let from = Writer::new().string(b"").string(b"").string(b"");
    let mut hop = Writer::new()
        .string(user.as_bytes())
        .string(to.host.as_bytes())
        .string(b"");
    for key in &to.host_keys {
        hop = hop.string(&key.to_wire()).byte(0);
    }
    let constraint = Writer::new()
        .string(&from.into_bytes())
        .string(&hop.into_bytes())
        .string(b"");
    Ok(Writer::new().string(&constraint.into_bytes()).into_bytes())
}

fn decode_done(answer: &[u8], asked: &'static str) -> Result<(), AgentError> {
    match answer {
        [SUCCESS] => Ok(()),
        [FAILURE | EXTENSION_FAILURE, ..] => Err(AgentError::Refused(asked)),
        _ => Err(AgentError::Malformed("it is neither yes nor no")),
    }
}

fn decode_signature(answer: &[u8]) -> Result<Vec<u8>, AgentError> {
    let rest = match answer {
        [SIGN_RESPONSE, rest @ ..] => rest,
        [FAILURE | EXTENSION_FAILURE, ..] => return Err(AgentError::Refused("sign")),
        _ => return Err(AgentError::Malformed("it is no signature")),
    };
    let mut reader = Reader::new(rest);
    let signature = reader.string().map(<[u8]>::to_vec);
    let signature = signature.filter(|_| reader.is_empty());
    signature.ok_or(AgentError::Malformed("its signature has no end"))
}

fn decode_identities(answer: &[u8]) -> Result<Vec<Identity>, AgentError> {
    const SHORT: AgentError = AgentError::Malformed("it ends too early");
    let rest = match answer {
        [IDENTITIES_ANSWER, rest @ ..] => rest,
        [FAILURE | EXTENSION_FAILURE, ..] => return Err(AgentError::Refused("list its keys")),
        _ => return Err(AgentError::Malformed("it is no list of keys")),
    };
    let mut reader = Reader::new(rest);
    let count = reader.number().ok_or(SHORT)?;
    if count > MAX_IDENTITIES {
        return Err(AgentError::Malformed(
            "it promises more keys than an agent holds",
        ));
    }
    let mut identities = Vec::new();
    for _ in 0..count {
        let wire = reader.string().ok_or(SHORT)?.to_vec();
        let comment = String::from_utf8_lossy(reader.string().ok_or(SHORT)?).into_owned();
        let comment = comment.replace(char::is_control, " ");
        identities.push(Identity { wire, comment });
    }
    match reader.is_empty() {
        true => Ok(identities),
        false => Err(AgentError::Malformed("more follows its end")),
    }
}

impl AgentError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Connect(..) => {
                Some("start one with `eval \"$(ssh-agent)\"`; SSH_AUTH_SOCK names its socket")
            }
            Self::Timeout(_) | Self::Broken(_) => Some("`ssh-add -l` shows whether it works"),
            Self::Refused(_) => Some(
                "it may be locked (`ssh-add -X` opens it), or not know a limit to one destination \
                 (OpenSSH 8.9 and later do)",
            ),
            Self::Malformed(_) => Some("SSH_AUTH_SOCK may name the socket of another program"),
            Self::Constraint(_) => None,
        }
    }
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(path, error) => {
                write!(f, "{}: no ssh-agent listens here: {error}", path.display())
            }
            Self::Timeout(patience) => {
                write!(
                    f,
                    "ssh-agent did not answer within {} ms",
                    patience.as_millis()
                )
            }
            Self::Broken(error) => write!(f, "the connection to ssh-agent broke: {error}"),
            Self::Refused(asked) => write!(f, "ssh-agent refuses to {asked}"),
            Self::Malformed(detail) => write!(f, "ssh-agent's answer makes no sense: {detail}"),
            Self::Constraint(detail) => write!(f, "a key cannot be given {detail}"),
        }
    }
}

impl std::error::Error for AgentError {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread::JoinHandle;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn pair() -> KeyPair {
        KeyPair::generate(&[7; 32], "mine").unwrap()
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        Writer::new().string(message).into_bytes().to_vec()
    }

    /// An agent that answers one request so, in two pieces, and hangs up; what it was asked.
    fn asked_once(answer: &[u8], patience: Duration, ask: impl FnOnce(&mut Agent)) -> Vec<u8> {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let answer = answer.to_vec();
        let agent: JoinHandle<Vec<u8>> = std::thread::spawn(move || {
            let mut length = [0; 4];
            theirs.read_exact(&mut length).unwrap();
            let mut request = vec![0; u32::from_be_bytes(length) as usize];
            theirs.read_exact(&mut request).unwrap();
            let (head, rest) = answer.split_at(answer.len().min(3));
            theirs.write_all(head).unwrap();
            theirs.write_all(rest).unwrap();
            request
        });
        let stream = ours;
        ask(&mut Agent { stream, patience });
        agent.join().unwrap()
    }

    fn identities(keys: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut answer = Writer::new().byte(12).number(keys.len() as u32);
        for (wire, comment) in keys {
            answer = answer.string(wire).string(comment);
        }
        answer.into_bytes().to_vec()
    }

    #[test]
    fn what_an_agent_holds_is_listed_and_a_certificate_is_no_key() {
        let wire = pair().public().to_wire();
        let answer = identities(&[(b"cert", b"a\x1bb\xff"), (&wire, b"mine")]);
        let request = asked_once(&framed(&answer), PATIENCE, |agent| {
            let listed = agent.list().unwrap();
            let comments: Vec<_> = listed.iter().map(Identity::comment).collect();
            assert_eq!(comments, ["a b\u{fffd}", "mine"]);
            assert_eq!(listed[0].key(), None);
            assert!(!listed[0].is_key(&pair().public()) && listed[1].is_key(&pair().public()));
            assert!(listed[1].key().unwrap().is_same_key(&pair().public()));
        });
        assert_eq!(request, [11]);
        for (holds, answer) in [(true, &answer), (false, &identities(&[(b"cert", b"")]))] {
            asked_once(&framed(answer), PATIENCE, |agent| {
                assert_eq!(agent.holds(&pair().public()).unwrap(), holds);
            });
        }
    }

    #[test]
    fn a_signal_is_no_end_and_each_end_has_its_own_words() {
        use io::ErrorKind::{ConnectionReset, Interrupted, TimedOut, WouldBlock};
        let (stream, _other) = UnixStream::pair().unwrap();
        let agent = Agent {
            stream,
            patience: PATIENCE,
        };
        let after = |kind: io::ErrorKind| agent.progress(Err(kind.into()));
        assert!(matches!(agent.progress(Ok(7)), Ok(7)));
        assert!(matches!(after(Interrupted), Ok(0)));
        for kind in [WouldBlock, TimedOut] {
            assert!(matches!(after(kind), Err(AgentError::Timeout(PATIENCE))));
        }
        assert!(matches!(after(ConnectionReset), Err(AgentError::Broken(_))));
        let ended = agent.progress(Ok(0));
        assert!(matches!(ended, Err(AgentError::Broken(_))));
    }

    #[test]
    fn a_key_is_removed_and_a_refusal_is_told() {
        let key = pair().public();
        let request = asked_once(&framed(&[6]), PATIENCE, |agent| agent.remove(&key).unwrap());
        let expected = Writer::new().byte(18).string(&key.to_wire()).into_bytes();
        assert_eq!(request, *expected);
        for refusal in [&[5][..], &[28], &[5, 1]] {
            asked_once(&framed(refusal), PATIENCE, |agent| {
                let error = agent.remove(&key).unwrap_err();
                assert!(
                    matches!(error, AgentError::Refused("forget the key")),
                    "{error}"
                );
            });
            let refused = decode_identities(refusal);
            assert!(matches!(refused, Err(AgentError::Refused("list its keys"))));
        }
        asked_once(&framed(&[5]), PATIENCE, |agent| {
            let error = agent.add(&pair(), &Constraints::default()).unwrap_err();
            assert!(
                matches!(error, AgentError::Refused("take the key")),
                "{error}"
            );
        });
        for other in [&[][..], &[7], &[6, 0]] {
            assert!(matches!(
                decode_done(other, "x"),
                Err(AgentError::Malformed(_))
            ));
        }
    }

    /// Byte by byte, as PROTOCOL.agent has it: an agent that reads less than was meant opens more.
    #[test]
    fn a_key_goes_to_the_agent_with_all_its_limits() {
        let head = |kind: u8| {
            let head = Writer::new().byte(kind).raw(&pair().to_wire());
            head.string(b"mine")
        };
        let request = asked_once(&framed(&[6]), PATIENCE, |agent| {
            agent.add(&pair(), &Constraints::default()).unwrap();
        });
        assert_eq!(request, *head(17).into_bytes());

        let host_keys: Vec<PublicKey> = [1, 2]
            .map(|seed| KeyPair::generate(&[seed; 32], "").unwrap().public())
            .to_vec();
        let destination = |user: Option<&str>| Destination {
            host: "lace-x".into(),
            user: user.map(str::to_owned),
            host_keys: host_keys.clone(),
        };
        let restricted = |message: Writer, user: &[u8]| {
            let from = Writer::new()
                .string(b"")
                .string(b"")
                .string(b"")
                .into_bytes();
            let mut to = Writer::new().string(user).string(b"lace-x").string(b"");
            for key in &host_keys {
                to = to.string(&key.to_wire()).byte(0);
            }
            let hop = Writer::new()
                .string(&from)
                .string(&to.into_bytes())
                .string(b"");
            let all = Writer::new().string(&hop.into_bytes()).into_bytes();
            let message = message
                .byte(255)
                .string(b"restrict-destination-v00@openssh.com");
            message.string(&all).into_bytes()
        };
        let lifetime = Some(Duration::from_millis(2001));
        for (lifetime, destination, expected) in [
            (lifetime, None, head(25).byte(1).number(3).into_bytes()),
            (None, Some(destination(None)), restricted(head(25), b"")),
            (
                lifetime,
                Some(destination(Some("me"))),
                restricted(head(25).byte(1).number(3), b"me"),
            ),
        ] {
            let constraints = Constraints {
                lifetime,
                destination,
            };
            assert_eq!(encode_add(&pair(), &constraints).unwrap(), expected);
        }
    }

    #[test]
    fn a_limit_that_would_be_none_is_refused() {
        let lives = |lifetime| {
            let constraints = Constraints {
                lifetime: Some(lifetime),
                destination: None,
            };
            encode_add(&pair(), &constraints).map(|message| message[message.len() - 4..].to_vec())
        };
        let second = Duration::from_secs(1);
        assert_eq!(lives(Duration::from_nanos(1)).unwrap(), [0, 0, 0, 1]);
        assert_eq!(lives(second).unwrap(), [0, 0, 0, 1]);
        assert_eq!(lives(second * u32::MAX).unwrap(), [0xff; 4]);
        for lifetime in [Duration::ZERO, second * u32::MAX + second / 2] {
            assert!(matches!(lives(lifetime), Err(AgentError::Constraint(_))));
        }
        let key = pair().public();
        for (host, user, keys, is_right) in [
            ("lace-x", None, 1, true),
            ("lace-x", Some("me"), 1, true),
            ("", None, 1, false),
            ("lace-x", None, 0, false),
            ("lace-*", None, 1, false),
            ("lace-\n", None, 1, false),
            ("lace-x", Some("*"), 1, false),
            ("lace-x", Some("m?"), 1, false),
            ("lace-x", Some("!me"), 1, false),
            ("lace-x", Some("a,b"), 1, false),
            ("lace-x", Some("a b"), 1, false),
            ("lace-x", Some("a\0"), 1, false),
        ] {
            let destination = Destination {
                host: host.into(),
                user: user.map(str::to_owned),
                host_keys: vec![key.clone(); keys],
            };
            let constraints = Constraints {
                lifetime: None,
                destination: Some(destination),
            };
            match encode_add(&pair(), &constraints) {
                Ok(_) => assert!(is_right, "{host:?} {user:?} {keys}"),
                Err(AgentError::Constraint(_)) => assert!(!is_right, "{host:?} {user:?} {keys}"),
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn a_lie_is_refused_before_memory_is_taken() {
        let many = [&[12][..], &2049_u32.to_be_bytes()].concat();
        let most: Vec<u8> = [&[12][..], &2048_u32.to_be_bytes(), &[0; 2048 * 8]].concat();
        assert_eq!(decode_identities(&most).unwrap().len(), 2048);
        for (answer, detail) in [
            (&[][..], "no list"),
            (&[6], "no list"),
            (&[12], "too early"),
            (&[12, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff], "too early"),
            (&[12, 0, 0, 0, 1, 0, 0, 0, 0], "too early"),
            (&[12, 0, 0, 0, 0, 7], "more follows"),
            (&*many, "more keys"),
        ] {
            let error = decode_identities(answer).unwrap_err().to_string();
            assert!(error.contains(detail), "{answer:?}: {error}");
        }
        // What no answer may be as long as, what is just an answer, and what breaks off.
        let largest = [&262_144_u32.to_be_bytes()[..], &[6], &vec![0; 262_143]].concat();
        for (answer, detail) in [
            (&262_145_u32.to_be_bytes()[..], "out of bounds"),
            (&[0; 4], "out of bounds"),
            (&*largest, "no list"),
            (&[0, 0], "broke"),
            (&[0, 0, 0, 5, 12, 0], "broke"),
        ] {
            asked_once(answer, PATIENCE, |agent| {
                let error = agent.list().unwrap_err().to_string();
                assert!(error.contains(detail), "{error}");
            });
        }
    }

    #[test]
    fn nobody_is_waited_for_without_end() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent");
        let said = |error: AgentError| (error.to_string(), error.hint().unwrap_or_default());
        let (error, hint) = said(Agent::connect(&socket, PATIENCE).err().unwrap());
        assert!(error.starts_with(socket.to_str().unwrap()), "{error}");
        assert!(hint.contains("ssh-agent"), "{hint}");

        // It takes the connection, and neither reads nor answers.
        let _listener = UnixListener::bind(&socket).unwrap();
        let patience = Duration::from_millis(20);
        let (error, hint) = said(
            Agent::connect(&socket, patience)
                .unwrap()
                .list()
                .unwrap_err(),
        );
        assert!(
            error.contains("within 20 ms") && hint.contains("ssh-add -l"),
            "{error}"
        );
        let flood = vec![0; 1 << 22];
        let error = Agent::connect(&socket, patience)
            .unwrap()
            .ask(&flood)
            .unwrap_err();
        assert!(matches!(error, AgentError::Timeout(_)), "{error}");
    }

    #[test]
    fn what_went_wrong_is_said_with_the_way_out() {
        for (error, text, hint) in [
            (
                AgentError::Refused("take the key"),
                "refuses to take the key",
                Some("ssh-add -X"),
            ),
            (
                AgentError::Malformed("x"),
                "no sense: x",
                Some("SSH_AUTH_SOCK"),
            ),
            (AgentError::Constraint("x"), "cannot be given x", None),
            (
                AgentError::Broken(io::ErrorKind::BrokenPipe.into()),
                "broke",
                Some("ssh-add -l"),
            ),
        ] {
            assert!(error.to_string().contains(text), "{error}");
            assert_eq!(error.hint().is_some(), hint.is_some());
            assert!(
                error
                    .hint()
                    .unwrap_or_default()
                    .contains(hint.unwrap_or_default())
            );
        }
    }
}
