// /openapi-salesforce.json and deploy/salesforce (004-31): what External Services imports keeps its rules, a document that breaks one is
// found out, its calls do what they say, and the metadata, the flow and the Apex classes are readable by the tools that npm has for them.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { after, before, test } from 'node:test';
import { XMLParser, XMLValidator } from 'fast-xml-parser';
import { openWorld, unique } from '../e2e/lib/world.mjs';
import { operationsOf, readOpenapi } from './lib/contract.mjs';
import { violations } from './lib/salesforce.mjs';
import { validator } from './lib/validate.mjs';

const require = createRequire(import.meta.url);
const FORCE = new URL('../../deploy/salesforce/force-app/main/default/', import.meta.url);
let world, api, doc;
before(async () => {
  world = await openWorld();
  api = await world.clientOf('integration', { scopes: ['sync'] });
  doc = (await world.api.call(200, 'GET', '/openapi-salesforce.json')).body;
});
after(() => {
  api?.close();
  return world?.close();
});

test('External Services can read it', () => {
  assert.deepEqual(violations(doc), []);
  assert.ok(JSON.stringify(doc).length < 200_000);
});

const get = (one) => one.paths['/v1/accounts/{id}'].get;
const account = (one) => one.components.schemas.Account.properties;
const MUTATIONS = {
  oneOf: (one) => { account(one).name = { oneOf: [{ type: 'string' }, { type: 'integer' }] }; },
  anyOf: (one) => { account(one).name = { type: 'string', anyOf: [{ type: 'string' }] }; },
  'an untyped node': (one) => { delete account(one).name.type; },
  'an untyped item': (one) => { account(one).phones.items = {}; },
  'a second media type': (one) => { get(one).responses[200].content['text/csv'] = { schema: { type: 'string' } }; },
  'a reserved word': (one) => { account(one).currency = { type: 'string' }; },
  'a reserved parameter': (one) => { get(one).parameters.push({ name: 'limit', in: 'query', schema: { type: 'integer' } }); },
  'two underscores': (one) => { account(one).a__b = { type: 'string' }; },
  'an underscore at the end': (one) => { account(one).a_ = { type: 'string' }; },
  'nested arrays': (one) => { account(one).phones.items = { type: 'array', items: { type: 'string' } }; },
  'nested arrays by reference': (one) => { one.components.schemas.List2 = { type: 'array', items: { type: 'string' } }; account(one).phones.items = { $ref: '#/components/schemas/List2' }; },
  'an exploded array': (one) => { get(one).parameters.push({ name: 'tags', in: 'query', schema: { type: 'array', items: { type: 'string' } } }); },
  'a response header': (one) => { get(one).responses[200].headers = { ETag: { schema: { type: 'string' } } }; },
  'an empty answer': (one) => { get(one).responses[204] = { description: 'Nothing' }; },
  'a long description': (one) => { get(one).description = 'x'.repeat(1333); },
  'an operationId': (one) => { get(one).operationId = 'Get-Account'; },
  'the same operationId': (one) => { get(one).operationId = 'listAccounts'; },
  'two servers': (one) => { one.servers.push({ url: 'https://two.example' }); },
  'OpenAPI 3.1': (one) => { one.openapi = '3.1.0'; },
  '41 operations': (one) => { for (let i = 0; i < 41; i++) one.paths[`/v1/x${i}`] = { get: { ...get(one), parameters: [], operationId: `getX${i}` } }; },
  'a reference to nowhere': (one) => { account(one).name = { $ref: '#/components/schemas/Nowhere' }; },
};
for (const [what, mutate] of Object.entries(MUTATIONS)) {
  test(`what it cannot read is found out: ${what}`, () => {
    const mutant = structuredClone(doc);
    mutate(mutant);
    assert.notDeepEqual(violations(mutant), []);
  });
}

test('every operation is one of the API', () => {
  const routes = operationsOf(readOpenapi());
  for (const { path, method } of operationsOf(doc)) {
    const fits = ({ path: pattern, method: its }) => its === method && new RegExp(`^${pattern.replace(/\{\w+\}/g, '[^/]+')}$`).test(path);
    assert.ok(routes.some(fits), `${method} ${path}`);
  }
});

test('with the integration\'s key its calls do what they say, and no answer is empty', async () => {
  // An answer may have more than the document names, and null for what is absent; what it names has that type.
  const lenient = JSON.parse(JSON.stringify(doc), (key, value) => (value?.type === 'object' ? { ...value, required: undefined, additionalProperties: true } : value));
  const check = validator(lenient);
  const fit = (answer, path, method) => {
    const { schema } = lenient.paths[path][method].responses[answer.status].content['application/json'];
    assert.equal(check(schema, JSON.parse(JSON.stringify(answer.body, (_, value) => (value === null ? undefined : value)))), undefined, `${method} ${path}`);
  };
  const id = '001M00000062mPg';
  const made = await api.call(201, 'PUT', `/v1/sync/salesforce/accounts/${id}`, { body: { name: 'From a flow', system_modstamp: '2026-11-01T10:00:00.000Z' } });
  assert.equal(made.body.external_ids.salesforce, `${id}IAI`);
  const { body: many } = await api.call(200, 'POST', '/v1/sync/salesforce/contacts', {
    body: { defer_missing_parents: true, records: [{ external_id: '003M000000AbCdE', account_external_id: id, family_name: 'Anders', system_modstamp: '2026-11-01T10:00:00.000Z', is_deleted: false }] },
    headers: { 'idempotency-key': unique('apex') } });
  assert.equal(many.results[0].outcome, 'created');
  fit(await api.call(200, 'GET', '/v1/changes?after=snapshot&exclude_origin=salesforce'), '/v1/changes', 'get');
  fit(await api.call(200, 'GET', `/v1/recognition?salesforce_id=${id}`), '/v1/recognition', 'get');
  const { text } = await api.call(200, 'DELETE', `/v1/contacts/${many.results[0].id}`);
  assert.equal(text, '{}');
  assert.equal((await api.call(200, 'DELETE', `/v1/sync/salesforce/accounts/${id}`)).text, '{}');
});

