//! The command line: types only. What each command does is in `commands/`; what a shell may complete a name to, in
//! `cli/names.rs`.

mod names;

use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::ArgValueCandidates;

use crate::client::elsewhere::Opener;
use crate::environment::Environment;
use crate::talk::agree;
use crate::workspace::target::Place;

/// SSH into every dev container by name: keys, ports and host keys are taken care of.
#[derive(Debug, Parser)]
#[command(name = "lace-ssh", version, max_term_width = 100, after_help = START)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// When to use colour; NO_COLOR is obeyed.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
}

const START: &str = "Start with `lace-ssh setup` in a project that has a devcontainer.json.\n\
    Exit status: 0 done, 1 failed or `--check` found a difference, 2 wrong usage.";

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Which dev container, as in the `devcontainer` CLI.
#[derive(Debug, Clone, Default, Args)]
pub struct Workspace {
    /// The workspace folder [default: the current folder].
    #[arg(long, value_name = "DIR")]
    pub workspace_folder: Option<PathBuf>,
    /// The devcontainer.json, where the workspace has several.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Workspace {
    /// The same as a value.
    pub fn place(&self) -> Place {
        Place {
            folder: self.workspace_folder.clone(),
            config: self.config.clone(),
        }
    }
}

/// How a change of the user's files is agreed on.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Consent {
    /// Show the diff and write nothing.
    #[arg(long, conflicts_with_all = ["check", "yes"])]
    pub dry_run: bool,
    /// Show the diff, write nothing, and exit with 1 if there is one.
    #[arg(long, conflicts_with = "yes")]
    pub check: bool,
    /// Write without asking.
    #[arg(long, short)]
    pub yes: bool,
}

impl Consent {
    /// Nothing may be written.
    pub fn looks_only(self) -> bool {
        self.dry_run || self.check
    }

