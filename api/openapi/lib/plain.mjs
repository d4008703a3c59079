// Plain resources: which of a resource's routes are plain, and their operations in the short form in
// which people write all others. The words of plain.yaml hold `{a}` (an account), `{the}` (the
// account), `{one}` (account), `{many}` (accounts), `{path}` and `{text}`.
import { article, pascal } from './descriptors.mjs';

// The kinds of plain routes below a resource's own path, by what follows it.
const ENDS = {
  '': { GET: 'list', POST: 'create' }, '/bulk': { POST: 'bulk' },
  '/{id}': { GET: 'get', PATCH: 'update', DELETE: 'delete' },
  '/{id}/restore': { POST: 'restore' }, '/{id}/history': { GET: 'history' },
};

// The kind of a plain route, or nothing. Nested resources are exported from /v1/<path>/export.
export function kindOf(route, resource) {
  if (!resource) return undefined;
  if (route.path === `/v1/${resource.path}/export`) return 'export';
  const own = resource.nested ? `/v1/accounts/{account_id}/${resource.path}` : `/v1/${resource.path}`;
  if (route.method === 'GET' && !resource.nested && route.path === `/v1/accounts/{account_id}/${resource.path}`) return 'of_account';
  return route.path.startsWith(own) ? ENDS[route.path.slice(own.length)]?.[route.method] : undefined;
}

// The words for a resource. Where the article or the short name are not the rule, the source says so.
export function wordsOf(resource, source) {
  const one = source.one ?? resource.name.replaceAll('_', ' ');
  const a = source.a ?? article(one);
  return { one, a, the: `the ${one}`, The: `The ${one}`, many: source.many ?? `${one}s`, path: resource.path, Name: pascal(resource.name) };
}

// Where a word is empty, one space is enough.
export const fill = (text, words) => text.replace(/ ?\{(\w+)\}/g, (whole, name) => (words[name] === '' ? '' : name in words ? whole.replace(`{${name}}`, () => words[name]) : whole));

function fillAll(node, words) {
  if (typeof node === 'string') return fill(node, words);
  if (Array.isArray(node)) return node.map((item) => fillAll(item, words));
  return node && typeof node === 'object' ? Object.fromEntries(Object.entries(node).map(([key, value]) => [key, fillAll(value, words)])) : node;
}

// An operation's own members over those of its pattern; of an answer, too, each member by itself.
export function merged(pattern, own) {
  const answers = { ...pattern.answers };
  for (const [status, answer] of Object.entries(own.answers ?? {})) {
    answers[status] = typeof answer === 'object' && typeof answers[status] === 'object' ? { ...answers[status], ...answer } : answer;
  }
  return { ...pattern, ...own, answers };
}

// One of the patterns of plain.yaml with its words put in. `own` is a sentence or two for `{text}`, or members.
export function patterned(pattern, own = {}, words = {}) {
  const members = typeof own === 'string' ? { text: own } : own;
  const { text, ...rest } = pattern;
  const { text: ownText, ...ownRest } = members;
  return merged(fillAll(rest, { ...words, text: fill(ownText ?? text ?? '', words) }), ownRest);
}

// What a record has where its example is silent: nothing.
const EMPTY = { texts: [], docs: [], map: {} };
const empty = (field) => (field.required || field.not_null ? EMPTY[field.type] : null);

// A whole record: what its example says, else what its creation says, else what is empty. The first version
// of everything comes with a creation.
function whole(resource, own, created = {}) {
  const given = { version: 1, ...created, ...own };
  const result = {};
  for (const field of resource.fields) {
    const value = field.name in given ? given[field.name] : field.name === 'updated_at' ? given.created_at : empty(field);
    if (value !== undefined) result[field.name] = value;
  }
  return { ...result, ...own };
}

const pageOf = (data, more) => ({ data, page: { next_cursor: null, has_more: false, ...more } });

// A record, as it is got, created, changed, in a list and in bulk: {name: example}. In `page`, records are
// whole; `more` says what the page says of itself when it is not the last one.
export function examplesOf(resource, source, words, has) {
  const name = pascal(resource.name);
  const { record: own, create, update, page, more, bulk, summaries = {} } = source.examples ?? {};
  const record = own && whole(resource, own, create);
  const values = {
    '': record, Create: create, Update: update,
    Page: record && pageOf(page ? page.map((one) => whole(resource, one)) : [record], more),
    Bulk: bulk ?? (create && update && record && { all_or_none: false, records: [create, { id: record.id, ...update }] }),
  };
  const says = { '': words.The, Create: `A new ${words.one}`, Update: `A change of ${words.a}`, Page: `A page of ${words.many}`, Bulk: `Several ${words.many}` };
  const result = {};
  for (const [end, value] of Object.entries(values)) {
    if (value !== undefined && has(name + end)) result[name + end] = { summary: summaries[end.toLowerCase() || 'record'] ?? says[end], value };
  }
  return result;
}
