#!/usr/bin/env python3
"""Small faults, put into the Feature's scripts one at a time: which of them do the tests without an engine notice?

usage: mutants_shell.py [--list] [--only N,M… | --every N] [FILE…]      without FILE: all of `TESTS`, which takes an hour

--list   shows the faults with their numbers, and tries none
--only   tries those with these numbers; --every, each Nth

Prints each fault that nobody noticed, and a table for CONTRIBUTING.md. Works in copies of the scripts' folder, so that
several are tried at a time. What `sh -n` does not read, and what changes nothing, is not tried.
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "feature/src/lace-ssh"
# Which tests are for which script; with a real sshd they are slow.
TESTS = {
    "authorized": ["keys::authorized_keys", "feature::authorized", "--skip=a_real_sshd"],
    "session": ["feature::session"],
    "start": ["feature::start"],
    "post-start": ["feature::post_start"],
    "entrypoint": ["feature::entrypoint"],
    "install.sh": ["feature::install"],
}
# Seconds; the tests of a script take up to 25.
TOO_LONG = 90

# What can hold blanks, of all that is quoted.
ANY = r"[@\d]|\w*(command|file|folder|home|line|option|open|rest|value|said|before|key|PATH|SHELL)\w*"

# At every place in a line where the left is found, the right is put instead.
FAULTS = [
    # Conditions.
    (r"\[ ! ", "[ "),
    (r"\[ (?=[^!])", "[ ! "),
    (r"\b(if|while|until) ! ", r"\1 "),
    (r"\b(if|while|until) (?![!\[])", r"\1 ! "),
    (r" && ", " || "),
    (r" \|\| ", " && "),
    (r"(?<=\[ )(\S.*?) \] (?:&&|\|\|) ", r"\1 ] ; "),
    (r"(?<= )-gt ", "-ge "),
    (r"(?<= )-gt ", "-lt "),
    (r"(?<= )-le ", "-lt "),
    (r"(?<= )-le ", "-ge "),
    (r"(?<= )-nt ", "-ot "),
    (r"(?<= )-ot ", "-nt "),
    (r"(?<=\[ )((?:! )?)-[defOrsSx] ", r"\1-e "),
    (r"(?<=\[ )((?:! )?)-[defOrsSx] ", r"\1-f "),
    # What becomes of it.
    (r"\breturn 1\b", "return 0"),
    (r"\breturn 0\b", "return 1"),
    (r"\breturn( \d)?", ":"),
    (r"\bexit 0\b", "exit 1"),
    (r"\bexit [1-9]\b", "exit 0"),
    (r"\bexit( \d)?", ":"),
    (r"\bcontinue\b", "break"),
    (r"\bcontinue\b", ":"),
    (r"\bbreak\b", ":"),
    (r"\bexec (?!9)", ""),
    (r"\bfault\b(?!\(\))", "fail"),
    (r"\bfail\b(?!\(\))", "say"),
    # Patterns.
    (r"##", "#"),
    (r"%%(?=[^%]*\})", "%"),
    (r"(?<=[a-z])#(?=[^#}]*\*)", "##"),
    (r"(?<=[a-z])%(?=[^%}]*\*)", "%%"),
    (r"\*(?=[^)\s]*\))", ""),
    (r"(?<=\[)!(?=[^ ])", ""),
    (r"(?<=\[[!A-Za-z0-9])[A-Za-z0-9_@.-]+(?=\])", ""),
    (r"[^\s(]+ \| (?=.*\))", ""),
    (r" \| [^\s(]+(?=\)| \|)", ""),
    # Constants.
    (r"(?<![\w.$#%{*?/-])(?<!return )(?<!exit )(?<!>)\d+(?![\w}>])", lambda found: str(int(found[0]) + 1)),
    (r"\b0?7\d\d\b", "777"),
    (r"\b0?755\b", "700"),
    (r"\bumask 0\d\d", "umask 000"),
    (r"(?<=[a-z]=)[a-z/][a-z/.-]+$", "wrong"),
    (r"(?<=[\w\"])/[a-z][\w.-]+(?![\w.-]*/)", "/wrong"),
    (r"(?<=\$)[a-z_]{3,}", "nothing"),
    (r"(?<=\$\{)[a-z_]{3,}", "nothing"),
    (r"(?<=\$)[1-9@]", "{nothing-}"),
    # Words that a command has or has not.
    (r"(?<=\w)(?<!mv) -\w+(?= )", ""),
    (r"\bIFS= ", ""),
    (r"\bLC_ALL=C ", ""),
    (r" (2>&1|\d?>&-|[<\d]?>?/dev/null)", ""),
    (r" (?:>/dev/null 2>&1|2>/dev/null)", ""),
    (r" &( 9>&-)?$", r"\1"),
    (rf"(?<!\\)\"(\$({ANY}))\"", r"\1"),
    (r"printf '%s\\n'|printf '[^']*'", "echo"),
    (r"(?<!\w)\(umask 077 && ", "("),
    (r">>", ">"),
    (r"(?<= )>(?=\"\$)", ">>"),
    (r"\bmv ", "cp "),
    (r"\bln -sf? ", "ln "),
]


def faults(text):
    """Each fault's line, what it says then, and the whole text with it."""
    lines = text.splitlines(keepends=True)
    seen = {text}
    for number, line in enumerate(lines):
        code = line.rstrip("\n")
        if not code.strip() or code.lstrip().startswith("#"):
            continue
        changed = [""]
        for left, right in FAULTS:
            for found in re.finditer(left, code):
                put = right(found) if callable(right) else found.expand(right)
                changed.append(code[: found.start()] + put + code[found.end() :])
        for new in changed:
            whole = "".join(lines[:number] + ([new + "\n"] if new else []) + lines[number + 1 :])
            if whole not in seen and reads(whole):
                seen.add(whole)
                yield number + 1, f"{code.strip()}  ->  {new.strip() or '(nothing)'}", whole