    /// What that means where somebody can be asked, or cannot.
    pub fn given(self, environment: &Environment) -> agree::Consent {
        match self {
            _ if self.looks_only() => agree::Consent::Look,
            Self { yes: true, .. } => agree::Consent::Given,
            _ => agree::Consent::Ask {
                interactive: environment.interactive,
            },
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Wire a workspace: edit its devcontainer.json, after showing the diff.
    Setup(Setup),
    /// Undo `setup`, byte for byte.
    Remove(Remove),
    /// Make a container that runs reachable as it is: nothing is rebuilt, no file is touched.
    Adopt(Adopt),
    /// Make keys and trust ready; called by `initializeCommand` on the host.
    Initialize(Initialize),
    /// Check the mount, start sshd, hand over the environment; called in the container.
    PostStart,
    /// Open a session, or run a command, in a dev container.
    Connect(Connect),
    /// Print the address at which sshd is published now.
    Port(Port),
    /// Show every dev container at a glance.
    Status(Status),
    /// Walk the chain from a name to a session: what holds, what is broken and why, and mend it.
    Doctor(Doctor),
    /// Reach ports of a dev container on this machine's loopback, until it is ended.
    Forward(Forward),
    /// The key ring: list, create, rotate, import, export, delete.
    #[command(subcommand)]
    Keys(KeysAction),
    /// Certificates: each opens one dev container, for a short while.
    #[command(subcommand)]
    Cert(CertAction),
    /// The identity of a dev container, as ssh has it pinned: show it, put a new one in its place.
    #[command(subcommand)]
    HostKey(HostKeyAction),
    /// Further people's and machines' public keys: who else may log in, until when, and for what.
    #[command(subcommand)]
    Access(AccessAction),
    /// What happened to which key, when.
    Log(Log),
    /// Write the whole store, with its private keys, to one file that a passphrase opens.
    Backup {
        /// The file to make; one that is there already is left alone.
        file: PathBuf,
    },
    /// Put what `backup` has written into an empty store, here or on another machine.
    Restore {
        /// The file.
        file: PathBuf,
    },
    /// Print, install or take out the configuration of ssh clients.
    ClientConfig(ClientConfig),
    /// Listen at one port of this machine's loopback for each dev container, for what knows no ProxyCommand.
    Listen(Listen),
    /// Print the JSON Schema of customizations.lace.ssh, or of your own settings.
    Schema {
        /// That of settings.jsonc in the store (~/.config/lace/ssh).
        #[arg(long)]
        settings: bool,
    },
    /// Print a completion script.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print a manual page, or write those of all commands.
    Man(Man),
    /// Hand a connection to ssh; called as its ProxyCommand.
    #[command(hide = true)]
    Proxy {
        /// The alias.
        alias: String,
    },
    /// Serve the connection that stdin and stdout are; called by `listen`, and by systemd in its place.
    #[command(hide = true)]
    Accepted,
    /// Carry the bytes of a connection that no socket is; called by `proxy`.
    #[command(hide = true)]
    Pump(Pump),
    /// See to user, key and certificate of a dev container; called by ssh's configuration.
    #[command(hide = true)]
    Refresh {
        /// The alias.
        alias: String,
    },
}

/// `pump`
#[derive(Debug, Args)]
pub struct Pump {
    /// The alias.
    pub alias: String,
    /// The engine.
    pub endpoint: String,
    /// The engine's ID of the container.
    pub container: String,
    /// The ID of the dev container, where it was adopted.
    pub adopted: Option<String>,
    /// The trust folder, where its pipes lead there, and no engine.
    #[arg(long)]
    pub mount: Option<PathBuf>,
}

/// `setup`
#[derive(Debug, Args)]
pub struct Setup {
    /// Which dev container.
    #[command(flatten)]
    pub workspace: Workspace,
    /// How to agree.
    #[command(flatten)]
    pub consent: Consent,
    /// A published Feature instead of the copy in .devcontainer/lace-ssh.
    #[arg(long, value_name = "REFERENCE")]
    pub feature: Option<String>,
    /// Link the JSON Schema too, so that editors complete and check the options.
    #[arg(long)]
    pub schema: bool,
    /// Leave ~/.ssh/config alone.
    #[arg(long)]
    pub no_client_config: bool,
    /// Print the plan as JSON, and write nothing.
    #[arg(long, conflicts_with = "yes")]
    pub json: bool,
}

/// `remove`
#[derive(Debug, Args)]
pub struct Remove {
    /// The alias [default: the dev container of the workspace].
    #[arg(add = ArgValueCandidates::new(names::aliases))]
    pub name: Option<String>,
    /// Which dev container.
    #[command(flatten)]
    pub workspace: Workspace,
    /// How to agree.
    #[command(flatten)]
    pub consent: Consent,
    /// Take out pieces of ours, too, that were changed by hand.
    #[arg(long)]
    pub modified: bool,
    /// Drop its key, trust folder, pin and host block too.
    #[arg(long)]
    pub purge: bool,
}

/// `adopt`
#[derive(Debug, Args)]
pub struct Adopt {
    /// The dev container, by the name of its workspace folder, or any container by its own [default: the dev
    /// container of the current folder].
    pub name: Option<String>,
    /// Any container, by its name or the beginning of its ID.
    #[arg(long, value_name = "CONTAINER", conflicts_with = "name")]
    pub container: Option<String>,
    /// Which dev container.
    #[command(flatten)]
    pub workspace: Workspace,
    /// Where there is no sshd, install it in the container; asked each time.
    #[arg(long)]
    pub install: bool,
    /// Install without asking.
    #[arg(long, short, requires = "install")]
    pub yes: bool,
}

/// `initialize`
#[derive(Debug, Args)]
pub struct Initialize {
    /// Which dev container.
    #[command(flatten)]
    pub workspace: Workspace,
    /// The dev container ID: what ${devcontainerId} is replaced by.
    #[arg(long)]
    pub id: String,
}

/// `connect`
#[derive(Debug, Args)]
pub struct Connect {
    /// The alias, a part of one, or a dev container ID [default: the dev container of the workspace, else
    /// the `default` of your settings, else the only one].
    #[arg(add = ArgValueCandidates::new(names::aliases))]
    pub name: Option<String>,
    /// Which dev container.
    #[command(flatten)]
    pub workspace: Workspace,
    /// What to run there instead of a shell: one argument is a command line for the shell there, several
    /// are passed on as they are.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `port`
#[derive(Debug, Args)]
pub struct Port {
    /// The alias, a part of one, or a dev container ID [default: the dev container of the workspace, else
    /// the `default` of your settings, else the only one].
    #[arg(add = ArgValueCandidates::new(names::aliases))]
    pub name: Option<String>,
    /// Which dev container.
    #[command(flatten)]
    pub workspace: Workspace,
    /// Print `{"host": …, "port": …}`.
    #[arg(long)]
    pub json: bool,
}

/// `status`
#[derive(Debug, Args)]
pub struct Status {
    /// Print an array of objects.
    #[arg(long)]
    pub json: bool,
    /// Keep it live on the screen; `q` ends it.
    #[arg(long, short, conflicts_with = "json")]
    pub watch: bool,
}

/// `doctor`
#[derive(Debug, Args)]
pub struct Doctor {
    /// The alias, a part of one, or a dev container ID [default: the dev container of the workspace, else
    /// the `default` of your settings, else the only one].
    #[arg(add = ArgValueCandidates::new(names::aliases))]
    pub name: Option<String>,
    /// Which dev container.
    #[command(flatten)]
    pub workspace: Workspace,
    /// Mend what can be mended without losing anything: each remedy is shown, and asked for.
    #[arg(long, conflicts_with = "json")]
    pub fix: bool,
    /// With --fix: without asking.
    #[arg(long, short, requires = "fix")]
    pub yes: bool,
    /// Print an object.
    #[arg(long)]
    pub json: bool,
}

/// `forward`
#[derive(Debug, Args)]
pub struct Forward {
    /// The alias, a part of one, or a dev container ID [default: the dev container of the workspace, else
    /// the `default` of your settings, else the only one]. A word that is a port is taken for the first of those.
    #[arg(add = ArgValueCandidates::new(names::aliases))]
    pub name: Option<String>,
    /// The ports: 3000, 8080:3000 for another one here, db:5432 for one of another host that the container
    /// reaches [default: what forwardPorts and appPort say].
    #[arg(value_name = "PORT")]
    pub ports: Vec<String>,
    /// Which dev container.
    #[command(flatten)]
    pub workspace: Workspace,
    /// Take every port, too, at which something begins to listen there.
    #[arg(long)]
    pub auto: bool,
    /// Print an object for each event, a line each; ask nothing.
    #[arg(long)]
    pub json: bool,
}

/// `listen`
#[derive(Debug, Args)]
pub struct Listen {
    /// Have systemd listen, whenever you are logged in: nothing of ours runs until somebody connects.
    #[arg(long)]
    pub install: bool,
    /// Take that out again; what is open stays open.
    #[arg(long, conflicts_with = "install")]
    pub uninstall: bool,
    /// How to agree to either.
    #[command(flatten)]
    pub consent: Consent,
    /// Print an object for each port, a line each.
    #[arg(long, conflicts_with_all = ["install", "uninstall", "dry_run", "check", "yes"])]
    pub json: bool,
}

/// `man`
#[derive(Debug, Args)]
pub struct Man {
    /// The command, such as: keys rotate [default: lace-ssh itself].
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
    /// Write the page of each command into this folder.
    #[arg(long, short, value_name = "DIR", conflicts_with = "command")]
    pub output: Option<PathBuf>,
}

/// `client-config`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ClientConfig {
    /// Without one: print.
    #[command(subcommand)]
    pub action: Option<ClientConfigAction>,
    /// Only these: the alias, a part of one, or a dev container ID.
    #[arg(add = ArgValueCandidates::new(names::aliases), value_name = "NAME")]
    pub names: Vec<String>,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Format::Openssh)]
    pub format: Format,
    /// Print what OpenSSH on another machine reads, which reaches this one so: ssh://me@workstation.
    #[arg(long, value_name = "ADDRESS")]
    pub via: Option<String>,
    /// The private key there, as ssh reads it: `~`, and what it fills in, such as `%d` [default: those that ssh tries by itself].
    #[arg(long, value_name = "FILE", requires = "via")]
    pub identity_file: Option<PathBuf>,
    /// The certificate there; likewise.
    #[arg(long, value_name = "FILE", requires = "via")]
    pub certificate_file: Option<PathBuf>,
}

