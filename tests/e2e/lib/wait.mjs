// Waiting for what becomes true by itself.

export const sleep = (ms) => new Promise((done) => { setTimeout(done, ms); });

// The runner's, for what runs beside other tests: how many times as long to wait for what will come.
export const PATIENCE = Number(process.env.KAMD_TEST_PATIENCE ?? 1);

// Calls `look` until it gives something true; that is the result. It fails with `what`, and with the error of the last look if that threw, after `ms` (longer
// by PATIENCE), and not before it has looked as often as there are tenths of a second in `ms`: on a machine that is too busy for that, time alone says nothing.
// `looks`: that many are enough, where the time is what is tested. After each look it rests as long as that took: who waits leaves the machine to who works.
export async function until(look, { ms = 10_000, every = 25, looks = ms / Math.max(every, 100), what = 'what the test waits for' } = {}) {
  const end = Date.now() + ms * PATIENCE;
  for (let last, n = 1; ; n++) {
    const began = Date.now();
    try {
      const found = await look();
      if (found) return found;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > end && n >= looks) throw new Error(`${what}: not within ${ms * PATIENCE} ms, nor ${n} looks`, { cause: last });
    await sleep(Math.max(every, Date.now() - began));
  }
}

// The results of `run` over all items, `width` of them at a time.
export async function inParallel(width, items, run) {
  const queue = items.entries();
  const results = new Array(items.length);
  await Promise.all(Array.from({ length: width }, async () => {
    for (const [i, item] of queue) results[i] = await run(item, i);
  }));
  return results;
}
