// Who is calling (001-04): from memory, in any spelling, right within a second of a change, never a guess where two could be meant.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from './lib/stack.mjs';
import { inParallel, until } from './lib/wait.mjs';
import { makeAccount, openWorld, unique } from './lib/world.mjs';

let world, api, apis, person;
before(async () => {
  world = await openWorld({ processes: 2, workers: 1 });
  ({ api, apis } = world);
  await api.patch('/v1/program', (await api.get('/v1/program')).etag, { max_key_accounts: 1000 });
  person = async (fields = {}) => api.create('/v1/users', { name: unique('Person'), email: `${unique('p')}@us.example`, ...fields });
});
after(() => world?.close());

async function keyAccount(fields = {}) {
  const account = await makeAccount(api, fields);
  await api.call(201, 'POST', `/v1/accounts/${account.id}/designate`, { body: { reason: 'Grows', benefits: ['Special line', 'Answer in an hour'] } });
  return account;
}
const ask = (query, client = api) => client.get(`/v1/recognition?${query}`);
const by = (name, value, client) => ask(`${name}=${encodeURIComponent(value)}`, client);
// At every process.
const becomes = (query, what, test) => Promise.all(apis.map((client) => until(async () => {
  const caller = await ask(query, client);
  return test(caller) && caller;
}, { ms: 15_000, every: 10, what })));

// A generator of its own, so that a failure can be run again.
function numbers(seed) {
  let state = seed;
  return (below) => { state = (state * 1103515245 + 12345) % 2147483648; return Math.floor(state / 65536) % below; };
}

// [country code, the rest]: together 8 to 15 digits.
function randomNumber(pick) {
  const country = ['1', '7', '44', '49', '351', '971', '299'][pick(7)];
  const rest = `${1 + pick(9)}${Array.from({ length: 7 + pick(8 - country.length) }, () => pick(10)).join('')}`;
  return [country, rest];
}

function spelling(pick, [country, rest]) {
  const marks = [' ', '', '.', '-', '/', '\u00a0', '\u202f', '\u2009', '\u2011', '\u2013', ' - ', '  '];
  const mark = () => marks[pick(marks.length)];
  const groups = [];
  for (let i = 0; i < rest.length;) { const n = 1 + pick(4); groups.push(rest.slice(i, i + n)); i += n; }
  let body = groups.join(mark());
  if (pick(3) === 0) body = body.replace(/^(\d+)/, '($1)');
  const trunk = ['', '(0)', ' (0) ', '(0)-'][pick(4)];
  const head = [`+${country}`, `00${country}`, `(+${country})`, `(00${country})`, `tel:+${country}`, `TEL:+${country}`, ` +${country}`, `\u00a0+${country}`, `\t00${country}`][pick(9)];
  const tail = head.toLowerCase().startsWith('tel:') && pick(2) ? ';ext=12' : ['', ' ', '\u00a0'][pick(3)];
  return `${head}${trunk}${mark()}${body}${tail}`;
}

test('001-04: any spelling of a number is the number; another number is not', async (t) => {
  const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
  t.diagnostic(`SEED=${seed}`);
  const pick = numbers(seed);
  const list = Array.from({ length: 12 }, () => randomNumber(pick));
  const accounts = await inParallel(4, list, ([country, rest]) => keyAccount({ phones: [`+${country}${rest}`] }));
  const last = list.at(-1).join('');
  await becomes(`phone=%2B${last}`, 'the last one', ({ is_key: isKey }) => isKey);
  for (const [i, number] of list.entries()) {
    for (let n = 0; n < (process.env.SOAK ? 500 : 40); n++) {
      const spelled = spelling(pick, number);
      const caller = await by('phone', spelled, apis[n % 2]);
      assert.deepEqual([caller.account_id, caller.matched_by, caller.contact, caller.others], [accounts[i].id, 'phone', null, 0], JSON.stringify(spelled));
    }
    const [country, rest] = number;
    assert.equal((await ask(`phone=+${country}${rest}`)).account_id, accounts[i].id, 'a plus that was not percent-encoded');
    assert.equal((await ask(`phone=%20${country}%20${rest}`)).account_id, accounts[i].id);
    const other = `${country}${rest.slice(0, -1)}${(Number(rest.at(-1)) + 1) % 10}`;
    if (!list.some((one) => one.join('') === other)) assert.equal((await by('phone', `+${other}`)).is_key, false, other);
    for (const not of [`${country}${rest}`, `0${rest}`, `+${country}${rest}9999999`, `+${country} call ${rest}`, `+${country}${rest};x`, '+', '', ' ']) assert.equal((await by('phone', not)).is_key, false, JSON.stringify(not));
  }
});