impl ClientConfig {
    /// What opens a dev container on the other machine.
    pub fn opener(&self) -> Opener {
        Opener {
            identity: self.identity_file.clone(),
            certificate: self.certificate_file.clone(),
        }
    }
}

/// Who is to read a client configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// OpenSSH.
    Openssh,
    /// WezTerm: Lua that returns its `ssh_domains`.
    Wezterm,
    /// Every other program: an array of objects.
    Json,
}

/// What to do with the client configuration.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ClientConfigAction {
    /// Include it in ~/.ssh/config, after showing the diff.
    Install(Consent),
    /// Take the line out of ~/.ssh/config.
    Uninstall(Consent),
}

/// `keys`
#[derive(Debug, Subcommand)]
pub enum KeysAction {
    /// Every key, what it opens and when it is rotated next.
    List {
        /// Print an array of objects.
        #[arg(long)]
        json: bool,
    },
    /// Everything about one key.
    Show {
        /// The key, or the alias of a dev container.
        #[arg(add = ArgValueCandidates::new(names::keys))]
        name: String,
        /// Print an object.
        #[arg(long)]
        json: bool,
    },
    /// The public half, one line, for pasting.
    Public {
        /// The key, or the alias of a dev container.
        #[arg(add = ArgValueCandidates::new(names::keys))]
        name: String,
    },
    /// Put a new key in the place of an old one, without locking anybody out.
    Rotate(Rotate),
    /// Write a private key to a file.
    Export(Export),
    /// Make a key of its own for something special; it opens nothing yet.
    Create(Create),
    /// Take a key in that was made elsewhere.
    Import(Import),
    /// Encrypt a private key where it lies, or take the encryption away.
    Passphrase(Passphrase),
    /// Delete a key; it can be brought back for 7 days, or until one of the same name is rotated.
    Delete {
        /// The key, by its whole name.
        #[arg(add = ArgValueCandidates::new(names::keys))]
        name: String,
        /// Delete without asking.
        #[arg(long, short)]
        yes: bool,
    },
    /// Bring a deleted key back.
    Restore {
        /// The key.
        #[arg(add = ArgValueCandidates::new(names::deleted))]
        name: String,
    },
    /// Take the hand-made keys of older set-ups in: ~/.config/lace/ssh/id_ed25519,
    /// ~/.ssh/lace_devcontainer*, ~/.ssh/weft_devcontainer*.
    Migrate(Migrate),
}

