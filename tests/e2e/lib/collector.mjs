// A collector of spans that takes nothing that OpenTelemetry's own protobuf definitions do not take: OTLP/HTTP, JSON encoding
// (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import root from '@opentelemetry/otlp-transformer/build/src/generated/root.js';
import { freePort } from './stack.mjs';
import { until } from './wait.mjs';

const Request = root.opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest;
const IDS = { traceId: 32, spanId: 16, parentSpanId: 16 };

// Ids are hexadecimal in OTLP's JSON, and base64 in protobuf's.
function withBytes(value) {
  if (Array.isArray(value)) return value.map(withBytes);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => {
    if (!IDS[key]) return [key, withBytes(inner)];
    assert.match(inner, new RegExp(`^[0-9a-f]{${IDS[key]}}$`), key);
    assert.match(inner, /[1-9a-f]/, `${key} is all zeros`);
    return [key, Buffer.from(inner, 'hex')];
  }));
}

// Every member that was sent is one that the definitions know.
function assertKnown(sent, read, path = '') {
  if (sent === null || typeof sent !== 'object' || Buffer.isBuffer(sent)) return;
  for (const [key, inner] of Object.entries(sent)) {
    assert.ok(read !== null && typeof read === 'object' && key in read, `${path}/${key} is no field of the protobuf message`);
    assertKnown(inner, read[key], `${path}/${key}`);
  }
}

const valueOf = ({ stringValue, intValue, boolValue, doubleValue }) => stringValue ?? (intValue === undefined ? boolValue ?? doubleValue : Number(intValue));
const attributesOf = (list) => Object.fromEntries(list.map(({ key, value }) => [key, valueOf(value)]));

// As the collector reads it, through the binary form and back; spans flat, attributes as an object.
export function readSpans(text) {
  const sent = withBytes(JSON.parse(text));
  const message = Request.fromObject(sent);
  assert.equal(Request.verify(message), null);
  const read = Request.toObject(Request.decode(Request.encode(message).finish()), { longs: String, bytes: Buffer, defaults: false, arrays: true, objects: true });
  assertKnown(sent, Request.toObject(message, { longs: String, defaults: true, arrays: true, objects: true }));
  return read.resourceSpans.flatMap(({ resource, scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans.map((span) => ({
    ...span,
    traceId: span.traceId.toString('hex'),
    spanId: span.spanId.toString('hex'),
    parentSpanId: span.parentSpanId?.toString('hex') ?? '',
    attributes: attributesOf(span.attributes),
    resource: attributesOf(resource.attributes),
  }))));
}

// `answer(nth)` gives {status, headers, body}, or null for no answer at all. What it refused or never answered is not kept.
export async function startCollector(answer = () => ({ status: 200 })) {
  const open = new Set();
  const collector = { spans: [], requests: [], errors: [], answer };
  const server = createServer((request, response) => {
    const chunks = [];
    request.on('data', (chunk) => chunks.push(chunk)).on('error', () => {}).on('end', () => {
      const text = Buffer.concat(chunks).toString('utf8');
      collector.requests.push({ method: request.method, path: request.url, headers: request.headers, text });
      const said = collector.answer(collector.requests.length);
      if (said === null) return;
      if (said.status === 200) {
        try { collector.spans.push(...readSpans(text)); } catch (error) { collector.errors.push(error); }
      }
      response.writeHead(said.status, { 'content-type': 'application/json', ...said.headers }).end(said.body ?? '{"partialSuccess":{}}');
    });
  });
  server.on('connection', (socket) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket)).on('error', () => {});
  });
  const port = await freePort();
  await new Promise((done) => { server.listen(port, '127.0.0.1', done); });
  collector.url = `http://127.0.0.1:${port}`;
  // All spans of a trace, once one of them satisfies `test`.
  collector.trace = async (traceId, test, what) => {
    await until(() => collector.spans.some((span) => span.traceId === traceId && test(span)), { ms: 20_000, what });
    return collector.spans.filter((span) => span.traceId === traceId);
  };
  collector.stop = () => new Promise((done) => {
    for (const socket of open) socket.destroy();
    server.close(done);
  });
  return collector;
}
