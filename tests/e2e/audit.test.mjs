// The audit (004-27): who changed and who read what, in chains that show any tampering.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, createPublicKey, verify as verifySignature } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { events } from './lib/client.mjs';
import { runKamd } from './lib/kamd.mjs';
import { sql } from './lib/stack.mjs';
import { inParallel, until } from './lib/wait.mjs';
import { completeSections, makePlan } from './lib/planning.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

const NOBODY = '00000000-0000-0000-0000-000000000000';
let world, api;
before(async () => {
  world = await openWorld({ settings: { KAMD_AUDIT_ANCHOR_MS: '300' } });
  ({ api } = world);
});
after(() => world?.close());

const query = (statement) => sql(world.settings, statement);
// As somebody with a superuser's rights does who wants not to be seen.
const tamper = (statement) => query(`set session_replication_role = replica; ${statement}`);
const sha256 = (...parts) => createHash('sha256').update(Buffer.concat(parts)).digest('hex');
const records = (account, more = '') => api.all(`/v1/audit?account_id=${account.id}${more}`);
const verify = (account, client = api) => client.get(`/v1/audit/verify?account_id=${account.id ?? account}`);
const anchored = (account) => until(async () => {
  const { changes, reads, anchored_changes, anchored_reads } = await verify(account);
  return changes === anchored_changes && reads === anchored_reads;
}, { ms: 30_000, what: 'an anchor' });
// An account with some past.
async function pastOf(changes = 4) {
  let account = await makeAccount(api);
  for (let i = 0; i < changes; i++) account = await api.patch(`/v1/accounts/${account.id}`, account.etag, { industry: `Industry ${i}` });
  return account;
}

test('every change is one record, chained as the migration says, and verified by hand', async () => {
  const account = await pastOf();
  const contact = await api.create('/v1/contacts', { account_id: account.id, family_name: 'Krüger "x"', email: 'k@example.com' });
  await api.patch(`/v1/contacts/${contact.id}`, contact.etag, { email: 'kr@example.com', title: 'Buyer' });
  const rows = await records(account);
  assert.deepEqual(rows.map(({ action, resource, seq, chain }) => `${seq} ${chain} ${resource}.${action}`).reverse(), [
    '1 change account.created', '2 change account.updated', '3 change account.updated', '4 change account.updated', '5 change account.updated',
    '6 change contact.created', '7 change contact.updated']);
  for (const row of rows) {
    assert.match(row.actor, /^key:/);
    assert.match(row.request_id, /./);
    assert.match(row.digest, /^[0-9a-f]{64}$/);
  }
  assert.ok(!JSON.stringify(rows).includes('example.com'), 'digests, no values');
  let last = '00'.repeat(32);
  for (const line of query(`select hash_text from (select encode(prev_hash, 'hex') || ' ' || encode(hash, 'hex') || ' ' || convert_from(audit_text(a), 'UTF8') as hash_text
      from audit a where account_id = '${account.id}' and kind = 'change' order by seq) t`).split('\n')) {
    const [previous, hash] = line.split(' ', 2);
    assert.equal(previous, last);
    assert.equal(hash, sha256(Buffer.from(previous, 'hex'), Buffer.from(line.slice(130))));
    last = hash;
  }
  const found = await verify(account);
  assert.deepEqual([found.valid, found.broken, found.changes, found.reads], [true, null, 7, 0]);
  const personal = JSON.parse(query(`select personal from audit where record_id = '${contact.id}' and action = 'updated'`));
  assert.deepEqual(Object.keys(personal), ['email'], 'values about a person are digests of their own');
});