/// `keys rotate`
#[derive(Debug, Args)]
pub struct Rotate {
    /// The key, or the alias of a dev container [default: that of the workspace, or the only one].
    #[arg(add = ArgValueCandidates::new(names::keys))]
    pub name: Option<String>,
    /// Rotate every key.
    #[arg(long, conflicts_with = "name")]
    pub all: bool,
    /// Revoke the old key at once, instead of when the overlap has passed; open sessions stay open,
    /// but for those that share a connection (`multiplex` in your settings).
    #[arg(long)]
    pub now: bool,
}

/// `keys export`
#[derive(Debug, Args)]
pub struct Export {
    /// The key, or the alias of a dev container.
    #[arg(add = ArgValueCandidates::new(names::keys))]
    pub name: String,
    /// The file to make; one that is there already is left alone.
    #[arg(long, short, value_name = "FILE")]
    pub output: PathBuf,
    /// Ask for a passphrase and encrypt the file with it.
    #[arg(long)]
    pub encrypt: bool,
}

/// `keys passphrase`
#[derive(Debug, Args)]
pub struct Passphrase {
    /// The key, or the alias of a dev container.
    #[arg(add = ArgValueCandidates::new(names::keys))]
    pub name: String,
    /// Take the encryption away.
    #[arg(long)]
    pub remove: bool,
}

