'use strict';
// The functions that `cargo xtask conformance executor` calls, and the class of which it makes actors.

const { setTimeout: after } = require('node:timers/promises');
const actor = require('./actor');

/** What it is given. */
exports.echo = (value) => value;

/** The sum of two numbers. */
exports.add = (a, b) => a + b;

/** Fails with a message. */
exports.fail = (message) => {
  throw new Error(message);
};

/** Does nothing for so many seconds, unless somebody wants it to end. */
exports.sleep = async function (seconds) {
  await after(seconds * 1000, undefined, { signal: this.signal });
};

/** Prints a line. */
exports.print = (line) => {
  console.log(line);
};

/** So many bytes: each is its place modulo 251. */
exports.bytes = (count) => Uint8Array.from({ length: count }, (_, n) => n % 251);

/** A variable of its environment, or nothing. */
exports.variable = (name) => process.env[name];

/** Counts from a number that must not be negative. */
exports.Counter = class Counter {
  constructor(n) {
    if (n < 0) throw new RangeError(`cannot count from ${n}`);
    this.n = n;
  }

  add(x) {
    return (this.n += x);
  }

  echo(value) {
    return value;
  }

  fail(message) {
    throw new Error(message);
  }

  async sleep(seconds) {
    await after(seconds * 1000, undefined, { signal: actor.call().signal });
  }

  *upwards(count) {
    for (let n = 0; n < count; n += 1) yield this.n + n;
  }

  leave() {
    actor.exit();
  }
};
