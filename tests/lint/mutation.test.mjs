// Each check of access that `make mutation` takes away stands in the sources as it looks for it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { test } from 'node:test';

test('every check that is to be taken away is there, once', () => {
  const cwd = resolve(new URL('.', import.meta.url).pathname, '../..');
  const { status, stderr } = spawnSync('node', ['tests/mutation/main.mjs', '--check'], { cwd, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
});
