// Files of records, out and in again: the same rows as lists, for the same people, in CSV and NDJSON, in flat memory (004-25, 004-27, 004-31).
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { after, before, test } from 'node:test';
import { KINDS } from './lib/lifecycle.mjs';
import { addUser } from './lib/planning.mjs';
import { sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { DEADLINES, makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api;
before(async () => {
  world = await openWorld({ settings: { KAMD_BODY_SECONDS: '120' } });
  ({ api } = world);
});
after(() => world?.close());

const ask = async (path, client = api, headers = {}) => {
  const answer = await client.insist('GET', path, { headers });
  assert.equal(answer.status, 200, `${path}: ${answer.text.slice(0, 300)}`);
  return answer;
};
const records = async (path, client) => (await ask(path, client)).text.split('\n').filter(Boolean).map((line) => JSON.parse(line));

// RFC 4180, by other code than kamd's.
function cells(text) {
  assert.ok(text.endsWith('\r\n'));
  const rows = [[]];
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n)/g)) {
    rows.at(-1).push(quoted === undefined ? plain : quoted.replaceAll('""', '"'));
    if (end !== ',') rows.push([]);
  }
  const [head, ...data] = rows.slice(0, -1);
  return data.map((row) => {
    assert.equal(row.length, head.length, row.join('|'));
    return Object.fromEntries(head.map((name, i) => [name, row[i]]));
  });
}
const bulk = async (path, rows) => (await api.insist('POST', path, { body: { records: rows } })).body.results.map(({ id, success, errors }) => (assert.ok(success, JSON.stringify(errors)), id));

test('the same records, fields and order as the list, with its filters; what it does not know is an error', async () => {
  const industry = unique('export');
  const ids = await bulk('/v1/accounts/bulk', ['b', 'a', 'c'].map((name) => ({ name, industry, emails: ['x@example.com', 'y@example.com'] })));
  const query = `industry=${industry}&order_by=-name&fields=name,emails,updated_at`;
  const { headers, text } = await ask(`/v1/accounts/export?${query}`);
  assert.equal(headers['content-type'], 'application/x-ndjson');
  assert.match(headers['content-disposition'], new RegExp(`^attachment; filename="accounts-${headers['x-request-id']}\\.ndjson"$`));
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.deepEqual(text.split('\n').filter(Boolean).map((line) => JSON.parse(line)), await api.all(`/v1/accounts?${query}`));
  const csv = await ask(`/v1/accounts/export?${query}`, api, { accept: 'application/x-ndjson;q=0.5, text/csv' });
  assert.equal(csv.headers['content-type'], 'text/csv; charset=utf-8');
  assert.deepEqual(cells(csv.text).map(({ name, emails, redacted }) => [name, emails, redacted]), ['c', 'b', 'a'].map((name) => [name, 'x@example.com;y@example.com', '']));
  assert.ok((await ask(`/v1/accounts/export?${query}&format=csv&bom=true`)).text.startsWith('\ufeffid,'));
  const sorted = [...ids].sort();
  assert.deepEqual((await records(`/v1/accounts/export?industry=${industry}&after=${sorted[0]}`)).map(({ id }) => id), sorted.slice(1));
  assert.equal((await api.call(200, 'HEAD', '/v1/accounts/export')).text, '');
  for (const wrong of ['page_size=5', 'cursor=x', 'expand=manager', 'include_total=true', 'format=xml', 'bom=yes', 'after=x', `after=${ids[0]}&order_by=name`, 'colour=red', 'fields=colour']) {
    await api.fails(400, 'invalid_request', 'GET', `/v1/accounts/export?${wrong}`);
  }
  await api.fails(406, 'not_acceptable', 'GET', '/v1/accounts/export', { headers: { accept: 'image/png, application/problem+json' } });
});

