// Real answers of a running kamd with the Northwind portfolio, compared with openapi.yaml: the
// status, media type and headers must be written there, and the body must fit the schema with
// nothing in it that the schema does not name.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Client, checkProblem } from '../e2e/lib/client.mjs';
import { KINDS } from '../e2e/lib/lifecycle.mjs';
import { load } from '../e2e/lib/northwind.mjs';
import { makePlan, readyPlan } from '../e2e/lib/planning.mjs';
import { until } from '../e2e/lib/wait.mjs';
import { openWorld, unique } from '../e2e/lib/world.mjs';
import { deref, operationsOf, readOpenapi } from './lib/contract.mjs';
import { Presence } from './lib/presence.mjs';
import { sparse, validator } from './lib/validate.mjs';

const doc = readOpenapi();
const operations = operationsOf(doc);
const check = validator(doc);
const presence = new Presence(doc);
const seen = new Set(); // "listAccounts 200"
const UNLISTED = new Set(['content-length', 'content-type', 'date', 'connection', 'cache-control', 'vary', 'x-content-type-options', 'referrer-policy', 'content-security-policy',
  'x-frame-options', 'cross-origin-resource-policy',
  'transfer-encoding', 'content-encoding', 'keep-alive']);
let world, api;

function operationOf(method, path) {
  const [bare] = path.split('?');
  const fits = operations.filter((one) => one.method === method && new RegExp(`^${one.path.replace(/\{\w+\}/g, '[^/]+')}$`).test(bare));
  return fits.sort((a, b) => a.path.split('{').length - b.path.split('{').length)[0] ?? assert.fail(`openapi.yaml has no ${method} ${bare}`);
}

function compare({ operation, what, fields }, answer) {
  const response = deref(doc, operation.responses[answer.status]) ?? assert.fail(`${what}: ${answer.status} is not written down: ${answer.text.slice(0, 300)}`);
  seen.add(`${operation.operationId} ${answer.status}`);
  const headers = new Set(Object.keys(response.headers ?? {}).map((name) => name.toLowerCase()));
  for (const name of Object.keys(answer.headers)) assert.ok(UNLISTED.has(name) || headers.has(name), `${what}: ${answer.status} does not write down the header ${name}`);
  if (headers.has('etag') && answer.status !== 304) assert.ok(answer.headers.etag, `${what}: no ETag`);
  if (headers.has('location')) assert.ok(answer.headers.location, `${what}: no Location`);
  const type = answer.headers['content-type']?.split(';')[0];
  if (!response.content) {
    assert.equal(answer.text, '', `${what}: a body that is not written down`);
    return;
  }
  const media = response.content[type] ?? assert.fail(`${what}: ${type} is not written down`);
  const schema = answer.status === 200 && fields && type === 'application/json' ? sparse(doc, media.schema, fields.split(',')) : media.schema;
  const wrong = check(schema, /\bjson\b/.test(type) ? answer.body : answer.text);
  assert.equal(wrong, undefined, `${what}: ${answer.status} ${wrong}: ${answer.text.slice(0, 600)}`);
  if (schema === media.schema) presence.note(schema, answer.body);
}

// The resources that the end-to-end tests try out, and one that administrators have.
const ALL_KINDS = {
  ...KINDS,
  'custom-fields': {
    path: () => '/v1/custom-fields',
    make: () => ({ resource: 'account', name: unique('field').replaceAll('-', '_'), kind: 'choice', label: 'Size', choices: ['small', 'large'] }),
    change: { label: 'How large' },
    wrong: [[{ kind: 'picture' }, 400], [{ name: 'No Name' }, 422]],
  },
};

// Sends, expects the status, compares with openapi.yaml.
async function call(status, method, path, options = {}, client = api) {
  const answer = await client.call(status, method, path, options);
  compare({ ...operationOf(method, path), what: `${method} ${path}`, fields: new URL(path, api.url).searchParams.get('fields') }, answer);
  return answer.body;
}
const get = (path) => call(200, 'GET', path);
const send = (status, method, path, body, headers = {}) => call(status, method, path, { body, headers });
const key = () => ({ 'idempotency-key': randomUUID() });

before(async () => {
  world = await openWorld({ settings: { KAMD_OAUTH: 'true', KAMD_AUDIT_ANCHOR_MS: '1000' } });
  ({ api } = world);
  const { code, output } = await load(api.url.href.replace(/\/$/, ''), api.key, '--designate=3');
  assert.equal(code, 0, output);
});
after(() => world?.close());

const account = async () => (await api.get('/v1/accounts?account_number=SAVEA')).data[0];

