// The score of an account from orders, as exact fractions: written from the text of the product, not from the SQL.
const DAY = 86_400_000;
const gcd = (a, b) => (b === 0n ? a : gcd(b, a % b));
const fraction = (n, d = 1n) => {
  const sign = d < 0n ? -1n : 1n;
  const common = gcd(n < 0n ? -n : n, d < 0n ? -d : d) || 1n;
  return [sign * n / common, sign * d / common];
};
const decimal = (text) => {
  const [, minus, whole, part = ''] = /^(-?)(\d+)(?:\.(\d+))?$/.exec(text);
  const value = fraction(BigInt(whole + part), 10n ** BigInt(part.length));
  return minus ? [-value[0], value[1]] : value;
};
const add = ([a, b], [c, d]) => fraction(a * d + c * b, b * d);
const minus = (x, [c, d]) => add(x, [-c, d]);
const times = ([a, b], [c, d]) => fraction(a * c, b * d);
const over = (x, [c, d]) => times(x, [d, c]);
const less = ([a, b], [c, d]) => a * d < c * b;
const clamp = (x) => (less(x, [0n, 1n]) ? [0n, 1n] : less([1n, 1n], x) ? [1n, 1n] : x);
// Half up, to ten-thousandths; and cut off there.
const rounded = ([a, b]) => (a * 20_000n + b) / (2n * b);
const cut = ([a, b]) => a * 10_000n / b;

const shift = (day, by) => new Date(Date.parse(`${day}T00:00:00Z`) + by * DAY).toISOString().slice(0, 10);

function inputs(orders, asOf) {
  const between = (first, last) => orders.filter(({ day }) => day >= first && day <= last).reduce((sum, { amount }) => sum + amount, 0n);
  const [ttm, before] = [between(shift(asOf, -364), asOf), between(shift(asOf, -729), shift(asOf, -365))];
  return {
    revenue_ttm: fraction(ttm, 10_000n),
    growth: before > 0n ? minus(fraction(ttm, before), [1n, 1n]) : null,
    // Northwind knows no costs; where nothing was sold, none is unknown.
    margin_ttm: orders.some(({ day }) => day >= shift(asOf, -364) && day <= asOf) ? null : [0n, 1n],
  };
}

// {score, contributions: {metric: ten-thousandths or null}}, in ten-thousandths.
export function scoreOf(orders, asOf, metrics) {
  const values = inputs(orders, asOf);
  const known = metrics.filter(({ metric }) => values[metric]);
  const total = known.reduce((sum, { weight }) => add(sum, decimal(weight)), [0n, 1n]);
  const parts = known.map(({ metric, weight, floor, ceiling }, order) => {
    const scaled = clamp(over(minus(values[metric], decimal(floor)), minus(decimal(ceiling), decimal(floor))));
    const part = over(times(decimal(weight), times(scaled, [100n, 1n])), total);
    return { metric, order, part, low: cut(part) };
  });
  if (!known.length) return { score: null, contributions: {} };
  const score = rounded(parts.reduce((sum, { part }) => add(sum, part), [0n, 1n]));
  let left = score - parts.reduce((sum, { low }) => sum + low, 0n);
  // The largest remainders get what is missing.
  const rest = ({ part, low }) => minus(part, [low, 10_000n]);
  for (const one of [...parts].sort((a, b) => (less(rest(b), rest(a)) ? -1 : less(rest(a), rest(b)) ? 1 : a.order - b.order))) if (left-- > 0n) one.low += 1n;
  return { score, contributions: Object.fromEntries(metrics.map(({ metric }) => [metric, parts.find((part) => part.metric === metric)?.low ?? null])) };
}
