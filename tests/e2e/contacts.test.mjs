// People at the customers: who is above whom, who sways whom, and who goes to another customer.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { events } from './lib/client.mjs';
import { addUser, makePlan } from './lib/planning.mjs';
import { answerBeside } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api, apis, account;
before(async () => {
  world = await openWorld({ processes: 2 });
  ({ api, apis } = world);
  account = await makeAccount(api);
});
after(() => world?.close());

const path = ({ id }, kind = 'contacts') => `/v1/${kind}/${id}`;
const person = (fields = {}) => api.create('/v1/contacts', { account_id: account.id, family_name: unique('Anders'), ...fields });
const change = (status, { id, etag }, body, kind = 'contacts', client = api) => client.call(status, 'PATCH', path({ id }, kind), { body, headers: { 'if-match': etag } }).then((answer) => answer.body);
const said = ({ errors }) => errors?.map(({ pointer, code }) => [pointer, code]);

// ---- who is above whom ---------------------------------------------------------------------------------

test('004-17: a chief reports to nobody below, at any depth; a line is turned around from its end', async () => {
  const line = [await person()];
  for (let i = 0; i < 20; i++) line.push(await person({ reports_to_id: line[i].id }));
  for (const below of [0, 1, 2, 20]) assert.deepEqual(said(await change(422, line[0], { reports_to_id: line[below].id })), [['/reports_to_id', 'reports_in_a_circle']], `${below} below`);
  assert.equal((await api.get(path(line[0]))).reports_to_id, null);
  const middle = await change(200, line[10], { reports_to_id: null });
  await change(200, line[0], { reports_to_id: line[20].id });
  await change(422, middle, { reports_to_id: line[9].id });
});

test('004-17: one call may turn a line around, and makes no circle of several records', async () => {
  const chief = await person();
  const report = await person({ reports_to_id: chief.id });
  const bulk = async (...pairs) => {
    const records = pairs.map(([{ id }, above]) => ({ id, reports_to_id: above && above.id }));
    const { body } = await api.call(200, 'POST', '/v1/contacts/bulk', { body: { all_or_none: true, records }, headers: { 'idempotency-key': unique('k') } });
    return body.results.flatMap(({ success, errors }) => (success ? ['fine'] : errors.map(({ code }) => code)));
  };
  assert.deepEqual(await bulk([chief, report], [report, null]), ['fine', 'fine']);
  const others = [await person(), await person(), await person()];
  assert.ok((await bulk(...others.map((one, i) => [one, others[(i + 1) % 3]]))).includes('reports_in_a_circle'));
  for (const one of others) assert.equal((await api.get(path(one))).reports_to_id, null);
});

// Each of two chiefs is put below the other one's report, so that neither write locks a row of the other. One is not committed yet when the other is asked for.
test('004-17: two writes at once make no circle either, of contacts or of our own people', async () => {
  for (const [kind, table, above, make] of [['contacts', 'contact', 'reports_to_id', person], ['users', 'app_user', 'manager_id', (fields) => addUser(api, fields)]]) {
    const [one, other] = [await make(), await make()];
    const [ofOne, ofOther] = [await make({ [above]: one.id }), await make({ [above]: other.id })];
    const { status, body } = await answerBeside(world.settings, `update ${table} set ${above} = '${ofOther.id}' where id = '${one.id}' returning 'held'`,
      () => api.insist('PATCH', path(other, kind), { body: { [above]: ofOne.id }, headers: { 'if-match': other.etag } }));
    assert.deepEqual([status, said(body)], [422, [[`/${above}`, 'reports_in_a_circle']]], kind);
  }
});

test('004-17: of many writes at once, the last one of each circle is refused', async () => {
  const circles = await Promise.all(Array.from({ length: 8 }, () => Promise.all([person(), person(), person()])));
  const answers = await Promise.all(circles.map((people) => Promise.all(people.map((one, i) => apis[i % 2].insist(
    'PATCH', path(one), { body: { reports_to_id: people[(i + 1) % 3].id }, headers: { 'if-match': one.etag } })))));
  assert.deepEqual(answers.map((three) => three.map(({ status }) => status).sort()), circles.map(() => [200, 200, 422]));
});

