// Sign-in (004-27): people by the company's identity provider, machines by keys and client credentials.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { after, before, test } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { Issuer } from 'openid-client';
import { Client } from './lib/client.mjs';
import { makeKeyPair, startIssuer } from './lib/issuer.mjs';
import { inParallel, sleep, until } from './lib/wait.mjs';
import { openWorld, unique } from './lib/world.mjs';

const PEOPLE = {
  alice: { roles: ['kam-directors', 'everybody'], name: 'Alice Árvore', email: 'alice@example.com' },
  bob: { roles: 'kam-team' },
  nobody: { roles: ['everybody'] },
};
let issuer, world, api;
before(async () => {
  issuer = await startIssuer(PEOPLE);
  world = await openWorld({
    processes: 3,
    workers: 1,
    settings: { ...issuer.settings, KAMD_OIDC_ROLES: 'kam-directors=director, kam-team=member, auditor=auditor', KAMD_OIDC_REFRESH_MS: '300', KAMD_OAUTH: 'true' },
  });
  ({ api } = world);
  await until(async () => (await api.as(await issuer.sign()).send('GET', '/v1/me')).status === 200, { ms: 20_000, what: 'the keys' });
});
after(async () => {
  await world?.close();
  await issuer?.stop();
});

// A process of one test, which ends with it: each of them asks the provider for its keys all the time.
async function another(t, settings) {
  const kamd = await world.add(settings, 'serve', '--no-worker');
  t.after(() => kamd.stop());
  return kamd;
}
const me = (token, at = api) => at.as(token).get('/v1/me');
const base64url = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const now = () => Math.floor(Date.now() / 1000);

test('tokens of the identity provider by RS256, ES256 and EdDSA, at every process; people become users', async () => {
  for (const alg of ['RS256', 'ES256', 'EdDSA']) {
    const token = await issuer.token('alice', alg);
    for (const at of world.apis) {
      const answer = await me(token, at);
      assert.deepEqual([answer.role, answer.name, answer.key_id, answer.signed_in_by], ['director', 'Alice Árvore', null, 'identity_provider'], alg);
    }
  }
  const [user, ...more] = await api.all('/v1/users?subject=alice');
  assert.deepEqual([user.name, user.email, user.active, more.length], ['Alice Árvore', 'alice@example.com', true, 0]);
  const { data } = await api.get(`/v1/users/${user.id}/history`);
  assert.equal(data.length > 0, true, 'being made is in the history');
  const bob = await me(await issuer.token('bob', 'ES256'));
  assert.deepEqual([bob.role, bob.sees_all_accounts], ['member', false]);
  const alice = api.as(await issuer.token('alice'));
  const account = await alice.create('/v1/accounts', { name: unique('Of Alice') });
  const [{ actor }] = (await api.get(`/v1/accounts/${account.id}/history`)).data;
  assert.equal(actor, `user:${user.id}`);
  await api.as(await issuer.token('bob')).fails(404, 'not_found', 'GET', `/v1/accounts/${account.id}`);
});

test('a valid token without a role that is known here is 403; many at once for a new person make one user', async () => {
  await api.as(await issuer.token('nobody')).fails(403, 'forbidden', 'GET', '/v1/me');
  const sub = unique('crowd|');
  const token = await issuer.sign({ claims: { sub } });
  const answers = await inParallel(16, Array.from({ length: 16 }), (_, i) => world.apis[i % 2].as(token).send('GET', '/v1/me'));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  assert.equal((await api.all(`/v1/users?subject=${encodeURIComponent(sub)}`)).length, 1);
});

test('what kinds of claims are taken', async () => {
  const good = [
    { claims: { aud: ['else', 'https://kamd.example'] } }, { claims: { nbf: now() + 30 } }, { claims: { exp: now() - 30 } }, { claims: { iat: now() + 30, exp: now() + 600 } },
    { claims: { iat: now() - 0.5, exp: now() + 100.25 } }, { header: { typ: 'application/AT+JWT' } }, { claims: { sub: 'x'.repeat(255) } }, { claims: { name: 7, email: 'no address' } },
  ];
  for (const one of good) assert.equal((await me(await issuer.sign(one))).role, 'auditor', JSON.stringify(one));
});

