//! Mounts: what one means, whichever way it is written, and which of them are ours.
//!
//! Pure values; where a mount stands in the text is not known here.

use serde_json::Value;

use crate::trust::MOUNT_TARGET;

/// The host folder that is mounted there.
const SOURCE: &str = "${localEnv:HOME}/.config/lace/ssh/trust/${devcontainerId}";

/// The mount as it is written. The object form would lose `readonly` in the devcontainer CLI.
pub const MOUNT: &str = "source=${localEnv:HOME}/.config/lace/ssh/trust/${devcontainerId},\
                         target=/etc/lace-ssh,type=bind,readonly";

/// Whose mount it is, and whether it is still right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// Ours, and means what we would write.
    Ours,
    /// Ours, with options that somebody added.
    Extended,
    /// Ours, but of another store, target or form.
    Outdated,
    /// A hand-made key file as `authorized_keys`: what lace used before.
    Legacy,
    /// Somebody else's, at our target.
    Intruder,
    /// None of our business.
    Other,
}

/// What a mount means.
#[derive(Debug, Default, PartialEq, Eq)]
struct Mount {
    kind: String,
    source: String,
    target: String,
    readonly: bool,
    others: usize,
    is_object: bool,
}

/// Whose mount this element of `mounts` is; `None` if it is neither a string nor an object.
pub(super) fn owner(element: &Value) -> Option<Owner> {
    let mount = read(element)?;
    let at_target = mount.target == MOUNT_TARGET;
    let (is_trust, is_kept) = (ends_in_trust(&mount.source), is_store(&mount.source));
    if mount.kind == "bind" && at_target && mount.source == SOURCE {
        return Some(match (mount.readonly && !mount.is_object, mount.others) {
            (true, 0) => Owner::Ours,
            (true, _) => Owner::Extended,
            (false, _) => Owner::Outdated,
        });
    }
    let bind = mount.kind == "bind" || mount.kind.is_empty();
    Some(if bind && is_legacy(&mount) {
        Owner::Legacy
    } else if bind && ((is_trust && is_kept) || (at_target && (is_trust || is_kept))) {
        Owner::Outdated
    } else if at_target {
        Owner::Intruder
    } else {
        Owner::Other
    })
}

/// Whether a whole `devcontainer.json` has a hand-made mount of before.
pub fn has_legacy(config: &Value) -> bool {
    let mounts = config.get("mounts").and_then(Value::as_array);
    let legacy = |element| owner(element) == Some(Owner::Legacy);
    mounts.into_iter().flatten().any(legacy)
}

fn read(element: &Value) -> Option<Mount> {
    let mut mount = Mount::default();
    match element {
        Value::String(text) => {
            for field in fields(text) {
                let (key, value) = field.split_once('=').unwrap_or((&field, ""));
                set(&mut mount, key, value);
            }
        }
        Value::Object(members) => {
            mount.is_object = true;
            for (key, value) in members {
                match value {
                    Value::String(value) => set(&mut mount, key, value),
                    Value::Bool(value) => set(&mut mount, key, &value.to_string()),
                    _ => mount.others += 1,
                }
            }
        }
        _ => return None,
    }
    Some(mount)
}

fn set(mount: &mut Mount, key: &str, value: &str) {
    let value = value.trim();
    match key.trim().to_ascii_lowercase().as_str() {
        "type" => mount.kind = value.to_ascii_lowercase(),
        "source" | "src" => mount.source = path(value),
        "target" | "dst" | "destination" => mount.target = path(value),
        // Docker takes the key alone as true.
        "readonly" | "ro" => mount.readonly = matches!(value, "" | "true" | "1"),
        _ => mount.others += 1,
    }
}

/// The comma-separated fields of `--mount`, which may be in double quotes as in CSV.
fn fields(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match (c, fields.last_mut()) {
            ('"', _) => quoted = !quoted,
            (',', _) if !quoted => fields.push(String::new()),
            (c, Some(field)) => field.push(c),
            (_, None) => {}
        }
    }
    fields.retain(|field| !field.trim().is_empty());
    fields
}

/// A path without doubled or trailing slashes; backslashes are Windows' slashes.
fn path(text: &str) -> String {
    let mut path = String::with_capacity(text.len());
    for c in text.chars() {
        let c = if c == '\\' { '/' } else { c };
        if c != '/' || !path.ends_with('/') {
            path.push(c);
        }
    }
    if path.len() > 1 && path.ends_with('/') {
        path.pop();
    }
    path
}

/// `…/trust/<dev container ID>`.
fn ends_in_trust(source: &str) -> bool {
    let mut steps = source.rsplit('/');
    let id = steps.next().unwrap_or_default();
    let is_id = id == "${devcontainerId}"
        || (id.len() == 52 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'v')));
    is_id && steps.next() == Some("trust")
}

