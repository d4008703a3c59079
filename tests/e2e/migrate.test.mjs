// `kamd migrate`: a database of the last version before the baseline and a new one come to the same schema, to the letter; and each function of the
// schema fits the tables that it names.
//
// tests/data/schema/0046.sql.gz is a dump of a database at migration 0046, with a few records. catalogue.sql says all of a schema as text.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { Client } from './lib/client.mjs';
import { makeKey, startKamd } from './lib/kamd.mjs';
import { KAMD, environment, openStack, sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { DEADLINES } from './lib/world.mjs';

const data = (name) => readFileSync(fileURLToPath(new URL(`../data/schema/${name}`, import.meta.url)));
const MIGRATIONS = fileURLToPath(new URL('../../service/store/migrations', import.meta.url));
const CATALOGUE = data('catalogue.sql').toString();

let stack, made = [];
before(async () => { stack = await openStack(); });
after(async () => {
  for (const name of made) sql(stack.settings, `drop database if exists ${name} with (force)`);
  await stack?.stop();
});

// A database of its own beside that of the stack, as roles.sql makes one: the settings of a kamd there.
function makeDatabase(name) {
  name = `${name}_${process.pid}`;
  const at = (url) => url.replace(/\/[^/?]+(?=\?|$)/, `/${name}`);
  const settings = Object.fromEntries(Object.entries(stack.settings).map(([key, value]) => [key, key.startsWith('DATABASE_') ? at(value) : value]));
  made.push(name);
  sql(stack.settings, `create database ${name} owner kamd_owner template template0 encoding 'UTF8' locale 'C.UTF-8'`);
  sql(settings, 'revoke create on schema public from public; create extension "uuid-ossp"; create extension pg_trgm; create extension btree_gin');
  return settings;
}

const restore = (settings) => execFileSync('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', settings.DATABASE_MIGRATE_URL],
  { input: gunzipSync(data('0046.sql.gz')), stdio: ['pipe', 'ignore', 'inherit'] });
