// What every resource does alike, as a row of samples. `under` is an account that the samples may refer to.
import { unique } from './world.mjs';

const user = () => ({ name: unique('Person') });
const reviewed = new Set();
const firstReview = ({ id }) => !reviewed.has(id) && Boolean(reviewed.add(id));

// name: {path, make(under), change, wrong: [[fields, status, [places]]], filter(made)}
export const KINDS = {
  users: {
    path: () => '/v1/users',
    make: () => ({ subject: unique('sub'), name: unique('Person'), email: 'p@example.com', title: 'Seller', function: 'sales', capacity: 5 }),
    change: { title: 'Senior seller', capacity: null },
    wrong: [[{ email: 'nobody' }, 422, ['/email']], [{ capacity: -1 }, 422, ['/capacity']], [{ active: 'yes' }, 400, ['/active']], [{ name: '' }, 422, ['/name']]],
    filter: (made) => `subject=${made.subject}`,
    event: 'user',
  },
  accounts: {
    path: () => '/v1/accounts',
    make: () => ({
      name: unique('Account'), account_number: unique('N'), domain: 'example.com', phones: ['+4930123456'], emails: ['info@example.com'], industry: 'steel',
      currency_code: 'EUR', country_code: 'DE', lifecycle: 'customer', division: { kind: 'geographic', name: 'North' },
      address: { street: 'Obere Str. 57', city: 'Berlin', postal_code: '12209' }, business_model: 'They roll steel.', customer_plans: [{ kind: 'expansion', text: 'A plant in Spain' }],
      contact_preference: { channels: ['phone'], min_days_between: 7 }, cadence: [{ channel: 'in_person', every: 'quarterly' }],
    }),
    change: { industry: 'paper', address: { city: 'Potsdam', street: null }, division: null },
    wrong: [
      [{ currency_code: 'XXQ' }, 422, ['/currency_code']], [{ country_code: 'ZZ' }, 422, ['/country_code']], [{ domain: 'no domain' }, 422, ['/domain']],
      [{ emails: ['a@b.example', 'c'] }, 422, ['/emails/1']], [{ cadence: [{ channel: 'pigeon' }] }, 400, ['/cadence/0/channel', '/cadence/0/every']],
      [{ key_status: 'key' }, 400, ['/key_status']],
    ],
    filter: (made) => `account_number=${made.account_number}`,
    event: 'account',
  },
  contacts: {
    path: () => '/v1/contacts',
    make: (under) => ({
      account_id: under.id, given_name: 'Maria', family_name: unique('Anders'), title: 'Owner', email: 'm@example.com', phone: '+4930123457',
      decision_role: 'decision_maker', level: 'executive', influence: 80, disposition: 'supporter', active_from: '2024-01-01',
    }),
    change: { influence: 90, given_name: null },
    wrong: [
      [{ influence: 101 }, 422, ['/influence']], [{ decision_role: 'king' }, 400, ['/decision_role']], [{ linkedin_url: 'http://x' }, 422, ['/linkedin_url']],
      [{ active_from: '2025-01-02', active_until: '2025-01-01' }, 422, ['/active_until']], [{ account_id: '01970000-0000-7000-8000-000000000000' }, 422, ['/account_id']],
      [{ reports_to_id: '01970000-0000-7000-8000-000000000000' }, 422, ['/reports_to_id']],
    ],
    filter: (made) => `family_name=${made.family_name}`,
    event: 'contact',
  },
  plans: {
    path: () => '/v1/plans',
    make: (under) => ({
      account_id: under.id, title: unique('Plan'), period_start: '2026-01-01', period_end: '2026-12-31', company_strategy: 'Grow.',
      objectives: [{ title: 'More', metric: 'revenue', baseline: '10.0000', target: '20.0000', actions: [{ title: 'Call', status: 'open' }] }],
      win_win: [{ our_gain: 'Revenue', their_gain: 'Time', horizon: '2027' }], opportunities: [{ kind: 'upsell', product: 'Beams', value: '100.0000', currency_code: 'EUR' }],
    }),
    change: { title: 'Another title', win_win: [] },
    wrong: [
      [{ period_end: '2025-12-31' }, 422, ['/period_end']], [{ status: 'active' }, 400, ['/status']], [{ objectives: [{ metric: 'x' }] }, 422, ['/objectives/0/title']],
      [{ opportunities: [{ kind: 'luck' }] }, 400, ['/opportunities/0/kind']],
    ],
    filter: () => 'period_start=2026-01-01',
    event: 'plan',
  },
  reviews: {
    path: () => '/v1/reviews',
    // One of a cadence is scheduled at a time: the further ones were missed.
    make: (under) => ({
      account_id: under.id, cadence: 'quarterly', status: firstReview(under) ? 'scheduled' : 'missed', due_on: '2027-02-28', time_zone: 'Europe/Berlin', participants: [{ name: 'Maria' }], findings: [{ text: 'Late twice' }],
      decisions: [{ text: 'Own stock', customer_impact: 'positive' }], expectations: [{ expectation: 'accessible', customer: 3, internal: 4 }],
    }),
    change: { status: 'cancelled', notes: 'Moved' },
    wrong: [
      [{ time_zone: 'Mars/Olympus' }, 422, ['/time_zone']], [{ cadence: 'daily' }, 400, ['/cadence']], [{ decisions: [{ text: 'x' }] }, 422, ['/decisions/0/customer_impact']],
      [{ due_on: '2027-02-29' }, 400, ['/due_on']], [{ expectations: [{ expectation: 'accessible', customer: 6 }] }, 422, ['/expectations/0/customer']],
    ],
    filter: () => 'cadence=quarterly',
    event: 'review',
  },
  'follow-ups': {
    path: () => '/v1/follow-ups',
    make: (under) => ({ account_id: under.id, title: unique('Call'), due_at: '2099-01-31T09:00:00.000000Z', priority: 'high' }),
    change: { status: 'done' },
    wrong: [
      [{ due_at: null }, 422, ['/due_at']], [{ due_at: '2099-01-31' }, 400, ['/due_at']], [{ priority: 'urgent' }, 400, ['/priority']],
      [{ due_on: '2099-01-31' }, 422, ['/time_zone']], [{ assignee_id: '01970000-0000-7000-8000-000000000000' }, 422, ['/assignee_id']],
    ],
    filter: () => 'priority=high',
    event: 'follow_up',
  },
  interactions: {
    path: (under) => `/v1/accounts/${under.id}/interactions`,
    make: () => ({
      kind: 'visit', channel: 'in_person', occurred_at: '2026-05-05T10:00:00.000000Z', subject: unique('Visit'), approach: 'conversation',
      questions: [{ q: 'Who decides?', a: 'Maria' }], sentiment: 'positive', tags: ['plant'],
    }),
    change: { sentiment: 'neutral', approach: null },
    wrong: [[{ kind: 'stare' }, 400, ['/kind']], [{ contact_ids: ['x'] }, 422, ['/contact_ids/0']], [{ questions: [{}] }, 422, ['/questions/0/q']], [{ occurred_at: 'today' }, 400, ['/occurred_at']]],
    filter: () => 'kind=visit&tags=plant',
    event: 'interaction',
  },
  commitments: {
    path: (under) => `/v1/accounts/${under.id}/commitments`,
    make: async (under, api) => ({
      text: unique('A loan machine'), made_by_id: (await api.create('/v1/users', user())).id, due_on: '2031-05-05', time_zone: 'Europe/Berlin', note: 'By word of mouth',
    }),
    change: { note: 'In writing', due_on: '2031-05-06' },
    wrong: [
      [{ status: 'renegotiated' }, 422, ['/new_due_on']], [{ new_due_on: '2031-06-01' }, 422, ['/new_due_on']], [{ status: 'renegotiated', new_due_on: '2031-05-04' }, 422, ['/new_due_on']],
      [{ due_on: '2031-02-29' }, 400, ['/due_on']], [{ time_zone: 'Berlin' }, 422, ['/time_zone']], [{ made_to_contact_id: '01970000-0000-7000-8000-000000000000' }, 422, ['/made_to_contact_id']],
    ],
    filter: (made) => `made_by_id=${made.made_by_id}`,
    event: 'commitment',
  },
  problems: {
    path: (under) => `/v1/accounts/${under.id}/problems`,
    make: () => ({ category: 'delay', severity: 'revenue_loss', title: unique('Late'), loss_per_hour: '1500.0000', currency_code: 'EUR', opened_at: '2026-05-05T10:00:00.000000Z' }),
    change: { handled_at: '2026-05-05T10:30:00.000000Z' },
    wrong: [
      [{ loss_per_hour: '-1' }, 422, ['/loss_per_hour']], [{ loss_per_hour: 1.5 }, 400, ['/loss_per_hour']], [{ loss_per_hour: '1.23456' }, 400, ['/loss_per_hour']],
      [{ currency_code: null }, 422, ['/currency_code']], [{ resolved_at: '2026-05-05T09:59:59Z' }, 422, ['/resolved_at']], [{ category: 'weather' }, 400, ['/category']],
    ],
    filter: () => 'category=delay&severity=revenue_loss',
    event: 'problem',
  },
  orders: {
    path: (under) => `/v1/accounts/${under.id}/orders`,
    make: () => ({ external_id: unique('O'), ordered_on: '2026-05-05', currency_code: 'USD', lines: [
      { line_no: 1, product: 'Chai', quantity: '2.0000', amount: '0.1000', cost: '0.0500' }, { line_no: 2, product: 'Chang', quantity: '1.0000', amount: '0.2000', cost: '0.1000' }] }),
    change: { ordered_on: '2026-05-06' },
    wrong: [
      [{ lines: [] }, 422, ['/lines']], [{ lines: [{ line_no: 1, amount: '1' }, { line_no: 1, amount: '2' }] }, 422, ['/lines/1/line_no']],
      [{ lines: [{ line_no: 1, amount: '1.00001' }] }, 400, ['/lines/0/amount']], [{ lines: [{ line_no: 1, amount: 1.5 }] }, 400, ['/lines/0/amount']], [{ amount: '5' }, 400, ['/amount']],
    ],
    filter: (made) => `external_id=${made.external_id}`,
    event: null, // facts; the account's change is told instead
  },
  wallet: {
    path: (under) => `/v1/accounts/${under.id}/wallet`,
    make: () => ({ category: unique('Beams'), period: '2026-H1', customer_spend: '80000.0000', our_revenue: '20000.0000', currency_code: 'USD', source: 'Their report', confidence: 'medium' }),
    change: { customer_spend: '100000.0000', source: null },
    wrong: [
      [{ our_revenue: '80000.0001' }, 422, ['/our_revenue']], [{ our_revenue: '100000' }, 422, ['/our_revenue']], [{ customer_spend: '-1' }, 422, ['/customer_spend']],
      [{ period: '2026-Q5' }, 422, ['/period']], [{ currency_code: null }, 422, ['/currency_code']], [{ share: '0.5' }, 400, ['/share']], [{ confidence: 'sure' }, 400, ['/confidence']],
    ],
    filter: (made) => `category=${made.category}`,
    event: 'wallet',
  },
  needs: {
    path: (under) => `/v1/accounts/${under.id}/needs`,
    make: () => ({ kind: 'growth', depth: 'unstated', horizon: 'future', in_scope: false, title: unique('A market in Spain'), description: 'They know nobody there.', tags: ['market'] }),
    change: { status: 'diagnosed', description: null },
    wrong: [
      [{ kind: 'wish' }, 400, ['/kind']], [{ depth: 'deep' }, 400, ['/depth']], [{ title: '' }, 422, ['/title']], [{ status: 'prescribed' }, 422, ['/status']], [{ tags: ['market', ' - '] }, 422, ['/tags/1']],
      [{ contact_id: '01970000-0000-7000-8000-000000000000' }, 422, ['/contact_id']], [{ is_open: false }, 400, ['/is_open']],
    ],
    filter: () => 'kind=growth&is_open=true&tags=market',
    event: 'need',
  },
  solutions: {
    path: (under) => `/v1/accounts/${under.id}/solutions`,
    async make(under, api) {
      const need = await api.create(`/v1/accounts/${under.id}/needs`, { kind: 'problem', title: unique('Late') });
      const contact = await api.create('/v1/contacts', { account_id: under.id, family_name: unique('Anders') });
      return {
        title: unique('A store on their site'), need_ids: [need.id], status: 'agreed', components: [{ name: 'Store', kind: 'service', note: 'Open at night' }], end_state: 'Nobody waits.', agreed_with: [contact.id],
        vendors: [{ name: 'Builder', contribution: 'The hall', lead: true, internal: false }, { name: 'Our logistics', contribution: 'Stock', lead: false, internal: true }],
        not_possible_alone: 'We do not build.', value: { kind: 'cost_saving', amount: '12000.0000', currency_code: 'EUR', quality_parity: true },
      };
    },
    change: { outcome: 'Half the waiting', value: { quality_parity: null } },
    wrong: [
      [{ vendors: [{ name: 'A' }, { name: 'B' }] }, 422, ['/vendors']], [{ agreed_with: [] }, 422, ['/agreed_with']], [{ need_ids: ['x'] }, 422, ['/need_ids/0']],
      [{ need_ids: ['01970000-0000-7000-8000-000000000000'] }, 422, ['/need_ids/0']], [{ agreed_with: ['01970000-0000-7000-8000-000000000000'] }, 422, ['/agreed_with/0']],
      [{ value: { kind: 'cost_saving', amount: '1' } }, 422, ['/value/currency_code']], [{ value: { kind: 'fun' } }, 400, ['/value/kind']],
    ],
    filter: (made) => `need_ids=${made.need_ids[0]}&status=agreed`,
    event: 'solution',
  },
  investments: {
    path: (under) => `/v1/accounts/${under.id}/investments`,
    make: () => ({ kind: 'joint', description: unique('A line of their own'), amount: '50000.0000', currency_code: 'USD', invested_on: '2026-01-15', payback_on: '2027-06-30' }),
    change: { payback_on: null, amount: '60000.0000' },
    wrong: [
      [{ kind: 'mine' }, 400, ['/kind']], [{ amount: '-1' }, 422, ['/amount']], [{ currency_code: null }, 422, ['/currency_code']], [{ payback_on: '2026-01-14' }, 422, ['/payback_on']], [{ invested_on: null }, 422, ['/invested_on']],
    ],
    filter: () => 'kind=joint&invested_on=2026-01-15',
    event: 'investment',
  },
  projects: {
    path: (under) => `/v1/accounts/${under.id}/projects`,
    make: () => ({
      title: unique('New plant'), description: 'In Lisbon.', status: 'active', starts_on: '2026-01-01', due_on: '2099-12-31',
      milestones: [{ title: 'Ground', due_on: '2026-03-01', done_on: '2026-03-02' }, { title: 'Roof', due_on: '2099-01-31' }], risk: { level: 'medium', text: 'Permits' },
    }),
    change: { risk: { level: 'high' }, description: null },
    wrong: [
      [{ status: 'late' }, 400, ['/status']], [{ due_on: '2025-12-31' }, 422, ['/due_on']], [{ milestones: [{ due_on: '2026-03-01' }] }, 422, ['/milestones/0/title']], [{ risk: { level: 'none' } }, 400, ['/risk/level']],
      [{ plan_id: '01970000-0000-7000-8000-000000000000' }, 422, ['/plan_id']], [{ late: true }, 400, ['/late']],
    ],
    filter: () => 'status=active&late=false',
    event: 'project',
  },
  links: {
    path: (under) => `/v1/accounts/${under.id}/links`,
    make: () => ({ name: unique('Sister works'), kind: 'allied_of_customer', note: 'The same owner.' }),
    change: { kind: 'allied_of_supplier', note: null },
    wrong: [[{ kind: 'friend' }, 400, ['/kind']], [{ name: '' }, 422, ['/name']], [{ linked_account_id: '01970000-0000-7000-8000-000000000000' }, 422, ['/linked_account_id']]],
    filter: () => 'kind=allied_of_customer',
    event: 'link',
  },
  team: {
    path: (under) => `/v1/accounts/${under.id}/team`,
    async make(under, api) { return { user_id: (await api.create('/v1/users', user())).id, role: 'controlling', function: 'finance', allocation_pct: 40 }; },
    change: { allocation_pct: 60, function: null },
    wrong: [[{ allocation_pct: 101 }, 422, ['/allocation_pct']], [{ role: 'The Boss' }, 422, ['/role']], [{ user_id: '01970000-0000-7000-8000-000000000000' }, 422, ['/user_id']]],
    filter: (made) => `user_id=${made.user_id}`,
    event: 'team_member',
  },
};
