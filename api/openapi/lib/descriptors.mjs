// From the descriptors (`kamd --print-api`) to what openapi.yaml says of resources: schemas, and the
// parameters of lists and single reads.

const INT32 = 2147483647;
const MANY = 10000; // records that hang on one, when expanded

export const pascal = (name) => name.split(/[_.-]/).map((part) => part[0].toUpperCase() + part.slice(1)).join('');
const singular = (name) => name.replace(/ies$/, 'y').replace(/(?<!s)s$/, '');
const ref = (name) => ({ $ref: `#/components/schemas/${name}` });

export const ETAG = { type: 'string', maxLength: 27, pattern: '^"[0-9a-f]{16}-[0-9a-f]{8}"$' };

// ---- values -------------------------------------------------------------------------------------

const FORMATS = {
  email: { format: 'email', maxLength: 254 },
  phone: { pattern: '^\\+[1-9][0-9]{7,14}$', maxLength: 16 },
  domain: { format: 'hostname', maxLength: 253 },
  url_https: { format: 'uri', pattern: '^https://', maxLength: 2048 },
  currency: { pattern: '^[A-Z]{3}$', maxLength: 3 },
  country: { pattern: '^[A-Z]{2}$', maxLength: 2 },
  slug: { pattern: '^[a-z](?:[_-]?[a-z0-9]+)*$', maxLength: 64 },
  id: { format: 'uuid', maxLength: 36 },
};

const decimal = (field) => ({
  type: 'string', maxLength: 21,
  pattern: `^${field.bounded && field.min === 0 ? '' : '-?'}(?:0|[1-9][0-9]{0,14})(?:\\.[0-9]{1,${field.max || 4}})?$`,
});

function text(field) {
  const schema = { type: 'string' };
  if (field.min > 0) schema.minLength = field.min;
  return { ...schema, maxLength: field.max || 1000, ...withoutLonger(FORMATS[field.format], field.max) };
}

const withoutLonger = (format, max) => (format && max && format.maxLength > max ? { ...format, maxLength: max } : format);
const closed = (values, nullable) => ({ type: 'string', enum: nullable ? [...values, null] : values });

function map(field) {
  if (field.name === 'external_ids') {
    return { type: 'object', maxProperties: field.max, additionalProperties: { type: 'string', minLength: 1, maxLength: 255 } };
  }
  return { type: 'object', maxProperties: field.max, additionalProperties: true };
}

function value(field, owner, nullable) {
  switch (field.type) {
    case 'id': return { type: 'string', format: 'uuid', maxLength: 36 };
    case 'text': return text(field);
    case 'int': return { type: 'integer', format: 'int32', minimum: field.min, maximum: field.max || INT32 };
    case 'bool': return { type: 'boolean' };
    case 'decimal': return decimal(field);
    case 'date': return { type: 'string', format: 'date', maxLength: 10 };
    case 'time': return { type: 'string', format: 'date-time', maxLength: 35 };
    case 'enum': return closed(field.values, nullable);
    case 'texts': return { type: 'array', ...bounds(field), items: field.values ? closed(field.values) : { ...text({ ...field, min: 1, max: 300 }) } };
    case 'doc': return ref(owner + pascal(field.name));
    case 'docs': return { type: 'array', ...bounds(field), items: ref(owner + pascal(singular(field.name))) };
    case 'map': return map(field);
    default: throw new Error(`no schema for the type ${field.type}`);
  }
}

const bounds = (field) => ({ ...(field.min > 0 && { minItems: field.min }), maxItems: field.max });

export const neverNull = (field) => Boolean(field.required || field.not_null);

export const article = (name) => `${/^[aeio]/.test(name) ? 'an' : 'a'} ${name.replaceAll('_', ' ')}`;

function about(field, more) {
  const sentences = [field.about, field.ref && `${field.type === 'texts' ? 'Each is the id' : 'Id'} of ${article(field.ref)}${field.same_account ? ' of the same account' : ''}.`, more].filter(Boolean);
  return sentences.length ? { description: sentences.join(' ') } : {};
}

