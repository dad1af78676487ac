//! Quoting for the grammars that a path of ours ends up in.

use std::path::Path;

use anyhow::{Result, anyhow};

use crate::advice::{Advise, failure, shell};

/// A path as one argument of an `ssh_config` line: `%` doubled, in quotes where it needs them.
///
/// # Errors
/// The path has a character that no quoting of `ssh_config` can carry.
pub fn ssh_config(path: &Path) -> Result<String> {
    let text = safe(path)?.replace('%', "%%");
    Ok(if text.contains([' ', '\'', '#', '=']) {
        format!("\"{text}\"")
    } else {
        text
    })
}

/// A path as the argument of an `Include`, where `%` is no escape and patterns are.
///
/// # Errors
/// As [`ssh_config`]; also where the path looks like a pattern.
pub fn include(path: &Path) -> Result<String> {
    let text = ssh_config(path)?;
    if text.contains(['%', '*', '?', '[']) {
        return Err(failure(
            format!("{} cannot be included by an ssh_config", path.display()),
            "use a path without `%`, `*`, `?` and `[` (LACE_SSH_HOME moves the store)",
        ));
    }
    Ok(text)
}

/// All files of a folder as the argument of an `Include`.
///
/// # Errors
/// As [`include`].
pub fn include_all(folder: &Path) -> Result<String> {
    let text = include(folder)?;
    Ok(match text.strip_suffix('"') {
        Some(open) => format!("{open}/*\""),
        None => format!("{text}/*"),
    })
}

/// How the path of a control socket begins; ssh makes the rest of it from who connects where.
///
/// # Errors
/// As [`ssh_config`].
pub fn control_path(start: &Path) -> Result<String> {
    let text = ssh_config(start)?;
    Ok(match text.strip_suffix('"') {
        Some(open) => format!("{open}%C\""),
        None => format!("{text}%C"),
    })
}

/// A path as one word for the shell that runs a `ProxyCommand`, `%` doubled for ssh.
///
/// # Errors
/// As [`ssh_config`].
pub fn proxy_command(path: &Path) -> Result<String> {
    safe(path)?;
    Ok(shell(path).replace('%', "%%"))
}

fn safe(path: &Path) -> Result<String> {
    let text = path.to_str().filter(|text| {
        !text.contains(|c: char| c.is_control() || c == '"' || c == '\\' || c == '$')
    });
    text.map(str::to_owned)
        .ok_or_else(|| anyhow!("{} cannot be written into an ssh_config", path.display()))
        .hint("use a path without quotes, `\\`, `$` and control characters (LACE_SSH_HOME moves the store)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_keep_their_meaning() {
        assert_eq!(ssh_config(Path::new("/home/me/x")).unwrap(), "/home/me/x");
        assert_eq!(
            ssh_config(Path::new("/home/my me/100%")).unwrap(),
            "\"/home/my me/100%%\""
        );
        assert_eq!(
            proxy_command(Path::new("/opt/it's 5%")).unwrap(),
            r"'/opt/it'\''s 5%%'"
        );
        for bad in ["/a\"b", "/a\nb", "/a\\b", "/a\rb", "/a${HOME}"] {
            assert!(
                ssh_config(Path::new(bad)).is_err() && proxy_command(Path::new(bad)).is_err(),
                "{bad:?}"
            );
        }
    }
}
