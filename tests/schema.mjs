// The JSON Schema of the settings takes what lace-ssh takes, and refuses what it refuses, by the judgement of ajv.
//
// Usage: node schema.mjs AJV JSONC_PARSER LACE_SSH: two folders of node_modules and the binary.
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';

const [ajv, parser, lace] = process.argv.slice(2).map((path) => resolve(path));
const load = (modules, name) => createRequire(join(modules, 'x.js'))(name);
const { default: Ajv } = load(ajv, 'ajv/dist/2020.js');
const { parse } = load(parser, 'jsonc-parser');
const schema = (...of) => JSON.parse(execFileSync(lace, ['schema', ...of]));
const failures = [];
let count = 0;

const settings = new Ajv().compile(schema('--settings'));
for (const [kind, fits] of [['good', true], ['bad', false]]) {
    const folder = join('fixtures/settings', kind);
    for (const name of readdirSync(folder)) {
        const value = parse(readFileSync(join(folder, name), 'utf8'), [], { allowTrailingComma: true });
        count += 1;
        if (settings(value) !== fits) failures.push(`${join(folder, name)}: ${fits ? new Ajv().errorsText(settings.errors) : 'is taken'}`);
    }
}

const options = new Ajv().compile(schema());
for (const [value, fits] of [[{}, true], [{ host: 'lace-x', rotate: '30d' }, true], [{ hots: 'lace-x' }, false]]) {
    count += 1;
    if (options(value) !== fits) failures.push(`options ${JSON.stringify(value)}`);
}

for (const failure of failures) console.error(failure);
console.log(`${count} documents, ${failures.length} failures`);
process.exit(failures.length > 0 ? 1 : 0);
