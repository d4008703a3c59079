// Needs and solutions, investments and break-even, projects, allies; opportunities and whitespace. Sums are worked out here by other code.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { places } from './lib/client.mjs';
import { tenThousandths } from './lib/northwind.mjs';
import { sql } from './lib/stack.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api;
before(async () => {
  world = await openWorld();
  ({ api } = world);
});
after(() => world?.close());

const day = (n) => new Date(Date.now() + n * 86_400_000).toISOString().slice(0, 10);
const under = (account, what) => `/v1/accounts/${account.id}/${what}`;
const contact = (account) => api.create('/v1/contacts', { account_id: account.id, family_name: unique('Anders') });
const patch = (path, { id, etag }, body) => api.patch(`${path}/${id}`, etag, body);
const refused = async (path, { id, etag }, body) => (await api.fails(422, 'validation_failed', 'PATCH', `${path}/${id}`, { body, headers: { 'if-match': etag } })).errors.map(({ pointer, code }) => [pointer, code]);
const orders = (account, list) => api.call(200, 'POST', `${under(account, 'orders')}/bulk`, {
  headers: { 'idempotency-key': unique('k') },
  body: { all_or_none: true, records: list.map(({ on, currency = 'USD', lines }) => ({ external_id: unique('o'), ordered_on: on, currency_code: currency, lines: lines.map((line, i) => ({ line_no: i + 1, ...line })) })) },
});
const plan = (account, opportunities, more = {}) => api.create('/v1/plans', { account_id: account.id, title: unique('Plan'), period_start: '2026-01-01', period_end: '2026-12-31', opportunities, ...more });

test('003-10: diagnose, prescribe, resolve: only forward, and nothing is prescribed or resolved before it is diagnosed', async () => {
  const account = await makeAccount(api);
  const path = under(account, 'needs');
  const make = (more) => api.create(path, { kind: 'problem', title: unique('Late'), ...more });
  let need = await make();
  assert.deepEqual([need.status, need.is_open, need.diagnosed_at, need.prescribed_at, need.resolved_at], ['stated', true, null, null, null]);
  for (const [status, code] of [['prescribed', 'no_prescription_without_diagnosis'], ['resolved', 'no_resolution_without_diagnosis']]) {
    assert.deepEqual(await refused(path, need, { status }), [['/status', code]]);
    const created = await api.fails(422, 'validation_failed', 'POST', path, { body: { kind: 'growth', title: 'x', status } });
    assert.equal(created.errors[0].code, code);
  }
  for (const status of ['diagnosed', 'prescribed', 'resolved']) {
    const before = need;
    need = await patch(path, need, { status });
    assert.ok(need[`${status}_at`] > before.created_at, status);
    if (status === 'prescribed') assert.equal(need.diagnosed_at, before.diagnosed_at, 'the times of earlier steps stay');
  }
  assert.equal(need.is_open, false);
  for (const status of ['stated', 'diagnosed', 'prescribed']) assert.deepEqual(await refused(path, need, { status }), [['/status', 'no_step_back']]);
  const aside = await make({ in_scope: false, depth: 'secret', horizon: 'future' }); // 001-16, 003-11, 000-39
  const gone = await patch(path, await patch(path, aside, { status: 'diagnosed' }), { status: 'resolved' });
  assert.deepEqual([gone.in_scope, gone.prescribed_at, Boolean(gone.diagnosed_at && gone.resolved_at)], [false, null, true], 'what resolves by itself is diagnosed, and needs no prescription');
  const open = await make({ in_scope: false });
  assert.deepEqual((await api.all(`${path}?is_open=true`)).map(({ id }) => id), [open.id]);
  assert.deepEqual((await api.all(`${path}?depth=secret&horizon=future&in_scope=false`)).map(({ id }) => id), [aside.id]);
});

