// openapi.yaml is assembled from api/openapi/*.yaml and what the program says of itself; nobody writes in it.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { documentOf } from '../../api/openapi/lib/document.mjs';
import { SOURCES, readSources } from '../../api/openapi/lib/inputs.mjs';
import { written } from '../../api/openapi/lib/layout.mjs';
import { OPENAPI, printApi, readOpenapi } from './lib/contract.mjs';

const MOST_LINES = 7000; // beyond that nobody reviews them

const api = printApi();
const sources = readSources();
const doc = JSON.parse(JSON.stringify(documentOf(api, sources)));

// With `change` made to copies of both, assembling fails and says `why`.
function fails(change, why) {
  const [changedApi, changed] = structuredClone([api, sources]);
  change(changedApi, changed);
  assert.throws(() => documentOf(changedApi, changed), why);
}
const fileOf = (some, tag) => some.tags.find((one) => one.tag === tag);

test('openapi.yaml is what is assembled', () => {
  assert.ok(written(documentOf(api, sources)) === readFileSync(OPENAPI, 'utf8'), 'run `make openapi`');
});

test('as text it is the same as before', () => {
  assert.deepEqual(readOpenapi(), doc);
});

test('a route of which nothing is said', () => {
  fails((some) => some.routes.push({ ...some.routes[0], path: '/v1/news', operation_id: 'listNews' }), /nothing is said of GET \/v1\/news \(listNews\)/);
  fails((_, some) => { delete fileOf(some, 'Access').operations.putRole; }, /nothing is said of PUT \/v1\/roles\/\{role\} \(putRole\)/);
  fails((_, some) => { delete fileOf(some, 'Growth').resources.need; }, /nothing is said of POST .*createNeed/);
});

test('what is said of no route', () => {
  fails((_, some) => { fileOf(some, 'Access').operations.putRoles = fileOf(some, 'Access').operations.putRole; }, /access\.yaml: no route has the operation putRoles/);
  fails((some) => { some.routes = some.routes.filter((route) => route.operation_id !== 'putRole'); }, /access\.yaml: no route has the operation putRole/);
  fails((_, some) => { fileOf(some, 'Growth').resources.wish = {}; }, /no resource is named wish/);
  fails((_, some) => { fileOf(some, 'Growth').resources.need.of_account = 'Needs.'; }, /growth\.yaml: no route of need is a plain of_account/);
});

test('what nobody reads, and what is there twice', () => {
  fails((_, some) => { fileOf(some, 'Access').operations.putRole.sumary = 'Set a role'; }, /access\.yaml: nothing reads sumary of putRole/);
  fails((_, some) => { fileOf(some, 'Wallet').operations = { putRole: fileOf(some, 'Access').operations.putRole }; }, /operations: putRole is there twice/);
  fails((_, some) => { some.common.schemas.Need = 'id'; }, /schemas: Need is there twice/);
  fails((_, some) => { delete fileOf(some, 'Access').operations.putRole.summary; }, /putRole needs summary/);
});

test('a list of words that the program does not have', () => {
  fails((_, some) => { fileOf(some, 'Access').schemas.AccessRole.properties.kind.enum = 'role.kind'; }, /the program has no list of words named role\.kind/);
  fails((some) => { delete some.words.scope; }, /no list of words named scope/);
});

test('an array that no example shows', () => {
  fails((_, some) => { some.common.schemas.Page.properties.seals = { items: 'text 9', maxItems: 5 }; }, /no example shows these arrays: Page\.seals/);
});

test('what is written by hand can be reviewed', () => {
  const lines = readdirSync(SOURCES).filter((name) => name.endsWith('.yaml')).map((name) => readFileSync(join(SOURCES, name), 'utf8').split('\n').length - 1);
  const sum = lines.reduce((a, b) => a + b, 0);
  assert.ok(sum <= MOST_LINES, `${sum} lines in api/openapi/*.yaml`);
});
