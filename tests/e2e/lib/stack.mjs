// Where PostgreSQL and Redis come from. The test runner gives each file a database of its own by the
// environment; a file that is run by hand, or that is about to stop the servers, starts some itself.
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { until } from './wait.mjs';

const run = promisify(execFile);
const top = fileURLToPath(new URL('../../../', import.meta.url));
const SETTINGS = /^(DATABASE_(URL|WORKER_URL|MIGRATE_URL|SUPERUSER_URL)|REDIS_URL|KAMD_MASTER_KEY_FILE)$/;

export const KAMD = process.env.KAMD_BIN || join(top, '.build/kamd');

// Below 32768, where the system hands out none by itself. A port that is free now may be taken before it is used: the runner gives each
// lane a range of its own. Of what is run by hand, many at once keep apart by their ids.
let nextPort = Number(process.env.KAMD_PORT_BASE || 21600) + (process.pid % 300) * 8;
export async function freePort() {
  for (;;) {
    const port = nextPort++;
    const free = await new Promise((done) => {
      const server = createServer().once('error', () => done(false));
      server.listen(port, '127.0.0.1', () => server.close(() => done(true)));
    });
    if (free) return port;
  }
}

// What a started program gets: nothing that happens to be in our environment but these.
export function environment(settings) {
  const kept = Object.entries(process.env).filter(([name]) => /^(PATH|HOME|TMPDIR|[A-Z]+SAN_OPTIONS)$/.test(name));
  return { ...Object.fromEntries(kept), LANG: 'C.UTF-8', ...settings };
}

const readEnv = (path) => Object.fromEntries(readFileSync(path, 'utf8').split('\n')
  .map((line) => /^([A-Z_]+)=(.*)$/.exec(line)).filter(Boolean).map(([, name, value]) => [name, value]));

async function startOwn(preload) {
  const folder = mkdtempSync(join(tmpdir(), 'kamd-e2e-'));
  const env = { ...process.env, KAMD_RUN: folder, KAMD_STACK_FAST: '1', KAMD_PORT_BASE: String(await freePort()), ...(preload && { KAMD_STACK_PRELOAD: preload }) };
  const script = (word) => run(join(top, 'deploy/dev/stack'), [word], { env });
  const stop = async () => {
    await script('stop');
    rmSync(folder, { recursive: true, force: true });
  };
  await script('start');
  const settings = Object.fromEntries(Object.entries(readEnv(join(folder, 'stack.env'))).filter(([name]) => SETTINGS.test(name)));
  settings.KAMD_MASTER_KEY_FILE = join(folder, 'master.key');
  writeFileSync(settings.KAMD_MASTER_KEY_FILE, Buffer.alloc(32, 7).toString('base64'));
  await run(KAMD, ['migrate'], { env: environment(settings) }).catch(async (error) => {
    await stop();
    throw error;
  });
  const postmaster = () => Number(readFileSync(join(folder, 'pg/data/postmaster.pid'), 'utf8').split('\n')[0]);
  const postgres = () => tree(postmaster());
  // All of them, the parent standing still: it forks nobody who would be missed.
  const holdPostgres = () => {
    const pid = postmaster();
    process.kill(pid, 'SIGSTOP');
    while (stateOf(pid) !== 'T') briefly();
    return tree(pid);
  };
  return {
    settings,
    start: () => script('start'),
    redis: () => Number(readFileSync(join(folder, 'redis.pid'), 'utf8')),
    postgres,
    holdPostgres,
    // Over when none of them runs: beside one that does, the next server would not start. Where nobody
    // reaps orphans, as in many containers, the dead server stays a zombie, which the next one would
    // take for alive: its lock files go, too.
    killPostgres() {
      const all = holdPostgres();
      signalAll(all, 'SIGKILL');
      while (all.some(runs)) briefly();
      for (const [at, pattern] of [['data', /^postmaster\.pid$/], ['socket', /\.lock$/]]) {
        for (const name of readdirSync(join(folder, 'pg', at))) if (pattern.test(name)) rmSync(join(folder, 'pg', at, name));
      }
    },
    stop,
  };
}

