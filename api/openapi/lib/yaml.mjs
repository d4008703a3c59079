// Writes plain data as YAML, the way openapi.yaml is written by hand: what is short stands on one
// line, the rest is indented by two; long texts are folded.
const WIDTH = 150;

const PLAIN = /^[A-Za-z_/$][A-Za-z0-9_/$. ()'<>+-]*$/;
const WORDS = /^(true|false|null|yes|no|on|off|y|n|~)$/i;

// What only double quotes can hold: control characters, and spaces or line ends at an end.
const CONTROL = /[\0-\x09\x0b-\x1f\x7f\u0085\u2028\u2029]/;
const needsQuotes = (value) => CONTROL.test(value) || /^\s|\s$/.test(value);

export function scalar(value) {
  if (typeof value !== 'string' || needsQuotes(value)) return JSON.stringify(value);
  if (PLAIN.test(value) && !WORDS.test(value) && value.trim() === value) return value;
  return `'${value.replaceAll("'", "''")}'`;
}

// In a flow collection, commas and brackets mean something too.
const flowScalar = (value) => (typeof value === 'string' && /[,[\]{}]/.test(value) && !needsQuotes(value) ? `'${value.replaceAll("'", "''")}'` : scalar(value));

export function flow(value) {
  if (Array.isArray(value)) return `[${value.map(flow).join(', ')}]`;
  if (value && typeof value === 'object') {
    const members = Object.entries(value).map(([key, member]) => `${flowScalar(key)}: ${flow(member)}`);
    return members.length ? `{${members.join(', ')}}` : '{}';
  }
  return flowScalar(value);
}

const isText = (value) => typeof value === 'string' && !needsQuotes(value) && (value.includes('\n') || value.length > 110 && !value.includes('  '));
const hasText = (value) => (value && typeof value === 'object' ? Object.values(value).some(hasText) : isText(value) && value.includes('\n'));

function fold(text, pad) {
  const lines = [''];
  for (const word of text.split(' ')) {
    if (lines.at(-1) && lines.at(-1).length + word.length > 110) lines.push('');
    lines[lines.length - 1] += (lines.at(-1) ? ' ' : '') + word;
  }
  return lines.map((line) => pad + line);
}

function textLines(value, pad) {
  if (value.includes('\n')) return ['|-', ...value.split('\n').map((line) => (line ? pad + line : ''))];
  return ['>-', ...fold(value, pad)];
}

// An array of words that does not fit on one line goes on over several.
function wrapped(head, words, pad) {
  const lines = [`${pad}${head} [`];
  for (const [i, word] of words.map(flowScalar).entries()) {
    const more = `${word}${i + 1 < words.length ? ',' : ']'}`;
    if (lines.at(-1).length + more.length + 1 > 120) lines.push(`${pad}  ${more}`);
    else lines[lines.length - 1] += lines.at(-1).endsWith('[') ? more : ` ${more}`;
  }
  return lines;
}

const short = (value, room) => !hasText(value) && flow(value).length <= room;
// What should stay on one line when it fits: schemas of fields, references, headers.
const mayFlow = (value, depth) => value && typeof value === 'object' && (Array.isArray(value) || depth > 0 || '$ref' in value) && Object.keys(value).length > 0;

// Paths read better without quotes; braces mean nothing where a key of a block stands.
const keyOf = (key) => (/^\d+$/.test(key) ? `'${key}'` : /^\/[\w/{}.-]*$/.test(key) ? key : scalar(key));

// Lines of a block at `indent`. `flowFrom`: nesting level from which on collections go on one line if they fit.
export function block(value, indent = 0, flowFrom = 2) {
  const pad = ' '.repeat(indent);
  const lines = [];
  const put = (head, member) => {
    const room = WIDTH - indent - head.length - 1;
    if (isText(member)) {
      const [first, ...rest] = textLines(member, `${pad}  `);
      lines.push(`${pad}${head} ${first}`, ...rest);
    } else if (!member || typeof member !== 'object') {
      lines.push(`${pad}${head} ${scalar(member)}`);
    } else if (head === '-' && typeof member.$ref === 'string') {
      lines.push(`${pad}- $ref: ${scalar(member.$ref)}`);
    } else if (!Object.keys(member).length || (mayFlow(member, 1 - flowFrom) && short(member, room))) {
      lines.push(`${pad}${head} ${flow(member)}`);
    } else if (Array.isArray(member) && member.every((item) => item === null || typeof item !== 'object') && !member.some(isText)) {
      lines.push(...wrapped(head, member, pad));
    } else if (head === '-') {
      const inner = block(member, indent + 2, flowFrom - 1);
      lines.push(`${pad}- ${inner[0].trimStart()}`, ...inner.slice(1));
    } else {
      lines.push(`${pad}${head}`, ...block(member, indent + 2, flowFrom - 1));
    }
  };
  if (Array.isArray(value)) for (const item of value) put('-', item);
  else for (const [key, member] of Object.entries(value)) put(`${keyOf(key)}:`, member);
  return lines;
}