test('001-18: tags are any text, kept as written, and matched without regard to case, accents and what stands between words', async () => {
  const account = await makeAccount(api);
  const written = ['Larger pallets', 'larger-pallets', 'LARGER_PALLETS', 'Größere Paletten!', 'grossere', 'größere  paletten', '→', 'Ünï/cødé', 'Москва'];
  const visit = (tags) => ({ kind: 'visit', channel: 'in_person', occurred_at: '2026-05-05T10:00:00Z', tags });
  for (const [path, body] of [['needs', (tags) => ({ kind: 'growth', title: 'x', tags })], ['interactions', visit]]) {
    for (const tag of written) assert.deepEqual((await api.create(under(account, path), body([tag, 'also']))).tags, [tag, 'also']);
    const found = async (query) => (await api.all(`${under(account, path)}?${query}`)).map(({ tags }) => tags[0]).sort();
    const these = (...which) => which.map((i) => written[i]).sort();
    const by = (tag) => found(`tags=${encodeURIComponent(tag)}`);
    for (const tag of ['larger-pallets', 'Larger Pallets', ' larger / pallets ']) assert.deepEqual(await by(tag), these(0, 1, 2), tag);
    assert.deepEqual(await by('grössere paletten'), [], 'the ß is no ss');
    assert.deepEqual(await by('gro\u0308ßere paletten'), these(3, 5), 'the same letters, written as two signs');
    for (const [tag, i] of [['→', 6], ['uni-cødé', 7], ['МОСКВА', 8]]) assert.deepEqual(await by(tag), these(i), tag);
    assert.deepEqual(await found(`filter=${encodeURIComponent("not contains(tags,'LARGER pallets')")}`), these(3, 4, 5, 6, 7, 8));
    await api.fails(422, 'validation_failed', 'POST', under(account, path), { body: body(['?!']) });
  }
});

test('000-38, 002-13: from need to solution to outcome; interactions and solutions name needs of their own account only', async () => {
  const [account, other] = [await makeAccount(api), await makeAccount(api)];
  const need = await api.create(under(account, 'needs'), { kind: 'challenge', title: 'Space' });
  const stranger = await api.create(under(other, 'needs'), { kind: 'challenge', title: 'Space' });
  const [one, solutions] = [await contact(account), under(account, 'solutions')];
  const interaction = (ids) => ({ kind: 'visit', channel: 'in_person', occurred_at: '2026-05-05T10:00:00Z', need_ids: ids });
  for (const [path, body, nth] of [[under(account, 'interactions'), interaction([stranger.id]), 0], [solutions, { title: 'x', need_ids: [need.id, stranger.id] }, 1]]) {
    const { errors } = await api.fails(422, 'validation_failed', 'POST', path, { body });
    assert.deepEqual(errors.map(({ pointer, code }) => [pointer, code]), [[`/need_ids/${nth}`, 'unknown_reference']]);
  }
  const visit = await api.create(under(account, 'interactions'), interaction([need.id.toUpperCase()]));
  assert.deepEqual([visit.need_ids, (await api.all(`${under(account, 'interactions')}?need_ids=${need.id}`)).map(({ id }) => id)], [[need.id], [visit.id]]);
  const solution = await api.create(solutions, { title: 'A hall', need_ids: [need.id], agreed_with: [one.id], status: 'agreed' });
  assert.deepEqual((await api.get(`${under(account, 'needs')}/${need.id}`)).solution_ids, [solution.id]);
  const delivered = await patch(solutions, solution, { status: 'delivered', outcome: 'Room for a year' });
  assert.equal((await api.get(`${under(account, 'needs')}/${need.id}`)).status, 'stated', 'delivering resolves nothing by itself');
  const { body: bulk } = await api.call(200, 'POST', `${solutions}/bulk`, { body: { records: [{ title: 'y', need_ids: [stranger.id] }, { title: 'z', need_ids: [need.id] }] }, headers: { 'idempotency-key': unique('k') } });
  assert.deepEqual(bulk.results.map(({ success }) => success), [false, true]);
  await api.remove(`${under(account, 'needs')}/${need.id}`, (await api.get(`${under(account, 'needs')}/${need.id}`)).etag);
  await patch(solutions, delivered, { title: 'A larger hall' }); // a need that went away stands in nobody's way
  assert.equal((await api.fails(422, 'validation_failed', 'POST', solutions, { body: { title: 'x', need_ids: [need.id] } })).errors[0].code, 'unknown_reference');
});

