// The program that is shipped is hardened as the Makefile says. `make test` builds it with clang;
// with another build folder, set BUILD.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const build = process.env.BUILD || '.build';
const programs = [join(build, 'clang/kamd'), join(build, 'kamd')].filter(existsSync);
const skip = programs.length ? false : 'kamd was not built';
const read = (...args) => execFileSync('readelf', ['-W', ...args], { encoding: 'utf8', maxBuffer: 64 << 20 });

for (const program of programs.length ? programs : ['kamd']) {
  test(`${program} is position independent, bound at start and read-only afterwards`, { skip }, () => {
    assert.match(read('-h', program), /Type:\s+DYN/);
    assert.match(read('-d', program), /FLAGS_1.*NOW.*PIE/);
    assert.match(read('-l', program), /GNU_RELRO/);
    assert.match(read('-l', program), /GNU_STACK.* RW /);
  });
  test(`${program} checks its stack and its buffers`, { skip }, () => {
    const symbols = read('--dyn-syms', program);
    assert.match(symbols, /__stack_chk_fail/);
    assert.match(symbols, /__(snprintf|vsnprintf|memcpy|fprintf|printf)_chk/);
  });
}
