// What there is to attack: every documented parameter of every operation, with a request around it that the service would serve.
import { EACH_TIME } from './helper.mjs';
import { deref, operationsOf, readOpenapi } from '../contract/lib/contract.mjs';

const doc = readOpenapi();

// A value that gets past validation as far as its schema tells.
function sample(schema) {
  const one = deref(doc, schema) ?? {};
  if (one.example !== undefined) return one.example;
  if (one.default !== undefined) return one.default;
  if (one.enum) return one.enum[0];
  if (one.type === 'array') return [sample(one.items)];
  const byFormat = { uuid: '01970000-0000-7000-8000-000000000000', date: '2026-11-01', 'date-time': '2026-11-01T00:00:00Z', email: 'a@example.com', hostname: 'example.com', uri: 'https://example.com/' };
  return byFormat[one.format] ?? { integer: 1, boolean: true, number: 1, object: {} }[one.type] ?? 'a';
}
const text = (value) => (Array.isArray(value) ? value.join(',') : String(value));
// An asterisk is sqlmap's mark for the place to inject.
const plain = (value) => JSON.parse(JSON.stringify(value ?? null).replaceAll('*', 'x'));

// What is deleted is there no more for the others.
const NOBODY = '01970000-0000-7000-8000-000000000000';
const FIXED = { section: 'capabilities', version: '1', version_no: '1', code: 'not_found', file: 'page.js', currency_code: 'EUR', system: 'erp', resource: 'accounts', external_id: 'ALFKI' };

