'use strict';
// Actors: objects that live in this process, and whose methods are called in the order in which the worker gives the calls.
//
// `Actors` makes them and finds them, an `Actor` is one life of one. Its calls wait in one queue. A call begins when fewer
// than its lane allows run in that lane; while a method waits for a promise, calls of other lanes and other actors go on.
// What needs the actor at rest, a checkpoint, waits in the same queue: calls before it end first, those behind it wait.

const { setImmediate: turn } = require('node:timers/promises');
const { Exit, running } = require('./actor');
const calls = require('./calls');
const values = require('./values');
const { Failure, describe } = require('./failure');
const { Hosted } = require('./hosted');

/** Methods that are named to a caller who asks for one that there is not. */
const METHODS_NAMED = 100;
const NOTHING = { value: { codec: 'CODEC_NONE' } };

class Actors {
  constructor(home) {
    this.home = home;
    this.all = new Map();
  }

  /** Makes an actor by its constructor, or of the state that it has left. */
  create(create, state) {
    const key = keyOf(create.actor);
    if (this.all.has(key)) return this.refuse(create.actor, 'is here already; drop it first');
    const actor = new Actor(this.home, create, () => this.all.delete(key));
    this.all.set(key, actor);
    actor.make(create, state);
  }

  find({ actor }) {
    return this.all.get(keyOf(actor)) ?? this.refuse(actor, 'is not here');
  }

  running() {
    return [...this.all.values()].reduce((sum, actor) => sum + actor.running.size, 0);
  }

  refuse(actor, why) {
    const refused = { reason: 'MALFORMED', field: 'actor', message: `actor ${keyOf(actor)} ${why}` };
    this.home.report({ refused: { actor, refused } });
  }
}

class Actor {
  constructor(home, { actor, incarnation, spec }, forget) {
    Object.assign(this, { home, forget, life: { actor, incarnation }, name: spec.class_name, reentrant: spec.reentrant });
    const lanes = spec.lanes.length > 0 ? spec.lanes : [{}];
    this.lanes = lanes.map(({ concurrency }) => ({ slots: concurrency || 1, runs: 0 }));
    this.waiting = []; // Calls and pauses. Bounded by the worker, which knows how many it has given.
    this.running = new Map(); // Calls by number.
    this.rests = true; // Until it is made, and while a pause is made use of.
    // The mark tells how far calls have come where they run one after the other and nobody else has the process.
    const isOne = lanes.length === 1 && this.lanes[0].slots === 1 && !this.reentrant;
    this.mark = isOne && spec.isolation !== 'ISOLATION_SHARED' ? home.track.mark : home.track.silence;
    this.mark(0, false);
  }

  async make({ spec, inputs }, state) {
    const began = performance.now();
    const { pool, functions } = this.home;
    try {
      const given = calls.read({ key: this.name, payload: spec.payload, inputs }, functions, pool.directory);
      const left = state && values.read(state, `the state of ${this.name}`, pool.directory);
      this.hosted = await Hosted.make(given.function, given.args, left);
    } catch (error) {
      this.forget();
      return this.home.report({ actor_failed: { ...this.life, error: describe(error) } });
    }
    const methods = Object.keys(this.hosted.methods);
    this.home.report({ actor_ready: { ...this.life, methods, checkpoints: true, run_us: since(began) } });
    this.resume();
  }

  /** A call is to run when it is its turn. */
  give(call) {
    const lane = this.lanes[call.lane];
    Object.assign(call, { stop: new AbortController(), items: 0 });
    if (!lane) return this.reply(call, failed('DESERIALIZE', 'MALFORMED', `there is no lane ${call.lane}`));
    if (this.isOver) return this.reply(call, { not_begun: true });
    const leadsBack = ({ id }) => id && call.chain.some((waits) => JSON.stringify(waits) === JSON.stringify(id));
    if (this.reentrant && [...this.running.values()].some(leadsBack)) return this.run(call);
    this.waiting.push({ call, lane });
    this.advance();
  }

  /** A checkpoint is to be taken behind the calls that were given. */
  pause(pause) {
    this.waiting.push({ pause });
    this.advance();
  }

  resume() {
    this.rests = false;
    this.advance();
  }

  /** Begins what may begin. */
  advance() {
    if (this.isOver && this.running.size === 0 && !this.rests) return this.end();
    const full = new Set();
    for (let at = 0; at < this.waiting.length && full.size < this.lanes.length && !this.rests; ) {
      const { pause, call, lane } = this.waiting[at];
      if (pause) {
        if (at > 0 || this.running.size > 0) return;
        this.waiting.shift();
        this.keep(pause);
      } else if (lane.runs === lane.slots) {
        full.add(lane);
        at += 1;
      } else {
        this.waiting.splice(at, 1);
        this.run(call, lane);
      }
    }
  }