test('every list and single record of the portfolio', async () => {
  let records = 0;
  for (const path of ['users', 'accounts', 'contacts', 'plans', 'reviews', 'follow-ups', 'custom-fields']) {
    for (let cursor = ''; cursor !== null;) {
      const { data, page } = await get(`/v1/${path}?page_size=100&include_total=true${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
      for (const { id } of data.slice(0, 10)) await get(`/v1/${path}/${id}`);
      records += data.length;
      cursor = page.next_cursor;
    }
  }
  for (const { id } of await api.all('/v1/accounts?fields=id')) {
    for (const path of ['orders', 'problems', 'wallet', 'interactions', 'team', 'contacts', 'plans', 'reviews', 'follow-ups', 'needs', 'solutions', 'investments', 'projects', 'links']) {
      const { data } = await get(`/v1/accounts/${id}/${path}?page_size=200`);
      records += data.length;
    }
    await get(`/v1/accounts/${id}/key-status`);
  }
  const { id } = await account();
  for (const path of ['orders', 'problems']) for (const one of (await api.get(`/v1/accounts/${id}/${path}`)).data) await get(`/v1/accounts/${id}/${path}/${one.id}`);
  assert.ok(records >= 9 + 91 + 91 + 91 + 830 + 30, `${records} records`); // of 58 missed deliveries those whose day has come: what is due later is missed by nobody yet
});

test('every export, as NDJSON and as CSV', async () => {
  for (const { path } of operations.filter(({ path: one }) => one.endsWith('/export'))) {
    await get(path);
    await call(200, 'GET', `${path}?format=csv&bom=true&order_by=-updated_at`);
    await call(406, 'GET', path, { headers: { accept: 'image/png' } });
    await call(400, 'GET', `${path}?cursor=x`);
  }
});

test('sparse and expanded reads', async () => {
  for (const { path, operation, method, parameters } of operations) {
    const names = (name) => parameters.find((parameter) => parameter.name === name)?.schema.items.enum;
    if (method !== 'GET' || !names('order_by') || /{|\/export$/.test(path)) continue;
    await get(`${path}?fields=${names('fields').slice(-3).join(',')}`);
    const size = parameters.some(({ name }) => name === 'page_size') ? '&page_size=1000' : ''; // an export has no pages
    await get(`${path}?order_by=${names('order_by').slice(-1)}${size}`);
    if (names('expand')) await get(`${path}?expand=${names('expand').join(',')}`);
    assert.ok(operation.operationId);
  }
});

test('what every resource can do', async () => {
  const under = await account();
  for (const kind of Object.values(ALL_KINDS)) {
    const path = kind.path(under);
    const made = await send(201, 'POST', path, await kind.make(under, api), key());
    const one = `${path}/${made.id}`;
    const changed = await send(200, 'PATCH', one, kind.change, { 'if-match': made.etag, ...key() });
    const { etag: now } = await get(one); // a new account's first score may have come in between
    await call(304, 'GET', one, { headers: { 'if-none-match': now } });
    await send(412, 'PATCH', one, kind.change, { 'if-match': '"0000000000000000-00000000"' });
    await send(428, 'PATCH', one, kind.change);
    for (const [fields, status] of kind.wrong) await send(status, 'POST', path, { ...await kind.make(under, api), ...fields });
    await send(200, 'POST', `${path}/bulk`, { records: [await kind.make(under, api), { id: made.id, ...kind.change }, { nonsense: 1 }] }, key());
    await call(204, 'DELETE', one, { headers: { 'if-match': changed.etag } });
    await call(404, 'GET', one);
    await send(200, 'POST', `${one}/restore`, undefined, key());
    await get(`${one}/history`);
  }
});

// As little of each nested document as is allowed: what else it may have is not in the answer.
const LEAST = {
  accounts: () => ({ address: {}, contact_preference: {}, customer_plans: [{ kind: 'expansion', text: 'A plant in Spain' }] }),
  contacts: () => ({ contact_preference: {} }),
  plans: () => ({ objectives: [{ title: 'More', actions: [{ title: 'Call' }] }, { title: 'Less' }], win_win: [{}], opportunities: [{ kind: 'expand' }] }),
  reviews: ({ user_id }) => ({ participants: [{ user_id }], expectations: [{ expectation: 'creative', internal: 4 }, { expectation: 'accessible', customer: 3 }] }),
  interactions: () => ({ questions: [{ q: 'Who decides?' }] }),
  orders: () => ({ lines: [{ line_no: 1, amount: '5' }] }),
  solutions: () => ({ components: [{ name: 'Store' }], vendors: [{ name: 'Builder', lead: true }, { name: 'Roofer' }], value: { kind: 'cost_saving' } }),
  projects: () => ({ milestones: [{ title: 'Roof' }], risk: { level: 'low' } }),
  team: () => ({ grants: [{ areas: ['sales'] }] }),
};

test('what every resource can leave out', async () => {
  const under = await account();
  const { id: user_id } = await api.create('/v1/users', { name: unique('Person') });
  for (const [name, least] of Object.entries(LEAST)) {
    const kind = ALL_KINDS[name];
    await send(201, 'POST', kind.path(under), { ...await kind.make(under, api), ...least({ user_id }) });
  }
});

test('plans, the program, key status, sync, webhooks, keys', async () => {
  const { id, etag } = await account();
  const plan = await send(201, 'POST', '/v1/plans', { account_id: id, title: 'Plan', period_start: '2026-01-01', period_end: '2026-12-31' });
  await get(`/v1/plans/${plan.id}/sections`);
  const capabilities = `/v1/plans/${plan.id}/sections/capabilities`;
  const section = await send(200, 'PUT', capabilities, { state: 'in_progress', content: { mills: 2, cold: { chain: true } } }, { 'if-match': (await get(capabilities)).etag });
  const late = [{ function: 'sales', due_on: '2020-01-01' }, { user_id: (await api.create('/v1/users', { name: unique('Person') })).id }];
  const asked = await send(200, 'PATCH', capabilities, { contributors: [...late, { user_id: late[1].user_id, due_on: '2020-01-01' }] }, { 'if-match': section.etag });
  await send(200, 'PATCH', capabilities, { state: 'complete' }, { 'if-match': asked.etag });
  await get(`/v1/plans/${plan.id}/sections/interaction_history?page_size=5`);
  await get(`/v1/accounts/${id}?expand=plan,contacts,manager,sponsor,parent`);
  await send(200, 'PATCH', `/v1/accounts/${id}`, { industry: 'retail' }, { 'if-match': etag });

  const program = await get('/v1/program');
  await send(200, 'PATCH', '/v1/program', { max_key_accounts: 3 }, { 'if-match': program.etag });
  const { version } = await send(201, 'POST', '/v1/program/criteria', { metrics: [{ metric: 'revenue_ttm', weight: '1', floor: '0', ceiling: '100000' }] }, key());
  await send(403, 'POST', '/v1/program/criteria', { metrics: [], region: 'north' });
  await send(200, 'POST', `/v1/program/criteria/${version}/activate`, {}, key());
  await get('/v1/program/criteria');
  const evaluation = await send(202, 'POST', '/v1/program/evaluations', { as_of: '2026-11-01' }, key());
  await until(async () => ['succeeded', 'failed'].includes((await get(`/v1/operations/${evaluation.id}`)).status), { ms: 30_000, what: 'the evaluation' });
  await get(`/v1/program/evaluations/${evaluation.id}/results?page_size=20`);
  const [other] = (await api.get('/v1/accounts?key_status=none,candidate&order_by=-score&page_size=1')).data;
  const refused = await send(409, 'POST', `/v1/accounts/${other.id}/designate`, {});
  assert.equal(refused.code, 'key_account_cap_reached');
  await send(200, 'PATCH', '/v1/program', { max_key_accounts: 20 }, { 'if-match': (await get('/v1/program')).etag });
  await send(201, 'POST', `/v1/accounts/${other.id}/designate`, { reason: 'Grows', benefits: ['Emergencies first'], told_customer_at: '2026-11-20T10:00:00Z' }, key());
  await get(`/v1/accounts/${other.id}/key-status?as_of=2026-10-01`);
  await get(`/v1/accounts/${other.id}/key-status/history?page_size=5`);
  await get(`/v1/accounts/${id}/sales?first_month=2017-01&last_month=2026-12`);
  await get(`/v1/accounts/${id}/sales`);
  await api.create(`/v1/accounts/${id}/investments`, { kind: 'ours', description: 'Cold store', amount: '5000', currency_code: 'USD', invested_on: '2026-10-05', payback_on: '2026-10-31' });
  await api.create(`/v1/accounts/${id}/links`, { name: 'Ally', kind: 'allied_of_customer', linked_account_id: other.id });
  await api.create('/v1/plans', { account_id: id, title: 'Growth', period_start: '2026-01-01', period_end: '2026-12-31', opportunities: [{ kind: 'upsell', product: 'Chai', value: '5000', currency_code: 'USD', stage: 'talking' }, { kind: 'expand' }] });
  for (const path of ['opportunities', 'opportunities?plan_status=draft', 'economics', 'economics?as_of=2026-11-01', 'whitespace', 'whitespace?format=csv', 'links?expand=linked_account']) await get(`/v1/accounts/${id}/${path}`);
  await get(`/v1/program/criteria/${version}`);
  const settings = await get('/v1/program/settings');
  await send(200, 'PATCH', '/v1/program/settings', { overdue_sponsor_days: 9, attention_channel_weights: { web: '0.2' } }, { 'if-match': settings.etag });
  await send(201, 'PUT', '/v1/program/rates/EUR', { rate: '1.085' }, key());
  await send(200, 'PUT', '/v1/program/rates/EUR', { rate: '1.09' }, key());
  await get('/v1/program/rates');
  await call(204, 'DELETE', '/v1/program/rates/EUR');
  await call(404, 'DELETE', '/v1/program/rates/EUR');
  await call(404, 'GET', `/v1/accounts/${id}/fit-check`);
  const answer = { possible: true, evidence: 'They asked for it.', est_value: '100' };
  const fit = await send(201, 'PUT', `/v1/accounts/${id}/fit-check`, { sales_cycle: 'mixed', upsell: answer, cross_sell: answer, expand: { possible: false, evidence: 'One site.' } }, key());
  await send(200, 'PUT', `/v1/accounts/${id}/fit-check`, { sales_cycle: 'relational', upsell: answer, cross_sell: answer, expand: answer }, { 'if-match': fit.etag, ...key() });
  await get(`/v1/accounts/${id}/fit-check`);
  await send(200, 'PUT', `/v1/accounts/${id}/metrics`, { metrics: [{ metric: 'strategic_importance', period: '2026-Q3', value: '7', source: 'Workshop' }] }, key());
  await get(`/v1/accounts/${id}/metrics`);
  await get(`/v1/accounts/${id}/health`);
  const rising = await api.create('/v1/accounts', { name: 'Rising' });
  const twice = await send(201, 'POST', '/v1/accounts', { name: 'Recorded twice', industry: 'steel' }, key());
  await send(200, 'POST', `/v1/accounts/${other.id}/merge`, { source_id: twice.id, take: ['industry'] }, key());
  const person = await api.create('/v1/contacts', { account_id: other.id, given_name: 'Ulla', family_name: 'Vergessen', email: 'ulla@example.com' });
  await send(200, 'POST', `/v1/contacts/${person.id}/move`, { account_id: rising.id }, key());
  await send(422, 'POST', `/v1/contacts/${person.id}/move`, { account_id: rising.id });
  await get(`/v1/contacts/${person.id}/personal-data?page_size=2`);
  const forget = (body, headers = key(), status = 202) => send(status, 'POST', `/v1/contacts/${person.id}/erase`, body, headers);
  await forget({ reason: 'Asked for it' }, { 'if-match': '"1-old"' }, 412);
  const erasure = await forget({ reason: 'Asked for it', replace_in: [] });
  await until(async () => ['succeeded', 'failed'].includes((await get(`/v1/operations/${erasure.id}`)).status), { ms: 30_000, what: 'the erasure' });
  assert.equal((await forget({ reason: 'Again' }, key(), 409)).code, 'contact_erased');
  const swapped = await send(201, 'POST', '/v1/program/swaps', { in_account_id: rising.id, out_account_id: other.id, reason: 'Grows more' }, key());
  assert.deepEqual([swapped.in.key_status, swapped.out.tier === 'A'], ['key', false]);
  await send(200, 'POST', `/v1/accounts/${rising.id}/de-designate`, { reason: 'Only a try.' }, key());
  await send(200, 'POST', '/v1/program/simulations', undefined);
  await send(200, 'POST', '/v1/program/simulations', { criteria: [{ metric: 'growth', weight: '1', floor: '-1', ceiling: '1' }], max_key_accounts: 1, enter_score: '40', recover_score: '30', exit_score: '20', as_of: '2026-06-01' });
  await send(200, 'POST', '/v1/program/simulations', { start: 'empty', max_key_accounts: 3, enter_score: '20', recover_score: '10', exit_score: '5' });
  const nominations = '/v1/program/nominations';
  const south = await send(201, 'POST', nominations, { account_id: (await api.create('/v1/accounts', { name: 'A plant in Lisbon' })).id, region: 'South', reason: 'Grows.' }, key());
  await get(`${nominations}?status=open&expand=account`);
  await get(`${nominations}/${south.id}`);
  await send(200, 'POST', `${nominations}/${south.id}/decline`, { reason: 'Not yet.' }, key());
  await get(`${nominations}/${south.id}/history`);
  const again = await send(201, 'POST', nominations, { account_id: south.account_id, region: 'South', reason: 'Grows more.' });
  await send(200, 'POST', `${nominations}/${again.id}/withdraw`, {}, key());
  const [{ phones: [phone] }] = (await api.get('/v1/accounts?account_number=SAVEA')).data;
  const [{ id: someone }, { id: another }] = (await api.get('/v1/users?page_size=2')).data;
  const called = await api.create('/v1/accounts', { name: 'Called', domain: 'recognised.example', manager_id: someone, sponsor_id: another, delegate_id: another, delegate_until: '2099-01-01T00:00:00Z' });
  await api.create('/v1/contacts', { account_id: called.id, family_name: 'Caller', phone: '+4930777001' });
  await api.create(`/v1/accounts/${called.id}/problems`, { category: 'other', severity: 'revenue_loss', title: 'It stands still', opened_at: '2026-11-20T10:00:00Z' });
  await send(201, 'POST', `/v1/accounts/${called.id}/designate`, {});
  await until(async () => (await api.get('/v1/recognition?phone=%2B4930777001')).contact, { ms: 15_000, what: 'recognition' });
  for (const query of [`phone=${encodeURIComponent(phone)}`, 'email=nobody@example.com', 'account_number=SAVEA', 'domain=example.com', 'salesforce_id=001M00000062mPg', 'phone=%2B4930777001', 'email=somebody@recognised.example']) await get(`/v1/recognition?${query}`);

  const external = `/v1/sync/salesforce/accounts/001M00000062mPg`;
  await send(201, 'PUT', external, { name: 'From Salesforce' });
  await send(200, 'PUT', external, { name: 'From Salesforce', industry: 'steel' });
  await send(200, 'POST', '/v1/sync/salesforce/contacts', { records: [{ external_id: '003M000000AbCdE', account_external_id: '001M00000062mPg', family_name: 'Anders' }, { external_id: 'short' }, { external_id: '003M000000AbCdF', is_deleted: true }] }, key());
  await send(200, 'POST', '/v1/sync/salesforce/contacts', { defer_missing_parents: true, records: [{ external_id: '003M000000AbCdG', account_external_id: '001M00000062mPh', family_name: 'Later', system_modstamp: '2026-11-21T08:00:00Z' }] }, key());
  await send(200, 'POST', '/v1/sync/salesforce/contacts', { defer_missing_parents: true, records: [{ external_id: '003M000000AbCdH', account_external_id: '001M00000062mPh', family_name: 'Sometime' }] }, key());
  await get('/v1/sync/salesforce/deferred?page_size=1');
  await get('/v1/sync/salesforce/deferred');
  await send(200, 'PUT', '/v1/sync/salesforce/policy', { conflict_policy: 'kamd_wins', fields: [{ resource: 'accounts', field: 'phones', rule: 'source_owns' }] }, key());
  const clash = await get(`/v1/accounts/${(await get('/v1/accounts?q=From%20Salesforce')).data[0].id}`);
  await send(200, 'PATCH', `/v1/accounts/${clash.id}`, { industry: 'retail' }, { 'if-match': clash.etag });
  await send(200, 'PUT', external, { industry: 'wholesale' });
  const { data: [conflict] } = await get('/v1/sync/salesforce/conflicts?status=open');
  await send(200, 'POST', `/v1/sync/salesforce/conflicts/${conflict.id}/resolve`, { take: 'source' }, key());
  await send(409, 'POST', `/v1/sync/salesforce/conflicts/${conflict.id}/resolve`, { take: 'kamd' });
  await get('/v1/sync/salesforce/policy');
  await send(201, 'PUT', '/v1/sync/erp/accounts/gone', { name: 'Gone', system_modstamp: '2026-11-21T08:00:00Z' });
  await call(204, 'DELETE', '/v1/sync/erp/accounts/gone');
  await call(404, 'DELETE', '/v1/sync/erp/accounts/never');
  const file = await send(201, 'POST', '/v1/imports', { resource: 'accounts', columns: { Firm: 'name' }, source: 'A list' }, key());
  await call(200, 'PUT', `/v1/imports/${file.id}/parts/1`, { raw: 'external_id,Firm\r\ncontract-1,Imported\r\ncontract-2,\r\n', type: 'text/csv' });
  await call(415, 'PUT', `/v1/imports/${file.id}/parts/1`, { raw: '{}' });
  const running = await send(202, 'POST', `/v1/imports/${file.id}/start`, undefined, key());
  await until(async () => (await get(`/v1/operations/${running.id}`)).status === 'succeeded', { ms: 30_000, what: 'the import' });
  await get('/v1/imports');
  await get(`/v1/imports/${file.id}`);
  await get(`/v1/imports/${file.id}/errors`);
  await get(`/v1/imports/${file.id}/errors?format=csv`);
  await send(202, 'POST', `/v1/imports/${file.id}/revert`, {}, key());
  for (let after = 'snapshot', more = true; more;) {
    const page = await get(`/v1/changes?page_size=200&after=${after}`);
    [after, more] = [page.next_cursor, page.has_more];
  }
  await get('/v1/changes?page_size=200&exclude_origin=crm');
  await get('/v1/changes?after=now&wait=1');
  await get('/v1/events?page_size=200&types=account.created,account.key_status.designated,follow_up.updated');
  await get('/v1/events/stream?after=0&max_seconds=1');
  const types = await get('/v1/event-types');
  assert.deepEqual(types.data.map(({ name }) => name).sort(), [...doc.components.schemas.EventType.enum].sort(), 'every event type is in openapi.yaml');

  const hook = await send(201, 'POST', '/v1/webhook-endpoints', { url: 'http://127.0.0.1:9/', event_types: ['account.*'] }, key());
  const endpoint = `/v1/webhook-endpoints/${hook.id}`;
  const disabled = await send(200, 'PATCH', endpoint, { state: 'disabled' }, { 'if-match': hook.etag });
  await send(200, 'POST', `${endpoint}/enable`, {});
  await send(200, 'POST', `${endpoint}/rotate-secret`, { grace_seconds: 60 }, key());
  await send(202, 'POST', `${endpoint}/test`, undefined, key());
  await send(200, 'POST', '/v1/webhook-keys/rotate', { grace_seconds: 60 }, key());
  await get('/.well-known/webhook-keys');
  await get('/v1/webhook-endpoints');
  await get(endpoint);
  await get(`${endpoint}/history`);
  assert.ok(disabled.etag);
  const delivery = await until(async () => (await get(`/v1/webhook-deliveries?endpoint_id=${hook.id}`)).data.find(({ attempt_count: n }) => n > 0), { what: 'an attempt' });
  await get(`/v1/webhook-deliveries/${delivery.id}`);
  await get(`/v1/webhook-deliveries/${delivery.id}/attempts`);
  const retry = `/v1/webhook-deliveries/${delivery.id}/retry`;
  const between = await until(async () => { // while an attempt is under way, it is refused
    const answer = await api.send('POST', retry, { body: {}, headers: key() });
    return answer.status !== 409 && answer;
  }, { ms: 30_000, what: 'the end of an attempt' });
  assert.equal(between.status, 202, between.text);
  compare({ ...operationOf('POST', retry), what: retry }, between);
  const replay = await send(202, 'POST', `${endpoint}/replay`, { since: '2026-01-01T00:00:00Z', only_failed: true }, key());
  await until(async () => (await get(`/v1/operations/${replay.id}`)).status === 'succeeded', { ms: 30_000, what: 'the replay' });
  await send(422, 'POST', `${endpoint}/replay`, {});
  await get(`${endpoint}/stats?hours=168`);
  await call(204, 'DELETE', endpoint, { headers: { 'if-match': (await get(endpoint)).etag } });
  await send(200, 'POST', `${endpoint}/restore`, {});

  const first = await send(201, 'POST', '/v1/api-keys', { name: 'Salesforce', role: 'integration', scopes: ['sync'], expires_at: '2099-01-01T00:00:00Z' });
  const made = await send(200, 'POST', `/v1/api-keys/${first.id}/rotate`, { overlap_seconds: 60 });
  await get(`/v1/api-keys/${made.id}`);
  const form = (fields) => ({ raw: new URLSearchParams({ grant_type: 'client_credentials', client_id: made.id, ...fields }).toString(), type: 'application/x-www-form-urlencoded' });
  const stranger = new Client(api.url);
  const { access_token: token } = await call(200, 'POST', '/oauth/token', form({ client_secret: made.key }), stranger);
  compare({ ...operationOf('GET', '/v1/me'), what: 'an access token' }, await new Client(api.url, token).send('GET', '/v1/me'));
  const wide = await send(201, 'POST', '/v1/api-keys', { name: 'All that its role may', role: 'integration' });
  await call(200, 'POST', '/oauth/token', form({ client_id: wide.id, client_secret: wide.key }), stranger);
  for (const fields of [{ client_secret: 'wrong' }, { client_secret: made.key, scope: 'everything' }, {}]) {
    compare({ ...operationOf('POST', '/oauth/token'), what: 'a refused client' }, await stranger.send('POST', '/oauth/token', form(fields)));
  }
  await call(415, 'POST', '/oauth/token', { body: {} }, stranger);
  stranger.close();
  for (const status of [201, 200]) await send(status, 'PUT', '/v1/user-subjects/auth0%7C7', { name: 'Margaret Peacock' }, key());
  const [leaver, heir] = [await api.create('/v1/users', { name: 'Leaver' }), await api.create('/v1/users', { name: 'Heir' })];
  await api.create('/v1/follow-ups', { account_id: id, title: 'Call', due_at: '2099-01-01T00:00:00Z', assignee_id: leaver.id });
  for (const user of [leaver, heir]) await send(user === leaver ? 201 : 409, 'POST', `/v1/accounts/${id}/team`, { user_id: user.id, role: 'account_manager' }, key());
  await send(409, 'PATCH', `/v1/users/${leaver.id}`, { active: false }, { 'if-match': '*' });
  for (const [status, to] of [[422, leaver], [200, heir]]) await send(status, 'POST', `/v1/users/${leaver.id}/deactivate`, { transfer_to_id: to.id }, key());
  await get('/v1/audit?action=created&resource=api_key');
  await get('/v1/audit?action=read');
  await until(async () => (await get('/v1/audit/anchors')).data.length > 0, { ms: 90_000, what: 'an anchor' });
  await get(`/v1/audit/verify?account_id=${id}`);
  await send(202, 'GET', '/v1/audit/verify');
  await get('/.well-known/audit-keys');
  await get('/v1/api-keys');
  await get('/v1/me');
  const integration = new Client(api.url, made.key);
  const contact = (await api.get('/v1/contacts?page_size=1')).data[0];
  await call(200, 'DELETE', `/v1/contacts/${contact.id}`, {}, integration);
  integration.close();
  await call(204, 'DELETE', `/v1/api-keys/${made.id}`);
  for (const path of ['/livez', '/readyz', '/problems/not_found', '/docs', '/docs/page.js', '/openapi-salesforce.json']) await get(path);
  assert.deepEqual((await get('/openapi.json')).paths, doc.paths, 'the program serves this openapi.yaml');
  for (const path of ['/openapi.json', '/openapi-salesforce.json', '/docs', '/docs/page.js']) {
    const { headers: { etag } } = await api.send('GET', path);
    await call(304, 'GET', path, { headers: { 'if-none-match': etag } });
  }
});

test('a plan and its reviews', async () => {
  const { account: its, plan } = await readyPlan(api, { world });
  const path = `/v1/plans/${plan.id}`;
  const draft = await makePlan(api, its);
  await send(409, 'POST', `/v1/plans/${draft.id}/activate`, {});
  await send(200, 'POST', `${path}/activate`, { customer_impact: 'positive', note: 'Agreed' }, key());
  await send(200, 'POST', `/v1/plans/${draft.id}/close`, {}, key());
  await get(`${path}?view=shared`);
  const user = await api.create('/v1/users', { name: unique('Member') });
  await api.create(`/v1/accounts/${its.id}/team`, { user_id: user.id, role: 'controlling' });
  await send(201, 'POST', `${path}/acknowledgements`, { user_id: user.id }, key());
  await send(200, 'POST', `${path}/acknowledgements`, { user_id: user.id }, key());
  const review = await api.create('/v1/reviews', { account_id: its.id, plan_id: plan.id, cadence: 'quarterly', due_on: '2099-01-31', time_zone: 'Europe/Berlin' });
  await send(422, 'POST', `/v1/reviews/${review.id}/complete`, { decisions: [{ text: 'No impact' }] });
  const held = await send(200, 'POST', `/v1/reviews/${review.id}/complete`, {
    outcome: 'adapt', decisions: [{ text: 'Own stock', customer_impact: 'positive' }], expectations: [{ expectation: 'accessible', customer: 3, internal: 4 }],
    follow_ups: [{ title: 'Rent a store', due_on: '2099-03-01' }], plan_changes: { title: 'Nearer', win_win: [] },
  }, key());
  await send(409, 'POST', `/v1/reviews/${review.id}/complete`, { outcome: 'keep' });
  await get(`/v1/reviews/${held.next_review_id}`);
  await get(`${path}/versions`);
  await get(`${path}/versions/2`);
  await get(`${path}/versions/2/diff`);
  await get(`${path}/acknowledgements`);
  await get(`${path}/sections/interaction_history`);
  await send(201, 'POST', `/v1/accounts/${its.id}/expectations`, { rater: 'customer', ratings: [{ expectation: 'creative', rating: 2 }] }, key());
  await get(`/v1/accounts/${its.id}/expectations`);
  const { sections } = await get('/v1/plan-templates/1');
  await get('/v1/plan-templates');
  const [{ section, title }, ...others] = sections; // a field and a column with nothing but a name and a kind
  const fields = [{ name: 'why', kind: 'text' }, { name: 'rivals', kind: 'table', columns: [{ name: 'rival', kind: 'text' }] }];
  const { version } = await send(201, 'POST', '/v1/plan-templates', { note: 'Another', sections: [{ section, title, fields }, ...others] }, key());
  await send(200, 'POST', `/v1/plan-templates/${version}/activate`, {}, key());
});

test('reports, in every form', async () => {
  const { id } = await account();
  const whole = ['pareto', 'pareto?metric=revenue&period=all', 'capacity', 'attention-gap', 'cadence?key_only=false', `cadence?account_id=${id}`, 'compliance', 'candidates',
    'late-access', 'rollup', 'rollup?group_by=manager', 'rollup?group_by=parent'];
  for (const report of whole) {
    const { data } = await get(`/v1/program/${report}`);
    assert.ok(Array.isArray(data), report);
    await get(`/v1/program/${report}${report.includes('?') ? '&' : '?'}format=csv`);
  }
  await get('/v1/program/pareto?metric=revenue&format=svg');
  await get('/v1/program/rollup?page_size=2');
});

test('who sees what', async () => {
  const { id } = await account();
  await get('/v1/roles');
  await send(201, 'PUT', '/v1/roles/press', { areas: ['contacts'] }, key());
  await send(200, 'PUT', '/v1/roles/press', { areas: ['contacts', 'interactions'] }, key());
  const { id: user_id } = await send(201, 'POST', '/v1/users', { name: 'Robert King' });
  await send(201, 'POST', `/v1/accounts/${id}/team`, { user_id, role: 'press', grants: [{ areas: ['sales'], visible_from: '2026-01-01T00:00:00Z', needed_by: '2025-12-01', reason: 'A report' }] });
  await get(`/v1/access/explain?account_id=${id}&user_id=${user_id}`);
  await get('/v1/program/late-access');
  const { key: text } = (await api.call(201, 'POST', '/v1/api-keys', { body: { name: unique('press'), role: 'member', user_id } })).body;
  const member = api.as(text);
  const seen_ = await call(200, 'GET', `/v1/accounts/${id}?expand=contacts`, {}, member);
  assert.ok(seen_.redacted.includes('economics') && !('score' in seen_));
  for (const path of [`/v1/accounts/${id}/wallet`, `/v1/accounts/${id}/key-status`, `/v1/accounts/${id}/key-status/history`, '/v1/events', '/v1/changes', '/v1/program/candidates', '/v1/accounts']) await call(200, 'GET', path, {}, member);
  await call(403, 'GET', `/v1/accounts/${id}/economics`, {}, member);
  const { id: other } = await api.create('/v1/users', { name: unique('press') });
  await send(201, 'POST', `/v1/accounts/${id}/team`, { user_id: other, role: 'press', grants: [{ areas: ['interactions'], effect: 'remove' }] });
  const { account_id, id: superior } = (await api.get(`/v1/contacts?account_id=${id}`)).data[0];
  await api.create('/v1/contacts', { account_id, family_name: 'Below', reports_to_id: superior });
  await call(200, 'GET', '/v1/contacts?expand=account,reports_to', {}, await world.clientOf('member', { user_id: other }));
  await call(204, 'DELETE', '/v1/roles/press');
  await call(404, 'DELETE', '/v1/roles/press');
  await call(409, 'DELETE', '/v1/roles/other');
});

test('what is done with follow-ups, promises and the agenda', async () => {
  const { id } = await account();
  const { id: user } = await send(201, 'POST', '/v1/users', { name: 'Robert King' });
  const path = (one, word) => `/v1/follow-ups/${one.id}/${word}`;
  const one = await send(201, 'POST', '/v1/follow-ups', { account_id: id, title: 'Call', due_on: '2027-01-31', time_zone: 'Europe/Berlin', recurrence: 'FREQ=MONTHLY;BYMONTHDAY=-1' });
  await send(200, 'POST', path(one, 'assign'), { assignee_id: user }, key());
  await send(422, 'POST', path(one, 'snooze'), {});
  await send(412, 'POST', path(one, 'snooze'), { minutes: 5 }, { 'if-match': one.etag });
  await send(200, 'POST', path(one, 'snooze'), { minutes: 5 }, key());
  await send(201, 'POST', `/v1/accounts/${id}/commitments`, { text: 'A loan machine', made_by_id: user, due_on: '2020-01-01' });
  await get(`/v1/users/${user}/agenda?due_before=2099-01-01T00:00:00Z&page_size=1`);
  await send(200, 'POST', path(one, 'complete'), { note: 'Done' }, key());
  await send(409, 'POST', path(one, 'complete'), undefined);
  await send(200, 'POST', path((await get(`/v1/follow-ups?series_id=${one.id}&status=open`)).data[0], 'cancel'), { series: true }, key());
  await get(`/v1/accounts/${id}/commitments?expand=made_by&order_by=-due_on`);
  await get(`/v1/accounts/${id}/commitments/summary`);
  const { url } = await send(200, 'POST', `/v1/users/${user}/agenda-token`, {});
  const nobody = new Client(api.url);
  await call(200, 'GET', url, {}, nobody);
  await call(204, 'DELETE', `/v1/users/${user}/agenda-token`);
  await call(404, 'GET', url, {}, nobody);
  nobody.close();
});

test('every kind of error', async (t) => {
  const { id } = await account();
  const nobody = new Client(api.url);
  const auditor = await world.clientOf('auditor');
  await call(401, 'GET', '/v1/accounts', {}, nobody);
  await call(403, 'POST', '/v1/accounts', { body: { name: 'X' } }, auditor);
  await call(400, 'GET', '/v1/accounts?colour=red');
  await call(400, 'GET', '/v1/accounts/nonsense');
  await call(400, 'GET', '/v1/accounts?cursor=nonsense');
  await call(400, 'POST', '/v1/accounts', { raw: '{"name": "X", "name": "Y"}' });
  await call(404, 'GET', '/v1/accounts/01970000-0000-7000-8000-000000000000');
  const [plan] = (await api.get('/v1/plans?page_size=1')).data;
  for (const method of ['PUT', 'PATCH']) await call(405, method, `/v1/plans/${plan.id}/sections/interaction_history`, { body: {} });
  await call(406, 'GET', '/v1/accounts', { headers: { accept: 'text/csv' } });
  await call(409, 'POST', '/v1/accounts', { body: { name: 'X', account_number: 'SAVEA' } });
  await call(413, 'POST', '/v1/accounts', { body: { name: 'X'.repeat(1 << 20) } });
  await call(414, 'GET', `/v1/accounts?q=${'x'.repeat(9000)}`);
  await call(415, 'POST', '/v1/accounts', { raw: 'name=X', type: 'application/x-www-form-urlencoded' });
  await call(415, 'PATCH', `/v1/accounts/${id}`, { raw: 'name=X', type: 'text/plain' });
  await call(422, 'POST', '/v1/accounts', { body: { name: '' } });
  await call(431, 'GET', '/v1/accounts', { headers: { 'x-long': 'x'.repeat(9000) } });
  const narrow = await world.add({ KAMD_RATE_LIMIT: '1', KAMD_RATE_BURST: '1' }, 'serve', '--no-worker');
  t.after(() => narrow.stop());
  const limited = auditor.at(narrow.url);
  // Ten at once: one more is allowed each second, and a busy machine may not manage two in turn.
  const refused = await until(async () => (await Promise.all(Array.from({ length: 10 }, () => limited.send('GET', '/v1/me')))).find(({ status }) => status === 429), { what: 'a refusal' });
  checkProblem(refused, 'GET /v1/me');
  compare({ ...operationOf('GET', '/v1/me'), what: 'GET /v1/me' }, refused);
  limited.close();
  const twice = key();
  await send(201, 'POST', '/v1/users', { name: 'Once' }, twice);
  await send(201, 'POST', '/v1/users', { name: 'Once' }, twice);
  await send(422, 'POST', '/v1/users', { name: 'Twice' }, twice);
  const json = await nobody.send('GET', '/v1/accounts', { headers: { accept: 'application/json' } });
  assert.equal(json.headers['content-type'], 'application/json');
  compare({ ...operationOf('GET', '/v1/accounts'), what: 'an error as application/json' }, json);
  nobody.close();
  auditor.close();
});

test('an unknown parameter is refused everywhere, and a known one nowhere', async () => {
  const { id } = await account();
  const values = { id, account_id: id, system: 'crm', section: 'capabilities', version: '1', version_no: '1', code: 'not_found', file: 'page.js' };
  for (const { path, method, parameters } of operations.filter((one) => one.method === 'GET')) {
    const filled = path.replace(/\{(\w+)\}/g, (_, name) => values[name]);
    const answer = await call(400, 'GET', `${filled}?no_such_parameter=1`);
    assert.deepEqual(answer.errors.map(({ parameter }) => parameter), ['no_such_parameter'], `${method} ${path}`);
    for (const { name, schema } of parameters.filter((parameter) => parameter.in === 'query')) {
      const one = schema.items ?? schema;
      const value = one.enum?.[0] ?? { uuid: id, date: '2026-11-01', 'date-time': '2026-11-01T00:00:00Z', email: 'a@example.com', hostname: 'example.com' }[one.format]
        ?? { integer: '1', boolean: 'true' }[one.type] ?? { cursor: undefined, filter: "id ne null" }[name] ?? '1';
      const { body } = await api.send('GET', `${filled}?${name}=${encodeURIComponent(value)}${/stream$/.test(path) && name !== 'max_seconds' ? '&max_seconds=1' : ''}`);
      assert.ok(!body?.errors?.some(({ code }) => code === 'unknown_parameter'), `${path}: ${name} is not known`);
    }
  }
});

test('every operation was called with success', () => {
  const missed = operations.map(({ operation }) => operation.operationId).filter((id) => ![...seen].some((one) => one.startsWith(`${id} 2`)));
  assert.deepEqual(missed, []);
});

test('what is always sent is required', () => {
  assert.deepEqual(presence.neverSeen(operations), []);
  assert.deepEqual(presence.neverMissing(), []);
});
