// Writes the last column of requirements.md: the tests that cite each number. `--check` writes nothing: it fails when
// the column is not current, and says where.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const TOP = resolve(fileURLToPath(import.meta.url), '../..');
export const LIST = join(TOP, 'tests/requirements.md');
const ROW = /^\| (00[0-4]-\d\d) \| ([^|]+) \| ([^|]*) \|$/;

// [[path, text]] of tracked files, but for the list, this program and their test.
export function tracked(...paths) {
  const files = execFileSync('git', ['ls-files', '--', ...paths], { cwd: TOP, encoding: 'utf8' }).trim().split('\n');
  return files.filter((path) => !basename(path).startsWith('requirements.'))
    .map((path) => [path, readFileSync(join(TOP, path), 'utf8')]);
}

// The numbers that a text cites, each once; `000-03 to 000-05` are three.
export function cited(text) {
  const numbers = [...text.matchAll(/\b(00[0-4])-(\d\d)\b(?: to \1-(\d\d)\b)?/g)].flatMap(([, of, from, to = from]) =>
    Array.from({ length: Math.max(to - from, 0) + 1 }, (_, i) => `${of}-${String(Number(from) + i).padStart(2, '0')}`));
  return [...new Set(numbers)];
}

export const numbersOf = (list) => list.split('\n').map((line) => ROW.exec(line)?.[1]).filter(Boolean);

// The list, its last column made from [[path, text]] of the tests.
export function written(list, tests) {
  const cites = tests.map(([path, text]) => [path.replace(/^tests\//, ''), new Set(cited(text))]);
  const column = (number) => cites.filter(([, numbers]) => numbers.has(number))
    .map(([path]) => `[${path.replace(/(\.test)?\.\w+$/, '')}](${path})`).join(', ') || '—';
  return list.replace(new RegExp(ROW, 'gm'), (_, number, demand) => `| ${number} | ${demand} | ${column(number)} |`);
}

// The lines that differ, each with what it should be.
export const differences = (is, should) => is.split('\n')
  .flatMap((line, i) => (line === should.split('\n')[i] ? [] : [`${line}\n  should be\n${should.split('\n')[i]}`]));

if (resolve(process.argv[1] ?? '') === fileURLToPath(import.meta.url)) {
  const list = readFileSync(LIST, 'utf8'), anew = written(list, tracked('tests/*.mjs', 'tests/*.c'));
  if (process.argv[2] !== '--check') writeFileSync(LIST, anew);
  else if (list !== anew) console.error(['requirements.md:', ...differences(list, anew)].join('\n'));
  process.exitCode = process.argv[2] === '--check' && list !== anew ? 1 : 0;
}
