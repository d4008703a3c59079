// A person has the right to know what is kept, and to be forgotten (P17, T25 of reliability.md): after an erasure nothing of it is left anywhere, and before it, the export had it all.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { createServer } from 'node:http';
import { after, before, test } from 'node:test';
import { events } from './lib/client.mjs';
import { readyPlan } from './lib/planning.mjs';
import { KAMD, environment, freePort, sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api, echo;
before(async () => {
  world = await openWorld();
  ({ api } = world);
  await api.patch('/v1/program', (await api.get('/v1/program')).etag, { max_key_accounts: 1000 });
  echo = await startEcho();
});
after(async () => {
  await world?.close();
  await echo?.stop();
});

// A receiver that repeats what it was sent, and takes it the second time.
async function startEcho() {
  const got = [];
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (text) => { body += text; }).on('end', () => {
      const first = !got.some(({ id }) => id === request.headers['webhook-id']);
      got.push({ id: request.headers['webhook-id'], event: JSON.parse(body) });
      response.writeHead(first ? 400 : 200).end(body);
    });
  });
  const port = await freePort();
  await new Promise((done) => { server.listen(port, '127.0.0.1', done); });
  return { got, url: `http://127.0.0.1:${port}/echo`, stop: () => new Promise((done) => { server.closeAllConnections(); server.close(done); }) };
}

