//! The agent client against a real `ssh-agent`, a real sshd, and agents that lie.

use super::import::import;
use crate::support::openssh::{folder, keygen};
use crate::support::sshd::{Sshd, user};
use crate::support::{Agent as RealAgent, Said};
use lace_ssh::keys::agent::{Agent, AgentError, Constraints, Destination};
use lace_ssh::keys::{KeyPair, PublicKey};
use proptest::prelude::*;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(5);

fn client(agent: &RealAgent) -> Agent {
    Agent::connect(Path::new(&agent.socket), PATIENCE).unwrap()
}

fn ssh_add(agent: &RealAgent, arguments: &[&str]) -> Said {
    let mut command = Command::new("ssh-add");
    Said::of(command.args(arguments).env("SSH_AUTH_SOCK", &agent.socket))
}

fn pair(number: u8) -> KeyPair {
    KeyPair::generate(&[number; 32], &format!("key {number}")).unwrap()
}

#[test]
fn a_real_agent_takes_lists_and_forgets_every_kind_of_key() {
    let folder = folder();
    let agent = RealAgent::start_in(folder.path());
    let kinds: [(&str, &[&str]); 4] = [
        ("ed25519", &["-t", "ed25519"]),
        ("rsa", &["-t", "rsa", "-b", "2048", "-m", "PEM"]),
        ("ecdsa", &["-t", "ecdsa", "-b", "256", "-m", "PKCS8"]),
        ("ecdsa521", &["-t", "ecdsa", "-b", "521"]),
    ];
    let mut client = client(&agent);
    assert!(client.list().unwrap().is_empty());
    for (name, kind) in kinds {
        let file = keygen(folder.path(), name, "", kind);
        let key = import(&file, None).unwrap().with_comment(name).unwrap();
        client.add(&key, &Constraints::default()).unwrap();
        let listed = ssh_add(&agent, &["-l"]).out;
        assert!(
            listed.contains(&format!("{} {name} ", key.fingerprint())),
            "{listed}"
        );
        // The agent signs with it, and OpenSSH finds the signature good.
        let public = folder.path().join(format!("{name}.pub"));
        ssh_add(&agent, &["-T", public.to_str().unwrap()]).expect(0);
        assert!(client.holds(&key.public()).unwrap());
    }
    let identities = client.list().unwrap();
    let comments: Vec<&str> = identities
        .iter()
        .map(|identity| identity.comment())
        .collect();
    assert_eq!(comments, kinds.map(|(name, _)| name));
    for identity in identities {
        let key = identity.key().unwrap();
        client.remove(&key).unwrap();
        assert!(!client.holds(&key).unwrap());
        let again = client.remove(&key).unwrap_err();
        assert!(
            matches!(again, AgentError::Refused("forget the key")),
            "{again}"
        );
    }
    assert!(ssh_add(&agent, &["-l"]).out.contains("no identities"));
}

#[test]
fn a_key_with_a_lifetime_goes_by_itself() {
    let folder = folder();
    let agent = RealAgent::start_in(folder.path());
    let lifetime = |time| Constraints {
        lifetime: Some(time),
        ..Constraints::default()
    };
    let mut client = client(&agent);
    client
        .add(&pair(1), &lifetime(Duration::from_millis(2900)))
        .unwrap();
    client
        .add(&pair(2), &lifetime(Duration::from_secs(3600)))
        .unwrap();
    assert!(client.holds(&pair(1).public()).unwrap());
    let start = Instant::now();
    while client.holds(&pair(1).public()).unwrap() {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(client.holds(&pair(2).public()).unwrap());
    let nothing = client.add(&pair(3), &lifetime(Duration::ZERO)).unwrap_err();
    assert!(matches!(nothing, AgentError::Constraint(_)));
}

#[test]
fn a_key_for_one_destination_opens_that_one_only() {
    let (here, there) = (folder(), folder());
    let agent = RealAgent::start_in(here.path());
    let key = pair(1);
    for folder in [&here, &there] {
        std::fs::write(folder.path().join("authorized_keys"), key.public().render()).unwrap();
        std::fs::write(folder.path().join("key.pub"), key.public().render()).unwrap();
    }
    let start = |folder: &tempfile::TempDir, alias: &str| {
        let keys = folder.path().join("authorized_keys");
        let config = format!("AuthorizedKeysFile {}", keys.display());
        Sshd::start(folder.path(), alias, None, &config)
    };
    let (near, far) = (start(&here, "lace-near"), start(&there, "lace-far"));
    let host_key = std::fs::read_to_string(here.path().join("host.pub")).unwrap();
    let mut destination = Destination {
        host: "lace-near".to_owned(),
        user: Some(user()),
        host_keys: vec![PublicKey::parse(&host_key).unwrap()],
    };
    let public = here.path().join("key.pub");
    let identity = ["-o", "IdentitiesOnly=yes", "-i", public.to_str().unwrap()];
    let admits = |sshd: &Sshd| {
        sshd.ssh(&identity, Some(Path::new(&agent.socket)), "true")
            .status
            .success()
    };
    let constrain = |destination: &Destination| {
        let constraints = Constraints {
            lifetime: Some(Duration::from_secs(60)),
            destination: Some(destination.clone()),
        };
        client(&agent).add(&key, &constraints)
    };

    client(&agent).add(&key, &Constraints::default()).unwrap();
    assert!(admits(&near), "{}", near.log());
    assert!(admits(&far), "{}", far.log());
    client(&agent).remove(&key.public()).unwrap();

    constrain(&destination).unwrap();
    assert!(admits(&near), "{}", near.log());
    assert!(!admits(&far));
    client(&agent).remove(&key.public()).unwrap();

    destination.user = Some("somebody-else".to_owned());
    constrain(&destination).unwrap();
    assert!(!admits(&near));

    destination.user = Some("*".to_owned());
    assert!(matches!(
        constrain(&destination),
        Err(AgentError::Constraint(_))
    ));
    destination.user = None;
    destination.host_keys.clear();
    assert!(matches!(
        constrain(&destination),
        Err(AgentError::Constraint(_))
    ));
}

#[test]
fn a_locked_agent_refuses() {
    let folder = folder();
    let agent = RealAgent::start_in(folder.path());
    // The lock message itself, as ssh-add would ask for the passphrase on a terminal.
    let mut stream = std::os::unix::net::UnixStream::connect(&agent.socket).unwrap();
    stream
        .write_all(&[0, 0, 0, 6, 22, 0, 0, 0, 1, b'x'])
        .unwrap();
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [0, 0, 0, 1, 6]);
    let error = client(&agent)
        .add(&pair(1), &Constraints::default())
        .unwrap_err();
    assert!(
        matches!(error, AgentError::Refused("take the key")),
        "{error}"
    );
    assert!(error.hint().unwrap().contains("ssh-add -X"));
    assert!(client(&agent).list().unwrap().is_empty());
}

