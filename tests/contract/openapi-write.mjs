// Writes what the descriptors say into the marked parts of openapi.yaml, and to each answer what all of
// them have: openapi-write [--check]
// With --check it changes nothing, and fails when something would change.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { KAMD, OPENAPI, printApi, top } from './lib/contract.mjs';
import { complete } from './lib/common.mjs';
import { rewrite } from './lib/descriptors.mjs';

if (!process.env.KAMD_BIN) {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^M(AKEFLAGS|AKELEVEL|FLAGS)$/.test(name)));
  execFileSync('make', ['-s', 'build'], { cwd: top, env, stdio: ['ignore', 'ignore', 'inherit'] });
}
const before = readFileSync(OPENAPI, 'utf8');
const after = complete(rewrite(before, printApi()));
if (after === before) process.exit(0);
if (process.argv.includes('--check')) {
  console.error(`openapi.yaml does not say what ${KAMD} does; run \`make openapi\``);
  process.exit(1);
}
writeFileSync(OPENAPI, after);
console.log('openapi.yaml written');
