//! For tests of what follows from an engine's answers, on machines without one: a socket that gives them.
//!
//! What a real engine answers is not its matter: the end-to-end tests ask real ones.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use bollard::models::ContainerSummary;
use serde_json::{Value, json};

use super::answer::Summary;
use super::container::Container;

/// Answers at a socket in this folder until the process ends; its endpoint. `containers` are as in an
/// engine's list; each may have a member `Inspected`, which is then the answer of an inspection, a member `Files`, in
/// which each path there has the path here of what it holds, and a member `Runs`: the command that runs here, whatever
/// one is to run there; or `Answers`: the bytes that come in its place; and a member `Started`: a path here that is made
/// where it is started.
pub fn engine(folder: &Path, containers: Vec<Value>) -> String {
    let socket = folder.join("engine.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || {
        for call in listener.incoming() {
            answer(call.unwrap(), &containers);
        }
    });
    format!("unix://{}", socket.display())
}

/// A container in an engine's list, with this folder mounted as the trust folder, and its port 2222 at this
/// one of loopback.
pub fn container(id: &str, state: &str, trust: &Path, port: u16) -> Value {
    json!({
        "Id": id,
        "Names": [format!("/{id}-name")],
        "State": state,
        "Labels": {},
        "Mounts": [{ "Source": trust, "Destination": crate::trust::MOUNT_TARGET }],
        "Ports": [{ "IP": "127.0.0.1", "PrivatePort": 2222, "PublicPort": port, "Type": "tcp" }],
    })
}

/// One connection, with as many questions as it brings.
fn answer(call: UnixStream, containers: &[Value]) {
    let mut lines = BufReader::new(call.try_clone().unwrap());
    loop {
        let mut question = String::new();
        while !question.ends_with("\r\n\r\n") {
            if lines.read_line(&mut question).unwrap_or(0) == 0 {
                return;
            }
        }
        let length = question.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            let is_it = name.eq_ignore_ascii_case("content-length");
            is_it.then(|| value.trim().parse::<usize>().unwrap())
        });
        let mut body = vec![0; length.unwrap_or(0)];
        if lines.read_exact(&mut body).is_err() {
            return;
        }
        let asked = question.split(' ').nth(1).unwrap_or_default();
        let (path, query) = asked.split_once('?').unwrap_or((asked, ""));
        let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
        let found = match parts[..] {
            [.., "containers", "json"] => Some(list(containers, query).to_string().into()),
            [.., "containers", id, "json"] => {
                let one = containers.iter().find(|it| it["Id"] == id);
                one.map(|it| it["Inspected"].to_string().into())
            }
            [.., "containers", id, "archive"] => file(containers, id, query),
            [.., "containers", id, "exec"] => {
                let known = containers.iter().any(|it| it["Id"] == id);
                known.then(|| json!({ "Id": id }).to_string().into())
            }
            [.., "containers", id, "start"] => {
                let one = containers.iter().find(|it| it["Id"] == id);
                let path = one.and_then(|it| it["Started"].as_str());
                path.map(|path| fs::write(path, "").unwrap())
                    .map(|()| Vec::new())
            }
            [.., "exec", id, "start"] => {
                let one = containers.iter().find(|it| it["Id"] == id).unwrap();
                return run(call, lines.buffer(), one);
            }
            _ => None,
        };
        let missing = || json!({ "message": "no such thing" }).to_string().into();
        let (status, body) = match found {
            Some(body) => ("200 OK", body),
            None => ("404 Not Found", missing()),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Type: application/json");
        let head = format!("{head}\r\nContent-Length: {}\r\n\r\n", body.len());
        if (&call).write_all(&[head.into(), body].concat()).is_err() {
            return;
        }
    }
}

/// Goes on as the stdin and stdout of what the container runs, as an engine does where there is no terminal: what
/// comes from there in frames.
fn run(call: UnixStream, first: &[u8], container: &Value) {
    let upgraded = "HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";
    (&call).write_all(upgraded.as_bytes()).unwrap();
    if let Some(bytes) = container["Answers"].as_array() {
        let bytes: Vec<_> = bytes.iter().map(|it| it.as_u64().unwrap() as u8).collect();
        let _ = (&call).write_all(&bytes);
        return;
    }
    let words = container["Runs"].as_array().unwrap();
    let words: Vec<_> = words.iter().map(|it| it.as_str().unwrap()).collect();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut command = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = command.stdin.take().unwrap();
    stdin.write_all(first).unwrap();
    let from = call.try_clone().unwrap();
    // Not by `copy`, whose `splice` keeps the reader of the pipe waiting for the next piece.
    thread::spawn(move || {
        let mut piece = vec![0; 32 * 1024];
        while let Ok(count @ 1..) = (&from).read(&mut piece) {
            if stdin.write_all(&piece[..count]).is_err() {
                return;
            }
        }
    });
    let said = command.stderr.take().unwrap();
    let to = Mutex::new(&call);
    thread::scope(|scope| {
        scope.spawn(|| frames(2, said, &to));
        frames(1, command.stdout.take().unwrap(), &to);
    });
    let _ = call.shutdown(Shutdown::Both);
    let _ = command.wait();
}

