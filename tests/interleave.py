#!/usr/bin/env python3
"""Times commands side by side: in every round each of them runs once, in another order.

usage: interleave.py ROUNDS <COMMANDS

Each line of COMMANDS is `NAME :: COMMAND :: BEFORE`. COMMAND runs without a shell, after any VARIABLE=VALUE before it;
its output goes nowhere, and it must succeed. BEFORE, which may be missing, runs in a shell, untimed. Prints NAME <tab>
median in milliseconds.
"""

import os
import random
import shlex
import shutil
import statistics
import subprocess
import sys
import time

NOWHERE = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]


def parse(line):
    name, command, before, *_ = line.split(" :: ") + [""]
    argv, variables = shlex.split(command), dict(os.environ)
    while "=" in argv[0]:
        variable, _, value = argv.pop(0).partition("=")
        variables[variable] = value
    program = shutil.which(argv[0]) or sys.exit(f"not found: {argv[0]}")
    return name, (program, argv, variables), before


def milliseconds(program, argv, variables):
    start = time.perf_counter_ns()
    pid = os.posix_spawn(program, argv, variables, file_actions=NOWHERE)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    took = (time.perf_counter_ns() - start) / 1e6
    if status != 0:
        sys.exit(f"exit code {status}: {shlex.join(argv)}")
    return took


def main():
    rounds = int(sys.argv[1])
    commands = [parse(line) for line in sys.stdin.read().splitlines()]
    times = {name: [] for name, *_ in commands}
    # The first round only warms up.
    for number in range(rounds + 1):
        random.shuffle(commands)
        for name, command, before in commands:
            if before:
                subprocess.run(before, shell=True, check=True, stdout=subprocess.DEVNULL)
            took = milliseconds(*command)
            if number > 0:
                times[name].append(took)
    for name, all_of_it in times.items():
        print(f"{name}\t{statistics.median(all_of_it):.3f}")


main()