def reads(script):
    return subprocess.run(["sh", "-n"], input=script.encode(), capture_output=True).returncode == 0


def noticed(program, script, text):
    """Whether a test of the script fails with this text in its place, or does not end."""
    with tempfile.TemporaryDirectory(prefix="lace-ssh-fault-", ignore_cleanup_errors=True) as work:
        feature = pathlib.Path(work) / "feature"
        shutil.copytree(FOLDER, feature)
        (feature / script).write_text(text)
        (pathlib.Path(work) / "tmp").mkdir()
        environment = dict(os.environ, LACE_SSH_TEST_FEATURE=str(feature), TMPDIR=f"{work}/tmp")
        tests = subprocess.Popen([program, *TESTS[script]], env=environment, stdin=subprocess.DEVNULL, text=True,
                                 stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True, cwd=ROOT)
        late = threading.Event()

        def end():
            try:
                os.killpg(tests.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

        timer = threading.Timer(TOO_LONG, lambda: (late.set(), end()))
        timer.start()
        # The first that fails is enough.
        failed = any(line.startswith("test ") and line.rstrip().endswith("FAILED") for line in tests.stdout)
        end()
        timer.cancel()
        return failed or late.is_set() or tests.wait() not in (0, -signal.SIGKILL)


def main(arguments):
    listing = "--list" in arguments
    arguments = [word for word in arguments if word != "--list"]
    chosen = lambda number: True
    if arguments[:1] == ["--only"]:
        numbers = {int(number) for number in arguments[1].split(",")}
        chosen, arguments = numbers.__contains__, arguments[2:]
    elif arguments[:1] == ["--every"]:
        step = int(arguments[1])
        chosen, arguments = lambda number: number % step == 0, arguments[2:]
    scripts = [pathlib.Path(file).name for file in arguments] or list(TESTS)
    build = ["cargo", "test", "--locked", "--test", "suite", "--no-run"]
    program = None
    if not listing:
        said = subprocess.run(build, cwd=ROOT, stderr=subprocess.PIPE, text=True, check=True).stderr
        program = str(ROOT / re.search(r"\((target/\S+)\)", said)[1])
    table = {}
    for script in scripts:
        text = (FOLDER / script).read_text()
        tried = [(number, *fault) for number, fault in enumerate(faults(text)) if chosen(number)]
        if listing:
            for number, line, what, _ in tried:
                print(f"{number:4} {script}:{line}: {what}")
            continue
        if noticed(program, script, text):
            sys.exit(f"the tests of {script} fail as it is")
        count = 0
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            verdicts = pool.map(lambda fault: noticed(program, script, fault[3]), tried)
            for (number, line, what, _), verdict in zip(tried, verdicts):
                count += verdict
                if not verdict:
                    print(f"{number:4} {script}:{line}: {what}", flush=True)
        table[script] = count, len(tried)
    if not listing:
        print("\n| file | noticed | of |\n| --- | ---: | ---: |")
        for script, (count, of) in table.items():
            print(f"| `{(FOLDER / script).relative_to(ROOT)}` | {100 * count // max(of, 1)} % | {of} |")


main(sys.argv[1:])
