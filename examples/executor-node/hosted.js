'use strict';
// The object that an actor is: how it is made, what it answers to, and what is left of it.

const { checkpoint, restore } = require('./actor');

class Hosted {
  constructor(object) {
    this.object = object;
    /** The names of its methods, each with whether it gives items. */
    this.methods = methodsOf(object);
  }

  /** Makes one of a class: by its constructor, or of the state that another has left. */
  static async make(made, args, state) {
    if (state === undefined) return new Hosted(new made(...args));
    return new Hosted(made[restore] ? await made[restore](state) : Object.assign(Object.create(made.prototype), state));
  }

  /** What is left of it: of its own making, or its properties. */
  async state() {
    return this.object[checkpoint] ? this.object[checkpoint]() : { ...this.object };
  }

  /** What a call of this name runs. Besides methods there are two names by which attributes and methods are told. */
  method(name) {
    if (name === '__getattribute__') return (attribute) => this.attribute(attribute);
    if (name === '__dir__') return () => this.methods;
    return Object.hasOwn(this.methods, name) ? (...args) => this.object[name](...args) : undefined;
  }

  attribute(name) {
    if (!(name in this.object)) throw new ReferenceError(`there is no attribute ${name}`);
    return this.object[name];
  }
}

/** Names that begin with `_` are the object's own affair. */
function methodsOf(object) {
  const found = {};
  for (let at = object; at && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      if (typeof value !== 'function' || name === 'constructor' || name.startsWith('_')) continue;
      found[name] ??= /Generator/.test(Object.prototype.toString.call(value));
    }
  }
  return found;
}

module.exports = { Hosted };
