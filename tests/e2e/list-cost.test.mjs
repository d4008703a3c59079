// What a list costs: whoever walks through it reads each row about once, and not all that lies before each page. PostgreSQL counts the rows; no time is measured.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { openWorld } from './lib/world.mjs';

const N = 6000, PAGE = 50;
let world;
const ask = (statement) => sql(world.settings, statement);
// Rows that were read of a table, by whatever way; a connection's count is whole once it has ended.
const rowsRead = (table) => Number(ask(`select seq_tup_read + (select sum(idx_tup_read) from pg_stat_user_indexes i where i.relid = t.relid) from pg_stat_user_tables t where relname = '${table}'`));

before(async () => {
  world = await openWorld();
  await world.kamds.pop().stop(); // nobody else reads
  ask(`select set_config('kamd.scope', 'all', false), set_config('kamd.areas', '-1', false);
    insert into account (id, name) select uuid_v7(), 'Account ' || n from generate_series(1, ${N}) n;
    insert into follow_up (id, account_id, title, due_at) select uuid_v7(), a.id, 'Call', now() + row_number() over (order by a.name) * interval '1 day' from account a;`);
  ask('select sequence_events()'); // what the worker would do
  ask('vacuum analyze');
});
after(() => world?.close());

// The rows of these tables that `walk` reads, by a process of its own.
async function cost(tables, walk) {
  const kamd = await world.add({ REDIS_URL: '' }, 'serve', '--no-worker');
  const was = tables.map(rowsRead);
  const rows = await walk(world.api.at(kamd.url));
  await world.kamds.pop().stop();
  await until(() => ask("select count(*) from pg_stat_activity where usename = 'kamd_app' and datname = current_database()") === '0', { what: 'the connections to end' });
  return { rows, read: tables.map((table, i) => rowsRead(table) - was[i]) };
}

// From the beginning for each page it would be 60 times, for an export's 15. When less than half of the rows are left, PostgreSQL may choose to read all that
// are left for each page, and sort them: 60 pages of 1,500 on average, which is 15 times, beside the first half.
const aboutOnce = (read) => assert.ok(read.every((n) => n <= 16 * N), `${read} rows were read of ${N}`);

for (const order of ['', 'order_by=-id', 'order_by=id,name', 'order_by=name', 'order_by=-score', 'lifecycle=customer', 'key_status=none&order_by=-id']) {
  test(`a walk through the accounts by ${order || 'their ids'} reads each row once`, async () => {
    const { rows, read } = await cost(['account', 'account_status'], (api) => api.all(`/v1/accounts?fields=name&${order}`, PAGE));
    assert.equal(rows.length, N);
    aboutOnce(read);
  });
}

for (const order of ['due_at', '-due_at', 'due_at,-updated_at']) {
  test(`a walk through the follow-ups by ${order} reads each row once`, async () => {
    const { rows, read } = await cost(['follow_up'], (api) => api.all(`/v1/follow-ups?fields=title&order_by=${order}`, PAGE));
    assert.equal(rows.length, N);
    aboutOnce(read);
  });
}

test('an export of the accounts reads each row once', async () => {
  const { rows, read } = await cost(['account', 'account_status'], async (api) => (await api.send('GET', '/v1/accounts/export?fields=name')).text.trim().split('\n'));
  assert.equal(rows.length, N);
  aboutOnce(read);
});

test('the change feed reads each row once when it tells all there is', async () => {
  const { rows, read } = await cost(['account', 'account_status'], async (api) => {
    const all = [];
    for (let after = 'snapshot', more = true; more;) {
      const page = await api.get(`/v1/changes?types=account&page_size=${PAGE}&after=${after}`);
      all.push(...page.changes);
      [after, more] = [page.next_cursor, page.has_more];
    }
    return all;
  });
  assert.equal(rows.length, N);
  aboutOnce(read);
});