// use: 'read' | 'create' | 'change'
function property(field, owner, use) {
  const nullable = !neverNull(field);
  const schema = value(field, owner, nullable);
  if (schema.$ref) return schema; // says itself that it may be null
  const fixed = use === 'change' && field.create_only ? 'Cannot be changed; its own value is accepted.' : undefined;
  return {
    ...schema,
    ...(nullable && { nullable: true }),
    ...(use === 'read' && field.read_only && { readOnly: true }),
    ...(use === 'create' && field.preset !== undefined && { default: field.preset }),
    ...about(field, fixed),
  };
}

// ---- schemas ------------------------------------------------------------------------------------

// Of a nested document what must be given is always there, and what kamd keeps; the rest is only there if it was given.
function shapes(fields, owner, into) {
  for (const field of fields) {
    if (!field.fields) continue;
    const name = owner + pascal(field.type === 'docs' ? singular(field.name) : field.name);
    const required = field.fields.filter((inner) => inner.required || inner.read_only).map((inner) => inner.name);
    into[name] = {
      type: 'object', ...(field.type === 'doc' && !neverNull(field) && { nullable: true }), ...about(field),
      ...(required.length && { required }),
      properties: Object.fromEntries(field.fields.map((inner) => [inner.name, property(inner, name, 'read')])),
      additionalProperties: false,
    };
    shapes(field.fields, name, into);
  }
}

const properties = (fields, name, use) => Object.fromEntries(fields.map((field) => [field.name, property(field, name, use)]));
const etag = { ...ETAG, readOnly: true, description: 'For If-Match and If-None-Match; the same as the ETag header of a single read.' };

function expansions(resource) {
  return Object.fromEntries(resource.expand.map(({ name, target, many }) => [name, many
    ? { type: 'array', maxItems: MANY, readOnly: true, items: ref(pascal(target)), description: `Only with \`expand=${name}\`.` }
    : ref(`Expanded${pascal(target)}`)]));
}

// A record has all its fields, empty ones as null; but one that lies in another area than the record
// itself is not there for who does not see that area.
const always = (resource) => ['etag', ...resource.fields.filter((field) => !field.area).map((field) => field.name)];

// Nested resources take the account from the path.
const needed = (resource) => resource.fields.filter((field) => field.required && !(resource.nested && field.name === 'account_id')).map((field) => field.name);

function schemasOf(resource, expanded) {
  const name = pascal(resource.name);
  const writable = resource.fields.filter((field) => !field.read_only);
  const all = { ...properties(resource.fields, name, 'read'), ...(resource.name === 'account' && { redacted: ref('Redacted') }), etag };
  const result = {
    [name]: {
      type: 'object',
      description: `${resource.about} An answer to \`fields\` has only those members, id and etag.`,
      required: always(resource), properties: { ...all, ...expansions(resource) },
    },
    [`${name}Create`]: {
      type: 'object', ...(needed(resource).length && { required: needed(resource) }), properties: properties(writable, name, 'create'), additionalProperties: false,
    },
    [`${name}Update`]: {
      type: 'object', description: 'JSON merge patch (RFC 7396): what is absent stays, null empties.', properties: properties(writable, name, 'change'), additionalProperties: false,
    },
    [`${name}Page`]: {
      type: 'object', required: ['data', 'page'], properties: { data: { type: 'array', maxItems: 200, items: ref(name) }, ...(resource.area && resource.name !== 'account' && { redacted: ref('Redacted') }), page: ref('Page') },
    },
    [`${name}Bulk`]: {
      type: 'object', required: ['records'], additionalProperties: false,
      properties: {
        all_or_none: { type: 'boolean', default: false, description: 'One wrong record refuses all.' },
        records: { type: 'array', minItems: 1, maxItems: 200, items: ref(`${name}BulkRecord`) },
      },
    },
    [`${name}BulkRecord`]: {
      type: 'object', additionalProperties: false, description: 'With id a change of that record, without it a new one, which needs what a creation needs.',
      properties: { id: { type: 'string', format: 'uuid', maxLength: 36 }, ...properties(writable, name, 'change') },
    },
  };
  if (expanded.has(resource.name)) {
    result[`Expanded${name}`] = {
      type: 'object', nullable: true, readOnly: true, description: `${article(resource.name).replace(/^a/, 'A')} that another record refers to; only with \`expand\`. Null when there is none.`,
      required: always(resource), properties: all,
    };
  }
  shapes(resource.fields, name, result);
  return result;
}

