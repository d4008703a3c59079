// What the documents say is where they say: files, functions, links; and README stays short.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';

const top = resolve(new URL('../..', import.meta.url).pathname);
const schema = join(top, 'service/store/schema');
const texts = Object.fromEntries(readdirSync(schema).map((name) => [name, readFileSync(join(schema, name), 'utf8')]));
const defines = (name, file) => new RegExp(`^create or replace (function|procedure) ${name.replace('*', '\\w+')}\\(`, 'm').test(texts[file]);
const files = execFileSync('git', ['ls-files'], { cwd: top, encoding: 'utf8' }).trim().split('\n');
const documents = files.filter((file) => file.endsWith('.md')).map((file) => [file, readFileSync(join(top, file), 'utf8')]);
const map = documents.find(([file]) => file === 'service/README.md')[1];

// [function, file] of `f()`, `g()` in `x.sql`
const claims = (text) => [...text.matchAll(/((?:`[a-z_*]+\(\)`(?:,| and)? ?)+)in `(?:[a-z/]*\/)?([a-z_*.]+\.sql)`/g)]
  .flatMap(([, names, file]) => [...names.matchAll(/`([a-z_*]+)\(\)`/g)].map(([, name]) => [name, file]));

// An anchor as GitHub makes it of a heading.
const anchor = (heading) => heading.toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-');
const anchors = (text) => [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => anchor(heading));
// Links and anchors of a document that lead nowhere.
function dead(file, text) {
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link).filter((link) => !/^[a-z]+:/.test(link)).filter((link) => {
    const [path, part] = link.split('#');
    const target = path ? join(top, dirname(file), path) : join(top, file);
    if (!existsSync(target)) return true;
    return part !== undefined && !anchors(readFileSync(target, 'utf8')).includes(part);
  });
}

test('each function that the map names is in the file that it names', () => {
  const found = claims(map);
  assert.ok(found.length >= 20, `only ${found.length} were found`);
  for (const [name, file] of found) assert.ok(texts[file] && defines(name, file), `${name}() in ${file}`);
  for (const [, file] of map.matchAll(/`(?:service\/store\/schema\/)?([a-z_]+(?:\.guards)?\.sql)`/g)) assert.ok(texts[file], file);
});

test('a function that is elsewhere is noticed', () => {
  assert.deepEqual(claims('| x | `evaluate()`, `key_admit()` in `program.sql` |'), [['evaluate', 'program.sql'], ['key_admit', 'program.sql']]);
  assert.ok(defines('evaluate', 'program.sql') && !defines('evaluate', 'score.sql'));
  assert.ok(defines('report_*', 'reports.sql') && !defines('report_*', 'score.sql'));
});

test('each file of C that the map names is there', () => {
  const named = [...map.matchAll(/`([a-z_/]+\.[ch])`/g)].map(([, name]) => name);
  assert.ok(named.length >= 40, `only ${named.length} were found`);
  for (const name of named) {
    const there = name.includes('/') ? files.includes(name) : files.some((file) => file.endsWith(`/${name}`));
    assert.ok(there, name);
  }
});

test('each link of each document leads somewhere', () => {
  for (const [file, text] of documents) assert.deepEqual(dead(file, text), [], file);
  assert.deepEqual(dead('README.md', '[a](deploy/README.md#upgrade-and-rollback) [b](deploy/none.md) [c](deploy/README.md#none) [d](https://example.com/x)'),
    ['deploy/none.md', 'deploy/README.md#none']);
});

test('README is a page, and each of its promises leads to a test', () => {
  const [, readme] = documents.find(([file]) => file === 'README.md');
  assert.ok(Buffer.byteLength(readme) <= 8192, `README.md has ${Buffer.byteLength(readme)} bytes`);
  const promises = /## What it promises\n(.*?)\n## /s.exec(readme)[1].split('\n').filter((line) => line.startsWith('- '));
  assert.ok(promises.length >= 10, `${promises.length} promises`);
  for (const promise of promises) assert.match(promise, /\]\(tests\/e2e\/[a-z-]+\.test\.mjs\)/, promise);
});
