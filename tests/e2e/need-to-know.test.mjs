// What nobody can tell: two databases that differ only in what a member does not see answer alike, byte for byte. What the application lets through and
// what row level security lets through are the same rows. A revocation counts at once, everywhere. SOAK=1: 10,000 requests, 100,000 probes.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { Client } from './lib/client.mjs';
import { makeKey } from './lib/kamd.mjs';
import { addUser, completeSections, makePlan } from './lib/planning.mjs';
import { sql } from './lib/stack.mjs';
import { DEADLINES, openWorld, unique } from './lib/world.mjs';

const SOAK = Boolean(process.env.SOAK);
const REQUESTS = SOAK ? 10_000 : 400;
const ACCOUNTS = SOAK ? 1000 : 200, USERS = SOAK ? 34 : 12; // three contacts each
let world, api;
before(async () => {
  world = await openWorld({ own: true, processes: 3, workers: 1, deadlines: DEADLINES, settings: { KAMD_RATE_LIMIT: '0' } });
  ({ api } = world);
});
after(() => world?.close());

let seed = 20261122;
const below = (n) => Math.floor((seed = (seed * 1103515245 + 12345) % 2147483648) / 65536) % n;
const one = (list) => list[below(list.length)];

test('an acknowledged revocation holds on every process at once', async () => {
  const account = await api.create('/v1/accounts', { name: unique('Account') });
  const contact = await api.create('/v1/contacts', { account_id: account.id, family_name: unique('Anders') });
  const user = await addUser(api), client = await world.clientOf('member', { user_id: user.id });
  for (let i = 0; i < 10; i++) {
    const member = await api.create(`/v1/accounts/${account.id}/team`, { user_id: user.id, role: unique('role') });
    for (const { url } of world.apis) assert.equal((await client.at(url).send('GET', `/v1/contacts/${contact.id}`)).status, 200);
    const less = await api.patch(`/v1/accounts/${account.id}/team/${member.id}`, member.etag, { grants: [{ areas: ['contacts'], effect: 'remove' }] });
    const after_ = await Promise.all(world.apis.map(({ url }) => client.at(url).send('GET', `/v1/contacts/${contact.id}`)));
    assert.deepEqual(after_.map(({ status }) => status), [404, 404, 404], 'the area');
    await api.remove(`/v1/accounts/${account.id}/team/${member.id}`, less.etag);
    const gone = await Promise.all(world.apis.map(({ url }) => client.at(url).send('GET', `/v1/accounts/${account.id}`)));
    assert.deepEqual(gone.map(({ status }) => status), [404, 404, 404], 'the account');
  }
});

