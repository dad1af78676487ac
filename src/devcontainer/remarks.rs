//! What a `devcontainer.json` says that is no fault, and that somebody who sets up ssh should know.

use jsonc_parser::ast::Value as Node;
use serde_json::Value;

use super::document::{Document, range_of, to_value};
use super::options::{KeyScope, Options, Rotation, is_user};
use super::problem::Problem;
use super::publish::{is_open_to_all, published, publishes};

/// The remarks on a document with these options; each with its place and the way out.
pub fn remarks(document: &Document<'_>, options: &Options) -> Vec<Problem> {
    let port = options.port;
    let mut remarks = Vec::new();
    remarks.extend(open_ports(document, port));
    remarks.extend(host_network(document));
    remarks.extend(rotated_by_hand(document, options));
    remarks.extend(nameless(document, options));
    remarks
}

/// A number as `remoteUser`: for engines it is an account, for sshd not.
fn nameless(document: &Document<'_>, options: &Options) -> Option<Problem> {
    let found = document.member("remoteUser").ok()??;
    let Node::StringLit(name) = &found.value else {
        return None;
    };
    // What a variable stands for is not known here.
    let is_known = is_user(&name.value) || name.value.contains('$');
    if options.user.is_some() || is_known {
        return None;
    }
    let message = "sshd knows accounts by their names, and this cannot be one: nobody could log in";
    let problem = Problem::at(document.body(), range_of(&found.value), message);
    Some(problem.with_hint("write the name here, or as \"user\" in customizations.lace.ssh"))
}

/// A policy decides about the dev container's own key alone.
fn rotated_by_hand(document: &Document<'_>, options: &Options) -> Option<Problem> {
    let name = match &options.key {
        KeyScope::Workspace => return None,
        KeyScope::User => "user",
        KeyScope::Named(name) => name,
    };
    if options.rotate == Rotation::Never {
        return None;
    }
    let range = document.range_of(&["customizations", "lace", "ssh", "rotate"])?;
    let message = "`rotate` is for a key of the dev container's own; one that others share is rotated by hand";
    let problem = Problem::at(document.body(), range, message);
    Some(problem.with_hint(format!("lace-ssh keys rotate {name}")))
}

/// `--network=host`: there is nothing to publish, and sshd listens on all interfaces of this machine.
fn host_network(document: &Document<'_>) -> Option<Problem> {
    let found = document.member("runArgs").ok()??;
    let Node::Array(array) = &found.value else {
        return None;
    };
    let words: Vec<Value> = array.elements.iter().map(to_value).collect();
    let word = |i: usize| words.get(i).and_then(Value::as_str).unwrap_or_default();
    let is_host = |i: &usize| match word(*i) {
        "--network=host" | "--net=host" => true,
        "--network" | "--net" => word(i + 1) == "host",
        _ => false,
    };
    let at = (0..words.len()).find(is_host)?;
    let message =
        "in the network of the host, sshd is open to other machines and has no published port";
    let problem = Problem::at(document.body(), range_of(&array.elements[at]), message);
    Some(problem.with_hint("without it, ssh works"))
}

/// Ways in which sshd's port is published to other machines.
fn open_ports(document: &Document<'_>, port: u16) -> Vec<Problem> {
    let mut open = Vec::new();
    if let Ok(Some(found)) = document.member("runArgs")
        && let Node::Array(array) = &found.value
    {
        let arguments: Vec<Value> = array.elements.iter().map(to_value).collect();
        let words: Vec<&str> = arguments
            .iter()
            .map(|argument| argument.as_str().unwrap_or_default())
            .collect();
        let ours = published(&words)
            .into_iter()
            .filter(|published| published.is_of(port) && is_open_to_all(published.spec));
        open.extend(ours.map(|published| range_of(&array.elements[published.last])));
    }
    if let Ok(Some(found)) = document.member("appPort") {
        let elements = match &found.value {
            Node::Array(array) => array.elements.iter().collect(),
            single => vec![single],
        };
        // The devcontainer CLI publishes numbers on 127.0.0.1.
        open.extend(elements.into_iter().filter_map(|element| match element {
            Node::StringLit(spec)
                if publishes(&spec.value, port) && is_open_to_all(&spec.value) =>
            {
                Some(range_of(element))
            }
            _ => None,
        }));
    }
    let message = "this lets other machines connect to sshd";
    let hint = format!("keep it to this machine: 127.0.0.1::{port}");
    let remark = |range| Problem::at(document.body(), range, message).with_hint(hint.clone());
    open.into_iter().map(remark).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<String> {
        let document = Document::parse(text).unwrap();
        let remarks = remarks(&document, &Options::default());
        remarks.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_port_that_is_open_to_other_machines_is_remarked_on() {
        for open in [
            r#"{ "runArgs": ["--publish=2222:2222"] }"#,
            r#"{ "runArgs": ["--init", "-p", "0.0.0.0::2222"] }"#,
            r#"{ "runArgs": ["-p", "[::]:22:2222/tcp"] }"#,
            r#"{ "appPort": "2222:2222" }"#,
            r#"{ "appPort": [80, "0:2222"] }"#,
        ] {
            let said = of(open);
            assert!(
                said.len() == 1 && said[0].ends_with("connect to sshd"),
                "{said:?}"
            );
        }
        for closed in [
            "{}",
            r#"{ "runArgs": ["--publish=127.0.0.1::2222", "-p", "80:80"] }"#,
            r#"{ "runArgs": ["-p", "[::1]::2222"] }"#,
            r#"{ "appPort": [2222, "127.0.0.1::2222"] }"#,
        ] {
            assert_eq!(of(closed), Vec::<String>::new(), "{closed}");
        }
    }

    #[test]
    fn a_number_as_remote_user_is_remarked_on_unless_the_options_name_the_account() {
        let said = of(r#"{ "remoteUser": "1000" }"#);
        assert!(said.len() == 1 && said[0].contains("knows accounts by their names"));
        let document = Document::parse(r#"{ "remoteUser": "1000" }"#).unwrap();
        let named = Options {
            user: Some("me".into()),
            ..Options::default()
        };
        assert!(remarks(&document, &named).is_empty());
        for good in ["me", "${localEnv:USER}"] {
            let text = format!(r#"{{ "remoteUser": "{good}" }}"#);
            assert!(of(&text).is_empty(), "{good}");
        }
    }

    #[test]
    fn the_network_of_the_host_is_remarked_on() {
        for host in ["\"--network=host\"", "\"--init\", \"--net\", \"host\""] {
            let said = of(&format!("{{ \"runArgs\": [{host}] }}"));
            assert!(
                said.len() == 1 && said[0].contains("network of the host"),
                "{said:?}"
            );
        }
        assert!(of(r#"{ "runArgs": ["--network=mine"] }"#).is_empty());
    }
}