test('keys, users, program, settings and rates are in the chain of what has no account', async () => {
  const before_ = (await verify(NOBODY)).changes;
  const user = await api.create('/v1/users', { name: unique('User') });
  const { id } = (await api.call(201, 'POST', '/v1/api-keys', { body: { name: unique('key'), role: 'auditor' } })).body;
  await api.call(204, 'DELETE', `/v1/api-keys/${id}`);
  const program = await api.get('/v1/program');
  await api.patch('/v1/program', program.etag, { max_key_accounts: program.max_key_accounts + 1 });
  await api.call(201, 'PUT', '/v1/program/rates/CHF', { body: { rate: '1.05' } });
  const rows = await api.all(`/v1/audit?since=${encodeURIComponent(user.created_at)}`);
  const mine = rows.filter(({ account_id, resource }) => account_id === null && ['user', 'api_key', 'program', 'rate'].includes(resource)).map(({ resource, action }) => `${resource}.${action}`);
  for (const expected of ['user.created', 'api_key.created', 'api_key.updated', 'program.updated', 'rate.created']) assert.ok(mine.includes(expected), `${expected} in ${mine}`);
  const found = await verify(NOBODY);
  assert.ok(found.valid && found.changes >= before_ + 5, JSON.stringify(found));
});

test('who reads a sensitive area is written down, once per request, also what comes with 304 (004-27)', async () => {
  const account = await makeAccount(api);
  const plan = await makePlan(api, account);
  await completeSections(api, plan, ['leader_perceptions']);
  const wallets = [];
  for (const period of ['2025', '2026']) wallets.push(await api.create(`/v1/accounts/${account.id}/wallet`, { category: 'Beams', period, customer_spend: '100', our_revenue: '50', currency_code: 'EUR' }));
  const auditor = await world.clientOf('auditor');
  const below = `/v1/accounts/${account.id}`;
  const reads = async (method, path, expected, headers) => {
    const known = new Set((await records(account, '&action=read')).map(({ seq }) => seq));
    const { status } = await auditor.send(method, path, { headers });
    assert.ok([200, 304].includes(status), `${path}: ${status}`);
    const seen = (await records(account, '&action=read')).filter(({ seq }) => !known.has(seq));
    assert.deepEqual(seen.map(({ resource, area, records: n, record_id }) => [resource, area, n, record_id]).sort(), expected.sort(), path);
  };
  const one = ['wallet', 'economics', 1, wallets[0].id];
  await reads('GET', `${below}/wallet/${wallets[0].id}`, [one]);
  await reads('GET', `${below}/wallet/${wallets[0].id}`, [one], { 'if-none-match': wallets[0].etag });
  await reads('HEAD', `${below}/wallet/${wallets[0].id}`, [one]);
  await reads('GET', `${below}/wallet`, [['wallet', 'economics', 2, null]]);
  await reads('GET', `${below}/wallet/${wallets[0].id}/history`, [one]);
  for (const name of ['economics', 'metrics', 'key-status', 'key-status/history']) await reads('GET', `${below}/${name}`, [[name.startsWith('key-status') ? 'key_status' : name, 'economics', 1, null]]);
  const section = async (name) => (await api.get(`/v1/plans/${plan.id}/sections/${name}`)).id;
  const [d, e] = [await section('leader_perceptions'), await section('values_beliefs')];
  await reads('GET', `/v1/plans/${plan.id}/sections/leader_perceptions`, [['plan_section', 'leader_perceptions', 1, d]]);
  await reads('GET', `/v1/plans/${plan.id}/sections/strategies`, []);
  const both = [['plan_section', 'leader_perceptions', 1, d], ['plan_section', 'values_beliefs', 1, e]];
  await reads('GET', `/v1/plans/${plan.id}/sections`, both);
  await reads('GET', `/v1/plans/${plan.id}?expand=sections`, both);
  await reads('GET', `/v1/plans/${plan.id}`, []);
  await reads('GET', below, []);
  // Events tell of the same; a stream is noted as it begins, since it goes on.
  await api.call(201, 'POST', `${below}/designate`, { body: {} });
  const [event] = await until(async () => {
    const told = await events(api, `account_id=${account.id}&types=account.key_status.designated`);
    return told.length && told;
  }, { ms: 15_000, what: 'the designation\'s event' });
  await reads('GET', `/v1/events?account_id=${account.id}&types=account.created,account.key_status.designated`, [['event', 'economics', 1, event.id]]);
  await reads('GET', `/v1/events?account_id=${account.id}&types=account.created`, []);
  await reads('HEAD', `/v1/events/stream?account_id=${account.id}`, ['economics', 'divestment', 'leader_perceptions', 'values_beliefs'].map((area) => ['event_stream', area, 1, null]));
  // A write's answer shows the record, too; what changes nothing is no way around.
  const count = (await verify(account)).reads;
  await api.patch(`${below}/wallet/${wallets[0].id}`, wallets[0].etag, {});
  const found = await verify(account);
  assert.deepEqual([found.valid, found.reads], [true, count + 1]);
});

