// The test runner; see tests/run. Integration tests run one after the other: they share one database server. Those that mostly wait, end to end, run in
// lanes, each with servers of its own; what needs no server runs beside them. Builds come one after the other, in the order in which they are needed.
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { failuresOfNode, readCmocka, readNode } from './run-tap.mjs';

const BUILD = resolve(process.env.BUILD || '.build');
const RUN = resolve(process.env.KAMD_RUN || '.run', 'test');
const MAX_OUTPUT = 4 << 20; // of one program; what follows is dropped
const SHOWN_LINES = 300;
// What hangs is ended. On a machine that is a hundred times slower than usual nothing else is: these are no bounds on how fast a test must be.
const SECONDS = { build: 1800, unit: 600, integration: 600, node: 900, npm: 900, stack: 300 };

// Debian's psql is a script that looks for the server's version: each start of it costs four times as much as the program's own.
process.env.PATH = `${execFileSync('pg_config', ['--bindir'], { encoding: 'utf8' }).trim()}:${process.env.PATH}`;

const [suite = 'all', ...rest] = process.argv.slice(2);
const only = rest.filter((word) => word !== '--');
const SUITES = ['house', 'unit', 'fuzz', 'integration', 'e2e', 'contract', 'deploy'];
if (suite !== 'all' && !SUITES.includes(suite)) {
  console.error(`usage: tests/run all|${SUITES.join('|')} [part of a path...]`);
  process.exit(2);
}
const wants = (name) => suite === 'all' || suite === name;
const chosen = (paths) => paths.filter((path) => !only.length || only.some((word) => path.includes(word)));

// ---- running one program ------------------------------------------------------------------------

const running = new Set();

// Runs a program in a process group of its own, and ends the group when the time is up.
function run(command, args, { seconds, env = {} }) {
  return new Promise((done) => {
    const started = Date.now();
    const child = spawn(command, args, {
      detached: true, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, KAMD_TEST_PATIENCE: '3', ...env },
    });
    running.add(child);
    const text = { out: '', err: '', all: '' };
    const keep = (stream) => (chunk) => {
      for (const part of [stream, 'all']) if (text[part].length < MAX_OUTPUT) text[part] += chunk;
    };
    child.stdout.setEncoding('utf8').on('data', keep('out'));
    child.stderr.setEncoding('utf8').on('data', keep('err'));
    let timeout = 0;
    const timer = setTimeout(() => {
      timeout = seconds;
      try { process.kill(-child.pid, 'SIGKILL'); } catch { /* already gone */ }
    }, seconds * 1000);
    const finish = (code, signal) => {
      clearTimeout(timer);
      running.delete(child);
      done({ ...text, took: (Date.now() - started) / 1000, end: { code, signal, timeout } });
    };
    child.on('error', (error) => { text.all += error.message; finish(127, null); });
    // What a program leaves running keeps its pipes open: do not wait for those for ever.
    child.on('exit', (code, signal) => {
      const late = setTimeout(() => { child.stdout.destroy(); child.stderr.destroy(); }, 2000);
      child.on('close', () => { clearTimeout(late); finish(code, signal); });
    });
  });
}

// ---- counting -------------------------------------------------------------------------------------

const sum = { passed: 0, failed: 0, skipped: 0 };
const failures = [];

function show(text) {
  const lines = text.trimEnd().split('\n');
  if (lines.length > SHOWN_LINES) {
    lines.splice(SHOWN_LINES / 2, lines.length - SHOWN_LINES, `... ${lines.length - SHOWN_LINES} lines left out ...`);
  }
  for (const line of lines) console.log(`    ${line}`);
}

function record(name, result, took, output) {
  for (const key of Object.keys(sum)) sum[key] += result[key];
  const skipped = result.skipped ? `, ${result.skipped} skipped` : '';
  const word = result.failed ? 'FAILED' : 'ok';
  console.log(`${word.padEnd(7)}${name}: ${result.passed} passed, ${result.failed} failed${skipped} (${took.toFixed(1)} s)`);
  if (!result.failed) return;
  failures.push(`${name}: ${result.why.join('; ') || 'failed'}`);
  show(output);
}

const FAILED_ONCE = { passed: 0, failed: 1, skipped: 0 };