/// `keys import`
#[derive(Debug, Args)]
pub struct Import {
    /// What to call the key.
    pub name: String,
    /// The private key, as OpenSSH, OpenSSL or a cloud console wrote it.
    #[arg(long, value_name = "FILE", required_unless_present = "public_key_file")]
    pub key_file: Option<PathBuf>,
    /// The public half of a key that an agent of yours keeps (1Password, Secretive, a PIV token): ssh asks the agent
    /// at SSH_AUTH_SOCK for it.
    #[arg(long, value_name = "FILE", conflicts_with = "key_file")]
    pub public_key_file: Option<PathBuf>,
}

/// `keys create`
#[derive(Debug, Args)]
pub struct Create {
    /// What to call the key.
    pub name: String,
}

/// `keys migrate`
#[derive(Debug, Args)]
pub struct Migrate {
    /// Which dev container.
    #[command(flatten)]
    pub workspace: Workspace,
    /// Show the plan and change nothing.
    #[arg(long, conflicts_with = "yes")]
    pub dry_run: bool,
    /// Migrate without asking.
    #[arg(long, short)]
    pub yes: bool,
}

/// `cert`
#[derive(Debug, Subcommand)]
pub enum CertAction {
    /// Sign a key for one dev container: its own, or somebody else's.
    Issue(Issue),
    /// What a certificate says, in words.
    Show {
        /// The certificate, or the alias of a dev container [default: that of the workspace].
        #[arg(add = ArgValueCandidates::new(names::aliases))]
        what: Option<String>,
        /// Print an object.
        #[arg(long)]
        json: bool,
    },
    /// Every certificate that was issued, and what is revoked.
    List {
        /// Print an array of objects.
        #[arg(long)]
        json: bool,
    },
    /// Revoke a certificate or a key at once, in every dev container that it opens.
    Revoke(Revoke),
    /// Put another key in the place of the CA's; what the one before has signed stays good for its time.
    RotateCa {
        /// What the one before has signed is good no longer.
        #[arg(long)]
        now: bool,
    },
}