test('what cannot be written down is not answered; other reads go on', async () => {
  const account = await makeAccount(api);
  await api.get(`/v1/accounts/${account.id}/economics`);
  const holder = spawn('psql', ['-XAtq', world.settings.DATABASE_SUPERUSER_URL], { stdio: ['pipe', 'pipe', 'inherit'] });
  const held = new Promise((done) => { holder.stdout.on('data', done); });
  holder.stdin.write(`begin; select 'held' from audit_read_head where account_id = '${account.id}' for update;\n`);
  await held;
  const answer = await api.call(503, 'GET', `/v1/accounts/${account.id}/economics`);
  assert.ok(!answer.text.includes('lifetime'), answer.text);
  await api.get(`/v1/accounts/${account.id}`);
  await api.get(`/v1/accounts/${account.id}/sales`);
  holder.stdin.end();
  await new Promise((done) => { holder.on('exit', done); });
  await api.get(`/v1/accounts/${account.id}/economics`);
  assert.equal((await verify(account)).reads, 2, 'the one that failed was not shown');
});

test('many writers and readers of the same accounts at once leave whole chains', async () => {
  const accounts = [await makeAccount(api), await makeAccount(api)];
  await inParallel(8, Array.from({ length: 60 }), async (_, i) => {
    const path = `/v1/accounts/${accounts[i % 2].id}`;
    if (i % 3 === 0) await api.get(`${path}/economics`);
    else await api.create(`${path}/problems`, { category: 'other', title: unique('p'), opened_at: '2026-05-05T10:00:00Z' });
  });
  const body = { all_or_none: true, records: Array.from({ length: 200 }, (_, i) => ({ account_id: accounts[i % 2].id, family_name: unique('F'), email: `a${i}@example.com` })) };
  await api.call(200, 'POST', '/v1/contacts/bulk', { body, headers: { 'idempotency-key': unique('k') } });
  for (const account of accounts) {
    const found = await verify(account);
    assert.deepEqual([found.valid, found.changes, found.reads], [true, 121, 10], JSON.stringify(found));
  }
});

test('roles: members and integrations see none of it, managers that of their accounts', async () => {
  const manager = await api.create('/v1/users', { name: unique('Manager') });
  const own = await makeAccount(api, { manager_id: manager.id });
  const other = await makeAccount(api);
  const client = await world.clientOf('account_manager', { user_id: manager.id });
  assert.deepEqual([...new Set((await client.all('/v1/audit')).map(({ account_id }) => account_id))], [own.id]);
  assert.equal((await verify(own, client)).valid, true);
  await client.fails(404, 'not_found', 'GET', `/v1/audit/verify?account_id=${other.id}`);
  await client.fails(404, 'not_found', 'GET', `/v1/audit/verify?account_id=${NOBODY}`);
  await client.fails(403, 'forbidden', 'GET', '/v1/audit/verify');
  for (const role of ['member', 'integration']) {
    const denied = await world.clientOf(role, role === 'member' ? { user_id: manager.id } : {});
    for (const path of ['/v1/audit', '/v1/audit/anchors', `/v1/audit/verify?account_id=${own.id}`]) await denied.fails(403, 'forbidden', 'GET', path);
  }
  for (const role of ['auditor', 'director']) assert.equal((await verify(other, await world.clientOf(role))).valid, true);
});