async function forged() {
  const token = await issuer.sign();
  const [head, payload, signature] = token.split('.');
  const es = (await issuer.sign({ alg: 'ES256' })).split('.');
  const { publicKey, kid, publicJwk } = issuer.key('RS256');
  const claims = { iss: issuer.url, aud: 'https://kamd.example', sub: 'by-hand', roles: ['auditor'], iat: now(), exp: now() + 600 };
  const hs = (secret) => {
    const text = `${base64url({ alg: 'HS256', kid, typ: 'at+jwt' })}.${base64url(claims)}`;
    return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
  };
  const stranger = await makeKeyPair('RS256');
  const made = (options) => issuer.sign(options);
  const header = (extra) => made({ header: extra });
  const unsigned = (head_) => `${base64url(head_)}.${base64url(claims)}.`;
  const bomb = deflateRawSync(Buffer.alloc(6 << 20, ' '));
  const with_ = (text) => `${base64url(text)}.${payload}.${signature}`;
  return {
    'alg none': unsigned({ alg: 'none', kid }), 'alg none, other case': unsigned({ alg: 'nOnE', kid }), 'alg none with a signature': with_({ alg: 'none', kid, typ: 'at+jwt' }),
    'HS256 with the public key as PEM': hs(publicKey.export({ type: 'spki', format: 'pem' })), 'HS256 with the modulus': hs(Buffer.from(publicJwk.n, 'base64url')),
    'HS256 with the JWK': hs(JSON.stringify(publicJwk)), 'HS256 with nothing': hs(''),
    'embedded jwk': await made({ key: { ...stranger, kid }, header: { jwk: stranger.publicJwk } }), 'jku': await header({ jku: `${issuer.url}/jwks` }), 'x5u': await header({ x5u: 'https://example.com/c' }),
    'x5c': await header({ x5c: ['MIIB'] }), 'x5t': await header({ 'x5t#S256': 'AAAA' }), 'crit': with_({ alg: 'RS256', kid, typ: 'at+jwt', crit: ['exp'] }), 'b64': with_({ alg: 'RS256', kid, b64: false }),
    'zip bomb': `${base64url({ alg: 'RS256', kid, typ: 'at+jwt', zip: 'DEF' })}.${bomb.toString('base64url').slice(0, 6000)}.${signature}`,
    'another key of the same name': await made({ key: { ...stranger, kid } }), 'unknown kid': await made({ key: stranger }), 'kid of another algorithm': await made({ header: { kid: issuer.key('ES256').kid } }),
    'no kid': await header({ kid: undefined }), 'kid with a path': await header({ kid: '../../dev/null' }), 'kid with SQL': await header({ kid: "' or 1=1 --" }), 'kid too long': await header({ kid: 'k'.repeat(65) }),
    'kid as a number': await header({ kid: 7 }), 'PS256 by the RS256 key': await made({ header: { alg: 'PS256' } }).catch(() => with_({ alg: 'PS256', kid })), 'RS512': with_({ alg: 'RS512', kid, typ: 'at+jwt' }),
    'ES256 by an RSA signature': with_({ alg: 'ES256', kid, typ: 'at+jwt' }), 'ES256 signature of zeros': `${es[0]}.${es[1]}.${Buffer.alloc(64).toString('base64url')}`,
    'ES256 signature too short': `${es[0]}.${es[1]}.${es[2].slice(0, 60)}`, 'ES256 signature too long': `${es[0]}.${es[1]}.${Buffer.alloc(96, 1).toString('base64url')}`,
    'EdDSA signature of zeros': `${(await issuer.sign({ alg: 'EdDSA' })).split('.').slice(0, 2).join('.')}.${Buffer.alloc(64).toString('base64url')}`,
    'signature cut': token.slice(0, -10), 'no signature': `${head}.${payload}.`, 'payload edited': `${head}.${base64url({ ...claims, roles: ['kam-directors'] })}.${signature}`,
    'header edited': with_({ alg: 'RS256', kid, typ: 'at+jwt', extra: 1 }), 'signature with a spare bit': `${token.slice(0, -1)}${token.at(-1) === 'A' ? 'B' : 'A'}`, 'padding': `${token}==`, 'standard base64': `${head}.${payload}.${signature.slice(0, -4)}++//`,
    'four parts': `${token}.${signature}`, 'two parts': `${head}.${payload}`, 'only dots': '..', 'empty header': `.${payload}.${signature}`, 'header is an array': with_('[]'), 'header is no JSON': with_('{"alg":'),
    'alg twice': with_(`{"alg":"RS256","alg":"none","kid":"${kid}"}`), 'header deep': with_(`${'['.repeat(600)}`),
    'wrong aud': await made({ claims: { aud: 'https://other.example' } }), 'aud starts like ours': await made({ claims: { aud: 'https://kamd.example.evil' } }), 'aud array without us': await made({ claims: { aud: ['a', 'b'] } }),
    'no aud': await made({ claims: { aud: undefined } }), 'aud is an object': await made({ claims: { aud: { 'https://kamd.example': 1 } } }), 'wrong iss': await made({ claims: { iss: 'https://evil.example' } }),
    'iss with a slash more': await made({ claims: { iss: `${issuer.url}/` } }), 'no iss': await made({ claims: { iss: undefined } }), 'expired': await made({ claims: { iat: now() - 700, exp: now() - 100 } }),
    'no exp': await made({ claims: { exp: undefined } }), 'exp as text': await made({ claims: { exp: String(now() + 100) } }).catch(() => 'a.b.c'), 'exp beyond all': await made({ claims: { exp: 1e15 } }), 'not yet valid': await made({ claims: { nbf: now() + 120 } }),
    'from the future': await made({ claims: { iat: now() + 120 } }), 'no iat': await made({ claims: { iat: undefined } }), 'lives too long': await made({ claims: { exp: now() + 7200 } }), 'negative time': await made({ claims: { iat: -1 } }),
    'ID token': await header({ typ: 'JWT' }), 'no typ': await header({ typ: undefined }), 'no sub': await made({ claims: { sub: undefined } }), 'sub empty': await made({ claims: { sub: '' } }),
    'sub with a control character': await made({ claims: { sub: 'a\nb' } }), 'sub too long': await made({ claims: { sub: 'x'.repeat(256) } }), 'sub is a number': await made({ claims: { sub: 7 } }).catch(() => 'a.b.c'),
    'an access token of nobody': `kamd_at_${Buffer.alloc(72, 7).toString('base64url')}`, 'an access token cut': 'kamd_at_', 'a key with a wrong check sum': `${api.key.slice(0, -1)}${api.key.endsWith('0') ? '1' : '0'}`,
  };
}

