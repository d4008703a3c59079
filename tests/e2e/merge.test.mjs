// Two accounts that are one customer become one: nothing below them is lost, and both systems hear of it.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { events } from './lib/client.mjs';
import { KINDS } from './lib/lifecycle.mjs';
import { addUser, completeSections, makePlan } from './lib/planning.mjs';
import { sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api;
before(async () => {
  world = await openWorld();
  ({ api } = world);
});
after(() => world?.close());

const merge = (target, source, body = {}) => api.call(200, 'POST', `/v1/accounts/${target.id}/merge`, { body: { source_id: source.id, ...body } });
const revenue = async ({ id }) => ((await api.get(`/v1/accounts/${id}/sales`)).months.reduce((sum, { amount }) => sum + Number(amount), 0));
const changesAfter = async (after, ids) => (await api.get(`/v1/changes?after=${encodeURIComponent(after)}&page_size=200`)).changes.filter(({ id }) => ids.includes(id));

test('what lies below the one goes to the other: every kind of record, by its own address and in lists', async () => {
  const [target, source] = [await makeAccount(api, { phones: ['+49301111111'] }), await makeAccount(api, { phones: ['+49301111111', '+49302222222'], industry: 'steel', domain: `${unique('d')}.example` })];
  const made = {};
  for (const [name, kind] of Object.entries(KINDS)) {
    if (!kind.path(source).includes(source.id)) continue;
    made[name] = (await api.call(201, 'POST', kind.path(source), { body: await kind.make(source, api) })).body;
  }
  assert.ok(Object.keys(made).length > 8);
  const { body } = await merge(target, source, { take: ['industry', 'domain'] });
  assert.deepEqual([body.id, body.industry, body.domain, body.phones, body.name], [target.id, 'steel', source.domain, ['+49301111111', '+49302222222'], target.name]);
  for (const [name, record] of Object.entries(made)) {
    const found = await api.get(`${KINDS[name].path(target)}/${record.id}`);
    assert.equal(found.account_id, target.id, name);
    await api.fails(404, 'not_found', 'GET', `${KINDS[name].path(source)}/${record.id}`);
  }
  await api.fails(404, 'not_found', 'GET', `/v1/accounts/${source.id}`);
  const tables = sql(world.settings, 'select string_agg(name, \',\') from merge_tables() where moves').split(',');
  const left = sql(world.settings, `select string_agg(name, ' ') from (${tables.map((name) => `select '${name}' as name from ${name} where account_id = '${source.id}'`).join(' union ')}) t`);
  assert.equal(left, '', 'tables with rows of the account that is no more');
});

test('004-32: of two scheduled reviews of a cadence the target keeps its own; the other ones move as they are', async () => {
  const [target, source] = [await makeAccount(api), await makeAccount(api)];
  const review = ({ id }, cadence) => api.create('/v1/reviews', { account_id: id, cadence, due_on: '2099-01-31' });
  const [kept, doubled, alone] = [await review(target, 'monthly'), await review(source, 'monthly'), await review(source, 'annual')];
  await merge(target, source);
  const after = await Promise.all([kept, doubled, alone].map(({ id }) => api.get(`/v1/reviews/${id}`)));
  assert.deepEqual(after.map(({ account_id, status }) => [account_id, status]), [[target.id, 'scheduled'], [target.id, 'cancelled'], [target.id, 'scheduled']]);
});

test('every table of what belongs to an account moves, or is derived or a log', () => {
  const stays = sql(world.settings, "select string_agg(name, ' ' order by name) from merge_tables() where not moves");
  assert.equal(stays, 'account_access account_health account_sequence account_status attention_gap audit audit_anchored audit_leaf audit_read_head cadence_missed day_sales evaluation_result event external_id history key_status_history rescore_queue stay_in_touch_queue webhook_attempt webhook_delivery webhook_retry');
});

test('orders and their sums, ids in other systems, accounts below, plans with versions, links', async () => {
  const system = 'crm', ext = () => unique('X');
  const [target, source] = [await makeAccount(api, { level: 'national', external_ids: { crm: ext() } }), await makeAccount(api, { level: 'regional', external_ids: { crm: ext(), erp: ext() } })];
  const below = await makeAccount(api, { level: 'sub_regional', parent_id: source.id });
  for (const [account, amount] of [[target, '100.0000'], [source, '250.5000']]) await api.create(`/v1/accounts/${account.id}/orders`, { external_id: ext(), ordered_on: new Date().toISOString().slice(0, 10), currency_code: 'EUR', lines: [{ line_no: 1, product: 'Beams', quantity: '1.0000', amount, cost: '1.0000' }] });
  const plan = await makePlan(api, source);
  await completeSections(api, plan);
  await api.create(`/v1/accounts/${source.id}/links`, { name: 'Each other', kind: 'allied_of_customer', linked_account_id: target.id });
  const { body: kept } = await merge(target, source);
  assert.deepEqual([kept.external_ids.crm, kept.external_ids.erp], [target.external_ids.crm, source.external_ids.erp]);
  assert.equal((await api.get(`/v1/accounts/${below.id}`)).parent_id, target.id);
  await until(async () => await revenue(target) === 350.5, { ms: 15_000, what: 'the sum of both' });
  assert.equal((await api.get(`/v1/plans/${plan.id}`)).account_id, target.id);
  assert.equal((await api.get(`/v1/plans/${plan.id}/sections`)).data.length, 9);
  assert.deepEqual(await api.all(`/v1/accounts/${target.id}/links`), [], 'of the two with each other');
  const again = await api.send('PUT', `/v1/sync/erp/accounts/${source.external_ids.erp}`, { body: { name: 'Told by the other system' } });
  assert.deepEqual([again.status, again.body.id ?? again.body.record?.id], [200, target.id], `${system}: what the source was there is the target now`);
  const gone = await api.send('PUT', `/v1/sync/crm/accounts/${source.external_ids.crm}`, { body: { name: 'Not known any more' } });
  assert.equal(gone.status, 409);
  assert.ok(gone.body.detail.includes(target.id), 'names what it became');
});

test('it is told once: to webhooks and streams as an event, in the change feed as merged; history says it', async () => {
  const [target, source] = [await makeAccount(api), await makeAccount(api, { phones: ['+49303333333'] })];
  const contact = await api.create('/v1/contacts', { account_id: source.id, family_name: 'Moved' });
  const { next_cursor: cursor } = await api.get('/v1/changes?after=now');
  await merge(target, source);
  const told = await until(async () => {
    const seen = (await changesAfter(cursor, [target.id, source.id, contact.id])).filter(({ op }) => op !== 'created');
    return seen.length >= 3 && seen;
  }, { ms: 15_000, what: 'the changes' });
  assert.deepEqual(told.map(({ type, op, id }) => [type, op, id]).sort(), [['account', 'merged', source.id], ['account', 'updated', target.id], ['contact', 'updated', contact.id]].sort());
  const merged = told.find(({ op }) => op === 'merged');
  assert.deepEqual([merged.merged_into, merged.snapshot], [target.id, null]);
  assert.deepEqual(told.find(({ type }) => type === 'contact').changed_fields, ['account_id']);
  const heard = (await events(api, `account_id=${source.id}`)).map(({ type }) => type);
  assert.deepEqual([heard.filter((type) => type === 'account.merged').length, heard.includes('account.deleted')], [1, false]);
  assert.ok((await api.all(`/v1/contacts/${contact.id}/history`)).some(({ changes }) => JSON.stringify(changes).includes(target.id)));
  assert.equal((await api.get(`/v1/audit/verify?account_id=${target.id}`)).valid, true);
  assert.equal((await api.get(`/v1/audit/verify?account_id=${source.id}`)).valid, true);
});

test('who answers for the account that stays sees what happened under the other; nobody else does', async () => {
  const [boss, other] = [await addUser(api), await addUser(api)];
  const [target, source] = [await makeAccount(api, { manager_id: boss.id }), await makeAccount(api)];
  const contact = await api.create('/v1/contacts', { account_id: source.id, family_name: 'Before' });
  await api.patch(`/v1/contacts/${contact.id}`, contact.etag, { family_name: 'After' });
  const [mine, theirs] = [await world.clientOf('account_manager', { user_id: boss.id }), await world.clientOf('account_manager', { user_id: other.id })];
  await merge(target, source);
  const seen = await mine.all(`/v1/contacts/${contact.id}/history`);
  assert.ok(seen.some(({ op }) => op === 'created') && seen.length >= 3, 'all of it');
  await theirs.fails(404, 'not_found', 'GET', `/v1/contacts/${contact.id}/history`);
  await mine.fails(403, 'forbidden', 'POST', `/v1/accounts/${target.id}/merge`, { body: { source_id: source.id } });
});

test('what can be there once only stays as the target has it; the other is kept, ended', async () => {
  const [target, source] = [await makeAccount(api), await makeAccount(api)];
  const user = await addUser(api);
  const both = async (path, body) => [await api.create(`/v1/accounts/${target.id}/${path}`, body), await api.create(`/v1/accounts/${source.id}/${path}`, body)];
  const wallet = await both('wallet', { category: 'Beams', period: '2026', customer_spend: '100', our_revenue: '50', currency_code: 'EUR' });
  const team = await both('team', { user_id: user.id, role: 'logistics' });
  await merge(target, source);
  assert.deepEqual((await api.all(`/v1/accounts/${target.id}/wallet`)).map(({ id }) => id), [wallet[0].id]);
  assert.deepEqual((await api.all(`/v1/accounts/${target.id}/team`)).map(({ id }) => id), [team[0].id]);
});

test('refused, and nothing moved: orders of one number, a key account, itself, nobody, what is gone', async () => {
  const [target, source] = [await makeAccount(api), await makeAccount(api)];
  const order = { external_id: unique('O'), ordered_on: '2026-01-05', currency_code: 'EUR', lines: [{ line_no: 1, product: 'Beams', quantity: '1.0000', amount: '1.0000', cost: '0.5000' }] };
  await api.create(`/v1/accounts/${target.id}/orders`, order);
  const doubled = await api.create(`/v1/accounts/${source.id}/orders`, order);
  const path = `/v1/accounts/${target.id}/merge`;
  const refused = await api.fails(409, 'conflict', 'POST', path, { body: { source_id: source.id } });
  assert.ok(refused.detail.includes(order.external_id));
  assert.equal((await api.get(`/v1/accounts/${source.id}/orders/${doubled.id}`)).account_id, source.id);
  await api.fails(422, 'validation_failed', 'POST', path, { body: { source_id: target.id } });
  await api.fails(400, 'invalid_request', 'POST', path, { body: { source_id: source.id, take: ['score'] } });
  await api.fails(422, 'validation_failed', 'POST', path, { body: { source_id: '01970000-0000-7000-8000-000000000000' } });
  await api.fails(404, 'not_found', 'POST', '/v1/accounts/01970000-0000-7000-8000-000000000000/merge', { body: { source_id: source.id } });
  await api.call(201, 'POST', `/v1/accounts/${source.id}/designate`, { body: {} });
  await api.call(204, 'DELETE', `/v1/accounts/${source.id}/orders/${doubled.id}`, { headers: { 'if-match': doubled.etag } });
  const key = await api.fails(409, 'conflict', 'POST', path, { body: { source_id: source.id } });
  assert.ok(key.detail.includes('key account'));
  const [one, two] = [await makeAccount(api), await makeAccount(api)];
  await merge(one, two);
  await api.fails(409, 'conflict', 'POST', `/v1/accounts/${two.id}/restore`);
  const key2 = unique('k');
  const [three, four] = [await makeAccount(api), await makeAccount(api)];
  const first = await api.call(200, 'POST', `/v1/accounts/${three.id}/merge`, { body: { source_id: four.id }, headers: { 'idempotency-key': key2 } });
  const replay = await api.call(200, 'POST', `/v1/accounts/${three.id}/merge`, { body: { source_id: four.id }, headers: { 'idempotency-key': key2 } });
  assert.deepEqual(replay.body, first.body);
});

test('much of it: an operation of who asked for it, all or nothing', async () => {
  const [target, source, key] = [await makeAccount(api), await makeAccount(api), await makeAccount(api)];
  for (const { id } of [source, key]) {
    sql(world.settings, `insert into interaction (id, account_id, kind, channel, occurred_at, subject) select gen_random_uuid(), '${id}', 'conversation', 'phone', now() - n * interval '1 hour', 'Call ' || n from generate_series(1, 1200) n`);
  }
  const many = await api.get(`/v1/accounts/${source.id}/interactions?include_total=true`);
  assert.equal(many.page.total, 1200);
  const ended = async (source_) => {
    const { body: asked } = await api.call(202, 'POST', `/v1/accounts/${target.id}/merge`, { body: { source_id: source_.id } });
    return until(async () => {
      const operation = await api.get(`/v1/operations/${asked.id}`);
      return ['succeeded', 'failed'].includes(operation.status) && operation;
    }, { ms: 60_000, what: 'the merge' });
  };
  const done = await ended(source);
  assert.deepEqual([done.status, done.result], ['succeeded', { account_id: target.id }], done.failure);
  assert.equal((await api.get(`/v1/accounts/${target.id}/interactions?include_total=true`)).page.total, 1200);
  assert.equal((await api.get(`/v1/interactions/${many.data[0].id}`.replace('/v1/', `/v1/accounts/${target.id}/`))).account_id, target.id, 'not as it was cached');
  const { actor } = (await api.all(`/v1/audit?account_id=${source.id}&action=merged`))[0];
  assert.notEqual(actor, 'worker');
  await api.call(201, 'POST', `/v1/accounts/${key.id}/designate`, { body: {} });
  const refused = await ended(key);
  assert.equal(refused.status, 'failed');
  assert.ok(refused.failure.includes('key account'), refused.failure);
  assert.equal((await api.get(`/v1/accounts/${key.id}/interactions?include_total=true`)).page.total, 1200);
});
