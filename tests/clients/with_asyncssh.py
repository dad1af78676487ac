"""asyncssh, which reads an ssh_config by itself: CONFIG ALIAS. Sends bytes and takes them back."""
import asyncio
import sys
import asyncssh

config, alias = sys.argv[1:]


async def main():
    sent = bytes(range(256)) * 1000
    async with asyncssh.connect(alias, config=[config], agent_path=None) as connection:
        done = await connection.run("cat", input=sent, encoding=None, check=True)
    assert done.stdout == sent
    print("through", len(sent))


asyncio.run(main())