/// A path into a store of lace's keys, now or before.
fn is_store(source: &str) -> bool {
    let steps: Vec<&str> = source.split('/').collect();
    let is_store = |pair: &[&str]| match pair {
        ["lace" | ".lace", "ssh"] | [_, ".lace-ssh"] | ["share", "lace-ssh"] => true,
        // A folder of that name anywhere else may be anybody's.
        [hidden, "lace-ssh"] => hidden.starts_with('.'),
        _ => false,
    };
    source.contains("LACE_SSH_HOME") || steps.windows(2).any(is_store)
}

/// A key of lace's or weft's, mounted as somebody's `authorized_keys`.
fn is_legacy(mount: &Mount) -> bool {
    let file = mount.source.rsplit('/').next().unwrap_or_default();
    let key = mount.source.ends_with("/.config/lace/ssh/id_ed25519")
        || mount.source.ends_with("/.config/lace/ssh/id_ed25519.pub")
        || ((file.starts_with("lace_devcontainer") || file.starts_with("weft_devcontainer"))
            && mount.source.ends_with(&format!("/.ssh/{file}")));
    // Which file such a path means is not said by how it ends.
    let direct = !mount
        .source
        .split('/')
        .any(|step| matches!(step, "." | ".."))
        && !mount
            .source
            .starts_with(|c: char| !matches!(c, '/' | '~' | '$'));
    key && direct && mount.target.ends_with("/.ssh/authorized_keys")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(text: &str) -> Owner {
        owner(&json!(text)).unwrap()
    }

    #[test]
    fn ours_in_every_spelling() {
        assert_eq!(of(MOUNT), Owner::Ours, "at {MOUNT_TARGET}");
        let source = format!("src={SOURCE}/");
        assert_eq!(
            of(&format!("type=bind,{source},dst=/etc/lace-ssh,ro")),
            Owner::Ours
        );
        assert_eq!(
            of(&format!(
                "Type=BIND,{source},destination=/etc//lace-ssh/,ro=1"
            )),
            Owner::Ours
        );
        assert_eq!(
            of(&format!(
                "\"{source}\",type=bind,target={MOUNT_TARGET},readonly=true"
            )),
            Owner::Ours
        );
    }

    #[test]
    fn ours_changed() {
        assert_eq!(of(&format!("{MOUNT},consistency=cached")), Owner::Extended);
        assert_eq!(of(MOUNT.trim_end_matches(",readonly")), Owner::Outdated);
        assert_eq!(of(&format!("{MOUNT}=false")), Owner::Outdated);
        assert_eq!(
            of(&MOUNT.replace("/etc/lace-ssh", "/run/lace")),
            Owner::Outdated
        );
        assert_eq!(
            of(&MOUNT.replace(".config/lace/ssh", ".lace-ssh")),
            Owner::Outdated
        );
        let object = json!({ "type": "bind", "source": SOURCE, "target": MOUNT_TARGET });
        assert_eq!(owner(&object), Some(Owner::Outdated));
    }

    #[test]
    fn keys_from_before() {
        let target = "target=/home/vscode/.ssh/authorized_keys,type=bind,readonly";
        for source in [
            "${localEnv:HOME}/.config/lace/ssh/id_ed25519.pub",
            "${localEnv:HOME}/.config/lace/ssh/id_ed25519",
            "~/.ssh/lace_devcontainer.pub",
            "/home/ann/.ssh/weft_devcontainer_work.pub",
        ] {
            assert_eq!(
                of(&format!("source={source},{target}")),
                Owner::Legacy,
                "{source}"
            );
        }
        assert_eq!(
            of(&format!("source=~/.ssh/id_ed25519.pub,{target}")),
            Owner::Other
        );
        for source in [
            "${localEnv:HOME}/.config/lace/ssh/../../../p/.config/lace/ssh/id_ed25519",
            "~/.ssh/../p/.ssh/lace_devcontainer",
            "p/.config/lace/ssh/id_ed25519",
            "./.ssh/lace_devcontainer",
        ] {
            assert_eq!(
                of(&format!("source={source},{target}")),
                Owner::Other,
                "{source}"
            );
        }
        let elsewhere = "source=~/.ssh/lace_devcontainer.pub,target=/tmp/key.pub,type=bind";
        assert_eq!(of(elsewhere), Owner::Other);
    }

    #[test]
    fn of_somebody_else() {
        assert_eq!(
            of("source=/srv/keys,target=/etc/lace-ssh,type=bind"),
            Owner::Intruder
        );
        assert_eq!(
            of("source=/srv/lace-ssh,target=/etc/lace-ssh,type=bind"),
            Owner::Intruder
        );
        assert_eq!(
            of("source=lace-ssh,target=/etc/lace-ssh,type=volume"),
            Owner::Intruder
        );
        assert_eq!(of("type=tmpfs,target=/etc/lace-ssh"), Owner::Intruder);
        assert_eq!(
            of("source=a,target=/etc/lace-ssh-2,type=volume"),
            Owner::Other
        );
        assert_eq!(owner(&json!(3)), None);
    }
}
