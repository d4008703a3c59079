// Deliveries and streams: how many, how soon, and what they cost those who write and read.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { promisify } from 'node:util';
import { PAIRS, pairs, summary, wrk } from './measure.mjs';
import { FIRST, PREFIX } from './portfolio.mjs';
import { answerOf, at, connect, freePort, sleep, startKamd, startSink } from './servers.mjs';

const ENDPOINTS = 10, EVENTS = 2000, IN_FLIGHT = 4;
const LOCAL = { KAMD_WEBHOOK_ALLOW_HTTP: 'true', KAMD_WEBHOOK_ALLOWED_CIDRS: '127.0.0.0/8', KAMD_WEBHOOK_PORTS: 'any', KAMD_WEBHOOK_ENDPOINT_IN_FLIGHT: String(IN_FLIGHT) };

// kamd with ten endpoints at one receiver: {kamd, sink, client, sent(), enable(), disable(), close()}.
export async function openHooks(world, types, more = {}) {
  const sink = await startSink(['Content-Type: text/plain'], Buffer.from('ok'));
  const adminPort = String(await freePort());
  const kamd = await startKamd(world.settings, { ...LOCAL, KAMD_ADMIN_PORT: adminPort, ...more });
  const client = await connect(world.settings.DATABASE_SUPERUSER_URL);
  await client.query("select set_config('kamd.scope', 'all', false), set_config('kamd.actor', 'bench', false)");
  for (let i = 0; i < ENDPOINTS; i++) {
    const answer = await fetch(`${kamd.url}/v1/webhook-endpoints`, {
      method: 'POST', headers: { authorization: `Bearer ${world.key}`, 'content-type': 'application/json' },
      body: JSON.stringify({ url: `${sink.url}/${i}`, event_types: types, state: 'disabled' }),
    });
    if (answer.status !== 201) throw new Error(`${answer.status}: ${await answer.text()}`);
  }
  const settle = () => client.query('update webhook_endpoint_state set position = s.position, settled = s.position, next_at = null, failures = 0 from sequencer s');
  return {
    kamd, sink, client,
    async sent() {
      const { body } = await answerOf(`http://127.0.0.1:${adminPort}/metrics`);
      return Number(/^kamd_webhook_attempts_total\{result="delivered"\} (\d+)$/m.exec(body.toString())[1]);
    },
    async positions() {
      for (;;) {
        const { rows: [{ n }] } = await client.query('select count(*) as n from event e where e.at > now() - interval \'10 minutes\' and not exists (select from event_position p where p.at = e.at and p.seq = e.seq)');
        if (n === '0') return;
        await sleep(50);
      }
    },
    settle,
    enable: () => client.query("update webhook_endpoint set state = 'enabled' where deleted_at is null"),
    disable: () => client.query("update webhook_endpoint set state = 'disabled' where deleted_at is null"),
    async close() {
      await client.query("update webhook_endpoint set state = 'disabled', deleted_at = now()");
      await client.end();
      await kamd.stop();
      await sink.stop();
    },
  };
}

const EMIT = `select event_write(array(select row ('account.updated', ('${PREFIX}' || (${FIRST} + n % $1::int))::uuid, 'account', ('${PREFIX}' || (${FIRST} + n % $1::int))::uuid, 1, gen_random_uuid()::text,
  jsonb_build_object('account_id', '${PREFIX}' || (${FIRST} + n % $1::int), 'version', 7, 'changed_fields', jsonb_build_array('industry', 'updated_at')), '{"version": 6}')::event_in
  from generate_series(1, $2::int) n))`;
const BODY = JSON.stringify({
  id: '2d6a90f9-fc62-5811-8bc2-c0b666272f34', type: 'account.updated', timestamp: '2026-11-21T09:00:00.000000Z', sequence: 12, api_version: 'v1',
  data: { version: 7, account_id: `${PREFIX}${FIRST}`, changed_fields: ['industry', 'updated_at'] }, previous: { version: 6 },
});
const HEADERS = ['Content-Type: application/json', 'User-Agent: kamd-webhooks/1', `webhook-id: ${'2d6a90f9-fc62-5811-8bc2-c0b666272f34'}`, 'webhook-timestamp: 1795251600',
  `webhook-signature: v1,${'a'.repeat(44)} v1a,${'a'.repeat(88)}`];

// So many events are there when the endpoints are enabled; how long until each endpoint has all of them.
export async function deliver(hooks, { accounts }) {
  await hooks.disable();
  await hooks.settle();
  await hooks.client.query(EMIT, [accounts, EVENTS]);
  await hooks.positions();
  const before = await hooks.sent();
  await hooks.enable();
  const started = performance.now();
  while (await hooks.sent() - before < ENDPOINTS * EVENTS) {
    if (performance.now() - started > 120_000) throw new Error(`${await hooks.sent() - before} of ${ENDPOINTS * EVENTS} deliveries within two minutes`);
    await sleep(50);
  }
  return { rate: (ENDPOINTS * EVENTS * 1000) / (performance.now() - started) };
}