test('004-34: several vendors, one accountable lead; 002-21: agreed with somebody', async () => {
  const account = await makeAccount(api);
  const path = under(account, 'solutions');
  const wrong = async (body) => (await api.fails(422, 'validation_failed', 'POST', path, { body: { title: 'x', ...body } })).errors.map(({ pointer, code }) => [pointer, code]);
  const vendor = (name, lead) => ({ name, lead });
  for (const vendors of [[vendor('A')], [vendor('A', false), vendor('B', false)], [vendor('A', true), vendor('B', true)]]) assert.deepEqual(await wrong({ vendors }), [['/vendors', 'one_lead']]);
  for (const status of ['agreed', 'delivered']) assert.deepEqual(await wrong({ status }), [['/agreed_with', 'required']]);
  const solution = await api.create(path, { title: 'x', vendors: [vendor('A', false), vendor('B', true)], value: { kind: 'improve_function' } });
  assert.deepEqual(await refused(path, solution, { vendors: [vendor('A', false)] }), [['/vendors', 'one_lead']]);
  assert.deepEqual(await refused(path, solution, { value: { amount: '5' } }), [['/value/currency_code', 'required']]);
  assert.deepEqual((await patch(path, solution, { vendors: [] })).vendors, []);
});

test('004-29: a project is late when it or an open milestone is past its day, and only while it is under way', async () => {
  const account = await makeAccount(api);
  const path = under(account, 'projects');
  const late = async (fields) => (await api.create(path, { title: unique('p'), ...fields })).late;
  const past = { title: 'm', due_on: day(-3) };
  for (const [fields, want] of [
    [{}, false], [{ milestones: [past] }, true], [{ milestones: [past], status: 'active' }, true], [{ milestones: [{ ...past, done_on: day(-1) }] }, false], [{ milestones: [{ title: 'm', due_on: day(3) }] }, false],
    [{ milestones: [past], status: 'done' }, false], [{ milestones: [past], status: 'cancelled' }, false], [{ due_on: day(-3), status: 'active' }, true], [{ due_on: day(-3), status: 'done' }, false], [{ milestones: [{ title: 'm' }] }, false],
  ]) assert.equal(await late(fields), want, JSON.stringify(fields));
  assert.equal((await api.all(`${path}?late=true`)).length, 3);
  const made = await api.create(path, { title: 'x', milestones: [{ title: 'b', due_on: '2099-02-01' }, { title: 'a', due_on: '2099-01-01' }, { title: 'd', due_on: '2020-01-01', done_on: '2020-01-01' }] });
  assert.equal(made.next_due_on, '2099-01-01');
  const elsewhere = await plan(await makeAccount(api), []);
  assert.ok(places(await api.fails(422, 'validation_failed', 'POST', path, { body: { title: 'x', plan_id: elsewhere.id } })).includes('/plan_id'));
});

