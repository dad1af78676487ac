//! `remoteEnv`: what a session has in its environment beside what its container has.
//!
//! As images, Features and the config file say it in the container's label, which may come from a stranger: what would take
//! a value from this machine (`${localEnv:…}`, and so on) is left out. What the container's own environment has
//! (`${containerEnv:…}`) is put in where that is known, in the container.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// The variables that these entries of a label set, the last one that names a variable wins; `folder` is where the workspace
/// is in the container.
///
/// Left out is what needs something of this machine, or is on more than one line.
pub fn remote_env(metadata: &[Value], folder: Option<&Path>) -> BTreeMap<String, String> {
    let members = metadata
        .iter()
        .filter_map(|entry| entry.get("remoteEnv")?.as_object());
    // `null` takes back what an earlier one says.
    let last: BTreeMap<_, _> = members.flatten().collect();
    let told = last.into_iter().filter_map(|(name, value)| {
        let value = substitute(value.as_str()?, folder)?;
        let is_plain = |text: &str| !text.contains(['\0', '\n', '\r']);
        (is_plain(name) && is_plain(&value)).then_some((name.clone(), value))
    });
    told.collect()
}

/// The text with its `${…}` as the CLI replaces them; none where this machine would tell.
fn substitute(text: &str, folder: Option<&Path>) -> Option<String> {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, from)) = rest.split_once("${")
        && let Some((variable, after)) = from.split_once('}')
    {
        done.push_str(before);
        match variable.split(':').next().unwrap_or_default() {
            "containerWorkspaceFolder" => done.push_str(folder?.to_str()?),
            "containerWorkspaceFolderBasename" => done.push_str(folder?.file_name()?.to_str()?),
            "env"
            | "localEnv"
            | "localWorkspaceFolder"
            | "localWorkspaceFolderBasename"
            | "devcontainerId" => return None,
            _ => {
                done.push_str("${");
                done.push_str(variable);
                done.push('}');
            }
        }
        rest = after;
    }
    Some(done + rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(metadata: Value) -> Vec<String> {
        let folder = Some(Path::new("/workspaces/my project"));
        let entries = metadata.as_array().unwrap();
        let all = remote_env(entries, folder).into_iter();
        all.map(|(name, value)| format!("{name}={value}")).collect()
    }

    #[test]
    fn the_last_entry_wins_and_null_takes_back() {
        let metadata = json!([
            { "remoteEnv": { "A": "1", "B": "1", "C": "1" } },
            { "remoteUser": "me", "remoteEnv": 3 },
            "x",
            { "remoteEnv": { "B": "2", "C": null, "D": 4 } },
        ]);
        assert_eq!(told(metadata), ["A=1", "B=2"]);
    }

    #[test]
    fn where_the_workspace_is_is_put_in_and_what_the_container_knows_is_left_to_it() {
        for (text, expected) in [
            ("${containerEnv:PATH}:/own", "${containerEnv:PATH}:/own"),
            ("${containerEnv:A:b:c}", "${containerEnv:A:b:c}"),
            (
                "${containerWorkspaceFolder}/src",
                "/workspaces/my project/src",
            ),
            ("${containerWorkspaceFolderBasename}", "my project"),
            (
                "$HOME ${HOME} ${containerEnv} ${ open",
                "$HOME ${HOME} ${containerEnv} ${ open",
            ),
            (
                "${a}${containerWorkspaceFolder}${b}",
                "${a}/workspaces/my project${b}",
            ),
        ] {
            let metadata = json!([{ "remoteEnv": { "A": text } }]);
            assert_eq!(told(metadata), [format!("A={expected}")], "{text}");
        }
    }

    #[test]
    fn what_this_machine_would_tell_is_left_out_and_so_is_what_is_no_line() {
        for text in [
            "${localEnv:SECRET}",
            "x${localEnv:SECRET:default}y",
            "${env:SECRET}",
            "${localWorkspaceFolder}",
            "${localWorkspaceFolderBasename}",
            "${devcontainerId}",
            "a\nb",
            "a\rb",
            "a\0b",
        ] {
            let metadata = json!([{ "remoteEnv": { "A": text, "B": "b" } }]);
            assert_eq!(told(metadata), ["B=b"], "{text:?}");
        }
        let odd = json!([{ "remoteEnv": { "A\nB": "x" } }]);
        assert_eq!(told(odd), [] as [&str; 0]);
        let unknown = json!({ "remoteEnv": { "A": "${containerWorkspaceFolder}" } });
        assert!(remote_env(&[unknown], None).is_empty());
    }
}
