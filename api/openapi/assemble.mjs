// Assembles openapi.yaml from what the program says of itself (`kamd --print-api`) and what people
// write in api/openapi/*.yaml: assemble.mjs [--check]
// With --check it changes nothing, and fails when something would change.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { documentOf } from './lib/document.mjs';
import { KAMD, OPENAPI, printApi, readSources, top } from './lib/inputs.mjs';
import { written } from './lib/layout.mjs';

export const assembled = () => written(documentOf(printApi(), readSources()));

function build() {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^M(AKEFLAGS|AKELEVEL|FLAGS)$/.test(name)));
  execFileSync('make', ['-s', 'build'], { cwd: top, env, stdio: ['ignore', 'ignore', 'inherit'] });
}

function main() {
  if (!process.env.KAMD_BIN) build();
  const after = assembled();
  if (after === readFileSync(OPENAPI, 'utf8')) return 0;
  if (process.argv.includes('--check')) {
    console.error(`openapi.yaml is not what api/openapi and ${KAMD} make of it; run \`make openapi\``);
    return 1;
  }
  writeFileSync(OPENAPI, after);
  console.log('openapi.yaml written');
  return 0;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    process.exitCode = main();
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  }
}