test('more than twenty kinds of forged tokens are 401 each, and none is a 500', async () => {
  const tokens = Object.entries(await forged());
  assert.ok(tokens.length > 60, `${tokens.length} kinds`);
  const before_ = (await api.all('/v1/users')).length;
  for (const [name, token] of tokens) {
    const answer = await api.as(token).send('GET', '/v1/accounts');
    assert.equal(answer.status, 401, `${name}: ${answer.text}`);
    assert.equal(answer.body.code, 'unauthenticated', name);
    assert.match(answer.headers['www-authenticate'], /^Bearer realm="kamd", error="invalid_token"$/, name);
    assert.equal(answer.headers['content-type'], 'application/problem+json', name);
  }
  await api.as(await issuer.sign({ claims: { filler: 'x'.repeat(6000) } })).fails(431, 'headers_too_large', 'GET', '/v1/accounts');
  assert.equal((await api.all('/v1/users')).length, before_, 'nobody came of it');
  for (const { log } of world.kamds) assert.doesNotMatch(log(), /request_failed/);
});

test('a deactivated user is out everywhere once that is acknowledged, with tokens and keys; deleting is no way back', async () => {
  const sub = unique('leaver');
  const token = await issuer.sign({ claims: { sub } });
  for (const at of world.apis) await me(token, at);
  const [user] = await api.all(`/v1/users?subject=${sub}`);
  const { key } = (await api.call(201, 'POST', '/v1/api-keys', { body: { name: sub, role: 'member', user_id: user.id } })).body;
  for (const at of world.apis) await me(key, at);
  const off = await api.patch(`/v1/users/${user.id}`, user.etag, { active: false });
  for (const at of world.apis) for (const one of [token, key]) await at.as(one).fails(401, 'unauthenticated', 'GET', '/v1/me');
  const on = await api.patch(`/v1/users/${user.id}`, off.etag, { active: true });
  for (const at of world.apis) for (const one of [token, key]) await until(() => me(one, at), { ms: 15_000, what: 'being back' });
  await api.remove(`/v1/users/${user.id}`, on.etag);
  for (const at of world.apis) for (const one of [token, key]) await at.as(one).fails(401, 'unauthenticated', 'GET', '/v1/me');
  await api.as(await issuer.sign({ claims: { sub, jti: '2' } })).fails(401, 'unauthenticated', 'GET', '/v1/me');
  assert.equal((await api.all(`/v1/users?subject=${sub}`)).length, 0, 'not made again');
});

