// Schemas and parameters as people write them, and as OpenAPI wants them. api/openapi/README.md says how they read.

const reference = (name) => ({ $ref: `#/components/schemas/${name}` });
const isMap = (value) => value && typeof value === 'object' && !Array.isArray(value);
const mapValues = (map, make) => Object.fromEntries(Object.entries(map).map(([key, value]) => [key, make(value)]));

// `id`, `text 200`, `id?` (may be null), `Account` (that schema).
function named(word, types) {
  const [, name, length, nullable] = /^(\w+)(?: (\d+))?(\?)?$/.exec(word) ?? [];
  if (!name) throw new Error(`no type reads ${word}`);
  if (/^[A-Z]/.test(name)) return reference(name);
  const type = name === 'text' && length ? { type: 'string', maxLength: Number(length) } : types[name];
  if (!type) throw new Error(`common.yaml has no type ${name}`);
  return { ...type, ...(nullable && { nullable: true }) };
}

// `required: all`, or `{all_but: [note]}`.
function requiredOf(required, properties) {
  if (required === 'all') return Object.keys(properties);
  return isMap(required) ? Object.keys(properties).filter((name) => !required.all_but.includes(name)) : required;
}

export function schemaOf(source, types) {
  if (typeof source === 'string') return named(source, types);
  const { is, ...own } = source;
  const schema = {
    ...(is && named(is, types)), ...(own.enum && !own.type && !is && { type: 'string' }),
    ...(own.properties && !own.type && { type: 'object' }), ...(own.items && !own.type && { type: 'array' }), ...own,
  };
  if (schema.required) schema.required = requiredOf(schema.required, schema.properties);
  if (schema.properties) schema.properties = mapValues(schema.properties, (one) => schemaOf(one, types));
  for (const key of ['items', 'additionalProperties']) {
    if (isMap(schema[key]) || typeof schema[key] === 'string') schema[key] = schemaOf(schema[key], types);
  }
  for (const key of ['anyOf', 'oneOf', 'allOf']) if (schema[key]) schema[key] = schema[key].map((one) => schemaOf(one, types));
  return schema;
}

// A parameter is one of the query unless it says otherwise; one of the path is always there.
export function parameterOf(source, types) {
  const place = source.in ?? 'query';
  return { name: source.name, in: place, ...(place === 'path' && { required: true }), ...source, schema: schemaOf(source.schema, types) };
}
