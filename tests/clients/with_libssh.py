"""libssh, which reads an ssh_config by itself: CONFIG ALIAS. Sends bytes and takes them back."""
import sys
from ssh import options
from ssh.session import Session


def send_and_take_back(session):
    session.connect()
    assert session.is_server_known() == 1, "the pinned host key"
    session.userauth_publickey_auto("")
    sent = bytes(range(256)) * 1000
    channel = session.channel_new()
    channel.open_session()
    channel.request_exec("cat")
    back = b""
    for start in range(0, len(sent), 16384):
        part = sent[start : start + 16384]
        channel.write(part)
        while len(back) < start + len(part):
            count, data = channel.read(65536)
            assert count > 0
            back += data
    channel.send_eof()
    assert back == sent
    assert channel.read(1)[0] == 0
    channel.close()
    assert channel.get_exit_status() == 0
    print("through", len(sent))


if __name__ == "__main__":
    config, alias = sys.argv[1:]
    session = Session()
    session.options_set(options.HOST, alias)
    session.options_parse_config(config)
    send_and_take_back(session)
