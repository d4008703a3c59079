// Backup and recovery to a point in time (deploy/README.md): everything is deleted by mistake, and is there again as it was
// a moment before. Webhooks and cursors go on; who heard of what is gone is told.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { Client } from '../e2e/lib/client.mjs';
import { makeKey, startKamd } from '../e2e/lib/kamd.mjs';
import { startReceiver, subscribe } from '../e2e/lib/receiver.mjs';
import { asPostgres, freePort, openStack, sql } from '../e2e/lib/stack.mjs';
import { sleep, until } from '../e2e/lib/wait.mjs';
import { makeAccount } from '../e2e/lib/world.mjs';

const root = process.getuid() === 0;
const id = (flag) => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));

test('recovery to a point in time', { timeout: 300_000 }, async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'kamd-restore-'));
  chmodSync(folder, 0o755);
  const [archive, backup] = ['archive', 'backup'].map((name) => join(folder, name));
  for (const path of [archive, backup]) {
    mkdirSync(path, { mode: 0o700 });
    if (root) chownSync(path, id('-u'), id('-g'));
  }
  const stack = await openStack({ own: true });
  const receiver = await startReceiver();
  const kamds = [];
  let restored = false;
  try {
    // 1. Continuous archiving, and a base backup while work goes on.
    for (const set of ["archive_mode = 'on'", `archive_command = 'test ! -f ${archive}/%f && cp %p ${archive}/%f'`]) sql(stack.settings, `alter system set ${set}`);
    const socket = sql(stack.settings, "select current_setting('data_directory')");
    asPostgres('pg_ctl', 'stop', '-s', '-w', '-m', 'fast', '-D', socket);
    await stack.start();
    kamds.push(await startKamd(stack.settings));
    const key = await makeKey(stack.settings, 'admin');
    const api = new Client(kamds[0].url, key);
    await subscribe(api, receiver, ['account.created']);
    const early = await makeAccount(api, { name: 'Before the backup' });
    asPostgres('pg_basebackup', '-D', backup, '-X', 'none', '-c', 'fast', '--no-sync', '-d', stack.settings.DATABASE_SUPERUSER_URL.replace(/\/kamd$/, '/postgres'));
    const late = await makeAccount(api, { name: 'After the backup' });
    const interaction = await api.create('/v1/follow-ups', { account_id: late.id, title: 'Call', due_at: new Date(Date.now() + 86_400_000).toISOString() });
    await receiver.wait(({ event }) => event.data.account_id === late.id, 'what happened before the moment');
    const cursor = async (client) => (await client.get('/v1/changes?after=now')).next_cursor;
    const before = await cursor(api);
    await sleep(1100);
    const moment = sql(stack.settings, 'select clock_timestamp()');
    await sleep(1100);
    // 2. The mistake, and something after it.
    for (const account of [early, late]) await api.remove(`/v1/accounts/${account.id}`, (await api.get(`/v1/accounts/${account.id}`)).etag);
    const after = await makeAccount(api, { name: 'After the mistake' });
    await receiver.wait(({ event }) => event.data.account_id === after.id, 'what happened after the moment');
    const lost = await cursor(api);
    const last = sql(stack.settings, 'select pg_walfile_name(pg_switch_wal())');
    await until(() => readdirSync(archive).includes(last), { ms: 60_000, what: 'the last segment in the archive' });
    await kamds.pop().stop({ ms: 30_000 });
    // 3. Recovery beside the old server, to just before.
    const port = await freePort();
    const began = Date.now();
    appendFileSync(join(backup, 'postgresql.auto.conf'), `port = ${port}\nunix_socket_directories = '${folder}/archive'\narchive_mode = 'off'\n`
      + `restore_command = 'cp ${archive}/%f %p'\nrecovery_target_time = '${moment}'\nrecovery_target_action = 'promote'\n`);
    asPostgres('touch', join(backup, 'recovery.signal'));
    // Options win over the file that the backup brought along.
    asPostgres('pg_ctl', 'start', '-s', '-w', '-t', '120', '-D', backup, '-l', join(backup, 'log'), '-o', `-p ${port} -k ${archive}`);
    restored = true;
    const there = Object.fromEntries(Object.entries(stack.settings).map(([name, value]) => {
      if (!name.startsWith('DATABASE_')) return [name, value];
      const url = new URL(value);
      url.port = port;
      return [name, String(url)];
    }));
    await until(() => sql(there, 'select pg_is_in_recovery()') === 'f', { ms: 60_000, what: 'the end of recovery' });
    const took = Date.now() - began;
    // 4. As it was: same records, same key, same versions; and work goes on.
    kamds.push(await startKamd(there));
    const again = new Client(kamds[0].url, key);
    for (const account of [early, late]) assert.equal((await again.get(`/v1/accounts/${account.id}`)).name, account.name);
    assert.equal((await again.get(`/v1/follow-ups/${interaction.id}`)).title, 'Call');
    await again.fails(404, 'not_found', 'GET', `/v1/accounts/${after.id}`);
    // 5. Another timeline, on which ids of transactions come again: webhooks and the log go on, and cursors of what is gone have ended.
    const next = await makeAccount(again, { name: 'After the recovery' });
    await receiver.wait(({ event }) => event.data.account_id === next.id, 'what happened after the recovery');
    assert.equal((await again.get(`/v1/changes?after=${before}`)).changes[0].id, next.id);
    await again.fails(410, 'cursor_expired', 'GET', `/v1/changes?after=${lost}`);
    await again.fails(410, 'cursor_expired', 'GET', `/v1/events?after=${lost}`);
    assert.match(await (await fetch(`${kamds[0].adminUrl}/metrics`)).text(), /^kamd_database_changed_total 1$/m);
    assert.equal(sql(there, 'select count(*) - count(distinct (at, seq)) from event_position'), '0');
    t.diagnostic(`restored to ${moment} in ${(took / 1000).toFixed(1)} s; ${readdirSync(archive).filter((name) => /^[0-9A-F]{24}$/.test(name)).length} segments in the archive`);
  } finally {
    await Promise.allSettled(kamds.map((kamd) => kamd.stop({ ms: 30_000 })));
    if (restored) asPostgres('pg_ctl', 'stop', '-s', '-w', '-m', 'fast', '-D', backup);
    await stack.stop();
    await receiver.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
