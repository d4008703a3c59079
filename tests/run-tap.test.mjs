// The runner must never call a crash, a timeout or an empty run a success.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failuresOfNode, readCmocka, readNode } from './run-tap.mjs';

const FINE = { code: 0, signal: null, timeout: 0 };
const counts = ({ passed, failed, skipped }) => [passed, failed, skipped];

const CMOCKA = [
  ['all pass', '1..2\nok 1 - a\nok 2 - b\n', FINE, [2, 0, 0]],
  ['one fails', '1..2\nok 1 - a\nnot ok 2 - b\n# why\n', { ...FINE, code: 1 }, [1, 1, 0]],
  ['one is skipped', '1..2\nnot ok 1 # SKIP a\nok 2 - b\n', FINE, [1, 0, 1]],
  ['two groups', '1..1\nok 1 - a\n# ok - one\n1..1\nok 1 - b\n', FINE, [2, 0, 0]],
  ['a print before a result', '1..1\nhellook 1 - a\n', FINE, [1, 0, 0]],
  ['a print that looks like a result', '1..1\nok 7 - of many\nok 1 - a\n', FINE, [1, 0, 0]],
  ['a crash in the second test', '1..3\nok 1 - a\n', { ...FINE, code: null, signal: 'SIGABRT' }, [1, 2, 0]],
  ['a group whose setup failed', '1..2\nnot ok 0 - g [  FAILED  ] GROUP SETUP\n', { ...FINE, code: 1 }, [0, 2, 0]],
  ['all pass, then a crash', '1..1\nok 1 - a\n', { ...FINE, code: null, signal: 'SIGSEGV' }, [1, 1, 0]],
  ['all pass, then a bad exit code', '1..1\nok 1 - a\n', { ...FINE, code: 23 }, [1, 1, 0]],
  ['a timeout', '1..1\n', { code: null, signal: 'SIGKILL', timeout: 5 }, [0, 1, 0]],
  ['no output', '', FINE, [0, 1, 0]],
];
for (const [name, output, end, expected] of CMOCKA) {
  test(`cmocka: ${name}`, () => assert.deepEqual(counts(readCmocka(output, end)), expected));
}

const totals = (tests, pass, fail, cancelled = 0, skipped = 0, todo = 0) =>
  `# tests ${tests}\n# pass ${pass}\n# fail ${fail}\n# cancelled ${cancelled}\n# skipped ${skipped}\n# todo ${todo}\n`;
const NODE = [
  ['all pass', `ok 1 - a\nok 2 - b\n${totals(2, 2, 0)}`, FINE, [2, 0, 0]],
  ['one fails', `not ok 1 - a\n${totals(2, 1, 1)}`, { ...FINE, code: 1 }, [1, 1, 0]],
  ['one is cancelled', totals(2, 1, 0, 1), { ...FINE, code: 1 }, [1, 1, 0]],
  ['skipped and todo', totals(4, 2, 0, 0, 1, 1), FINE, [2, 0, 2]],
  ['a file without tests', `ok 1 - /x/some.test.mjs\n${totals(1, 1, 0)}`, FINE, [0, 1, 0]],
  ['one test that passes', `ok 1 - a\n${totals(1, 1, 0)}`, FINE, [1, 0, 0]],
  ['killed without totals', 'ok 1 - a\n', { ...FINE, code: null, signal: 'SIGKILL' }, [0, 1, 0]],
  ['all pass, bad exit code', totals(1, 1, 0), { ...FINE, code: 7 }, [1, 1, 0]],
];
for (const [name, output, end, expected] of NODE) {
  test(`node: ${name}`, () => assert.deepEqual(counts(readNode(output, end, 'some.test.mjs')), expected));
}

test('node: a failure is shown with its explanation, a success is not', () => {
  const shown = failuresOfNode('ok 1 - a\n  ---\n  x: 1\n  ...\nnot ok 2 - b\n  ---\n  error: bad\n  ...\nok 3 - c\n  ---\n  y: 2\n  ...\n');
  assert.match(shown, /not ok 2 - b/);
  assert.match(shown, /error: bad/);
  assert.doesNotMatch(shown, /x: 1|y: 2/);
});