const query = (statement) => sql(world.settings, statement);
const key = () => ({ 'idempotency-key': unique('erasure') });
const word = (mark) => `${mark}${randomBytes(7).toString('hex')}`;
// Eighteen characters with their checksum, and the fifteen before it.
function salesforceId() {
  const short = `003${randomBytes(6).toString('hex')}`.replace(/[a-f]/g, (c, i) => (i % 2 ? c.toUpperCase() : c));
  const sum = [0, 5, 10].map((at) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ012345'[[...short.slice(at, at + 5)].reduce((bits, c, i) => bits | (/[A-Z]/.test(c) << i), 0)]).join('');
  return [short, short + sum];
}
const person = () => ({
  given_name: word('Gn'), family_name: word('Fn'), title: word('Ti'), department: word('De'), email: `${word('em')}@customer.example`, phone: `+4930${randomInt(10_000_000, 99_999_999)}`,
  linkedin_url: `https://www.linkedin.com/in/${word('li')}`,
});
const verified = async (account) => {
  const { valid, broken } = await api.get(`/v1/audit/verify?account_id=${account.id}`);
  assert.deepEqual([valid, broken], [true, null]);
};
const ended = async (operation, status = 'succeeded') => {
  const now = await until(async () => {
    const one = await api.get(`/v1/operations/${operation.id}`);
    return ['succeeded', 'failed'].includes(one.status) && one;
  }, { ms: 60_000, what: 'the erasure' });
  assert.equal(now.status, status, now.failure);
  return now;
};
const erase = async (contact, more = {}, status = 'succeeded') =>
  ended((await api.call(202, 'POST', `/v1/contacts/${contact.id}/erase`, { body: { reason: 'Asked for it by letter', ...more }, headers: key() })).body, status);
const known = (contact, pageSize = 200, client = api) => client.all(`/v1/contacts/${contact.id}/personal-data`, pageSize);
const sync = async (system, records, more = {}) => (await api.call(200, 'POST', `/v1/sync/${system}/contacts`, { body: { records, ...more }, headers: key() })).body.results;
async function importFile(body) {
  const { id } = (await api.call(201, 'POST', '/v1/imports', { body })).body;
  await api.call(202, 'POST', `/v1/imports/${id}/start`, { body: {} });
  return until(async () => {
    const one = await api.get(`/v1/imports/${id}`);
    return ['succeeded', 'failed'].includes(one.status) && one;
  }, { ms: 60_000, what: 'the import' });
}
const spellings = (text) => [text, Buffer.from(text).toString('hex'), Buffer.from(text).toString('base64').replace(/=+$/, '')];
const dump = () => execFileSync('pg_dump', [world.settings.DATABASE_SUPERUSER_URL], { encoding: 'latin1', maxBuffer: 1 << 30 });
function redis() {
  const run = (input, ...args) => execFileSync('redis-cli', ['-u', world.settings.REDIS_URL, ...args], { input, encoding: 'latin1', maxBuffer: 1 << 28 });
  const names = run('', '--scan').split('\n').filter(Boolean);
  return `${names.join('\n')}\n${run(names.map((name) => `get "${name}"\nhgetall "${name}"\n`).join(''))}`;
}

test('T25: everything of a person in every place there is; told whole before, gone whole after', async () => {
  const [short, salesforce] = salesforceId();
  const crm = word('crm-');
  const one = person();
  const lost = { title: word('Lo'), email: `${word('lo')}@former.example` }; // former values, values of conflicts
  const waiting = word('Wt');
  const canaries = { ...one, crm, salesforce: short, 'former title': lost.title, 'former address': lost.email, 'what waits': waiting };
  const owner = await api.create('/v1/webhook-endpoints', { url: echo.url, event_types: ['contact.*', 'interaction.*'], payload: 'full' });
  const [target, source] = [await makeAccount(api, { external_ids: { crm: unique('A') } }), await makeAccount(api, { external_ids: { crm: unique('A') } })];
  await api.call(201, 'POST', `/v1/accounts/${target.id}/designate`, { body: { reason: 'Grows' } });

  // It comes by a file, in parts that end in the middle of its row; once more in one that fails; then from Salesforce, which says something else than we.
  const rows = (...list) => `${['external_id', 'account_external_id', ...Object.keys(one), 'decision_role'].join(',')}\n${list.map((row) => `${row.join(',')}\n`).join('')}`;
  const file = Buffer.from(rows([crm, source.external_ids.crm, ...Object.values({ ...one, ...lost }), 'champion']));
  const { id: first } = (await api.call(201, 'POST', '/v1/imports', { body: { resource: 'contacts', system: 'crm', format: 'csv' } })).body;
  const cut = file.indexOf(crm) + 6;
  for (const [n, raw] of [[1, file.subarray(0, cut)], [2, file.subarray(cut)]]) await api.call(200, 'PUT', `/v1/imports/${first}/parts/${n}`, { raw, type: 'text/csv' });
  await api.call(202, 'POST', `/v1/imports/${first}/start`, { body: {} });
  await until(async () => (await api.get(`/v1/imports/${first}`)).status === 'succeeded', { ms: 60_000, what: 'the import' });
  const failed = await importFile({ resource: 'contacts', system: 'crm', content: rows([crm, source.external_ids.crm, ...Object.values(one), one.family_name]) });
  assert.equal(failed.counts.failed, 1);
  let [contact] = await api.all(`/v1/accounts/${source.id}/contacts`);
  const { id } = contact;
  const boss = await api.create('/v1/contacts', { account_id: source.id, family_name: 'Boss' });
  const used = key();
  const edit = { body: { ...one, external_ids: { crm, salesforce: short }, reports_to_id: boss.id, influences: [{ contact_id: boss.id, strength: 10 }], contact_preference: { channels: ['email'] } }, headers: { ...used, 'if-match': contact.etag } };
  contact = (await api.call(200, 'PATCH', `/v1/contacts/${id}`, edit)).body;
  assert.equal(contact.external_ids.salesforce, salesforce);
  await api.call(200, 'PUT', '/v1/sync/salesforce/policy', { body: { conflict_policy: 'kamd_wins', fields: [] } });
  await sync('salesforce', [{ external_id: salesforce, ...one, ...lost }]);
  const [waits] = await sync('salesforce', [{ external_id: salesforce, ...one, department: waiting, reports_to_external_id: salesforceId()[1] }], { defer_missing_parents: true });
  assert.equal(waits.outcome, 'deferred');
  await api.call(200, 'POST', '/v1/contacts/bulk', { body: { records: [{ id, level: 'executive' }, { id: boss.id, department: 'Board' }] }, headers: key() });

  // What others wrote, by reference and by name.
  const talk = await api.create(`/v1/accounts/${source.id}/interactions`, { kind: 'call', channel: 'phone', occurred_at: '2026-10-01T10:00:00Z', contact_ids: [id], notes: `Spoke to Ms ${one.family_name}, call back at ${one.phone.replace('+49', '+49 ')}` });
  await api.patch(`/v1/accounts/${source.id}/interactions/${talk.id}`, talk.etag, { subject: `${one.email} wants a price` });
  const task = await api.create('/v1/follow-ups', { account_id: source.id, title: `Call ${one.given_name} ${one.family_name}`, contact_id: id, due_at: '2026-10-02T10:00:00Z' });
  const problem = await api.create(`/v1/accounts/${source.id}/problems`, { category: 'delay', title: 'Late', opened_at: '2026-10-02T10:00:00Z', contact_id: id });
  await until(async () => (await events(api, `account_id=${source.id}&types=follow_up.due`)).length > 0, { ms: 30_000, what: 'the follow-up falling due' });
  await api.call(200, 'POST', `/v1/accounts/${target.id}/merge`, { body: { source_id: source.id } });
  const elsewhere = await makeAccount(api, { our_contribution: `Their buyer was at ${one.email} before` });
  await until(async () => (await api.get(`/v1/recognition?email=${encodeURIComponent(one.email)}`)).is_key, { ms: 15_000, what: 'recognition' });
  await until(() => sql(world.settings, `select count(*) from webhook_attempt where response_excerpt like '%${one.family_name}%'`) > 0, { ms: 30_000, what: 'an answer that repeats it' });
  await api.get(`/v1/contacts/${id}`);
  await until(() => query(`select count(*) from event e left join event_position p on p.at = e.at and p.seq = e.seq cross join webhook_endpoint_state s
    where s.endpoint_id = '${owner.id}' and e.account_id in ('${source.id}', '${target.id}') and e.type ~ '^(contact|interaction)[.]'
      and not exists (select from webhook_delivery d where d.id = webhook_delivery_id(p.position, s.number))`) === '0', { ms: 30_000, what: 'all being sent' });
  // And taken: the second time, as startEcho() does. What is on its way during the erasure may be answered after it.
  await until(async () => (await api.all(`/v1/webhook-deliveries?endpoint_id=${owner.id}`)).every(({ state }) => state === 'delivered'), { ms: 60_000, what: 'all being taken' });

  // Told whole, whatever the pages.
  const told = await known({ id });
  const text = JSON.stringify(told);
  for (const [what, value] of Object.entries(canaries)) assert.ok(text.includes(value), `personal-data has the ${what}`);
  assert.deepEqual([...new Set(told.map(({ kind }) => kind))], ['contact', 'external_id', 'history', 'access', 'import', 'conflict', 'deferred', 'record', 'event'].filter((kind) => kind !== 'access'));
  const named = told.filter(({ kind }) => kind === 'record').map(({ data }) => [data.record.id, data.refers, data.says_in]);
  for (const [record, refers, fields] of [[talk.id, true, ['notes', 'subject']], [task.id, true, ['title']], [problem.id, true, []]])
    assert.deepEqual(named.find(([one_]) => one_ === record), [record, refers, fields]);
  assert.ok(told.some(({ kind, data }) => kind === 'import' && data.id === first));
  assert.ok(told.some(({ kind, data }) => kind === 'event' && data.sent_to.some(({ endpoint_id: endpoint }) => endpoint === owner.id)), 'to whom it was sent');
  const paged = await known({ id }, 3);
  assert.deepEqual(paged.filter(({ kind }) => kind !== 'access'), told);
  assert.ok(paged.some(({ kind }) => kind === 'access'), 'the export before is one of those who read it');
  const reads = (await api.get(`/v1/audit?record_id=${id}&action=read`)).data;
  assert.ok(reads.length > 2 && reads.every(({ resource, area }) => resource === 'personal_data' && area === 'contacts'));
  await verified(source);

  const { next_cursor: cursor } = await api.get('/v1/changes?after=now');
  const { result } = await erase({ id }, { reason: `The data of ${one.family_name} are to go`, replace_in: [talk.id, task.id, elsewhere.id] });
  assert.equal(result.contact_id, id);
  assert.deepEqual(result.review.map(({ resource, id: record, fields, replaced }) => [resource, record, fields, replaced]).sort(),
    [['account', elsewhere.id, ['our_contribution'], true], ['follow_up', task.id, ['title'], true], ['interaction', talk.id, ['notes', 'subject'], true]].sort());
  for (const [what, n] of Object.entries(result.erased)) assert.ok(n > 0, `${what} had something of it: ${n}`);

  // Gone whole.
  await until(() => world.kamds[0].log().split('\n').some((line) => line.includes('"event":"contact_erased"') && line.includes(id)), { ms: 15_000, what: 'the line in the log' });
  const places = { 'the database': dump(), 'Redis': redis(), 'the log': world.kamds[0].log() };
  assert.ok(places['the database'].includes(id) && places.Redis.length > 0 && places['the log'].length > 0);
  for (const [place, content] of Object.entries(places))
    for (const [what, value] of Object.entries(canaries))
      for (const spelling of spellings(value)) {
        const at = content.indexOf(spelling);
        assert.equal(at, -1, `${place} has the ${what}: ${content.slice(Math.max(0, at - 200), at + 100)}`);
      }
  await verified(source);
  await verified(target);
  await verified(elsewhere);

  // What referred to the person still does; what was said of it is told of as such.
  const kept = await api.get(`/v1/accounts/${target.id}/interactions/${talk.id}`);
  assert.deepEqual([kept.contact_ids, kept.notes, kept.subject], [[id], 'Spoke to Ms (erased), call back at (erased)', '(erased) wants a price']);
  assert.equal((await api.get(`/v1/follow-ups/${task.id}`)).contact_id, id);
  await api.fails(404, 'not_found', 'GET', `/v1/contacts/${id}`);
  const history = await api.all(`/v1/contacts/${id}/history`);
  assert.ok(history.some(({ op, changes }) => op === 'erased' && changes.reason[1] === 'The data of (erased) are to go'));
  const feed = await until(async () => {
    const { changes } = await api.get(`/v1/changes?after=${encodeURIComponent(cursor)}&page_size=200`);
    return changes.find((change) => change.id === id);
  }, { ms: 15_000, what: 'the change' });
  assert.deepEqual([feed.op, feed.snapshot, feed.external_ids], ['deleted', null, {}]);
  assert.equal((await events(api, `account_id=${target.id}&types=contact.erased`)).length, 1);
  await until(() => echo.got.some(({ event }) => event.type === 'contact.erased' && event.data.contact_id === id), { ms: 30_000, what: 'the webhook' });
  await until(async () => !(await api.get(`/v1/recognition?email=${encodeURIComponent(one.email)}`)).is_key, { ms: 10_000, what: 'recognition to forget' });
  await until(async () => !(await api.get(`/v1/recognition?phone=${encodeURIComponent(one.phone)}`)).is_key, { ms: 10_000, what: 'recognition to forget' });
  const replay = await api.call(200, 'PATCH', `/v1/contacts/${id}`, edit);
  assert.deepEqual([replay.headers['idempotency-replayed'], replay.body.id, replay.body.family_name, replay.body.email], ['true', id, '(erased)', null]);

  // And nothing brings it back.
  const { family_name } = one;
  await api.fails(409, 'contact_erased', 'POST', `/v1/contacts/${id}/restore`);
  await api.fails(409, 'contact_erased', 'PUT', `/v1/sync/salesforce/contacts/${short}`, { body: { account_id: target.id, family_name } });
  await api.fails(409, 'contact_erased', 'POST', '/v1/contacts', { body: { account_id: target.id, family_name, external_ids: { crm } } });
  await api.fails(409, 'contact_erased', 'PATCH', `/v1/contacts/${boss.id}`, { body: { external_ids: { crm } }, headers: { 'if-match': (await api.get(`/v1/contacts/${boss.id}`)).etag } });
  const results = await sync('salesforce', [{ external_id: salesforce, account_id: target.id, family_name }, { external_id: salesforceId()[1], account_id: target.id, family_name: 'Somebody' }], { defer_missing_parents: true });
  assert.deepEqual(results.map(({ success, outcome }) => [success, outcome]), [[false, 'error'], [true, 'created']]);
  assert.deepEqual((await sync('salesforce', [{ external_id: salesforce, is_deleted: true }])).map(({ outcome }) => outcome), ['unchanged']);
  const again = await importFile({ resource: 'contacts', system: 'crm', content: rows([crm, target.external_ids.crm, 'A', 'B', '', '', '', '', '', '']) });
  assert.deepEqual(again.counts, { failed: 1 });
  const refers = (await api.call(201, 'PUT', `/v1/sync/crm/problems/${unique('P')}`, { body: { account_id: target.id, category: 'delay', title: 'Again', opened_at: '2026-10-02T10:00:00Z', contact_external_id: crm } })).body;
  assert.equal((refers.record ?? refers).contact_id, id, 'what another system says of the person goes to the record without a name');
  assert.equal(query(`select count(*) from sync_state where external_id in ('${salesforce}', '${crm}')`), '0');
  await api.fails(409, 'contact_erased', 'POST', `/v1/contacts/${id}/erase`, { body: { reason: 'Again' }, headers: key() });
});

test('free text is not changed silently: it is named for somebody to look at', async () => {
  const one = person();
  const account = await makeAccount(api);
  const contact = await api.create('/v1/contacts', { account_id: account.id, ...one });
  const [mine, other] = [account, await makeAccount(api)];
  const note = (at, notes) => api.create(`/v1/accounts/${at.id}/interactions`, { kind: 'call', channel: 'phone', occurred_at: '2026-10-01T10:00:00Z', notes });
  const seen = [await note(mine, `met ${one.family_name.toUpperCase()}.`), await note(other, `mail to ${one.email}`)];
  const unseen = [await note(mine, `met ${one.family_name}son`), await note(other, `another ${one.family_name}`)];
  const { result } = await erase(contact);
  assert.deepEqual(result.review.map(({ id, fields, replaced }) => [id, fields, replaced]).sort(), seen.map(({ id }) => [id, ['notes'], false]).sort());
  for (const [at, record] of [[mine, seen[0]], [other, seen[1]], [mine, unseen[0]], [other, unseen[1]]]) assert.equal((await api.get(`/v1/accounts/${at.id}/interactions/${record.id}`)).notes, record.notes);
  await verified(account);
});

test('a family name of one letter, and nothing else to search for: no other record is named, and none is changed', async () => {
  const account = await makeAccount(api);
  const contact = await api.create('/v1/contacts', { account_id: account.id, family_name: '李' });
  const problem = await api.create(`/v1/accounts/${account.id}/problems`, { category: 'delay', title: 'Nobody is named here', opened_at: '2026-10-02T10:00:00Z' });
  assert.deepEqual((await known(contact)).filter(({ kind, data }) => kind === 'record' && data.says_in.length > 0), []);
  const told = () => query(`select jsonb_agg(e.data order by e.seq) from event e where e.record_id = any ('{${account.id},${problem.id}}')`);
  const before = told();
  const { result } = await erase(contact, { replace_in: [account.id, problem.id] });
  assert.deepEqual(result.review, []);
  assert.equal(told(), before);
  assert.equal((await api.get(`/v1/accounts/${account.id}/problems/${problem.id}`)).title, 'Nobody is named here');
  await verified(account);
});

test('wherever somebody wrote the name, it goes where that is asked for: plans and their versions, reasons, what is written of others', async () => {
  const one = person();
  const { account, plan } = await readyPlan(api, { world });
  const contact = await api.create('/v1/contacts', { account_id: account.id, ...one });
  const section = `/v1/plans/${plan.id}/sections/contacts_and_decisions`;
  await api.patch(section, (await api.get(section)).etag, { content: { notes: `${one.given_name} ${one.family_name} decides` } });
  await api.call(200, 'POST', `/v1/plans/${plan.id}/activate`, { body: { note: `As ${one.family_name} asked for` } });
  await api.call(201, 'POST', `/v1/accounts/${account.id}/designate`, { body: { reason: `${one.family_name} promised growth` } });
  const made = { body: { account_id: account.id, family_name: one.family_name, phone: one.phone, department: `With ${one.given_name} ${one.family_name}` }, headers: key() };
  const kin = (await api.call(201, 'POST', '/v1/contacts', made)).body;
  await api.patch(`/v1/contacts/${kin.id}`, kin.etag, { title: `Assistant to ${one.given_name} ${one.family_name}` });
  const places = (await known(contact)).filter(({ kind, data }) => kind === 'record' && data.says_in.length > 0).map(({ data }) => data);
  assert.deepEqual([...new Set(places.map(({ resource }) => resource))].sort(), ['contact', 'key_status', 'plan_section', 'plan_version', 'standing']);
  const { result } = await erase(contact, { replace_in: places.map(({ id }) => id) });
  assert.deepEqual([result.review.length, result.review.every(({ replaced }) => replaced)], [places.length, true]);
  const { family_name, phone, title } = await api.get(`/v1/contacts/${kin.id}`);
  assert.deepEqual([family_name, phone, title], [one.family_name, one.phone, 'Assistant to (erased)'], 'another person keeps the name of the family, and the number of the office');
  const replay = (await api.call(201, 'POST', '/v1/contacts', made)).body;
  assert.deepEqual([replay.family_name, replay.phone, replay.department], [one.family_name, one.phone, 'With (erased)']);
  assert.equal((await api.get(section)).content.notes, '(erased) decides');
  assert.ok(!JSON.stringify(await api.get(`/v1/plans/${plan.id}/versions/1`)).includes(one.family_name));
  const text = dump();
  for (const [what, value] of Object.entries(one)) if (!['family_name', 'phone'].includes(what)) assert.ok(!text.includes(value), what);
  for (const said of [' decides', ' asked for', ' promised growth']) assert.ok(text.includes(`(erased)${said}`) && !text.includes(one.family_name + said), said);
  await verified(account);
});

test('who may: admins and directors erase, auditors also read; a deleted person, too; an etag is asked for what it says', async () => {
  const account = await makeAccount(api, { manager_id: (await api.create('/v1/users', { name: 'Manager' })).id });
  const contact = await api.create('/v1/contacts', { account_id: account.id, ...person() });
  const path = `/v1/contacts/${contact.id}`, body = { reason: 'Asked' };
  const [director, auditor, manager, integration] = await Promise.all([world.clientOf('director'), world.clientOf('auditor'), world.clientOf('account_manager', { user_id: account.manager_id }), world.clientOf('integration')]);
  for (const client of [auditor, manager, integration]) await client.fails(403, 'forbidden', 'POST', `${path}/erase`, { body });
  for (const client of [manager, integration]) await client.fails(403, 'forbidden', 'GET', `${path}/personal-data`);
  for (const client of [director, auditor]) assert.ok((await known(contact, 200, client)).length >= 2);
  await api.fails(422, 'validation_failed', 'POST', `${path}/erase`, { body: {} });
  await api.fails(422, 'validation_failed', 'POST', `${path}/erase`, { body: { reason: 'x', replace_in: ['no id'] } });
  await api.fails(400, 'invalid_request', 'GET', `${path}/personal-data?since=now`);
  const nobody = '/v1/contacts/01970000-0000-7000-8000-000000000000';
  await api.fails(404, 'not_found', 'POST', `${nobody}/erase`, { body });
  await api.fails(404, 'not_found', 'GET', `${nobody}/personal-data`);
  await api.fails(412, 'precondition_failed', 'POST', `${path}/erase`, { body, headers: { 'if-match': '"1-old"' } });
  await api.remove(path, contact.etag);
  const once = key();
  const asked = await Promise.all([1, 2].map(() => director.insist('POST', `${path}/erase`, { body, headers: once })));
  assert.deepEqual([asked.map(({ status }) => status), asked[0].body.id], [[202, 202], asked[1].body.id]);
  await ended(asked[0].body);
  assert.ok(!JSON.stringify(await known(contact)).includes(contact.email));
  await api.fails(409, 'contact_erased', 'POST', `${path}/restore`);
  await api.call(204, 'DELETE', `/v1/accounts/${account.id}`, { headers: { 'if-match': (await api.get(`/v1/accounts/${account.id}`)).etag } });
  await api.call(200, 'POST', `/v1/accounts/${account.id}/restore`, { body: {} });
  assert.deepEqual(await api.all(`/v1/accounts/${account.id}/contacts`), [], 'it does not come back with its account');
  await verified(account);
});

test('an import that has not ended is in the way: nothing is erased, and it says so', async () => {
  const contact = await api.create('/v1/contacts', { account_id: (await makeAccount(api)).id, ...person() });
  const { id } = (await api.call(201, 'POST', '/v1/imports', { body: { resource: 'contacts', system: 'crm', content: `external_id,email\nx,${contact.email}\n` } })).body;
  const { failure } = await erase(contact, {}, 'failed');
  assert.ok(failure.includes(id), failure);
  assert.equal((await api.get(`/v1/contacts/${contact.id}`)).email, contact.email);
  await api.call(202, 'POST', `/v1/imports/${id}/start`, { body: {} });
  await until(async () => ['succeeded', 'failed'].includes((await api.get(`/v1/imports/${id}`)).status), { ms: 60_000, what: 'the import' });
  await erase(contact);
});

test('a backup brings somebody back: the ledger, or a list, erases them again', async () => {
  const again = (input) => new Promise((done, fail) => {
    const child = spawn(KAMD, ['erase-again'], { env: environment(world.settings), stdio: ['pipe', 'pipe', 'inherit'] });
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text) => { said += text; });
    child.on('error', fail).on('exit', (code) => done([code, said.trim()]));
    child.stdin.end(input);
  });
  const account = await makeAccount(api);
  const people = [];
  while (people.length < 3) people.push(await api.create('/v1/contacts', { account_id: account.id, ...person() }));
  await erase(people[0]);
  query(`update contact set erased_at = null, family_name = '${people[0].family_name}' where id = '${people[0].id}'; update contact set deleted_at = null where id = '${people[0].id}'`);
  assert.equal((await again('x\n'))[0], 1);
  assert.deepEqual(await again(`${people[1].id}\n\n01970000-0000-7000-8000-000000000000\n`), [0, '2 contacts erased again']);
  assert.deepEqual(await again(''), [0, '0 contacts erased again']);
  assert.equal(query(`select string_agg(family_name, ',' order by id) from contact where account_id = '${account.id}'`), `(erased),(erased),${people[2].family_name}`);
  assert.equal(query(`select count(*) from history where account_id = '${account.id}' and changes::text like '%${people[0].family_name}%'`), '0');
});