test('000-35, 004-02, 004-29: follow-ups and the actions of a plan name needs and projects of their own account; the next occurrence keeps them', async () => {
  const [account, other] = [await makeAccount(api), await makeAccount(api)];
  const [need, project] = [await api.create(under(account, 'needs'), { kind: 'growth', title: 'x' }), await api.create(under(account, 'projects'), { title: 'x' })];
  const body = { account_id: account.id, title: 'Ask', due_at: '2099-01-31T09:00:00Z', time_zone: 'Europe/Berlin', recurrence: 'FREQ=MONTHLY;BYMONTHDAY=-1', need_id: need.id, project_id: project.id };
  for (const place of ['need_id', 'project_id']) {
    const { errors } = await api.fails(422, 'validation_failed', 'POST', '/v1/follow-ups', { body: { ...body, account_id: other.id, need_id: null, project_id: null, [place]: body[place] } });
    assert.deepEqual(errors.map(({ pointer, code }) => [pointer, code]), [[`/${place}`, 'unknown_reference']]);
  }
  const made = await api.create('/v1/follow-ups', body);
  await api.call(200, 'POST', `/v1/follow-ups/${made.id}/complete`, { body: {} });
  const [next] = await api.all(`/v1/follow-ups?project_id=${project.id}&need_id=${need.id}&status=open`);
  assert.deepEqual([next.occurrence_no, next.need_id, next.project_id], [2, need.id, project.id]);

  const objectives = (id) => [{ title: 'More', actions: [{ title: 'Ask', need_id: id }, { title: 'Look' }] }, { title: 'Less' }];
  const served = await plan(account, [], { objectives: objectives(need.id) });
  assert.equal(served.objectives[0].actions[0].need_id, need.id);
  const wrong = await api.fails(422, 'validation_failed', 'POST', '/v1/plans', { body: { account_id: other.id, title: 'x', period_start: '2026-01-01', period_end: '2026-12-31', objectives: objectives(need.id) } });
  assert.deepEqual(wrong.errors.map(({ pointer, code }) => [pointer, code]), [['/objectives/0/actions/0/need_id', 'unknown_reference']]);
  await api.remove(`${under(account, 'needs')}/${need.id}`, need.etag);
  const changed = await patch('/v1/plans', served, { objectives: [...objectives(need.id), { title: 'Third' }] });
  assert.equal(changed.objectives.length, 3, 'a need that went away stands in nobody\'s way');
  assert.deepEqual(await refused('/v1/plans', changed, { objectives: objectives(project.id) }), [['/objectives/0/actions/0/need_id', 'unknown_reference']]);
});

test('000-18, 002-05: cumulative investment against cumulative margin, break-even, and what is past its planned payback', async () => {
  const account = await makeAccount(api);
  const path = under(account, 'economics');
  const none = await api.get(path);
  assert.deepEqual([none.months, none.break_even_on, none.payback_on, none.past_payback, none.invested, none.margin], [[], null, null, null, '0.0000', null]);
  const invest = (fields) => api.create(under(account, 'investments'), { kind: 'ours', description: 'Cold store', currency_code: 'USD', ...fields });
  await invest({ amount: '100', invested_on: '2025-01-15', payback_on: '2025-02-28' });
  await invest({ kind: 'joint', amount: '50.5', invested_on: '2025-02-10', payback_on: '2025-03-20' });
  await invest({ kind: 'theirs', amount: '999', invested_on: '2025-01-01', payback_on: '2029-01-01' });
  await orders(account, [
    { on: '2025-01-14', lines: [{ product: 'Chai', amount: '1000', cost: '0' }] }, // before the first investment
    { on: '2025-01-15', lines: [{ product: 'Chai', amount: '60.0001', cost: '20' }] },
    { on: '2025-02-28', lines: [{ product: 'Chai', amount: '80', cost: '20' }] },
    { on: '2025-04-30', lines: [{ product: 'Chai', amount: '70', cost: '19.5' }] },
  ]);
  const rows = ({ months }) => months.map((one) => [one.month, one.invested, one.margin, one.cumulative_invested, one.cumulative_margin]);
  const all = await api.get(`${path}?as_of=2025-05-31`);
  assert.deepEqual(rows(all), [
    ['2025-01', '100.0000', '40.0001', '100.0000', '40.0001'], ['2025-02', '50.5000', '60.0000', '150.5000', '100.0001'], ['2025-03', '0.0000', '0.0000', '150.5000', '100.0001'],
    ['2025-04', '0.0000', '50.5000', '150.5000', '150.5001'], ['2025-05', '0.0000', '0.0000', '150.5000', '150.5001'],
  ]);
  assert.deepEqual([all.break_even_on, all.payback_on, all.past_payback, all.theirs, all.balance, all.cost_to_serve], ['2025-04-30', '2025-03-20', false, '999.0000', '0.0001', null]);
  assert.deepEqual(all.missing, [{ input: 'cost_to_serve', month: null, currency_code: null }]);
  const at = async (asOf) => { const one = await api.get(`${path}?as_of=${asOf}`); assert.equal(one.as_of, asOf); return [one.break_even_on, one.past_payback]; };
  assert.deepEqual(await at('2025-03-20'), [null, false]);
  assert.deepEqual(await at('2025-03-21'), [null, true]);
  assert.deepEqual(await at('2025-04-29'), [null, true]);
  assert.deepEqual(await at('2025-04-30'), ['2025-04-30', false]);

  await orders(account, [{ on: '2025-03-03', lines: [{ product: 'Chai', amount: '9' }] }, { on: '2025-05-01', currency: 'GBP', lines: [{ product: 'Chai', amount: '9', cost: '1' }] }]);
  const unknown = await api.get(`${path}?as_of=2025-05-31`);
  assert.deepEqual(rows(unknown).map((one) => one.slice(2)), [['40.0001', '100.0000', '40.0001'], ['60.0000', '150.5000', '100.0001'], [null, '150.5000', null], ['50.5000', '150.5000', null], [null, '150.5000', null]]);
  assert.deepEqual([unknown.break_even_on, unknown.past_payback, unknown.margin, unknown.balance], [null, null, null, null], 'unknown is not zero');
  assert.deepEqual(unknown.missing, [{ input: 'cost', month: '2025-03', currency_code: 'USD' }, { input: 'cost_to_serve', month: null, currency_code: null }, { input: 'rate', month: '2025-05', currency_code: 'GBP' }]);
  for (const query of ['as_of=soon', `as_of=${day(3)}`, 'until=2025-01-01']) await api.fails(400, 'invalid_request', 'GET', `${path}?${query}`);
});

