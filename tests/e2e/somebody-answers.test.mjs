// Somebody always answers (003-05, 003-09): who is needed does not leave before somebody else has taken over, nobody who has left is given anything, and a key
// account always has somebody to alert.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { places } from './lib/client.mjs';
import { importer } from './lib/imports.mjs';
import { addUser, makePlan, readyPlan } from './lib/planning.mjs';
import { sql } from './lib/stack.mjs';
import { inParallel, until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api, apis;
before(async () => {
  world = await openWorld({ processes: 2, workers: 1 });
  ({ api, apis } = world);
  await api.patch('/v1/program', (await api.get('/v1/program')).etag, { max_key_accounts: 1000 });
});
after(() => world?.close());

const NONE = { managed_accounts: 0, sponsored_accounts: 0, follow_ups: 0, commitments: 0, objectives: 0, actions: 0, projects: 0, needs: 0, solutions: 0, fallback_alerts: 0 };
const change = async (path, fields) => api.patch(path, (await api.get(path)).etag, fields);
const settings = (fields) => change('/v1/program/settings', fields);
const leave = (user, heir, status = 200) => api.call(status, 'POST', `/v1/users/${user.id}/deactivate`, { body: { transfer_to_id: heir.id } });
const designate = (account) => api.call(201, 'POST', `/v1/accounts/${account.id}/designate`, { body: { reason: 'Grows' } });
// As a version that did not know these rules left it.
const leftBefore = (user) => sql(world.settings, `set session_replication_role = replica; update app_user set active = false where id = '${user.id}'`);
const tomorrow = () => new Date(Date.now() + 86_400_000).toISOString();
const refused = async (method, path, body, place, headers) => {
  const problem = await api.fails(422, 'validation_failed', method, path, { body, headers });
  assert.deepEqual([places(problem), problem.errors[0].code], [[place], 'user_has_left'], `${method} ${path}`);
};

// Each way to answer for something: what of it there is, how it is made for a person at an account, and how the person's name is read back.
const DUTIES = {
  managed_accounts: { column: 'manager_id', make: (person) => makeAccount(api, { manager_id: person.id }), path: (made) => `/v1/accounts/${made.id}` },
  sponsored_accounts: { column: 'sponsor_id', make: (person) => makeAccount(api, { sponsor_id: person.id }), path: (made) => `/v1/accounts/${made.id}` },
  follow_ups: {
    column: 'assignee_id', over: { status: 'done' }, open: { status: 'open' },
    make: (person, account, more) => api.create('/v1/follow-ups', { account_id: account.id, title: 'Call CEO', due_at: tomorrow(), assignee_id: person.id, ...more }),
    path: (made) => `/v1/follow-ups/${made.id}`,
  },
  commitments: {
    column: 'made_by_id', over: { status: 'kept' }, open: { status: 'open' },
    make: (person, account, more) => api.create(`/v1/accounts/${account.id}/commitments`, { text: 'A dedicated driver', due_on: '2099-03-01', made_by_id: person.id, ...more }),
    path: (made) => `/v1/accounts/${made.account_id}/commitments/${made.id}`,
  },
  projects: {
    column: 'owner_id', over: { status: 'done' }, open: { status: 'active' },
    make: (person, account, more) => api.create(`/v1/accounts/${account.id}/projects`, { title: 'A new warehouse', owner_id: person.id, ...more }),
    path: (made) => `/v1/accounts/${made.account_id}/projects/${made.id}`,
  },
  needs: {
    column: 'owner_id', over: { status: 'resolved' }, open: { status: 'diagnosed' },
    make: async (person, account, { status, ...more } = {}) => {
      const path = `/v1/accounts/${account.id}/needs`, need = { kind: 'growth', title: 'Staff', status: 'diagnosed', ...more };
      if (status !== 'resolved') return api.create(path, { ...need, owner_id: person.id });
      const made = await api.create(path, need); // nothing is resolved before it is diagnosed
      return api.patch(`${path}/${made.id}`, made.etag, { status, owner_id: person.id });
    },
    path: (made) => `/v1/accounts/${made.account_id}/needs/${made.id}`,
  },
  solutions: {
    column: 'owner_id', over: { status: 'dropped' }, open: { status: 'proposed' },
    make: (person, account, more) => api.create(`/v1/accounts/${account.id}/solutions`, { title: 'Training', owner_id: person.id, ...more }),
    path: (made) => `/v1/accounts/${made.account_id}/solutions/${made.id}`,
  },
};
const objectives = (person, actionOwner) => [
  { title: 'More', owner_id: person.id, actions: [{ title: 'Call', owner_id: actionOwner.id, status: 'open' }, { title: 'Done', owner_id: person.id, status: 'done' }] },
  { title: 'Nobody\'s' }];

test('who answers for something does not leave, by any door; the counts say for what', async () => {
  const [person, account] = [await addUser(api, { subject: unique('sub'), external_ids: { hr: unique('E') } }), await makeAccount(api)];
  const counts = { ...NONE };
  const stays = async () => {
    const { etag } = await api.get(`/v1/users/${person.id}`);
    const byId = { 'if-match': etag };
    for (const [method, path, body, headers] of [
      ['PATCH', `/v1/users/${person.id}`, { active: false }, byId], ['DELETE', `/v1/users/${person.id}`, undefined, byId],
      ['PUT', `/v1/user-subjects/${person.subject}`, { active: false }], ['PUT', `/v1/sync/hr/users/${person.external_ids.hr}`, { name: person.name, active: false }],
      ['DELETE', `/v1/sync/hr/users/${person.external_ids.hr}`]]) {
      const problem = await api.fails(409, 'user_is_needed', method, path, { body, headers });
      assert.deepEqual(problem.counts, counts, `${method} ${path}`);
    }
    const { body: { results } } = await api.call(200, 'POST', '/v1/users/bulk', { body: { records: [{ id: person.id, active: false }, { name: unique('New') }] }, headers: { 'idempotency-key': unique('bulk') } });
    assert.deepEqual(results.map(({ outcome, errors }) => [outcome, errors[0]?.code]), [['error', 'user_is_needed'], ['created', undefined]]);
    assert.deepEqual([(await api.get(`/v1/users/${person.id}`)).active, (await api.get(`/v1/users/${person.id}`)).etag], [true, etag]);
  };
  for (const [duty, kind] of Object.entries(DUTIES)) {
    await kind.make(person, account);
    if (kind.over) await kind.make(person, account, kind.over); // what is over needs nobody
    counts[duty]++;
  }
  await makePlan(api, account, { objectives: objectives(person, person) });
  Object.assign(counts, { objectives: 1, actions: 1 });
  await settings({ fallback_alert_user_id: person.id });
  counts.fallback_alerts = 1;
  await stays();
  assert.match((await api.fails(409, 'user_is_needed', 'DELETE', `/v1/users/${person.id}`, { headers: { 'if-match': '*' } })).detail, /1 managed accounts, 1 sponsored accounts, 1 follow ups, .*\/deactivate/);
  const heir = await addUser(api);
  const { body } = await leave(person, heir);
  assert.deepEqual([body.id, body.active], [person.id, false]);
  await api.remove(`/v1/users/${person.id}`, body.etag);
});

test('each of them alone is a reason to stay', async () => {
  const account = await makeAccount(api);
  for (const [duty, kind] of Object.entries(DUTIES)) {
    const person = await addUser(api);
    await kind.make(person, account);
    const problem = await api.fails(409, 'user_is_needed', 'PATCH', `/v1/users/${person.id}`, { body: { active: false }, headers: { 'if-match': person.etag } });
    assert.deepEqual(problem.counts, { ...NONE, [duty]: 1 });
  }
  const free = await addUser(api);
  for (const kind of Object.values(DUTIES)) if (kind.over) await kind.make(free, account, kind.over);
  assert.equal((await api.patch(`/v1/users/${free.id}`, free.etag, { active: false })).active, false);
});

test('all of it goes over in one transaction, or nothing of it', async () => {
  const [person, heir, third] = [await addUser(api), await addUser(api, { capacity: 1 }), await addUser(api)];
  const account = await makeAccount(api);
  const made = {};
  for (const [duty, kind] of Object.entries(DUTIES)) {
    made[duty] = await kind.make(person, account);
    if (kind.over) made[`${duty}, over`] = await kind.make(person, account, kind.over);
  }
  const plan = await makePlan(api, account, { objectives: objectives(person, person) });
  const covered = await makeAccount(api, { manager_id: third.id, delegate_id: person.id, delegate_until: '2099-01-01T00:00:00Z' });
  const own = await makeAccount(api, { manager_id: heir.id, delegate_id: person.id, delegate_until: '2099-01-01T00:00:00Z' });
  const contact = await api.create('/v1/contacts', { account_id: account.id, family_name: 'Li', mirror_user_id: person.id });
  await designate(own);
  await designate(made.managed_accounts);
  const full = await leave(person, heir, 409);
  assert.equal(full.body.code, 'manager_capacity_reached');
  for (const [duty, { column, path }] of Object.entries(DUTIES)) assert.equal((await api.get(path(made[duty])))[column], person.id, `${duty}: nothing went`);
  assert.equal((await api.get(`/v1/users/${person.id}`)).active, true);
  await change(`/v1/users/${heir.id}`, { capacity: null });
  const theirs = await world.clientOf('member', { user_id: person.id });
  const key = { 'idempotency-key': unique('leave') };
  for (const replayed of [undefined, 'true']) {
    const answer = await api.call(200, 'POST', `/v1/users/${person.id}/deactivate`, { body: { transfer_to_id: heir.id }, headers: key });
    for (const { url } of apis) await theirs.at(url).fails(401, 'unauthenticated', 'GET', '/v1/me');
    assert.deepEqual([answer.body.active, answer.body.etag, answer.headers['idempotency-replayed']], [false, (await api.get(`/v1/users/${person.id}`)).etag, replayed]);
  }
  for (const [duty, { column, path, over }] of Object.entries(DUTIES)) {
    assert.equal((await api.get(path(made[duty])))[column], heir.id, duty);
    if (over) assert.equal((await api.get(path(made[`${duty}, over`])))[column], person.id, `${duty}: what is over stays as it was`);
  }
  assert.deepEqual((await api.get(`/v1/plans/${plan.id}`)).objectives.map(({ owner_id: owner, actions }) => [owner, actions?.map(({ owner_id: of }) => of)]), [[heir.id, [heir.id, person.id]], [null, undefined]].map(([owner, of]) => [owner ?? undefined, of]));
  const cover = async ({ id }) => { const { delegate_id: who, delegate_until: end } = await api.get(`/v1/accounts/${id}`); return [who, end]; };
  assert.deepEqual(await cover(covered), [heir.id, '2099-01-01T00:00:00.000000Z']);
  assert.deepEqual(await cover(own), [null, null], 'a manager does not cover for himself');
  assert.equal((await api.get(`/v1/contacts/${contact.id}`)).mirror_user_id, heir.id);
  assert.ok((await api.all(`/v1/accounts/${made.managed_accounts.id}/history`)).some(({ changes }) => JSON.stringify(changes).includes(heir.id)));
});

test('who deactivates, whom, and for whom', async () => {
  const [person, heir, gone] = [await addUser(api), await addUser(api), await addUser(api)];
  await change(`/v1/users/${gone.id}`, { active: false });
  const path = `/v1/users/${person.id}/deactivate`;
  for (const role of ['account_manager', 'member']) await (await world.clientOf(role, { user_id: heir.id })).fails(403, 'forbidden', 'POST', path, { body: { transfer_to_id: heir.id } });
  await refused('POST', path, { transfer_to_id: gone.id }, '/transfer_to_id');
  for (const [body, code] of [[{ transfer_to_id: person.id }, 'same_user'], [{}, 'required'], [{ transfer_to_id: '01970000-0000-7000-8000-000000000000' }, 'unknown_reference']]) {
    const problem = await api.fails(422, 'validation_failed', 'POST', path, { body });
    assert.deepEqual([places(problem), problem.errors[0].code], [['/transfer_to_id'], code]);
  }
  await api.fails(404, 'not_found', 'POST', '/v1/users/01970000-0000-7000-8000-000000000000/deactivate', { body: { transfer_to_id: heir.id } });
  await api.fails(412, 'precondition_failed', 'POST', path, { body: { transfer_to_id: heir.id }, headers: { 'if-match': '"0"' } });
  const account = await makeAccount(api, { manager_id: person.id });
  leftBefore(person);
  assert.deepEqual([(await leave(person, heir)).body.active, (await api.get(`/v1/accounts/${account.id}`)).manager_id], [false, heir.id], 'who has left hands over what is left');
});

test('nobody who has left is given anything, at any door', async () => {
  const [gone, here, account] = [await addUser(api, { external_ids: { hr: unique('E') } }), await addUser(api), await makeAccount(api)];
  await change(`/v1/users/${gone.id}`, { active: false });
  const any = { 'if-match': '*' };
  for (const { make, path, column, over, open } of Object.values(DUTIES)) {
    const made = await make(here, account);
    await refused('PATCH', path(made), { [column]: gone.id }, `/${column}`, any);
    await assert.rejects(make(gone, account), /user_has_left/);
    if (!over) continue;
    const done = await make(gone, account, over); // what was done by somebody who has left may be told of
    if (column !== 'owner_id' || open.status !== 'diagnosed') await refused('PATCH', path(done), open, `/${column}`, any);
  }
  await refused('PATCH', `/v1/accounts/${account.id}`, { delegate_id: gone.id }, '/delegate_id', any);
  await refused('POST', '/v1/contacts', { account_id: account.id, family_name: 'Li', mirror_user_id: gone.id }, '/mirror_user_id');
  await refused('POST', `/v1/accounts/${account.id}/team`, { user_id: gone.id, role: 'controlling' }, '/user_id');
  await api.create(`/v1/accounts/${account.id}/team`, { user_id: gone.id, role: 'controlling', active_until: '2020-01-01' });
  await refused('PATCH', '/v1/program/settings', { fallback_alert_user_id: gone.id }, '/fallback_alert_user_id', { 'if-match': (await api.get('/v1/program/settings')).etag });
  const plan = await makePlan(api, account);
  await refused('PATCH', `/v1/plans/${plan.id}`, { objectives: objectives(gone, here) }, '/objectives/0/owner_id', any);
  await refused('PATCH', `/v1/plans/${plan.id}`, { objectives: objectives(here, gone) }, '/objectives/0/actions/0/owner_id', any);
  const follow = await DUTIES.follow_ups.make(here, account);
  await refused('POST', `/v1/follow-ups/${follow.id}/assign`, { assignee_id: gone.id }, '/assignee_id');
  await refused('PUT', `/v1/sync/crm/accounts/${unique('X')}`, { name: unique('Account'), manager_id: gone.id }, '/manager_id');
  const { body: { results } } = await api.call(200, 'POST', '/v1/accounts/bulk', { body: { records: [{ name: 'One', manager_id: gone.id }, { name: 'Two', manager_id: here.id }] }, headers: { 'idempotency-key': unique('bulk') } });
  assert.deepEqual(results.map(({ outcome, errors }) => [outcome, errors[0]?.code]), [['error', 'user_has_left'], ['created', undefined]]);
  const { make, part, start, finished, errors } = importer(() => api);
  const { id } = await make({ system: 'file', resource: 'accounts', format: 'csv', columns: { id: 'external_id', n: 'name', m: 'manager_id' } });
  await part(id, 1, `id,n,m\n1,One,${gone.id}\n2,Two,${here.id}\n`);
  await start(id);
  const { counts } = await finished(id);
  assert.deepEqual([counts.created, counts.failed, (await errors(id))[0].errors[0].code], [1, 1, 'user_has_left'], JSON.stringify(counts));
});

test('a merge takes no manager who has left', async () => {
  const [person, target] = [await addUser(api), await makeAccount(api)];
  const source = await makeAccount(api, { manager_id: person.id });
  leftBefore(person);
  await refused('POST', `/v1/accounts/${target.id}/merge`, { source_id: source.id, take: ['manager_id'] }, '/manager_id');
});

test('what was so before stays so, and is changed as ever', async () => {
  const [person, account] = [await addUser(api), await makeAccount(api)];
  const made = {};
  for (const [duty, kind] of Object.entries(DUTIES)) made[duty] = await kind.make(person, account);
  const plan = await makePlan(api, account, { objectives: objectives(person, person) });
  leftBefore(person);
  for (const [duty, { path }] of Object.entries(DUTIES)) {
    const title = ['title', 'text', 'name'].find((name) => made[duty][name] !== undefined);
    assert.equal((await change(path(made[duty]), { [title]: 'Another title' }))[title], 'Another title', duty);
  }
  const [first, second] = (await api.get(`/v1/plans/${plan.id}`)).objectives;
  await change(`/v1/plans/${plan.id}`, { objectives: [{ ...first, title: 'Even more' }, second] });
  await api.fails(409, 'user_is_needed', 'DELETE', `/v1/users/${person.id}`, { headers: { 'if-match': '*' } });
});

test('what comes back from deletion comes back without who has left meanwhile', async () => {
  const [person, account] = [await addUser(api), await makeAccount(api)];
  const made = {};
  const whole = await makeAccount(api, { manager_id: person.id });
  const below = await DUTIES.follow_ups.make(person, whole);
  for (const [duty, kind] of Object.entries(DUTIES)) {
    made[duty] = await kind.make(person, account);
    await api.remove(kind.path(made[duty]), made[duty].etag);
  }
  const plan = await makePlan(api, account, { objectives: objectives(person, person) });
  await api.remove(`/v1/plans/${plan.id}`, plan.etag);
  await api.remove(`/v1/accounts/${whole.id}`, whole.etag);
  await change(`/v1/users/${person.id}`, { active: false });
  for (const [duty, { path, column }] of Object.entries(DUTIES)) assert.equal((await api.call(200, 'POST', `${path(made[duty])}/restore`, { body: {} })).body[column], null, duty);
  const back = (await api.call(200, 'POST', `/v1/plans/${plan.id}/restore`, { body: {} })).body;
  assert.deepEqual(back.objectives[0].actions.map(({ owner_id: owner }) => owner ?? null), [null, person.id]);
  assert.equal(back.objectives[0].owner_id ?? null, null);
  assert.equal((await api.call(200, 'POST', `/v1/accounts/${whole.id}/restore`, { body: {} })).body.manager_id, null);
  assert.equal((await api.get(`/v1/follow-ups/${below.id}`)).assignee_id, null, 'what came back with its account');
});

test('what kamd makes by itself goes to somebody who is here', async () => {
  const [person, manager] = [await addUser(api), await addUser(api)];
  const account = await makeAccount(api, { manager_id: manager.id });
  const series = await DUTIES.follow_ups.make(person, account, { due_at: undefined, due_on: '2099-01-01', time_zone: 'UTC', recurrence: 'FREQ=DAILY' });
  const promise = await DUTIES.commitments.make(person, account, { status: 'broken' });
  leftBefore(person);
  await api.call(200, 'POST', `/v1/follow-ups/${series.id}/complete`, { body: {} });
  const next = (await api.all(`/v1/follow-ups?series_id=${series.id}`)).find(({ status }) => status === 'open');
  assert.equal(next.assignee_id, manager.id);
  await change(DUTIES.commitments.path(promise), { status: 'renegotiated', new_due_on: '2099-06-01' });
  const [successor] = await api.all(`/v1/accounts/${account.id}/commitments?status=open`);
  assert.equal(successor.made_by_id, manager.id);
});

test('an overdue follow-up is told to somebody who is here', async () => {
  const [boss, sponsor] = [await addUser(api), await addUser(api)];
  const manager = await addUser(api, { manager_id: boss.id });
  const account = await makeAccount(api, { manager_id: manager.id, sponsor_id: sponsor.id });
  leftBefore(manager);
  leftBefore(sponsor);
  await api.create('/v1/follow-ups', { account_id: account.id, title: 'Late', due_at: new Date(Date.now() - 30 * 86_400_000).toISOString() });
  const told = await until(async () => {
    const { data } = await api.get(`/v1/events?types=follow_up.overdue&account_id=${account.id}&page_size=200`);
    return data.length === 2 && data;
  }, { ms: 20_000, what: 'both events' });
  assert.deepEqual(told.map(({ data }) => [data.level, data.escalated_to_id]), [['manager', boss.id], ['sponsor', boss.id]]);
});

test('the alert goes on: cover, manager, sponsor, the manager\'s manager, the fallback', async () => {
  const [boss, sponsor, cover, fallback] = [await addUser(api), await addUser(api), await addUser(api), await addUser(api)];
  const manager = await addUser(api, { manager_id: boss.id });
  const account = await makeAccount(api, { manager_id: manager.id, sponsor_id: sponsor.id, delegate_id: cover.id, delegate_until: '2099-01-01T00:00:00Z' });
  const empty = await makeAccount(api);
  await settings({ fallback_alert_user_id: fallback.id });
  await designate(account);
  await designate(empty);
  const alerts = (one, ...expected) => Promise.all(apis.map((client) => until(async () => {
    const { alert } = await client.get(`/v1/recognition?account_number=${one.account_number}`);
    return JSON.stringify(alert.map(({ id, role }) => [id, role])) === JSON.stringify(expected.map(([user, role]) => [user.id, role]));
  }, { ms: 15_000, every: 10, what: JSON.stringify(expected.map(([, role]) => role)) })));
  await alerts(account, [cover, 'cover'], [sponsor, 'sponsor']);
  leftBefore(cover);
  await alerts(account, [manager, 'manager'], [sponsor, 'sponsor']);
  leftBefore(manager);
  await alerts(account, [sponsor, 'sponsor']);
  leftBefore(sponsor);
  await alerts(account, [boss, 'managers_manager']);
  const caller = await api.get(`/v1/recognition?account_number=${account.account_number}`);
  assert.deepEqual([caller.manager, caller.cover, caller.sponsor], [null, null, null], 'who has left is none');
  leftBefore(boss);
  await alerts(account, [fallback, 'fallback']);
  await alerts(empty, [fallback, 'fallback']);
  await settings({ fallback_alert_user_id: null });
  await alerts(account);
});

test('a manager who has left is none: compliance says so, capacity leaves them out, no plan is activated', async () => {
  const [manager, sponsor] = [await addUser(api, { capacity: 5, visit_days: 100 }), await addUser(api)];
  const { account, plan } = await readyPlan(api, { world, account: { manager_id: manager.id, sponsor_id: sponsor.id } });
  await designate(account);
  const missing = async () => (await api.get('/v1/program/compliance')).data.find(({ account_id: id }) => id === account.id).missing.filter((what) => ['manager', 'sponsor'].includes(what));
  const row = async () => (await api.get('/v1/program/capacity')).data.find(({ user_id: id }) => id === manager.id);
  const unmanaged = async () => (await api.get('/v1/program/capacity')).summary.unmanaged_accounts;
  assert.deepEqual([await missing(), (await row()).accounts], [[], 1]);
  const before_ = await unmanaged();
  leftBefore(manager);
  leftBefore(sponsor);
  assert.deepEqual([await missing(), await row(), await unmanaged()], [['sponsor', 'manager'], undefined, before_ + 1]);
  const problem = await api.fails(409, 'plan_not_ready', 'POST', `/v1/plans/${plan.id}/activate`, { body: {} });
  assert.deepEqual(problem.errors.map(({ code }) => code), ['manager_required', 'sponsor_required_for_tier_a']);
});

test('a team has one account manager at a time', async () => {
  const [one, two, account] = [await addUser(api), await addUser(api), await makeAccount(api)];
  const team = `/v1/accounts/${account.id}/team`;
  const as = (user, fields = {}) => ({ user_id: user.id, role: 'account_manager', ...fields });
  const second = async (method, path, body, headers) => assert.deepEqual(places(await api.fails(409, 'second_account_manager', method, path, { body, headers })), ['/role']);
  const today = new Date().toISOString().slice(0, 10);
  const day = (n) => new Date(Date.now() + n * 86_400_000).toISOString().slice(0, 10);
  const first = await api.create(team, as(one));
  await second('POST', team, as(two));
  const other = await api.create(team, as(two, { role: 'controlling' }));
  await second('PATCH', `${team}/${other.id}`, { role: 'account_manager' }, { 'if-match': '*' });
  await api.create(team, as(await addUser(api), { active_until: day(-1) })); // somebody before
  const ended = await api.patch(`${team}/${first.id}`, first.etag, { active_until: today });
  await second('PATCH', `${team}/${other.id}`, { role: 'account_manager', active_from: today }, { 'if-match': '*' });
  await api.remove(`${team}/${first.id}`, ended.etag);
  await change(`${team}/${other.id}`, { active_from: today, title: undefined });
  const three = await api.create(team, as(await addUser(api)));
  await second('POST', `${team}/${first.id}/restore`, {});
  await change(`${team}/${three.id}`, { allocation_pct: 10 });
  const both = await Promise.all([0, 1].map(async () => api.send('POST', `/v1/accounts/${(await makeAccount(api)).id}/team`, { body: as(two) })));
  assert.deepEqual(both.map(({ status }) => status), [201, 201], 'of two teams');
  const fresh = await makeAccount(api);
  const people = await Promise.all(Array.from({ length: 6 }, () => addUser(api)));
  const tried = await Promise.all(people.map((user, i) => apis[i % 2].insist('POST', `/v1/accounts/${fresh.id}/team`, { body: as(user) })));
  assert.deepEqual(tried.map(({ status }) => status).sort(), [201, 409, 409, 409, 409, 409]);
});

test('a merged account keeps its own account manager', async () => {
  const [one, two, target, source] = [await addUser(api), await addUser(api), await makeAccount(api), await makeAccount(api)];
  const kept = await api.create(`/v1/accounts/${target.id}/team`, { user_id: one.id, role: 'account_manager' });
  await api.create(`/v1/accounts/${source.id}/team`, { user_id: two.id, role: 'account_manager' });
  const past = await api.create(`/v1/accounts/${source.id}/team`, { user_id: one.id, role: 'controlling' });
  await api.call(200, 'POST', `/v1/accounts/${target.id}/merge`, { body: { source_id: source.id } });
  assert.deepEqual((await api.all(`/v1/accounts/${target.id}/team`)).map(({ id }) => id).sort(), [kept.id, past.id].sort());
});

test('one key customer for a manager, where the settings say so', async (t) => {
  const manager = await addUser(api, { capacity: 5 });
  const [first, second, third] = await Promise.all([0, 1, 2].map(() => makeAccount(api, { manager_id: manager.id })));
  await designate(first);
  await designate(second);
  await settings({ one_key_customer_per_manager: true });
  t.after(() => settings({ one_key_customer_per_manager: false }));
  const problem = await api.fails(409, 'manager_capacity_reached', 'POST', `/v1/accounts/${third.id}/designate`, { body: { reason: 'Grows' } });
  assert.match(problem.detail, /already manages 2 key accounts, and has capacity for 1/);
  const { over_limits: over } = await api.get('/v1/program');
  assert.deepEqual(over.find(({ user_id: id }) => id === manager.id), { rule: 'manager_capacity', most: 1, actual: 2, user_id: manager.id, name: manager.name });
  assert.deepEqual((({ capacity, capacity_left: left, over_capacity: full }) => [capacity, left, full])((await api.get('/v1/program/capacity')).data.find(({ user_id: id }) => id === manager.id)), [1, -1, true]);
  const other = await addUser(api);
  await change(`/v1/accounts/${second.id}`, { manager_id: other.id });
  await api.fails(409, 'manager_capacity_reached', 'PATCH', `/v1/accounts/${first.id}`, { body: { manager_id: other.id }, headers: { 'if-match': '*' } });
  await change(`/v1/accounts/${third.id}`, { manager_id: other.id });
  await settings({ one_key_customer_per_manager: false });
  await designate(third);
});

// ---- whatever happens ----

function numbers(seed) {
  let state = seed;
  return (below) => { state = (state * 1103515245 + 12345) % 2147483648; return Math.floor(state / 65536) % below; };
}

// What is open and belongs to somebody who is gone, in words of this test's own.
const GONE = `with gone as (select id from app_user where not active or deleted_at is not null)
  select string_agg(what, ', ' order by what) from (
    select 'account ' || id as what from account where deleted_at is null and (manager_id in (table gone) or sponsor_id in (table gone))
    union all select 'follow-up ' || id from follow_up where deleted_at is null and status = 'open' and assignee_id in (table gone)
    union all select 'promise ' || id from commitment where deleted_at is null and status = 'open' and made_by_id in (table gone)
    union all select 'project ' || id from project where deleted_at is null and status in ('planned', 'active') and owner_id in (table gone)
    union all select 'need ' || id from need where deleted_at is null and status <> 'resolved' and owner_id in (table gone)
    union all select 'solution ' || id from solution where deleted_at is null and status in ('proposed', 'agreed') and owner_id in (table gone)
    union all select 'plan ' || p.id from plan p, unnest(array ['$[*].owner_id', '$[*].actions[*] ? (@.status == "open").owner_id']) path, jsonb_path_query(p.objectives, path::jsonpath) o
      where p.deleted_at is null and p.status <> 'closed' and (o #>> '{}')::uuid in (table gone)
    union all select 'fallback' from program_settings where fallback_alert_user_id in (table gone)) t`;

test('whatever is written, by however many at once: no open item belongs to somebody who is gone, and every key account has somebody to alert', async (t) => {
  sql(world.settings, 'set session_replication_role = replica; update app_user set active = true, deleted_at = null'); // what other tests of this file left
  assert.equal(sql(world.settings, GONE), '');
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  t.diagnostic(`SEED=${seed}`);
  const pick = numbers(seed);
  const one = (list) => list[pick(list.length)];
  const users = await inParallel(4, Array.from({ length: 6 }), () => addUser(api));
  await settings({ fallback_alert_user_id: users[0].id });
  const accounts = await inParallel(4, Array.from({ length: 5 }), () => makeAccount(api, { manager_id: one(users).id, cadence: [{ channel: 'phone', every: 'monthly' }] }));
  const keys = accounts.slice(0, 3);
  await Promise.all(keys.map(designate));
  const known = async () => (await Promise.all(keys.flatMap((account) => apis.map((client) => client.get(`/v1/recognition?account_number=${account.account_number}`))))).every(({ is_key: isKey }) => isKey);
  await until(known, { ms: 15_000, what: 'the key accounts' });
  const items = [];
  const add = (kind) => async (client) => {
    const answer = await client.insist('POST', ...kind);
    if (answer.status === 201) items.push(`${kind[0]}/${answer.body.id}`);
    return answer;
  };
  const patch = (path, body) => (client) => client.insist('PATCH', path, { body, headers: { 'if-match': '*' } });
  const person = () => one(users).id;
  const item = () => one(items);
  const makers = [
    (id) => ['/v1/follow-ups', { body: { account_id: id, title: 'Call', due_at: tomorrow(), assignee_id: person(), ...(pick(2) && { recurrence: 'FREQ=DAILY' }) } }],
    (id) => [`/v1/accounts/${id}/commitments`, { body: { text: 'By March', due_on: '2099-01-01', made_by_id: person() } }],
    (id) => [`/v1/accounts/${id}/projects`, { body: { title: 'Warehouse', owner_id: person() } }],
    (id) => [`/v1/accounts/${id}/needs`, { body: { kind: 'growth', title: 'Staff', owner_id: person() } }],
    (id) => ['/v1/plans', { body: { account_id: id, title: 'Plan', period_start: '2026-01-01', period_end: '2026-12-31', objectives: objectives({ id: person() }, { id: person() }) } }],
  ];
  const steps = [
    () => patch(`/v1/accounts/${one(accounts).id}`, { [one(['manager_id', 'sponsor_id', 'delegate_id'])]: pick(5) ? person() : null }),
    () => patch(`/v1/users/${person()}`, one([{ active: false }, { active: false }, { active: true }, { manager_id: person() }])),
    () => add(one(makers)(one(accounts).id)),
    () => add(one(makers)(one(accounts).id)),
    () => { const [who, heir] = [person(), person()]; return (client) => client.insist('POST', `/v1/users/${who}/deactivate`, { body: { transfer_to_id: heir } }); },
    () => { const who = person(); const back = pick(2); return (client) => client.insist(back ? 'POST' : 'DELETE', `/v1/users/${who}${back ? '/restore' : ''}`, back ? { body: {} } : { headers: { 'if-match': '*' } }); },
    () => { const path = item(); return patch(path, path.includes('follow-ups') ? { status: one(['open', 'done']), ...(pick(2) && { assignee_id: person() }) } : path.includes('commitments') ? { status: one(['open', 'kept', 'broken']) } : path.includes('projects') ? { status: one(['active', 'done']) } : path.includes('plans') ? { objectives: objectives({ id: person() }, { id: person() }) } : { title: 'Another' }); },
    () => { const path = item(); const back = pick(2); return (client) => client.insist(back ? 'POST' : 'DELETE', `${path}${back ? '/restore' : ''}`, back ? { body: {} } : { headers: { 'if-match': '*' } }); },
    () => { const { id } = one(accounts.slice(3)); const back = pick(2); return (client) => client.insist(back ? 'POST' : 'DELETE', `/v1/accounts/${id}${back ? '/restore' : ''}`, back ? { body: {} } : { headers: { 'if-match': '*' } }); },
    () => { const body = { fallback_alert_user_id: person() }; return async (client) => client.insist('PATCH', '/v1/program/settings', { body, headers: { 'if-match': (await client.get('/v1/program/settings')).etag } }); },
  ];
  for (const make of makers) assert.equal((await add(make(accounts[0].id))(api)).status, 201);
  let over = false;
  let asked = 0;
  const watch = (async () => {
    for (; !over; asked++) {
      const caller = await apis[asked % 2].get(`/v1/recognition?account_number=${keys[asked % 3].account_number}`);
      assert.ok(caller.is_key && caller.alert.length > 0, `${keys[asked % 3].name}: ${JSON.stringify(caller)}`);
    }
  })();
  const seen = {};
  const rounds = process.env.SOAK ? 400 : 40;
  try {
    for (let round = 0; round < rounds; round++) {
      // One after the other, or several at the same moment.
      const answers = await Promise.all(Array.from({ length: 1 + pick(5) }, (_, i) => one(steps)()(apis[i % 2])));
      for (const { status, text } of answers) {
        assert.ok([200, 201, 204, 404, 409, 412, 422].includes(status), text);
        seen[status] = (seen[status] ?? 0) + 1;
      }
      assert.equal(sql(world.settings, GONE), '', `round ${round}`);
    }
  } finally {
    over = true;
    await watch;
  }
  t.diagnostic(`${JSON.stringify(seen)}; asked ${asked} times whom to alert`);
});
