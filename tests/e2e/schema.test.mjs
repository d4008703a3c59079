// What the database itself promises: row level security wherever a row belongs to an account, an
// application role that owns nothing, and an order of events that holds per account.
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { events } from './lib/client.mjs';
import { KINDS } from './lib/lifecycle.mjs';
import { sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api;
before(async () => {
  world = await openWorld();
  ({ api } = world);
});
after(() => world?.close());

const query = (statement) => sql(world.settings, statement);
// As the application's role, by a connection of its own; resolves when the statement is done.
const asApp = (statement) => promisify(execFile)('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', statement, world.settings.DATABASE_URL]);

test('every table with an account_id has forced row level security and policies', () => {
  const open = query(`select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'account_id'
    where c.relkind in ('r', 'p') and not c.relispartition and c.relnamespace = 'public'::regnamespace
      and not (c.relrowsecurity and c.relforcerowsecurity and exists (select 1 from pg_policy p where p.polrelid = c.oid and p.polroles @> array['kamd_app'::regrole::oid]))`);
  assert.equal(open, '');
  assert.equal(query("select relrowsecurity and relforcerowsecurity from pg_class where oid = 'account'::regclass"), 't');
});

test('the application role owns nothing, is nobody special, and may not write the logs', () => {
  assert.equal(query("select count(*) from pg_class where relowner = 'kamd_app'::regrole"), '0');
  assert.equal(query("select rolsuper or rolbypassrls or rolcreaterole or rolcreatedb from pg_roles where rolname = 'kamd_app'"), 'f');
  for (const table of ['history', 'event', 'event_position', 'account_sequence', 'account_access', 'external_id', 'day_sales', 'key_status_history'])
    for (const right of ['update', 'delete', 'truncate']) {
      if (table === 'account_access' && right === 'update') continue; // under a policy that lets nothing through
      assert.equal(query(`select has_table_privilege('kamd_app', '${table}', '${right}')`), 'f', `${right} on ${table}`);
    }
});

test('without a context, or with one of nobody, no row shows and none can be written', async () => {
  await makeAccount(api);
  assert.equal((await asApp('select count(*) from account')).stdout.trim(), '0');
  const nobody = "select set_config('kamd.scope', 'acl', true), set_config('kamd.user_id', gen_random_uuid()::text, true)";
  const { stdout } = await asApp(`begin; ${nobody}; select count(*) from account; select count(*) from history; select count(*) from event; commit`);
  assert.deepEqual(stdout.trim().split('\n').slice(1), ['0', '0', '0']);
  await assert.rejects(asApp(`begin; ${nobody}; insert into account (id, name) values (gen_random_uuid(), 'x'); commit`), /row-level security/);
});

test('events of one account keep their order while a transaction that began earlier stays open', async () => {
  const account = await makeAccount(api);
  // It has its transaction id before the others, and touches the account last.
  const slow = spawn('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', world.settings.DATABASE_URL], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(slow, 'exit');
  let said = '';
  slow.stdout.setEncoding('utf8').on('data', (text) => { said += text; });
  slow.stdin.write(`begin; set local idle_in_transaction_session_timeout = 0; select set_config('kamd.scope', 'all', true), set_config('kamd.areas', '-1', true);
    insert into idempotency (principal, key, request_hash, status, etag, location, body, touches) values ('${unique('p')}', 'k', '\\x', 200, '', '', '', ''); select 'begun';\n`);
  await until(() => said.includes('begun'), { what: 'the transaction' });
  const first = await api.patch(`/v1/accounts/${account.id}`, account.etag, { industry: 'first' });
  await api.patch(`/v1/accounts/${account.id}`, first.etag, { industry: 'second' });
  const early = await until(async () => {
    const seen = (await events(api, `account_id=${account.id}&types=account.updated`)).map(({ data }) => data.version);
    return seen.length >= 2 && seen;
  }, { ms: 5000 });
  assert.deepEqual(early, [2, 3], 'an open transaction delays only its own events');
  slow.stdin.end(`update account set industry = 'third', version = version + 1 where id = '${account.id}'; commit;\n`);
  assert.deepEqual(await ended, [0, null]);
  const all = await until(async () => {
    const seen = (await events(api, `account_id=${account.id}`)).map(({ sequence }) => sequence);
    return seen.length >= 4 && seen;
  }, { ms: 5000 });
  assert.deepEqual(all, all.map((_, i) => i + 1), 'without gaps, in order');
});

// A connection plans a trigger's statement once, and here for one row: by nested loops, thousands of rows then took the square of it.
test('after writes of one row each, the rows before and after many more are not compared each with each', async () => {
  const account = await makeAccount(api);
  const tables = ['account', 'contact', 'plan', 'plan_section', 'review', 'follow_up', 'commitment', 'team_member'];
  for (const name of ['contacts', 'plans', 'reviews', 'follow-ups', 'commitments', 'team']) {
    for (let i = 0; i < 2; i++) await api.create(KINDS[name].path(account), await KINDS[name].make(account, api));
  }
  await makeAccount(api);
  const one = (table) => `update ${table} set version = version + 1 where id = (select id from ${table} order by id limit 1);`.repeat(7);
  const changed = "select 'left: ' || string_agg(name, ',') from pg_settings where (name like 'enable\\_%' or name = 'plan_cache_mode') and setting <> boot_val";
  const script = `begin; select set_config('kamd.scope', 'all', true), set_config('kamd.areas', '-1', true); ${tables.map(one).join(' ')}
    load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on; set auto_explain.log_analyze = on; set client_min_messages = log;
    ${tables.map((table) => `update ${table} set version = version + 1;`).join(' ')} update follow_up set due_at = due_at + interval '1 day';
    update plan_section set content = '{"notes": "x"}'; update account set manager_id = null; ${changed}; rollback;`;
  const { stdout, stderr } = await promisify(execFile)('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', script, world.settings.DATABASE_SUPERUSER_URL], { maxBuffer: 1 << 28 });
  assert.doesNotMatch(stdout, /left:/);
  assert.doesNotMatch(stderr, /cost=1\d{10}/, 'planned with a way that was switched off');
  assert.match(stderr, /Hash Join.*\n(.*\n){1,3}.*Named Tuplestore Scan/);
  assert.doesNotMatch(stderr, /Nested Loop.*\n( +(Join Filter|Rows Removed).*\n)* +-> +Named Tuplestore Scan.*\n +-> +Named Tuplestore Scan/);
});

test('what the database keeps for itself of a follow-up is no change: history and events name fields of the contract', async () => {
  const account = await makeAccount(api);
  const made = await api.create('/v1/follow-ups', { account_id: account.id, title: 'Call', due_at: '2030-01-01T10:00:00Z', time_zone: 'UTC', recurrence: 'FREQ=MONTHLY' });
  await api.call(200, 'POST', `/v1/follow-ups/${made.id}/complete`, { body: {} });
  const history = await api.all(`/v1/follow-ups/${made.id}/history`);
  const fields = history.flatMap(({ changes }) => Object.keys(changes ?? {}));
  assert.ok(fields.includes('status'));
  assert.deepEqual(fields.filter((name) => !(name in made)), []);
  const told = (await until(async () => {
    const all = await events(api, `account_id=${account.id}&types=follow_up.updated`);
    return all.length && all;
  }, { ms: 10_000 })).flatMap(({ data }) => data.changed_fields);
  assert.deepEqual(told.filter((name) => !(name in made)), []);
});
