// make bench; see run.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { PAIRS, SECONDS } from './measure.mjs';
import { load } from './portfolio.mjs';
import { ROWS } from './rows.mjs';
import { RUN, closeStack, connect, forget, makeKey, openStack, stopAll } from './servers.mjs';

const ACCOUNTS = Number(process.env.BENCH_ACCOUNTS || 100_000);
const KEEP = process.env.BENCH_KEEP === '1';
const only = process.argv.slice(2);
const say = (text) => console.error(`bench: ${text}`);
mkdirSync(RUN, { recursive: true });

function machine() {
  const version = (program, ...args) => execFileSync(program, args, { encoding: 'utf8' }).trim().split('\n')[0];
  return {
    cpu: cpus()[0].model, cpus: cpus().length, memory_gb: Math.round(totalmem() / 2 ** 30), kernel: version('uname', '-sr'), load: loadavg()[0],
    postgres: version(`${version('pg_config', '--bindir')}/postgres`, '--version'), redis: version('redis-server', '--version').replace(/ sha=.*/, ''),
    node: process.version, kamd: version(process.env.KAMD_BIN, '--version'), commit: version('git', 'rev-parse', '--short', 'HEAD'),
  };
}

// The database, loaded, and an API key.
async function prepare() {
  const mark = join(RUN, 'loaded');
  const again = KEEP && existsSync(mark) && Number(readFileSync(mark, 'utf8')) === ACCOUNTS;
  const settings = await openStack(!again);
  if (!again) {
    say(`loading ${ACCOUNTS} accounts`);
    const started = Date.now();
    const owner = await connect(settings.DATABASE_MIGRATE_URL);
    await load(owner, ACCOUNTS, say);
    await owner.end();
    const superuser = await connect(settings.DATABASE_SUPERUSER_URL);
    await superuser.query('vacuum analyze');
    await superuser.query('checkpoint');
    await superuser.end();
    say(`loaded in ${Math.round((Date.now() - started) / 1000)} s`);
    writeFileSync(mark, String(ACCOUNTS));
  }
  return { settings, key: await makeKey(settings), accounts: ACCOUNTS };
}

// Missed only when the median lies on the wrong side of the goal by more than the spread.
function verdict({ goal, most, median, spread }) {
  if (goal !== undefined) return median >= goal ? 'met' : median + spread < goal ? 'MISSED' : 'within the spread';
  if (most !== undefined) return median <= most ? 'met' : median - spread > most ? 'MISSED' : 'within the spread';
  return '';
}

const number = (value) => (value === undefined || Number.isNaN(value) ? '' : value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));
const side = (what) => (what ? `${number(what.rate)}/s${what.cpu ? ` ${number(what.cpu)} us` : ''}` : '');

function table(results) {
  const head = ['row', 'goal', 'median', 'spread', 'verdict', 'subject', 'reference'];
  const lines = results.map((row) => row.error ? [row.name, '', '', '', 'FAILED', row.error.split('\n')[0].slice(0, 80), '']
    : [row.name, row.goal !== undefined ? `>= ${row.goal}` : row.most !== undefined ? `<= ${row.most} ${row.unit}` : '', `${number(row.median)}${row.unit ? ` ${row.unit}` : ''}`,
      number(row.spread), row.verdict, side(row.subject), side(row.reference)]);
  const widths = head.map((_, i) => Math.max(...[head, ...lines].map((line) => line[i].length)));
  return [head, ...lines].map((line) => line.map((cell, i) => cell.padEnd(widths[i])).join('  ').trimEnd()).join('\n');
}

async function main() {
  const about = { ...machine(), accounts: ACCOUNTS, pairs: PAIRS, seconds: SECONDS, at: new Date().toISOString() };
  const world = await prepare();
  const results = [];
  for (const { name, measure, ...row } of ROWS) {
    if (only.length && !only.some((word) => name.includes(word))) continue;
    say(name);
    const result = await measure(world).catch((error) => ({ error: error.stack ?? String(error) }));
    if (result.error) say(result.error);
    const all = { name, ...row, ...result };
    results.push({ ...all, verdict: result.error ? 'failed' : verdict(all) });
    await stopAll();
  }
  writeFileSync(join(dirname(RUN), 'bench.json'), `${JSON.stringify({ machine: about, rows: results }, null, 1)}\n`);
  console.log(`${table(results)}\n`);
  console.log(Object.entries(about).map(([name, value]) => `${name} ${value}`).join(', '));
  console.log('A ratio is subject / reference, median of pairs taken in turn; the spread is half the distance of the quartiles.');
  if (results.some((row) => row.verdict === 'MISSED' || row.verdict === 'failed')) process.exitCode = 1;
}

async function close() {
  await stopAll();
  await closeStack();
  if (!KEEP) forget();
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => { close().finally(() => process.exit(130)); });
try {
  await main();
} catch (error) {
  console.error(error);
  process.exitCode = 2;
} finally {
  await close();
}
