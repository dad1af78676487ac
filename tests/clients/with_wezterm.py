"""libssh with what Lua makes of a file for WezTerm, as WezTerm hands it on: FILE ALIAS. Sends bytes and takes them back."""
import os
import sys

import lupa.lua54
from ssh import options
from ssh.session import Session
from with_libssh import send_and_take_back

file, alias = sys.argv[1:]
with open(file) as text:
    domains = lupa.lua54.LuaRuntime().execute(text.read())
domain = next((it for it in domains.values() if it["name"] == alias), None)
if not domain:
    sys.exit(f"there is no domain {alias}")
given = domain["ssh_option"]
assert (domain["ssh_backend"], given["stricthostkeychecking"], given["proxyusefdpass"]) == ("LibSsh", "yes", "no")

session = Session()
session.options_set(options.HOST, domain["remote_address"])
session.options_set(options.USER, domain["username"])
session.options_set(options.PROXYCOMMAND, given["proxycommand"])
session.options_set(options.KNOWNHOSTS, given["userknownhostsfile"].split()[0])
session.options_set(options.HOSTKEYS, given["hostkeyalgorithms"])
for identity in given["identityfile"].split():
    session.options_set(options.ADD_IDENTITY, identity)
# Nothing else may let it in.
os.environ.pop("SSH_AUTH_SOCK", None)
session.options_set(options.SSH_DIR, os.devnull)
send_and_take_back(session)
