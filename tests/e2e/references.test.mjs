// What one does not see is answered like what never was: every reference of every descriptor, and every path, in status, body and what it costs.
import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { KINDS } from './lib/lifecycle.mjs';
import { addUser, makePlan } from './lib/planning.mjs';
import { KAMD, openSession, sql } from './lib/stack.mjs';
import { until } from './lib/wait.mjs';
import { DEADLINES, makeAccount, openWorld, unique } from './lib/world.mjs';

const NONE = '01970000-0000-7000-8000-000000000000';
const printed = JSON.parse(execFileSync(KAMD, ['--print-api'], { encoding: 'utf8', maxBuffer: 1 << 26 }));
const resources = Object.fromEntries(printed.resources.map((resource) => [resource.name, resource]));

let world, api, manager, mine, hidden;
// A record of each kind that something refers to, below an account.
async function targetsBelow(account) {
  const below = (path) => `/v1/accounts/${account.id}/${path}`;
  return {
    account,
    contact: await api.create('/v1/contacts', { account_id: account.id, family_name: unique('Anders') }),
    plan: await makePlan(api, account),
    review: await api.create('/v1/reviews', KINDS.reviews.make(account)),
    need: await api.create(below('needs'), KINDS.needs.make(account)),
    project: await api.create(below('projects'), KINDS.projects.make(account)),
  };
}
before(async () => {
  world = await openWorld({ own: true, workers: 0, preload: 'pg_stat_statements', deadlines: DEADLINES, settings: { KAMD_RATE_LIMIT: '0' } });
  ({ api } = world);
  const user = await addUser(api);
  manager = await world.clientOf('account_manager', { user_id: user.id });
  mine = await targetsBelow(await makeAccount(api, { manager_id: user.id, level: 'national' }));
  hidden = await targetsBelow(await makeAccount(api, { level: 'global' }));
  mine.user = user;
  hidden.user = await addUser(api);
  await api.remove(`/v1/users/${hidden.user.id}`, hidden.user.etag); // people are seen by all: one who is gone stands for one who is hidden
});
after(() => world?.close());

// ---- references -------------------------------------------------------------------------------------

// [{names, field}]: the fields of the descriptor that name records, however deep.
const references = (fields, names = []) => fields.filter(({ read_only }) => !read_only).flatMap((field) => [
  ...(field.ref ? [{ names: [...names, field], field }] : []), ...(field.fields ? references(field.fields, [...names, field]) : [])]);

const SAMPLES = { text: () => 'x', date: () => '2027-01-31', int: ({ min }) => min || 1, decimal: () => '1', bool: () => true, enum: ({ values }) => values[0] };
const sample = (field) => SAMPLES[field.type](field);
// {pointer, value}: a value of the outermost field in which the innermost is `id`, and what else is needed beside it.
function naming([field, ...inner], id) {
  if (!inner.length) return field.type === 'texts' ? { pointer: `/${field.name}/0`, value: [id] } : { pointer: `/${field.name}`, value: id };
  const { pointer, value } = naming(inner, id);
  const beside = field.fields.filter(({ required, name }) => required && name !== inner[0].name).map((one) => [one.name, sample(one)]);
  const object = { ...Object.fromEntries(beside), [inner[0].name]: value };
  return field.type === 'docs' ? { pointer: `/${field.name}/0${pointer}`, value: [object] } : { pointer: `/${field.name}${pointer}`, value: object };
}
const plain = ({ status, body }) => ({ status, ...body, instance: null, request_id: null });

const SECTION = 'capabilities';
// How a record of a kind is made and changed; the kinds of lifecycle.mjs and those that are made by others.
const WAYS = {
  ...Object.fromEntries(Object.values(KINDS).map((kind) => {
    const path = kind.path({ id: '{account_id}' });
    return [printed.routes.find((route) => route.path === path).resource, kind];
  })),
  account: { path: () => '/v1/accounts', make: () => ({ name: unique('Account'), level: 'regional', manager_id: mine.account.manager_id }) },
  nomination: { path: () => '/v1/program/nominations', make: () => ({ account_id: mine.account.id, region: unique('North'), reason: 'It grows.' }) },
  webhook_endpoint: { path: () => '/v1/webhook-endpoints', make: () => ({ url: 'http://127.0.0.1:9/hook' }) },
};
const pathOf = (resource, id) => (resource === 'plan_section' ? `/v1/plans/${mine.plan.id}/sections/${SECTION}` : `${WAYS[resource].path(mine.account)}/${id}`);
const caller = (resource) => (['user', 'webhook_endpoint', 'order'].includes(resource) ? api : manager); // whoever may write them

