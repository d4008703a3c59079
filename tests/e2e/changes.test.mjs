// GET /v1/changes: what happened to the records, in commit order, for the eyes of the caller. A reader that replays it
// has what the tables have, whatever is written at the same time (004-31). With SOAK the property runs for a minute.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { sql } from './lib/stack.mjs';
import { sleep, until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

const SECONDS = process.env.SOAK ? 60 : 6;
let world, api;
before(async () => {
  world = await openWorld({ processes: 2 });
  ({ api } = world);
});
after(() => world?.close());

const asApp = (statement) => promisify(execFile)('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-c', statement, world.settings.DATABASE_URL]);
const page = (query, client = api) => client.call(200, 'GET', `/v1/changes?${query}`, { ms: 90_000 }).then(({ body }) => body);
const here = async () => (await page('after=now')).next_cursor;
// Everything from a cursor on, until there is nothing more at once.
async function pull(after, query = '', client = api) {
  const changes = [];
  for (let more = true; more;) {
    const got = await page(`after=${after}&page_size=200${query && `&${query}`}`, client);
    changes.push(...got.changes);
    [after, more] = [got.next_cursor, got.has_more];
  }
  return { changes, after };
}
// As pull(), and it waits until what `wanted` looks for has come.
async function pullUntil(after, wanted, query) {
  const changes = [];
  await until(async () => {
    const got = await pull(after, query);
    changes.push(...got.changes);
    ({ after } = got);
    return wanted(changes);
  }, { ms: 20_000, what: 'the changes' });
  return changes;
}

test('one change for each write, with what the record is now; tombstones keep the external ids', async () => {
  const start = await here();
  const account = await makeAccount(api, { external_ids: { salesforce: '001M00000062mPg' } });
  const path = `/v1/accounts/${account.id}`;
  const changed = await api.patch(path, account.etag, { industry: 'steel', domain: 'changes.example' });
  await api.remove(path, changed.etag);
  await api.call(200, 'POST', `${path}/restore`, { body: {} });
  const gone = await makeAccount(api, { external_ids: { crm: unique('gone') } });
  await api.remove(`/v1/accounts/${gone.id}`, gone.etag);
  const changes = await pullUntil(start, (all) => all.some(({ op, id }) => op === 'deleted' && id === gone.id));
  const ops = changes.filter(({ id, changed_fields: [field] }) => id === account.id && field !== 'tier');
  assert.deepEqual(ops.map(({ type, op, origin }) => [type, op, origin]), [['account', 'created', 'api'], ['account', 'updated', 'api'], ['account', 'deleted', 'api'], ['account', 'undeleted', 'api']]);
  assert.deepEqual(ops[1].changed_fields, ['domain', 'industry']);
  assert.deepEqual(ops[0].snapshot, await api.get(path), 'as it is now, not as it was');
  assert.equal(ops[0].etag, ops[0].snapshot.etag);
  const tombstone = changes.find(({ op, id }) => op === 'deleted' && id === gone.id);
  assert.deepEqual([tombstone.snapshot, tombstone.etag, tombstone.external_ids], [null, null, gone.external_ids]);
  const cursors = changes.map(({ cursor }) => Number(cursor));
  assert.deepEqual(cursors, [...new Set(cursors)].sort((a, b) => a - b));
  assert.deepEqual((await pull(changes[1].cursor)).changes.slice(0, changes.length - 2).map(({ cursor }) => cursor), changes.slice(2).map(({ cursor }) => cursor), 'on from any of them');
});

test('a system does not hear its own echo; types and accounts choose', async () => {
  const start = await here();
  const { body: theirs } = await api.call(201, 'PUT', `/v1/sync/crm/accounts/${unique('echo')}`, { body: { name: 'Echo' } });
  const ours = await makeAccount(api);
  const contact = await api.create('/v1/contacts', { account_id: theirs.id, family_name: 'Listed' });
  const all = await pullUntil(start, (some) => some.some(({ id }) => id === contact.id));
  assert.ok([theirs, ours, contact].every(({ id }) => all.some((one) => one.id === id)));
  assert.equal(all.find(({ id }) => id === theirs.id).origin, 'crm');
  const ids = async (query) => (await pull(start, query)).changes.filter(({ op }) => op === 'created').map(({ id }) => id);
  assert.deepEqual(await ids('exclude_origin=crm'), [ours.id, contact.id]);
  assert.deepEqual(await ids('exclude_origin=erp,crm,api'), []);
  assert.deepEqual(await ids('types=contact'), [contact.id]);
  assert.deepEqual(await ids('types=contacts,accounts'), [theirs.id, ours.id, contact.id]);
  assert.deepEqual(await ids(`account_id=${theirs.id}`), [theirs.id, contact.id]);
});