test(`probes of ${USERS} users and ${ACCOUNTS * 3} records: the application and row level security agree`, async () => {
  sql(world.settings, `
    insert into app_user (id, name) select gen_random_uuid(), 'Probe ' || n from generate_series(1, ${USERS}) n;
    insert into account (id, name) select gen_random_uuid(), 'Probed ' || n from generate_series(1, ${ACCOUNTS}) n;
    update account a set manager_id = u.id from (select id, row_number() over (order by id) as n from app_user where name like 'Probe %') u
     where a.name like 'Probed %' and hashtext(a.id::text) % ${USERS * 3} = u.n;
    insert into contact (id, account_id, family_name) select gen_random_uuid(), a.id, 'Probed' from account a, generate_series(1, 3) where a.name like 'Probed %';
    insert into team_member (id, account_id, user_id, role, active_from, active_until, grants)
    select gen_random_uuid(), a.id, u.id, (array['controlling', 'customer_support', 'market_research', 'x'])[1 + abs(hashtext(a.id::text || u.id)) % 4],
           case abs(hashtext('f' || a.id || u.id)) % 5 when 0 then current_date + 3 end, case abs(hashtext('u' || a.id || u.id)) % 5 when 0 then current_date - 3 end,
           case abs(hashtext('g' || a.id || u.id)) % 4 when 0 then '[{"areas": ["contacts"], "effect": "remove"}]' when 1 then '[{"areas": ["contacts"]}]'
                when 2 then '[{"areas": ["contacts"], "visible_until": "2026-01-01T00:00:00Z"}]' else '[]' end::jsonb
      from account a, app_user u where a.name like 'Probed %' and u.name like 'Probe %' and abs(hashtext('t' || a.id || u.id)) % 3 = 0`);
  const users = sql(world.settings, "select string_agg(id::text, ' ') from app_user where name like 'Probe %'").split(' ');
  const clients = await Promise.all(users.map((id) => world.clientOf('member', { user_id: id })));
  const every = sql(world.settings, "select string_agg(id::text, ' ' order by id) from contact where family_name = 'Probed'").split(' ');
  const database = await Promise.all(users.map(async (id) => {
    const { stdout } = await promisify(execFile)('psql', ['-XAtq', '-c', `begin; select set_config('kamd.scope', 'acl', true), set_config('kamd.user_id', '${id}', true),
      set_config('kamd.areas', '262143', true); select coalesce(string_agg(id::text, ' ' order by id), '') from contact where family_name = 'Probed'; commit`, world.settings.DATABASE_URL], { maxBuffer: 1 << 26 });
    return new Set(stdout.trim().split('\n').slice(1).join('').split(' ').filter(Boolean));
  }));
  sql(world.settings, 'alter role kamd_app bypassrls');
  try {
    await world.killAll();
    const { url } = await world.add();
    let seen = 0;
    for (const [i, client] of clients.entries()) {
      const application = new Set((await client.at(url).all('/v1/contacts?family_name=Probed&fields=id')).map(({ id }) => id));
      for (const id of every) assert.equal(application.has(id), database[i].has(id), `${users[i]}, ${id}`);
      seen += application.size;
    }
    assert.ok(seen > every.length && seen < every.length * users.length / 2, `${seen} of ${every.length * users.length}: some are seen, and some not`);
  } finally {
    sql(world.settings, 'alter role kamd_app nobypassrls');
    await world.killAll();
  }
});

// What of an answer differs from run to run: the time it was given, and cursors, which are sealed anew each time.
const comparable = ({ status, headers: { date, ...headers }, text }) => JSON.stringify([status, Object.entries(headers).sort(), text])
  .replaceAll(/cursor=[\w-]+/g, 'cursor=').replaceAll(/next_cursor\\":\\"[\w-]+/g, 'next_cursor');