test('000-03 to 000-05: the opportunities of all plans, with sums by kind and currency', async () => {
  const account = await makeAccount(api);
  const [first, second] = [
    await plan(account, [{ kind: 'upsell', product: 'Chai', value: '10.5', currency_code: 'USD', stage: 'talk' }, { kind: 'expand' }]),
    await plan(account, [{ kind: 'upsell', product: 'Tofu', value: '4.5', currency_code: 'USD' }, { kind: 'upsell', currency_code: 'USD' }, { kind: 'upsell', value: '1', currency_code: 'EUR' }], { period_start: '2027-01-01', period_end: '2027-12-31' }),
  ];
  const shown = await api.get(under(account, 'opportunities'));
  assert.deepEqual(shown.data.map((one) => [one.plan_id, one.kind, one.product, one.value]), [[second.id, 'upsell', 'Tofu', '4.5000'], [second.id, 'upsell', null, null], [second.id, 'upsell', null, '1.0000'],
    [first.id, 'upsell', 'Chai', '10.5000'], [first.id, 'expand', null, null]]);
  assert.deepEqual(shown.totals, [
    { kind: 'expand', currency_code: null, opportunities: 1, unknown_values: 1, value: null },
    { kind: 'upsell', currency_code: 'EUR', opportunities: 1, unknown_values: 0, value: '1.0000' }, { kind: 'upsell', currency_code: 'USD', opportunities: 3, unknown_values: 1, value: '15.0000' },
  ]);
  assert.deepEqual([shown.fit_check, (await api.get(`${under(account, 'opportunities')}?plan_status=active,closed`)).data], [[], []]);
  const answer = (possible) => ({ possible, evidence: 'They said so.', est_value: '7' });
  await api.call(201, 'PUT', under(account, 'fit-check'), { body: { sales_cycle: 'mixed', upsell: answer(true), cross_sell: answer(false), expand: answer(true) } });
  assert.deepEqual((await api.get(under(account, 'opportunities'))).fit_check.map(({ kind, possible }) => [kind, possible]), [['cross_sell', false], ['expand', true], ['upsell', true]]);
  await api.fails(400, 'invalid_request', 'GET', `${under(account, 'opportunities')}?plan_status=old`);
  await api.remove(`/v1/plans/${first.id}`, first.etag);
  assert.equal((await api.get(under(account, 'opportunities'))).data.length, 3);
});