// Ids of records that are there, by the path of their list.
export async function ids(api) {
  const account = (await api.get('/v1/accounts?page_size=1')).data[0].id;
  const found = new Map([['account_id', account], ['/v1/accounts', account]]);
  for (const { path, method } of operationsOf(doc)) {
    if (method !== 'GET' || !doc.paths[`${path}/{id}`] || (path.match(/\{/g) ?? []).length > 1) continue;
    const { status, body } = await api.send('GET', `${path.replace('{account_id}', account)}?page_size=1`);
    if (status === 200 && body.data?.[0]?.id) found.set(path, body.data[0].id);
  }
  // Not the key that attacks, which would be rotated.
  const { body: { id } } = await api.send('POST', '/v1/api-keys', { body: { name: 'attacked', role: 'auditor' }, headers: { 'idempotency-key': 'attacked' } });
  found.set('/v1/api-keys', id);
  return found;
}

function pathValue(path, name, known) {
  if (name === 'account_id') return known.get('account_id');
  if (name === 'id') return known.get(path.slice(0, path.indexOf('/{id}'))) ?? known.get('account_id');
  return FIXED[name] ?? 'a';
}

const bodyOf = (operation) => {
  const media = operation.requestBody && deref(doc, operation.requestBody).content?.['application/json'];
  const [example] = Object.values(media?.examples ?? {});
  return media && plain(deref(doc, example)?.value ?? {});
};

// By what a member is called: where to find a record that it may name.
const LISTS = { account_id: '/v1/accounts', contact_id: '/v1/contacts', plan_id: '/v1/plans', review_id: '/v1/reviews', objective_id: '/v1/objectives', need_id: '/v1/needs', opportunity_id: '/v1/opportunities' };
const USERS = /^(user|owner|manager|accountable|sponsor|assignee|assigned_to|lead)(_id)?$|_user_id$/;
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-/;
function withKnownIds(body, known) {
  return JSON.parse(JSON.stringify(body), (name, value) => {
    if (typeof value !== 'string' || !UUID.test(value)) return value;
    return known.get(LISTS[name] ?? (USERS.test(name) ? '/v1/users' : undefined)) ?? value;
  });
}

// The examples' bodies as this service accepts them, so that what is injected beside them reaches the database: what it refuses is left out, and what it
// has already is made new each time. Operation -> {body, status and what was said}.
export async function bodies(api, known) {
  const found = new Map();
  for (const { method, path, operation } of operationsOf(doc)) {
    const example = bodyOf(operation);
    if (!example || Array.isArray(example)) continue;
    const body = withKnownIds(example, known);
    const at = path.replace(/\{(\w+)\}/g, (_, name) => pathValue(path, name, known));
    let status, said;
    for (let n = 0; n < 12; n++) {
      const answer = await api.send(method, at, { raw: JSON.stringify(body).replaceAll(EACH_TIME, `${method}${path}${n}`), headers: { 'if-match': '*', 'idempotency-key': `fit-${method}-${path}-${n}` } });
      ({ status } = answer);
      said = answer.body?.detail ?? '';
      if (status === 201 && answer.body?.id && doc.paths[`${path}/{id}`] && !known.has(path)) known.set(path, answer.body.id);
      const members = (answer.body?.errors ?? []).map(({ pointer = '' }) => [pointer.split('/')[1], answer.body.errors.find((one) => one.pointer === pointer).code]).filter(([name]) => name in body);
      if (status < 400 || !members.length) break;
      for (const [name, code] of members) {
        if (code === 'taken' && typeof body[name] === 'string' && !body[name].includes(EACH_TIME)) body[name] = body[name].slice(0, 20) + EACH_TIME;
        else delete body[name];
      }
    }
    found.set(`${method} ${path}`, { body, status, said });
  }
  return found;
}

// [{name, method, url: a path and query, headers, data, unique}]: `*` stands where to inject. `unique` is the same for what the same code reads.
export function targets(known, fitting = new Map()) {
  const all = [];
  const size = ({ path }) => (path === '/v1/me' ? 0 : path.startsWith('/v1/') ? 1 : 2); // small answers first
  for (const { method, path, operation, parameters } of operationsOf(doc).sort((a, b) => size(a) - size(b))) {
    const example = bodyOf(operation);
    const body = fitting.get(`${method} ${path}`)?.body ?? example;
    // A page of one: sqlmap compares answers, which takes it long when they are.
    const required = parameters.filter((one) => one.in === 'query' && (one.required || one.name === 'page_size'));
    const query = (marked) => {
      const pairs = [...required.filter((one) => one.name !== marked?.name), ...(marked?.in === 'query' ? [marked] : [])]
        .map((one) => `${one.name}=${one.name === 'page_size' ? 1 : encodeURIComponent(text(plain(sample(one.schema))))}${one === marked ? '*' : ''}`);
      return pairs.length ? `?${pairs.join('&')}` : '';
    };
    const url = (marked) => path.replace(/\{(\w+)\}/g, (_, name) => (method === 'DELETE' && name === 'id' ? NOBODY : pathValue(path, name, known)) + (marked?.in === 'path' && marked.name === name ? '*' : '')) + query(marked);
    const add = (where, name, unique, more) => all.push({ name: `${method} ${path} ${where} ${name}`, method, unique, url: url(), headers: {}, data: body && JSON.stringify(body), ...more });
    for (const one of parameters) {
      if (one.in === 'header') add('header', one.name, `header ${one.name}`, { headers: { [one.name]: `${text(plain(sample(one.schema)))}*` } });
      else add(one.in, one.name, one.in === 'path' ? `path ${path} ${one.name}` : `query ${one.name} ${text(sample(one.schema)).slice(0, 20)}`, { url: url(one) });
    }
    for (const name of Object.keys(example && !Array.isArray(example) ? example : {})) {
      const marked = JSON.stringify(mark({ ...body, [name]: body[name] ?? example[name] }, name));
      add('body', name, `body ${method} ${name}`, { data: marked });
    }
  }
  // One of each kind first, what reaches SQL as text before all, so that a run that is cut short has seen what matters most.
  const rank = ({ unique }) => (/^query (q|filter|name|order_by|fields|cursor|expand) /.test(unique) ? 0 : { query: 1, body: 2, path: 3, header: 4 }[unique.split(' ')[0]]);
  all.sort((a, b) => rank(a) - rank(b));
  const seen = new Set();
  const first = all.filter(({ unique }) => !seen.has(unique) && seen.add(unique));
  return [...first, ...all.filter((one) => !first.includes(one))];
}

// The first text inside the member, however deep; a number becomes text.
function mark(body, name) {
  let done = false;
  const walk = (value) => {
    if (done) return value;
    if (Array.isArray(value)) return value.map(walk);
    if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, walk(inner)]));
    done = true;
    return `${value ?? 'a'}*`;
  };
  const inside = walk(body[name]);
  return { ...body, [name]: done ? inside : 'a*' };
}

// Where a crawler begins: all that can be read, with every parameter.
export const readable = (base, known) => operationsOf(doc).filter(({ method, path }) => method === 'GET' && !/stream$/.test(path)).flatMap(({ path, parameters }) => {
  const bare = base + path.replace(/\{(\w+)\}/g, (_, name) => pathValue(path, name, known));
  const some = parameters.filter((one) => one.in === 'query' && !['cursor', 'filter', 'wait'].includes(one.name)).map((one) => `${bare}?${one.name}=${encodeURIComponent(text(sample(one.schema)))}`);
  return [bare, ...some.slice(0, 12)];
});
