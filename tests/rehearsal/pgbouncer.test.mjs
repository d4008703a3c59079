// PgBouncer between kamd and PostgreSQL, in both modes: what kamd does through it, and how many connections it saves.
import assert from 'node:assert/strict';
import test from 'node:test';
import { startPgbouncer } from './lib/servers.mjs';
import { load } from './lib/load.mjs';
import { Client, events } from '../e2e/lib/client.mjs';
import { makeKey, startKamd } from '../e2e/lib/kamd.mjs';
import { startReceiver, subscribe } from '../e2e/lib/receiver.mjs';
import { openStack, sql } from '../e2e/lib/stack.mjs';
import { until } from '../e2e/lib/wait.mjs';
import { makeAccount } from '../e2e/lib/world.mjs';

const REQUESTS = Number(process.env.POOLED_REQUESTS || 5000);

for (const mode of ['session', 'transaction']) {
  test(`PgBouncer in ${mode} mode`, { timeout: 600_000 }, async (t) => {
    const stack = await openStack({ own: true });
    const bouncer = await startPgbouncer(stack.settings, mode);
    const receiver = await startReceiver();
    // A session is held for each connection of a pool; in transaction mode any number share what there is.
    const small = mode === 'session' ? { KAMD_DB_POOL: '4', KAMD_DB_WORKER_POOL: '4' } : {};
    const kamds = [];
    try {
      const settings = { ...bouncer.settings, KAMD_DB_PREPARED: mode === 'session' ? 'true' : 'false', KAMD_RATE_LIMIT: '0', KAMD_LOG_LEVEL: 'warn', ...small };
      kamds.push(await startKamd(settings));
      if (mode === 'transaction') kamds.push(await startKamd(settings), await startKamd(settings));
      const api = new Client(kamds[0].url, await makeKey(stack.settings, 'admin'));
      await subscribe(api, receiver, ['account.created']);
      const account = await makeAccount(api);
      await receiver.wait(({ event }) => event.type === 'account.created', 'the webhook');
      const patched = await api.patch(`/v1/accounts/${account.id}`, account.etag, { name: 'Through a pooler' });
      assert.equal(patched.name, 'Through a pooler');
      const urls = kamds.map(({ url }) => url);
      const results = await Promise.all(urls.map((url) => {
        let n = 0;
        return load({ url, key: api.key, width: 10, enough: (done) => done >= REQUESTS / urls.length,
          next: () => (++n % 10 === 0 ? { method: 'POST', path: '/v1/accounts', body: { name: `Pooled ${n}` } } : { method: 'GET', path: `/v1/accounts/${account.id}` }) });
      }));
      assert.deepEqual(results.flatMap(({ errors }) => errors), []);
      const backends = Number(sql(stack.settings, "select count(*) from pg_stat_activity where usename in ('kamd_app', 'kamd_worker')"));
      t.diagnostic(`${mode}: ${results.reduce((sum, { done }) => sum + done, 0)} requests without an error, ${kamds.length} processes, ${backends} connections at PostgreSQL`);
      assert.ok(backends <= 12, `${backends} connections`);
      assert.ok((await events(api)).length > 0);
      await until(() => receiver.of('account.created').length >= Math.floor(REQUESTS / 10), { ms: 60_000, what: 'all webhooks' });
      api.close();
    } finally {
      await Promise.all(kamds.map((kamd) => kamd.stop({ ms: 30_000 })));
      await receiver.stop();
      await bouncer.stop();
      await stack.stop();
    }
  });
}