for (const resource of printed.resources) {
  for (const { names, field } of references(resource.fields)) {
    const what = `${resource.name}.${names.map(({ name }) => name).join('.')}`;
    if (resource.name === 'plan_section' && field.name !== 'user_id') continue; // of a section nothing but its contributors is written
    const nested = resource.nested && field.name === 'account_id'; // the path says it: see the test of paths
    if (!nested) test(`${what}: hidden, deleted and never been are one`, () => answersAlike(resource, names, field));
  }
}

async function answersAlike(resource, names, field) {
  const client = caller(resource.name), own = { ...mine, account: mine.account };
  const made = resource.name === 'plan_section' ? await api.get(pathOf(resource.name)) : await api.create(WAYS[resource.name].path(own.account), await WAYS[resource.name].make(own.account, api));
  const create = names[0].create_only;
  const send = async (id, by = client) => {
    const { pointer, value } = naming(names, id);
    const answer = create
      ? await by.send('POST', WAYS[resource.name].path(own.account), { body: { ...await WAYS[resource.name].make(own.account, api), [names[0].name]: value } })
      : await by.send('PATCH', pathOf(resource.name, made.id), { body: { [names[0].name]: value }, headers: { 'if-match': (await api.get(pathOf(resource.name, made.id))).etag } });
    return { answer, pointer };
  };
  const { answer: none, pointer } = await send(NONE);
  assert.equal(none.status, 422, none.text);
  assert.deepEqual(none.body.errors.map((error) => [error.pointer, error.code]), [[pointer, 'unknown_reference']], none.text);
  if (client === manager || field.ref === 'user') assert.deepEqual(plain((await send(hidden[field.ref].id)).answer), plain(none), 'hidden');
  if (field.same_account) {
    const { answer } = await send(hidden[field.ref].id, api);
    assert.deepEqual([answer.status, answer.body.errors?.map((error) => [error.pointer, error.code, error.detail])],
      [422, [[pointer, 'unknown_reference', `This ${field.ref} is of another account.`]]], answer.text);
  }
  if (field.ref !== 'user') {
    const gone = field.ref === 'account' ? await makeAccount(api, { manager_id: mine.account.manager_id }) : (await targetsBelow(mine.account))[field.ref];
    const at = field.ref === 'need' || field.ref === 'project' ? `/v1/accounts/${mine.account.id}/${field.ref}s/${gone.id}` : `/v1/${field.ref}s/${gone.id}`;
    await api.remove(at, (await api.get(at)).etag);
    assert.deepEqual(plain((await send(gone.id)).answer), plain(none), 'deleted');
  }
  const target = field.ref === 'account' ? await makeAccount(api, { manager_id: mine.account.manager_id, level: 'global' }) : mine[field.ref];
  const { answer: seen } = await send(target.id);
  assert.ok([200, 201].includes(seen.status), `one that is seen: ${seen.text}`);
}

test('every field of ids says what they are ids of', () => {
  const forgotten = [];
  const look = (fields, at) => fields.forEach((field) => {
    const ids = (field.type === 'id' && field.name !== 'id' && !field.read_only) || (field.type === 'texts' && field.format === 'id');
    if (ids && !resources[field.ref]) forgotten.push(`${at}.${field.name}`);
    if (field.fields) look(field.fields, `${at}.${field.name}`);
  });
  printed.resources.forEach(({ name, fields }) => look(fields, name));
  assert.deepEqual(forgotten, []);
});

test('all that is wrong is told at once, what was there before may stay, and ids are kept in lower case', async () => {
  const path = `/v1/accounts/${mine.account.id}/interactions`;
  const visit = { kind: 'visit', channel: 'in_person', occurred_at: '2026-05-05T10:00:00Z' };
  const wrong = await manager.fails(422, 'validation_failed', 'POST', path, { body: { ...visit, contact_ids: [mine.contact.id, NONE, hidden.contact.id], user_id: NONE, need_ids: [hidden.need.id] } });
  assert.deepEqual(wrong.errors.map(({ pointer }) => pointer).sort(), ['/contact_ids/1', '/contact_ids/2', '/need_ids/0', '/user_id']);
  const leaving = await api.create('/v1/contacts', { account_id: mine.account.id, family_name: unique('Leaves') });
  const made = await manager.create(path, { ...visit, contact_ids: [leaving.id.toUpperCase(), mine.contact.id] });
  assert.deepEqual(made.contact_ids, [leaving.id, mine.contact.id]);
  await api.remove(`/v1/contacts/${leaving.id}`, (await api.get(`/v1/contacts/${leaving.id}`)).etag);
  const kept = await manager.patch(`${path}/${made.id}`, made.etag, { contact_ids: [mine.contact.id, leaving.id], notes: 'She has left since.' });
  assert.deepEqual(kept.contact_ids, [mine.contact.id, leaving.id]);
});

