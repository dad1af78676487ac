//! A signer of the user's, in the place of the store's own CA: which dev containers it is for, and whether what it
//! gives is what it was asked for.
//!
//! It is believed in nothing but that its command is the user's: what it prints is taken for a certificate only
//! if it is one for that key, that principal and that time, by the CA that is expected.

use anyhow::{Context, Result};

use super::request::{Request, key_id};
use super::{command, revoked};
use crate::advice::{Advise, failure, shell};
use crate::app::{App, now};
use crate::keys::certificate::Flaw;
use crate::keys::principal::{Parts, Pattern, Scope};
use crate::keys::{Certificate, KeyPair, PublicKey, random};
use crate::settings::{self, Settings, signer};
use crate::store::registry::{DevContainer, Signer};
use crate::talk::say;

/// The way in by certificates of a dev container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Way {
    /// What they are for.
    pub principal: String,
    /// Who signs them; `None`: the store's own CA.
    pub signer: Option<Signer>,
}

impl Way {
    /// That of a dev container as it is; `None`: it trusts no certificates yet.
    pub fn of(known: &DevContainer) -> Option<Self> {
        Some(Self {
            principal: known.principal.clone()?,
            signer: known.signer.clone(),
        })
    }
}

/// Who signs for this dev container, as the user's settings are; `None`: the store's own CA.
pub fn chosen<'s>(
    app: &App,
    settings: &'s Settings,
    known: &DevContainer,
) -> Option<&'s signer::Signer> {
    let signer = settings.signer.as_ref()?;
    let workspace = known.workspace.as_ref()?;
    let home = &app.environment.home;
    signer.is_for(&workspace.folder, home).then_some(signer)
}

/// How many dev containers a certificate for this one opens.
pub fn scope(known: &DevContainer) -> Scope {
    let pattern = known
        .signer
        .as_ref()
        .map(|it| Pattern::parse(&it.principal));
    let pattern = pattern.and_then(Result::ok);
    pattern.unwrap_or_else(Pattern::own).scope()
}

/// Whether the key that signs for this dev container is in no file of the store, and may not be there to sign.
pub fn is_elsewhere(app: &App, settings: &Settings, known: &DevContainer) -> bool {
    settings.ca.is_some() || chosen(app, settings, known).is_some()
}

/// Whether the signer of a dev container that trusts certificates is the one of the settings.
pub fn is_chosen(app: &App, settings: &Settings, known: &DevContainer) -> bool {
    match (chosen(app, settings, known), &known.signer) {
        (None, None) => true,
        (Some(wanted), Some(signer)) => {
            let is_known = wanted.cas.is_empty() || wanted.cas == signer.cas;
            is_known && wanted.principal.text() == signer.principal
        }
        _ => false,
    }
}

/// The way in that the settings want for a dev container. A signer whose CA they do not name is asked for a
/// certificate, to learn it. `random`: of a new principal.
///
/// # Errors
/// No principal can be made; or the signer gives no certificate.
pub fn way(app: &App, settings: &Settings, known: &DevContainer, random: &[u8; 6]) -> Result<Way> {
    let wanted = chosen(app, settings, known);
    let own = Pattern::own();
    let pattern = wanted.map_or(&own, |wanted| &wanted.principal);
    let before = Way::of(known);
    let is_same = |way: &Way| match (&way.signer, wanted) {
        (None, None) => true,
        (Some(signer), Some(_)) => signer.principal == pattern.text(),
        _ => false,
    };
    let before = before.filter(is_same);
    let principal = match &before {
        Some(before) => before.principal.clone(),
        None => principal(app, pattern, &known.alias, random)?,
    };
    let Some(wanted) = wanted else {
        return Ok(Way {
            principal,
            signer: None,
        });
    };
    let learnt = before
        .and_then(|before| before.signer)
        .map(|signer| signer.cas);
    let cas = match (wanted.cas.is_empty(), learnt) {
        (false, _) => wanted.cas.clone(),
        (true, Some(cas)) => cas,
        (true, None) => vec![learn(app, wanted, known, &principal)?],
    };
    let signer = Some(Signer {
        principal: pattern.text().to_owned(),
        cas,
    });
    Ok(Way { principal, signer })
}