const files = (folder, end) => readdirSync(new URL(folder, FORCE)).filter((name) => name.endsWith(end));
const text = (folder, name) => readFileSync(new URL(`${folder}/${name}`, FORCE), 'utf8');
const KINDS = { externalCredentials: 'ExternalCredential', namedCredentials: 'NamedCredential', externalServiceRegistrations: 'ExternalServiceRegistration', permissionsets: 'PermissionSet', flows: 'Flow', classes: 'ApexClass' };

test('the metadata is well-formed, is what it says, and names what there is', () => {
  const parsed = {};
  for (const [folder, root] of Object.entries(KINDS)) {
    for (const name of files(folder, '-meta.xml')) {
      assert.equal(XMLValidator.validate(text(folder, name)), true, name);
      const { [root]: node } = new XMLParser({ ignoreAttributes: false, parseTagValue: false }).parse(text(folder, name));
      assert.equal(node?.['@_xmlns'], 'http://soap.sforce.com/2006/04/metadata', `${name} is a ${root}`);
      parsed[root] = [...parsed[root] ?? [], node];
    }
  }
  for (const root of Object.values(KINDS)) assert.ok(parsed[root], root);
  const [registration] = parsed.ExternalServiceRegistration, [flow] = parsed.Flow, [permissions] = parsed.PermissionSet;
  assert.equal(registration.schemaUrl, '/openapi-salesforce.json');
  assert.deepEqual(files('namedCredentials', '.xml'), [`${registration.namedCredentialReference}.namedCredential-meta.xml`]);
  const [credential] = files('externalCredentials', '.xml').map((name) => name.split('.')[0]);
  const principal = parsed.ExternalCredential[0].externalCredentialParameters.find(({ parameterType }) => parameterType === 'NamedPrincipal');
  assert.equal(permissions.externalCredentialPrincipalAccesses.externalCredentialPrincipal, `${credential}-${principal.parameterName}`);
  assert.ok(parsed.NamedCredential[0].namedCredentialParameters.some(({ externalCredential }) => externalCredential === credential));
  assert.deepEqual(files('classes', '.cls').map((name) => `${name}-meta.xml`), files('classes', '-meta.xml'));
  assert.ok(files('classes', '.cls').includes(`${permissions.classAccesses.apexClass}.cls`));
  // The flow calls an operation of the document, with its parameters, and reads what it answers.
  const { actionName, inputParameters, faultConnector } = flow.actionCalls;
  const operation = Object.values(doc.paths).flatMap((item) => Object.values(item)).find(({ operationId }) => `kamd.${operationId}` === actionName) ?? assert.fail(actionName);
  assert.ok(operation.parameters.some(({ name }) => name === inputParameters.name));
  const answer = doc.components.schemas[operation.responses[200].content['application/json'].schema.$ref.split('/').pop()].properties;
  const used = [...JSON.stringify(flow.screens).matchAll(/Ask_kamd\.2XX\.(\w+)/g)].map(([, name]) => name);
  assert.ok(used.length > 2);
  for (const name of used) assert.ok(answer[name], `the flow shows ${name}`);
  assert.ok(flow.screens.some(({ name }) => name === faultConnector.targetReference), 'a fault has a screen');
});

test('the Apex classes are Apex, and send what kamd reads', () => {
  const { ApexLexer, ApexParser, CaseInsensitiveInputStream } = require('@apexdevtools/apex-parser');
  const { CharStreams, CommonTokenStream } = require('antlr4ts');
  const parse = (source) => {
    const errors = [];
    const listener = { syntaxError: (_recognizer, _symbol, line, column, message) => errors.push(`${line}:${column} ${message}`) };
    const lexer = new ApexLexer(new CaseInsensitiveInputStream(CharStreams.fromString(source)));
    lexer.removeErrorListeners();
    lexer.addErrorListener(listener);
    const parser = new ApexParser(new CommonTokenStream(lexer));
    parser.removeErrorListeners();
    parser.addErrorListener(listener);
    parser.compilationUnit();
    return errors;
  };
  for (const name of files('classes', '.cls')) assert.deepEqual(parse(text('classes', name)), [], name);
  assert.notDeepEqual(parse(text('classes', 'KamdAccountSync.cls').replace('private static', 'private statik')), []);
  const source = text('classes', 'KamdAccountSync.cls');
  const [, path] = /callout:kamd(\/[\w/]+)/.exec(source);
  const { properties } = doc.components.schemas.AccountSyncRecord;
  assert.ok(doc.paths[path].post);
  for (const [, name] of source.matchAll(/(?:record\.put\('|^ {12}')(\w+)'/gm)) assert.ok(properties[name] ?? ['defer_missing_parents', 'records'].includes(name), `${name} is a field`);
});