async function post(sink) {
  const { stdout } = await promisify(execFile)(at('multi'), [`${sink.url}/0`, String(ENDPOINTS * EVENTS), String(ENDPOINTS * IN_FLIGHT), at('webhook.json'), ...HEADERS]);
  return { rate: (ENDPOINTS * EVENTS) / Number(stdout) };
}

async function againstCurl(world) {
  writeFileSync(at('webhook.json'), BODY);
  const hooks = await openHooks(world, ['account.updated']);
  try {
    return await pairs(() => deliver(hooks, world), () => post(hooks.sink));
  } finally {
    await hooks.close();
  }
}

async function deliveriesASecond(world) {
  const hooks = await openHooks(world, ['account.updated']);
  try {
    const rates = [];
    for (let i = 0; i < PAIRS; i++) rates.push((await deliver(hooks, world)).rate);
    return summary(rates);
  } finally {
    await hooks.close();
  }
}

// A hundred writes a second to ten endpoints; from the beginning of the transaction that wrote the event to the first attempt.
const LATENCY = `select percentile_disc(0.99) within group (order by extract(epoch from a.started_at - e.at) * 1000) as p99, count(*) as n
  from webhook_delivery d join webhook_attempt a on a.delivery_id = d.id and a.n = 1 join event_position p on p.position = d.position join event e on e.at = p.at and e.seq = p.seq
 where d.created_at >= $1`;
async function firstAttempt(world) {
  const hooks = await openHooks(world, ['account.updated']);
  try {
    await hooks.settle();
    await hooks.enable();
    const values = [];
    for (let i = 0; i < PAIRS; i++) {
      const { rows: [{ since }] } = await hooks.client.query('select clock_timestamp()::text as since');
      const before = await hooks.sent();
      const started = performance.now();
      let n = 0;
      for (; performance.now() - started < 3000; n++) {
        await hooks.client.query(EMIT, [world.accounts, 1]);
        await sleep(Math.max(0, started + n * 10 - performance.now()));
      }
      while (await hooks.sent() - before < n * ENDPOINTS) await sleep(50);
      await sleep(500);
      const { rows: [{ p99 }] } = await hooks.client.query(LATENCY, [since]);
      if (i > 0) values.push(Number(p99)); // the first one warms up
    }
    return summary(values);
  } finally {
    await hooks.close();
  }
}

// The same writes with ten endpoints and with none; `more` says whether this process also delivers.
async function outboxCost(world, load, more) {
  const hooks = await openHooks(world, [], more);
  const turn = (prepare) => async (seconds) => {
    await hooks.settle();
    await prepare();
    return wrk(hooks.kamd, { ...load, seconds });
  };
  try {
    return await pairs(turn(hooks.enable), turn(hooks.disable));
  } finally {
    await hooks.close();
  }
}

async function besideStreams(world, load) {
  const [kamd, other] = [await startKamd(world.settings), await startKamd(world.settings)];
  const agent = new Agent({ keepAlive: false, maxSockets: Infinity });
  const calls = [];
  const open = () => new Promise((done, fail) => {
    const call = request(`${kamd.url}/v1/events/stream`, { agent, headers: { authorization: `Bearer ${world.key}` } }, (response) => {
      if (response.statusCode !== 200) fail(new Error(`a stream was answered ${response.statusCode}`));
      response.on('error', () => {}).once('data', done).resume();
    });
    call.on('error', fail).end();
    calls.push(call);
  });
  try {
    while (calls.length < 1000) await Promise.all(Array.from({ length: 50 }, open));
    return await pairs((seconds) => wrk(kamd, { ...load, seconds }), (seconds) => wrk(other, { ...load, seconds }));
  } finally {
    for (const call of calls) call.on('error', () => {}).destroy();
    agent.destroy();
  }
}

// `reads` and `writes` are what rows.mjs loads kamd with.
export const webhookRows = (reads, writes) => [
  { name: 'webhook deliveries to a loopback sink, against libcurl multi', goal: 0.4, measure: againstCurl },
  { name: 'webhook deliveries a second', goal: 2000, unit: '/s', measure: deliveriesASecond },
  { name: 'commit to first attempt, p99, 1,000 deliveries/s', most: 250, unit: 'ms', measure: firstAttempt },
  { name: 'POST /v1/accounts with ten endpoints that others send to, against none', goal: 0.9, measure: (world) => outboxCost(world, writes(world), { KAMD_WORKER: 'false' }) },
  { name: 'the same, sending to them on the same cores', measure: (world) => outboxCost(world, writes(world), {}) },
  { name: 'GET /v1/accounts/{id} beside 1,000 streams, against none', goal: 0.9, measure: (world) => besideStreams(world, reads(world)) },
];
