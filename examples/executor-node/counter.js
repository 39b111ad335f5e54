'use strict';
// The actor of `examples/grpc-node/counter.js`: its methods are called in order, and `n` is what it remembers.

exports.Counter = class Counter {
  constructor(n = 0) {
    this.n = n;
  }

  increment() {
    this.n += 1;
    return this.n;
  }

  add(x) {
    this.n += x;
    return this.n;
  }

  get() {
    return this.n;
  }
};
