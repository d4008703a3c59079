// From an operation in the short form (api/openapi/README.md) and its route to what OpenAPI wants.
import { parameterOf } from './shorthand.mjs';

const NAMES = {
  304: 'NotModified', 400: 'BadRequest', 401: 'Unauthenticated', 403: 'Forbidden', 404: 'NotFound', 405: 'MethodNotAllowed', 406: 'NotAcceptable',
  409: 'Conflict', 410: 'Gone', 412: 'PreconditionFailed', 413: 'PayloadTooLarge', 414: 'UriTooLong', 415: 'UnsupportedMediaType', 422: 'Unprocessable',
  428: 'PreconditionRequired', 429: 'TooManyRequests', 431: 'HeadersTooLarge', 500: 'InternalError', 503: 'Unavailable',
};
const PROBES = ['/livez', '/readyz']; // nobody is refused there

export const reference = (kind, name) => ({ $ref: `#/components/${kind}/${name}` });
const references = (kind, names) => Object.fromEntries(Object.entries(names).map(([name, component]) => [name, reference(kind, component)]));
const isMap = (value) => value && typeof value === 'object' && !Array.isArray(value);

// ---- parameters ---------------------------------------------------------------------------------

const OF_PAGES = { page_size: 'PageSize', cursor: 'Cursor' };

// What a route takes when its source does not say.
export function parametersByRule(route) {
  if (route.method === 'GET') return route.parameters.map(({ name }) => OF_PAGES[name]).filter(Boolean);
  return [...(route.merge_patch || route.method === 'DELETE' && route.resource ? ['IfMatch'] : []), route.bulk ? 'IdempotencyKeyRequired' : 'IdempotencyKey'];
}

const parameter = (one, types) => (typeof one === 'string' ? reference('parameters', one) : parameterOf(one, types));

// Parameters of the path are found by their name: first among those of the tag's file. Pages for people,
// probes and keys for anybody are no part of a trace.
export function pathParameters(path, own, find, types) {
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  const traced = /^\/(v1|oauth)\//.test(path);
  return [...names.map((name) => parameter(own?.[name] ? { name, in: 'path', ...own[name] } : find(name), types)),
    ...['XRequestId', ...(traced ? ['Traceparent'] : [])].map((one) => parameter(one))];
}

// ---- errors -------------------------------------------------------------------------------------

// Who sees accounts of their own only may have lost, by the time that a request is repeated, an account of
// which its first answer tells: then it is not given again, but 404.
const mayLose = (route, { rights, own_accounts: roles }) => roles.some((role) => rights[route.verb].includes(role));

export function errorsByRule(route, names, api) {
  const takes = (name) => names.some((one) => one === name || one.startsWith?.(name));
  const writesOne = takes('IfMatch');
  return [
    ...(takes('IfNoneMatch') ? [304] : []), 400,
    ...(route.verb === 'public' ? [] : [401]), ...(['public', 'any'].includes(route.verb) ? [] : [403]),
    ...(route.path.includes('{') || takes('IdempotencyKey') && mayLose(route, api) ? [404] : []), ...(route.accept ? [406] : []),
    ...(route.method === 'GET' ? [] : [409]), ...(writesOne ? [412] : []),
    ...(route.body ? [413] : []), 414, ...(route.body ? [415] : []),
    ...(route.body && !route.form || takes('IdempotencyKey') ? [422] : []),
    ...(writesOne && !takes('IfMatchOptional') && /^(PATCH|DELETE)$/.test(route.method) ? [428] : []),
    ...(PROBES.includes(route.path) ? [] : [429]), 431, 500, 503,
  ];
}

// `errors: [+404, -409, {503: NotReady}]`: one more, one less, another answer than the usual one.
export function errorsOf(rule, changes = []) {
  const result = new Map(rule.map((status) => [status, NAMES[status]]));
  for (const change of changes) {
    if (isMap(change)) for (const [status, name] of Object.entries(change)) result.set(Number(status), name);
    else if (change < 0) result.delete(-change);
    else result.set(change, NAMES[change]);
  }
  return [...result].sort(([a], [b]) => a - b);
}

// ---- answers ------------------------------------------------------------------------------------

const COMMON = { RateLimit: 'RateLimit', 'RateLimit-Policy': 'RateLimit-Policy', 'Access-Control-Allow-Origin': 'Access-Control-Allow-Origin', 'X-Request-Id': 'XRequestId' };
const componentOf = (header) => (header in COMMON || header === 'Content-Disposition' ? COMMON[header] ?? header : header === 'ETag' ? header
  : header.split('-').map((part) => part[0].toUpperCase() + part.slice(1).toLowerCase()).join(''));

