// Plans that are ready to be activated, and what they need for it.
import { sql } from './stack.mjs';
import { makeAccount, unique } from './world.mjs';

export const SECTIONS = ['competitive_environment', 'contacts_and_decisions', 'negotiations', 'leader_perceptions', 'values_beliefs', 'capabilities', 'strategies', 'internal_processes'];

export const addUser = (api, fields = {}) => api.create('/v1/users', { name: unique('Person'), ...fields });

export const makePlan = (api, account, fields = {}) => api.create('/v1/plans', {
  account_id: account.id, title: unique('Plan'), period_start: '2026-01-01', period_end: '2026-12-31',
  company_strategy: 'Win the north.', client_strategy: 'Grow in Spain.', win_win: [{ our_gain: 'Revenue', their_gain: 'Time', horizon: '2027' }],
  objectives: [
    { title: 'More beams', metric: 'revenue', baseline: '10', target: '20', actions: [{ title: 'Call', function: 'sales', status: 'open', due_on: '2026-03-01' }] },
    { title: 'Fewer delays', metric: 'delays', baseline: '9', target: '3' }, { title: 'A second site' }],
  opportunities: [{ kind: 'upsell', product: 'Beams', value: '100', currency_code: 'EUR' }],
  ...fields,
});

export async function completeSections(api, plan, names = SECTIONS) {
  for (const name of names) {
    const path = `/v1/plans/${plan.id}/sections/${name}`;
    await api.patch(path, (await api.get(path)).etag, { state: 'complete', content: { notes: `About ${name}` } });
  }
}

// The account's fit check, as the table has it; the API of it has tests of its own.
export function fitCheck({ settings }, account, { sales_cycle = 'relational', checked_on = 'today' } = {}) {
  const yes = `'{"possible": true, "evidence": "Asked for it"}'`;
  sql(settings, `insert into fit_check (account_id, sales_cycle, upsell, cross_sell, expand, checked_on) values ('${account.id}', '${sales_cycle}', ${yes}, ${yes}, ${yes}, '${checked_on}')
    on conflict (account_id) do update set sales_cycle = excluded.sales_cycle, checked_on = excluded.checked_on`);
}

// An account with a manager and a plan with every section complete. With `world`, a fit check too.
export async function readyPlan(api, { world, account: fields = {}, plan: planFields = {} } = {}) {
  const account = await makeAccount(api, { manager_id: (await addUser(api)).id, ...fields });
  if (world) fitCheck(world, account);
  const plan = await makePlan(api, account, planFields);
  await completeSections(api, plan);
  return { account, plan: await api.get(`/v1/plans/${plan.id}`) };
}