test(`non-interference: ${REQUESTS} requests of a member, two databases that differ in what is hidden`, async () => {
  await world.add();
  api = new Client(world.kamds[0].url, await makeKey(world.settings, 'admin'));
  const user = await addUser(api);
  const accounts = [];
  for (let i = 0; i < 3; i++) {
    const account = await api.create('/v1/accounts', { name: unique('Seen'), account_number: unique('N') });
    await api.create(`/v1/accounts/${account.id}/team`, { user_id: user.id, role: 'product_development', grants: [{ areas: ['contacts', 'problems'], effect: 'remove' }] });
    await api.create(`/v1/accounts/${account.id}/interactions`, { kind: 'call', channel: 'phone', occurred_at: '2026-05-05T10:00:00Z', subject: 'Known' });
    const plan = await makePlan(api, account);
    await completeSections(api, plan, ['capabilities', 'leader_perceptions']);
    accounts.push({ ...account, plan });
  }
  const { body: { key } } = await api.call(201, 'POST', '/v1/api-keys', { body: { name: unique('m'), role: 'member', user_id: user.id } });
  await world.killAll();
  const name = new URL(world.settings.DATABASE_URL).pathname.slice(1);
  const rename = (url) => Object.assign(new URL(url), { pathname: '/kamd_hidden' }).href;
  sql({ DATABASE_SUPERUSER_URL: Object.assign(new URL(world.settings.DATABASE_SUPERUSER_URL), { pathname: '/postgres' }).href }, `create database kamd_hidden template ${name} owner kamd_owner`);
  const other = Object.fromEntries(['DATABASE_URL', 'DATABASE_WORKER_URL', 'DATABASE_MIGRATE_URL', 'DATABASE_SUPERUSER_URL'].map((url) => [url, rename(world.settings[url])]));
  // Without workers: a clock of its own would score one a moment before the other.
  const [plain] = [await world.add({}, 'serve', '--no-worker')], hidden = await world.add(other, 'serve', '--no-worker');
  const admin = new Client(hidden.url, await makeKey({ ...world.settings, ...other }, 'admin'));
  for (const { id, plan } of accounts) {
    await admin.create('/v1/contacts', { account_id: id, family_name: 'Hidden' });
    await admin.create(`/v1/accounts/${id}/problems`, { category: 'other', title: 'Hidden', opened_at: '2026-05-05T10:00:00Z' });
    await admin.create(`/v1/accounts/${id}/wallet`, { category: 'Hidden', period: '2026', customer_spend: '10', currency_code: 'EUR' });
    await admin.create(`/v1/accounts/${id}/orders`, { ordered_on: '2026-05-05', currency_code: 'USD', lines: [{ line_no: 1, amount: '100000' }] });
    await admin.patch(`/v1/plans/${plan.id}/sections/leader_perceptions`, (await admin.get(`/v1/plans/${plan.id}/sections/leader_perceptions`)).etag, { content: { notes: 'Hidden' } });
  }
  for (let i = 0; i < 5; i++) {
    const more = await admin.create('/v1/accounts', { name: 'Hidden', account_number: unique('N') });
    await admin.create('/v1/contacts', { account_id: more.id, family_name: 'Hidden' });
  }
  const ids = [...accounts.map(({ id }) => id), '01970000-0000-7000-8000-000000000000'];
  const lists = ['contacts', 'plans', 'reviews', 'follow-ups', 'accounts'], nested = ['contacts', 'plans', 'reviews', 'follow-ups', 'interactions', 'problems', 'orders', 'wallet', 'needs', 'investments', 'projects', 'team', 'commitments', 'links'];
  const ways = [
    () => `/v1/${one(lists)}?page_size=${1 + below(5)}&include_total=${one(['true', 'false'])}`, () => `/v1/${one(lists)}?order_by=${one(['', '-'])}${one(['updated_at', 'id'])}`,
    () => `/v1/accounts?order_by=${one(['-score', 'score', 'name'])}&page_size=2`, () => `/v1/accounts?score_gte=${below(100)}`, () => `/v1/accounts?q=${one(['Seen', 'Hidden', 'n'])}`, () => `/v1/contacts?family_name=${one(['Hidden', 'x'])}`,
    () => `/v1/accounts?filter=${encodeURIComponent(`contacts.family_name eq '${one(['Hidden', 'x'])}'`)}`, () => `/v1/accounts/${one(ids)}?expand=${one(['contacts', 'plan', 'contacts,plan'])}`,
    () => `/v1/accounts/${one(ids)}/${one(nested)}?include_total=true`, () => `/v1/accounts/${one(ids)}`, () => `/v1/accounts/${one(ids)}/history`, () => `/v1/accounts/${one(ids)}/${one(['key-status', 'key-status/history', 'metrics', 'health', 'economics', 'sales', 'whitespace', 'opportunities', 'fit-check', 'expectations', 'commitments/summary'])}`,
    () => { const { plan } = one(accounts); return `/v1/plans/${plan.id}${one(['', '/sections', '/sections/capabilities', '/sections/leader_perceptions', '/sections/interaction_history', '/versions', '/acknowledgements', '?view=shared', '/history'])}`; },
    () => `/v1/events?after=${below(30)}&page_size=${1 + below(50)}`, () => `/v1/events?account_id=${one(ids)}`, () => `/v1/program/${one(['attention-gap', 'cadence', 'compliance', 'candidates', 'rollup', 'late-access', 'pareto?metric=revenue', 'capacity'])}`,
    () => `/v1/${one([...lists, 'users', ...nested])}/export?format=${one(['csv', 'ndjson'])}&order_by=${one(['', '-'])}updated_at`, () => `/v1/accounts/export?order_by=-score&format=csv`,
    () => `/v1/users/${user.id}/agenda`, () => `/v1/access/explain?account_id=${one(ids)}`, () => '/v1/me',
  ];
  const member = new Client(plain.url, key), there = new Client(hidden.url, key);
  let okay = 0;
  for (let i = 0; i < REQUESTS; i++) {
    const path = one(ways)(), options = { headers: { 'x-request-id': `probe-${i}` } };
    const [a, b] = await Promise.all([member.send('GET', path, options), there.send('GET', path, options)]);
    okay += a.status === 200;
    assert.equal(comparable(b), comparable(a), path);
  }
  assert.ok(okay > REQUESTS / 2, `${okay} of ${REQUESTS} were answered with 200`);
});