test('people get what they may see', async () => {
  const start = await here();
  const user = await api.create('/v1/users', { name: unique('Manager') });
  const manager = await world.clientOf('account_manager', { user_id: user.id });
  const [own, foreign] = [await makeAccount(api, { manager_id: user.id }), await makeAccount(api)];
  await api.create('/v1/contacts', { account_id: foreign.id, family_name: 'Hidden' });
  await pullUntil(start, (all) => all.some(({ type, op }) => type === 'contact' && op === 'created'));
  for (const from of [start, 'snapshot']) {
    const seen = (await pull(from, '', manager)).changes;
    assert.ok(seen.some(({ id }) => id === own.id), from);
    assert.ok(!seen.some(({ id, snapshot }) => id === foreign.id || snapshot?.account_id === foreign.id), from);
  }
  manager.close();
});

test('a long poll answers when something comes that it asks for, else when its time is over', async () => {
  const [start, account] = [await here(), await makeAccount(api)];
  await pullUntil(start, (all) => all.some(({ id }) => id === account.id));
  const from = await here();
  const waits = world.apis.map((client) => page(`after=${from}&wait=60&types=contact`, client));
  const other = page(`after=${from}&wait=1&types=review`);
  const echo = page(`after=${from}&wait=2&types=contact&exclude_origin=api`);
  await sleep(300);
  await makeAccount(api);
  const contact = await api.create('/v1/contacts', { account_id: account.id, family_name: 'Awaited' });
  for (const { changes, next_cursor } of await Promise.all(waits)) {
    assert.deepEqual(changes.map(({ id, op }) => [id, op]), [[contact.id, 'created']]);
    assert.ok(Number(next_cursor) > Number(from));
  }
  for (const { changes, next_cursor, has_more } of await Promise.all([other, echo])) assert.deepEqual([changes, next_cursor >= from, has_more], [[], true, false]);
  const many = Array.from({ length: 100 }, () => page(`after=${from}&wait=60&types=review`));
  await sleep(300);
  for (let i = 0; i < 20; i++) await api.get(`/v1/accounts/${account.id}`); // they hold no thread
  await api.create('/v1/reviews', { account_id: account.id, cadence: 'annual', due_on: '2099-01-31' });
  for (const { changes } of await Promise.all(many)) assert.equal(changes.length, 1);
});

test('an expired cursor leads back; since begins at a time; what is no cursor', async () => {
  const { body } = await api.call(410, 'GET', '/v1/changes?after=999999999999');
  assert.equal(body.code, 'cursor_expired');
  assert.match(body.detail, /after=snapshot/);
  assert.match(body.earliest_available, /^\d+$/);
  await page(`after=${body.earliest_available}`);
  await api.fails(410, 'cursor_expired', 'GET', '/v1/changes?since=2020-01-01T00:00:00Z');
  const account = await makeAccount(api);
  await pullUntil(body.earliest_available, (all) => all.some(({ id }) => id === account.id));
  const late = await page(`since=${new Date(Date.parse(account.created_at) - 1000).toISOString()}&page_size=200`);
  assert.ok(late.changes.some(({ id }) => id === account.id));
  assert.deepEqual((await page('since=2099-01-01T00:00:00Z')).changes, []);
  for (const query of ['after=x', 'after=-1', 'types=nonsense', 'types=orders', 'wait=61', 'wait=x', 'since=x', 'page_size=0', `after=1&since=${account.created_at}`, 'account_id=x', 'origin=crm']) {
    await api.call(400, 'GET', `/v1/changes?${query}`);
  }
  const { next_cursor: walk } = await page('after=snapshot&page_size=1');
  await api.fails(400, 'invalid_cursor', 'GET', `/v1/changes?after=${walk}&types=contact`);
});