// Those of every answer, and more: names, or a map to the component where that has another name.
export function headers(more = []) {
  const own = isMap(more) ? more : Object.fromEntries(more.map((name) => [name, componentOf(name)]));
  return references('headers', { ...COMMON, ...own });
}

export function headersByRule(route, names, status) {
  const takes = (name) => names.some((one) => one.startsWith?.(name));
  const readsOne = takes('IfNoneMatch') || takes('IfMatch');
  return [
    ...(readsOne && status < 202 ? ['ETag'] : []),
    ...(status === '200' && takes('Cursor') ? ['Link'] : []),
    ...(route.method === 'POST' && status === '201' || status === '202' ? ['Location'] : []),
    ...(takes('IdempotencyKey') ? ['Idempotency-Replayed'] : []),
  ];
}

// `headers: [ETag, -Link]` in a source: one more, one less.
function changed(rule, changes = []) {
  const less = changes.filter((name) => name.startsWith('-')).map((name) => name.slice(1));
  return [...rule.filter((name) => !less.includes(name)), ...changes.filter((name) => !name.startsWith('-') && !rule.includes(name))];
}

const CSV = 'RFC 4180, with a line of names. A cell that a spreadsheet would take for a formula begins with an apostrophe.';

// {schema, example | examples}. A name stands for a component; the example is the one named as the schema.
export function media({ schema, example, examples }) {
  const names = examples ?? (example || typeof schema === 'string' ? { northwind: example ?? schema } : undefined);
  return { schema: typeof schema === 'string' ? reference('schemas', schema) : schema, ...(names && { examples: references('examples', names) }) };
}

function contentOf(answer) {
  if (answer.content) return answer.content;
  if (!answer.schema) return undefined;
  return {
    'application/json': media(answer),
    ...(answer.csv && { 'text/csv': { schema: { type: 'string', maxLength: 100000000, description: CSV }, example: answer.csv } }),
  };
}

function success(route, names, status, answer) {
  if (typeof answer === 'string') return reference('responses', answer);
  const content = contentOf(answer);
  return { description: answer.text, headers: headers(changed(headersByRule(route, names, status), answer.headers)), ...(content && { content }) };
}

// ---- the body -----------------------------------------------------------------------------------

const JSON_TYPES = (route) => ['application/json', ...(route.merge_patch ? ['application/merge-patch+json'] : [])];

function bodyOf(route, body = 'NoInput') {
  if (isMap(body) && body.content) return { required: !route.optional_body, ...body };
  const one = body === 'NoInput' ? { schema: reference('schemas', body) } : media(isMap(body) ? body : { schema: body });
  return { required: !route.optional_body, content: Object.fromEntries((route.form ? ['application/x-www-form-urlencoded'] : JSON_TYPES(route)).map((type) => [type, one])) };
}

// ---- all of it ----------------------------------------------------------------------------------

// The sentence that says which right is needed, and which roles have it.
export function rightOf(route, rights) {
  if (route.verb === 'public') return undefined;
  if (route.verb === 'any') return 'Any valid key may ask.';
  const roles = rights[route.verb];
  return `Needs the right \`${route.verb}\` (${roles.length === rights.any.length ? 'every role' : roles.join(', ')}).`;
}

export function operation(route, tag, short, { api, types }) {
  const { summary, description, right, parameters = parametersByRule(route), body, answers, errors, path: _path, ...more } = short;
  if (!summary || !description || !Object.keys(answers ?? {}).length) throw new Error(`${route.operation_id} needs summary, description and answers`);
  const names = parameters.map((one) => (typeof one === 'string' ? one : one.name));
  const responses = {};
  for (const [status, answer] of Object.entries(answers)) responses[status] = success(route, names, status, answer);
  for (const [status, name] of errorsOf(errorsByRule(route, names, api), errors)) responses[status] = reference('responses', name);
  return {
    operationId: route.operation_id, tags: [tag], summary,
    description: [description, [rightOf(route, api.rights), right].filter(Boolean).join(' ')].filter(Boolean).join('\n\n'),
    ...(route.verb === 'public' && { security: [] }),
    ...(parameters.length && { parameters: parameters.map((one) => parameter(one, types)) }),
    ...(route.body && { requestBody: bodyOf(route, body) }),
    responses,
    ...more,
  };
}
