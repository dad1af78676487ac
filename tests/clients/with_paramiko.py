"""paramiko, as its documentation connects by an ssh_config: CONFIG ALIAS. Sends bytes and takes them back."""
import sys
import paramiko

config, alias = sys.argv[1:]
host = paramiko.SSHConfig.from_path(config).lookup(alias)
key = paramiko.PKey.from_path(host["identityfile"][0])
if "certificatefile" in host:
    # By itself it takes none but KEY-cert.pub.
    key.load_certificate(host["certificatefile"])
client = paramiko.SSHClient()
client.load_host_keys(host["userknownhostsfile"])
client.set_missing_host_key_policy(paramiko.RejectPolicy())
client.connect(
    host["hostkeyalias"],
    username=host["user"],
    pkey=key,
    sock=paramiko.ProxyCommand(host["proxycommand"]),
    allow_agent=False,
    look_for_keys=False,
)
sent = bytes(range(256)) * 1000
stdin, stdout, _ = client.exec_command("cat")
stdin.write(sent)
stdin.channel.shutdown_write()
assert stdout.read() == sent
assert stdout.channel.recv_exit_status() == 0
client.close()
print("through", len(sent))