fn principal(app: &App, pattern: &Pattern, alias: &str, random: &[u8; 6]) -> Result<String> {
    let who = &app.environment.who;
    let user = who.rsplit_once('@').map_or(&**who, |(user, _)| user);
    let parts = Parts {
        user,
        alias,
        random: &base16ct::lower::encode_string(random),
    };
    let principal = pattern.principal(&parts);
    principal
        .with_context(|| {
            format!(
                "`signer.principal` in {}: {:?} makes no principal of the user {user:?} and {alias}",
                app.store.settings().display(),
                pattern.text()
            )
        })
        .hint("write another pattern; letters, digits and -_.@+:/ can be in a principal")
}

/// The CA by which it signs, from a certificate for a key that nobody has.
fn learn(
    app: &App,
    signer: &signer::Signer,
    known: &DevContainer,
    principal: &str,
) -> Result<String> {
    let seed = random::system_bytes::<32>()?;
    let public = KeyPair::generate(&seed, "lace-ssh")?.public();
    let key_id = key_id(app, &known.alias);
    let request = Request {
        public: &public,
        id: "",
        alias: &known.alias,
        principal,
        key_id: &key_id,
        ttl: known.certificate_ttl,
    };
    let certificate = ask(app, signer, known, &request)?;
    let ca = certificate.ca()?;
    check(&certificate, &request, std::slice::from_ref(&ca))?;
    say(format!(
        "{}: certificates for it are signed by {} {}; to have no other one trusted, write into `signer` of {}: \"ca\": [\"{}\"]",
        known.alias,
        ca.algorithm(),
        ca.fingerprint(),
        app.store.settings().display(),
        ca.render_bare()
    ));
    Ok(ca.render_bare())
}

/// A certificate that the signer of this dev container gives for this request.
///
/// # Errors
/// The settings name no signer for it any more; it gives none; or another one than was asked for.
pub(super) fn sign(
    app: &App,
    known: &DevContainer,
    trusted: &Signer,
    request: &Request<'_>,
) -> Result<Certificate> {
    let settings = settings::read(&app.store)?;
    let signer = chosen(app, &settings, known);
    let folder = known.workspace.as_ref().map(|it| it.folder.as_path());
    let up = folder.map(|folder| format!("devcontainer up --workspace-folder {}", shell(folder)));
    let signer = signer
        .with_context(|| {
            format!(
                "{} has no signer for {} any more, whose certificates are not signed here",
                app.store.settings().display(),
                known.alias
            )
        })
        .hint(up.unwrap_or_default())?;
    let certificate = ask(app, signer, known, request)?;
    let cas: Result<Vec<_>, _> = trusted.cas.iter().map(|ca| PublicKey::parse(ca)).collect();
    check(&certificate, request, &cas?)?;
    refuse_revoked(app, &certificate)?;
    Ok(certificate)
}

fn ask(
    app: &App,
    signer: &signer::Signer,
    known: &DevContainer,
    request: &Request<'_>,
) -> Result<Certificate> {
    let workspace = known.workspace.as_ref().context("it has no workspace")?;
    let public = request.public.render();
    let told = command::Told {
        public: &public,
        principal: request.principal,
        ttl: request.ttl,
        key_id: request.key_id,
        alias: request.alias,
        workspace: &workspace.folder,
    };
    let text = command::run(&signer.command, &told, &app.environment.home)?;
    Certificate::parse(&text)
        .context("what the signer printed is no certificate")
        .hint("it shall print the certificate, and nothing else, to stdout")
}

/// A signer that gives several certificates one number, or one name, gives one that opens nothing.
fn refuse_revoked(app: &App, certificate: &Certificate) -> Result<()> {
    let (serial, key_id) = (certificate.serial(), certificate.key_id());
    match revoked::read(&app.store)?.holds(serial, &key_id, None) {
        true => Err(failure(
            format!(
                "the signer's certificate is one that is revoked: by its number {serial}, or its key ID {key_id:?}"
            ),
            "what signs has to give each certificate another number; what is revoked: lace-ssh cert list",
        )),
        false => Ok(()),
    }
}