test('a formula is harmless, a number stays one, and everything else comes as it is', async () => {
  const industry = unique('formula');
  const names = ['=1+1', '+1', '-1+2', '@SUM(A1)', '＝1', "'=2", 'a "b", c', 'x;y', '-5'];
  await bulk('/v1/accounts/bulk', names.map((name) => ({ name, industry })));
  const rows = cells((await ask(`/v1/accounts/export?industry=${industry}&format=csv&fields=name`)).text).map(({ name }) => name);
  assert.deepEqual(rows.sort(), names.map((name) => (/^'?[=+\-@＝]/.test(name) && name !== '-5' ? `'${name}` : name)).sort());
});

test('more than a page, while others write: who is there all the time is there once', async () => {
  const account = await makeAccount(api);
  const ids = [];
  for (let i = 0; i < 3; i++) ids.push(...await bulk('/v1/contacts/bulk', Array.from({ length: 200 }, (_, k) => ({ account_id: account.id, family_name: `N${(i * 200 + k) % 7}` }))));
  let writing = true;
  const writer = (async () => { while (writing) await bulk('/v1/contacts/bulk', ids.slice(0, 50).map((id) => ({ id, title: unique('T') }))); })();
  for (const order of ['', '&order_by=family_name', '&order_by=-family_name']) {
    const got = (await records(`/v1/contacts/export?account_id=${account.id}${order}&fields=family_name`)).map(({ id }) => id);
    assert.deepEqual([got.length, new Set(got).size], [600, 600], order);
  }
  writing = false;
  await writer;
});

test('who sees less gets less, and what is shown of sensitive areas is written down', async () => {
  const user = await addUser(api);
  const [mine, other] = [await makeAccount(api, { manager_id: user.id }), await makeAccount(api)];
  const [seen, hidden] = await Promise.all([mine, other].map(async (under) => api.create(`/v1/accounts/${under.id}/investments`, await KINDS.investments.make(under, api))));
  const manager = await world.clientOf('account_manager', { user_id: user.id });
  assert.deepEqual((await records('/v1/accounts/export', manager)).map(({ id }) => id), [mine.id]);
  const auditor = await world.clientOf('auditor');
  const noted = () => [seen, hidden].map(({ id }) => Number(sql(world.settings, `select count(*) from audit where kind = 'read' and record_id = '${id}'`)));
  const was = noted();
  assert.ok((await records(`/v1/investments/export?account_id=${mine.id},${other.id}`, auditor)).length === 2);
  assert.deepEqual(noted(), was.map((n) => n + 1), 'who read it');
  const member = await world.clientOf('member', { user_id: (await addUser(api)).id });
  assert.deepEqual(await records('/v1/accounts/export', member), []);
  assert.equal((await ask('/v1/contacts/export?format=csv&fields=family_name', member)).text, 'id,family_name\r\n');
  await member.fails(403, 'forbidden', 'POST', '/v1/imports', { body: { resource: 'accounts' } });
  await world.api.as('kamd_live_nobody').call(401, 'GET', '/v1/accounts/export');
});

// A client that reads when it likes.
const slow = (path, client) => new Promise((done, fail) => {
  const req = request({ host: api.url.hostname, port: api.url.port, path, headers: { authorization: `Bearer ${client.key}` }, agent: false }, (answer) => {
    answer.pause();
    done({ answer, status: answer.statusCode, headers: answer.headers, end: () => new Promise((over) => { let n = 0; answer.on('data', (chunk) => { n += chunk.length; }); answer.on('error', () => over('cut')).on('end', () => over(n)); answer.resume(); }), away: () => req.destroy() });
  });
  req.on('error', fail).end();
});

test('slow readers hold neither thread nor connection; a fifth is told to wait; who goes away leaves nothing; who is revoked gets no more', async () => {
  const industry = unique('large'); // more than what the sockets between us hold
  sql(world.settings, `insert into account (id, name, industry, business_model, revenue_model, our_contribution) select gen_random_uuid(), 'Large', '${industry}', t, t, t from generate_series(1, 800), repeat('x', 9900) t`);
  const path = `/v1/accounts/export?industry=${industry}`;
  const { key, id: keyId } = (await api.call(201, 'POST', '/v1/api-keys', { body: { name: unique('k'), role: 'auditor' } })).body;
  const revoked = api.as(key);
  const readers = [await slow(path, revoked)];
  for (let i = 0; i < 3; i++) readers.push(await slow(path, api));
  assert.deepEqual(readers.map(({ status }) => status), [200, 200, 200, 200]);
  const fifth = await api.fails(503, 'overloaded', 'GET', '/v1/users/export');
  assert.ok(fifth.retry_after_seconds > 0);
  // What a process asks by itself may be between two statements at this moment; a reader's would stay.
  await until(() => sql(world.settings, "select count(*) from pg_stat_activity where state like 'idle in transaction%' and usename = 'kamd_app'") === '0', { what: 'no transaction that stays open' });
  await api.get('/v1/accounts?page_size=1');
  await api.call(204, 'DELETE', `/v1/api-keys/${keyId}`);
  assert.equal(await readers[0].end(), 'cut', 'it does not look whole');
  for (const reader of readers.slice(1, 3)) reader.away();
  assert.ok(await readers[3].end() > 20_000_000);
  await until(async () => (await api.send('GET', '/v1/users/export')).status === 200, { ms: 20_000, what: 'a place' });
});

// The old ids as the new kamd knows them; what it keeps by itself is left out.
const KEPT = /^(version|created_at|updated_at|etag|tier|key_status|score|score_rank|key_since|health|last_interaction_at|designation|status_since|grace_until)$/;
const plain = (rows, known) => rows.map((row) => Object.fromEntries(Object.entries(row).filter(([name]) => !KEPT.test(name))
  .map(([name, value]) => [name, name === 'external_ids' ? Object.fromEntries(Object.entries(value).filter(([system]) => system !== 'old')) : name === 'id' || name.endsWith('_id') ? known(value) : value])))
  .sort((a, b) => (a.id < b.id ? -1 : 1));

test('what one kamd exports, an empty one imports: the same rows, in either format (004-31)', async () => {
  const old = await openWorld({ own: true, deadlines: DEADLINES }), there = old.api;
  try {
    const [boss, rep] = [await there.create('/v1/users', { name: '@boss', email: 'b@example.com', capacity: 3 }), await there.create('/v1/users', { name: 'Ünter; "quoted"' })];
    await there.create('/v1/custom-fields', { resource: 'account', name: 'size', kind: 'choice', label: 'Size', choices: ['small', 'large'] });
    await api.create('/v1/custom-fields', { resource: 'account', name: 'size', kind: 'choice', label: 'Size', choices: ['small', 'large'] }).catch(() => {});
    const parent = await there.create('/v1/accounts', { name: '=cmd|calc', account_number: unique('N'), level: 'global', manager_id: boss.id, phones: ['+4930123456', '+4930123457'], custom: { size: 'large' },
      business_model: 'two\r\nlines, "quoted"\n', cadence: [{ channel: 'phone', every: 'monthly' }], address: { city: 'Köln' }, division: { kind: 'geographic', name: 'North' }, customer_plans: [{ kind: 'expansion', text: '=plan' }] });
    const child = await there.create('/v1/accounts', { name: "'=twice", account_number: unique('N'), level: 'national', parent_id: parent.id, manager_id: rep.id, external_ids: { crm: unique('x') }, lifecycle: 'prospect' });
    const chief = await there.create('/v1/contacts', { account_id: parent.id, family_name: '-minus', email: 'm@example.com', influence: 7, active_from: '2024-02-29' });
    await there.create('/v1/contacts', { account_id: parent.id, family_name: 'Below', reports_to_id: chief.id, mirror_user_id: rep.id });
    await there.create(`/v1/accounts/${parent.id}/interactions`, { kind: 'visit', channel: 'in_person', occurred_at: '2026-03-01T10:00:00.123456Z', user_id: rep.id, notes: '\t=1', tags: ['price', 'speed'], questions: [{ q: 'Why?', a: '=b' }], order_taking: true });
    for (let i = 0; i < 30; i++) {
      await there.call(201, 'PUT', `/v1/sync/erp/orders/${unique('O')}`, { body: { account_id: [parent, child][i % 2].id, ordered_on: `2026-01-${String(1 + i % 28).padStart(2, '0')}`, currency_code: 'EUR',
        lines: Array.from({ length: 1 + i % 3 }, (_, k) => ({ line_no: k + 1, product: k ? '+plus' : 'Chai', quantity: '2.5', amount: `${i}.2500`, ...(k ? {} : { cost: '-1.5' }) })) } });
    }
    const load = async (resource, format, content) => {
      const { body } = await api.call(201, 'POST', '/v1/imports', { body: { resource, system: 'old', preset: 'export', format, content } });
      await api.call(202, 'POST', `/v1/imports/${body.id}/start`, { body: {} });
      const done = await until(async () => { const now = await api.get(`/v1/imports/${body.id}`); return /succeeded|failed/.test(now.status) && now; }, { ms: 40_000, what: resource });
      assert.equal(done.status, 'succeeded', `${resource}: ${done.failure}`);
      assert.equal(done.counts.failed, undefined, `${resource}: ${JSON.stringify(await api.all(`/v1/imports/${body.id}/errors`))}`);
      return done.counts;
    };
    const names = new Map();
    for (const resource of ['users', 'accounts', 'contacts', 'interactions', 'orders']) {
      const [csv, ndjson] = await Promise.all(['csv', 'ndjson'].map((format) => ask(`/v1/${resource}/export?format=${format}&bom=${format === 'csv'}`, there)));
      const before_ = ndjson.text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
      assert.deepEqual(await load(resource, 'csv', csv.text), { created: before_.length });
      assert.deepEqual(await load(resource, 'ndjson', ndjson.text), { unchanged: before_.length }, `${resource}: both formats say the same`);
      const now = (await records(`/v1/${resource}/export`)).filter(({ external_ids: ids }) => ids?.old);
      for (const { id, external_ids: ids } of now) names.set(id, resource === 'orders' ? before_.find(({ external_id: number }) => number === ids.old).id : ids.old);
      assert.deepEqual(plain(now, (id) => names.get(id) ?? id), plain(before_, (id) => id), resource);
    }
  } finally {
    await old.close();
  }
});
