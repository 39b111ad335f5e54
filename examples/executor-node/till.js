'use strict';
// A task and an actor that call another actor, whose handle they are given.

const { ask } = require('./actor');

/** Adds to what an account has, and gives the sum. */
exports.pay = (account, amount) => ask(account, 'add', amount);

/** Pays what is sold into an account. */
exports.Till = class Till {
  constructor(account) {
    this.account = account;
    this.sales = 0;
  }

  async sell(price) {
    this.sales += 1;
    return ask(this.account, 'add', price);
  }
};