// One step that is no test: says nothing when it works, and counts as a failed test when not.
async function step(name, command, args, options) {
  const ran = await run(command, args, options);
  if (ran.end.code === 0) return true;
  record(name, { ...FAILED_ONCE, why: [`ended with ${ran.end.signal ?? ran.end.code}`] }, ran.took, ran.all);
  return false;
}

// ---- lanes ------------------------------------------------------------------------------------------

const PORTS = Number(process.env.KAMD_PORT_BASE || 17000);
const TEST_PORTS = 2600;
const lanes = [0, 1, 2, 3].map((number) => {
  const folder = number === 0 ? RUN : join(RUN, `lane${number}`);
  return {
    folder, reports: join(folder, 'reports'), stack: null,
    testPorts: PORTS + 2000 + number * TEST_PORTS, // what a test itself starts keeps apart from that of the other lanes
    stackEnv: { KAMD_RUN: folder, KAMD_STACK_FAST: '1', KAMD_PORT_BASE: String(PORTS + number * 500) },
  };
});

// The last has no servers: what needs none writes its reports there.
const aside = lanes[3], served = lanes.slice(0, 3);

// Sanitizers write their reports into the lane's folder, whichever process they happen in: a server that leaks or
// races fails the test that started it, also when the test itself saw nothing wrong.
function sanitizerEnv(lane) {
  const log = `log_path=${join(lane.reports, 'report')}`;
  const supp = (name) => (existsSync(`tests/run-${name}.supp`) ? `:suppressions=${resolve(`tests/run-${name}.supp`)}` : '');
  return {
    ASAN_OPTIONS: `${log}:detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1`,
    LSAN_OPTIONS: `print_suppressions=0${supp('lsan')}`,
    UBSAN_OPTIONS: `${log}:print_stacktrace=1`,
    TSAN_OPTIONS: `${log}:second_deadlock_stack=1${supp('tsan')}`,
  };
}

function takeReports(lane) {
  const found = readdirSync(lane.reports).map((name) => join(lane.reports, name));
  const text = found.map((path) => readFileSync(path, 'utf8')).join('\n');
  for (const path of found) rmSync(path);
  return text;
}

function judge(lane, name, ran, result, output) {
  const reports = takeReports(lane);
  if (reports) {
    result.failed ||= 1;
    const titles = reports.match(/^.*(ERROR|WARNING): \w+Sanitizer.*$|^.*runtime error:.*$/gm);
    result.why.push(...new Set(titles ?? ['a sanitizer report']));
    output += `\n${reports}`;
  }
  record(name, result, ran.took, output);
}

// ---- files, builds, the stack -----------------------------------------------------------------------

function find(folder, pattern) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.name !== 'node_modules')
    .flatMap((entry) => (entry.isDirectory() ? find(join(folder, entry.name), pattern)
      : pattern.test(entry.name) ? [join(folder, entry.name)] : []))
    .sort();
}

const unitTests = chosen(find('tests/unit', /^test_.*\.c$/));
const integrationTests = chosen(find('tests/integration', /^test_.*\.c$/));
const binaryOf = (variant, source) => join(BUILD, variant, source.replace(/\.c$/, ''));

function build(variant, ...targets) {
  const args = ['-k', '-s', `BUILD=${BUILD}`, `VARIANT=${variant}`, ...targets];
  return step(`build ${variant}`, 'make', args, { seconds: SECONDS.build });
}

const built = new Map();
let line = Promise.resolve();
function buildOnce(key, work) {
  if (!built.has(key)) built.set(key, line = line.then(work));
  return built.get(key);
}
const theProgram = () => buildOnce('asan', () => build('asan', 'build'));

const readEnv = (path) => Object.fromEntries(readFileSync(path, 'utf8').split('\n')
  .filter((line) => line.includes('='))
  .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));

const sql = ({ stack }, statement) => execFileSync('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-c', 'set client_min_messages = warning', '-c', statement,
  stack.DATABASE_SUPERUSER_URL.replace(/\/kamd$/, '/postgres')], { stdio: ['ignore', 'pipe', 'inherit'] });