// {settings, stop()}; with `own` servers that nobody else uses, PostgreSQL with the library `preload`, and also {start(), redis(), postgres(), holdPostgres(), killPostgres()}.
export async function openStack({ own = false, preload } = {}) {
  if (own || !process.env.DATABASE_URL || !process.env.KAMD_MASTER_KEY_FILE) return startOwn(preload);
  const settings = Object.fromEntries(Object.entries(process.env).filter(([name]) => SETTINGS.test(name)));
  return { settings, async stop() {} };
}

// One value or row of text by a superuser's connection, for what the API rightly does not show.
const psql = (settings, statement) => ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', statement, settings.DATABASE_SUPERUSER_URL];
export function sql(settings, statement) {
  return execFileSync('psql', psql(settings, statement), { encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'inherit'] }).trim();
}
// The same while other work of this process goes on.
export const sqlBeside = async (settings, statement) => (await promisify(execFile)('psql', psql(settings, statement), { maxBuffer: 1 << 28 })).stdout.trim();

// A superuser's session, whose transactions may stay open: ask() sends a statement and gives its one line.
export function openSession(settings) {
  const child = spawn('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', settings.DATABASE_SUPERUSER_URL], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return {
    async ask(statement) { child.stdin.write(`${statement};\n`); return (await lines.next()).value; },
    async close() { child.stdin.end(); await once(child, 'exit'); },
  };
}

// The answer to a request that is sent while a session has a change that is not committed yet: `change` is a statement that gives one line. It is committed
// when the request waits for it, or was answered without waiting.
export async function answerBeside(settings, change, request) {
  const session = openSession(settings);
  const waiting = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
  try {
    await session.ask(`begin; ${change}`);
    let answered = false;
    const answer = request().finally(() => { answered = true; });
    await until(() => answered || Number(sql(settings, waiting)) > 0, { what: 'a request that waits, or its answer' });
    await session.ask("commit; select 'committed'");
    return await answer;
  } finally {
    await session.close();
  }
}

// Runs one of PostgreSQL's own programs, as who the servers run as: it refuses to run as root.
export function asPostgres(program, ...args) {
  const path = program.startsWith('pg_') ? join(execFileSync('pg_config', ['--bindir'], { encoding: 'utf8' }).trim(), program) : program;
  const drop = process.getuid() === 0 ? ['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', '--'] : [];
  const [command, ...words] = [...drop, path, ...args];
  return execFileSync(command, words, { cwd: '/', encoding: 'utf8', maxBuffer: 1 << 28, stdio: ['ignore', 'pipe', 'inherit'] });
}

// Where nothing of the schema is: for a restore, or an older version. The stack is one of openStack({ own: true }).
export async function emptyDatabase(stack) {
  sql({ DATABASE_SUPERUSER_URL: stack.settings.DATABASE_SUPERUSER_URL.replace(/\/kamd$/, '/postgres') }, 'drop database kamd with (force)');
  await stack.start();
}

// A Redis of the test's own: {url, pid, cli(...words), stop()}.
export async function startRedis(...options) {
  const port = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'kamd-e2e-redis-'));
  const server = spawn('redis-server', ['--bind', '127.0.0.1', '--port', String(port), '--dir', folder, '--save', '', '--appendonly', 'no', ...options],
    { stdio: 'ignore' });
  const cli = (...words) => execFileSync('redis-cli', ['-p', String(port), ...words], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
  await until(() => cli('ping') === 'PONG', { what: 'Redis' });
  return {
    url: `redis://127.0.0.1:${port}`,
    pid: server.pid,
    cli,
    stop() {
      server.kill('SIGKILL');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

// A process with all below it: PostgreSQL's parent and its backends.
export function tree(pid) {
  const parents = readdirSync('/proc').filter((name) => /^\d+$/.test(name)).flatMap((name) => {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      return [[Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])]];
    } catch {
      return [];
    }
  });
  const found = [pid];
  for (let i = 0; i < found.length; i++) found.push(...parents.filter(([, parent]) => parent === found[i]).map(([child]) => child));
  return found;
}

// Of a process, as in proc(5): "T" stopped, "Z" zombie; absent: there is none.
function stateOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat[stat.lastIndexOf(')') + 2];
  } catch {
    return undefined;
  }
}
const runs = (pid) => ![undefined, 'Z'].includes(stateOf(pid));
const briefly = () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);

export const signalAll = (pids, signal) => pids.forEach((pid) => {
  try { process.kill(pid, signal); } catch (error) { if (error.code !== 'ESRCH') throw error; }
});