test('keys change without a failed request: new ones beside the old, then alone', async () => {
  const old = issuer.keys;
  const fresh = await Promise.all(old.map(({ alg }) => makeKeyPair(alg)));
  let asked = 0, stop = false;
  const wrong = [];
  const load = inParallel(4, [0, 1, 2, 3], async (_, i) => {
    while (!stop) {
      const token = await issuer.sign({ alg: ['RS256', 'ES256', 'EdDSA'][asked % 3], claims: { jti: String(asked) } });
      const answer = await world.apis[i % 2].as(token).send('GET', '/v1/me');
      asked++;
      if (answer.status !== 200) wrong.push(answer.text);
    }
  });
  const published = async (what) => {
    const seen = issuer.fetches;
    await until(() => issuer.fetches >= seen + 12, { ms: 20_000, what });
  };
  issuer.use([...old, ...fresh]);
  await published('the new keys at all processes');
  issuer.use([...fresh, ...old]);
  const before_ = asked;
  await until(() => asked > Math.max(20, before_ + 12), { ms: 20_000, what: 'requests with tokens of the new keys' });
  stop = true;
  await load;
  assert.deepEqual(wrong, []);
  const last = await issuer.sign({ key: old[0], claims: { jti: 'last' } });
  await me(last);
  issuer.use(fresh);
  await until(async () => (await api.as(last).send('GET', '/v1/me')).status === 401, { ms: 20_000, what: 'tokens of a withdrawn key, also those seen before' });
  assert.equal((await me(await issuer.token('alice', 'ES256'))).role, 'director');
});

test('keys that change all at once are fetched for the first who comes with one; made-up ones ask once a minute', async (t) => {
  const kamd = await another(t, { KAMD_OIDC_REFRESH_MS: '86400000' });
  const at = api.at(kamd.url);
  await until(async () => (await at.as(await issuer.token('bob')).send('GET', '/v1/me')).status === 200, { ms: 20_000, what: 'the keys' });
  issuer.use(await Promise.all(['RS256', 'ES256', 'EdDSA'].map(makeKeyPair)));
  const tokens = await Promise.all(Array.from({ length: 12 }, (_, i) => issuer.sign({ claims: { jti: String(i) } })));
  const answers = await Promise.all(tokens.map((token) => at.as(token).send('GET', '/v1/me')));
  assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
  const stranger = await makeKeyPair('RS256');
  const read = () => kamd.log().split('issuer_keys').length - 1;
  await until(() => read() === 2, { what: 'the lines of both readings' });
  for (let i = 0; i < 30; i++) {
    const token = await issuer.sign({ key: { ...stranger, kid: `made-up-${i}` } });
    assert.equal((await at.as(token).send('GET', '/v1/me')).status, 401);
  }
  assert.equal(read(), 2, 'nothing was fetched for them');
});

test('without the identity provider: keys serve, tokens wait for it; and go on when it leaves later', async (t) => {
  const token = await issuer.token('alice');
  await issuer.stop();
  const kamd = await another(t);
  const at = api.at(kamd.url);
  await at.get('/v1/accounts');
  await at.as(token).fails(503, 'sign_in_unavailable', 'GET', '/v1/me');
  await at.as('a.b.c').fails(401, 'unauthenticated', 'GET', '/v1/me');
  await issuer.start();
  await until(async () => (await at.as(token).send('GET', '/v1/me')).status === 200, { ms: 20_000, what: 'the provider being found' });
  const unseen = await issuer.sign({ alg: 'EdDSA', claims: { sub: unique('late') } });
  await issuer.stop();
  await sleep(700);
  assert.equal((await me(token, at)).role, 'director');
  assert.equal((await me(unseen, at)).role, 'auditor', 'a new person with a known key');
  await issuer.start();
});

