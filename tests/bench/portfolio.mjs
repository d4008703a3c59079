// The portfolio that is measured on: by SQL, but through the same triggers as every write, so that
// history, events, access rows, status and scores are what the API would have made.

// Ids have eight decimal digits at their end, so that pgbench and wrk can make one from a number.
export const FIRST = 10_000_000;
export const PREFIX = '01970000-0000-7000-8000-0000';
export const idOf = (n) => `${PREFIX}${n}`;
export const phoneOf = (n) => `+4930${n}`;

const USERS = 100;
const BATCH = 5_000;
export const KEY_ACCOUNTS = 500;

const ACCOUNTS = `
insert into account (id, name, account_number, domain, phones, emails, industry, currency_code, country_code, address, lifecycle, level,
                     manager_id, sponsor_id, sales_cycle, business_model, customer_plans, cadence, contact_preference)
select ('${PREFIX}' || n)::uuid, 'Account ' || n, 'N-' || n, 'a' || n || '.example', array ['+4930' || n], array ['info@a' || n || '.example'],
       (array ['steel', 'paper', 'glass', 'food', 'energy', 'transport', 'health', 'retail', 'chemicals', 'printing'])[1 + n % 10], 'EUR',
       (array ['DE', 'FR', 'PL', 'IT'])[1 + n % 4], jsonb_build_object('street', 'Obere Str. ' || n % 200, 'city', 'Berlin', 'postal_code', '12209'),
       case n % 5 when 0 then 'prospect' else 'customer' end, 'national',
       ('01970000-0000-7000-8000-1' || lpad((n % ${USERS})::text, 11, '0'))::uuid,
       ('01970000-0000-7000-8000-1' || lpad((n % 7)::text, 11, '0'))::uuid, 'relational', 'They roll steel and sell it to builders of ships.',
       '[{"kind": "expansion", "text": "A second plant"}]', '[{"channel": "in_person", "every": "quarterly"}]', '{"channels": ["phone"], "min_days_between": 7}'
  from generate_series($1::int, $2::int) n`;

const USERS_SQL = `
insert into app_user (id, subject, name, email, function)
select ('01970000-0000-7000-8000-1' || lpad(n::text, 11, '0'))::uuid, 'bench-' || n, 'Person ' || n, 'p' || n || '@example.com', 'sales'
  from generate_series(0, ${USERS - 1}) n`;

const KEYS = `
update account_status set key_status = 'key', tier = 'A', key_since = now(), version = version + 1,
       designation = '{"reason": "Bench", "benefits": ["Their own line", "A fixed contact"]}'
 where account_id in (select ('${PREFIX}' || n)::uuid from generate_series($1::int, $2::int) n)`;

const in_transaction = async (client, work) => {
  await client.query('begin');
  await client.query("select set_config('kamd.scope', 'all', true), set_config('kamd.areas', '-1', true), set_config('kamd.actor', 'bench', true), set_config('kamd.origin', 'bench', true)");
  await work();
  await client.query('commit');
};

// `client` is the owner's. What workers would do later is done here, so that they are idle when
// figures are taken. PL/pgSQL keeps plans: those made for empty tables go with `analyze`.
export async function load(client, accounts, say) {
  await in_transaction(client, () => client.query(USERS_SQL));
  for (let at = FIRST; at < FIRST + accounts; at += BATCH) {
    const last = Math.min(at + BATCH, FIRST + accounts) - 1;
    await in_transaction(client, () => client.query(ACCOUNTS, [at, last]));
    if (at === FIRST) await client.query('analyze');
    if ((last + 1 - FIRST) % 50_000 === 0) say(`${last + 1 - FIRST} accounts`);
  }
  await client.query('analyze');
  say('scoring');
  for (let left = true; left;) {
    await in_transaction(client, () => client.query('select count(*) from rescore_process(1000)'));
    left = (await client.query('select exists (select 1 from rescore_queue) as more')).rows[0].more;
  }
  await in_transaction(client, () => client.query(KEYS, [FIRST, FIRST + KEY_ACCOUNTS - 1]));
  await client.query('select sequence_events()');
}
