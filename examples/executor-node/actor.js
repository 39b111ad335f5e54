'use strict';
// What functions and the classes of actors may use: how they call actors, how state is kept, and what they may ask about the
// call that runs.
//
// `docs/guides/node.md` shows how.

const { AsyncLocalStorage } = require('node:async_hooks');

const running = new AsyncLocalStorage();

/** What a method throws to end its actor. */
class Exit extends Error {}

module.exports = {
  /** Name of the method that gives the actor's state, as plain data, when no call runs. */
  checkpoint: Symbol.for('bireme.checkpoint'),
  /** Name of the static method that makes an actor of that state. */
  restore: Symbol.for('bireme.restore'),

  /** The call that runs: its `method`, a `signal` that it is unwanted, and whether it is a `replay` of one that ran before. */
  call: () => running.getStore(),

  /**
   * Calls a method of another actor, of which `handle` was an argument, and gives what it returns. A call that leads back to the
   * actor that makes it is an error.
   */
  ask(handle, method, ...args) {
    const code = running.getStore();
    if (!code) throw new Error('no task and no call of an actor runs here: ask from a function or a method');
    return code.ask(handle, method, args);
  },

  /** Ends the actor whose method calls this, without an error. The call gives nothing; those that wait do not run. */
  exit() {
    throw new Exit('the actor ends');
  },

  Exit,
  running,
};
