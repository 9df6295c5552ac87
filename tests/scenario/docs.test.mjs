// The documentation says what the programs do: every example is run and
// prints what is shown, and what is named exists.
//
// LONGHAUL_DOCS=write (make docs) puts what is printed into the documents.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { after, test } from 'node:test';
import { normalise, runExamples, writeExamples } from './lib/docs.mjs';
import { bin, root, stopAll } from './lib/index.mjs';

after(stopAll);

const read = (path) => readFileSync(join(root, path), 'utf8');
const documents = ['README.md', 'CONTRIBUTING.md',
  ...readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`)];
const withExamples = documents.filter((path) =>
  read(path).includes('```console'));
const run = (name, ...args) => execFileSync(bin(name), args, {
  encoding: 'utf8', env: { PATH: process.env.PATH } });

/** Everything that git tracks, or would, under these folders. */
function sources(...folders) {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { withFileTypes: true })
      .flatMap((entry) => {
        const path = join(folder, entry.name);
        if (entry.isDirectory()) return sources(path);
        return /\.[ch]$/.test(entry.name) ? [path] : [];
      }));
}

const programText = sources('common', 'submitter', 'worker', 'status-api',
  'cli').map(read).join('\n');

/** What is set as code: `spans` and fenced blocks. */
function codeOf(text) {
  return [...text.matchAll(/^```[a-z]*\n([^]*?)^```$/gm), // blocks
    ...text.replace(/^```[^]*?^```$/gm, '').matchAll(/`([^`]+)`/g)]
    .map((match) => match[1]);
}

/** Calls check(what) for each distinct match in each document, and fails
 * with all that it does not like. */
function all(pattern, check, where = documents) {
  const bad = [];
  let found = 0;
  for (const path of where) {
    const seen = new Set(codeOf(read(path)).flatMap((code) =>
      [...code.matchAll(pattern)].map((match) => match[1] ?? match[0])));
    for (const what of seen) {
      found++;
      if (!check(what)) bad.push(`${path}: ${what}`);
    }
  }
  assert.deepEqual(bad, []);
  assert.ok(found > 0, 'the documents name none: the pattern is wrong');
}

for (const path of withExamples) {
  test(`${path}: the examples print what they show`, async (t) => {
    const examples = await runExamples(path);
    if (process.env.LONGHAUL_DOCS === 'write') {
      writeExamples(path, examples);
      return;
    }
    for (const { command, shown, printed } of examples) {
      await t.test(command.split('\n')[0], () => assert.deepEqual(
        normalise(printed).join('\n').trimEnd().split('\n'),
        normalise(shown).join('\n').trimEnd().split('\n')));
    }
  });
}

test('every link leads to a file or an address', () => {
  const bad = documents.flatMap((path) =>
    [...read(path).matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
      .map((match) => match[1])
      .filter((to) => !/^https?:/.test(to)
        && !existsSync(join(root, normalize(join(dirname(path), to)))))
      .map((to) => `${path}: ${to}`));
  assert.deepEqual(bad, []);
});

test('every path of the repository that is named exists', () => {
  const folders = 'common|submitter|worker|status-api|cli|schema|deploy|'
    + 'docs|examples|mk|tests';
  all(new RegExp(`^((?:${folders})/[\\w./-]*)$`, 'g'),
    (path) => existsSync(join(root, path)) || /[A-Z]/.test(path));
});

test('every command of longhaul that is named exists', () => {
  const commands = [...run('longhaul', 'help')
    .matchAll(/^ {2}([a-z]+(?: [a-z][a-z-]*)?) {2,}/gm)].map((match) => match[1]);
  assert.ok(commands.includes('dlq replay'));
  const first = new Set(commands.map((name) => name.split(' ')[0]));
  const second = new Set(commands.filter((name) => name.includes(' ')));
  const twoWords = new Set([...second].map((name) => name.split(' ')[0]));
  all(/(?:^|[\s(|/])longhaul ([a-z]+(?: [a-z][a-z-]*)?)/g, (words) => {
    const [one, two] = words.split(' ');
    return first.has(one)
      && (!twoWords.has(one) || two === undefined || second.has(words));
  });
});

test('every visible command of longhaul is in the README', () => {
  const readme = read('README.md');
  const missing = [...run('longhaul', 'help')
    .matchAll(/^ {2}([a-z]+(?: [a-z][a-z-]*)?) {2,}/gm)].map((match) => match[1])
    .filter((name) => !['help', 'version'].includes(name)
      && !readme.includes(`\`${name}\``));
  assert.deepEqual(missing, []);
});

