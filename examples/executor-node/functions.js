'use strict';
// Functions to begin with. Each export is one, called by tasks as `functions:NAME` or as `NAME`.

/** How often each word occurs in a text, the most frequent first. */
exports.words = (text, most = 10) => {
  const counts = new Map();
  for (const [word] of text.toLowerCase().matchAll(/\p{L}+/gu)) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, most);
};

/** Mean and greatest of some numbers. */
exports.summary = (numbers) => ({
  count: numbers.length,
  mean: numbers.reduce((sum, n) => sum + n, 0) / numbers.length,
  greatest: Math.max(...numbers),
});

/** A promise is waited for; `this.signal` tells when the attempt is unwanted. */
exports.pause = async function (seconds) {
  const { setTimeout: after } = require('node:timers/promises');
  await after(seconds * 1000, undefined, { signal: this.signal });
  return seconds;
};
