// The list of requirements names the tests that cite each number, and has every number that is cited.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { LIST, cited, differences, numbersOf, tracked, written } from '../requirements.mjs';

const CITING = ['README.md', 'openapi.yaml', 'api', 'deploy', 'include', 'service', 'tests'];
const list = readFileSync(LIST, 'utf8');
// [path, number]: what is cited and not in the list.
const unknown = (some, files) => files.flatMap(([path, text]) =>
  cited(text).filter((number) => !numbersOf(some).includes(number)).map((number) => [path, number]));

test('the column is what the tests cite', () => {
  const anew = written(list, tracked('tests/*.mjs', 'tests/*.c'));
  assert.deepEqual(differences(list, anew), [], 'run `node tests/requirements.mjs`');
});

test('every number that is cited is in the list, and each of those once, in order', () => {
  const files = tracked(...CITING);
  assert.deepEqual(unknown(list, files), []);
  assert.ok(files.filter(([, text]) => cited(text).length).length >= 60, 'files that cite are found');
  const numbers = numbersOf(list);
  assert.deepEqual(numbers, [...new Set(numbers)].sort());
  assert.equal(numbers.length, 151);
});

test('a number that nobody knows, and a column that is not current, are noticed', () => {
  const made = ['| number | what is asked | proved by |', '|---|---|---|', '| 000-01 | One. | — |',
    '| 000-02 | Two. | [e2e/old](e2e/old.test.mjs) |', '| 000-03 | Three. | — |'].join('\n');
  const files = [['tests/e2e/a.test.mjs', "test('000-01: a', () => {});\n// 000-01, 000-03"],
    ['tests/unit/test_b.c', '/* (000-01, 000-77) */']];
  assert.deepEqual(unknown(made, files), [['tests/unit/test_b.c', '000-77']]);
  const anew = written(made, files);
  assert.deepEqual(anew.split('\n').slice(2), [
    '| 000-01 | One. | [e2e/a](e2e/a.test.mjs), [unit/test_b](unit/test_b.c) |', '| 000-02 | Two. | — |',
    '| 000-03 | Three. | [e2e/a](e2e/a.test.mjs) |']);
  assert.equal(differences(made, anew).length, 3);
  assert.match(differences(made, anew)[1], /000-02 .*old.*should be\n.* — \|$/s);
  assert.deepEqual(differences(anew, written(anew, files)), []);
});

test('what is a citation', () => {
  assert.deepEqual(cited('(000-01, 002-16), 004-16 to 004-18; 000-01 again'),
    ['000-01', '002-16', '004-16', '004-17', '004-18']);
  assert.deepEqual(cited('000-05 to 001-07, 003-05 to 003-05'), ['000-05', '001-07', '003-05']);
  for (const none of ['2000-01-02', '005-01', '000-1', '000-011', '0000-0000-7000', '01970000-0000']) {
    assert.deepEqual(cited(none), [], none);
  }
});
