// Reads what test programs report. Each reader takes the output and the way the program ended, and
// gives {passed, failed, skipped, why: [text]}: whatever is not plainly a pass is a failure.

const ended = (end) => {
  if (end.timeout) return `did not end within ${end.timeout} s`;
  if (end.signal) return `was ended by ${end.signal}`;
  if (end.code !== 0) return `ended with code ${end.code}`;
  return null;
};

// cmocka: a plan "1..N" per group, then N results in order. A test's own prints may stand before a
// result on the same line.
export function readCmocka(output, end) {
  const result = { passed: 0, failed: 0, skipped: 0, why: [] };
  let planned = 0;
  let next = 1;
  const finishGroup = () => {
    const missing = planned - (next - 1);
    if (missing > 0) {
      result.failed += missing;
      result.why.push(`${missing} of ${planned} tests gave no result`);
    }
  };
  for (const line of output.split('\n')) {
    const plan = /^1\.\.(\d+)$/.exec(line);
    if (plan) {
      finishGroup();
      planned = Number(plan[1]);
      next = 1;
      continue;
    }
    const row = /(not )?ok (\d+)(?: - (.*)| # SKIP (.*))$/.exec(line);
    if (!row || Number(row[2]) !== next || next > planned) continue;
    next += 1;
    if (row[4] !== undefined) result.skipped += 1;
    else if (row[1]) {
      result.failed += 1;
      result.why.push(row[3]);
    } else result.passed += 1;
  }
  finishGroup();
  return settle(result, end);
}

// node --test: the totals at the end. A file without a test reports itself as one that passed.
export function readNode(output, end, file) {
  const result = { passed: 0, failed: 0, skipped: 0, why: [] };
  const total = (name) => {
    const found = [...output.matchAll(new RegExp(`^# ${name} (\\d+)$`, 'gm'))];
    return found.length ? Number(found.at(-1)[1]) : 0;
  };
  result.passed = total('pass');
  result.failed = total('fail') + total('cancelled');
  result.skipped = total('skipped') + total('todo');
  for (const row of output.matchAll(/^ *not ok \d+ - (.*)$/gm)) {
    if (!/ # (todo|skip)/i.test(row[1])) result.why.push(row[1]);
  }
  const names = [...output.matchAll(/^ok \d+ - (.*)$/gm)].map((row) => row[1]);
  if (total('tests') === 1 && names.length === 1 && names[0].endsWith(file)) result.passed = 0;
  return settle(result, end);
}

// The failing parts of node's output: a result, and the block that explains it.
export function failuresOfNode(output) {
  const kept = [];
  let inside = false;
  for (const line of output.split('\n')) {
    if (/^ *not ok /.test(line) && !/ # (todo|skip)/i.test(line)) inside = true;
    else if (/^ *(ok |# Subtest|1\.\.|# tests)/.test(line)) inside = false;
    if (inside || (/^# /.test(line) && !/^# (Subtest|tests|suites|pass|fail|cancelled|skipped|todo|duration_ms)/.test(line))) {
      kept.push(line);
    }
  }
  return kept.join('\n');
}

function settle(result, end) {
  const bad = ended(end);
  if (bad) result.why.push(bad);
  if (bad && result.failed === 0) result.failed = 1;
  if (result.passed + result.failed + result.skipped === 0) {
    result.failed = 1;
    result.why.push('ran no test');
  }
  return result;
}