// Only these are asked for in bulk; the others have no such route.
const hasBulk = (api, resource) => api.routes.some((route) => route.bulk && route.resource === resource.name);
const hasList = (api, resource) => api.routes.some((route) => route.method === 'GET' && route.resource === resource.name && route.path.endsWith(`/${resource.path}`));
const hasCreate = (api, resource) => api.routes.some((route) => route.resource === resource.name && route.method === 'POST' && !route.path.includes('{id}'));

const hasChange = (api, resource) => api.routes.some((route) => route.resource === resource.name && route.merge_patch);

export function schemas(api) {
  const expanded = new Set(api.resources.flatMap((resource) => resource.expand.filter(({ many }) => !many).map(({ target }) => target)));
  const result = {};
  for (const resource of api.resources) {
    for (const [name, schema] of Object.entries(schemasOf(resource, expanded))) {
      if (/Bulk(Record)?$/.test(name) && !hasBulk(api, resource)) continue;
      if (/Page$/.test(name) && !hasList(api, resource)) continue;
      if (/Create$/.test(name) && !hasCreate(api, resource)) continue;
      if (/Update$/.test(name) && !hasChange(api, resource)) continue;
      if (result[name]) throw new Error(`two schemas are named ${name}`);
      result[name] = schema;
    }
  }
  return result;
}

// ---- parameters of lists ------------------------------------------------------------------------

const ORDERED = new Set(['int', 'decimal', 'date', 'time']);
const COMPARISONS = { gt: 'Greater than', gte: 'At least', lt: 'Less than', lte: 'At most' };
const TIMES = { since: 'At or after this', after: 'After this', before: 'Before this' };

const csv = (items, description, more) => ({
  in: 'query', style: 'form', explode: false, description, schema: { type: 'array', minItems: 1, maxItems: 200, items, ...more },
});
const single = (schema, description) => ({ in: 'query', description, schema });

// Without what belongs to a stored value only: in a filter no text is too short, say.
function filterValue(field) {
  const { type, ...rest } = value(field.type === 'texts' ? { ...field, type: field.values ? 'enum' : 'text', min: 1, max: 300 } : field, '', false);
  if (type === 'integer') return { type, format: 'int64', minimum: 0, maximum: Number.MAX_SAFE_INTEGER };
  if (field.type === 'decimal') return { type, maxLength: 26, pattern: '^-?(?:0|[1-9][0-9]{0,14})(?:\\.[0-9]{1,10})?$' };
  return { type, ...rest };
}

function filtersOf(field) {
  const items = filterValue(field);
  const what = field.type === 'texts' ? `Has one of these ${field.name}.` : `One of these values of ${field.name}.`;
  const result = { [field.name]: csv(items, what) };
  if (ORDERED.has(field.type)) {
    for (const [suffix, words] of Object.entries(COMPARISONS)) result[`${field.name}_${suffix}`] = single(items, `${words}, of ${field.name}.`);
  }
  if (!neverNull(field)) result[`${field.name}_is_null`] = single({ type: 'boolean' }, `Whether ${field.name} is empty.`);
  return result;
}

