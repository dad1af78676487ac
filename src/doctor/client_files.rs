//! The files that ssh reads, as they follow from the registry.

use std::path::Path;

use super::link::{Link, Remedy};
use super::patient::Patient;
use crate::durable;
use crate::ring::publish;
use crate::store::LARGEST_LIST;

/// Its name.
const NAME: &str = "client-files";

/// Looks.
pub fn check(patient: &Patient<'_>) -> Link {
    let store = &patient.app.store;
    let (saved, known) = patient.saved();
    let differing = publish::differing_for_clients(patient.app, patient.settings, saved, known);
    match differing.as_deref() {
        Ok([]) => {
            let files = format!("{} and known_hosts", store.config().display());
            Link::holds(NAME, format!("{files} have it"))
        }
        Ok(differing) => {
            let files: Vec<_> = differing
                .iter()
                .map(|it| it.display().to_string())
                .collect();
            let files = files.join(" and ");
            let config = durable::read(&store.config(), LARGEST_LIST).ok().flatten();
            let config =
                String::from_utf8_lossy(config.as_deref().unwrap_or_default()).into_owned();
            let called = program(&config, &known.alias).filter(|called| !exists(called));
            let gone = called.map_or_else(String::new, |it| {
                format!("; {it}, which ssh calls, is not there")
            });
            Link::breaks(NAME, format!("not as it must be in {files}{gone}"))
                .mended_by(Remedy::Mend(Some(known.alias.clone())))
        }
        // What is in the place of one is told by whoever would write it, with the way out.
        Err(error) => {
            Link::at_fault(NAME, error).mended_by(Remedy::Mend(Some(known.alias.clone())))
        }
    }
}

/// The program that ssh calls for this alias, as it is written in our configuration.
fn program<'c>(config: &'c str, alias: &str) -> Option<&'c str> {
    let end = format!(" proxy {alias}");
    let lines = config.lines().map(str::trim);
    let mut commands = lines.filter_map(|line| line.strip_prefix("ProxyCommand "));
    commands.find_map(|command| command.strip_suffix(&end))
}

fn exists(program: &str) -> bool {
    Path::new(program.trim_matches(['"', '\''])).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_program_ssh_calls_is_read_from_the_block_of_the_alias() {
        let config = "Host lace-xy\n    ProxyCommand /a proxy lace-xy\nHost lace-x\n  ProxyCommand '/b c' proxy lace-x\n";
        assert_eq!(program(config, "lace-x"), Some("'/b c'"));
        assert_eq!(program(config, "lace-xy"), Some("/a"));
        assert_eq!(program(config, "lace-y"), None);
        assert!(exists("'/'") && exists("\"/\"") && !exists("'/no such'"));
    }
}
