// Puts the wiring into 50 documents, and takes it out again, with three editors; prints a table.
//
// The documents are fixtures whose edit only adds (a Feature, a mount, a port, two commands) and can
// be taken back from the text alone; all three do the same additions and removals. What
// this editor makes of them is in the fixtures. npm's jsonc-parser is used as VS Code does it:
// `modify` with the document's own indentation and end of line, then `applyEdits`.
// `--show CASE` prints what each makes of one case.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';

const [modules, cst, show, shown] = process.argv.slice(2);
const { applyEdits, createScanner, modify, parse } = createRequire(join(resolve(modules), 'x.js'))('jsonc-parser');
const fixtures = 'fixtures/devcontainer';
const read = (name, file) => readFileSync(join(fixtures, name, file), 'utf8');
const value = (text) => {
    const errors = [];
    const found = parse(text.replace(/^\ufeff/, ''), errors, { allowTrailingComma: true });
    return errors.length ? undefined : found;
};

// What has to be added to get from one to the other; undefined where more than adding is needed.
function additions(before, after) {
    const adds = [];
    for (const [name, now] of Object.entries(after)) {
        const old = before[name];
        if (isDeepStrictEqual(old, now)) continue;
        if (old === undefined) adds.push([null, name, now]);
        else if (Array.isArray(old) && Array.isArray(now) && isDeepStrictEqual(now.slice(0, -1), old)) adds.push([name, null, now.at(-1)]);
        else if (old && typeof old === 'object' && typeof now === 'object' && !Array.isArray(old)) {
            const added = Object.keys(now).filter((key) => !(key in old));
            if (added.length !== 1 || !Object.keys(old).every((key) => isDeepStrictEqual(old[key], now[key]))) return undefined;
            adds.push([name, added[0], now[added[0]]]);
        } else return undefined;
    }
    return adds.length ? adds : undefined;
}

const options = (text) => {
    const indent = /\n([ \t]+)"/.exec(text)?.[1] ?? '  ';
    return { formattingOptions: { tabSize: indent.length, insertSpaces: !indent.includes('\t'), eol: text.includes('\r\n') ? '\r\n' : '\n' } };
};

const editors = {
    'lace-ssh': {
        add: (name) => read(name, 'after.jsonc'),
        remove: (name) => existsSync(join(fixtures, name, 'unwired.jsonc')) ? read(name, 'unwired.jsonc') : read(name, 'before.jsonc'),
    },
    'npm `modify()`': {
        add: (name, text, adds) => adds.reduce((text, [member, key, now]) => {
            const path = [member, key ?? -1].filter((step) => step !== null);
            return applyEdits(text, modify(text, path, now, { ...options(text), isArrayInsertion: key === null }));
        }, text),
        remove: (name, text, adds) => [...adds].reverse().reduce((text, [member, key]) => {
            const last = key ?? value(text)[member].length - 1;
            const path = [member, last].filter((step) => step !== null);
            return applyEdits(text, modify(text, path, undefined, options(text)));
        }, text),
    },
    'jsonc-parser CST': {
        add: (name, text, adds) => run({ text, add: adds }),
        remove: (name, text, adds) => run({
            text,
            remove: [...adds].reverse().map(([member, key]) => [member, key ?? value(text)[member].length - 1]),
        }),
    },
};

function run(input) {
    const { stdout } = spawnSync(cst, { input: JSON.stringify(input), encoding: 'utf8' });
    const output = JSON.parse(stdout);
    if (output.error) throw new Error(output.error);
    return output.text;
}

// The tokens of a text, comments too, each with the line break behind it or not.
function tokens(text) {
    const body = text.replace(/^\ufeff/, '');
    const scanner = createScanner(body, false);
    const found = [];
    for (let kind = scanner.scan(); kind !== 17; kind = scanner.scan()) {
        if (kind === 14 || kind === 15) { if (kind === 14 && found.length) found.at(-1).breaks = true; continue; }
        const at = scanner.getTokenOffset();
        found.push({ text: body.slice(at, at + scanner.getTokenLength()), comment: kind === 12 || kind === 13, breaks: false });
    }
    return found;
}