test('every path of the API that is named is in the OpenAPI document', () => {
  const templates = Object.keys(JSON.parse(read('schema/openapi.yaml')).paths)
    .map((path) => new RegExp(`^${path.replace(/\{\w+\}/g, '[^/]+')}$`));
  all(/(?<![\w.])(\/v1\/[\w{}$/-]*)/g, (path) =>
    templates.some((template) => template.test(path.replace(/\/$/, ''))));
});

test('every variable that is named is read by something', () => {
  const settings = run('longhaul', 'config', 'document');
  const known = new Set([
    ...settings.matchAll(/`((?:LONGHAUL|ANTHROPIC)_[A-Z_]+)`/g),
    ...programText.matchAll(/getenv\("([A-Z_]+)"\)/g),
    ...programText.matchAll(/SECRET_OPTION\("\w+", "([A-Z_]+)"/g),
    ...read('docker-compose.yml').matchAll(/\$\{([A-Z_]+)/g),
  ].map((match) => match[1]));
  for (const [, name] of settings.matchAll(/`([A-Z_]+)` \| none \(secret\)/g)) {
    known.add(`${name}_FILE`);
  }
  all(/\b((?:LONGHAUL|ANTHROPIC)_[A-Z_]*[A-Z])\b/g, (name) => known.has(name));
});

test('the metrics of the programs and of the documentation are the same', () => {
  const named = (text) => [...new Set([...text.matchAll(
    /\b((?:longhaul_[a-z]+_?[a-z_]*[a-z])|process_[a-z_]+_(?:total|bytes))\b/g)]
    .map((match) => match[1]))].sort();
  const real = named([...programText
    .matchAll(/"((?:longhaul|process)_[a-z_]+)"/g)].map((m) => m[1]).join(' '));
  const said = named(codeOf(read('docs/operations.md')).join('\n'));
  assert.deepEqual(said, real);
});

test('every event that warns is explained, and every explained one exists', () => {
  const events = [...programText.matchAll(
    /log_(?:write\([^"]*?|(debug|info|warn|error)\(\s*)"([a-z_]+)"/g)];
  const exists = new Set(events.map((match) => match[2]));
  const text = read('docs/operations.md');
  const table = text.slice(text.indexOf('| event |'),
    text.indexOf('## Dead letters'));
  const said = new Set([...table.matchAll(/`([a-z_]+)`/g)]
    .map((match) => match[1]));
  assert.deepEqual([...said].filter((name) => !exists.has(name)), []);
  assert.deepEqual(events.filter(([, level, name]) =>
    ['warn', 'error'].includes(level) && !said.has(name))
    .map((match) => match[2]), []);
});

test('every test card that is named is one of the simulator', () => {
  const cards = [...run('fake-claude', '--help').matchAll(/^ {2}(mock-\S+)/gm)]
    .map((match) => new RegExp(`^${match[1].replace('<n>', '\\d+')}$`));
  all(/\b(mock-[\w-]+)\b/g, (name) => cards.some((card) => card.test(name)));
});

test('every target of make that is named exists', () => {
  const targets = new Set(execFileSync('make', ['-s', 'help'], {
    cwd: root, encoding: 'utf8' }).split('\n')
    .map((line) => line.trim().split(' ')[0]));
  all(/(?:^|\n)(?:\$ )?make ([a-z-]+)/g, (name) => targets.has(name));
});