test('people of ours report in no circle', async () => {
  const chief = await addUser(api);
  const [report, other] = [await addUser(api, { manager_id: chief.id }), await addUser(api)];
  const last = await addUser(api, { manager_id: report.id });
  for (const above of [chief, report, last]) assert.deepEqual(said(await change(422, chief, { manager_id: above.id }, 'users')), [['/manager_id', 'reports_in_a_circle']]);
  assert.equal((await change(200, chief, { manager_id: other.id }, 'users')).manager_id, other.id);
});

// ---- who sways whom ------------------------------------------------------------------------------------

test('004-17: nobody influences themselves; two people may influence each other', async () => {
  const [one, other] = [await person(), await person()];
  const influences = (...people) => ({ influences: people.map(({ id }) => ({ contact_id: id, strength: 50 })) });
  assert.deepEqual(said(await change(422, one, influences(other, one))), [['/influences/1/contact_id', 'itself']]);
  assert.deepEqual(said(await change(422, one, influences({ id: one.id.toUpperCase() }))), [['/influences/0/contact_id', 'itself']]);
  await change(200, one, influences(other));
  await change(200, other, influences(one));
});

// ---- who goes to another customer -------------------------------------------------------------------------

const move = async (status, { id }, body, client = api, headers = {}) => (await client.call(status, 'POST', `/v1/contacts/${id}/move`, { body, headers })).body;

test('a person changes jobs: the same contact, with its history, at another account; what was there stays there, and still names the person', async () => {
  const [before, now] = [await makeAccount(api), await makeAccount(api)];
  const at = (fields) => api.create('/v1/contacts', { account_id: before.id, family_name: unique('Anders'), ...fields });
  const [chief, user] = [await at(), await addUser(api)];
  const one = await at({ reports_to_id: chief.id, mirror_user_id: user.id, influences: [{ contact_id: chief.id, strength: 60 }], email: 'maria@example.com', external_ids: { crm: unique('M') } });
  const below = await at({ reports_to_id: one.id, influences: [{ contact_id: one.id, strength: 10 }, { contact_id: chief.id, strength: 20 }] });
  const under = (what) => `/v1/accounts/${before.id}/${what}`;
  const follow = await api.create('/v1/follow-ups', { account_id: before.id, title: 'Call', due_at: '2099-01-31T09:00:00Z', contact_id: one.id });
  const promise = await api.create(under('commitments'), { text: 'Soon', due_on: '2099-01-31', made_to_contact_id: one.id });
  const visit = await api.create(under('interactions'), { kind: 'visit', channel: 'in_person', occurred_at: '2026-05-05T10:00:00Z', contact_ids: [one.id] });
  const plan = await makePlan(api, before);
  const section = `/v1/plans/${plan.id}/sections/contacts_and_decisions`;
  await api.patch(section, (await api.get(section)).etag, { content: { steps: [{ step: 'Order', decision_makers: [one.id] }] } });

  const was = await api.get(path(one));
  await api.fails(412, 'precondition_failed', 'POST', `${path(one)}/move`, { body: { account_id: now.id }, headers: { 'if-match': chief.etag } });
  const moved = await move(200, one, { account_id: now.id }, api, { 'if-match': was.etag });
  assert.deepEqual([moved.id, moved.account_id, moved.version, moved.email, moved.external_ids], [one.id, now.id, was.version + 1, one.email, one.external_ids]);
  assert.deepEqual([moved.reports_to_id, moved.influences, moved.mirror_user_id, moved.last_interaction_at], [null, [], null, null], 'what ends');
  assert.deepEqual(moved, await api.get(path(one)));
  const left = await api.get(path(below));
  assert.deepEqual([left.reports_to_id, left.influences, left.version], [null, [{ contact_id: chief.id, strength: 20 }], 2]);
  assert.deepEqual((await api.all(`/v1/accounts/${now.id}/contacts`)).map(({ id }) => id), [one.id]);
  assert.deepEqual((await api.all(`/v1/accounts/${before.id}/contacts`)).map(({ id }) => id).sort(), [chief.id, below.id].sort());
  const { data } = await api.get(`${path(one)}/history`);
  assert.deepEqual([data[0].changes.account_id, data.at(-1).op], [[before.id, now.id], 'created']);
  const synced = await api.call(200, 'PUT', `/v1/sync/crm/contacts/${one.external_ids.crm}`, { body: { account_id: now.id, family_name: one.family_name } });
  assert.equal(synced.body.id, one.id, 'other systems find it under their id');

  // What was recorded stays, may be changed, and may go on naming the person; nothing new may.
  for (const [record, at_, name] of [[follow, `/v1/follow-ups/${follow.id}`, 'contact_id'], [promise, `${under('commitments')}/${promise.id}`, 'made_to_contact_id']]) {
    const changed = await api.patch(at_, (await api.get(at_)).etag, record === follow ? { title: 'Call again', contact_id: one.id } : { text: 'Sooner' });
    assert.equal(changed[name], one.id);
  }
  assert.deepEqual((await api.get(`${under('interactions')}/${visit.id}`)).contact_ids, [one.id]);
  await api.patch(section, (await api.get(section)).etag, { content: { remark: 'has left' } });
  assert.deepEqual(said(await api.fails(422, 'validation_failed', 'POST', '/v1/follow-ups', { body: { account_id: before.id, title: 'x', due_at: '2099-01-31T09:00:00Z', contact_id: one.id } })), [['/contact_id', 'unknown_reference']]);
  // Both accounts are told, and neither of the other.
  const told = (account_) => until(async () => { const all = await events(api, `types=contact.moved&account_id=${account_.id}`); return all.length > 0 && all.map(({ data: { direction, contact_id: id } }) => [direction, id]); }, { ms: 20_000, what: 'contact.moved' });
  assert.deepEqual([await told(before), await told(now)], [[['left', one.id]], [['joined', one.id]]]);
  for (const event of await events(api, `types=contact.moved&account_id=${before.id}`)) assert.ok(!JSON.stringify(event).includes(now.id));
});