test('000-04, 000-06: whitespace of an account, what is below it, its allies; as JSON and CSV', async () => {
  const top = await makeAccount(api, { name: unique('A top'), level: 'global' });
  const below = await makeAccount(api, { name: unique('B "below", Ltd.'), level: 'national', parent_id: top.id });
  const ally = await makeAccount(api, { name: unique('=C ally') });
  const named = await makeAccount(api, { name: unique('D named') });
  await api.create(under(top, 'links'), { name: 'Ally', kind: 'allied_of_supplier', linked_account_id: ally.id });
  await api.create(under(top, 'links'), { name: 'Nobody yet', kind: 'allied_of_customer' });
  assert.ok(places(await api.fails(422, 'validation_failed', 'POST', under(top, 'links'), { body: { name: 'x', kind: 'allied_of_customer', linked_account_id: top.id } })).includes('/linked_account_id'));
  await orders(top, [{ on: day(-1), lines: [{ product: 'Chai', amount: '10', cost: '1' }, { product: 'Chai', amount: '2.5' }, { product: 'Tofu', amount: '5' }] }, { on: day(-10), lines: [{ product: ' chai ', amount: '1' }, { amount: '77' }] },
    { on: day(-800), lines: [{ product: 'Long ago', amount: '1' }] }]);
  await orders(below, [{ on: day(-700), lines: [{ product: 'Konbu', amount: '3' }] }]);
  await orders(ally, [{ on: day(-2), currency: 'GBP', lines: [{ product: 'Tofu', amount: '1' }] }]);
  await plan(top, [{ kind: 'upsell', product: 'Chai', value: '100', currency_code: 'USD', stage: 'offer' }, { kind: 'cross_sell', product: 'Chai', unit_account_id: below.id, value: '40', currency_code: 'USD', stage: 'talk' },
    { kind: 'expand', product: 'Ikura', unit_account_id: named.id }, { kind: 'expand' }]);
  const shown = await api.get(under(top, 'whitespace'));
  assert.deepEqual(shown.units.map((one) => [one.account_id, one.relation]), [[top.id, 'self'], [below.id, 'below'], [ally.id, 'allied_of_supplier'], [named.id, 'opportunity']]);
  const lines = shown.products.map(({ product, amount, cells, white_account_ids: white }) => [product, amount, cells.map((one) => [one.account_id, one.state, one.amount, one.last_on, one.opportunity_value]), white]);
  const rest = (...not) => [top, below, ally, named].filter((one) => !not.includes(one)).map(({ id }) => id);
  assert.deepEqual(lines, [
    ['Chai', '13.5000', [[top.id, 'bought', '13.5000', day(-1), '100.0000'], [below.id, 'opportunity', null, null, '40.0000']], rest(top, below)],
    ['Tofu', '5.0000', [[top.id, 'bought', '5.0000', day(-1), null], [ally.id, 'bought', null, day(-2), null]], rest(top, ally)],
    ['Konbu', '3.0000', [[below.id, 'bought', '3.0000', day(-700), null]], rest(below)],
    ['Ikura', null, [[named.id, 'opportunity', null, null, null]], rest(named)],
  ]);
  assert.deepEqual(shown.products[0].cells[0].opportunities.map(({ kind, value, stage }) => [kind, value, stage]), [['upsell', '100.0000', 'offer']]);
  assert.deepEqual(shown.totals, { units: 4, products: 4, bought: 4, opportunity: 2, white: 10, amount: null, opportunity_value: null, without_product: 1, left_off_units: 0, left_off_products: 0 });
  assert.deepEqual(shown.missing_rates, ['GBP']);

  const { text, headers } = await api.call(200, 'GET', `${under(top, 'whitespace')}?format=csv`);
  assert.match(headers['content-type'], /^text\/csv/);
  const rows = text.split('\r\n').slice(0, -1);
  assert.equal(rows.length, 1 + 16, 'a row for each cell');
  assert.equal(rows[1], `Chai,${top.id},${top.account_number},${top.name},self,bought,13.5000,${day(-1)},upsell,100.0000,offer`);
  assert.equal(rows[2], `Chai,${below.id},${below.account_number},"${below.name.replaceAll('"', '""')}",below,opportunity,,,cross_sell,40.0000,talk`);
  assert.equal(rows[3], `Chai,${ally.id},${ally.account_number},'${ally.name},allied_of_supplier,white,,,,,`);
  assert.equal(rows.filter((row) => row.includes(',white,')).length, 10);
  await api.call(304, 'GET', `${under(top, 'whitespace')}?format=csv`, { headers: { 'if-none-match': headers.etag } });
  await api.fails(400, 'invalid_request', 'GET', `${under(top, 'whitespace')}?format=svg`);
});

