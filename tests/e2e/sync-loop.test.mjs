// kamd and a simulated Salesforce, both edited at random, tell each other over connections that lose requests and answers and send twice:
// in the end both have the same, no record twice, no edit lost but where the policy says so, and then there is silence (004-31).
// With SOAK they make 10,000 edits.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from './lib/stack.mjs';
import { sleep, until } from './lib/wait.mjs';
import { openWorld, unique } from './lib/world.mjs';

const EDITS = process.env.SOAK ? 10_000 : 120;
const FIELDS = ['name', 'industry', 'domain'];
let world, api, integration;
before(async () => {
  world = await openWorld();
  ({ api } = world);
  integration = await world.clientOf('integration', { scopes: ['sync'] });
});
after(() => {
  integration?.close();
  return world?.close();
});

const random = (n) => Math.floor(Math.random() * n);
const value = (field, who, i) => (field === 'domain' ? `${who}-${i}.example` : `${who} ${i}`);

// A connection that is not to be trusted: a request is lost, its answer is lost, or it arrives twice. Whoever sends comes again, under the same key.
async function faulty(client, method, path, options) {
  for (let tries = 0; ; tries++) {
    const fault = tries < 4 ? random(8) : 7;
    if (fault === 0) continue;
    try {
      const answer = await client.send(method, path, options);
      if (fault === 1) continue;
      if (fault === 2) await client.send(method, path, options);
      if (answer.status !== 503 && answer.status !== 409 && answer.status !== 429) return answer;
    } catch (error) {
      if (tries > 20) throw error;
    }
    await sleep(20);
  }
}

// Records with SystemModstamp, soft deletes, and what a sync knows: which it has to tell, and how far it has read kamd's feed.
class Salesforce {
  constructor(system) {
    this.system = system;
    this.records = new Map();
    this.dirty = new Map(); // id: fields that somebody changed here since they were told
    this.clock = Date.now();
    this.next = 0;
    this.applied = 0;
  }

  stamp() { return new Date(this.clock = Math.max(this.clock + 1, Date.now())).toISOString(); }

  edit(i) {
    const alive = [...this.records.values()].filter((one) => !one.deleted);
    const kind = alive.length < 5 ? 0 : random(12);
    if (kind === 0) this.change(`${this.system}-${++this.next}`, Object.fromEntries(FIELDS.map((field) => [field, value(field, 'sf', i)])));
    else if (kind === 1) {
      const one = alive[random(alive.length)];
      Object.assign(one, { deleted: true, stamp: this.stamp() });
      this.dirty.set(one.id, new Set());
    } else {
      const field = FIELDS[random(FIELDS.length)];
      this.change(alive[random(alive.length)].id, { [field]: value(field, 'sf', i) });
    }
  }

  change(id, fields) {
    const one = this.records.get(id) ?? { id, deleted: false };
    Object.assign(one, fields, { stamp: this.stamp() });
    this.records.set(id, one);
    this.dirty.set(id, new Set([...this.dirty.get(id) ?? [], ...Object.keys(fields)]));
  }

  // What changed here, in calls of up to 200; some of it again, some of it late.
  async tell() {
    const records = [...this.dirty].map(([id, fields]) => {
      const one = this.records.get(id);
      return { external_id: id, system_modstamp: one.stamp, ...(one.deleted ? { is_deleted: true } : Object.fromEntries([...fields].map((field) => [field, one[field]]))) };
    });
    this.dirty = new Map();
    for (let at = 0; at < records.length; at += 200) {
      const { status, body } = await faulty(integration, 'POST', `/v1/sync/${this.system}/accounts`, { body: { records: records.slice(at, at + 200) }, headers: { 'idempotency-key': unique('tell') } });
      assert.equal(status, 200, JSON.stringify(body));
      for (const { outcome, errors } of body.results) assert.notEqual(outcome, 'error', JSON.stringify(errors));
    }
    return records.length;
  }

  // What kamd says: its value stands, but where somebody here has changed the field since and has not told yet.
  async hear() {
    let heard = 0;
    for (let more = true; more;) {
      const { body } = await faulty(integration, 'GET', `/v1/changes?types=account&exclude_origin=${this.system}&page_size=200&after=${this.cursor}`);
      for (const { id: kamd, op, external_ids: ids, snapshot } of body.changes) {
        const id = ids[this.system];
        const one = this.records.get(id);
        if (!one) continue;
        heard++;
        const untold = this.dirty.get(id);
        if (op === 'deleted' && !untold) one.deleted = true;
        if (!snapshot) continue;
        if (one.deleted && !untold) one.deleted = false;
        for (const field of FIELDS) if (!untold?.has(field)) one[field] = snapshot[field];
        assert.ok(kamd);
      }
      [this.cursor, more] = [body.next_cursor, body.has_more];
    }
    return heard;
  }
}

test(`${EDITS} random edits on both sides: they converge, and fall silent`, { timeout: 3_600_000 }, async () => {
  const system = unique('loop').toLowerCase();
  await api.call(200, 'PUT', `/v1/sync/${system}/policy`, { body: { conflict_policy: 'kamd_wins' } });
  const salesforce = new Salesforce(system);
  salesforce.cursor = (await api.get('/v1/changes?after=now')).next_cursor;
  const known = async () => (await Promise.all([api.all('/v1/accounts')])).flat().filter(({ external_ids: ids }) => ids[system]);
  // Somebody at kamd: edits with If-Match, now and then a delete.
  const edit = async (i) => {
    const { data } = await api.get('/v1/accounts?page_size=50&order_by=-updated_at');
    const mine = data.filter(({ external_ids: ids }) => ids[system]);
    if (mine.length === 0) return;
    const one = mine[random(mine.length)];
    const field = FIELDS[random(FIELDS.length)];
    const headers = { 'if-match': one.etag };
    const { status } = random(12) === 0 ? await api.send('DELETE', `/v1/accounts/${one.id}`, { headers }) : await api.send('PATCH', `/v1/accounts/${one.id}`, { body: { [field]: value(field, 'kamd', i) }, headers });
    assert.ok([200, 204, 404, 412, 503].includes(status), `${status}`);
  };
  for (let i = 0; i < EDITS; i++) {
    if (i % 2) salesforce.edit(i);
    else await edit(i);
    if (random(6) === 0) await salesforce.tell();
    if (random(6) === 0) await salesforce.hear();
  }
  // No more edits: they tell and hear until there is nothing more to say, and each time all that happened is in the feed.
  const unsaid = 'select count(*) from event e where not exists (select from event_position p where p.at = e.at and p.seq = e.seq)';
  for (let quiet = 0, rounds = 0; quiet < 3; rounds++) {
    assert.ok(rounds < 60, 'they never fall silent');
    await until(() => sql(world.settings, unsaid) === '0', { ms: 20_000, what: 'everything being in the feed' });
    const said = await salesforce.tell() + await salesforce.hear();
    quiet = said === 0 ? quiet + 1 : 0;
    await sleep(400);
  }
  const theirs = Object.fromEntries([...salesforce.records.values()].filter(({ deleted }) => !deleted).map((one) => [one.id, FIELDS.map((field) => one[field])]));
  const ours = await known();
  assert.deepEqual(Object.fromEntries(ours.map((one) => [one.external_ids[system], FIELDS.map((field) => one[field])])), theirs);
  assert.equal(new Set(ours.map(({ external_ids: ids }) => ids[system])).size, ours.length, 'none twice');
});
