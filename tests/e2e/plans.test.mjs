// Plans in full: the single template with typed sections, activation with all its gates, versions
// that never change and their difference, acknowledgements, the customer's copy.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import jsonpatch from 'fast-json-patch';
import { events, places } from './lib/client.mjs';
import { SECTIONS, addUser, completeSections, fitCheck, makePlan, readyPlan } from './lib/planning.mjs';
import { sql } from './lib/stack.mjs';
import { inParallel, until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api;
before(async () => {
  world = await openWorld();
  ({ api } = world);
});
after(() => world?.close());

const post = (status, path, body, client = api) => client.call(status, 'POST', path, { body }).then((answer) => answer.body);
const section = (plan, name) => `/v1/plans/${plan.id}/sections/${name}`;
const write = async (plan, name, body, status = 200) => (await api.call(status, 'PATCH', section(plan, name), { body, headers: { 'if-match': (await api.get(section(plan, name))).etag } })).body;
const codes = (problem) => problem.errors.map(({ code }) => code);

// ---- the template -------------------------------------------------------------------------------

test('one template for all: nine sections, in force as version 1 (002-10, 004-15)', async () => {
  const { data } = await api.get('/v1/plan-templates');
  assert.deepEqual(data.filter(({ active }) => active).map(({ version }) => version), [1]);
  const template = await api.get('/v1/plan-templates/1');
  assert.deepEqual(template.sections.map((one) => one.section), [...SECTIONS, 'interaction_history']);
  assert.deepEqual(template.sections.filter(({ shared }) => !shared).map((one) => one.section),
    [...SECTIONS.slice(0, 5), 'interaction_history'], 'what the customer does not see');
  await api.fails(404, 'not_found', 'GET', '/v1/plan-templates/99');
  const plan = await makePlan(api, await makeAccount(api));
  assert.equal(plan.template_version, 1);
});

test('typed fields are checked, all at once; other members are free (004-16 to 004-18)', async () => {
  const account = await makeAccount(api), stranger = await makeAccount(api);
  const plan = await makePlan(api, account);
  const contact = await api.create('/v1/contacts', { account_id: account.id, family_name: 'Anders', decision_role: 'decision_maker' });
  const foreign = await api.create('/v1/contacts', { account_id: stranger.id, family_name: 'Berg' });
  const wrong = await write(plan, 'contacts_and_decisions', {
    content: { steps: [{ step: 'Shortlist', decision_makers: [contact.id], due_on: '2026-02-30' }, { step: 5, influencers: [contact.id, foreign.id] }] },
  }, 422);
  assert.deepEqual(places(wrong), ['/content/steps/0/due_on', '/content/steps/1/step', '/content/steps/1/influencers/1']);
  assert.deepEqual(codes(wrong), ['wrong_type', 'wrong_type', 'unknown_reference']);
  const content = { steps: [{ step: 'Shortlist', decision_makers: [contact.id], influencers: [], mood: 'good' }, 'Signature'], notes: { anything: [1, { at: 'all' }] } };
  const written = await write(plan, 'contacts_and_decisions', { content });
  assert.deepEqual([written.content, written.state], [content, 'in_progress'], 'kept as it is; what holds something is not empty');
  assert.deepEqual(places(await write(plan, 'negotiations', { content: { negotiations: [{ title: 'Fine' }, 5] } }, 422)), ['/content/negotiations']);
  assert.deepEqual(places(await write(plan, 'negotiations', { content: { negotiations: { next_step_on: 'soon' } } }, 422)), ['/content/negotiations/next_step_on'], 'one row');
  await write(plan, 'negotiations', { content: { negotiations: [{ title: 'Frame contract', stage: 'offer', next_step: 'Meet', next_step_on: '2026-12-01' }] } });
});

test('contributors: a person or a function, by a date; who is late is named (004-11)', async () => {
  const plan = await makePlan(api, await makeAccount(api));
  const user = await addUser(api);
  const contributors = [{ function: 'finance', due_on: '2020-01-31' }, { user_id: user.id, due_on: '2999-01-31' }];
  const written = await write(plan, 'capabilities', { contributors });
  assert.deepEqual(written.overdue.map((one) => one.function), ['finance']);
  assert.deepEqual(written.contributors.map((one) => one.user_id ?? null), [null, user.id]);
  assert.deepEqual(places(await write(plan, 'capabilities', { contributors: [{ due_on: '2026-01-31' }] }, 422)), ['/contributors/0/function']);
  assert.deepEqual((await write(plan, 'capabilities', { state: 'complete' })).overdue, [], 'a complete section waits for nobody');
});

test('a template that makes no sense is refused, with every fault', async () => {
  const { sections } = await api.get('/v1/plan-templates/1');
  const broken = structuredClone(sections);
  broken[0].fields = [{ name: 'a', kind: 'choice' }, { name: 'a', kind: 'text' }, { name: 'other', kind: 'text' }, { name: 't', kind: 'table' }, { name: 'Not a slug', kind: 'text' }];
  assert.deepEqual(places(await post(422, '/v1/plan-templates', { sections: broken })), ['/sections/0/fields/4/name']);
  broken[0].fields.pop();
  assert.deepEqual(places(await post(422, '/v1/plan-templates', { sections: broken })).sort(),
    ['/sections/0/fields/0/choices', '/sections/0/fields/1/name', '/sections/0/fields/2/name', '/sections/0/fields/3/columns']);
  assert.deepEqual(places(await post(422, '/v1/plan-templates', { sections: [...sections.slice(1), sections[2]] })).sort(), ['/sections', '/sections/8/section']);
  assert.deepEqual(places(await post(400, '/v1/plan-templates', { sections: [{ ...sections[0], section: 'miscellaneous' }, ...sections.slice(1)] })), ['/sections/0/section']);
  const manager = await world.clientOf('account_manager', { user_id: (await addUser(api)).id });
  await post(403, '/v1/plan-templates', { sections }, manager);
});

// ---- next year's plan --------------------------------------------------------------------------

test('copy_from: sections in progress, what is not reached with its open actions, opportunities, strategies; win-win anew', async () => {
  const account = await makeAccount(api), user = await addUser(api);
  const need = await api.create(`/v1/accounts/${account.id}/needs`, { kind: 'growth', title: 'Space' });
  const objective = (title, fields = {}) => ({ title, ...fields });
  const action = (title, status, fields = {}) => ({ title, ...(status && { status }), ...fields });
  // On each side of the target, and on it.
  const reached = [objective('up, at', { baseline: '10', target: '20', current: '20' }), objective('up, above', { target: '20', current: '20.0001' }),
    objective('down, at', { baseline: '9', target: '3', current: '3' }), objective('down, below', { baseline: '9', target: '3', current: '2.9999' }),
    objective('all over', { actions: [action('a', 'done'), action('b', 'cancelled')] })];
  const open = [objective('up, below', { baseline: '10', target: '20', current: '19.9999', owner_id: user.id, actions: [action('done', 'done'), action('open', 'open', { need_id: need.id, due_on: '2026-03-01' }), action('under way', 'in_progress'), action('unsaid')] }),
    objective('down, above', { baseline: '9', target: '3', current: '3.0001' }), objective('unknown', { target: '3', actions: [action('a', 'done'), action('b', 'open')] }), objective('no action')];
  const before = await makePlan(api, account, { objectives: [...reached, ...open] });
  await completeSections(api, before, SECTIONS.slice(0, 2));
  await write(before, SECTIONS[1], { contributors: [{ user_id: user.id, due_on: '2026-02-01' }, { function: 'finance' }] });
  await api.remove(`/v1/accounts/${account.id}/needs/${need.id}`, need.etag);

  const next = (fields = {}) => api.create('/v1/plans', { account_id: account.id, title: unique('Next'), period_start: '2027-01-01', period_end: '2027-12-31', copy_from: before.id, ...fields });
  const plan = await next();
  assert.deepEqual([plan.copy_from, plan.status, plan.version_no, plan.win_win], [before.id, 'draft', 0, []]);
  assert.deepEqual([plan.opportunities, plan.company_strategy, plan.client_strategy], [before.opportunities, before.company_strategy, before.client_strategy]);
  assert.deepEqual(plan.objectives.map(({ title }) => title), open.map(({ title }) => title));
  assert.deepEqual(plan.objectives[0].actions, [{ title: 'open', status: 'open', due_on: '2026-03-01' }, { title: 'under way', status: 'in_progress' }, { title: 'unsaid' }], 'the need is gone');
  assert.equal(plan.objectives[0].owner_id, user.id);
  const { data } = await api.get(`/v1/plans/${plan.id}/sections`);
  const typed = Object.fromEntries(data.map((one) => [one.section, one]));
  assert.deepEqual(SECTIONS.map((name) => typed[name].state), ['in_progress', 'in_progress', ...Array(6).fill('empty')]);
  assert.deepEqual([typed[SECTIONS[0]].content, typed[SECTIONS[1]].contributors], [{ notes: `About ${SECTIONS[0]}` }, [{ user_id: user.id }, { function: 'finance' }]]);
  // What is given counts, and what is copied is fixed.
  const given = await next({ objectives: [{ title: 'Only' }], opportunities: [{ kind: 'expand' }], company_strategy: 'Another', win_win: [{ our_gain: 'a', their_gain: 'b' }] });
  assert.deepEqual([given.objectives.length, given.opportunities.length, given.company_strategy, given.client_strategy, given.win_win.length], [1, 1, 'Another', before.client_strategy, 1]);
  await api.call(422, 'PATCH', `/v1/plans/${plan.id}`, { body: { copy_from: null }, headers: { 'if-match': plan.etag } });
  const stranger = await makePlan(api, await makeAccount(api));
  const refused = await post(422, '/v1/plans', { account_id: account.id, title: 'x', period_start: '2027-01-01', period_end: '2027-12-31', copy_from: stranger.id });
  assert.deepEqual([places(refused), codes(refused)], [['/copy_from'], ['unknown_reference']]);
});

// ---- activation ----------------------------------------------------------------------------------

test('activation names every gate that is shut (000-01, 000-08, 004-02, 004-10)', async () => {
  const account = await makeAccount(api);
  const plan = await makePlan(api, account, { win_win: [{ our_gain: 'Revenue', their_gain: 'Time' }, { our_gain: 'More', their_gain: ' ' }] });
  const problem = await post(409, `/v1/plans/${plan.id}/activate`, {});
  assert.equal(problem.code, 'plan_not_ready');
  assert.deepEqual(places(problem), ['/fit_check', ...SECTIONS.map((name) => `/sections/${name}`), '/win_win/1/their_gain', '/account/manager_id']);
  assert.deepEqual([...new Set(codes(problem))], ['fit_check_required', 'section_incomplete', 'win_win_one_sided', 'manager_required']);
  assert.equal((await api.get(`/v1/plans/${plan.id}`)).status, 'draft');
});

test('with nothing but the fit check missing the code says so; an old one is none (000-01)', async () => {
  const { account, plan } = await readyPlan(api, { fit: false });
  assert.equal((await post(409, `/v1/plans/${plan.id}/activate`, {})).code, 'fit_check_required');
  fitCheck(world, account, { checked_on: '2020-01-01' });
  const old = await post(409, `/v1/plans/${plan.id}/activate`, {});
  assert.equal(old.code, 'fit_check_required');
  assert.match(old.detail, /2020-01-01/);
  fitCheck(world, account, { sales_cycle: 'transactional' });
  assert.deepEqual(codes(await post(409, `/v1/plans/${plan.id}/activate`, {})), ['fit_check_unsuitable']);
  fitCheck(world, account);
  assert.equal((await post(200, `/v1/plans/${plan.id}/activate`, {})).status, 'active');
});

test('an account of tier A needs a sponsor (000-14)', async () => {
  const { account, plan } = await readyPlan(api, { world });
  await api.call(201, 'POST', `/v1/accounts/${account.id}/designate`, { body: {} });
  assert.deepEqual(codes(await post(409, `/v1/plans/${plan.id}/activate`, {})), ['sponsor_required_for_tier_a']);
  const { etag } = await api.get(`/v1/accounts/${account.id}`);
  await api.patch(`/v1/accounts/${account.id}`, etag, { sponsor_id: (await addUser(api)).id });
  await post(200, `/v1/plans/${plan.id}/activate`, {});
});

test('one plan is active: the one before closes, and does not change any more', async () => {
  const { account, plan } = await readyPlan(api, { world });
  await post(200, `/v1/plans/${plan.id}/activate`, {});
  const next = await makePlan(api, account);
  await completeSections(api, next);
  const activated = await post(200, `/v1/plans/${next.id}/activate`, {});
  assert.deepEqual([activated.status, activated.version_no], ['active', 1]);
  const former = await api.get(`/v1/plans/${plan.id}`);
  assert.equal(former.status, 'closed');
  await api.fails(409, 'conflict', 'PATCH', `/v1/plans/${plan.id}`, { body: { title: 'x' }, headers: { 'if-match': former.etag } });
  assert.equal((await write(plan, 'strategies', { content: { current: 'x' } }, 409)).code, 'conflict');
  assert.equal((await post(409, `/v1/plans/${plan.id}/activate`, {})).code, 'conflict');
  assert.equal((await post(200, `/v1/plans/${next.id}/close`, {})).status, 'closed');
  await post(409, `/v1/plans/${next.id}/close`, {});
});

test('who fills in sections does not put the plan in force (004-10); If-Match is heeded', async () => {
  const { account, plan } = await readyPlan(api, { world });
  const user = await addUser(api);
  await api.create(`/v1/accounts/${account.id}/team`, { user_id: user.id, role: 'controlling' });
  const member = await world.clientOf('member', { user_id: user.id });
  for (const word of ['activate', 'close']) await post(403, `/v1/plans/${plan.id}/${word}`, {}, member);
  const manager = await world.clientOf('account_manager', { user_id: account.manager_id });
  const act = (status, word, etag) => manager.call(status, 'POST', `/v1/plans/${plan.id}/${word}`, { body: {}, headers: { 'if-match': etag } }).then((answer) => answer.body);
  await manager.patch(`/v1/plans/${plan.id}`, plan.etag, { title: 'Later' });
  assert.ok((await act(412, 'activate', plan.etag)).current_etag);
  const { etag } = await api.get(`/v1/plans/${plan.id}`);
  const active = await act(200, 'activate', etag);
  await act(412, 'close', etag);
  await act(200, 'close', active.etag);
});

test('30 activations of two plans at once: one active plan, versions without gaps', async () => {
  const { account, plan } = await readyPlan(api, { world });
  const other = await makePlan(api, account);
  await completeSections(api, other);
  const answers = await inParallel(30, Array(30).fill(), (_, i) => api.send('POST', `/v1/plans/${i % 2 ? plan.id : other.id}/activate`, { body: {} }));
  assert.ok(answers.every(({ status }) => [200, 409, 503].includes(status)), `${answers.map(({ status }) => status)}`);
  const both = await Promise.all([plan, other].map(({ id }) => api.get(`/v1/plans/${id}`)));
  assert.deepEqual(both.map(({ status }) => status).sort(), ['active', 'closed']);
  for (const one of both) {
    const { data } = await api.get(`/v1/plans/${one.id}/versions`);
    assert.deepEqual(data.map(({ version_no: n }) => n), Array.from({ length: one.version_no }, (_, i) => one.version_no - i));
  }
  assert.equal(both.reduce((sum, one) => sum + one.version_no, 0), answers.filter(({ status }) => status === 200).length);
});

// ---- versions ------------------------------------------------------------------------------------

test('versions never change; their difference is an RFC 6902 patch and lines to read (004-33)', async () => {
  const { plan } = await readyPlan(api, { world });
  const path = `/v1/plans/${plan.id}`;
  assert.deepEqual((await api.get(`${path}/versions`)).data, []);
  const first = await post(200, `${path}/activate`, { customer_impact: 'positive', note: 'As agreed.' });
  assert.deepEqual([first.version_no, first.changed_since_version], [1, false]);
  await api.patch(path, first.etag, {
    title: 'Broader / ~ "plan"', client_strategy: null,
    objectives: [{ title: 'Zeroth' }, { ...plan.objectives[0], target: '25' }, ...plan.objectives.slice(2)],
  });
  assert.equal((await api.get(path)).changed_since_version, true);
  await write(plan, 'strategies', { content: { current: ['Steel'], 'with/slash~tilde': { n: 1.5 }, future: null } });
  const second = await post(200, `${path}/activate`, {});
  assert.deepEqual([second.version_no, second.changed_since_version], [2, false]);
  const [one, two] = [await api.get(`${path}/versions/1`), await api.get(`${path}/versions/2`)];
  assert.deepEqual([one.kind, one.customer_impact, one.note, one.content.title], ['activated', 'positive', 'As agreed.', plan.title]);
  for (const [to, against] of [[2, 1], [1, 2], [2, 0], [1, 1]]) {
    const diff = await api.get(`${path}/versions/${to}/diff?against=${against}`);
    const from = { 0: {}, 1: one.content, 2: two.content }[against];
    assert.equal(jsonpatch.validate(diff.patch, from), undefined);
    assert.deepEqual(jsonpatch.applyPatch(structuredClone(from), diff.patch, true).newDocument, { 1: one.content, 2: two.content }[to], `${against} -> ${to}`);
    assert.equal(diff.lines.length, diff.patch.length);
  }
  const diff = await api.get(`${path}/versions/2/diff`);
  assert.equal(diff.against, 1, 'the version before, unless another is named');
  assert.ok(diff.lines.includes(`title: ${JSON.stringify(plan.title)} became "Broader / ~ \\"plan\\""`), diff.lines.join('\n'));
  await api.fails(404, 'not_found', 'GET', `${path}/versions/3`);
  await api.fails(404, 'not_found', 'GET', `${path}/versions/2/diff?against=7`);
  await api.fails(400, 'invalid_request', 'GET', `${path}/versions/2/diff?against=last`);
});

test('random documents: each difference, applied by fast-json-patch, gives the other', async () => {
  let seed = 20261122;
  const below = (n) => Math.floor((seed = (seed * 1103515245 + 12345) % 2147483648) / 65536) % n; // its low bits are not random
  const word = () => ['a', 'b/c', '~d', '', 'ü', 'e f'][below(6)];
  const value = (depth) => [() => below(100), word, () => below(2) === 0, word,
    () => Array.from({ length: below(5) }, () => value(depth - 1)), () => Object.fromEntries(Array.from({ length: below(4) }, () => [word() || 'x', value(depth - 1)]))][below(depth > 0 ? 6 : 4)]();
  const { plan } = await readyPlan(api, { world });
  const contents = [];
  for (let i = 0; i < 8; i++) {
    const content = Object.fromEntries(Array.from({ length: 5 }, (_, k) => [`free${k}`, value(4)]));
    const { etag } = await api.get(section(plan, 'values_beliefs'));
    await api.call(200, 'PUT', section(plan, 'values_beliefs'), { body: { state: 'complete', content }, headers: { 'if-match': etag } });
    await post(200, `/v1/plans/${plan.id}/activate`, {});
    contents.push((await api.get(`/v1/plans/${plan.id}/versions/${i + 1}`)).content);
    assert.deepEqual(contents[i].sections.values_beliefs.content, content);
  }
  for (let to = 0; to < 8; to++) {
    for (let from = 0; from < 8; from++) {
      const { patch } = await api.get(`/v1/plans/${plan.id}/versions/${to + 1}/diff?against=${from + 1}`);
      assert.deepEqual(jsonpatch.applyPatch(structuredClone(contents[from]), patch, true).newDocument, contents[to], `${from + 1} -> ${to + 1}`);
    }
  }
});

test('members acknowledge a version; who is missing is named (004-03)', async () => {
  const { account, plan } = await readyPlan(api, { world });
  const users = await Promise.all([addUser(api), addUser(api), addUser(api)]);
  for (const user of users.slice(0, 2)) await api.create(`/v1/accounts/${account.id}/team`, { user_id: user.id, role: 'customer_support' });
  const path = `/v1/plans/${plan.id}/acknowledgements`;
  const member = await world.clientOf('member', { user_id: users[0].id });
  assert.equal((await post(409, path, {}, member)).code, 'conflict');
  await post(200, `/v1/plans/${plan.id}/activate`, {});
  assert.deepEqual((await api.get(path)).data.map(({ missing }) => missing.length), [2]);
  const said = await post(201, path, { version_no: 1 }, member);
  assert.deepEqual([said.user_id, said.version_no], [users[0].id, 1]);
  assert.deepEqual(await post(200, path, {}, member), said, 'once is enough');
  await post(403, path, { user_id: users[1].id }, member);
  assert.deepEqual(places(await post(422, path, {})), ['/user_id'], 'this key stands for nobody');
  assert.deepEqual(places(await post(422, path, { version_no: 2 }, member)), ['/version_no']);
  assert.deepEqual(places(await post(422, path, { user_id: account.id })), ['/user_id']);
  await post(200, `/v1/plans/${plan.id}/activate`, {});
  await post(201, path, { version_no: 1, user_id: users[1].id });
  const { data } = await member.get(path);
  assert.deepEqual(data.map((one) => [one.version_no, one.acknowledged.map((a) => a.user_id), one.missing.map((m) => m.user_id).sort()]),
    [[2, [], [users[0].id, users[1].id].sort()], [1, [users[0].id, users[1].id], []]]);
  const outsider = await world.clientOf('member', { user_id: users[2].id });
  await outsider.fails(404, 'not_found', 'GET', path);
  await post(404, path, {}, outsider);
});

test("the customer's copy: of the version in force, without what is ours (002-09)", async () => {
  const { plan } = await readyPlan(api, { world });
  await write(plan, 'competitive_environment', { content: { threats: ['SECRET threat'] } });
  await write(plan, 'capabilities', { content: { capabilities: ['Two mills'] } });
  const copy = () => api.get(`/v1/plans/${plan.id}?view=shared`);
  const draft = await copy();
  assert.ok(JSON.stringify(draft).includes('Two mills'));
  await post(200, `/v1/plans/${plan.id}/activate`, {});
  await write(plan, 'capabilities', { content: { capabilities: ['Two mills', 'NOT YET'] } });
  const shared = await copy();
  assert.deepEqual(shared.sections.map((one) => one.section), ['capabilities', 'strategies', 'internal_processes']);
  assert.deepEqual([shared.version_no, shared.win_win, shared.client_strategy], [1, plan.win_win, plan.client_strategy]);
  assert.deepEqual(Object.keys(shared.objectives[0]).sort(), ['actions', 'baseline', 'current', 'due_on', 'metric', 'target', 'title']);
  assert.deepEqual(Object.keys(shared.objectives[0].actions[0]).sort(), ['due_on', 'status', 'title']);
  for (const word of ['SECRET', 'NOT YET', 'company_strategy', plan.company_strategy, 'contributors', 'opportunities']) assert.ok(!JSON.stringify(shared).includes(word), word);
  await api.fails(400, 'invalid_request', 'GET', `/v1/plans/${plan.id}?view=everything`);
  await api.fails(400, 'invalid_request', 'GET', `/v1/plans/${plan.id}?view=shared&fields=title`);
  await api.call(304, 'GET', `/v1/plans/${plan.id}?view=shared`, { headers: { 'if-none-match': shared.etag } });
});

test('events: activated with each version; stale once each time', async () => {
  const { account, plan } = await readyPlan(api, { world });
  await post(200, `/v1/plans/${plan.id}/activate`, {});
  await post(200, `/v1/plans/${plan.id}/activate`, {});
  const of = (type) => events(api, `account_id=${account.id}&types=${type}`);
  const activated = await until(async () => { const all = await of('plan.activated'); return all.length === 2 && all; }, { ms: 20_000, what: 'two events' });
  assert.deepEqual(activated.map(({ data }) => [data.plan_id, data.version_no]), [[plan.id, 1], [plan.id, 2]]);
  sql(world.settings, `update plan_section set updated_at = now() - interval '181 days' where plan_id = '${plan.id}' and section in ('capabilities', 'strategies')`);
  assert.equal((await api.get(section(plan, 'capabilities'))).stale, true);
  const stale = await until(async () => (await of('plan.stale')).at(-1), { ms: 20_000, what: 'plan.stale' });
  assert.deepEqual(stale.data.sections, ['capabilities', 'strategies']);
  await write(plan, 'capabilities', { content: { capabilities: 'Fresh' } });
  assert.equal((await api.get(section(plan, 'capabilities'))).stale, false);
  sql(world.settings, `update plan_section set updated_at = now() - interval '182 days' where plan_id = '${plan.id}' and section = 'capabilities'`);
  await until(async () => (await of('plan.stale')).length === 2, { ms: 20_000, what: 'the second time' });
  assert.deepEqual((await of('plan.stale')).map(({ data }) => data.sections), [['capabilities', 'strategies'], ['capabilities']]);
});

test('section i merges what happened, versions too (004-24)', async () => {
  const { account, plan } = await readyPlan(api, { world });
  await api.create(`/v1/accounts/${account.id}/interactions`, { kind: 'visit', channel: 'in_person', occurred_at: '2026-05-05T10:00:00Z', subject: 'The new mill' });
  await post(200, `/v1/plans/${plan.id}/activate`, {});
  const { data } = await api.get(section(plan, 'interaction_history'));
  assert.deepEqual(data.map(({ kind }) => kind), ['version', 'interaction']);
  assert.deepEqual([data[0].what.plan_id, data[0].what.version_no], [plan.id, 1]);
});

// ---- a new version of the template: last, since it is in force for every plan ---------------------

// Every text, number and truth value of a document.
function words(value, into = new Set()) {
  if (value !== null && typeof value === 'object') for (const one of Object.values(value)) words(one, into);
  else if (value !== null) into.add(JSON.stringify(value));
  return into;
}

test('a new template takes every plan along without losing a word (004-15)', async () => {
  const { sections } = await api.get('/v1/plan-templates/1');
  const { account, plan } = await readyPlan(api, { world });
  await post(200, `/v1/plans/${plan.id}/activate`, {});
  const closed = await makePlan(api, await makeAccount(api));
  await write(closed, 'values_beliefs', { content: { creed: 7, notes: 'Thrift' } });
  await post(200, `/v1/plans/${closed.id}/close`, {});
  let seed = 7;
  const below = (n) => Math.floor((seed = (seed * 1103515245 + 12345) % 2147483648) / 65536) % n; // its low bits are not random
  const kinds = { text: () => `t${below(1e6)}`, texts: () => [`l${below(1e6)}`, `m${below(1e6)}`], number: () => `${below(1e6)}.5`, date: () => '2026-12-24', boolean: () => below(2) === 0 };
  const names = Object.keys(kinds);
  const makeFields = () => ['f1', 'f2', 'f3'].filter(() => below(2) > 0).map((name) => ({ name, kind: names[below(5)], required: false }));
  const withFields = (fields) => ({ sections: sections.map((one) => (one.section === 'values_beliefs' ? { ...one, fields } : one)) });
  const use = async (fields) => {
    const made = await post(201, '/v1/plan-templates', withFields(fields));
    assert.equal(made.active, false);
    assert.equal((await post(200, `/v1/plan-templates/${made.version}/activate`, {})).active, true);
    await until(async () => (await api.get(`/v1/plans/${plan.id}`)).template_version === made.version, { ms: 20_000, what: 'the plan to follow' });
    return made.version;
  };
  let fields = makeFields();
  await use(fields);
  for (let round = 0; round < 8; round++) {
    const typed = Object.fromEntries(fields.filter(() => below(4) > 0).map(({ name, kind }) => [name, kinds[kind]()]));
    await write(plan, 'values_beliefs', { content: { ...typed, [`free${round % 3}`]: { n: below(1e6) } } });
    const was = await api.get(section(plan, 'values_beliefs'));
    fields = makeFields();
    await use(fields);
    const is = await api.get(section(plan, 'values_beliefs'));
    assert.deepEqual(words(is.content), words(was.content), `round ${round}: ${JSON.stringify(was.content)} -> ${JSON.stringify(is.content)}`);
    for (const name of Object.keys(is.content)) assert.ok(name === 'other' || /^(free|notes)/.test(name) || fields.some((field) => field.name === name), `${name} is a field`);
    if (JSON.stringify(is.content) !== JSON.stringify(was.content)) assert.notEqual(is.etag, was.etag, 'whoever edits what was there hears of it');
  }
  assert.equal((await api.get(`/v1/plans/${closed.id}`)).template_version, 1, 'a closed plan stays as it was');
  assert.equal((await api.get(`/v1/plans/${plan.id}`)).changed_since_version, true);

  // What is required is asked for when a section is to be complete, all at once; one that was complete without it is in progress again.
  const strict = await use([{ name: 'creed', kind: 'text', required: true }, { name: 'since', kind: 'date', required: true },
    { name: 'rites', kind: 'table', columns: [{ name: 'name', kind: 'text', required: true }, { name: 'rank', kind: 'choice', choices: ['high', 'low'] }] }]);
  assert.equal((await api.get(section(plan, 'values_beliefs'))).state, 'in_progress');
  const copy = await makePlan(api, { id: closed.account_id }, { copy_from: closed.id });
  assert.deepEqual((await api.get(section(copy, 'values_beliefs'))).content, { notes: 'Thrift', other: { creed: 7 } }, 'a plan that goes on from it is in the template of now');
  const missing = await write(plan, 'values_beliefs', { state: 'complete', content: { rites: [{ rank: 'middle' }] } }, 422);
  assert.deepEqual(places(missing).sort(), ['/content/creed', '/content/rites/0/name', '/content/rites/0/rank', '/content/since']);
  await write(plan, 'values_beliefs', { state: 'complete', content: { creed: 'Quality', since: '1898-01-01', rites: [{ name: 'Crayfish party', rank: 'high' }] } });
  assert.equal((await makePlan(api, account)).template_version, strict, 'a new plan starts in it');
});