test('004-28: who sees one unit sees no other; who sees nothing gets 404', async () => {
  const manager = await api.create('/v1/users', { name: unique('Manager') });
  const mine = await makeAccount(api, { manager_id: manager.id });
  const theirs = await makeAccount(api);
  await orders(theirs, [{ on: day(-1), lines: [{ product: 'Secret', amount: '1' }] }]);
  await orders(mine, [{ on: day(-1), lines: [{ product: 'Open', amount: '1' }] }]);
  await api.create(under(mine, 'links'), { name: 'x', kind: 'allied_of_customer', linked_account_id: theirs.id });
  const client = await world.clientOf('account_manager', { user_id: manager.id });
  const shown = await client.get(under(mine, 'whitespace'));
  assert.deepEqual([shown.units.length, shown.products.map(({ product }) => product)], [1, ['Open']]);
  assert.deepEqual((await api.get(under(mine, 'whitespace'))).units.length, 2);
  for (const path of ['opportunities', 'economics', 'whitespace', 'whitespace?format=csv', 'needs', 'solutions', 'investments', 'projects', 'links']) await client.call(404, 'GET', under(theirs, path));
  client.close();
});

test('whitespace of an account with 2,000 orders: what the lines say, read by the account', async () => {
  const account = await makeAccount(api);
  const sums = new Map();
  for (let part = 0; part < 10; part++) {
    await orders(account, Array.from({ length: 200 }, (_, i) => ({ on: day(-((part * 200 + i) % 700)), lines: Array.from({ length: 5 }, (__, k) => {
      const [product, amount] = [`Product ${(i * 7 + k * 13 + part) % 60}`, `${(i + 1) * (k + 1)}.0${part}01`];
      sums.set(product, (sums.get(product) ?? 0n) + tenThousandths(amount));
      return { product, amount };
    }) })));
  }
  const { products, totals } = await api.get(under(account, 'whitespace'));
  assert.deepEqual([totals.products, totals.white], [sums.size, 0]);
  for (const { product, amount } of products) assert.equal(tenThousandths(amount), sums.get(product), product);
  assert.equal(tenThousandths(totals.amount), [...sums.values()].reduce((a, b) => a + b));
});

test('what is below an account goes and comes back with it', async () => {
  const account = await makeAccount(api);
  const made = [['needs', { kind: 'growth', title: 'x' }], ['solutions', { title: 'x' }], ['projects', { title: 'x' }], ['links', { name: 'x', kind: 'allied_of_customer' }],
    ['investments', { kind: 'ours', description: 'x', amount: '1', currency_code: 'USD', invested_on: '2026-01-01' }]];
  const counts = () => sql(world.stack.settings, made.map(([path]) => `select count(*) from ${path === 'links' ? 'allied_organisation' : path.slice(0, -1)} where account_id = '${account.id}' and deleted_at is null`).join(' union all ')).split('\n');
  for (const [path, body] of made) await api.create(under(account, path), body);
  assert.deepEqual(counts(), ['1', '1', '1', '1', '1']);
  await api.remove(`/v1/accounts/${account.id}`, (await api.get(`/v1/accounts/${account.id}`)).etag);
  assert.deepEqual(counts(), ['0', '0', '0', '0', '0']);
  await api.call(200, 'POST', `/v1/accounts/${account.id}/restore`, { body: {} });
  assert.deepEqual(counts(), ['1', '1', '1', '1', '1']);
});
