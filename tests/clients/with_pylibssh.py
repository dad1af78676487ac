"""ansible-pylibssh, by which Ansible's libssh plugin comes in: CONFIG ALIAS. Takes bytes. As Ansible does, it hands on what the
file says, which this library itself would look for in the account's own ~/.ssh/config only."""
import sys
from pylibsshext.session import Session

config, alias = sys.argv[1:]
block = open(config).read().split(f"\nHost {alias}\n")[1].splitlines()
said = dict(line.split(None, 1) for line in block)
session = Session()
session.connect(
    host=alias,
    user=said["User"],
    proxycommand=said["ProxyCommand"],
    knownhosts=said["UserKnownHostsFile"],
    private_key=open(said["IdentityFile"], "rb").read(),
    look_for_keys=False,
    host_key_checking=True,
)
channel = session.new_channel()
ran = channel.exec_command("yes | head -c 256000")
assert ran.returncode == 0, ran
print("through", len(ran.stdout))
channel.close()
session.close()
