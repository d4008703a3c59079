// What is measured, and what it is measured against: processes that end with this one.
import { execFile, execFileSync, spawn } from 'node:child_process';
import { existsSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { get } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import pg from 'pg';

export const HERE = fileURLToPath(new URL('./', import.meta.url));
export const RUN = process.env.KAMD_RUN;
const STACK = join(HERE, '../../deploy/dev/stack');
const KAMD = process.env.KAMD_BIN;
export const at = (name) => join(RUN, name);
export const sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });

const children = new Set();
let nextPort = Number(process.env.KAMD_PORT_BASE) + 20;
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

const plain = (settings) => ({ PATH: process.env.PATH, HOME: process.env.HOME, LANG: 'C.UTF-8', ...settings });

// {pid, url, stop()}; its output goes to a file.
function start(name, program, args, settings, url) {
  const log = openSync(at(`${name}.log`), 'a');
  const child = spawn(program, args, { stdio: ['ignore', log, log], env: plain(settings) });
  const ended = new Promise((done) => { child.on('exit', (code, signal) => done(signal ?? code)); child.on('error', done); });
  const server = {
    pid: child.pid,
    url,
    get over() { return child.exitCode !== null || child.signalCode !== null; },
    async stop() {
      if (!server.over) child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await ended;
      clearTimeout(late);
      children.delete(server);
    },
  };
  children.add(server);
  return server;
}

export const answerOf = (url, headers = {}) => new Promise((done) => {
  const request = get(url, { agent: false, headers, timeout: 2000 }, (answer) => {
    const chunks = [];
    answer.on('data', (chunk) => chunks.push(chunk)).on('end', () => done({ status: answer.statusCode, rawHeaders: answer.rawHeaders, body: Buffer.concat(chunks) }));
  });
  request.on('timeout', () => request.destroy());
  request.on('error', () => done({ status: 0 }));
});

async function untilAnswers(server, path, name, step = 20) {
  for (let i = 0; i < 30_000 / step; i++) {
    if (server.over) break;
    if ((await answerOf(server.url + path)).status === 200) return server;
    await sleep(step);
  }
  throw new Error(`${name} did not start:\n${readFileSync(at(`${name}.log`), 'utf8').slice(-2000)}`);
}

// ---- PostgreSQL and Redis -------------------------------------------------------------------------

const script = (word) => promisify(execFile)(STACK, [word], { env: process.env });

export async function openStack(fresh) {
  if (fresh && existsSync(RUN)) {
    await script('stop');
    execFileSync('find', [RUN, '-mindepth', '1', '-not', '-name', 'raw', '-not', '-name', 'multi', '-delete']);
  }
  await script('start');
  const lines = readFileSync(at('stack.env'), 'utf8').split('\n').map((line) => /^([A-Z_]+)=(.*)$/.exec(line)).filter(Boolean);
  const settings = Object.fromEntries(lines.map(([, name, value]) => [name, value]).filter(([name]) => !name.startsWith('KAMD_')));
  settings.KAMD_MASTER_KEY_FILE = at('master.key');
  if (!existsSync(settings.KAMD_MASTER_KEY_FILE)) writeFileSync(settings.KAMD_MASTER_KEY_FILE, Buffer.alloc(32, 7).toString('base64'));
  await promisify(execFile)(KAMD, ['migrate'], { env: plain(settings) });
  return settings;
}

export const closeStack = () => script('stop');
export const stopAll = () => Promise.all([...children].map((server) => server.stop()));
export const forget = () => rmSync(RUN, { recursive: true, force: true });

export async function connect(url) {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  return client;
}

// ---- kamd -----------------------------------------------------------------------------------------

export async function makeKey(settings) {
  const { stdout } = await promisify(execFile)(KAMD, ['api-key', 'create', '--role', 'admin', '--name', 'bench'], { env: plain(settings) });
  return stdout.trim();
}

// Requests are counted as everywhere, against a limit that nothing here meets.
const UNREACHED = { KAMD_RATE_LIMIT: '1000000', KAMD_RATE_BURST: '1000000' };

export async function startKamd(settings, more = {}, step) {
  const port = String(await freePort());
  const { DATABASE_SUPERUSER_URL: _, ...own } = settings;
  const env = { ...own, KAMD_PORT: port, KAMD_ADMIN_PORT: String(await freePort()), ...UNREACHED, ...more };
  return untilAnswers(start('kamd', KAMD, ['serve'], env, `http://127.0.0.1:${port}`), '/readyz', 'kamd', step);
}

// ---- references -----------------------------------------------------------------------------------

// libmicrohttpd, answering whatever comes with this.
export async function startSink(fields, body, threads = 8) {
  const port = String(await freePort());
  const file = at(`answer.${port}`);
  writeFileSync(file, Buffer.concat([Buffer.from(`${fields.join('\n')}\n\n`), body]));
  return untilAnswers(start('raw', at('raw'), [port, String(threads), file], {}, `http://127.0.0.1:${port}`), '/', 'raw');
}

// What kamd sends for this path.
export async function startRaw(kamd, path, headers, threads = 8) {
  const { status, rawHeaders, body } = await answerOf(kamd.url + path, headers);
  if (status !== 200) throw new Error(`${path}: ${status} ${body}`);
  const fields = rawHeaders.flatMap((name, i) => (i % 2 ? [] : [`${name}: ${rawHeaders[i + 1]}`]));
  return startSink(fields, body, threads);
}

export async function startFastify(settings, statements) {
  const port = String(await freePort());
  const env = { DATABASE_URL: settings.DATABASE_URL, PORT: port, STATEMENTS: JSON.stringify(statements), NODE_ENV: 'production' };
  return untilAnswers(start('fastify', process.execPath, [join(HERE, 'fastify.mjs')], env, `http://127.0.0.1:${port}`), '/livez', 'fastify');
}
