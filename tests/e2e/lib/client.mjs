// An HTTP client that trusts nothing: every answer that is an error must be a problem document as
// conventions.md has it, and an answer of another status than expected fails with all that was said.
import assert from 'node:assert/strict';
import { Agent, request as httpRequest } from 'node:http';
import { PATIENCE, sleep } from './wait.mjs';

let insisted = 0;
const PROBLEM = 'application/problem+json';

export function checkProblem(answer, what) {
  const { status, headers, body } = answer;
  assert.equal(headers['content-type']?.split(';')[0], PROBLEM, `${what}: content type of a ${status}`);
  assert.equal(body.status, status, `${what}: status in the body`);
  assert.match(body.code, /^[a-z][a-z_]*[a-z]$/, `${what}: code`);
  assert.ok(body.type.endsWith(`/problems/${body.code}`), `${what}: type ${body.type} of ${body.code}`);
  assert.ok(body.title && body.detail && body.request_id, `${what}: title, detail, request_id`);
  for (const error of body.errors ?? []) {
    assert.ok(error.pointer !== undefined || error.parameter || error.header, `${what}: errors[] names no place: ${JSON.stringify(error)}`);
    assert.ok(error.code && error.detail, `${what}: errors[] without code or detail`);
  }
  if (status === 503 || status === 429) assert.match(headers['retry-after'] ?? '', /^\d+$/, `${what}: Retry-After`);
  if (status === 401) assert.ok(headers['www-authenticate'], `${what}: WWW-Authenticate`);
}

// kamd closes a connection on which nothing comes (KAMD_IDLE_SECONDS). A process that waits for psql hears nothing of that, and would send on it.
const STALE_MS = 10_000;

export class Client {
  constructor(url, key, staleMs = STALE_MS) {
    this.url = new URL(url);
    this.key = key;
    this.staleMs = staleMs;
    this.agent = new Agent({ keepAlive: true, maxFreeSockets: 64 });
  }

  // The same server for somebody else; the same person at another server.
  as(key) { return new Client(this.url, key); }
  at(url) { return new Client(url, this.key); }
  close() { this.agent.destroy(); }

  dropStale(now) {
    for (const socket of Object.values(this.agent.freeSockets).flat()) {
      if (now - socket.sentAt < this.staleMs) continue;
      socket.emit('agentRemove'); // at once; that it was closed the agent would hear later
      socket.destroy();
    }
  }

  // {status, headers, text, body, ms}. `body` is sent as JSON, `raw` (text or bytes) as it is.
  send(method, path, { body, raw, headers = {}, ms = 15_000, type = 'application/json' } = {}) {
    const content = raw ?? (body === undefined ? undefined : JSON.stringify(body));
    const all = {
      ...(this.key && { authorization: `Bearer ${this.key}` }),
      ...(content !== undefined && { 'content-type': type, 'content-length': Buffer.byteLength(content) }),
      ...headers,
    };
    for (const name of Object.keys(all)) if (all[name] === undefined) delete all[name];
    const started = Date.now();
    this.dropStale(started);
    return new Promise((done, fail) => {
      const options = { host: this.url.hostname, port: this.url.port, method, path, headers: all, agent: this.agent };
      const request = httpRequest(options, (answer) => {
        const chunks = [];
        answer.on('data', (chunk) => chunks.push(chunk)).on('error', fail).on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          const isJson = /\bjson\b/.test(answer.headers['content-type'] ?? '');
          let parsed;
          try {
            parsed = isJson && text ? JSON.parse(text) : undefined;
          } catch (error) {
            fail(new Error(`${method} ${path}: ${answer.statusCode} with broken JSON: ${text.slice(0, 500)}`, { cause: error }));
            return;
          }
          done({ status: answer.statusCode, headers: answer.headers, text, body: parsed, ms: Date.now() - started });
        });
      });
      request.setTimeout(ms * PATIENCE, () => request.destroy(new Error(`${method} ${path}: no answer within ${ms * PATIENCE} ms`)));
      request.on('socket', (socket) => { socket.sentAt = started; }).on('error', fail);
      request.end(content);
    });
  }

  // The same, again while the server is too busy or does not know what came of it: an Idempotency-Key makes it happen once.
  async insist(method, path, options = {}) {
    const headers = { 'idempotency-key': `insist-${process.pid}-${++insisted}`, ...options.headers };
    for (let n = 0; ; n++) {
      const answer = await this.send(method, path, { ...options, headers });
      const busy = answer.status === 503 || (answer.status === 409 && answer.headers['retry-after']);
      if (!busy || n === 100) return answer;
      await sleep(200);
    }
  }

  // The same as send(), with the status that must come. Who is told that a busy server did nothing asks again, as clients do.
  async call(status, method, path, options) {
    let answer = await this.send(method, path, options);
    for (let n = 0; n < 25 && status !== 503 && answer.status === 503 && answer.body?.code === 'overloaded'; n++) {
      await sleep(200);
      answer = await this.send(method, path, options);
    }
    const what = `${method} ${path}`;
    if (answer.status !== status) {
      const sent = options?.body ? ` with ${JSON.stringify(options.body).slice(0, 500)}` : '';
      assert.fail(`${what}${sent}: expected ${status}, got ${answer.status} ${answer.text.slice(0, 1500)}`);
    }
    if (status >= 400 && method !== 'HEAD') checkProblem(answer, what);
    return answer;
  }

  async get(path) { return (await this.call(200, 'GET', path)).body; }

  // 201 with Location and ETag; the body.
  async create(path, body, headers) {
    const answer = await this.call(201, 'POST', path, { body, headers });
    assert.equal(answer.headers.etag, answer.body.etag, `POST ${path}: ETag of header and body`);
    assert.ok(answer.headers.location?.endsWith(`/${answer.body.id}`), `POST ${path}: Location ${answer.headers.location}`);
    return answer.body;
  }

  async patch(path, etag, body) { return (await this.call(200, 'PATCH', path, { body, headers: { 'if-match': etag } })).body; }
  async remove(path, etag) { await this.call(204, 'DELETE', path, { headers: { 'if-match': etag } }); }

  // The problem document of a request that must fail so.
  async fails(status, code, method, path, options) {
    const { body } = await this.call(status, method, path, options);
    assert.equal(body.code, code, `${method} ${path}: ${JSON.stringify(body)}`);
    return body;
  }

  // All rows of a list, page by page.
  async all(path, pageSize = 200) {
    const rows = [];
    for (let cursor = ''; ;) {
      const { data, page } = await this.get(`${path}${path.includes('?') ? '&' : '?'}page_size=${pageSize}${cursor}`);
      rows.push(...data);
      assert.equal(page.has_more, page.next_cursor !== null && page.next_cursor !== undefined, `${path}: has_more and next_cursor agree`);
      if (!page.has_more) return rows;
      cursor = `&cursor=${encodeURIComponent(page.next_cursor)}`;
    }
  }
}

// The whole event log, or what of it the query chooses.
export async function events(client, query = '') {
  const rows = [];
  for (let after = '0'; ;) {
    const { data, page } = await client.get(`/v1/events?page_size=200&after=${after}${query && `&${query}`}`);
    rows.push(...data);
    if (!page.has_more) return rows;
    after = page.next_cursor;
  }
}

// What names the place of an error: "/name", "page_size", "If-Match".
export const places = (problem) => (problem.errors ?? []).map((error) => error.pointer ?? error.parameter ?? error.header);
