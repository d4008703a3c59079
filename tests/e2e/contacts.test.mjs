// People at the customers: who is above whom, and who sways whom.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { addUser } from './lib/planning.mjs';
import { answerBeside } from './lib/stack.mjs';
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
