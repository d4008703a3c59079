// Many records in one call, by our ids or by another system's: one result for each, in order, never a duplicate.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { places } from './lib/client.mjs';
import { KINDS } from './lib/lifecycle.mjs';
import { sql } from './lib/stack.mjs';
import { makeAccount, openWorld, scored, unique } from './lib/world.mjs';

const NOBODY = '01970000-0000-7000-8000-000000000000';
let world, api, apis;
before(async () => {
  // Built with the address sanitizer, the HTTP library takes long over large bodies.
  world = await openWorld({ processes: 2, workers: 1, settings: { KAMD_BODY_SECONDS: '120' } });
  ({ api, apis } = world);
});
after(() => world?.close());

const send = async (path, body, client = api) =>
  (await client.call(200, 'POST', path, { body: Array.isArray(body) ? { records: body } : body, headers: { 'idempotency-key': unique('bulk') } })).body;
const outcomes = ({ results }) => results.map(({ outcome }) => outcome);

for (const [name, kind] of Object.entries(KINDS)) {
  describe(name, () => {
    let under, path, samples, made;
    before(async () => {
      under = await makeAccount(api);
      path = kind.path(under);
      samples = [await kind.make(under, api), await kind.make(under, api)];
    });

    test('bulk: creates, updates, leaves alone, and says which failed and why', async () => {
      made = await send(`${path}/bulk`, samples);
      assert.deepEqual(outcomes(made), ['created', 'created']);
      assert.deepEqual(made.results.map(({ index, success }) => [index, success]), [[0, true], [1, true]]);
      const [first, second] = made.results;
      if (name === 'accounts') await Promise.all([scored(api, first), scored(api, second)]);
      const [fields, status] = kind.wrong[0];
      const mixed = await send(`${path}/bulk`, [
        { id: first.id, ...kind.change }, { ...await kind.make(under, api), ...fields }, { id: second.id }, { id: NOBODY, ...kind.change }, await kind.make(under, api)]);
      assert.deepEqual(outcomes(mixed), ['updated', 'error', 'unchanged', 'error', 'created']);
      assert.deepEqual(mixed.results.map(({ index }) => index), [0, 1, 2, 3, 4]);
      const [, wrong, , unknown] = mixed.results;
      assert.deepEqual([wrong.success, wrong.errors[0].status_code, unknown.errors[0].status_code], [false, status, 404]);
      assert.ok(wrong.errors[0].message && wrong.errors[0].code && wrong.errors[0].fields.length);
      assert.deepEqual({ ...mixed.summary, deleted: 0, stale: 0 }, { created: 1, updated: 1, unchanged: 1, deleted: 0, stale: 0, failed: 2 });
      const item = await api.get(`${path}/${first.id}`);
      assert.equal(item.etag, mixed.results[0].etag);
      assert.equal(item.version, 2);
      assert.equal((await api.get(`${path}/${second.id}`)).version, 1);
    });

    test('all_or_none: one that fails, and nothing is written', async () => {
      const [fields] = kind.wrong[0];
      const count = async () => (await api.get(`${path}?include_total=true&page_size=1`)).page.total;
      const records = [await kind.make(under, api), { ...await kind.make(under, api), ...fields }, { id: made.results[1].id, ...kind.change }];
      const was = await count();
      const { results, summary } = await send(`${path}/bulk`, { all_or_none: true, records });
      assert.deepEqual(results.map(({ success }) => success), [false, false, false]);
      assert.equal(summary.failed, 3);
      assert.ok(results[1].errors.length > 0);
      assert.equal(await count(), was);
      assert.equal((await api.get(`${path}/${made.results[1].id}`)).version, 1);
    });

    test('sync: created, unchanged, updated, deleted, back again', async () => {
      const sample = { ...await kind.make(under, api), ...(name !== 'users' && name !== 'accounts' && { account_id: under.id }) };
      const external_id = unique('ext');
      const at = `/v1/sync/crm/${name}`;
      const put = (body, status) => api.call(status, 'PUT', `${at}/${external_id}`, { body });
      const first = await put(sample, 201);
      assert.ok(first.headers.location.endsWith(`/${first.body.id}`));
      assert.equal(first.body.external_ids.crm, external_id);
      const again = await put(sample, 200);
      assert.deepEqual([again.body.id, again.body.version, again.body.etag], [first.body.id, 1, first.body.etag]);
      const changed = await send(at, [{ external_id, ...kind.change }]);
      assert.deepEqual(outcomes(changed), ['updated']);
      assert.deepEqual([changed.results[0].id, changed.results[0].external_id], [first.body.id, external_id]);
      assert.deepEqual(outcomes(await send(at, [{ external_id, ...kind.change }])), ['unchanged']);
      assert.deepEqual(outcomes(await send(at, [{ external_id, is_deleted: true }])), ['deleted']);
      await api.fails(404, 'not_found', 'GET', `${path}/${first.body.id}`);
      await send(at, [{ ...sample, external_id }]);
      assert.equal((await api.get(`${path}/${first.body.id}`)).external_ids.crm, external_id, 'the same record came back');
    });
  });
}