test('filters, pages and their errors', async () => {
  const account = await pastOf(3);
  const since = encodeURIComponent(account.updated_at);
  assert.deepEqual((await api.all(`/v1/audit?account_id=${account.id}`, 2)).map(({ seq }) => seq), [4, 3, 2, 1]);
  assert.deepEqual((await records(account, '&action=created')).map(({ seq }) => seq), [1]);
  assert.deepEqual((await records(account, `&since=${since}`)).map(({ seq }) => seq), [4]);
  assert.deepEqual((await records(account, `&until=${since}`)).map(({ seq }) => seq), [3, 2, 1]);
  const [{ actor }] = await records(account);
  assert.equal((await api.all(`/v1/audit?record_id=${account.id}&actor=${encodeURIComponent(actor)}&resource=account`)).length, 4);
  assert.equal((await records(account, '&actor=nobody')).length, 0);
  for (const [parameter, code] of [['account_id=x', 'malformed_id'], ['since=yesterday', 'malformed_time'], ['action=burnt', 'invalid_value'], ['color=red', 'unknown_parameter']]) {
    const { errors } = await api.fails(400, 'invalid_request', 'GET', `/v1/audit?${parameter}`);
    assert.deepEqual(errors.map((error) => error.code), [code]);
  }
});

test('anchors are signed, chained, told to the log, and can be checked by anybody', async () => {
  const account = await pastOf(1);
  await api.get(`/v1/accounts/${account.id}/economics`);
  await anchored(account);
  const { keys } = (await new api.constructor(world.kamds[0].url).get('/.well-known/audit-keys'));
  const anchors = (await api.all('/v1/audit/anchors')).reverse();
  let previous = '00'.repeat(32);
  for (const anchor of anchors) {
    const key = keys.find(({ id }) => id === anchor.key_id);
    const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), Buffer.from(key.public_key, 'base64')]);
    assert.ok(verifySignature(null, Buffer.from(anchor.body), createPublicKey({ key: der, format: 'der', type: 'spki' }), Buffer.from(anchor.signature, 'base64')));
    const body = JSON.parse(anchor.body);
    assert.deepEqual([body.anchor_no, body.root, body.previous], [anchor.anchor_no, anchor.root, previous]);
    const leaves = query(`select account_id || ' ' || kind || ' ' || from_seq || ' ' || seq || ' ' || encode(hash, 'hex') from audit_leaf where number = ${anchor.anchor_no} order by account_id, kind`);
    assert.equal(sha256(Buffer.from(leaves)), anchor.root);
    assert.equal(leaves.split('\n').length, anchor.chains);
    previous = sha256(Buffer.from(anchor.body));
  }
  const told = await until(() => world.kamds[0].log().split('\n').filter((line) => line.includes('"audit_anchor"')).map((line) => JSON.parse(line)).find(({ body }) => body === anchors.at(-1).body),
    { ms: 15_000, what: 'the log line' });
  assert.equal(Buffer.from(told.signature, 'hex').toString('base64'), anchors.at(-1).signature);
});