test('in bulk each record has its own answer; another system may name what was deleted here', async () => {
  const { body: { results } } = await manager.call(200, 'POST', '/v1/contacts/bulk', { headers: { 'idempotency-key': unique('k') }, body: { records: [
    { account_id: mine.account.id, family_name: 'A', reports_to_id: hidden.contact.id }, { account_id: mine.account.id, family_name: 'B', reports_to_id: mine.contact.id },
    { account_id: mine.account.id, family_name: 'C', reports_to_id: NONE }, { account_id: hidden.account.id, family_name: 'D' }] } });
  assert.deepEqual(results.map(({ success, errors }) => [success, errors.flatMap(({ fields }) => fields)]),
    [[false, ['reports_to_id']], [true, []], [false, ['reports_to_id']], [false, ['account_id']]]);
  assert.deepEqual(results[0].errors, results[2].errors);
  const gone = await api.create('/v1/contacts', { account_id: mine.account.id, family_name: unique('Gone'), external_ids: { crm: unique('c') } });
  await api.remove(`/v1/contacts/${gone.id}`, gone.etag);
  const integration = await world.clientOf('integration');
  await integration.call(201, 'PUT', `/v1/sync/crm/problems/${unique('p')}`, {
    body: { account_id: mine.account.id, category: 'other', title: 'Late', opened_at: '2026-05-05T10:00:00Z', contact_external_id: gone.external_ids.crm } });
});

test('actions that name people and contacts ask the same', async () => {
  const followUp = await api.create('/v1/follow-ups', KINDS['follow-ups'].make(mine.account));
  const ways = [
    [`/v1/accounts/${mine.account.id}/expectations`, (id) => ({ rater: 'customer', ratings: [{ expectation: 'accessible', rating: 3 }], contact_id: id }), '/contact_id', hidden.contact.id, mine.contact.id, manager],
    [`/v1/follow-ups/${followUp.id}/assign`, (id) => ({ assignee_id: id }), '/assignee_id', hidden.user.id, mine.user.id, manager],
    ['/v1/api-keys', (id) => ({ name: unique('key'), role: 'member', user_id: id }), '/user_id', hidden.user.id, mine.user.id, api],
  ];
  for (const [path, body, pointer, unseen, seen, client] of ways) {
    const none = await client.send('POST', path, { body: body(NONE) });
    assert.deepEqual([none.status, none.body.errors?.[0].pointer], [422, pointer], none.text);
    assert.deepEqual(plain(await client.send('POST', path, { body: body(unseen) })), plain(none), path);
    assert.ok((await client.send('POST', path, { body: body(seen) })).status < 300, path);
  }
});

test('a contact of one\'s own account is hidden, too, from who does not read its contacts', async () => {
  const user = await addUser(api), member = await world.clientOf('member', { user_id: user.id });
  await api.create(`/v1/accounts/${mine.account.id}/team`, { user_id: user.id, role: 'customer_support', grants: [{ areas: ['contacts'], effect: 'remove' }, { areas: ['problems', 'reviews'] }] });
  const problem = (contact_id) => member.send('POST', `/v1/accounts/${mine.account.id}/problems`, { body: { category: 'other', title: 'x', opened_at: '2026-05-05T10:00:00Z', contact_id } });
  assert.equal((await problem(null)).status, 201);
  const none = await problem(NONE);
  assert.equal(none.status, 422);
  assert.deepEqual(plain(await problem(mine.contact.id)), plain(none));
});

// ---- nothing dangles ----------------------------------------------------------------------------------

test('nothing is put below an account that is being deleted', async () => {
  const parent = await makeAccount(api, { level: 'global' }), session = openSession(world.settings);
  await session.ask(`begin; update account set deleted_at = now() where id = '${parent.id}' returning 'deleted'`);
  const child = `insert into account (id, name, level, parent_id) values (gen_random_uuid(), 'Orphan', 'regional', '${parent.id}')`;
  const refused = assert.rejects(promisify(execFile)('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', '-c', child, world.settings.DATABASE_SUPERUSER_URL]), /The parent was deleted/);
  const waits = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query like '%Orphan%' and pid <> pg_backend_pid()";
  await until(() => sql(world.settings, waits) === '1', { what: 'the child waiting for its parent' });
  await session.ask("commit; select 'committed'");
  await refused;
  await session.close();
});

// ---- what a path names ----------------------------------------------------------------------------------