/// Each piece with the number of its stream and its length in front.
fn frames(stream: u8, mut from: impl Read, to: &Mutex<&UnixStream>) {
    let mut piece = vec![0; 32 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece) {
        let length = u32::try_from(count).unwrap().to_be_bytes();
        let frame = [&[stream, 0, 0, 0], &length[..], &piece[..count]].concat();
        if to.lock().unwrap().write_all(&frame).is_err() {
            return;
        }
    }
}

/// A file of a container as it is now, as an engine hands it out: in blocks of an archive.
fn file(containers: &[Value], id: &str, query: &str) -> Option<Vec<u8>> {
    let container = containers.iter().find(|it| it["Id"] == id)?;
    let asked = decoded(query.strip_prefix("path=")?);
    let mut archive = Path::new(&asked).file_name()?.as_encoded_bytes().to_vec();
    let text = fs::read(container["Files"][&asked].as_str()?).ok()?;
    archive.resize(512, 0);
    archive.extend(&text);
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    Some(archive)
}

/// Those with all the labels, and one of the mounts' sources, that are asked for; unless all are asked for, of those that
/// run.
fn list(containers: &[Value], query: &str) -> Value {
    let filters = query.split('&').find_map(|it| it.strip_prefix("filters="));
    let filters: Value = filters.map_or(Value::Null, |it| {
        serde_json::from_str(&decoded(it)).unwrap()
    });
    let wanted = |name: &str| -> Vec<String> {
        let values = filters[name].as_array().cloned().unwrap_or_default();
        values
            .iter()
            .map(|it| it.as_str().unwrap().into())
            .collect()
    };
    let (labels, volumes) = (wanted("label"), wanted("volume"));
    let states: &[&str] = match query.split('&').any(|it| it == "all=true") {
        true => &[],
        false => &["running", "paused"],
    };
    let fits = |container: &&Value| {
        let state = container["State"].as_str().unwrap_or_default();
        let has_state = states.is_empty() || states.contains(&state);
        let has_label = |label: &String| {
            let (name, value) = label.split_once('=').unwrap();
            container["Labels"][name] == value
        };
        let mounts = container["Mounts"].as_array();
        let has_volume = |volume: &String| {
            let mut mounts = mounts.into_iter().flatten();
            mounts.any(|mount| mount["Source"] == *volume)
        };
        has_state
            && labels.iter().all(has_label)
            && (volumes.is_empty() || volumes.iter().any(has_volume))
    };
    containers.iter().filter(fits).cloned().collect()
}

/// Without the percent signs of a query.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, left @ ..] = rest {
        rest = left;
        match first {
            b'%' => {
                let digits = std::str::from_utf8(&left[..2]).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = &left[2..];
            }
            b'+' => bytes.push(b' '),
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// A trust folder.
pub const TRUST: &str =
    "/home/me/.config/lace/ssh/trust/0000000000000000000000000000000000000000000000000001";

/// The containers in the text of an answer, as it is decoded where bollard does not understand it.
pub fn containers(answer: &[u8]) -> serde_json::Result<Vec<Container>> {
    let list: Vec<Summary> = serde_json::from_slice(answer)?;
    Ok(list.into_iter().map(Container::from).collect())
}

/// One container of a list, with these members besides.
pub fn with(members: Value) -> Container {
    let mut one = json!({ "Id": "0123", "Names": ["/name", "/other"], "State": "running" });
    let known = one.as_object_mut().unwrap();
    known.extend(members.as_object().unwrap().clone());
    let strict =
        serde_json::from_value(one.clone()).map(|it: ContainerSummary| Summary::from(it).into());
    let container = containers(json!([one]).to_string().as_bytes())
        .unwrap()
        .remove(0);
    // Where bollard understands it, that is the same.
    assert_eq!(strict.ok(), Some(container.clone()), "{one}");
    container
}