// Each comment with the token that it follows on its line, or that it stands above.
function comments(text) {
    const all = tokens(text);
    return all.flatMap((token, i) => {
        if (!token.comment) return [];
        const solid = (token) => token && !token.comment && token.text !== ',';
        const before = all.slice(0, i).findLastIndex(solid);
        const sameLine = before >= 0 && all.slice(before, i).every((token) => !token.breaks);
        const after = all.slice(i + 1).find(solid);
        return [`${token.text} @ ${sameLine ? all[before].text : after?.text}`];
    });
}

const within = (some, all) => {
    const rest = all[Symbol.iterator]();
    return some.every((one) => { for (const other of rest) if (other === one) return true; return false; });
};
const text = (comment) => comment.slice(0, comment.lastIndexOf(' @ ')).replace(/\s*\n\s*/g, '\n');

const criteria = {
    'result reads as intended': ({ after, wanted }) => isDeepStrictEqual(value(after), wanted),
    'every comment is kept': ({ before, after }) => within(comments(before).map(text), comments(after).map(text)),
    'comments stay with their element': ({ before, after, first }) => within(
        comments(before).filter((comment) => first(comment)), comments(after)),
    'lines stay as they are, but for a comma or bracket': ({ before, after, kept }) => {
        const bare = (line) => line.replace(/(\s+[\]}])?,?(?=\s*(\/[/*].*)?\r?$)/, '').replace(/\r$/, '\u240d');
        return within(before.split('\n').filter(kept).map(bare), after.split('\n').map(bare));
    },
    'end of line, BOM and last line as they were': ({ before, after }) => {
        const lines = (text) => [...new Set(text.match(/\r\n|\n/g))].sort().join();
        return lines(before) === lines(after) && before.startsWith('\ufeff') === after.startsWith('\ufeff')
            && /\n*$/.exec(before)[0] === /\n*$/.exec(after)[0];
    },
    'taken out again: the same value': ({ back, before }) => isDeepStrictEqual(value(back), value(before)),
    'taken out again: the same bytes': ({ back, before }) => back === before,
};

const cases = readdirSync(fixtures).filter((name) => existsSync(join(fixtures, name, 'after.jsonc')))
    .map((name) => ({ name, before: read(name, 'before.jsonc'), wanted: value(read(name, 'after.jsonc')) }))
    .map((found) => ({ ...found, adds: value(found.before) && additions(value(found.before), found.wanted) }))
    .filter(({ adds, name }) => adds && !name.startsWith('empty-document') && !existsSync(join(fixtures, name, 'unwired.jsonc')));
const every = cases.length / 50;
const chosen = show ? cases : Array.from({ length: 50 }, (_, i) => cases[Math.floor(i * every)]);

const table = Object.fromEntries(Object.keys(criteria).map((name) => [name, {}]));
for (const { name, before, wanted, adds } of chosen) {
    if (show && name !== shown) continue;
    for (const [editor, { add, remove }] of Object.entries(editors)) {
        let after, back;
        try { after = add(name, before, adds); } catch { after = ''; }
        try { back = remove(name, after, adds); } catch { back = ''; }
        if (show) { console.log(`--- ${editor}\n${after}`); continue; }
        // A container on one line has to grow on that line, and one that was empty is filled.
        const touched = adds.filter(([member]) => member).map(([member]) => member);
        const kept = (line) => !touched.some((member) => line.includes(`"${member}"`)) && !/^[^\n]*\}\s*$/.test(before.includes('\n') ? '' : line) && !/^\s*,?\s*[{[].*[\]}],?\s*$/.test(line);
        const first = (comment) => !/ @ [\]}]$/.test(comment) && !comment.endsWith('@ undefined');
        for (const [criterion, holds] of Object.entries(criteria)) {
            const ok = after !== '' && holds({ before, after, back, wanted, kept, first });
            table[criterion][editor] = (table[criterion][editor] ?? 0) + (ok ? 1 : 0);
            if (!ok && process.env.COMPARE_WHY) console.error(`${editor}: ${criterion}: ${name}`);
        }
    }
}
if (!show) {
    const names = Object.keys(editors);
    console.log(`| of ${chosen.length} documents | ${names.join(' | ')} |\n| --- |${names.map(() => ' ---: |').join('')}`);
    for (const [criterion, counts] of Object.entries(table)) {
        console.log(`| ${criterion} | ${names.map((name) => counts[name]).join(' | ')} |`);
    }
}