test('settings: no provisioning, a role for all others, types, nested claims; and what contradicts itself', async (t) => {
  const kamd = await another(t, {
    KAMD_OIDC_PROVISION: 'false', KAMD_OIDC_DEFAULT_ROLE: 'member', KAMD_OIDC_TYPES: 'JWT', KAMD_OIDC_ROLE_CLAIM: '/realm_access/roles', KAMD_OIDC_ROLES: '', KAMD_OIDC_JWKS_URL: `${issuer.url}/jwks`,
  });
  const at = api.at(kamd.url);
  const sub = unique('invited');
  const token = await issuer.sign({ claims: { sub, realm_access: { roles: ['x', 'account_manager', 'member'] } }, header: { typ: undefined } });
  await until(async () => (await at.as(token).send('GET', '/v1/me')).status === 403, { ms: 20_000, what: 'a refusal of who is no user' });
  await api.call(201, 'PUT', `/v1/user-subjects/${sub}`, { body: { name: 'Invited' } });
  assert.equal((await me(token, at)).role, 'account_manager');
  assert.equal((await me(await issuer.sign({ claims: { sub, roles: undefined }, header: { typ: 'JWT' } }), at)).role, 'member');
  await at.as(await issuer.sign({ claims: { sub } })).fails(401, 'unauthenticated', 'GET', '/v1/me');
});

test('PUT /v1/user-subjects makes or changes', async () => {
  const path = `/v1/user-subjects/${encodeURIComponent(unique('auth0|é'))}`;
  const first = (await api.call(201, 'PUT', path, { body: { name: 'One', external_ids: { scim: unique('u') } } })).body;
  const second = (await api.call(200, 'PUT', path, { body: { email: 'one@example.com' } })).body;
  assert.deepEqual([second.id, second.name, second.email, second.subject], [first.id, 'One', 'one@example.com', decodeURIComponent(path.split('/').at(-1))]);
  await api.fails(422, 'validation_failed', 'PUT', path, { body: { subject: 'other' } });
  await api.fails(400, 'invalid_request', 'PUT', path, { body: { colour: 'red' } });
  const many = `/v1/user-subjects/${unique('twice')}`;
  const made = await Promise.all(Array.from({ length: 8 }, (_, i) => world.apis[i % 2].send('PUT', many, { body: { name: 'Twice' } })));
  assert.deepEqual(made.map(({ status }) => status).sort(), [200, 200, 200, 200, 200, 200, 200, 201]);
  await (await world.clientOf('auditor')).fails(403, 'forbidden', 'PUT', path, { body: { name: 'x' } });
});

test('an answer that is kept is not for somebody who has a lesser role by now, and nothing is done again', async () => {
  const sub = unique('demoted');
  const as = async (role) => api.as(await issuer.sign({ claims: { sub, roles: [role] } }));
  const director = await as('kam-directors');
  const account = await director.create('/v1/accounts', { name: unique('Of many') });
  await api.create(`/v1/accounts/${account.id}/team`, { user_id: (await director.get('/v1/me')).user_id, role: 'account_manager' });
  const options = { body: { account_id: account.id, family_name: unique('Kept') }, headers: { 'idempotency-key': unique('k') } };
  const post = async (role) => (await as(role)).send('POST', '/v1/contacts', options);
  const first = await post('kam-directors');
  assert.deepEqual([first.status, (await post('kam-directors')).text], [201, first.text]);
  const refused = await post('kam-team');
  assert.deepEqual([refused.status, refused.body.code, refused.text.includes(first.body.id)], [403, 'forbidden', false]);
  assert.equal((await api.all(`/v1/contacts?account_id=${account.id}`)).length, 1);
});

