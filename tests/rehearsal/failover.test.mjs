// Two PostgreSQL hosts in the URLs, one the other's standby: the primary dies, the standby is promoted, and kamd follows by
// itself, without an acknowledged write lost. The old primary comes back as a standby, first in the URL, and gets no writes.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { Client } from '../e2e/lib/client.mjs';
import { makeKey, startKamd } from '../e2e/lib/kamd.mjs';
import { asPostgres, freePort, openStack, sql } from '../e2e/lib/stack.mjs';
import { until } from '../e2e/lib/wait.mjs';
import { unique } from '../e2e/lib/world.mjs';

const root = process.getuid() === 0;
const id = (flag) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));

// The urls with other hosts.
const hosts = (settings, ...ports) => Object.fromEntries(Object.entries(settings).map(([name, value]) =>
  [name, name.startsWith('DATABASE_') ? value.replace(/@[^/]+\//, `@${ports.map((port) => `127.0.0.1:${port}`).join(',')}/`) : value]));

// A standby of the server at `from`, in a folder of its own.
async function startStandby(folder, name, from) {
  const data = join(folder, name);
  mkdirSync(data, { mode: 0o700 });
  if (root) chownSync(data, id('-u'), id('-g'));
  const port = await freePort();
  asPostgres('pg_basebackup', '-D', data, '-R', '-X', 'stream', '-c', 'fast', '--no-sync', '-d', from.replace(/\/kamd$/, '/postgres'));
  appendFileSync(join(data, 'postgresql.auto.conf'), `synchronous_standby_names = ''\n`);
  const log = join(data, `${name}.log`);
  try {
    asPostgres('pg_ctl', 'start', '-s', '-w', '-t', '120', '-D', data, '-l', log, '-o', `-p ${port} -k ${data}`);
  } catch (error) {
    throw new Error(readFileSync(log, 'utf8').slice(-2000), { cause: error });
  }
  return { port, data, stop: (how = 'fast') => asPostgres('pg_ctl', 'stop', '-s', '-w', '-m', how, '-D', data) };
}

test('the primary dies, its standby is promoted, kamd follows', { timeout: 600_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kamd-failover-'));
  chmodSync(folder, 0o755);
  const stack = await openStack({ own: true });
  const servers = [];
  let kamd;
  try {
    const firstPort = Number(new URL(stack.settings.DATABASE_URL).port);
    const standby = await startStandby(folder, 'second', stack.settings.DATABASE_SUPERUSER_URL);
    servers.push(standby);
    // From now on a commit is acknowledged when both have it.
    sql(stack.settings, "alter system set synchronous_standby_names = '*'");
    sql(stack.settings, 'select pg_reload_conf()');
    await until(() => sql(stack.settings, "select count(*) from pg_stat_replication where sync_state = 'sync'") === '1', { ms: 30_000, what: 'the standby being synchronous' });

    kamd = await startKamd({ ...hosts(stack.settings, firstPort, standby.port), KAMD_RATE_LIMIT: '0', KAMD_LOG_LEVEL: 'warn' });
    const api = new Client(kamd.url, await makeKey(stack.settings, 'admin'));
    const acknowledged = [];
    let over = false;
    let refused = 0;
    const writers = Array.from({ length: 4 }, async () => {
      while (!over) {
        const answer = await api.send('POST', '/v1/accounts', { body: { name: unique('Failover') } });
        if (answer.status === 201) acknowledged.push({ id: answer.body.id, at: Date.now() });
        else refused++;
        if (answer.status !== 201) assert.ok([503].includes(answer.status), `${answer.status}`);
      }
    });
    await until(() => acknowledged.length >= 50, { ms: 60_000, what: 'writes before' });
    const data = sql(stack.settings, "select current_setting('data_directory')");
    asPostgres('pg_ctl', 'stop', '-s', '-w', '-m', 'immediate', '-D', data);
    const died = Date.now();
    assert.equal((await fetch(`${kamd.url}/livez`)).status, 200);
    asPostgres('pg_ctl', 'promote', '-s', '-w', '-D', standby.data);
    const promoted = Date.now();
    await until(() => acknowledged.some(({ at }) => at > promoted), { ms: 30_000, what: 'the first write after the promotion' });
    const first = acknowledged.find(({ at }) => at > promoted);
    const before = acknowledged.filter(({ at }) => at < died).length;
    await until(() => acknowledged.length >= before + 50, { ms: 60_000, what: 'writes after' });
    over = true;
    await Promise.all(writers);
    const there = hosts(stack.settings, standby.port);
    const lost = sql(there, `select count(*) from unnest('{${acknowledged.map((one) => one.id).join(',')}}'::uuid[]) w(id) where id not in (select id from account)`);
    assert.equal(lost, '0', 'acknowledged writes that are gone');
    t.diagnostic(`${acknowledged.length} acknowledged writes, none lost; ${refused} refused with 503; promoted ${promoted - died} ms after the end, written ${first.at - promoted} ms after the promotion`);

    // The one that was first comes back as a standby, first in the URL: not writable, so not taken.
    const back = await startStandby(folder, 'first', there.DATABASE_SUPERUSER_URL);
    servers.push(back);
    await kamd.stop({ ms: 30_000 });
    kamd = await startKamd({ ...hosts(stack.settings, back.port, standby.port), KAMD_RATE_LIMIT: '0', KAMD_LOG_LEVEL: 'warn' });
    const again = new Client(kamd.url, api.key);
    const made = await again.create('/v1/accounts', { name: unique('Failover') });
    await until(() => sql(hosts(stack.settings, back.port), `select count(*) from account where id = '${made.id}'`) === '1', { ms: 30_000, what: 'the standby having it' });
    assert.equal(sql(hosts(stack.settings, back.port), 'select pg_is_in_recovery()'), 't');
    // And the other way round: a switchover beneath the running process.
    servers.shift().stop('immediate');
    asPostgres('pg_ctl', 'promote', '-s', '-w', '-D', back.data);
    await until(async () => (await again.send('POST', '/v1/accounts', { body: { name: unique('Failover') } })).status === 201, { ms: 30_000, what: 'writes after the second promotion' });
    again.close();
    api.close();
  } finally {
    await kamd?.stop({ ms: 30_000 });
    for (const server of servers) server.stop('immediate');
    await stack.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
