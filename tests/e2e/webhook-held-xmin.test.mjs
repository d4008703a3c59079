// An old snapshot that somebody keeps open (a backup, a forgotten session) keeps dead rows from being cleaned up. The claim of webhooks does not slow down by it: what it
// reads is append-only, and what it writes is one row for each endpoint. `--test-reporter=tap` shows the times.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { after, before, test } from 'node:test';
import { runKamd } from './lib/kamd.mjs';
import { openStack, sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';

const EVENTS = process.env.SOAK ? 100_000 : 10_000;
const BATCH = 128;
let stack;

before(async () => {
  stack = await openStack();
  await runKamd(stack.settings, 'migrate');
});
after(() => stack?.stop());

// Claims and settles all of it as a worker does, without sending; the times of each round in ms.
const rounds = () => execFileSync('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', stack.settings.DATABASE_SUPERUSER_URL], { encoding: 'utf8', input: `
  set client_min_messages = warning;
  create temp table took (i int, claim_ms numeric, n int);
  do $$
  declare me uuid := gen_random_uuid(); e uuid := gen_random_uuid(); t timestamptz; took numeric; rs webhook_result[]; k int := 0; last bigint;
  begin
    perform set_config('kamd.scope', 'all', false), set_config('kamd.areas', '-1', false);
    update webhook_endpoint set state = 'disabled';
    insert into webhook_endpoint (id, url) values (e, 'http://127.0.0.1/');
    commit;
    perform worker_renew(me, 'test', 3600);
    for j in 1..${EVENTS / 1000} loop
      perform event_write(array(select row('user.updated', null, 'user', gen_random_uuid(), 1, gen_random_uuid()::text, '{}', '{}')::event_in from generate_series(1, 1000)));
      commit;
      perform sequence_events();
      commit;
    end loop;
    loop
      t := clock_timestamp();
      select array_agg(row(c.delivery_id, c.endpoint_id, c.account_id, c.at_position, c.lane, c.n, c.base, 'delivered', 0, 0, 1, 200, null, '127.0.0.1', '')::webhook_result), max(c.at_position)
        into rs, last from webhook_claim(me, '{}', ${BATCH}, 256) c;
      commit;
      took := extract(epoch from clock_timestamp() - t) * 1000;
      exit when rs is null;
      perform webhook_settle(me, rs, array[row(e, last, 0, 0, null, false, null)::webhook_endpoint_result]);
      commit;
      k := k + 1;
      insert into took values (k, took, cardinality(rs));
      commit;
    end loop;
  end $$;
  select round(avg(claim_ms) filter (where i <= 20), 1), round(avg(claim_ms) filter (where i > (select max(i) from took) - 20), 1), round(max(claim_ms), 1), sum(n) from took;` }).trim().split('|').map(Number);

test('a held snapshot: the last claims take what the first ones do, and nothing dead is left in what they read', async (t) => {
  const free = rounds();
  const holder = spawn('psql', ['-XAtq', stack.settings.DATABASE_SUPERUSER_URL], { stdio: ['pipe', 'pipe', 'inherit'] });
  try {
    holder.stdin.write('begin isolation level repeatable read; select txid_current();\n');
    await until(() => Number(sql(stack.settings, "select count(*) from pg_stat_activity where state = 'idle in transaction' and backend_xmin is not null")) > 0, { what: 'the old snapshot' });
    const held = rounds();
    const old = Number(sql(stack.settings, "select max(age(backend_xmin)) from pg_stat_activity where state = 'idle in transaction'"));
    assert.ok(old > EVENTS / BATCH, `the snapshot is ${old} transactions old`);
    for (const [name, [first, last, most, n]] of [['free', free], ['held', held]]) {
      assert.equal(n, EVENTS, name);
      assert.ok(last < 5000 && most < 10_000, `${name}: ${last} ms, at most ${most} ms`);
      t.diagnostic(`${name}: first claims ${first} ms, last ${last} ms, slowest ${most} ms`);
    }
    sql(stack.settings, 'select pg_stat_force_next_flush()');
    for (const table of ['event_position', 'webhook_delivery', 'webhook_attempt', 'webhook_retry']) {
      assert.equal(sql(stack.settings, `select n_tup_upd + n_tup_del from pg_stat_user_tables where relname = '${table}'`), '0', `${table} is never written to again`);
    }
  } finally {
    holder.stdin.end('rollback;\n');
    await new Promise((done) => { holder.on('exit', done); });
  }
});