// Whoever sets it takes somebody's place: their accounts, and their name in the history.
test('a subject is set and changed by admins only, by whichever way; to repeat it is no change', async () => {
  const sub = unique('sub'), taken = unique('mallory'), key = () => ({ 'idempotency-key': unique('k') });
  const victim = await api.create('/v1/users', { subject: sub, name: 'Victim', external_ids: { crm: unique('v') } });
  const path = `/v1/users/${victim.id}`, { crm } = victim.external_ids;
  const refused = ({ body }, what) => assert.deepEqual([body.code, body.errors?.map(({ pointer, code, detail }) => [pointer, code, detail])], ['forbidden', [['/subject', 'admins_only', 'is set and changed by admins only']]], what);
  const wrong = ({ outcome, errors }) => [outcome, ...errors.map(({ status_code: status, code, fields }) => `${status} ${code} ${fields}`)];
  const WRONG = ['error', '403 admins_only subject'];
  for (const client of [await world.clientOf('integration'), await world.clientOf('director'), await world.clientOf('admin', { scopes: ['read', 'write', 'sync'] })]) {
    const change = (body) => client.call(body.subject === sub || !('subject' in body) ? 200 : 403, 'PATCH', path, { body, headers: { 'if-match': '*' } });
    for (const subject of [taken, null, `${sub} `]) refused(await change({ subject }), `PATCH ${subject}`);
    await change({ subject: sub, title: unique('Seller') });
    refused(await client.call(403, 'POST', '/v1/users', { body: { name: 'New', subject: taken } }), 'POST');
    refused(await client.call(403, 'PUT', `/v1/user-subjects/${taken}`, { body: { name: 'New' } }), 'PUT by subject');
    assert.equal((await client.call(200, 'PUT', `/v1/user-subjects/${sub}`, { body: { title: 'Buyer' } })).body.title, 'Buyer');
    const records = [{ name: 'New', subject: taken }, { id: victim.id, subject: taken }, { name: unique('Fine') }, { id: victim.id, subject: sub, title: unique('t') }];
    for (const [chosen, expected] of [[[0, 1, 2], [WRONG, WRONG, ['created']]], [[3], [['updated']]]]) {
      const { results } = (await client.call(200, 'POST', '/v1/users/bulk', { body: { records: chosen.map((i) => records[i]) }, headers: key() })).body;
      assert.deepEqual(results.map(wrong), expected);
    }
    refused(await client.call(403, 'PUT', `/v1/sync/crm/users/${crm}`, { body: { subject: taken } }), 'sync');
    await client.call(200, 'PUT', `/v1/sync/crm/users/${crm}`, { body: { subject: sub, title: unique('t') } });
    const sync = async (list) => (await client.call(200, 'POST', '/v1/sync/crm/users', { body: { records: list }, headers: key() })).body.results.map(wrong);
    assert.deepEqual(await sync([{ external_id: unique('n'), name: 'New', subject: taken }, { external_id: crm, subject: taken }]), [WRONG, WRONG]);
    assert.deepEqual(await sync([{ external_id: crm, subject: sub, name: 'Victim' }]), [['unchanged']]);
    const content = `external_id,name,subject\n${unique('n')},New,${taken}\n${crm},Victim,${sub}\n`;
    const file = (await client.call(201, 'POST', '/v1/imports', { body: { resource: 'users', system: 'crm', content } })).body;
    await client.call(202, 'POST', `/v1/imports/${file.id}/start`, { body: {} });
    const done = await until(async () => { const now = await client.get(`/v1/imports/${file.id}`); return now.status === 'succeeded' && now; }, { ms: 20_000, what: 'the import' });
    assert.deepEqual([done.counts.failed, done.counts.unchanged], [1, 1]);
    assert.match(JSON.stringify(await client.all(`/v1/imports/${file.id}/errors`)), /"line":2,.*admins_only/);
  }
  await api.call(200, 'PUT', '/v1/sync/crm/policy', { body: { conflict_policy: 'source_wins', fields: [{ resource: 'users', field: 'subject', rule: 'kamd_owns' }] } });
  await (await world.clientOf('integration')).call(200, 'PUT', `/v1/sync/crm/users/${crm}`, { body: { subject: taken } });
  assert.deepEqual([(await api.get(path)).subject, (await api.all(`/v1/users?subject=${taken}`)).length], [sub, 0], 'what does not win is not set');
  const mallory = await me(await issuer.sign({ claims: { sub: taken } }));
  assert.notEqual(mallory.user_id, victim.id);
  await api.call(200, 'PATCH', path, { body: { subject: `${sub}-2` }, headers: { 'if-match': '*' } });
});