// The stack once, with the schema in the database kamd; each test program gets a copy of that.
async function startStack(lane) {
  if (lane.stack) return;
  const { folder, stackEnv } = lane;
  lane.stack = {};
  if (!await step('start PostgreSQL and Redis', 'deploy/dev/stack', ['start'], { seconds: SECONDS.stack, env: stackEnv })) return;
  lane.stack = readEnv(join(folder, 'stack.env'));
  sql(lane, 'drop database if exists kamd with (force)');
  await step('make the database', 'deploy/dev/stack', ['start'], { seconds: SECONDS.stack, env: stackEnv });
  const key = join(folder, 'master.key');
  writeFileSync(key, Buffer.alloc(32, 7).toString('base64'), { mode: 0o600 });
  lane.stack.KAMD_MASTER_KEY_FILE = key;
  const kamd = join(BUILD, 'asan', 'kamd');
  if (existsSync(kamd)) {
    await step('kamd migrate', kamd, ['migrate'], { seconds: SECONDS.stack, env: { ...lane.stack, ...sanitizerEnv(lane) } });
    sql(lane, "alter role kamd_app set statement_timeout = '8s'"); // see DEADLINES in tests/e2e/lib/world.mjs
  }
}

function freshDatabase(lane) {
  const { stack } = lane;
  if (!stack.DATABASE_URL) return {};
  sql(lane, 'drop database if exists kamd_test with (force)');
  sql(lane, "select pg_terminate_backend(pid) from pg_stat_activity where datname = 'kamd'");
  sql(lane, 'create database kamd_test template kamd owner kamd_owner strategy file_copy');
  execFileSync('redis-cli', ['-u', stack.REDIS_URL, 'flushall'], { stdio: 'ignore' });
  return Object.fromEntries(Object.entries(stack).map(([name, value]) =>
    [name, name.startsWith('DATABASE_') ? value.replace(/\/kamd$/, '/kamd_test') : value]));
}

// ---- the suites -------------------------------------------------------------------------------------

async function cmocka(lane, variant, source, seconds, { args = [], envOf = () => ({}) } = {}) {
  const binary = binaryOf(variant, source);
  const name = `${source.replace(/^tests\//, '')} (${variant})`;
  if (!existsSync(binary)) {
    record(name, { ...FAILED_ONCE, why: ['was not built'] }, 0, '');
    return;
  }
  const ran = await run(binary, args, { seconds, env: { ...sanitizerEnv(lane), CMOCKA_MESSAGE_OUTPUT: 'TAP', ...envOf(lane) } });
  judge(lane, name, ran, readCmocka(ran.out, ran.end), ran.all);
}