test('the same upsert 20 times at once over two processes: one record', async () => {
  for (let round = 0; round < 3; round++) {
    const external_id = unique('race');
    const body = { name: 'Raced', industry: 'steel' };
    const puts = await Promise.all(Array.from({ length: 20 }, (_, i) => apis[i % 2].insist('PUT', `/v1/sync/crm/accounts/${external_id}`, { body })));
    assert.deepEqual(puts.map(({ status }) => status).sort(), [...Array(19).fill(200), 201]);
    assert.equal(new Set(puts.map((answer) => answer.body.id)).size, 1);
    assert.equal((await api.get(`/v1/accounts/${puts[0].body.id}`)).version, 1);
    const other = unique('race');
    const posts = await Promise.all(Array.from({ length: 20 }, (_, i) => send('/v1/sync/crm/accounts', [{ external_id: other, ...body }], apis[i % 2])));
    assert.equal(new Set(posts.map(({ results }) => results[0].id)).size, 1);
    assert.deepEqual(posts.flatMap(outcomes).sort(), ['created', ...Array(19).fill('unchanged')]);
  }
});

test('batches that overlap in opposite orders do not deadlock', async () => {
  const ids = Array.from({ length: 40 }, () => unique('cross'));
  for (let round = 0; round < 5; round++) {
    const answers = await Promise.all([ids, [...ids].reverse(), ids, [...ids].reverse()].map((list, i) =>
      send('/v1/sync/crm/accounts', list.map((external_id) => ({ external_id, name: `Cross ${round} ${i}` })), apis[i % 2])));
    for (const { summary } of answers) assert.equal(summary.failed, 0);
    assert.equal(new Set(answers.flatMap(({ results }) => results.map(({ id }) => id))).size, 40);
  }
  assert.equal(sql(world.settings, 'select deadlocks from pg_stat_database where datname = current_database()'), '0');
});

test('references by the other system\'s ids; an unknown one fails its record alone', async () => {
  const [boss, seller, customer, person] = ['boss', 'seller', 'customer', 'person'].map(unique);
  await send('/v1/sync/crm/users', [{ external_id: boss, name: 'Boss' }]);
  await send('/v1/sync/crm/users', [{ external_id: seller, name: 'Seller', manager_external_id: boss }]);
  const accounts = await send('/v1/sync/crm/accounts', [
    { external_id: customer, name: 'Customer', manager_external_id: seller }, { external_id: unique('other'), name: 'Other', manager_external_id: 'nobody' }]);
  assert.deepEqual(outcomes(accounts), ['created', 'error']);
  assert.match(JSON.stringify(accounts.results[1].errors), /manager_external_id/);
  assert.equal(accounts.results[1].errors[0].status_code, 422);
  await send('/v1/sync/crm/contacts', [{ external_id: person, account_external_id: customer, family_name: 'Person' }]);
  const orders = await send('/v1/sync/crm/orders', [{
    external_id: '4711', account_external_id: customer, ordered_on: '2026-05-05', currency_code: 'USD', lines: [{ line_no: 1, amount: '10.5' }] }]);
  await send('/v1/sync/crm/problems', [{
    external_id: 'p1', account_external_id: customer, contact_external_id: person, category: 'delay', title: 'Late', opened_at: '2026-05-05T10:00:00Z' }]);
  const account = await api.get(`/v1/accounts/${accounts.results[0].id}?expand=manager,contacts`);
  assert.deepEqual([account.manager.name, account.contacts[0].family_name], ['Seller', 'Person']);
  const order = await api.get(`/v1/accounts/${account.id}/orders/${orders.results[0].id}`);
  assert.deepEqual([order.external_id, order.external_ids.crm, order.amount, order.lines[0].amount, order.cost], ['4711', '4711', '10.5000', '10.5000', null]);
  const [problem] = await api.all(`/v1/accounts/${account.id}/problems`);
  assert.equal(problem.contact_id, account.contacts[0].id);
  const cleared = await send('/v1/sync/crm/accounts', [{ external_id: customer, manager_external_id: null }]);
  assert.deepEqual(outcomes(cleared), ['updated']);
  assert.equal((await api.get(`/v1/accounts/${account.id}`)).manager_id, null);
});