// Every way that names an account, or a record below one, in its path.
const below = (path) => /^\/v1\/(accounts|contacts|plans|reviews|follow-ups)\/\{/.test(path);
const BODIES = { interaction: 'interactions', problem: 'problems', commitment: 'commitments', need: 'needs', solution: 'solutions', investment: 'investments', project: 'projects', link: 'links', wallet: 'wallet' };
const ACTIONS = { snooze: { minutes: 5 }, assign: { assignee_id: NONE }, move: { account_id: NONE } };
const paths = printed.routes.filter(({ path, verb, method }) => below(path) && ['read', 'write'].includes(verb) && (method === 'GET' || !path.endsWith('/bulk')));

// The request that a route makes of ids: [method, path, options].
async function request({ method, path, resource }, ids) {
  const kind = path.split('/')[2], first = { accounts: 'account', contacts: 'contact', plans: 'plan', reviews: 'review', 'follow-ups': 'follow_up' }[kind];
  const url = path.replace('{account_id}', ids.account).replace(/(?<=^\/v1\/[a-z-]+\/)\{id\}/, ids[first]).replace('{id}', NONE).replace('{section}', SECTION).replace('{version_no}', '1');
  const action = path.split('/').at(-1), made = method === 'POST' && action === BODIES[resource];
  const body = method === 'GET' || method === 'DELETE' ? undefined : made ? await KINDS[action].make(mine.account, api) : ACTIONS[action] ?? {};
  return [method, url, { body, headers: { 'if-match': mine.account.etag } }];
}

test(`${paths.length} paths, and references: hidden and never been are one, also in what they cost`, async () => {
  const followUp = await api.create('/v1/follow-ups', KINDS['follow-ups'].make(hidden.account));
  // A caller with many accounts: to put them together is what is done for one that is there, or for none.
  sql(world.settings, `insert into account (id, name, manager_id) select gen_random_uuid(), 'Mine too', '${mine.account.manager_id}' from generate_series(1, 300);
    create extension pg_stat_statements`);
  sql(world.settings, 'analyze');
  const there = { account: hidden.account.id, contact: hidden.contact.id, plan: hidden.plan.id, review: hidden.review.id, follow_up: followUp.id };
  const nowhere = { account: NONE, contact: NONE, plan: NONE, review: NONE, follow_up: NONE };
  const [kamd] = [await world.add({}, 'serve', '--no-worker'), await world.kamds.shift().stop()];
  api = api.at(kamd.url);
  const session = openSession(world.settings);
  await session.ask('select pg_stat_statements_reset()');
  const polls = "select max(calls) >= 8, string_agg(queryid::text, ',') from pg_stat_statements where userid = 'kamd_app'::regrole";
  const [, idle] = await until(async () => { const now = (await session.ask(polls)).split('|'); return now[0] === 't' && now; }, { what: 'what a process asks by itself' });
  // Blocks of all statements of the API so far, but those that run by themselves.
  const blocks = async () => Number(await session.ask(`select coalesce(sum(shared_blks_hit + shared_blks_read), 0) from pg_stat_statements
    where userid = 'kamd_app'::regrole and queryid <> all ('{${idle}}')`));
  const trouble = [];
  const compare = async (what, status, requestOf) => {
    const [a, b] = [await cost(await requestOf(there), blocks), await cost(await requestOf(nowhere), blocks)];
    assert.deepEqual(plain(a.answer), plain(b.answer), what);
    if (a.answer.status !== status) trouble.push(`${what}: ${a.answer.status}`);
    // A row that is found is a few blocks; the caller's accounts are more.
    if (Math.abs(a.blocks - b.blocks) > 8) trouble.push(`${what}: ${a.blocks} blocks against ${b.blocks}`);
  };
  for (const route of paths) await compare(`${route.method} ${route.path}`, 404, (ids) => request(route, ids));
  const { etag } = await api.get(`/v1/accounts/${mine.account.id}`), at = `/v1/accounts/${mine.account.id}`;
  const bodies = [
    ['PATCH', at, ({ account }) => ({ parent_id: account })], ['POST', `${at}/links`, ({ account }) => ({ name: 'x', kind: 'allied_of_customer', linked_account_id: account })],
    ['POST', `${at}/interactions`, ({ contact }) => ({ kind: 'visit', channel: 'phone', occurred_at: '2026-05-05T10:00:00Z', contact_ids: [contact] })],
    ['POST', '/v1/contacts', ({ account }) => ({ account_id: account, family_name: 'x' })],
  ];
  for (const [method, path, body] of bodies) await compare(`${method} ${path}`, 422, (ids) => [method, path, { body: body(ids), headers: { 'if-match': etag } }]);
  await session.close();
  assert.deepEqual(trouble, []);
});

// The least of three, after as many as it takes for the plans to be those that stay.
async function cost(args, blocks) {
  const client = manager.at(api.url);
  for (let i = 0; i < 6; i++) await client.send(...args);
  const costs = [];
  let answer;
  for (let i = 0; i < 3; i++) {
    const before_ = await blocks();
    answer = await client.send(...args);
    costs.push(await blocks() - before_);
  }
  return { answer, blocks: Math.min(...costs) };
}
