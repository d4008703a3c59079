// Spans by OTLP/HTTP (issue 8: W3C trace context in and out, export off by default): judged by OpenTelemetry's own protobuf definitions and names.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import * as conventions from '@opentelemetry/semantic-conventions';
import { startCollector } from './lib/collector.mjs';
import { startReceiver, subscribe } from './lib/receiver.mjs';
import { inParallel, until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

const SERVER = 2, CLIENT = 3, ERROR = 2; // of SpanKind and StatusCode
const KNOWN = new Set(Object.values(conventions).filter((value) => typeof value === 'string'));

let world, api, collector, receiver;
before(async () => {
  collector = await startCollector();
  receiver = await startReceiver();
  world = await openWorld({ settings: { KAMD_OTLP_ENDPOINT: `${collector.url}/`, KAMD_OTLP_SAMPLE_PER_MILLE: '0', KAMD_OTLP_HEADERS: 'authorization=Bearer%20for-spans, x-tenant=kam' } });
  ({ api } = world);
  await subscribe(api, receiver, ['account.created']);
});
after(async () => {
  await world?.close();
  await receiver?.stop();
  await collector?.stop();
  assert.deepEqual(collector?.errors ?? [], [], 'every request was OTLP by the protobuf definitions');
});

const hex = (bytes) => randomBytes(bytes).toString('hex');
// A caller's trace: its ids, and the header that says so.
function caller(flags = '01') {
  const traceId = hex(16), spanId = hex(8);
  return { traceId, spanId, headers: { traceparent: `00-${traceId}-${spanId}-${flags}` } };
}
const below = (spans, parent) => spans.filter(({ parentSpanId }) => parentSpanId === parent.spanId);
const ms = ({ startTimeUnixNano, endTimeUnixNano }) => Number(BigInt(endTimeUnixNano) - BigInt(startTimeUnixNano)) / 1e6;
const counted = async (kamd, result) => {
  const { text } = await api.at(kamd.adminUrl).send('GET', '/metrics');
  return Number(new RegExp(`^kamd_trace_spans_total\\{result="${result}"\\} (\\d+)$`, 'm').exec(text)[1]);
};

test('a write: the server span below its caller, the transaction below it, and the webhook that came of it', async () => {
  const client = caller();
  const account = await makeAccount(api); // not sampled: no span
  const answer = await api.call(201, 'POST', '/v1/accounts', { body: { name: unique('Traced'), account_number: unique('T') }, headers: client.headers });
  const delivery = await receiver.wait(({ event }) => event.data?.account_id === answer.body.id || event.data?.id === answer.body.id, 'the webhook');
  const spans = await collector.trace(client.traceId, ({ name }) => name === 'POST webhook', 'the span of the webhook');
  const [server] = spans.filter(({ kind }) => kind === SERVER);
  assert.deepEqual([server.parentSpanId, server.name, server.status?.code ?? 0], [client.spanId, 'POST /v1/accounts', 0]);
  assert.deepEqual(server.attributes, { 'http.request.method': 'POST', 'http.route': '/v1/accounts', 'url.path': '/v1/accounts', 'url.scheme': 'http',
    'http.response.status_code': 201, 'kamd.request_id': answer.headers['x-request-id'] });
  const [write] = below(spans, server).filter(({ name }) => name === 'postgresql transaction');
  assert.deepEqual([write.kind, write.attributes['db.system.name'], write.attributes['kamd.db.outcome']], [CLIENT, 'postgresql', 'committed']);
  assert.ok(write.attributes['kamd.db.round_trips'] >= 1 && write.attributes['kamd.db.statements'] >= 1, JSON.stringify(write.attributes));
  assert.ok(ms(write) >= 0 && ms(write) <= ms(server) + 1, `${ms(write)} ms of ${ms(server)} ms`);
  const [webhook] = below(spans, server).filter(({ name }) => name === 'POST webhook');
  assert.deepEqual([webhook.kind, webhook.attributes['http.response.status_code'], webhook.attributes['kamd.webhook.attempt'], webhook.attributes['kamd.webhook.event_id']],
    [CLIENT, 200, 1, delivery.id]);
  assert.equal(delivery.headers.traceparent, `00-${client.traceId}-${webhook.spanId}-01`, 'the receiver hangs its spans below ours');
  assert.equal(server.resource['service.name'], 'kamd');
  assert.ok(server.resource['service.version'] && server.resource['service.instance.id']);
  assert.ok(account.id && !collector.spans.some(({ attributes }) => attributes['http.route'] === '/v1/webhook-endpoints'));
});

test('reads: from PostgreSQL and then from Redis; refusals; what is no name of ours stays out', async () => {
  const read = async ({ id }) => {
    const { headers, traceId } = caller();
    await api.call(200, 'GET', `/v1/accounts/${id}`, { headers });
    const spans = await collector.trace(traceId, ({ kind }) => kind === SERVER, 'a read');
    const [server] = spans.filter(({ kind }) => kind === SERVER);
    assert.equal(server.name, 'GET /v1/accounts/{id}');
    return below(spans, server).map(({ name, attributes }) => attributes['kamd.cache.outcome'] ?? name).join();
  };
  let account;
  // The worker scores an account once after it was made: between two reads that takes the first one's entry away.
  await until(async () => {
    account = await makeAccount(api);
    const outcomes = [await read(account), await read(account)];
    assert.match(outcomes[0], /^(lease|busy|off),postgresql read/);
    return outcomes[0].startsWith('lease') && outcomes[1] === 'hit';
  }, { what: 'a read from PostgreSQL, and then one from Redis' });
  const wrong = caller(), lost = caller(), probe = caller();
  await api.call(409, 'POST', '/v1/accounts', { body: { name: 'Twice', account_number: account.account_number }, headers: wrong.headers });
  await api.call(404, 'GET', `/v1/nothing/${account.id}`, { headers: lost.headers });
  await api.call(200, 'GET', '/readyz', { headers: probe.headers });
  const refusal = (await collector.trace(wrong.traceId, ({ kind }) => kind === SERVER, 'a conflict'));
  const [conflict] = refusal.filter(({ kind }) => kind === SERVER);
  assert.deepEqual([conflict.attributes['http.response.status_code'], conflict.attributes['error.type'], conflict.status?.code ?? 0], [409, 'already_exists', 0]);
  assert.equal(below(refusal, conflict).find(({ name }) => name === 'postgresql transaction').attributes['kamd.db.outcome'], 'rolled_back');
  const [nowhere] = await collector.trace(lost.traceId, ({ kind }) => kind === SERVER, 'a wrong path');
  assert.deepEqual([nowhere.name, nowhere.attributes['http.route'], nowhere.attributes['error.type']], ['GET', undefined, 'not_found']);
  assert.equal(collector.spans.filter(({ traceId }) => traceId === probe.traceId).length, 0, 'probes have no span');
  for (const { attributes } of collector.spans) {
    for (const name of Object.keys(attributes)) assert.ok(name.startsWith('kamd.') || KNOWN.has(name), `${name} is no name of the semantic conventions`);
  }
});

test('not sampled, nothing is sent, and the webhook gets the caller\'s traceparent as it was', async () => {
  const quiet = caller('00');
  const { body } = await api.call(201, 'POST', '/v1/accounts', { body: { name: unique('Quiet'), account_number: unique('Q') }, headers: quiet.headers });
  await makeAccount(api); // without a caller's trace: 0 of 1,000
  const delivery = await receiver.wait(({ event }) => event.data?.account_id === body.id || event.data?.id === body.id, 'the webhook');
  assert.equal(delivery.headers.traceparent, quiet.headers.traceparent);
  const last = caller();
  await api.call(200, 'GET', '/v1/me', { headers: last.headers });
  await collector.trace(last.traceId, ({ kind }) => kind === SERVER, 'a later span');
  assert.equal(collector.spans.filter(({ traceId }) => traceId === quiet.traceId).length, 0);
  assert.ok(collector.spans.every(({ parentSpanId }) => parentSpanId), 'no trace began here');
});

test('no secret and nobody\'s data is in what is sent', async () => {
  const secrets = ['Wilhelmina', 'wilhelmina@example.com', '+15550102030', 'hook-secret-in-the-path', 'hook-header-value', 'search-for-somebody', api.key];
  const { headers, traceId } = caller();
  const account = await makeAccount(api);
  await api.call(201, 'POST', '/v1/contacts', { headers, body: { account_id: account.id, family_name: 'Wilhelmina', email: 'wilhelmina@example.com', phone: '+15550102030' } });
  await api.call(200, 'GET', `/v1/recognition?phone=${encodeURIComponent('+15550102030')}`, { headers });
  await api.call(200, 'GET', '/v1/accounts?q=search-for-somebody', { headers });
  const endpoint = (await api.call(201, 'POST', '/v1/webhook-endpoints', { headers, body: {
    url: `${receiver.url}/hook-secret-in-the-path?token=hook-secret-in-the-path`, event_types: ['contact.created'], headers: [{ name: 'X-Secret', value: 'hook-header-value' }] } })).body;
  secrets.push(endpoint.secret);
  await api.call(201, 'POST', '/v1/contacts', { headers, body: { account_id: account.id, family_name: 'Wilhelmina', email: 'wilhelmina2@example.com' } });
  const { url } = (await api.call(200, 'POST', `/v1/users/${(await api.create('/v1/users', { name: 'Wilhelmina' })).id}/agenda-token`, { headers })).body;
  secrets.push(new URL(url, api.url).searchParams.get('token'));
  await api.as().call(200, 'GET', new URL(url, api.url).pathname + new URL(url, api.url).search, { headers });
  await collector.trace(traceId, ({ attributes }) => attributes['kamd.webhook.endpoint_id'] === endpoint.id, 'the delivery to it');
  await collector.trace(traceId, ({ name }) => name.endsWith('/agenda.ics'), 'the agenda');
  const sent = collector.requests.map(({ text }) => text).join('\n');
  for (const secret of secrets) assert.ok(secret && !sent.includes(secret), secret);
  assert.doesNotMatch(sent, /\b(select|insert into|set_config)\b/i);
  const [{ method, path, headers: { authorization, 'content-type': type, 'x-tenant': tenant } }] = collector.requests;
  assert.deepEqual([method, path, authorization, type, tenant], ['POST', '/v1/traces', 'Bearer for-spans', 'application/json', 'kam']);
});

test('a collector that is too busy is asked again; one that refuses is not; what it does not take is counted', async (t) => {
  const busy = await startCollector((nth) => (nth === 1 ? { status: 503, headers: { 'retry-after': '1' } }
    : nth === 2 ? { status: 200 } : nth === 3 ? { status: 400 } : { status: 200, body: '{"partialSuccess":{"rejectedSpans":"1","errorMessage":"one"}}' }));
  let kamd;
  t.after(async () => { await kamd?.stop(); await busy.stop(); });
  kamd = await world.add({ KAMD_OTLP_ENDPOINT: busy.url, KAMD_OTLP_SAMPLE_PER_MILLE: '1000' }, 'serve', '--no-worker');
  const other = api.at(kamd.url);
  await other.call(200, 'GET', '/v1/me');
  await until(async () => busy.spans.length > 0 && await counted(kamd, 'sent') === busy.spans.length, { ms: 20_000, what: 'the same spans again' });
  assert.equal(busy.requests[0].text, busy.requests[1].text);
  assert.equal(busy.spans[0].parentSpanId, '', 'a trace that begins here');
  assert.equal(await counted(kamd, 'dropped'), 0);
  await other.call(200, 'GET', '/v1/me');
  const refused = await until(() => counted(kamd, 'refused'), { ms: 20_000, what: 'a refused batch' });
  await other.call(200, 'GET', '/v1/me');
  await until(async () => busy.requests.length > 3 && await counted(kamd, 'refused') === refused + busy.requests.length - 3,
    { ms: 20_000, what: 'the one span of a batch that was not taken' });
  assert.equal(busy.requests.filter(({ text }) => text === busy.requests[2].text).length, 1, 'a refused batch is not sent again');
  assert.deepEqual(busy.errors, []);
});

test('what waits is sent before the process ends', async (t) => {
  const late = await startCollector();
  t.after(() => late.stop());
  const kamd = await world.add({ KAMD_OTLP_ENDPOINT: late.url }, 'serve', '--no-worker');
  const { headers, traceId } = caller();
  await api.at(kamd.url).call(200, 'GET', '/v1/me', { headers });
  await kamd.stop();
  assert.equal(late.spans.filter((span) => span.traceId === traceId && span.kind === SERVER).length, 1);
});

test('a collector that is away, or never answers, costs requests nothing and the end two seconds', async (t) => {
  const mute = await startCollector(() => null);
  t.after(() => mute.stop());
  for (const url of [mute.url, 'http://127.0.0.1:9', 'http://nobody.invalid:9']) {
    const kamd = await world.add({ KAMD_OTLP_ENDPOINT: url, KAMD_OTLP_SAMPLE_PER_MILLE: '1000' }, 'serve', '--no-worker');
    const other = api.at(kamd.url);
    const answers = await inParallel(8, Array.from({ length: 400 }), () => other.send('GET', '/v1/me'));
    assert.deepEqual(answers.filter(({ status }) => status !== 200).map(({ text }) => text), [], url);
    await until(() => mute.requests.length > 0 || url !== mute.url, { ms: 20_000, what: 'a batch under way' });
    await kamd.stop();
    assert.match(kamd.log(), /"event":"spans_not_sent"|"event":"spans_dropped"/, url);
  }
});
