// Each lint can fail, says where, and lets a clean tree pass.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { after, before, test } from 'node:test';

const top = resolve(dirname(new URL(import.meta.url).pathname), '../..');
const HEADER = (name, text = '') => `#ifndef ${name}\n#define ${name}\n${text}#endif\n`;
const CLEAN = {
  'service/core/buf.c': '/* Says how long a text is. */\n#include "core/buf.h"\n\nint buf_length(const char *text) { return text[0]; }\n',
  'include/core/buf.h': HEADER('CORE_BUF_H', 'int buf_length(const char *text);\n'),
  'include/domain/rule.h': HEADER('DOMAIN_RULE_H'),
  'include/app/use.h': HEADER('APP_USE_H', '#include "domain/rule.h"\n'),
  'README.md': 'A project.\n',
};

let folder;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'kamd-lint-'));
  for (const path of ['Makefile', '.clang-format', '.clang-tidy', 'deploy/dev', 'deploy/build', 'tests/lint', 'tests/.clang-tidy']) {
    cpSync(join(top, path), join(folder, path), { recursive: true });
  }
  execFileSync('git', ['init', '-q', folder]);
  for (const [path, text] of Object.entries(CLEAN)) put(path, text);
});
after(() => rmSync(folder, { recursive: true }));

function put(path, text) {
  mkdirSync(join(folder, dirname(path)), { recursive: true });
  writeFileSync(join(folder, path), text);
}