#[test]
fn nobody_at_the_socket_is_said_with_its_path() {
    let folder = folder();
    let path = folder.path().join("none");
    let error = Agent::connect(&path, PATIENCE).err().unwrap();
    assert!(
        error.to_string().starts_with(path.to_str().unwrap()),
        "{error}"
    );
    assert!(error.hint().is_some());
}

/// An agent that answers the first request with `answer` and hangs up, or stays silent for ever.
fn lying_agent(folder: &Path, answer: Option<Vec<u8>>) -> PathBuf {
    let socket = folder.join("liar");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 5];
        let _ = stream.read_exact(&mut request);
        match answer {
            Some(answer) => drop(stream.write_all(&answer)),
            None => std::thread::sleep(Duration::from_secs(30)),
        }
    });
    socket
}

#[test]
fn an_agent_that_says_nothing_is_not_waited_for() {
    let folder = folder();
    let socket = lying_agent(folder.path(), None);
    let start = Instant::now();
    let mut agent = Agent::connect(&socket, Duration::from_millis(200)).unwrap();
    assert!(matches!(agent.list(), Err(AgentError::Timeout(_))));
    assert!(start.elapsed() < Duration::from_secs(3));
}

#[test]
fn lies_are_refused_before_memory_is_taken() {
    let folder = folder();
    let framed = |message: &[u8]| [&(message.len() as u32).to_be_bytes(), message].concat();
    for answer in [
        vec![0xff, 0xff, 0xff, 0xff, 12],
        vec![0, 0, 0, 0],
        framed(&[6]),
        framed(&[12]),
        framed(&[12, 0xff, 0xff, 0xff, 0xff]),
        framed(&[12, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff]),
        framed(&[12, 0, 0, 0, 1, 0, 0, 0, 0]),
        framed(&[12, 0, 0, 0, 0, 7]),
    ] {
        let socket = lying_agent(folder.path(), Some(answer.clone()));
        let error = Agent::connect(&socket, PATIENCE)
            .unwrap()
            .list()
            .unwrap_err();
        assert!(
            matches!(error, AgentError::Malformed(_)),
            "{answer:?}: {error}"
        );
    }
    for (answer, count) in [(vec![0, 0], 0), (framed(&[12, 0, 0, 0, 0]), 1)] {
        let socket = lying_agent(folder.path(), Some(answer));
        let listed = Agent::connect(&socket, PATIENCE).unwrap().list();
        assert_eq!(listed.is_ok(), count == 1, "{listed:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) })]
    #[test]
    fn no_answer_makes_the_client_fall_over(answer in prop::collection::vec(any::<u8>(), 0..60)) {
        let folder = folder();
        let mut framed = (answer.len() as u32 + 1).to_be_bytes().to_vec();
        framed.push(12);
        framed.extend(answer);
        let socket = lying_agent(folder.path(), Some(framed));
        let _ = Agent::connect(&socket, PATIENCE).unwrap().list();
    }
}
