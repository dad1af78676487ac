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

/// A path between the quotes of a systemd unit.
///
/// # Errors
/// As [`ssh_config`].
pub fn unit(path: &Path) -> Result<String> {
    Ok(safe(path)?.replace('%', "%%"))
}

fn safe(path: &Path) -> Result<String> {
    let text = path.to_str().filter(|text| {
        !text.contains(|c: char| c.is_control() || c == '"' || c == '\\' || c == '$')
    });
    text.map(str::to_owned)
        .ok_or_else(|| anyhow!("{} cannot be written into an ssh_config", path.display()))
        .hint("use a path without quotes, `\\`, `$` and control characters (LACE_SSH_HOME moves the store)")
}

/// The path of our own program, as one of these writes it.
///
/// # Errors
/// As there; what helps the store helps it not.
pub fn of_program(program: &Path, quote: impl Fn(&Path) -> Result<String>) -> Result<String> {
    quote(program).map_err(|error| {
        failure(
            error.to_string(),
            "copy it into a folder whose path has no quotes, `\\`, `$` and control characters, such as /usr/local/bin, and call it there",
        )
    })
}

/// The words that run a program of ours from a ProxyCommand, for a store that is not in its usual place, too.
///
/// # Errors
/// As [`proxy_command`].
pub fn program(program: &Path, store: Option<&Path>) -> Result<String> {
    let program = of_program(program, proxy_command)?;
    Ok(match store {
        Some(store) => format!("env LACE_SSH_HOME={} {program}", proxy_command(store)?),
        None => program,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::advice::hint_of;
    use std::process::Command;

    /// A path with each character of a keyboard, and some beyond: those that can be written, and the others.
    fn paths() -> (Vec<String>, Vec<String>) {
        let all = ('\u{1}'..='\u{7f}').chain(['\u{85}', 'é', '漢', '\u{a0}']);
        all.map(|c| format!("/my{c}me"))
            .partition(|path| ssh_config(Path::new(path)).is_ok())
    }

    #[test]
    fn only_what_no_quoting_can_carry_is_refused() {
        let (_, refused) = paths();
        let seen: String = refused
            .iter()
            .flat_map(|path| path.chars())
            .filter(|c| !c.is_control() && !"/mye".contains(*c))
            .collect();
        assert_eq!(seen, "\"$\\");
        assert_eq!(refused.len(), 31 + 2 + 3, "control characters");
        for path in refused {
            let path = Path::new(&path);
            for quote in [
                ssh_config,
                include,
                include_all,
                control_path,
                proxy_command,
            ] {
                assert!(quote(path).is_err(), "{path:?}");
            }
        }
    }

    /// A hint that does not help sends its reader away.
    #[test]
    fn what_would_help_is_said_of_the_store_and_of_the_program() {
        let [plain, odd] = ["/x/lace-ssh", "/my$/x"].map(Path::new);
        let hint = |done: Result<String>| hint_of(&done.unwrap_err()).unwrap().to_owned();
        let store = "LACE_SSH_HOME moves the store";
        assert!(hint(program(plain, Some(odd))).contains(store));
        for told in [program(odd, None), of_program(odd, unit)].map(hint) {
            assert!(
                !told.contains("LACE_SSH_HOME") && told.starts_with("copy it into a folder"),
                "{told}"
            );
        }
    }

    #[test]
    fn ssh_reads_every_path_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        let (paths, _) = paths();
        let line =
            |path: &String| format!("IdentityFile {}\n", ssh_config(Path::new(path)).unwrap());
        std::fs::write(&file, paths.iter().map(line).collect::<String>()).unwrap();
        let asked = Command::new("ssh")
            .arg("-G")
            .arg("-F")
            .arg(&file)
            .arg("x")
            .output();
        let answer = String::from_utf8(asked.unwrap().stdout).unwrap();
        let read = answer
            .lines()
            .filter_map(|line| line.strip_prefix("identityfile "));
        // ssh expands `%%` only when it uses it.
        let wanted: Vec<String> = paths.iter().map(|path| path.replace('%', "%%")).collect();
        assert_eq!(read.collect::<Vec<_>>(), wanted);
    }

    /// Below a user's own `Include`, a pattern would take in files of strangers.
    #[test]
    fn no_path_is_a_pattern_of_an_include() {
        for path in ["/my%me", "/my*me", "/my?me", "/my[me"] {
            let path = Path::new(path);
            assert!(ssh_config(path).is_ok());
            assert!(
                include(path).is_err() && include_all(path).is_err(),
                "{path:?}"
            );
        }
        for (path, one, all) in [
            ("/home/me", "/home/me", "/home/me/*"),
            ("/my me", "\"/my me\"", "\"/my me/*\""),
            ("/it's", "\"/it's\"", "\"/it's/*\""),
        ] {
            assert_eq!(include(Path::new(path)).unwrap(), one);
            assert_eq!(include_all(Path::new(path)).unwrap(), all);
        }
    }

    #[test]
    fn a_control_path_ends_in_what_ssh_fills_in() {
        for (start, path) in [
            ("/mux/ab", "/mux/ab%C"),
            ("/my me/100%/ab", "\"/my me/100%%/ab%C\""),
        ] {
            assert_eq!(control_path(Path::new(start)).unwrap(), path);
        }
    }

    #[test]
    fn a_shell_reads_every_path_back_as_one_word_and_runs_nothing() {
        let (mut paths, _) = paths();
        paths.extend([
            "/it's `id` 5%; id & (x) | y > z".into(),
            "~/x".into(),
            "-e".into(),
        ]);
        let word = |path: &String| proxy_command(Path::new(path)).unwrap();
        let words: Vec<String> = paths.iter().map(word).collect();
        // ssh makes `%` of `%%` before a shell reads the line.
        let line = format!("printf '%s\\n' {}", words.join(" ").replace("%%", "%"));
        let said = Command::new("sh").arg("-c").arg(line).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert_eq!(said.lines().collect::<Vec<_>>(), paths);
        assert_eq!(proxy_command(Path::new("/opt/5%")).unwrap(), "/opt/5%%");
        assert_eq!(
            proxy_command(Path::new("/bin/lace-ssh")).unwrap(),
            "/bin/lace-ssh"
        );
    }
}