test('an address that is not stored is recognised by its domain, or one above it', async () => {
  const domain = `${unique('firm')}.example`;
  const account = await keyAccount({ domain, emails: [`info@${domain}`] });
  const contact = await api.create('/v1/contacts', { account_id: account.id, given_name: 'Maria', family_name: 'Anders', email: `Maria.Anders@${domain}` });
  const unit = await keyAccount({ domain: `eu.${domain}` });
  await becomes(`domain=eu.${domain}`, 'the unit', ({ account_id: id }) => id === unit.id);
  await becomes(`email=maria.anders@${domain}`, 'the contact', ({ contact: found }) => found);
  for (const [query, id, matched, who] of [
    [`email=info@${domain}`, account.id, 'email', null], [`email=INFO@${domain.toUpperCase()}`, account.id, 'email', null], [`email=%20info@${domain}%20`, account.id, 'email', null],
    [`email=maria.anders@${domain}`, account.id, 'email', { id: contact.id, name: 'Maria Anders' }], [`email=nobody@${domain}`, account.id, 'domain', null],
    [`email=nobody@mail.${domain}`, account.id, 'domain', null], [`email=x@eu.${domain}`, unit.id, 'domain', null], [`email=x@a.b.eu.${domain}.`, unit.id, 'domain', null],
    [`domain=${domain}`, account.id, 'domain', null], [`domain=${domain.toUpperCase()}.`, account.id, 'domain', null], [`domain=www.${domain}`, account.id, 'domain', null],
    [`domain=deep.er.eu.${domain}`, unit.id, 'domain', null],
  ]) {
    const caller = await ask(query);
    assert.deepEqual([caller.account_id, caller.matched_by, caller.contact, caller.others], [id, matched, who, 0], query);
  }
  for (const query of [`domain=https://www.${domain}/path`, `domain=${domain}/`, `domain=not${domain}`, 'domain=example', 'domain=.', 'domain=', `email=nobody@not${domain}`, 'email=@', 'email=', `email=${domain}`]) {
    const caller = await ask(query);
    assert.deepEqual([caller.is_key, caller.account_id, caller.matched_by, caller.alert, caller.others], [false, null, null, [], 0], query);
  }
});

test('contacts: their numbers, addresses and Salesforce ids of 15 and 18 characters; former ones no more', async () => {
  const account = await keyAccount({ external_ids: { salesforce: '001M00000062rEc' } });
  const contact = await api.create('/v1/contacts', { account_id: account.id, family_name: 'Li', phone: '+8613912345678', email: 'li@contacts.example', external_ids: { salesforce: '003M000000AbCrE' } });
  const short = contact.external_ids.salesforce.slice(0, 15);
  for (const query of ['phone=0086%20139%201234%205678', 'email=LI@contacts.example', `salesforce_id=${contact.external_ids.salesforce}`, `salesforce_id=${short}`]) {
    const [caller] = await becomes(query, query, ({ is_key: isKey }) => isKey);
    assert.deepEqual([caller.account_id, caller.contact], [account.id, { id: contact.id, name: 'Li' }], query);
  }
  const own = await ask(`salesforce_id=${account.external_ids?.salesforce ?? '001M00000062rEc'}`);
  assert.deepEqual([own.account_id, own.contact, own.matched_by], [account.id, null, 'salesforce_id']);
  assert.equal((await ask(`account_number=${account.account_number}`)).matched_by, 'account_number');
  await api.patch(`/v1/contacts/${contact.id}`, contact.etag, { active_until: '2020-01-01' });
  await becomes('phone=%2B8613912345678', 'gone', ({ is_key: isKey }) => !isKey);
  await ask('salesforce_id=nonsense');
});

test('an identifier that several key accounts share: the first by number, and how many others', async () => {
  const shared = { phones: ['+493099990001'], domain: 'shared.example' };
  const number = unique('S');
  const accounts = [];
  for (const end of ['C', 'A', 'B']) accounts.push(await keyAccount({ account_number: `${number}-${end}`, ...shared }));
  const first = accounts[1];
  await api.create('/v1/contacts', { account_id: first.id, family_name: 'One', phone: shared.phones[0] });
  for (const query of ['phone=%2B493099990001', 'domain=shared.example', 'email=anybody@shared.example']) {
    const callers = await becomes(query, 'all three', ({ others }) => others === 2);
    for (const caller of callers) assert.deepEqual([caller.account_id, caller.account_number], [first.id, `${number}-A`], query);
  }
  const [one] = await becomes('phone=%2B493099990001', 'the contact', ({ contact }) => contact);
  assert.equal(one.contact.name, 'One');
  await api.create('/v1/contacts', { account_id: first.id, family_name: 'Two', phone: shared.phones[0] });
  await becomes('phone=%2B493099990001', 'a switchboard is nobody in particular', ({ contact, others }) => contact === null && others === 2);
});