test('a new master key: old anchors still hold once secrets are sealed anew, and a stranger\'s key proves nothing', async () => {
  const account = await pastOf(1);
  await anchored(account);
  const [{ key_id: before_ }] = (await api.get('/v1/audit/anchors?page_size=1')).data;
  const folder = mkdtempSync(join(tmpdir(), 'kamd-audit-'));
  const file = join(folder, 'master.key');
  const old = readFileSync(world.settings.KAMD_MASTER_KEY_FILE, 'utf8').trim();
  const next = Buffer.alloc(32, 9).toString('base64');
  const settings = { KAMD_MASTER_KEY_FILE: file };
  try {
    writeFileSync(file, `${next},${old}`);
    await runKamd({ ...world.settings, ...settings }, 'rotate-secrets');
    writeFileSync(file, next);
    const kamd = await world.add(settings);
    const other = new api.constructor(kamd.url, api.key);
    assert.deepEqual((({ valid, anchors }) => [valid, anchors > 0])(await verify(account, other)), [true, true], `signed by ${before_}, whose master key is gone`);
    // As it was before: its own anchors of the old key, those of the new one sealed by what the first process does not have.
    await kamd.stop();
    world.kamds.splice(world.kamds.indexOf(kamd), 1);
    assert.equal((await verify(account)).broken.problem, 'anchor_signature');
    writeFileSync(file, `${old},${next}`);
    await runKamd({ ...world.settings, ...settings }, 'rotate-secrets');
    assert.equal((await verify(account)).valid, true);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('erasing a person leaves the chain valid; erasing without saying so does not', async () => {
  const make = async () => {
    const account = await makeAccount(api);
    const contact = await api.create('/v1/contacts', { account_id: account.id, family_name: 'Before', email: 'before@example.com' });
    await api.patch(`/v1/contacts/${contact.id}`, contact.etag, { family_name: 'After', title: 'Buyer' });
    return { account, contact };
  };
  const { account, contact } = await make();
  query(`select erasure_of_history('contact', '${contact.id}')`);
  assert.ok(!query(`select string_agg(changes::text, '') from history where record_id = '${contact.id}'`).includes('Before'));
  assert.equal(query(`select count(*) from audit_salt where record_id = '${contact.id}'`), '0');
  assert.deepEqual((({ valid, broken }) => [valid, broken])(await verify(account)), [true, null]);
  assert.equal((await records(account))[0].action, 'erased');
  const quiet = await make();
  tamper(`update history set changes = changes || '{"family_name": [null, null]}' where record_id = '${quiet.contact.id}' and changes ? 'family_name'; delete from audit_salt where record_id = '${quiet.contact.id}'`);
  assert.equal((await verify(quiet.account)).broken.problem, 'history_edited');
});

test('the database knows the same fields about a person as the descriptors', async () => {
  const { stdout } = await runKamd(world.settings, '--print-api');
  for (const { name, fields } of JSON.parse(stdout).resources)
    assert.equal(query(`select array_to_string(personal_fields('${name}'), ' ')`), fields.filter(({ personal }) => personal).map((field) => field.name).join(' '), name);
});

test('nobody but a superuser can change what is chained', () => {
  assert.equal(query(`select concat_ws(' ', r, p, t) from unnest(array['kamd_app', 'kamd_worker']) r, unnest(array['insert', 'update', 'delete', 'truncate']) p,
    unnest(array['audit', 'audit_anchor', 'audit_leaf', 'audit_key', 'audit_anchored', 'audit_read_head', 'audit_salt', 'audit_look']) t where has_table_privilege(r, t, p)`), '');
  const refused = ['update audit set actor = null', 'delete from audit', 'truncate audit', 'delete from audit_anchor', 'update audit_leaf set seq = 1']
    .map((statement) => `do $$ begin ${statement}; raise 'it went through'; exception when insufficient_privilege then null; end $$`);
  assert.equal(query(`${refused.join(';')}; select count(*) > 0 from audit`), 't');
});

// Rewrites a chain from its first record on as if it had always been so.
const REWRITE = (account) => `do $$ declare r audit; h bytea := audit_genesis(); begin
  for r in select * from audit where account_id = '${account.id}' and kind = 'change' order by seq loop
    update audit a set prev_hash = h, hash = sha256(h || audit_text(a)) where a.account_id = r.account_id and a.kind = r.kind and a.seq = r.seq returning a.hash into h;
  end loop;
  update account_sequence set audit_hash = h where account_id = '${account.id}'; end $$`;
const of = (account, seq) => `account_id = '${account.id}' and kind = 'change' and seq = ${seq}`;
const TAMPERING = [
  ['an edited digest', (a) => `update audit set digest = sha256('x') where ${of(a, 3)}`, 3, 'edited'],
  ['an edited actor', (a) => `update audit set actor = 'user:else' where ${of(a, 2)}`, 2, 'edited'],
  ['a record taken out of the middle', (a) => `delete from audit where ${of(a, 3)}`, 3, 'missing'],
  ['two swapped', (a) => `update audit set seq = 99 where ${of(a, 2)}; update audit set seq = 2 where ${of(a, 4)}; update audit set seq = 4 where ${of(a, 99)}`, 2, 'edited'],
  ['a tail cut off', (a) => `delete from audit where account_id = '${a.id}' and seq > 3`, 4, 'truncated'],
  ['a tail cut off, and the end with it', (a) => `delete from audit where account_id = '${a.id}' and seq > 3;
    update account_sequence set audit_seq = 3, audit_hash = (select hash from audit where ${of(a, 3)}) where account_id = '${a.id}'`, [4, 5], 'truncated'], // by the first anchor that knows more
  ['the whole chain deleted', (a) => `delete from audit where account_id = '${a.id}'; update account_sequence set audit_seq = 0, audit_hash = null where account_id = '${a.id}'`, 1, 'missing'],
  ['the whole chain replaced by another, hashes and all', (a) => `update audit set actor = 'user:else' where ${of(a, 2)}; update history set actor = 'user:else' where id = (select history_id from audit where ${of(a, 2)}); ${REWRITE(a)}`, [2, 5], 'rewritten'],
  ['an edited history', (a) => `update history set changes = '{"industry": ["x", "y"]}' where id = (select history_id from audit where ${of(a, 3)})`, 3, 'history_edited'],
  ['a history row deleted', (a) => `delete from history where id = (select history_id from audit where ${of(a, 4)})`, 4, 'history_missing'],
  ['a history row slipped in', (a) => `insert into history (account_id, resource, record_id, version, op, changes) values ('${a.id}', 'account', '${a.id}', 9, 'updated', '{}')`, null, 'history_unchained'],
];
let victims;
const makeVictims = async () => {
  const accounts = await inParallel(4, TAMPERING, () => pastOf());
  for (const account of accounts) await anchored(account);
  return accounts;
};
for (const [i, [what, statement, seq, problem]] of TAMPERING.entries())
  test(`found: ${what}`, async () => {
    const account = (await (victims ??= makeVictims()))[i];
    tamper(statement(account));
    const { valid, broken } = await verify(account);
    const [low, high] = [seq].flat().length === 2 ? seq : [seq, seq];
    assert.deepEqual([valid, broken?.chain, broken?.problem], [false, 'change', problem]);
    assert.ok(broken.seq === seq || (broken.seq >= low && broken.seq <= high), `${broken.seq} is not ${seq}`);
  });

test('found: a rewritten chain with its leaves rewritten, too, then with the root and a signature by another key', async () => {
  const account = await pastOf();
  await anchored(account);
  const number = Number(query(`select min(number) from audit_leaf where account_id = '${account.id}' and seq = 5`));
  tamper(`update audit set actor = 'user:else' where ${of(account, 2)}; update history set actor = 'user:else' where id = (select history_id from audit where ${of(account, 2)}); ${REWRITE(account)};
    update audit_leaf l set hash = a.hash from audit a where a.account_id = l.account_id and a.kind = l.kind and a.seq = l.seq and l.account_id = '${account.id}'`);
  const first = await verify(account);
  assert.deepEqual([first.valid, first.broken.problem], [false, 'anchor_leaves']);
  tamper(`update audit_anchor set body = replace(body, body::jsonb ->> 'root', audit_root(number)) where number in (select number from audit_leaf where account_id = '${account.id}')`);
  const second = await verify(account);
  assert.equal(second.valid, false);
  assert.ok(['anchor_signature', 'anchor_edited'].includes(second.broken.problem) && second.broken.anchor_no <= number, JSON.stringify(second.broken));
});

test('found: any random edit (property)', async () => {
  const account = await pastOf(6);
  const contact = await api.create('/v1/contacts', { account_id: account.id, family_name: 'One', email: 'one@example.com' });
  await api.patch(`/v1/contacts/${contact.id}`, contact.etag, { email: 'two@example.com' });
  for (let i = 0; i < 3; i++) await api.get(`/v1/accounts/${account.id}/economics`);
  await anchored(account);
  const columns = { at: "at + interval '1 us'", actor: "coalesce(actor, '') || 'x'", origin: "coalesce(origin, '') || 'x'", request_id: "coalesce(request_id, '') || 'x'", action: "'merged'", resource: "resource || 'x'",
    record_id: 'gen_random_uuid()', version: 'coalesce(version, 0) + 1', area: 'coalesce(area, 0) + 1', records: 'records + 1', history_id: 'coalesce(history_id, 0) + 1',
    digest: "sha256('x')", personal: `coalesce(personal, '{}') || '{"email": "00"}'`, prev_hash: "sha256('y')", hash: "sha256('z')" };
  const pick = (list) => list[Math.floor(Math.random() * list.length)];
  const any = `account_id = '${account.id}' order by random()`;
  const row = (n = 1) => `(select id from audit where ${any} limit ${n})`;
  const kinds = [
    () => { const column = pick(Object.keys(columns)); return `update audit set ${column} = ${columns[column]} where id in ${row()}`; },
    () => `delete from audit where id in ${row(1 + Math.floor(Math.random() * 3))}`,
    () => `update audit a set seq = 1000 - a.seq where id in ${row(2)}`,
    () => `delete from audit a using (select kind, seq from audit where ${any} limit 1) c where a.account_id = '${account.id}' and a.kind = c.kind and a.seq >= c.seq`,
    () => `update history set ${pick(["actor = 'x'", "changes = changes || '{\"name\": [1, 2]}'", "at = at - interval '1 s'", 'version = version + 1', "op = 'merged'"])} where id = (select id from history where ${any} limit 1)`,
    () => `delete from history where id = (select id from history where ${any} limit 1)`,
    () => `update account_sequence set audit_seq = audit_seq ${pick(['+', '-'])} 1 where account_id = '${account.id}'`,
    () => `update audit_read_head set hash = sha256('x') where account_id = '${account.id}'`,
    () => `insert into audit (account_id, kind, seq, at, action, resource, area, prev_hash, hash) select account_id, kind, seq + 1, now(), 'read', 'x', 12, hash, sha256('x') from audit where account_id = '${account.id}' and kind = 'read' order by seq desc limit 1`,
    () => `update audit_leaf set ${pick(["hash = sha256('x')", 'seq = seq + 1', 'from_seq = from_seq + 1'])} where (account_id, kind, number) in (select account_id, kind, number from audit_leaf where ${any} limit 1)`,
    () => `delete from audit_leaf where (account_id, kind, number) in (select account_id, kind, number from audit_leaf where ${any} limit 1)`,
  ];
  const edits = Array.from({ length: 120 }, (_, i) => kinds[i % kinds.length]());
  const script = edits.map((edit) => `begin; set local session_replication_role = replica; ${edit}; select audit_verify('${account.id}') ->> 'valid'; rollback;`).join('\n');
  const missed = query(script).split('\n').map((valid, i) => valid !== 'false' && edits[i]).filter(Boolean);
  assert.deepEqual(missed, [], `of ${edits.length} edits`);
  assert.equal((await verify(account)).valid, true);
});

test('all of it is verified by an operation, which names what is broken', async () => {
  const account = await pastOf(1);
  const tampered = await pastOf(2);
  await anchored(tampered);
  tamper(`update audit set actor = 'user:else' where ${of(tampered, 2)}`);
  const { body: { id }, headers } = await api.call(202, 'GET', '/v1/audit/verify');
  assert.equal(headers.location, `/v1/operations/${id}`);
  const { result } = await until(async () => {
    const operation = await api.get(`/v1/operations/${id}`);
    assert.notEqual(operation.status, 'failed', JSON.stringify(operation));
    return operation.status === 'succeeded' && operation;
  }, { ms: 30_000, what: 'the operation' });
  assert.equal(result.valid, false);
  const mine = result.broken.filter(({ account_id }) => account_id === tampered.id);
  assert.deepEqual(mine.map(({ chain, seq, problem }) => [chain, seq, problem]), [['change', 2, 'edited']]);
  assert.ok(!result.broken.some(({ account_id }) => account_id === account.id));
  assert.ok(result.anchors > 0 && result.chains > 10 && result.changes > 100, JSON.stringify({ ...result, broken: [] }));
  assert.ok(result.broken.some(({ anchor_no: n }) => n !== null), 'anchors that were tampered with in other tests');
});