// Without BUILD, which would lead out of the folder. Without an input: bash takes the socket that node makes for one for sshd's, and reads ~/.bashrc.
function run(command, ...args) {
  const { BUILD, MAKEFLAGS, ...env } = process.env;
  return spawnSync(command, args, { cwd: folder, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

const lint = (name) => run(join(folder, 'tests/lint', name));

// [lint, file, content, what it must say]
const OFFENCES = [
  ['toplevel', 'notes.txt', 'x\n', /notes\.txt/],
  ['format', 'service/core/ugly.c', 'int  a ;\n', /service\/core\/ugly\.c:1/],
  ['banned', 'service/core/copy.c', '/* strcpy( */\nvoid f(char *a) { strcpy(a, "b"); }\n', /copy\.c:2/],
  ['banned', 'service/core/log.c', 'void f(char *a) { y_log_message(1, a); }\n', /log\.c:1.*literal/],
  ['banned', 'service/core/cmp.c', 'int f(void) { return memcmp(given, row->secret_hash, 32); }\n', /cmp\.c:1.*secret/],
  ['banned', 'service/core/later.c', `/* ${'TO'}${'DO'}: more */\n`, /later\.c:1/],
  ['banned', 'tests/new.mjs', `const least = [2, 1].to${'Sorted'}()[0];\n`, /new\.mjs:1.*Node 18/],
  ['headers', 'include/core/needy.h', HEADER('NEEDY_H', 'size_t needy(void);\n'), /needy\.h.*size_t/],
  ['headers', 'service/core/silent.c', 'int x;\n', /^  service\/core\/silent\.c:1: does not begin with a comment that says what it is for\n$/],
  ['headers', 'tests/unit/core/test_silent.c', '#include "unit.h"\n/* Late. */\n', /^  tests\/unit\/core\/test_silent\.c:1: does not begin with a comment/],
  ['headers', 'api/rate_limit.c', '/* The rate limit. */\nint x;\n', /^  api\/rate_limit\.c:1: begins with a comment that says no more than its name\n$/],
  ['headers', 'tests/fuzz/api_request.c', '/* The head of a request is read. Then it is matched. Then it is answered. */\n', /^  tests\/fuzz\/api_request\.c:1: begins with a comment of 3 sentences/],
  ['parameters', 'service/core/wide.c', `/* a(1, 2, 3, 4, 5, 6); */\nint fine(int a, int b, int c, int d, int (*e)(int, int));\nenum MHD_Result call(int a, int b, int c, int d, int e, int f) {\n    return fine(a, b, c, d + e, f);\n}\nint say(int a, int b, int c, int d, const char *format, ...) {\n    return 0;\n}\nstatic int wide(int a, int b, int c,\n                int (*d)(int), int e, int f) {\n    return a;\n}\n`, /^  service\/core\/wide\.c:9: wide has 6 parameters\n$/],
  ['parameters', 'include/core/wide.h', HEADER('CORE_WIDE_H', 'int wide(int a, int b, int c, int d, int e, int f);\n'), /wide\.h:3: wide has 6/],
  ['layers', 'service/core/up.c', '#include "../../include/domain/rule.h"\n', /up\.c:1/],
  ['layers', 'service/app/sql.c', '#include <libpq-fe.h>\n', /sql\.c:1.*service\/store/],
  ['rooms', 'service/app/base/up.c', '#include "plan/plans.h"\n', /base\/up\.c:1: base does not see plan/],
  ['rooms', 'service/app/plan/aside.c', '#include "base/json.h"\n#include "program/rule.h"\n', /^  service\/app\/plan\/aside\.c:2: plan does not see program: program\/rule\.h\n$/],
  ['rooms', 'service/app/lost.c', '\n', /lost\.c: lies in no room/],
  ['sql', 'service/store/migrations/0048_more.sql', '-- More.\ncreate table more (id int);\n-- min-binary: 39\n', /0048_more\.sql:1.*min-binary/],
  ['sql', 'service/store/migrations/0049_other.sql', '-- More.\n-- min-binary: 50\n', /0049_other\.sql:1/],
  ['sql', 'service/store/migrations/0050_more.sql', "-- More.\n-- min-binary: 49\ncreate function f() returns int language sql as 'select 1';\n", /0050_more\.sql:3.*schema/],
  ['sql', 'service/store/schema/twice.sql', '-- One.\ncreate or replace function f(a int) returns int language sql as $$ select 1 $$;\n-- Another one.\ncreate or replace function f(a text) returns int language sql as $$ select 1 $$;\n-- The same.\ncreate or replace function f(a int) returns int language sql as $$ select 2 $$;\n', /^  \S*twice\.sql:6: f is defined in \S*twice\.sql:2, too\n$/],
  ['sql', 'service/store/schema/bare.sql', '-- A file.\n\ncreate or replace function f() returns int language sql as $$ select 1 $$;\n', /bare\.sql:3.*comment/],
  ['sql', 'service/store/schema/long.sql', `-- Long.\ncreate or replace function f() returns int language sql as $$\n${'\n'.repeat(59)}select 1 $$;\n`, /long\.sql:2.*61 lines/],
  ['sql', 'service/store/schema/wide.sql', `-- Sixty lines are fine, and 120 columns.\ncreate or replace function f() returns int language sql as $$\n${'\n'.repeat(58)}select 1 $$;\n-- ${'x'.repeat(117)}\n-- ${'x'.repeat(118)}\n`, /^  \S*wide\.sql:63: has more than 120 columns\n$/],
  ['shell', 'deploy/bad', '#!/bin/bash\ncd $1\n', /deploy\/bad:2/],
  ['tidy', 'service/core/loop.c', 'int f(int a);\nint f(int a) {\n    if (a)\n        return 1;\n    else\n        return 1;\n}\n', /loop\.c:3/],
];

for (const name of [...new Set(OFFENCES.map((row) => row[0]))]) {
  test(`${name} lets a clean tree pass`, () => {
    const { status, stdout, stderr } = lint(name);
    assert.equal(status, 0, stdout + stderr);
  });
}

for (const [name, path, text, says] of OFFENCES) {
  test(`${name} finds ${path}`, () => {
    put(path, text);
    const { status, stdout } = lint(name);
    rmSync(join(folder, path));
    assert.notEqual(status, 0);
    assert.match(stdout, says);
  });
}

test('an upward include does not compile', () => {
  put('service/core/up.c', '#include "domain/rule.h"\n');
  const { status, stderr } = run('make', '-s', 'build');
  rmSync(join(folder, 'service/core/up.c'));
  assert.notEqual(status, 0);
  assert.match(stderr, /domain\/rule\.h: No such file/);
});

test('a layer that sees too much is found', () => {
  const makefile = join(folder, 'Makefile');
  execFileSync('sed', ['-i', 's/^see_core .*/see_core := core domain/', makefile]);
  const { status, stdout } = lint('layers');
  cpSync(join(top, 'Makefile'), makefile);
  assert.notEqual(status, 0);
  assert.match(stdout, /service\/core.*domain\/rule\.h/);
});