/// Its answer took some while, and its clock began to count when it signed.
fn check(certificate: &Certificate, request: &Request<'_>, cas: &[PublicKey]) -> Result<()> {
    let now = now();
    let checked = certificate.check(&request.terms(now), cas, now);
    checked.map_err(|flaw| {
        failure(
            format!("the signer's certificate for {} is not used: {flaw}", request.alias),
            match flaw {
                Flaw::Ca => format!(
                    "its CA is {}; where that is right, name it in `signer` of your settings, and run `devcontainer up` again: \"ca\": [\"{}\"]",
                    certificate.ca_fingerprint(),
                    certificate.ca().map(|ca| ca.render_bare()).unwrap_or_default()
                ),
                _ => format!(
                    "asked for were the principal {} and {} s from now on, and nothing else",
                    request.principal, request.ttl
                ),
            },
        )
    })
}

/// A signer for tests, by OpenSSH itself.
#[cfg(test)]
pub mod example {
    use std::path::Path;
    use std::process::Command;

    use serde_json::{Value, json};

    /// What an honest signer tells `ssh-keygen`.
    pub const HONEST: &str =
        "-I \"$LACE_SSH_KEY_ID\" -n \"$LACE_SSH_PRINCIPAL\" -V -1m:+${LACE_SSH_TTL}s";