  /** Runs a call and tells how it ended. One that leads back to a call that runs here takes no place in a lane. */
  async run(call, lane = {}) {
    this.running.set(call.call, call);
    lane.runs += 1;
    this.mark(call.call, true);
    const began = performance.now();
    const { method, replay, stop } = call;
    const ask = (...asked) => this.callOther(call, ...asked);
    const ended = running.run({ method, replay, signal: stop.signal, ask }, () => this.perform(call));
    const outcome = await ended.catch((error) => this.failed(call, error));
    this.reply(call, { ...outcome, timing: { run_us: since(began) } });
    await turn(); // Replies go out and orders come in.
    lane.runs -= 1;
    this.running.delete(call.call);
    if (this.waiting.length === 0) this.mark(call.call, false);
    this.advance();
  }

  /** Calls another actor: those who wait for this call wait for that one too. */
  callOther({ id, chain, stop }, ...asked) {
    const by = { who: { actor: this.life.actor }, chain: id ? [...chain, id] : chain, signal: stop.signal };
    return this.home.cluster.call(by, ...asked);
  }

  async perform(call) {
    const method = this.hosted.method(call.method);
    if (!method) return { no_such_method: { methods: Object.keys(this.hosted.methods).slice(0, METHODS_NAMED) } };
    const result = await method(...calls.argumentsOf(call, this.home.pool.directory));
    if (call.reply === 'REPLY_KIND_NONE') return NOTHING;
    if (call.reply === 'REPLY_KIND_STREAM') return this.stream(call, result);
    return { value: await this.place(result, `the result of ${this.name}.${call.method}`) };
  }

  /** Sends what a method gives, one by one, as far as the caller has room. */
  async stream(call, result) {
    const { signal } = call.stop;
    const many = typeof result === 'object' && (result?.[Symbol.asyncIterator] ?? result?.[Symbol.iterator]);
    for await (const item of many ? result : [result]) {
      while (call.items === call.credit && !signal.aborted) await new Promise((resolve) => (call.more = resolve));
      signal.throwIfAborted();
      const value = await this.place(item, `an item of ${this.name}.${call.method}`);
      this.home.report({ actor_item: { actor: this.life.actor, call: call.call, n: ++call.items, value } });
    }
    return NOTHING;
  }

  failed(call, error) {
    if (!(error instanceof Exit)) return { error: describe(call.stop.signal.aborted ? call.stop.signal.reason : error) };
    this.stop();
    return NOTHING;
  }

  /** More items of a call may be sent. */
  credit({ call: number, n }) {
    const call = this.running.get(number) ?? this.waiting.find((one) => one.call?.call === number)?.call;
    if (!call) return;
    call.credit += n;
    call.more?.();
  }

  /** One that waits never runs. One that runs is told; its code may go on for a while. */
  cancel({ call: number }) {
    const at = this.waiting.findIndex((one) => one.call?.call === number);
    if (at < 0) return this.ask(this.running.get(number), 'the call was cancelled');
    const [{ call }] = this.waiting.splice(at, 1);
    this.reply(call, failed('CANCELLED', 'CANCELLED', 'the call was cancelled before it began'));
    this.advance();
  }

  /** Asks a call that runs to return. */
  ask(call, why) {
    call?.stop.abort(new Failure('CANCELLED', 'CANCELLED', why));
    call?.more?.();
  }

  /** Tells the state, while nothing runs. */
  async keep({ lsn }) {
    this.rests = true;
    const began = performance.now();
    const told = { ...this.life, lsn };
    try {
      told.state = await this.place(await this.hosted.state(), `the state of ${this.name}`);
    } catch (error) {
      told.error = describe(error);
    }
    this.home.report({ actor_state: { ...told, took_us: since(began) } });
    this.resume();
  }

  drop({ grace_us: grace }) {
    this.stop();
    if (grace === '0') this.running.forEach((call) => this.ask(call, 'the actor ends'));
    this.advance();
  }

  /** No call begins any more, and those that wait are told so. */
  stop() {
    this.isOver = true;
    for (const { call } of this.waiting.splice(0)) if (call) this.reply(call, { not_begun: true });
  }

  end() {
    this.forget();
    this.home.report({ actor_dropped: this.life });
    this.home.rest();
  }

  reply({ call }, end) {
    this.home.report({ actor_reply: { actor: this.life.actor, call, ...end } });
  }

  /** Brings a value into a message, or into a file if it is large. */
  async place(data, what) {
    const [value] = await this.home.pool.place({ actor: this.life.actor }, [values.write(data, what)]);
    return value;
  }
}

const keyOf = (actor) => actor?.id.toString('hex');
const failed = (kind, reason, message) => ({ error: describe(new Failure(kind, reason, message)) });
const since = (began) => Math.round((performance.now() - began) * 1000);

module.exports = { Actors };