// What a reader has of the feed: by id, as last told.
function replica() {
  const records = new Map(), cursors = [], counts = new Map(), older = new Set();
  return {
    records,
    counts,
    older, // that the walk left out, since they were changed meanwhile: what was before is not counted
    take({ cursor, type, op, id, changed_fields: fields, origin, snapshot }, walk) {
      if (!walk) {
        cursors.push(Number(cursor));
        assert.ok(cursors.length < 2 || cursors.at(-2) < cursors.at(-1), 'in order, none twice');
        if (!counts.has(id) && op !== 'created') older.add(id);
        if (!['tier', 'key_status', 'orders'].includes(fields[0])) counts.set(id, (counts.get(id) ?? 0) + 1);
      } else {
        assert.ok(!records.has(id), `${type} ${id} comes twice`);
        counts.set(id, snapshot.version);
      }
      assert.ok(origin !== undefined && op);
      if (snapshot) records.set(id, { type, snapshot });
      else records.delete(id);
    },
  };
}

test(`a replay equals the tables: 8 writers, a reader, transactions that abort and that stay open for 5 s (${SECONDS} s)`, async () => {
  const industry = unique('Property');
  const ours = [];
  for (let i = 0; i < 12; i++) ours.push(await makeAccount(api, { industry }));
  const end = Date.now() + SECONDS * 1000;
  const random = (n) => Math.floor(Math.random() * n);
  let writing = 9, refused = '';

  const writer = async (me) => {
    const client = world.apis[me % 2];
    for (let i = 0; Date.now() < end; i++) {
      const account = ours[random(ours.length)];
      const path = `/v1/accounts/${account.id}`;
      const kind = random(6);
      const answers = kind === 0 ? [await client.send('POST', '/v1/accounts', { body: { name: unique('New'), industry } })]
        : kind === 1 ? [await client.send('POST', '/v1/contacts', { body: { account_id: account.id, family_name: unique('Person') } })]
          : kind === 2 ? [await client.send('PUT', `/v1/sync/crm/accounts/${industry}-${random(5)}`, { body: { name: unique('Synced'), industry } })]
            : kind === 3 ? [await client.send('DELETE', `/v1/sync/crm/accounts/${industry}-${random(5)}`)]
              : [await client.send('PATCH', path, { body: { revenue_model: unique('model') }, headers: { 'if-match': (await client.get(path)).etag } })];
      for (const { status, body } of answers) assert.ok(status < 300 || [404, 409, 412, 503].includes(status), `${status} ${JSON.stringify(body)}`);
      if (answers[0].status === 201 && kind === 0) ours.push(answers[0].body);
    }
    writing--;
  };
  // By the application's own role: some abort, some stay open for long.
  const slow = async () => {
    for (let i = 0; Date.now() < end; i++) {
      const one = ours[random(ours.length)].id;
      const seconds = i % 3 === 0 ? 5 : 0.2;
      await asApp(`begin; set local statement_timeout = 0; set local idle_in_transaction_session_timeout = 0; select set_config('kamd.scope', 'all', true), set_config('kamd.areas', '-1', true);
        insert into contact (id, account_id, family_name) values (gen_random_uuid(), '${one}', 'slow'); select pg_sleep(${seconds}); ${i % 2 ? 'rollback' : 'commit'}`).catch((error) => { refused = error.stderr; });
    }
    writing--;
  };
  const copy = replica();
  const reader = async () => {
    let after = 'snapshot', idle = 0;
    for (let walk = true; writing > 0 || idle < 3;) {
      const got = await page(`after=${after}&page_size=${walk ? 20 : 200}${walk ? '' : '&wait=1'}`);
      for (const change of got.changes) copy.take(change, walk && change.sequence === null);
      idle = got.changes.length > 0 || got.has_more ? 0 : idle + 1;
      walk = walk && !/^\d+$/.test(got.next_cursor);
      after = got.next_cursor;
    }
  };
  await Promise.all([...Array.from({ length: 8 }, (_, i) => writer(i)), slow(), reader()]);
  assert.equal(refused, '', 'the slow ones');
  for (const [type, table] of [['account', 'account'], ['contact', 'contact'], ['user', 'app_user'], ['review', 'review']]) {
    const rows = sql(world.settings, `select id || ' ' || version from ${table} where deleted_at is null order by id`).split('\n').filter(Boolean);
    const mine = [...copy.records].filter(([, one]) => one.type === type).map(([id, { snapshot }]) => `${id} ${snapshot.version}`).sort();
    assert.deepEqual(mine, rows.sort(), type);
  }
  const counted = [...copy.records].filter(([id]) => !copy.older.has(id));
  for (const [id, { type, snapshot }] of counted) assert.equal(copy.counts.get(id), snapshot.version, `each change of ${type} ${id} once`);
  assert.ok(counted.length > copy.records.size / 2, `${counted.length} of ${copy.records.size} counted`);
});
