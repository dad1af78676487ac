"""How long until sshd's greeting is there: ROUNDS ADDRESS PORT COMMAND…, through a bare connection and through the command
in turns. Prints the medians in milliseconds, as interleave.py does."""
import socket
import statistics
import subprocess
import sys
import time

rounds, address, port, *command = sys.argv[1:]
times = {"bare greeting": [], "greeting": []}
for _ in range(int(rounds)):
    # What the last connection has left in the container ends first.
    time.sleep(0.05)
    start = time.perf_counter()
    with socket.create_connection((address, int(port))) as bare:
        assert bare.recv(4) == b"SSH-"
        times["bare greeting"].append(time.perf_counter() - start)
    time.sleep(0.05)
    start = time.perf_counter()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as proxy:
        assert proxy.stdout.read(4) == b"SSH-"
        times["greeting"].append(time.perf_counter() - start)
        proxy.kill()
for name, all_of_it in times.items():
    print(f"{name}\t{statistics.median(all_of_it) * 1000:.3f}")
