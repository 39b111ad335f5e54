'use strict';
// The functions that `cargo xtask conformance executor` calls.

const { setTimeout: after } = require('node:timers/promises');

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