/// `cert issue`
#[derive(Debug, Args)]
pub struct Issue {
    /// The alias [default: the dev container of the workspace, else the `default` of your settings, else the only one].
    #[arg(add = ArgValueCandidates::new(names::aliases))]
    pub name: Option<String>,
    /// Which dev container.
    #[command(flatten)]
    pub workspace: Workspace,
    /// For how long, such as 30s or 8h [default: the dev container's `certificateTtl`].
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub ttl: Option<std::time::Duration>,
    /// Sign this public key instead of the dev container's own.
    #[arg(long, value_name = "FILE")]
    pub public_key_file: Option<PathBuf>,
    /// Where the certificate goes; `-` prints it [default: beside the key].
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `cert revoke`
#[derive(Debug, Args)]
pub struct Revoke {
    /// A certificate, or a public key with every certificate for it.
    #[arg(value_name = "FILE", required_unless_present_any = ["serial", "key_id"], conflicts_with_all = ["serial", "key_id"])]
    pub file: Option<PathBuf>,
    /// The serial number of the certificate.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "key_id")]
    pub serial: Option<u64>,
    /// The key ID of the certificates.
    #[arg(long, value_name = "ID")]
    pub key_id: Option<String>,
}

/// `host-key`
#[derive(Debug, Subcommand)]
pub enum HostKeyAction {
    /// Its fingerprint, and its line in known_hosts.
    Show(HostKeyShow),
    /// Put a new host key in its place. Both are pinned until a connection has proven the new one.
    Rotate(HostKeyRotate),
}

/// `host-key show`
#[derive(Debug, Args)]
pub struct HostKeyShow {
    /// The alias, a part of one, or a dev container ID [default: the dev container of the workspace, else
    /// the `default` of your settings, else the only one].
    #[arg(add = ArgValueCandidates::new(names::aliases))]
    pub name: Option<String>,
    /// Which dev container.
    #[command(flatten)]
    pub workspace: Workspace,
    /// Print an object.
    #[arg(long)]
    pub json: bool,
}

/// `host-key rotate`
#[derive(Debug, Args)]
pub struct HostKeyRotate {
    /// The alias [default: the dev container of the workspace].
    #[arg(add = ArgValueCandidates::new(names::aliases))]
    pub name: Option<String>,
    /// Which dev container.
    #[command(flatten)]
    pub workspace: Workspace,
    /// For a key that has leaked: it is pinned no longer from now on, whether or not the new one is proven;
    /// sessions that share a connection (`multiplex` in your settings) end.
    #[arg(long)]
    pub now: bool,
}

/// `access`
#[derive(Debug, Subcommand)]
pub enum AccessAction {
    /// Let somebody else's key in, at once, and print how its owner gets in.
    Add(AccessAdd),
    /// Who else may log in, where, until when, and what is forbidden.
    List(AccessList),
    /// Let a key in no longer.
    Remove(AccessRemove),
}

/// `access add`
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("whose").required(true)))]
pub struct AccessAdd {
    /// The alias [default: the dev container of the workspace].
    #[arg(add = ArgValueCandidates::new(names::aliases), value_name = "NAME")]
    pub dev_container: Option<String>,
    /// Which dev container.
    #[command(flatten)]
    pub workspace: Workspace,
    /// Every dev container that there is and will be.
    #[arg(long, conflicts_with_all = ["dev_container", "workspace_folder", "config"])]
    pub all: bool,
    /// What to call the key, such as laptop [default: its comment].
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The file with the public key.
    #[arg(long, value_name = "FILE", group = "whose")]
    pub public_key_file: Option<PathBuf>,
    /// The public key itself: "ssh-ed25519 AAAA…".
    // A private key begins with hyphens, and must not come back in a message about options.
    #[arg(long, value_name = "KEY", group = "whose", allow_hyphen_values = true)]
    pub public_key: Option<String>,
    /// Let it in for this time only, such as 20m or 7d; what it has opened ends then, too.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub expires: Option<std::time::Duration>,
    /// Run this command and nothing else, whatever is asked for; forward nothing.
    #[arg(long, value_name = "COMMAND", allow_hyphen_values = true)]
    pub command: Option<String>,
    /// Forward no port, socket, agent or display.
    #[arg(long)]
    pub no_forwarding: bool,
    /// Let the account's own ~/.ssh/authorized_keys in the container count, too.
    #[arg(long, group = "whose", conflicts_with_all = ["all", "name", "expires", "command", "no_forwarding"])]
    pub own_keys: bool,
    /// Print an object.
    #[arg(long, conflicts_with = "own_keys")]
    pub json: bool,
}

/// `access list`
#[derive(Debug, Args)]
pub struct AccessList {
    /// Only what concerns this dev container: the alias, a part of one, or a dev container ID.
    #[arg(add = ArgValueCandidates::new(names::aliases))]
    pub name: Option<String>,
    /// Print an object.
    #[arg(long)]
    pub json: bool,
}

/// `access remove`
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("whose").required(true)))]
pub struct AccessRemove {
    /// The key, by its whole fingerprint: SHA256:….
    #[arg(group = "whose")]
    pub fingerprint: Option<String>,
    /// The key, by its name.
    #[arg(add = ArgValueCandidates::new(names::guests), long, value_name = "NAME", group = "whose")]
    pub name: Option<String>,
    /// The account's own ~/.ssh/authorized_keys, where it counts.
    #[arg(long, group = "whose")]
    pub own_keys: bool,
    /// Only what was given for this dev container: the alias [default for --own-keys: the dev container of
    /// the folder].
    #[arg(add = ArgValueCandidates::new(names::aliases), long, value_name = "NAME")]
    pub from: Option<String>,
    /// End its open sessions and forwardings, too, within seconds; else they go on, for 7 days at most.
    #[arg(long, conflicts_with = "own_keys")]
    pub now: bool,
}

/// `log`
#[derive(Debug, Args)]
pub struct Log {
    /// Only this key.
    #[arg(add = ArgValueCandidates::new(names::keys), long, value_name = "NAME")]
    pub key: Option<String>,
    /// Only what happened in this time, such as 7d.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub since: Option<std::time::Duration>,
    /// Check that no line was changed, removed or added.
    #[arg(long, conflicts_with_all = ["key", "since", "json"])]
    pub verify: bool,
    /// Print an array of objects.
    #[arg(long)]
    pub json: bool,
}