test('a record that waits for its parent is its sender\'s, whoever brings the parent', async () => {
  const integration = await world.clientOf('integration');
  const put = (client, records) => client.call(200, 'POST', '/v1/sync/hr/users', { body: { records, defer_missing_parents: true }, headers: { 'idempotency-key': unique('k') } });
  for (const [sender, bringer, made] of [[integration, api, 0], [api, integration, 1]]) {
    const [subject, child, boss] = [unique('late'), unique('c'), unique('b')];
    assert.equal((await put(sender, [{ external_id: child, name: 'Late', subject, manager_external_id: boss }])).body.results[0].outcome, 'deferred');
    await put(bringer, [{ external_id: boss, name: 'Boss' }]);
    assert.equal((await api.all(`/v1/users?subject=${subject}`)).length, made);
    const waiting = (await api.all('/v1/sync/hr/deferred')).filter((one) => one.external_id === child);
    assert.deepEqual(waiting.map(({ failure }) => failure), made ? [] : ['is set and changed by admins only']);
  }
});

test('keys are rotated with an overlap, and end at every process once that is acknowledged', async () => {
  const { body: made } = await api.call(201, 'POST', '/v1/api-keys', { body: { name: unique('rotated'), role: 'director', scopes: ['read'] } });
  const rotate = async (overlap) => (await api.call(200, 'POST', `/v1/api-keys/${made.id}/rotate`, { body: { overlap_seconds: overlap } })).body;
  const second = await rotate(3600);
  assert.ok(second.key !== made.key && second.key.startsWith(second.prefix) && second.id === made.id && second.overlap_until > second.rotated_at);
  for (const at of world.apis) for (const key of [made.key, second.key]) assert.equal((await me(key, at)).key_id, made.id);
  const third = await rotate(1);
  for (const at of world.apis) {
    await at.as(made.key).fails(401, 'unauthenticated', 'GET', '/v1/me');
    await me(third.key, at);
  }
  await sleep(1100);
  for (const at of world.apis) await at.as(second.key).fails(401, 'unauthenticated', 'GET', '/v1/me');
  const fourth = await rotate(0);
  for (const at of world.apis) {
    await at.as(third.key).fails(401, 'unauthenticated', 'GET', '/v1/me');
    assert.ok(!(await me(fourth.key, at)).may.includes('write'), 'its scopes stay');
  }
  const shown = await api.get(`/v1/api-keys/${made.id}`);
  assert.deepEqual([shown.id, shown.key, shown.overlap_until], [made.id, undefined, null]);
  await api.fails(422, 'validation_failed', 'POST', `/v1/api-keys/${made.id}/rotate`, { body: { overlap_seconds: 604801 } });
  await api.call(204, 'DELETE', `/v1/api-keys/${made.id}`);
  for (const at of world.apis) await at.as(fourth.key).fails(401, 'unauthenticated', 'GET', '/v1/me');
  await api.fails(409, 'conflict', 'POST', `/v1/api-keys/${made.id}/rotate`, { body: {} });
  await api.fails(404, 'not_found', 'GET', '/v1/api-keys/01970000-0000-7000-8000-000000000000');
});

// ---- OAuth 2.0 client credentials -----------------------------------------------------------------

const makeClient = async (fields = {}) => (await api.call(201, 'POST', '/v1/api-keys', { body: { name: unique('oauth'), role: 'integration', ...fields } })).body;
const oauthClient = (key, method, at = world.kamds[0]) => new (new Issuer({ issuer: at.url, token_endpoint: `${at.url}/oauth/token` }).Client)(
  { client_id: key.id, client_secret: key.key, token_endpoint_auth_method: method });
const ask = (form, headers = {}, at = api) => at.as(undefined).send('POST', '/oauth/token', { raw: new URLSearchParams(form).toString(), type: 'application/x-www-form-urlencoded', headers });

test('client credentials by an off-the-shelf client, by Basic and in the form; the token is good at every process', async () => {
  const key = await makeClient({ scopes: ['read', 'sync'] });
  for (const method of ['client_secret_basic', 'client_secret_post']) {
    const set = await oauthClient(key, method).grant({ grant_type: 'client_credentials' });
    assert.deepEqual([set.token_type, set.scope, set.expires_in > 1700], ['Bearer', 'read sync', true]);
    for (const at of world.apis) {
      const who = await me(set.access_token, at);
      assert.deepEqual([who.key_id, who.role, who.signed_in_by], [key.id, 'integration', 'access_token']);
    }
  }
  const less = await oauthClient(key, 'client_secret_basic').grant({ grant_type: 'client_credentials', scope: 'read' });
  const { may } = await me(less.access_token);
  assert.deepEqual([less.scope, may.includes('read'), may.includes('sync')], ['read', true, false]);
  const raw = await ask({ grant_type: 'client_credentials', client_id: key.id, client_secret: key.key });
  assert.deepEqual([raw.status, raw.headers['content-type'], raw.headers['cache-control']], [200, 'application/json', 'no-store']);
});

