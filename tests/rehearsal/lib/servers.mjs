// Other people's servers that stand between clients, kamd and PostgreSQL.
import { spawn } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execFileSync } from 'node:child_process';
import { connect } from 'node:net';
import { freePort } from '../../e2e/lib/stack.mjs';
import { until } from '../../e2e/lib/wait.mjs';

const listens = (port) => new Promise((done) => {
  const socket = connect(port, '127.0.0.1', () => { socket.destroy(); done(true); }).on('error', () => done(false));
});

async function start(command, args, { port, folder, ...options }) {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'], ...options });
  const ended = new Promise((done) => { child.on('exit', done); });
  await until(() => listens(port), { ms: 20_000, what: command });
  return {
    port,
    async stop() {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 3000);
      await ended;
      clearTimeout(late);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

// What a Service and its readiness probes do: who is ready gets requests; who stops being so gets no new ones.
export async function startHaproxy(backends) {
  const folder = mkdtempSync(join(tmpdir(), 'kamd-haproxy-'));
  const port = await freePort();
  writeFileSync(join(folder, 'haproxy.cfg'), `global
  maxconn 500
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  retries 0
  option redispatch
  option httpchk GET /readyz
frontend in
  bind 127.0.0.1:${port}
  default_backend kamd
backend kamd
  balance roundrobin
${backends.map((backend, i) => `  server kamd${i} 127.0.0.1:${backend.port} check port ${backend.adminPort} inter 300ms fall 1 rise 1\n`).join('')}`);
  return { ...await start('haproxy', ['-f', join(folder, 'haproxy.cfg'), '-db'], { port, folder }), url: `http://127.0.0.1:${port}` };
}

// PgBouncer in front of the PostgreSQL of `settings`; what the urls become is in the result.
export async function startPgbouncer(settings, mode) {
  const folder = mkdtempSync(join(tmpdir(), 'kamd-pgbouncer-'));
  const port = await freePort();
  const urls = ['DATABASE_URL', 'DATABASE_WORKER_URL'].map((name) => new URL(settings[name]));
  writeFileSync(join(folder, 'users'), urls.map((url) => `"${url.username}" "${url.password}"\n`).join(''));
  writeFileSync(join(folder, 'pgbouncer.ini'), `[databases]
* = host=127.0.0.1 port=${urls[0].port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${join(folder, 'users')}
pool_mode = ${mode}
max_client_conn = 200
default_pool_size = 6
`);
  const asRoot = process.getuid() === 0;
  const options = { port, folder };
  if (asRoot) {
    // It refuses to run as root.
    options.uid = Number(execFileSync('id', ['-u', 'postgres'], { encoding: 'utf8' }));
    options.gid = Number(execFileSync('id', ['-g', 'postgres'], { encoding: 'utf8' }));
    for (const path of [folder, join(folder, 'users'), join(folder, 'pgbouncer.ini')]) chownSync(path, options.uid, options.gid);
  }
  const server = await start('/usr/sbin/pgbouncer', ['-q', join(folder, 'pgbouncer.ini')], options);
  const through = (name) => { const url = new URL(settings[name]); url.port = port; return String(url); };
  return { ...server, settings: { ...settings, DATABASE_URL: through('DATABASE_URL'), DATABASE_WORKER_URL: through('DATABASE_WORKER_URL') } };
}
