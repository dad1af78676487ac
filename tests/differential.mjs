// Reads what the editor wrote with npm's jsonc-parser and with the devcontainer CLI.
//
// Usage: node differential.mjs NODE_MODULES DEVCONTAINER [CASE…]. For every fixture with an after.jsonc:
//  - jsonc-parser reads it without a single error, and as what its before.jsonc says plus the wiring;
//  - the CLI's `read-configuration` reads each member of ours, and every other, the same way.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual, promisify } from 'node:util';

const modules = resolve(process.argv[2]);
const { parse } = createRequire(join(modules, 'x.js'))('jsonc-parser');
const cli = resolve(process.argv[3]);
const fixtures = resolve('fixtures/devcontainer');
const wanted = process.argv.slice(4);
const file = 'lace-ssh-compose/${devcontainerId}.yaml';
const ours = ['features', 'mounts', 'runArgs', 'initializeCommand', 'postStartCommand'];

const cases = readdirSync(fixtures).filter((name) =>
    existsSync(join(fixtures, name, 'after.jsonc')) && (!wanted.length || wanted.includes(name)));
const failures = [];

// What the editor, by its fixtures, should not have touched; and what it must have put in.
function checkValue(name, before, after) {
    const isCompose = 'dockerComposeFile' in after && !('image' in after);
    if (isCompose) {
        const files = [before.dockerComposeFile].flat().filter((it) => !it.endsWith(file));
        const last = [after.dockerComposeFile].flat().at(-1);
        if (!last.endsWith(file)) failures.push(`${name}: our Compose file is not the last`);
        before = { ...before, dockerComposeFile: [...files, last] };
    }
    for (const key of Object.keys(before)) {
        if (!ours.includes(key) && !isDeepStrictEqual(before[key], after[key])) {
            failures.push(`${name}: ${key} is another value`);
        }
    }
    const added = Object.keys(after).filter((key) => !(key in before));
    const linked = existsSync(join(fixtures, name, 'schema.txt')) ? '$schema' : undefined;
    if (added.some((key) => !ours.includes(key) && key !== linked)) failures.push(`${name}: added ${added}`);
    // What `lace prebuild` puts into the image counts, too.
    const everyFeature = { ...after.features, ...after.customizations?.lace?.prebuildFeatures };
    const features = Object.keys(everyFeature);
    if (features.filter((key) => /(^|\/)lace-ssh\/?([:@]|$)/.test(key)).length !== 1) failures.push(`${name}: features`);
    const mounts = (after.mounts ?? []).filter((mount) => /\/etc\/lace-ssh/.test(JSON.stringify(mount)));
    if (mounts.length !== (isCompose ? 0 : 1)) failures.push(`${name}: mounts`);
    const port = everyFeature[features.find((key) => /lace-ssh/.test(key) && !/extra|my-/.test(key))]?.port ?? '2222';
    const published = JSON.stringify([after.runArgs ?? [], after.appPort ?? []]).includes(`:${port}`);
    const isUnwanted = after.customizations?.lace?.ssh?.publish === false;
    const isOurs = (after.runArgs ?? []).includes(`--publish=127.0.0.1::${port}`);
    if (isUnwanted ? isOurs : published === isCompose) failures.push(`${name}: published`);
    if (!JSON.stringify(after.initializeCommand ?? '').includes('initialize')) failures.push(`${name}: initializeCommand`);
    if (!JSON.stringify(after.postStartCommand ?? '').includes('post-start')) failures.push(`${name}: postStartCommand`);
}

const read = (text) => {
    const errors = [];
    const value = parse(text.replace(/^\ufeff/, ''), errors, { allowTrailingComma: true });
    return { value, errors };
};

async function readConfiguration(text) {
    const workspace = mkdtempSync(join(tmpdir(), 'lace-ssh-differential-'));
    try {
        mkdirSync(join(workspace, '.devcontainer'));
        writeFileSync(join(workspace, '.devcontainer/devcontainer.json'), text);
        const { stdout } = await promisify(execFile)(cli, ['read-configuration', '--workspace-folder', workspace]);
        const { configFilePath, ...configuration } = JSON.parse(stdout).configuration;
        return configuration;
    } finally {
        rmSync(workspace, { recursive: true });
    }
}

// The CLI substitutes variables and gives old names new ones; what is left must be the same.
function sameButForVariables(wanted, found) {
    if (typeof wanted === 'string') {
        const parts = wanted.split(/\$\{[^}]*\}/);
        const pattern = parts.map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('[^]*');
        return typeof found === 'string' && new RegExp(`^${pattern}$`).test(found);
    }
    if (Array.isArray(wanted)) {
        return Array.isArray(found) && wanted.length === found.length && wanted.every((item, i) => sameButForVariables(item, found[i]));
    }
    if (wanted && typeof wanted === 'object') {
        return found && typeof found === 'object' && Object.keys(wanted).length === Object.keys(found).length
            && Object.keys(wanted).every((key) => sameButForVariables(wanted[key], found[key]));
    }
    return isDeepStrictEqual(wanted, found);
}

let readByCli = 0;
async function check(name) {
    const text = (file) => readFileSync(join(fixtures, name, file), 'utf8');
    const before = read(text('before.jsonc'));
    const after = read(text('after.jsonc'));
    if (after.errors.length) failures.push(`${name}: jsonc-parser: ${JSON.stringify(after.errors)}`);
    checkValue(name, before.value, after.value);
    const configuration = await readConfiguration(text('after.jsonc'));
    for (const key of Object.keys(after.value)) {
        const wanted = JSON.parse(JSON.stringify(after.value[key])); // -0 is printed as 0
        if (!sameButForVariables(wanted, configuration[key])) {
            failures.push(`${name}: the CLI reads ${key} as ${JSON.stringify(configuration[key])}`);
        }
    }
    readByCli += 1;
}

const queue = [...cases];
await Promise.all([0, 1].map(async () => {
    for (let name = queue.shift(); name; name = queue.shift()) {
        await check(name).catch((error) => failures.push(`${name}: ${error.message}`));
    }
}));
for (const failure of failures) console.error(failure);
console.log(`${cases.length} documents read by jsonc-parser, ${readByCli} by the devcontainer CLI, ${failures.length} differences`);
process.exit(failures.length ? 1 : 0);