// due_before means due_at_lt, or due_on_lt where there is no due_at.
function timesOf(filterable) {
  const result = {};
  for (const field of filterable.filter(({ name, type }) => /_(at|on)$/.test(name) && (type === 'date' || type === 'time'))) {
    const stem = field.name.slice(0, -3);
    if (field.name.endsWith('_on') && filterable.some(({ name }) => name === `${stem}_at`)) continue;
    for (const [suffix, words] of Object.entries(TIMES)) result[`${stem}_${suffix}`] = single(filterValue(field), `${words}, of ${field.name}.`);
  }
  return result;
}

export function listFilters(resource) {
  const filterable = resource.fields.filter((field) => field.filter);
  const result = Object.assign({}, ...filterable.map(filtersOf));
  for (const [name, parameter] of Object.entries(timesOf(filterable))) result[name] ??= parameter;
  return result;
}

const choices = (name, items, description, maxItems) => ({
  name, in: 'query', style: 'form', explode: false, description, schema: { type: 'array', minItems: 1, maxItems, uniqueItems: true, items: { type: 'string', enum: items } },
});

function viewsOf(resource, isListed) {
  const name = pascal(resource.name);
  const sortable = resource.fields.filter((field) => field.sort).map((field) => field.name);
  return {
    ...(isListed && { [`${name}OrderBy`]: choices('order_by', sortable.flatMap((one) => [one, `-${one}`]),
      'Fields to order by, the first one first; `-` turns the direction round. What is empty comes last. The id decides between equals.', 5) }),
    [`${name}Fields`]: choices('fields', resource.fields.map((field) => field.name), 'Only these fields, beside id and etag: the others are not there, whatever the schema requires.', resource.fields.length),
    ...(resource.expand.length && { [`${name}Expand`]: choices('expand', resource.expand.map((one) => one.name),
      'Related records to put into each record, one level deep.', resource.expand.length) }),
  };
}

const OF_PAGES = ['PageSize', 'Cursor', 'IncludeTotal'];

// {components: {name: parameter}, lists: {resource: [names]}, reads, exports: the same}. A parameter that reads alike in several lists is one component.
export function parameters(api) {
  const listed = api.resources.filter((resource) => hasList(api, resource));
  const variants = new Map();
  for (const resource of listed) {
    for (const [name, parameter] of Object.entries(listFilters(resource))) {
      if (!variants.has(name)) variants.set(name, new Set());
      variants.get(name).add(JSON.stringify(parameter));
    }
  }
  const components = {};
  const lists = {};
  const reads = {};
  const exports = {};
  // A section of a plan is read by its name, whole.
  const takesFields = (route, one) => route.resource === one.name && route.method === 'GET' && !route.path.endsWith('{section}');
  for (const resource of api.resources.filter((one) => api.routes.some((route) => takesFields(route, one)))) {
    const isListed = listed.includes(resource);
    const views = viewsOf(resource, isListed);
    Object.assign(components, views);
    reads[resource.name] = [...Object.keys(views).filter((name) => !/OrderBy$/.test(name)), 'IfNoneMatch'];
    if (!isListed) continue;
    const names = Object.entries(listFilters(resource)).map(([name, parameter]) => {
      const key = variants.get(name).size === 1 ? `Filter${pascal(name)}` : `${pascal(resource.name)}Filter${pascal(name)}`;
      components[key] = { name, ...parameter };
      return key;
    });
    const search = resource.fields.some((field) => field.search) ? ['Search'] : [];
    const asked = [...search, ...names, 'Filter', ...Object.keys(views)];
    lists[resource.name] = ['IfNoneMatch', ...asked, ...OF_PAGES];
    exports[resource.name] = [...asked.filter((name) => !/Expand$/.test(name)), 'ExportFormat', 'ExportBom', 'ExportAfter'];
  }
  return { components: Object.fromEntries(Object.entries(components).sort(([a], [b]) => (a < b ? -1 : 1))), lists, reads, exports };
}
