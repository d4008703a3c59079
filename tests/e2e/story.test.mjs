// One year with a key customer, told as it happens: from the question whether to plan at all, to a
// promise that was forgotten. Each chapter goes on from the one before.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { events } from './lib/client.mjs';
import { until } from './lib/wait.mjs';
import { makeAccount, openWorld } from './lib/world.mjs';

let world, director;
const people = {}; // name: {id, client}
let account, contacts, plan, review, held;

before(async () => {
  world = await openWorld();
  director = await world.clientOf('director');
  for (const [name, role] of Object.entries({ manager: 'account_manager', sponsor: 'account_manager', sales: 'member', intelligence: 'member', controlling: 'member', support: 'member' })) {
    const { id } = await director.create('/v1/users', { name, function: name });
    people[name] = { id, client: await world.clientOf(role, { user_id: id }) };
  }
});
after(() => world?.close());

const on = (days) => new Date(Date.now() + days * 86400e3).toISOString().slice(0, 10);
const told = (type) => events(director, `types=${type}&account_id=${account.id}`);
const hear = (type, n = 1) => until(async () => { const all = await told(type); return all.length >= n && all; }, { ms: 30_000, what: `${n} ${type}` });

test('Königlich Essen is a customer of ours, with a manager, a sponsor and a team of four functions (004-12, 004-13)', async () => {
  account = await makeAccount(director, { name: 'Königlich Essen', manager_id: people.manager.id, sponsor_id: people.sponsor.id, lifecycle: 'customer' });
  for (const name of ['sales', 'intelligence', 'controlling', 'support']) {
    await director.create(`/v1/accounts/${account.id}/team`, { user_id: people[name].id, role: { sales: 'category_manager', intelligence: 'intelligence', controlling: 'controlling', support: 'customer_support' }[name], function: name });
  }
  const contact = (family_name, decision_role) => people.manager.client.create('/v1/contacts', { account_id: account.id, family_name, decision_role, level: 'executive' });
  contacts = { buyer: await contact('Cramer', 'decision_maker'), chef: await contact('Brandt', 'influencer') };
});

test('before any strategy there is a draft and a question: do we fit at all? (000-01)', async () => {
  plan = await people.manager.client.create('/v1/plans', {
    account_id: account.id, title: 'Königlich Essen, next year', period_start: on(0), period_end: on(365), company_strategy: 'First source of dairy in the north.', client_strategy: 'Fewer suppliers.',
    objectives: [{ title: 'Cheese in all kitchens', metric: 'revenue', baseline: '30000', target: '45000', owner_id: people.manager.id, actions: [{ title: 'Tasting', function: 'sales', status: 'open' }] }],
    win_win: [{ our_gain: 'A third more revenue', their_gain: 'One delivery instead of three', horizon: 'next year' }],
  });
  const refused = await people.manager.client.fails(409, 'plan_not_ready', 'POST', `/v1/plans/${plan.id}/activate`, { body: {} });
  assert.ok(refused.errors.some(({ code }) => code === 'fit_check_required'));
  const answer = (evidence) => ({ possible: true, evidence });
  const { body: check } = await people.manager.client.call(201, 'PUT', `/v1/accounts/${account.id}/fit-check`, {
    body: { sales_cycle: 'relational', upsell: answer('Asked for larger wheels'), cross_sell: answer('Buys butter elsewhere'), expand: answer('Three more kitchens') },
  });
  assert.equal(check.verdict, 'suitable');
});

test('four functions draft the plan, each what it knows (002-27, 004-01, 004-11, 004-16 to 004-23)', async () => {
  const drafted = {
    intelligence: { competitive_environment: { threats: ['A cheaper dairy'], opportunities: ['Regional food is asked for'], competitors: [{ name: 'Nordmilch', strengths: 'Price' }] }, leader_perceptions: { market: ['Grows'], themselves: ['Best kitchen of the town'] } },
    sales: { contacts_and_decisions: { steps: [{ step: 'Menu of the quarter', decision_makers: [contacts.buyer.id], influencers: [contacts.chef.id] }] }, negotiations: { negotiations: [{ title: 'Frame contract', stage: 'offer', next_step: 'Tasting', next_step_on: on(30) }] } },
    controlling: { capabilities: { capabilities: ['Pays within ten days'] }, internal_processes: { processes: ['Orders on Mondays'] } },
    support: { values_beliefs: { values: ['Craft'] }, strategies: { current: ['One house'], future: ['Four houses'] } },
  };
  for (const [name, sections] of Object.entries(drafted)) {
    for (const [section, content] of Object.entries(sections)) {
      const path = `/v1/plans/${plan.id}/sections/${section}`;
      // Whoever is to fill a section sees it from then on, and nobody else of the team who need not know.
      const asked = await people.manager.client.patch(path, (await people.manager.client.get(path)).etag, { contributors: [{ function: name, user_id: people[name].id, due_on: on(14) }] });
      const written = await people[name].client.patch(path, asked.etag, { content, state: 'complete' });
      assert.equal(written.state, 'complete');
    }
  }
  await people.sales.client.fails(403, 'forbidden', 'POST', `/v1/plans/${plan.id}/activate`, { body: {} });
});