    /// The `signer` of settings: one for the workspace `/p` whose CA is a new key of this type in `folder`. Says also
    /// the public half of that.
    pub fn signer(folder: &Path, kind: &str, arguments: &str) -> (Value, String) {
        let ca = folder.join(format!("company_{kind}"));
        if !ca.exists() {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-N", "", "-C", "", "-t", kind, "-f"]);
            assert!(keygen.arg(&ca).status().unwrap().success());
        }
        let script = format!(
            "f=$LACE_SSH_PUBLIC_KEY_FILE; ssh-keygen -q -s '{}' {arguments} \"$f\" && cat \"${{f%.pub}}-cert.pub\"",
            ca.display()
        );
        let value = json!({ "command": ["sh", "-c", script], "for": ["/p"] });
        let public = std::fs::read_to_string(ca.with_extension("pub")).unwrap();
        (value, public.trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::example::{HONEST, signer};
    use super::*;
    use crate::advice::hint_of;
    use crate::ca;
    use crate::environment::Environment;
    use crate::store::registry::Registry;
    use crate::talk::said;

    const RANDOM: [u8; 6] = [1; 6];

    /// A store whose settings have this signer.
    fn with(app: &App, signer: &Value) -> Settings {
        app.store.prepare().unwrap();
        let text = json!({ "signer": signer }).to_string();
        fs::write(app.store.settings(), text).unwrap();
        settings::read(&app.store).unwrap()
    }

    /// A dev container that is signed for by it.
    fn known(way: Way) -> DevContainer {
        DevContainer {
            principal: Some(way.principal),
            signer: way.signer,
            ..DevContainer::example("lace-x", "user")
        }
    }

    fn request<'a>(public: &'a PublicKey, principal: &'a str) -> Request<'a> {
        Request {
            public,
            id: "x",
            alias: "lace-x",
            principal,
            key_id: "mona@laptop lace-x",
            ttl: 300,
        }
    }

    #[test]
    fn a_signer_is_asked_for_its_workspaces_alone_and_its_ca_is_learnt_or_named() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let (mut value, ca) = signer(home.path(), "ed25519", HONEST);
        let settings = with(&app, &value);
        let plain = DevContainer::example("lace-x", "user");
        said();
        let learnt = way(&app, &settings, &plain, &RANDOM).unwrap();
        let told = said();
        assert!(told.contains(&format!("\"ca\": [\"{ca}\"]")), "{told}");
        assert_eq!(learnt.principal, "lace-x-010101010101");
        let it = learnt.signer.clone().unwrap();
        assert_eq!(
            (&*it.principal, &it.cas[..]),
            ("{alias}-{random}", &[ca.clone()][..])
        );
        // It stays, whatever the alias, and is not asked again.
        let mut there = known(learnt.clone());
        assert!(is_chosen(&app, &settings, &there));
        there.alias = "lace-other".into();
        value["command"] = json!(["false"]);
        let failing = with(&app, &value);
        assert_eq!(way(&app, &failing, &there, &[2; 6]).unwrap(), learnt);
        assert_eq!(said(), "");
        // Named, nobody is asked.
        value["ca"] = json!([ca]);
        value["principal"] = json!("{user}-{alias}");
        let named = with(&app, &value);
        assert!(!is_chosen(&app, &named, &there));
        let new = way(&app, &named, &plain, &RANDOM).unwrap();
        assert_eq!(new.principal, "mona-lace-x");
        let there = known(new.clone());
        assert!(is_chosen(&app, &named, &there));
        assert_eq!(way(&app, &named, &there, &[2; 6]).unwrap(), new);
        let other =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFpzBb55yPS8dfrcncm6eDxReHU/l8/yk6BLkuC4pf+6";
        value["ca"] = json!([other]);
        let other_ca = with(&app, &value);
        assert!(!is_chosen(&app, &other_ca, &there));
        let new = way(&app, &other_ca, &there, &RANDOM).unwrap();
        assert_eq!(
            (&*new.principal, &new.signer.unwrap().cas[..]),
            ("mona-lace-x", &[other.to_owned()][..])
        );
    }

    #[test]
    fn other_workspaces_are_none_of_its_business_and_what_makes_no_principal_is_told() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let (mut value, ca) = signer(home.path(), "ed25519", HONEST);
        value["command"] = json!(["false"]);
        let failing = with(&app, &value);
        (value["ca"], value["principal"]) = (json!([ca]), json!("{user}-{alias}"));
        let named = with(&app, &value);
        let plain = DevContainer::example("lace-x", "user");
        let there = known(way(&app, &named, &plain, &RANDOM).unwrap());
        // Other workspaces, and containers without any, are none of its business.
        for folder in [Some("/q"), None] {
            let mut elsewhere = plain.clone();
            match (&mut elsewhere.workspace, folder) {
                (Some(workspace), Some(folder)) => workspace.folder = folder.into(),
                (workspace, _) => *workspace = None,
            }
            let new = way(&app, &named, &elsewhere, &RANDOM).unwrap();
            assert_eq!(
                new,
                Way {
                    principal: "lace-x-010101010101".into(),
                    signer: None
                }
            );
            elsewhere.principal = Some("lace-old-1".into());
            assert!(is_chosen(&app, &named, &elsewhere));
            let new = way(&app, &named, &elsewhere, &RANDOM).unwrap();
            assert_eq!(new.principal, "lace-old-1");
        }
        // Back to the store's own CA with a principal of its own.
        let back = way(&app, &Settings::default(), &there, &RANDOM).unwrap();
        assert_eq!(
            back,
            Way {
                principal: "lace-x-010101010101".into(),
                signer: None
            }
        );
        let error = way(&app, &failing, &plain, &RANDOM).unwrap_err();
        assert!(
            error.to_string().contains("the signer false failed"),
            "{error:#}"
        );
        let odd = Environment {
            who: "DOMAIN\\mona@laptop".into(),
            ..environment.clone()
        };
        let error = way(&App::new(&odd), &named, &plain, &RANDOM).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("makes no principal of the user \"DOMAIN\\\\mona\""),
            "{error:#}"
        );
    }

    /// Each lie with what is told of it.
    #[test]
    fn a_signer_that_lies_is_found_out() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let (value, ca) = signer(home.path(), "ed25519", HONEST);
        let settings = with(&app, &value);
        let way = way(
            &app,
            &settings,
            &DevContainer::example("lace-x", "user"),
            &RANDOM,
        )
        .unwrap();
        let known = known(way);
        let trusted = known.signer.clone().unwrap();
        assert_eq!(trusted.cas, [ca]);
        let public = KeyPair::generate(&[3; 32], "me").unwrap().public();
        let asked = request(&public, known.principal.as_deref().unwrap());
        let signed = |kind: &str, arguments: &str| {
            with(&app, &signer(home.path(), kind, arguments).0);
            sign(&app, &known, &trusted, &asked).map(|_| ())
        };
        signed("ed25519", HONEST).unwrap();
        // For a shorter time, without any serial number, and from long ago: that harms nobody.
        signed(
            "ed25519",
            &HONEST.replace("-1m:+${LACE_SSH_TTL}s", "-1d:+1m"),
        )
        .unwrap();
        for (lie, told) in [
            (format!("-h {HONEST}"), "it is for a host"),
            (
                HONEST.replace("-n \"$LACE_SSH_PRINCIPAL\"", ""),
                "it has no principal",
            ),
            (
                HONEST.replace("$LACE_SSH_PRINCIPAL", "lace-y"),
                "another principal",
            ),
            (
                HONEST.replace("$LACE_SSH_PRINCIPAL", "$LACE_SSH_PRINCIPAL,root"),
                "another principal",
            ),
            (
                HONEST.replace("+${LACE_SSH_TTL}s", "+310s"),
                "longer than was asked",
            ),
            (
                HONEST.replace("-1m:+${LACE_SSH_TTL}s", "always:forever"),
                "longer than was asked",
            ),
            (
                HONEST.replace("-1m:+${LACE_SSH_TTL}s", "-2m:-1m"),
                "it has expired",
            ),
            (
                HONEST.replace("-1m:+${LACE_SSH_TTL}s", "+1m:+2m"),
                "not good yet: the clocks differ",
            ),
            (format!("-O force-command=id {HONEST}"), "critical option"),
            (
                format!("-O source-address=10.0.0.1 {HONEST}"),
                "critical option",
            ),
            (format!("-O no-touch-required {HONEST}"), "nobody touches"),
        ] {
            let error = signed("ed25519", &lie).unwrap_err().to_string();
            assert!(
                error.starts_with("the signer's certificate for lace-x is not used: "),
                "{error}"
            );
            assert!(error.contains(told), "{lie}: {error}");
        }
        let error = signed("ecdsa", HONEST).unwrap_err();
        assert!(
            error.to_string().contains("another CA has signed it"),
            "{error:#}"
        );
        let hint = hint_of(&error).unwrap();
        assert!(
            hint.contains("\"ca\": [\"ecdsa-sha2-nistp256 AAAA"),
            "{hint}"
        );
        let error = signed("rsa", &format!("-t ssh-rsa {HONEST}")).unwrap_err();
        assert!(error.to_string().contains("SHA-1"), "{error:#}");
        // Another key than the one that was asked for.
        let other = home.path().join("other.pub");
        fs::write(
            &other,
            KeyPair::generate(&[4; 32], "x").unwrap().public().render(),
        )
        .unwrap();
        let swapped = format!(
            "{HONEST} '{}'; cat '{}'; exit; :",
            other.display(),
            home.path().join("other-cert.pub").display()
        );
        let error = signed("ed25519", &swapped).unwrap_err().to_string();
        assert!(error.contains("it is for another key"), "{error}");
        // Garbage, two certificates, somebody's key, nothing.
        for printed in [
            "garbage",
            "",
            "ssh-ed25519 AAAA",
            &public.render(),
            "\u{1b}[2J",
        ] {
            with(
                &app,
                &json!({ "command": ["printf", "%s", printed], "for": ["/p"] }),
            );
            let error = sign(&app, &known, &trusted, &asked).unwrap_err();
            assert!(
                format!("{error:#}").contains("what the signer printed is no certificate"),
                "{error:#}"
            );
        }
    }

    #[test]
    fn a_certificate_of_a_signer_is_listed_and_kept_and_one_that_is_good_is_not_asked_for_again() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let (mut value, _) = signer(home.path(), "ed25519", &format!("-z 7 {HONEST}"));
        let settings = with(&app, &value);
        let way = way(
            &app,
            &settings,
            &DevContainer::example("lace-x", "user"),
            &RANDOM,
        )
        .unwrap();
        let mut ring = crate::ring::Ring::open(&app, "test").unwrap();
        ring.knows("x", "lace-x", "user");
        ring.take("x", way);
        ring.commit().unwrap();
        let registry: Registry = ring.registry.clone();
        drop(ring);
        let now = now();
        assert!(ca::is_settled(
            &app,
            &settings,
            &registry,
            &registry.devcontainers["x"]
        ));
        assert!(ca::renew(&app, &registry, "x", now).unwrap());
        assert!(!ca::renew(&app, &registry, "x", now).unwrap());
        let listed = ca::issued::all(&app.store).unwrap();
        assert_eq!(
            (listed.len(), listed[0].serial, &*listed[0].id),
            (1, 7, "x")
        );
        // The settings name it for other workspaces by now.
        value["for"] = json!(["/elsewhere"]);
        with(&app, &value);
        assert!(!ca::renew(&app, &registry, "x", now).unwrap());
        // Two thirds of its life are over, and it is good still; but not if it is revoked.
        assert!(!ca::renew(&app, &registry, "x", now + 250).unwrap());
        let mut list = revoked::Revocations::default();
        list.add(revoked::Revocation {
            what: revoked::What::Serial("7".into()),
            id: None,
            since: now,
            until: None,
            with: None,
        });
        revoked::write(&app.store, &list).unwrap();
        assert!(ca::renew(&app, &registry, "x", now + 250).is_err());
        let error = ca::renew(&app, &registry, "x", now + 300).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("has no signer for lace-x any more"),
            "{error:#}"
        );
        assert_eq!(
            hint_of(&error),
            Some("devcontainer up --workspace-folder /p")
        );
    }

    #[test]
    fn a_signer_that_gives_a_revoked_number_again_is_told_and_0_is_no_number() {
        use crate::ca::revoked::{Revocation, Revocations, What};
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let settings = with(&app, &signer(home.path(), "ed25519", HONEST).0);
        let way = way(
            &app,
            &settings,
            &DevContainer::example("lace-x", "user"),
            &RANDOM,
        )
        .unwrap();
        let known = known(way);
        let trusted = known.signer.clone().unwrap();
        let public = KeyPair::generate(&[3; 32], "me").unwrap().public();
        let asked = request(&public, known.principal.as_deref().unwrap());
        let numbered = |number: &str, revoked: What| {
            with(
                &app,
                &signer(home.path(), "ed25519", &format!("-z {number} {HONEST}")).0,
            );
            let mut list = Revocations::default();
            list.add(Revocation {
                what: revoked,
                id: None,
                since: 1,
                until: None,
                with: None,
            });
            revoked::write(&app.store, &list).unwrap();
            sign(&app, &known, &trusted, &asked).map(|it| it.serial())
        };
        let serial = |number: &str| What::Serial(number.into());
        assert_eq!(numbered("8", serial("7")).unwrap(), 8);
        assert_eq!(numbered("0", serial("0")).unwrap(), 0);
        for (number, revoked) in [
            ("7", serial("7")),
            ("0", What::KeyId("mona@laptop lace-x".into())),
        ] {
            let error = numbered(number, revoked).unwrap_err();
            assert!(
                error.to_string().contains("is one that is revoked"),
                "{error:#}"
            );
        }
    }

    #[test]
    fn whoever_waited_long_for_another_who_got_none_does_not_ask_again() {
        let home = tempfile::tempdir().unwrap();
        let environment = Environment::example(home.path());
        let app = App::new(&environment);
        let mut ring = crate::ring::Ring::open(&app, "test").unwrap();
        ring.knows("x", "lace-x", "user");
        ring.certify("x").unwrap();
        ring.commit().unwrap();
        let registry: Registry = ring.registry.clone();
        drop(ring);
        app.store.folder(&app.store.ca()).unwrap();
        let held = crate::store::lock::Lock::take(&ca::lock(&app.store, "x"), "another").unwrap();
        let waited = std::thread::scope(|scope| {
            let waited = scope.spawn(|| ca::renew(&app, &registry, "x", now()));
            std::thread::sleep(std::time::Duration::from_millis(2500));
            drop(held);
            waited.join().unwrap()
        });
        let error = waited.unwrap_err();
        assert!(
            error.to_string().contains("meanwhile got none"),
            "{error:#}"
        );
        assert!(ca::renew(&app, &registry, "x", now()).unwrap());
    }
}
