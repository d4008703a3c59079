// Turns of load, and what is made of them.
import { execFile, execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { HERE, RUN, at } from './servers.mjs';

const run = promisify(execFile);
export const PAIRS = Number(process.env.BENCH_PAIRS || 9);
export const SECONDS = Number(process.env.BENCH_SECONDS || 2);
const TICK_US = 10_000;
const PG_BIN = execFileSync('pg_config', ['--bindir'], { encoding: 'utf8' }).trim();

const quantile = (sorted, q) => {
  const place = (sorted.length - 1) * q;
  const low = Math.floor(place);
  return sorted[low] + (sorted[Math.ceil(place)] - sorted[low]) * (place - low);
};

// The spread is half the distance of the quartiles.
export function summary(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return { median: quantile(sorted, 0.5), spread: (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / 2, values };
}

// CPU time of a process so far, in microseconds.
export function cpuOf(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

export const memoryOf = (pid, line = 'VmRSS') => Number(new RegExp(`^${line}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;

// One turn of wrk: {rate, cpu (µs of the server per request), p99 (ms)}.
export async function wrk(server, { paths, headers = {}, connections = 64, seconds = SECONDS, body }) {
  const file = at(`paths.${server.pid}`);
  if (paths) writeFileSync(file, `${paths.join('\n')}\n`);
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '--latency', '-s', `${HERE}${paths ? 'get' : 'post'}.lua`];
  for (const [name, value] of Object.entries(headers)) args.push('-H', `${name}: ${value}`);
  const before = cpuOf(server.pid);
  const { stdout } = await run('wrk', [...args, server.url], { env: { ...process.env, BENCH_PATHS: file, BENCH_BODY: body, BENCH_RUN: `${Date.now()}${server.pid}` } });
  const cpu = cpuOf(server.pid) - before;
  const number = (pattern) => Number(pattern.exec(stdout)?.[1] ?? 0);
  const requests = number(/(\d+) requests in/);
  const bad = number(/Non-2xx or 3xx responses: (\d+)/);
  const [, p99, unit] = /99%\s+([\d.]+)(us|ms|s)/.exec(stdout) ?? [];
  if (requests === 0 || bad > requests / 100) throw new Error(`${server.url}: ${bad} of ${requests} answers were errors:\n${stdout}`);
  return { rate: number(/Requests\/sec:\s+([\d.]+)/), cpu: cpu / requests, p99: Number(p99) * { us: 0.001, ms: 1, s: 1000 }[unit] };
}

// One turn of pgbench with this script: {rate}. Its connections are new, and PostgreSQL plans and
// compiles for each of them: the first seconds do not count.
const LEAD = 3;
export async function pgbench(url, name, script, clients, seconds = SECONDS) {
  const file = at(`${name}.pgbench`);
  writeFileSync(file, script);
  const args = ['-n', '-M', 'prepared', '-P', '1', '-c', String(clients), '-j', '1', '-T', String(LEAD + seconds), '-f', file, url];
  const { stdout, stderr } = await run(join(PG_BIN, 'pgbench'), args, { env: { ...process.env, PGOPTIONS: '-c kamd.scope=all -c kamd.areas=-1' } })
    .catch((error) => { throw new Error(`pgbench ${name}: ${error.stderr}`); });
  const rates = [...stderr.matchAll(/^progress: [\d.]+ s, ([\d.]+) tps/gm)].map(([, rate]) => Number(rate)).slice(LEAD);
  const rate = rates.reduce((sum, one) => sum + one, 0) / rates.length;
  if (!(rate > 0)) throw new Error(`pgbench ${name}:\n${stdout}${stderr}`);
  return { rate };
}

// Subject and reference in turn; each first warms up, when slow answers and errors still count for
// nothing: PostgreSQL compiles functions for each new connection.
export async function pairs(subject, reference) {
  for (const side of [subject, reference]) await side(2 * SECONDS).catch(() => {});
  const taken = [];
  for (let i = 0; i < PAIRS; i++) {
    // Who goes first changes, so that a trend of the machine favours nobody.
    const order = i % 2 ? [reference, subject] : [subject, reference];
    const [first, second] = [await order[0](), await order[1]()];
    taken.push(i % 2 ? [second, first] : [first, second]);
  }
  const of = (side, what) => summary(taken.map((pair) => pair[side][what] ?? NaN)).median;
  return {
    ...summary(taken.map(([a, b]) => a.rate / b.rate)),
    subject: { rate: of(0, 'rate'), cpu: of(0, 'cpu'), p99: of(0, 'p99') },
    reference: { rate: of(1, 'rate'), cpu: of(1, 'cpu'), p99: of(1, 'p99') },
  };
}

export async function repeat(what, times = PAIRS) {
  const values = [];
  for (let i = 0; i < times; i++) values.push(await what());
  return summary(values);
}

export { RUN };
