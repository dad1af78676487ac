//! What WezTerm reads: Lua that returns one entry of its `ssh_domains` for each dev container.
//!
//! WezTerm speaks SSH through libssh. Seen in its source, and in libssh's: it splits lists of files at every blank, takes
//! its pins from the first of them alone, and expands `%`, `~` and `$` in some values. So a path that it would not read as
//! it is meant is refused. A host that it cannot enter is left out.

use std::path::Path;

use anyhow::{Result, anyhow};

use super::openssh::{Host, Paths};
use super::quote;
use crate::advice::Advise;

/// The entries, as Lua that returns them. Hosts whose user is not known have none.
///
/// # Errors
/// WezTerm would read a path otherwise than it is meant.
pub fn domains(hosts: &[Host<'_>], paths: &Paths) -> Result<String> {
    let mut text = String::from(
        "-- Written by lace-ssh: the dev containers, for WezTerm's `config.ssh_domains`.\nreturn {\n",
    );
    for host in hosts {
        if let Some(user) = host.user {
            text.push_str(&domain(host, user, paths)?);
        }
    }
    text.push_str("}\n");
    Ok(text)
}

fn domain(host: &Host<'_>, user: &str, paths: &Paths) -> Result<String> {
    let alias = host.alias;
    let store = paths.store.as_deref().map(plain).transpose()?;
    let program = quote::program(Path::new(plain(&paths.program)?), store.map(Path::new))?;
    // While a rotation is under way, both are offered.
    let mut identities = plain(&host.identity)?.to_owned();
    if let Some(previous) = &host.previous {
        identities = format!("{identities} {}", plain(previous)?);
    }
    let options = [
        ("hostkeyalgorithms", "ssh-ed25519".to_owned()),
        ("identityfile", identities),
        ("proxycommand", format!("{program} proxy {alias}")),
        // Its releases take no descriptors, and read in our own configuration, which is for ssh, that they would.
        ("proxyusefdpass", "no".to_owned()),
        ("stricthostkeychecking", "yes".to_owned()),
        ("userknownhostsfile", plain(&paths.known_hosts)?.to_owned()),
    ];
    let options = options
        .map(|(name, value)| format!("      {name} = {},\n", string(&value)))
        .concat();
    Ok(format!(
        "  {{
    name = {alias},
    remote_address = {alias},
    username = {user},
    multiplexing = \"None\",
    assume_shell = \"Posix\",
    ssh_backend = \"LibSsh\",
    ssh_option = {{
{options}    }},
  }},
",
        alias = string(alias),
        user = string(user),
    ))
}

/// A path that is read as it is, wherever WezTerm and libssh read it.
fn plain(path: &Path) -> Result<&str> {
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+@,:".contains(c);
    let text = path.to_str().filter(|text| text.chars().all(is_plain));
    text.ok_or_else(|| anyhow!("WezTerm would not read {} as it is", path.display()))
        .hint("use a path of letters, digits and /._-+@,: (LACE_SSH_HOME moves the store; this program can lie anywhere)")
}

/// A string of Lua's that says this, whatever it is.
fn string(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'"' | b'\\' => format!("\\{}", char::from(byte)),
        0..=31 | 127.. => format!("\\{byte:03}"),
        _ => char::from(byte).to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::hint_of;
    use std::path::PathBuf;

    fn host(user: Option<&str>) -> Host<'_> {
        Host {
            alias: "lace-x",
            user,
            identity: "/s/keys/k/identity".into(),
            previous: None,
            certificate: None,
            renewed: false,
            encrypted: false,
            forwards_agent: false,
            listen: None,
        }
    }

    fn paths() -> Paths {
        Paths {
            program: "/bin/lace-ssh".into(),
            store: None,
            learnt: "/s/learnt".into(),
            known_hosts: "/s/known_hosts".into(),
            multiplex: None,
        }
    }

    #[test]
    fn a_domain_has_the_way_the_key_and_the_pin() {
        let text = domains(&[host(Some("vscode")), host(None)], &paths()).unwrap();
        assert_eq!(
            text,
            r#"-- Written by lace-ssh: the dev containers, for WezTerm's `config.ssh_domains`.
return {
  {
    name = "lace-x",
    remote_address = "lace-x",
    username = "vscode",
    multiplexing = "None",
    assume_shell = "Posix",
    ssh_backend = "LibSsh",
    ssh_option = {
      hostkeyalgorithms = "ssh-ed25519",
      identityfile = "/s/keys/k/identity",
      proxycommand = "/bin/lace-ssh proxy lace-x",
      proxyusefdpass = "no",
      stricthostkeychecking = "yes",
      userknownhostsfile = "/s/known_hosts",
    },
  },
}
"#
        );
        let rotated = Host {
            previous: Some("/s/keys/k/previous".into()),
            ..host(Some("vscode"))
        };
        let moved = Paths {
            store: Some("/other".into()),
            ..paths()
        };
        let text = domains(&[rotated], &moved).unwrap();
        for line in [
            "identityfile = \"/s/keys/k/identity /s/keys/k/previous\",\n",
            "proxycommand = \"env LACE_SSH_HOME=/other /bin/lace-ssh proxy lace-x\",\n",
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn a_path_that_is_read_otherwise_is_refused_wherever_it_is() {
        for path in [
            "/my me/x", "/~x", "/a%h", "/$x", "/a\"b", "/a\\b", "/a\nb", "/a'b",
        ] {
            let path = PathBuf::from(path);
            let hosts = [
                Host {
                    identity: path.clone(),
                    ..host(Some("x"))
                },
                Host {
                    previous: Some(path.clone()),
                    ..host(Some("x"))
                },
            ];
            for host in hosts {
                assert!(domains(&[host], &paths()).is_err(), "{path:?}");
            }
            let places: [fn(&mut Paths) -> &mut PathBuf; 3] = [
                |it| &mut it.program,
                |it| &mut it.known_hosts,
                |it| it.store.get_or_insert_default(),
            ];
            for place in places {
                let mut paths = paths();
                place(&mut paths).clone_from(&path);
                let error = domains(&[host(Some("x"))], &paths).unwrap_err();
                assert!(error.to_string().starts_with("WezTerm would not read /"));
                assert!(hint_of(&error).unwrap().contains("LACE_SSH_HOME"));
            }
        }
    }

    #[test]
    fn whatever_a_string_says_it_ends_where_it_ends() {
        for (text, lua) in [
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("\"..os.exit()..\"", r#""\"..os.exit()..\"""#),
            ("\\", r#""\\""#),
            ("a\n1", r#""a\0101""#),
            ("\0\u{1f}\u{7f}~", r#""\000\031\127~""#),
            ("é", r#""\195\169""#),
        ] {
            assert_eq!(string(text), lua);
        }
    }
}
