// README's map leads to where things are: each SQL file that it names is there, and has the functions that it is said to have.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';

const top = resolve(new URL('../..', import.meta.url).pathname);
const schema = join(top, 'service/store/schema');
const texts = Object.fromEntries(readdirSync(schema).map((name) => [name, readFileSync(join(schema, name), 'utf8')]));
const defines = (name, file) => new RegExp(`^create or replace (function|procedure) ${name.replace('*', '\\w+')}\\(`, 'm').test(texts[file]);

// [function, file] of `f()`, `g()` in `x.sql`
const claims = (text) => [...text.matchAll(/((?:`[a-z_*]+\(\)`(?:,| and)? ?)+)in `(?:[a-z/]*\/)?([a-z_*.]+\.sql)`/g)]
  .flatMap(([, names, file]) => [...names.matchAll(/`([a-z_*]+)\(\)`/g)].map(([, name]) => [name, file]));

test('each function that README names is in the file that it names', () => {
  const readme = readFileSync(join(top, 'README.md'), 'utf8');
  const found = claims(readme);
  assert.ok(found.length >= 20, `only ${found.length} were found`);
  for (const [name, file] of found) assert.ok(texts[file] && defines(name, file), `${name}() in ${file}`);
  for (const [, file] of readme.matchAll(/`(?:service\/store\/schema\/)?([a-z_]+(?:\.guards)?\.sql)`/g)) assert.ok(texts[file], file);
});

test('a function that is elsewhere is noticed', () => {
  assert.deepEqual(claims('| x | `evaluate()`, `key_admit()` in `program.sql` |'), [['evaluate', 'program.sql'], ['key_admit', 'program.sql']]);
  assert.ok(defines('evaluate', 'program.sql') && !defines('evaluate', 'score.sql'));
  assert.ok(defines('report_*', 'reports.sql') && !defines('report_*', 'score.sql'));
});
