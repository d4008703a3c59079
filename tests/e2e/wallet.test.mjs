// Share of wallet (002-29): ours of what the customer spends in all. Unknown stays unknown.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from './lib/stack.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api, path, account;
before(async () => {
  world = await openWorld();
  ({ api } = world);
  account = await makeAccount(api);
  path = `/v1/accounts/${account.id}/wallet`;
});
after(() => world?.close());

const row = (fields) => ({ category: unique('Beams'), period: '2026', currency_code: 'EUR', ...fields });

test('002-29: the share has four places, and is null while something is unknown or nothing was spent', async () => {
  for (const [spend, ours, share] of [['3', '1', '0.3333'], ['3', '2', '0.6667'], ['100', '100', '1.0000'], ['8', '0', '0.0000'], ['0', '0', null], [null, '5', null], ['5', null, null], [null, null, null],
    ['999999999999999.9999', '999999999999999.9998', '1.0000'], ['10', '9.9999', '1.0000']]) {
    assert.equal((await api.create(path, row({ customer_spend: spend, our_revenue: ours }))).share, share, `${ours} of ${spend}`);
  }
  assert.deepEqual((await api.all(`${path}?share_lt=0.5&share_gt=0`)).map(({ share }) => share), ['0.3333']);
});

test('002-29: more than all is refused, by POST, PATCH and in bulk', async () => {
  const over = (problem) => assert.deepEqual(problem.errors.map(({ pointer, code }) => [pointer.replace(/^\/records\/\d/, ''), code]), [['/our_revenue', 'share_over_100']]);
  over(await api.fails(422, 'validation_failed', 'POST', path, { body: row({ customer_spend: '9.99', our_revenue: '10' }) }));
  const made = await api.create(path, row({ customer_spend: '100', our_revenue: '60' }));
  const patch = (body) => api.fails(422, 'validation_failed', 'PATCH', `${path}/${made.id}`, { body, headers: { 'if-match': made.etag } });
  over(await patch({ customer_spend: '59.9999' }));
  over(await patch({ our_revenue: '1000' }));
  const { body } = await api.call(200, 'POST', `${path}/bulk`, { body: { records: [{ id: made.id, our_revenue: '101' }, row({ our_revenue: '7' })] }, headers: { 'idempotency-key': unique('k') } });
  assert.deepEqual(body.results.map(({ success }) => success), [false, true]);
  assert.deepEqual(body.results[0].errors[0].fields, ['our_revenue']);
  assert.equal((await api.patch(`${path}/${made.id}`, made.etag, { customer_spend: null })).share, null, 'unknown again');
});

test('what a period looks like is said, however long what was given is; the same of every text that has a form', async () => {
  const account = await makeAccount(api);
  const path = `/v1/accounts/${account.id}/wallet`;
  const sentence = /^must be a period such as 2026, 2026-H1, 2026-Q3 or 2026-07$/;
  for (const period of ['2026-10-01', '2026-13', '2026-Q5', '26', 'x'.repeat(400)]) {
    const { errors } = await api.fails(422, 'validation_failed', 'POST', path, { body: row({ period }) });
    assert.deepEqual(errors.map(({ pointer, code }) => [pointer, code]), [['/period', 'invalid']], period);
    assert.match(errors[0].detail, sentence);
    const filter = await api.fails(400, 'invalid_request', 'GET', `${path}?period=${period}`);
    assert.match(filter.errors[0].detail, /such as 2026, 2026-H1/);
    const metric = await api.call(422, 'PUT', `/v1/accounts/${account.id}/metrics`, { body: { metrics: [{ metric: 'strategic_importance', period, value: '7' }] } });
    assert.match(metric.body.errors[0].detail, sentence);
  }
  for (const [field, text, said] of [['currency_code', 'EURO', /ISO 4217/], ['currency_code', 'E', /ISO 4217/]]) {
    const { errors } = await api.fails(422, 'validation_failed', 'POST', path, { body: row({ [field]: text }) });
    assert.match(errors[0].detail, said);
  }
  assert.match((await api.fails(422, 'validation_failed', 'POST', path, { body: row({ period: '' }) })).errors[0].detail, /empty/);
  assert.match((await api.fails(422, 'validation_failed', 'POST', '/v1/contacts', { body: { account_id: account.id, family_name: 'x', phone: '+49301234567890123456789' } })).errors[0].detail, /E\.164|phone number/);
});

test('one row for each account, category and period', async () => {
  const given = row({ customer_spend: '5' });
  const made = await api.create(path, given);
  assert.equal((await api.fails(409, 'already_exists', 'POST', path, { body: given })).errors[0].pointer, '/period');
  await api.create(path, { ...given, period: '2026-Q1' });
  await api.create(`/v1/accounts/${(await makeAccount(api)).id}/wallet`, given);
  await api.remove(`${path}/${made.id}`, made.etag);
  await api.create(path, given);
  await api.fails(409, 'already_exists', 'POST', `${path}/${made.id}/restore`, { body: {} });
});

test('every way of writing it marks the account for scoring', () => {
  const marked = (statement) => sql(world.stack.settings, `begin; delete from rescore_queue; ${statement}; select count(*) from rescore_queue where account_id = '${account.id}'; rollback`).split('\n').at(-1);
  assert.equal(marked(`update wallet set our_revenue = 0 where account_id = '${account.id}'`), '1');
  assert.equal(marked(`insert into wallet (id, account_id, category, period) values (gen_random_uuid(), '${account.id}', 'x', '2026')`), '1');
  assert.equal(marked('select 1'), '0');
});
