// The statements that kamd really sends for a request, with their parameters, from PostgreSQL's log;
// and scripts for pgbench that are made of them.
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { RUN, connect, sleep } from './servers.mjs';

const LOG = join(RUN, 'pg/log');
const LINE = /^\S+ \S+ \S+ \[(\d+)\] (?:.*? )?(?:LOG: {2}execute [^:]+: (.*)|LOG: {2}statement: (.*)|DETAIL: {2}parameters: (.*))$/;
const PARAMETER = /\$\d+ = (NULL|'(?:[^']|'')*')(?:, |$)/g;

export async function logStatements(settings, on) {
  const client = await connect(settings.DATABASE_SUPERUSER_URL);
  await client.query(on ? "alter role kamd_app set log_statement = 'all'" : 'alter role kamd_app reset log_statement');
  await client.end();
}

// [{sql, values}] of the request with this id; a connection's statements up to its next context.
function statementsIn(text, requestId) {
  const open = new Map();
  let found = null;
  for (const line of text.split('\n')) {
    const match = LINE.exec(line);
    if (!match) continue;
    const [, pid, executed, said, parameters] = match;
    if (parameters !== undefined) {
      const statement = open.get(pid)?.at(-1);
      if (!statement) continue;
      statement.values = [...parameters.matchAll(PARAMETER)].map(([, value]) => (value === 'NULL' ? null : value.slice(1, -1).replaceAll("''", "'")));
      if (statement.sql.startsWith('select set_config(') && statement.values.includes(requestId)) found = open.get(pid);
      continue;
    }
    const sql = executed ?? said;
    if (/^begin/.test(sql) || (/^select set_config\('kamd\.scope/.test(sql) && !/^begin/.test(open.get(pid)?.at(-1)?.sql ?? ''))) open.set(pid, []);
    open.get(pid)?.push({ sql, values: [] });
  }
  return found;
}

// `send(id)` makes the request with that X-Request-Id.
export async function statementsOf(requestId, send) {
  const from = statSync(LOG).size;
  await send(requestId);
  for (let i = 0; i < 40; i++) {
    await sleep(50);
    const found = statementsIn(readFileSync(LOG).subarray(from).toString('utf8'), requestId);
    if (found?.some(({ sql }) => !/^(begin|select set_config)/.test(sql))) {
      await sleep(100);
      return statementsIn(readFileSync(LOG).subarray(from).toString('utf8'), requestId);
    }
  }
  throw new Error(`PostgreSQL's log has no statements of request ${requestId}`);
}

// ---- pgbench --------------------------------------------------------------------------------------

// pgbench takes `:word` for a variable, also within a literal.
const quoted = (text) => (text.includes(':') ? `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "''").replaceAll(':', '\\x3a')}'` : `'${text.replaceAll("'", "''")}'`);

// A value as an SQL expression, with each text of `moving` (text -> expression) replaced.
export function expression(value, moving) {
  if (value === null) return 'null';
  let parts = [{ text: value }];
  for (const [text, sql] of Object.entries(moving)) {
    parts = parts.flatMap((part) => (part.sql ? part : part.text.split(text).flatMap((piece, i) => (i ? [{ sql }, { text: piece }] : { text: piece }))));
  }
  const terms = parts.filter(({ text }) => text !== '').map((part) => part.sql ?? quoted(part.text));
  return terms.length === 1 ? terms[0] : terms.length ? `(${terms.join(' || ')})` : "''";
}

// The statement with its parameters written into it.
export const written = ({ sql, values }, moving = {}) => `${sql.replace(/\$(\d+)/g, (_, n) => expression(values[n - 1], moving))};`;