test('001-02, 003-09: whom to alert: the cover while there is one, else the manager; then the sponsor', async () => {
  const [manager, cover, sponsor] = [await person(), await person(), await person()];
  const account = await keyAccount({ manager_id: manager.id, sponsor_id: sponsor.id });
  const query = `account_number=${account.account_number}`;
  const as = ({ id, name, email }) => ({ id, name, email });
  const alerts = (...list) => list.map(([one, role]) => ({ ...as(one), role }));
  const [caller] = await becomes(query, 'the account', ({ is_key: isKey }) => isKey);
  assert.deepEqual([caller.manager, caller.sponsor, caller.cover, caller.benefits], [as(manager), as(sponsor), null, ['Special line', 'Answer in an hour']]);
  assert.deepEqual(caller.alert, alerts([manager, 'manager'], [sponsor, 'sponsor']));
  const change = async (fields) => api.patch(`/v1/accounts/${account.id}`, (await api.get(`/v1/accounts/${account.id}`)).etag, fields);
  await change({ delegate_id: cover.id, delegate_until: '2099-01-01T00:00:00Z' });
  const [covered] = await becomes(query, 'the cover', (now) => now.cover);
  assert.deepEqual([covered.cover, covered.manager], [{ ...as(cover), until: '2099-01-01T00:00:00.000000Z' }, as(manager)]);
  assert.deepEqual(covered.alert, alerts([cover, 'cover'], [sponsor, 'sponsor']));
  await change({ delegate_until: new Date(Date.now() + 300).toISOString() });
  const [back] = await becomes(query, 'the end of the cover', (now) => !now.cover);
  assert.deepEqual(back.alert, alerts([manager, 'manager'], [sponsor, 'sponsor']));
  // As a version left it that let people go who are needed.
  sql(world.settings, `set session_replication_role = replica; update app_user set active = false where id = '${manager.id}'`);
  await becomes(query, 'nobody alerts somebody who left', (now) => now.alert.length === 1 && now.alert[0].role === 'sponsor');
});

test('a change is known everywhere within about a second', async (t) => {
  const [one, two] = [await person(), await person()];
  const account = await makeAccount(api, { manager_id: one.id });
  const query = `account_number=${account.account_number}`;
  const path = `/v1/accounts/${account.id}`;
  const took = {};
  const seen = async (what, write, ask_, test) => {
    const done = await write();
    const from = Date.now();
    await becomes(ask_, what, test);
    took[what] = Date.now() - from;
    return done;
  };
  const change = async (fields) => api.patch(path, (await api.get(path)).etag, fields);
  await seen('designated', () => api.call(201, 'POST', `${path}/designate`, { body: {} }), query, (now) => now.is_key);
  await seen('a new phone', () => change({ phones: ['+493055555001'] }), 'phone=%2B493055555001', (now) => now.is_key);
  await seen('a phone less', () => change({ phones: [] }), 'phone=%2B493055555001', (now) => !now.is_key);
  await seen('another manager', () => change({ manager_id: two.id }), query, (now) => now.manager?.id === two.id);
  await seen('a cover', () => change({ delegate_id: one.id, delegate_until: '2099-01-01T00:00:00Z' }), query, (now) => now.cover?.id === one.id);
  await seen('another name', () => change({ name: 'Renamed' }), query, (now) => now.name === 'Renamed');
  const emergency = (openedAt) => api.create(`${path}/problems`, { category: 'other', severity: 'revenue_loss', title: 'The line stands still', opened_at: openedAt });
  const early = await seen('an emergency', () => emergency('2026-01-02T03:04:05Z'), query, (now) => now.open_emergencies === 1);
  await seen('a second one', () => emergency('2026-02-02T03:04:05Z'), query, (now) => now.open_emergencies === 2 && now.oldest_emergency_opened_at === '2026-01-02T03:04:05.000000Z');
  await seen('one is over', () => api.patch(`${path}/problems/${early.id}`, early.etag, { resolved_at: '2026-01-03T00:00:00Z' }), query,
    (now) => now.open_emergencies === 1 && now.oldest_emergency_opened_at === '2026-02-02T03:04:05.000000Z');
  const member = await api.create('/v1/contacts', { account_id: account.id, family_name: 'New', email: 'new@changes.example' });
  await seen('a contact', () => member, 'email=new@changes.example', (now) => now.contact?.id === member.id);
  await seen('a contact less', () => api.remove(`/v1/contacts/${member.id}`, member.etag), 'email=new@changes.example', (now) => !now.is_key);
  await api.patch('/v1/program', (await api.get('/v1/program')).etag, { grace_days: 0 });
  await seen('slipped', () => api.create(`${path}/orders`, { ordered_on: new Date().toISOString().slice(0, 10), currency_code: 'USD', lines: [{ line_no: 1, amount: '1', cost: '1' }] }), query, (now) => !now.is_key);
  t.diagnostic(`ms until seen by both processes: ${JSON.stringify(took)}`);
});
