// The program itself: started, watched, stopped, killed.
import { execFile, spawn } from 'node:child_process';
import { get } from 'node:http';
import { promisify } from 'node:util';
import { KAMD, environment, freePort } from './stack.mjs';
import { PATIENCE, until } from './wait.mjs';

const MAX_LOG = 4 << 20;

// What `make start` loosens, and nothing else: receivers on this machine, without TLS.
const LOCAL_WEBHOOKS = { KAMD_WEBHOOK_ALLOW_HTTP: 'true', KAMD_WEBHOOK_ALLOWED_CIDRS: '127.0.0.0/8', KAMD_WEBHOOK_PORTS: 'any' };

// Runs a command of the program to its end: {stdout, stderr}; fails when it fails.
export const runKamd = (settings, ...args) => promisify(execFile)(KAMD, args, { env: environment(settings) });

export async function makeKey(settings, role, name = `e2e ${role}`) {
  const { stdout } = await runKamd(settings, 'api-key', 'create', '--role', role, '--name', name);
  const key = stdout.trim();
  if (!/^kamd_live_\w+$/.test(key)) throw new Error(`no key alone on standard output: ${JSON.stringify(stdout)}`);
  return key;
}

export const statusOf = (url, ms = 1000) => new Promise((done) => {
  const request = get(url, { agent: false, timeout: ms }, (answer) => { answer.resume(); done(answer.statusCode); });
  request.on('timeout', () => request.destroy());
  request.on('error', () => done(0));
});

// {url, adminUrl, pid, log(), kill(), stop()}, ready to serve. An object among the arguments may name {ports, program, probe: what is waited for}.
export async function startKamd(settings, ...words) {
  const args = words.filter((word) => typeof word === 'string');
  const { ports = {}, program = KAMD, probe = '/readyz' } = words.find((word) => typeof word === 'object') ?? {};
  const port = ports.KAMD_PORT ?? await freePort();
  const adminPort = ports.KAMD_ADMIN_PORT ?? await freePort();
  const child = spawn(program, args.length ? args : ['serve'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: environment({ ...LOCAL_WEBHOOKS, ...settings, KAMD_PORT: String(port), KAMD_ADMIN_PORT: String(adminPort) }),
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => { log = (log + text).slice(-MAX_LOG); });
  }
  const ended = new Promise((done) => { child.on('exit', (code, signal) => done({ code, signal })); });
  const kamd = {
    url: `http://127.0.0.1:${port}`,
    adminUrl: `http://127.0.0.1:${adminPort}`,
    pid: child.pid,
    ended,
    log: () => log,
    // As a machine that loses power does.
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
    // As an operator does. Whatever is not a clean end is a failure.
    async stop({ ms = 15_000 } = {}) {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), ms * PATIENCE);
      const { code, signal } = await ended;
      clearTimeout(late);
      if (code !== 0) throw new Error(`kamd ended with ${signal ?? code}:\n${log.slice(-3000)}`);
    },
  };
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`kamd ended with ${child.exitCode}`);
    return await statusOf(`${args[0] === 'worker' ? kamd.adminUrl : kamd.url}${probe}`, 5000) === 200;
  }, { ms: 30_000, what: 'kamd being ready' }).catch((error) => {
    child.kill('SIGKILL');
    throw new Error(`${error.message}\n${log.slice(-3000)}`, { cause: error.cause });
  });
  return kamd;
}
