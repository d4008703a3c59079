// Which members the objects of answers had, at every depth. A member that openapi.yaml does not
// require must have been missing once: else a client handles an absence that there never is.
import { deref } from './contract.mjs';

export class Presence {
  constructor(doc) {
    this.doc = doc;
    this.places = new Map(); // by the schema: {name, answers, always: members that are optional, and were always there}
  }

  place(schema, name) {
    if (!this.places.has(schema)) {
      const optional = Object.keys(schema.properties).filter((member) => !(schema.required ?? []).includes(member));
      this.places.set(schema, { name, answers: 0, always: new Set(optional) });
    }
    return this.places.get(schema);
  }

  // Walks an answer along its schema.
  note(node, value, path = '') {
    const name = node?.$ref ? node.$ref.split('/').pop() : path;
    const schema = deref(this.doc, node);
    if (!schema || value === null || typeof value !== 'object') return;
    for (const part of schema.allOf ?? []) this.note(part, value, name);
    const fitting = (schema.anyOf ?? []).filter((part) => (deref(this.doc, part).required ?? []).every((member) => member in value));
    if (fitting.length === 1) this.note(fitting[0], value, name);
    if (Array.isArray(value)) {
      for (const item of value) this.note(schema.items, item, `${name}[]`);
      return;
    }
    if (schema.properties) this.noteMembers(schema, value, name);
    for (const [member, inner] of Object.entries(value)) this.note(schema.properties?.[member] ?? schema.additionalProperties, inner, `${name}.${member}`);
  }

  noteMembers(schema, value, name) {
    const place = this.place(schema, name);
    place.answers++;
    for (const member of place.always) if (!(member in value)) place.always.delete(member);
  }

  // Objects with optional members that operations may answer, and no answer had.
  neverSeen(operations) {
    const known = new Set();
    const walk = (node) => {
      const schema = deref(this.doc, node);
      if (!schema || typeof schema !== 'object' || known.has(schema)) return;
      known.add(schema);
      const inner = [...Object.values(schema.properties ?? {}), schema.items, schema.additionalProperties, ...(schema.allOf ?? []), ...(schema.anyOf ?? [])];
      for (const one of inner) walk(one);
    };
    for (const { operation } of operations) {
      for (const response of Object.values(operation.responses)) for (const { schema } of Object.values(deref(this.doc, response).content ?? {})) walk(schema);
    }
    const nameOf = (schema) => Object.entries(this.doc.components.schemas).find(([, one]) => one === schema)?.[0] ?? JSON.stringify(schema);
    const hasOptional = ({ properties, required = [] }) => Object.keys(properties ?? {}).length > required.length;
    return [...known].filter((schema) => hasOptional(schema) && !this.places.has(schema)).map(nameOf);
  }

  // "Account.address" of what was never missing.
  neverMissing() {
    return [...this.places.values()].flatMap(({ name, always }) => [...always].map((member) => `${name}.${member}`)).sort();
  }
}