async function nodeTest(lane, file, envOf = () => ({})) {
  const args = ['--test-reporter=tap', file]; // with --test, node starts a second node that does the same
  const ran = await run(process.execPath, args, { seconds: SECONDS.node, env: { ...sanitizerEnv(lane), BUILD, KAMD_PORT_BASE: String(lane.testPorts), ...envOf(lane) } });
  const shown = ran.end.timeout ? ran.all : `${failuresOfNode(ran.out)}\n${ran.err}`;
  judge(lane, file.replace(/^tests\//, ''), ran, readNode(ran.out, ran.end, basename(file)), shown);
}

const VARIANTS = ['asan', 'tsan'];
// A program with one thread has no race: of the unit tests TSan gets those that start some.
const hasThreads = (source) => /<pthread\.h>|"client\.h"/.test(readFileSync(source, 'utf8'));

async function house() {
  for (const file of chosen([...find('tests/lint', /\.test\.mjs$/), 'tests/client.test.mjs', 'tests/run-tap.test.mjs'])) await nodeTest(aside, file);
}

async function unit() {
  for (const variant of VARIANTS) {
    const sources = unitTests.filter((source) => variant !== 'tsan' || hasThreads(source));
    if (sources.length) await buildOnce(`${variant} unit`, () => build(variant, ...sources.map((source) => binaryOf(variant, source))));
    for (const source of sources) await cmocka(aside, variant, source, SECONDS.unit);
  }
}

async function integration() {
  if (!integrationTests.length) return;
  await theProgram();
  await startStack(lanes[0]);
  // Both are asked for now: the second must not wait behind what has time, while the lane has nothing to do.
  const builds = VARIANTS.map((variant) => buildOnce(`${variant} integration`, () => build(variant, 'integration-tests')));
  for (const [i, variant] of VARIANTS.entries()) {
    await builds[i];
    for (const source of integrationTests) await cmocka(lanes[0], variant, source, SECONDS.integration, { envOf: freshDatabase });
  }
}

// The inputs that are known of each parser: `make fuzz` looks for more.
const fuzzEntries = chosen(find('tests/fuzz', /^[a-z]+_.*\.c$/));
async function fuzz() {
  if (!fuzzEntries.length) return;
  await buildOnce('asan fuzz', () => build('asan', 'fuzz-entries'));
  for (const source of fuzzEntries) await cmocka(aside, 'asan', source, SECONDS.unit, { args: [source.replace(/c$/, 'inputs')] });
}

// From the lockfile, and only when that changed.
async function npmInstall() {
  if (!existsSync('tests/package-lock.json')) return;
  const lock = createHash('sha256').update(readFileSync('tests/package-lock.json')).digest('hex');
  const mark = 'tests/node_modules/.installed-from';
  if (existsSync(mark) && readFileSync(mark, 'utf8') === lock) return;
  if (await step('npm ci', 'npm', ['ci', '--no-audit', '--no-fund', '--prefix', 'tests'], { seconds: SECONDS.npm })) writeFileSync(mark, lock);
}

// One queue for all lanes; a lane that has something else to do first joins later.
async function nodeSuite(folders, busy) {
  const files = chosen(folders.flatMap((folder) => find(folder, /\.test\.mjs$/)));
  if (!files.length) return;
  await npmInstall();
  await theProgram();
  const kamd = join(BUILD, 'asan', 'kamd');
  const queue = files.values();
  await Promise.all(served.slice(0, files.length).map(async (lane) => {
    await busy.get(lane);
    for (const file of queue) {
      await startStack(lane);
      if (existsSync(kamd)) await nodeTest(lane, file, () => ({ ...freshDatabase(lane), KAMD_BIN: kamd, KAMD_TEST_RUN: lane.folder }));
      else record(file, { ...FAILED_ONCE, why: ['kamd was not built'] }, 0, '');
    }
  }));
}

// The second compiler's warnings. It generates no code: that the program works when it does is for the fuzzers, which it builds.
async function checkWithClang() {
  const args = ['-s', `BUILD=${join(BUILD, 'clang')}`, 'CC=clang', 'syntax'];
  if (await step('clang', 'make', args, { seconds: SECONDS.build })) record('clang', { passed: 1, failed: 0, skipped: 0 }, 0, '');
}

async function stopStack() {
  for (const { stack, stackEnv } of lanes) if (stack) await run('deploy/dev/stack', ['stop'], { seconds: SECONDS.stack, env: stackEnv });
}

async function main() {
  for (const lane of lanes) {
    mkdirSync(lane.reports, { recursive: true });
    takeReports(lane);
  }
  const folders = ['e2e', 'contract', 'deploy'].filter(wants).map((name) => `tests/${name}`);
  if (folders.length || wants('integration')) theProgram();
  const first = wants('integration') ? integration() : Promise.resolve();
  await Promise.all([
    first,
    (async () => {
      if (wants('house')) await house();
      if (wants('unit')) await unit();
      if (wants('fuzz')) await fuzz();
      if (suite === 'all' && !only.length) await buildOnce('clang', checkWithClang);
    })(),
    (async () => {
      if (wants('deploy')) await step('tests/deploy/tools', 'tests/deploy/tools', [], { seconds: SECONDS.npm, env: { BUILD } });
      await nodeSuite(folders, new Map([[lanes[0], first]]));
    })(),
  ]);
}

for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, async () => {
    for (const { pid } of running) try { process.kill(-pid, 'SIGKILL'); } catch { /* already gone */ }
    await stopStack();
    process.exit(130);
  });
}

const started = Date.now();
try {
  await main();
} catch (error) {
  record('the test runner', { ...FAILED_ONCE, why: [error.message] }, 0, error.stack);
}
await stopStack();
if (failures.length) console.log(`\nfailed:\n${failures.map((text) => `  ${text}`).join('\n')}`);
if (sum.passed + sum.failed === 0) console.log('no test ran');
console.log(`\n${sum.skipped} skipped, ${((Date.now() - started) / 1000).toFixed(0)} s`);
console.log(`${sum.passed} passed, ${sum.failed} failed`);
process.exitCode = sum.failed || !sum.passed ? 1 : 0;
