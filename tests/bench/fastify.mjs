// The reference service: what a team that knows fastify and pg would write for the same routes, with
// the same duties: API key, validation, row level security, one log line per request, problems.
// Its statements are kamd's own, taken from PostgreSQL's log.
//
// The caller's context is set once per connection, not per transaction. A real service could not
// do that, since callers differ; it saves the reference three of four round trips.
import { createHash, randomUUID } from 'node:crypto';
import Fastify from 'fastify';
import pg from 'pg';

const sql = JSON.parse(process.env.STATEMENTS);
// COLUMNS: kamd's answer has these names in this order.
const columns = sql.columns;

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 8, options: '-c kamd.scope=all -c kamd.areas=-1 -c kamd.actor=fastify -c kamd.origin=api' });
const keys = new Map();
{
  const { rows } = await pool.query("select encode(hash, 'hex') as hash, role from api_key where revoked_at is null");
  for (const { hash, role } of rows) keys.set(hash, role);
}

const app = Fastify({ logger: { level: 'info' }, disableRequestLogging: true, genReqId: () => randomUUID() });

app.setErrorHandler((error, request, reply) => {
  const status = error.validation ? 400 : error.statusCode ?? 500;
  reply.code(status).type('application/problem+json').send({ type: 'about:blank', title: error.message, status, request_id: request.id });
});
app.addHook('onResponse', async (request, reply) => {
  request.log.info({ method: request.method, route: request.routeOptions.url, status: reply.statusCode, ms: reply.elapsedTime }, 'request');
});

async function authenticate(request, reply) {
  const [scheme, key] = (request.headers.authorization ?? '').split(' ');
  if (scheme !== 'Bearer' || !keys.has(createHash('sha256').update(key ?? '').digest('hex'))) {
    reply.code(401).header('www-authenticate', 'Bearer');
    throw new Error('Send an API key.');
  }
}

const recordOf = (values) => {
  const record = {};
  for (let i = 0; i < columns.length; i++) record[columns[i]] = values[i];
  return record;
};
const tagged = (record) => {
  record.etag = `"${createHash('sha1').update(JSON.stringify(record)).digest('hex').slice(0, 16)}"`;
  return record;
};
const query = (client, name, text, values) => client.query({ name, text, values, rowMode: 'array' });

app.get('/livez', async () => ({ status: 'ok' }));

const uuid = { type: 'string', format: 'uuid' };
app.get('/v1/accounts/:id', { onRequest: authenticate, schema: { params: { type: 'object', properties: { id: uuid } } } }, async (request, reply) => {
  const { rows } = await query(pool, 'get', sql.get, [[request.params.id]]);
  if (rows.length === 0) {
    reply.code(404);
    throw new Error('There is no such account.');
  }
  const record = tagged(recordOf(rows[0]));
  reply.header('etag', record.etag).header('x-request-id', request.id);
  return record;
});

const listQuery = {
  type: 'object', additionalProperties: false,
  properties: { page_size: { type: 'integer', minimum: 1, maximum: 200, default: 50 }, order_by: { type: 'string' }, industry: { type: 'string', maxLength: 100 } },
};
app.get('/v1/accounts', { onRequest: authenticate, schema: { querystring: listQuery } }, async (request, reply) => {
  const { rows } = await query(pool, 'list', sql.list.text, sql.list.values);
  const has_more = rows.length > request.query.page_size;
  reply.header('x-request-id', request.id);
  return { data: rows.slice(0, request.query.page_size).map((row) => tagged(recordOf(row))), page: { has_more, next_cursor: has_more ? rows.at(-2)[0] : null } };
});

const texts = { type: 'array', maxItems: 20, items: { type: 'string', maxLength: 254 } };
const body = {
  type: 'object', required: ['name'],
  properties: {
    name: { type: 'string', minLength: 1, maxLength: 200 }, account_number: { type: 'string', maxLength: 64 }, domain: { type: 'string', maxLength: 253 },
    phones: texts, emails: texts, industry: { type: 'string', maxLength: 100 }, currency_code: { type: 'string', pattern: '^[A-Z]{3}$' },
    country_code: { type: 'string', pattern: '^[A-Z]{2}$' }, lifecycle: { enum: ['prospect', 'customer', 'former'] },
    customer_plans: { type: 'array', items: { type: 'object', required: ['kind', 'text'] } },
  },
};
// kamd's statements in their order; `values` has functions of what this request has, or constants.
app.post('/v1/accounts', { onRequest: authenticate, schema: { body } }, async (request, reply) => {
  const id = randomUUID();
  const key = request.headers['idempotency-key'];
  const hash = createHash('sha256').update(JSON.stringify(request.body)).digest('hex');
  const client = await pool.connect();
  let done = false;
  try {
    await client.query('begin');
    await client.query({ name: 'context', text: "select set_config('kamd.request_id', $1, true)", values: [request.id] });
    await query(client, 'lock', sql.post.lock, [key]);
    const { rows: [seen] } = await query(client, 'seen', sql.post.seen, ['bench', key, `\\x${hash}`]);
    if (seen) throw new Error('replayed');
    const row = { ...sql.post.preset, ...request.body, id };
    await query(client, 'insert', sql.post.insert, [JSON.stringify([row])]);
    const { rows: [values] } = await query(client, 'back', sql.post.back, [[id]]);
    const record = tagged(recordOf(values));
    await query(client, 'store', sql.post.store, ['bench', key, `\\x${hash}`, 201, record.etag, `/v1/accounts/${id}`, JSON.stringify(record)]);
    await client.query('commit');
    done = true;
    reply.code(201).header('etag', record.etag).header('location', `/v1/accounts/${id}`).header('x-request-id', request.id);
    return record;
  } finally {
    if (!done) await client.query('rollback');
    client.release();
  }
});

await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' });
process.on('SIGTERM', () => process.exit(0));