test('systems do not see each other\'s ids, and Salesforce\'s two lengths are one id', async () => {
  const body = { name: 'Twice' };
  const one = await api.call(201, 'PUT', '/v1/sync/crm/accounts/same-id', { body });
  const two = await api.call(201, 'PUT', '/v1/sync/erp/accounts/same-id', { body });
  assert.notEqual(one.body.id, two.body.id);
  const short = await api.call(201, 'PUT', '/v1/sync/salesforce/accounts/001M00000062mPg', { body });
  const [full] = [short.body.external_ids.salesforce];
  assert.equal(full.length, 18);
  assert.equal((await api.call(200, 'PUT', `/v1/sync/salesforce/accounts/${full}`, { body })).body.id, short.body.id);
  const wrong = full.slice(0, 17) + (full[17] === 'A' ? 'B' : 'A');
  assert.ok([400, 422].includes((await api.send('PUT', `/v1/sync/salesforce/accounts/${wrong}`, { body })).status));
  await api.fails(409, 'already_exists', 'PUT', '/v1/sync/crm/accounts/new-id', { body: { name: 'x', external_ids: { erp: 'same-id' } } });
});

test('what is sent by a system bears its name in history and events', async () => {
  const { body } = await api.call(201, 'PUT', `/v1/sync/crm/accounts/${unique('origin')}`, { body: { name: 'Origin' } });
  const [created] = (await api.all(`/v1/accounts/${body.id}/history`)).slice(-1);
  assert.equal(created.origin, 'crm');
});

test('a call that meets its deadline does nothing at all, and says 503', async () => {
  for (const ms of [150, 300]) {
    const kamd = await world.add({ KAMD_REQUEST_MS: String(ms) }, 'serve', '--no-worker');
    const client = api.at(kamd.url);
    for (let round = 0; round < 3; round++) {
      const industry = unique('Deadline');
      const records = Array.from({ length: 200 }, (_, i) => ({ name: `${i}`, industry, business_model: 'x'.repeat(4000) }));
      const { status, body } = await client.send('POST', '/v1/accounts/bulk', { body: { records }, headers: { 'idempotency-key': unique('k') } });
      assert.ok(status === 200 || status === 503, JSON.stringify(body).slice(0, 500));
      assert.equal((await api.get(`/v1/accounts?industry=${industry}&page_size=1&include_total=true`)).page.total, status === 200 ? 200 : 0);
    }
    client.close();
    await world.kamds.pop().stop();
  }
});

test('the limits: 1 to 200 records, each once, 8 MiB, nothing unknown', async () => {
  const options = (body) => ({ body, headers: { 'idempotency-key': unique('limit') } });
  const record = (i) => ({ name: `Limit ${i}` });
  const { summary } = await send('/v1/accounts/bulk', Array.from({ length: 200 }, (_, i) => record(i)));
  assert.equal(summary.created, 200);
  const many = await api.call(422, 'POST', '/v1/accounts/bulk', options({ records: Array.from({ length: 201 }, (_, i) => record(i)) }));
  assert.deepEqual(places(many.body), ['/records']);
  for (const body of [{}, { records: [] }, { records: 'x' }, { records: [record(0)], surprise: 1 }, { records: [record(0)], all_or_none: 'yes' }]) {
    await api.fails(400, 'invalid_request', 'POST', '/v1/accounts/bulk', options(body));
  }
  // Salesforce's users see the message alone.
  assert.deepEqual((await send('/v1/accounts/bulk', [{ industry: 'x' }])).results[0].errors.map(({ message }) => message), ['name is required']);
  const twice = await send('/v1/sync/crm/accounts', [{ external_id: 'twice', name: 'a' }, { external_id: 'twice', name: 'b' }]);
  assert.deepEqual(outcomes(twice), ['created', 'error']);
  const large = Array.from({ length: 80 }, (_, i) => ({ ...record(i), business_model: 'x'.repeat(9900), revenue_model: 'y'.repeat(9900) }));
  assert.equal((await send('/v1/accounts/bulk', large)).summary.created, 80, '1.6 MB');
  const tooLarge = { raw: JSON.stringify({ records: [{ name: 'x'.repeat(8 << 20) }] }), ms: 120_000, headers: { 'idempotency-key': unique('limit') } };
  await api.fails(413, 'payload_too_large', 'POST', '/v1/accounts/bulk', tooLarge);
  await api.fails(404, 'not_found', 'POST', '/v1/sync/crm/nonsense', options({ records: [{ external_id: '1' }] }));
});