test('what is wrong with a request is said as RFC 6749 has it', async () => {
  const key = await makeClient({ scopes: ['read'] });
  const good = { grant_type: 'client_credentials', client_id: key.id, client_secret: key.key };
  const basic = (id, secret) => ({ authorization: `Basic ${btoa(`${id}:${secret}`)}` });
  const other = await makeClient();
  const cases = [
    [400, 'invalid_request', { ...good, grant_type: '' }], [400, 'unsupported_grant_type', { ...good, grant_type: 'password' }],
    [401, 'invalid_client', { ...good, client_secret: other.key }], [401, 'invalid_client', { ...good, client_secret: 'x' }], [401, 'invalid_client', { ...good, client_id: 'nobody' }],
    [401, 'invalid_client', { grant_type: 'client_credentials' }], [401, 'invalid_client', good, basic(key.id, key.key)], [401, 'invalid_client', { grant_type: 'client_credentials' }, basic(key.id, 'x')],
    [401, 'invalid_client', { grant_type: 'client_credentials' }, { authorization: 'Basic !!!' }], [401, 'invalid_client', { grant_type: 'client_credentials' }, { authorization: `Bearer ${api.key}` }],
    [400, 'invalid_scope', { ...good, scope: 'read write' }], [400, 'invalid_scope', { ...good, scope: 'everything' }],
  ];
  for (const [status, error, form, headers] of cases) {
    const answer = await ask(form, headers);
    assert.deepEqual([answer.status, answer.body.error, answer.headers['content-type']], [status, error, 'application/json'], JSON.stringify(form));
    assert.ok(answer.body.error_description && answer.body.request_id);
    assert.equal(answer.headers['www-authenticate'], status === 401 ? 'Basic realm="kamd"' : undefined);
  }
  const twice = await api.as(undefined).send('POST', '/oauth/token', { raw: 'grant_type=client_credentials&grant_type=x', type: 'application/x-www-form-urlencoded' });
  assert.deepEqual([twice.status, twice.body.error], [400, 'invalid_request']);
  await api.as(undefined).fails(415, 'unsupported_media_type', 'POST', '/oauth/token', { body: good });
});

test('access tokens end with the key, and with its secret', async () => {
  const key = await makeClient();
  const grant = async (one) => (await oauthClient(one, 'client_secret_basic').grant({ grant_type: 'client_credentials' })).access_token;
  const first = await grant(key);
  for (const at of world.apis) await me(first, at);
  const rotated = (await api.call(200, 'POST', `/v1/api-keys/${key.id}/rotate`, { body: { overlap_seconds: 0 } })).body;
  for (const at of world.apis) await at.as(first).fails(401, 'unauthenticated', 'GET', '/v1/me');
  const second = await grant(rotated);
  for (const at of world.apis) await me(second, at);
  await api.call(204, 'DELETE', `/v1/api-keys/${key.id}`);
  for (const at of world.apis) await at.as(second).fails(401, 'unauthenticated', 'GET', '/v1/me');
});

test('nobody is locked out by wrong keys', async () => {
  const key = await makeClient();
  const wrong = await makeClient();
  await inParallel(8, Array.from({ length: 200 }), () => ask({ grant_type: 'client_credentials', client_id: key.id, client_secret: wrong.key }));
  await inParallel(8, Array.from({ length: 200 }), (_, i) => api.as(`kamd_live_${i}`).send('GET', '/v1/me'));
  assert.equal((await ask({ grant_type: 'client_credentials', client_id: key.id, client_secret: key.key })).status, 200);
  assert.equal((await me(key.key)).key_id, key.id);
});

test('without the setting there are no client credentials', async (t) => {
  const kamd = await another(t, { KAMD_OAUTH: 'false' });
  const client = new Client(kamd.url);
  await client.fails(404, 'not_found', 'POST', '/oauth/token', { raw: 'grant_type=client_credentials', type: 'application/x-www-form-urlencoded' });
  client.close();
});
