#!/usr/bin/env node
// Runs the binary of this platform, which is in a package of its own. Arguments and streams are passed on, signals too, and this
// process ends as the binary does.
"use strict";

const { spawn } = require("node:child_process");
const { constants } = require("node:os");

const name = `@lace-ssh/${process.platform}-${process.arch}`;

function fail(message, hint) {
  process.stderr.write(`lace-ssh: error: ${message}\nlace-ssh: hint: ${hint}\n`);
  process.exit(1);
}

function find() {
  const known = Object.keys(require("../package.json").optionalDependencies);
  if (!known.includes(name)) {
    fail(
      `there is no binary for ${process.platform} on ${process.arch}`,
      "with Rust it can be built: cargo install --locked lace-ssh"
    );
  }
  try {
    return require.resolve(`${name}/lace-ssh`);
  } catch {
    return fail(
      `the package ${name}, which has the binary, is not installed`,
      "install lace-ssh again, without --omit=optional and with no node_modules of another platform"
    );
  }
}

const child = spawn(find(), process.argv.slice(2), { stdio: "inherit" });
child.on("error", (error) => fail(`cannot run the binary: ${error.message}`, "it must be executable, on a file system that is not mounted noexec"));

// A terminal sends them to both processes, anybody else to this one alone.
for (const signal of ["SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM"]) {
  process.on(signal, () => child.kill(signal));
}

child.on("exit", (code, signal) => {
  if (signal === null) process.exit(code);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
  // Where the signal does not end this process: what a shell would say.
  setTimeout(() => process.exit(128 + constants.signals[signal]), 100);
});