const migrate = (settings) => execFileSync(KAMD, ['migrate'], { env: environment(settings), encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
const catalogue = (settings) => sql(settings, CATALOGUE).split('\n');

test('a database at 0046 and a new one come to the same schema; a second run changes nothing; older programs do not fit the new names', () => {
  const fresh = makeDatabase('fresh'), upgraded = makeDatabase('upgraded');
  assert.match(migrate(fresh), /^[1-9]\d* migrations and [1-9]\d* schema files applied/);
  restore(upgraded);
  assert.match(migrate(upgraded), /^[1-9]\d* migrations and [1-9]\d* schema files applied/);
  const wanted = catalogue(fresh);
  assert.ok(wanted.filter((line) => line.startsWith('function ')).length > 250, 'the catalogue is read');
  assert.deepEqual(catalogue(upgraded), wanted);
  for (const settings of [fresh, upgraded]) {
    assert.match(migrate(settings), /^0 migrations and 0 schema files applied/);
    assert.deepEqual(catalogue(settings), wanted);
  }
  const needs = readdirSync(MIGRATIONS).sort().map((name) => `${Number(name.slice(0, 4))} needs ${Number(/^-- min-binary: (\d+)$/m.exec(readFileSync(`${MIGRATIONS}/${name}`, 'utf8'))[1])}`);
  assert.deepEqual(needs.slice(0, 2), ['47 needs 46', '48 needs 48']);
  assert.equal(sql(upgraded, "select string_agg(number || ' needs ' || min_binary, ', ' order by number) from schema_migration where number > 46"), needs.join(', '));
  // What a new database begins with is what the older one began with, too.
  for (const [table, columns] of [['criteria', 'version, note, metrics'], ['program', 'objective, max_key_accounts, enter_score, recover_score, exit_score, grace_days, reporting_currency'],
    ['plan_template', 'version, active, note, sections'], ['team_role', 'role, areas'], ['program_settings', 'health_metrics, attention_channel_weights, silent_days'], ['webhook_key', 'number']]) {
    const rows = (settings) => sql(settings, `select jsonb_agg(to_jsonb(t) order by to_jsonb(t)) from (select ${columns} from ${table}) t`);
    assert.equal(rows(upgraded), rows(fresh), table);
  }
});

test('all schema files applied once more leave the schema as it was', () => {
  const settings = makeDatabase('again');
  migrate(settings);
  const wanted = catalogue(settings);
  const files = sql(settings, 'select count(*) from schema_file');
  sql(settings, "update schema_file set checksum = ''");
  assert.match(migrate(settings), new RegExp(`^0 migrations and ${files} schema files applied`));
  assert.deepEqual(catalogue(settings), wanted);
});

test('what was recorded before the upgrade is served after it, and goes on', async () => {
  const settings = makeDatabase('served');
  restore(settings);
  // Two reviews of one cadence were scheduled; both stay.
  sql(settings, "insert into review (id, account_id, cadence, due_on) select gen_random_uuid(), id, 'semiannual', '2099-01-31' from account, generate_series(1, 2)");
  migrate(settings);
  const kamd = await startKamd({ ...settings, ...DEADLINES, KAMD_RATE_LIMIT: '0' });
  const api = new Client(kamd.url, await makeKey(settings, 'admin'));
  try {
    const accounts = (await api.all('/v1/accounts')).sort((a, b) => (a.name < b.name ? -1 : 1));
    assert.deepEqual(accounts.map(({ name }) => name), ['Aurora Foods', 'Aurora Foods Northern']);
    const [account] = accounts;
    const read = async (path) => (await api.get(`/v1/accounts/${account.id}/${path}`)).data;
    assert.deepEqual((await read('orders')).map(({ amount }) => amount), ['60000.0000']);
    assert.equal((await read('contacts')).length, 1);
    assert.deepEqual((await read('reviews?cadence=semiannual')).map(({ version, status }) => [version, status]), [[1, 'scheduled'], [1, 'scheduled']]);
    await api.fails(409, 'review_is_scheduled', 'POST', '/v1/reviews', { body: { account_id: account.id, cadence: 'semiannual', due_on: '2099-01-31' } });
    const last = sql(settings, 'select max(seq) from event');
    const changed = await api.patch(`/v1/accounts/${account.id}`, (await api.get(`/v1/accounts/${account.id}`)).etag, { industry: 'dairy' });
    assert.equal(changed.version, account.version + 1);
    await until(() => sql(settings, `select e.type from event e join event_position p on p.at = e.at and p.seq = e.seq where e.seq > ${last}`) === 'account.updated',
      { ms: 15_000, every: 200, what: 'the event of the change getting its position' });
    assert.equal(sql(settings, `select count(*) from audit_breaks('${account.id}')`), '0');
  } finally {
    api.close();
    await kamd.stop();
  }
});

test('a database older than 0046 is refused with what to do', () => {
  const settings = makeDatabase('older');
  restore(settings);
  sql(settings, 'delete from schema_migration where number > 44');
  assert.throws(() => migrate(settings), ({ stdout, stderr }) => {
    assert.match(stdout + stderr, /too old for this program, which can bring it up to date from migration 46 on: run `kamd migrate` of the last version before migration 47 first/);
    return true;
  });
  assert.equal(sql(settings, 'select max(number) from schema_migration'), '44');
});

// An error counts when it is there for every table that a trigger function is for: a branch may be for one of them alone.
const CHECK = `with found as (
    select p.oid::regprocedure as name, count(*) over (partition by p.oid, c.lineno, c.message) as times, u.tables, c.lineno, c.message
      from pg_proc p
      cross join lateral (select count(*) as tables, array_agg(distinct t.tgrelid) as relids, max(t.tgoldtable) as before, max(t.tgnewtable) as behind
                            from (select tgrelid, tgoldtable, tgnewtable from pg_trigger where tgfoid = p.oid and not tgisinternal) t) u
      cross join lateral unnest(coalesce(u.relids, array [0::oid])) relid
      cross join lateral plpgsql_check_function_tb(p.oid, relid, fatal_errors => false, other_warnings => false, extra_warnings => false,
                                                   oldtable => u.before, newtable => u.behind) c
     where p.pronamespace = 'public'::regnamespace and p.prolang = (select oid from pg_language where lanname = 'plpgsql') and c.level = 'error'
       and not exists (select 1 from pg_depend d where d.objid = p.oid and d.deptype = 'e')
       and (p.prorettype <> 'trigger'::regtype or u.tables > 0))
select distinct name || ' line ' || lineno || ': ' || message from found f
 where times >= greatest(1, (select count(distinct t.tgrelid) from pg_trigger t where t.tgfoid = f.name::oid and not t.tgisinternal))`;

test('each function fits the tables that it names (plpgsql_check)', () => {
  const settings = makeDatabase('checked');
  migrate(settings);
  sql(settings, 'create extension plpgsql_check');
  assert.equal(sql(settings, CHECK), '');
  // A wrong column is found.
  sql(settings, "create function wrong() returns int language plpgsql as $$ begin return (select nonsense from account limit 1); end $$");
  assert.match(sql(settings, CHECK), /^wrong\(\) line 1: column "nonsense" does not exist$/);
  // Functions in SQL are checked by PostgreSQL, once all that they call is there.
  const functions = sql(settings, "select count(*) from pg_proc where pronamespace = 'public'::regnamespace and prolang = (select oid from pg_language where lanname = 'sql') and prokind = 'f'");
  assert.ok(Number(functions) > 100);
  sql(settings, `do $$ declare f record; begin for f in select pg_get_functiondef(oid) as text from pg_proc
    where pronamespace = 'public'::regnamespace and prolang = (select oid from pg_language where lanname = 'sql') and prokind = 'f' loop execute f.text; end loop; end $$`);
});