test('who may move a person: whoever may change contacts on both sides; what one does not see is not there', async () => {
  const [user, hidden] = [await addUser(api), await makeAccount(api)];
  const manager = await world.clientOf('account_manager', { user_id: user.id });
  const [mine, also] = [await makeAccount(api, { manager_id: user.id }), await makeAccount(api, { manager_id: user.id })];
  const one = await api.create('/v1/contacts', { account_id: mine.id, family_name: 'Mine' });
  const theirs = await api.create('/v1/contacts', { account_id: hidden.id, family_name: 'Theirs' });
  const none = '01970000-0000-7000-8000-000000000000';
  const plain = ({ errors, code, detail }) => ({ errors, code, detail });
  assert.deepEqual(plain(await move(422, one, { account_id: hidden.id }, manager)), plain(await move(422, one, { account_id: none }, manager)));
  assert.deepEqual(plain(await move(404, theirs, { account_id: mine.id }, manager)), plain(await move(404, { id: none }, { account_id: mine.id }, manager)));
  assert.deepEqual(said(await move(422, one, { account_id: mine.id }, manager)), [['/account_id', 'same_account']]);
  await move(400, one, { account_id: also.id, note: 'x' }, manager);
  const viewer = await world.clientOf('auditor');
  await move(403, one, { account_id: also.id }, viewer);
  assert.equal((await move(200, one, { account_id: also.id }, manager)).account_id, also.id);
  const gone = await makeAccount(api);
  await api.remove(path(gone, 'accounts'), gone.etag);
  await move(422, one, { account_id: gone.id });
  const moved = await api.get(path(one));
  await api.remove(path(one), moved.etag);
  await move(404, one, { account_id: mine.id });
});