test('the manager puts it in force; the team hears of it and says that it knows it (004-03)', async () => {
  const active = (await people.manager.client.call(200, 'POST', `/v1/plans/${plan.id}/activate`, { body: { customer_impact: 'positive' } })).body;
  assert.deepEqual([active.status, active.version_no], ['active', 1]);
  assert.equal((await hear('plan.activated'))[0].data.version_no, 1);
  for (const name of ['sales', 'intelligence', 'controlling']) await people[name].client.call(201, 'POST', `/v1/plans/${plan.id}/acknowledgements`, { body: { version_no: 1 } });
  const [{ acknowledged, missing }] = (await people.manager.client.get(`/v1/plans/${plan.id}/acknowledgements`)).data;
  assert.deepEqual([acknowledged.map(({ name }) => name), missing.map(({ name }) => name)], [['sales', 'intelligence', 'controlling'], ['support']]);
});

test('the customer gets a copy, and not what is ours (002-09)', async () => {
  const copy = await people.manager.client.get(`/v1/plans/${plan.id}?view=shared`);
  assert.ok(JSON.stringify(copy).includes('Four houses'));
  for (const secret of ['Nordmilch', 'First source of dairy', 'Frame contract']) assert.ok(!JSON.stringify(copy).includes(secret), secret);
});

test('the review of the quarter falls due, is held, and adapts the plan (002-26, 004-32, 004-33)', async () => {
  review = await people.manager.client.create('/v1/reviews', { account_id: account.id, plan_id: plan.id, cadence: 'quarterly', due_on: on(-1), time_zone: 'Europe/Berlin' });
  assert.equal((await hear('review.due'))[0].data.review_id, review.id);
  held = (await people.manager.client.call(200, 'POST', `/v1/reviews/${review.id}/complete`, {
    body: {
      outcome: 'adapt', participants: [{ user_id: people.manager.id }, { contact_id: contacts.buyer.id }], findings: [{ text: 'Two deliveries were late' }],
      decisions: [{ text: 'A truck of our own for the north', customer_impact: 'positive', note: 'Fresher goods' }],
      expectations: [{ expectation: 'accessible', customer: 2, internal: 4 }, { expectation: 'solves_problems', customer: 4, internal: 4 }],
      plan_changes: { objectives: [{ ...plan.objectives[0], target: '50000' }] },
      follow_ups: [{ title: 'Rent a truck', assignee_id: people.sales.id, due_on: on(-10), time_zone: 'Europe/Berlin' }, { title: 'Say thank you', assignee_id: people.manager.id, due_on: on(90) }],
    },
  })).body;
  assert.deepEqual([held.status, held.plan_version_no, held.follow_up_ids.length, held.weakest_expectation], ['held', 2, 2, 'accessible']);
  assert.equal((await hear('plan.adapted'))[0].data.review_id, review.id);
  assert.equal((await hear('review.completed'))[0].data.next_review_id, held.next_review_id);
});

test('everybody can read what has changed, and knows the new version', async () => {
  const diff = await people.support.client.get(`/v1/plans/${plan.id}/versions/2/diff`);
  assert.deepEqual(diff.lines, ['objectives[0].target: "45000.0000" became "50000.0000"']);
  await people.support.client.call(201, 'POST', `/v1/plans/${plan.id}/acknowledgements`, { body: {} });
  const [latest] = (await people.manager.client.get(`/v1/plans/${plan.id}/acknowledgements`)).data;
  assert.deepEqual([latest.version_no, latest.missing.length], [2, 3]);
});

test('what was agreed falls due; forgotten, it comes before the manager, then before the sponsor', async () => {
  const due = (await hear('follow_up.due')).map(({ data }) => data.title);
  assert.deepEqual(due, ['Rent a truck'], 'and not what is due in three months');
  const overdue = (await hear('follow_up.overdue', 2)).map(({ data }) => data);
  assert.deepEqual(overdue.map(({ title, level, escalated_to_id: to }) => [title, level, to]),
    [['Rent a truck', 'manager', people.manager.id], ['Rent a truck', 'sponsor', people.sponsor.id]]);
  await people.sales.client.call(200, 'POST', `/v1/follow-ups/${overdue[0].follow_up_id}/complete`, { body: { note: 'Rented at last' } });
  await hear('follow_up.completed');
});

test('all of it is in the history that nobody typed (004-24)', async () => {
  const { data } = await people.manager.client.get(`/v1/plans/${plan.id}/sections/interaction_history`);
  assert.deepEqual(data.map(({ kind, what }) => what.version_no ?? kind).sort(), [1, 2, 'review']);
});
