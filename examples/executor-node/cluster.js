'use strict';
// The way out: how functions and methods call actors.
//
// The scheduler says where an actor is, and its worker takes the call. Each call has a stream of its own here, which is simple; a
// client that calls often keeps one for each worker, and numbers its calls. A call is made once: if the stream breaks nobody
// knows whether it ran.

const { randomBytes } = require('node:crypto');
const grpc = require('@grpc/grpc-js');
const values = require('./values');
const { Failure } = require('./failure');
const { ActorHost, Actors, encode } = require('./proto');

const PATIENCE_US = 20_000_000;
/** The only conversation of a stream, and the only call of that. */
const ONLY = { open: 1, seq: 1 };

class Cluster {
  /** As the worker's first words say. */
  constructor({ services, token }) {
    this.scheduler = services[0];
    this.stubs = new Map();
    this.metadata = new grpc.Metadata();
    if (token) this.metadata.set('authorization', `Bearer ${token}`);
  }

  /**
   * Calls a method of an actor, and gives what it returns. The call is made by `who`, the calls of `chain` wait for it, and it is
   * given up when `signal` fires.
   */
  async call({ who, chain, signal }, id, method, args) {
    if (!this.scheduler) throw new Failure('USER', 'UNSUPPORTED', 'the worker has no scheduler, so that nobody can be called');
    const actor = { id: Buffer.from(id) };
    const caller = { ...who, life: String(randomBytes(6).readUIntBE(0, 6) + 1) };
    const given = args.map((arg, n) => argument(arg, `argument ${n} of ${method}`));
    const call = { ...ONLY, method, chain, reply: 'REPLY_KIND_VALUE', arguments: encode('CallArguments', { args: given }) };
    for (let after = 0; ; ) {
      const { incarnation, addresses } = await this.resolve(actor, after, signal);
      const open = { open: ONLY.open, caller, actor, incarnation };
      const said = await this.talk(addresses[0], [{ open }, { call: { ...call, incarnation } }], signal);
      // The same call of the same caller is made elsewhere then, where it is known if it has been taken along.
      if (said.kind !== 'redirect') return result(said.reply?.outcome ?? { outcome: 'failure', ...said.open_refused }, method);
      after = Math.max(said.redirect.incarnation - 1, 0);
    }
  }

  /** Where an actor takes calls, in a life after this one. */
  async resolve(actor, after, signal) {
    const request = { actor: { actor }, after_incarnation: after, max_wait_us: PATIENCE_US };
    for (;;) {
      const { pending, place } = await new Promise((resolve, reject) => {
        const done = (error, answer) => (error ? reject(error) : resolve(answer));
        this.stub(Actors, this.scheduler).Resolve(request, this.metadata, done);
      });
      signal.throwIfAborted();
      if (place.cause) throw new Error(`CALL_CODE_GONE: the actor has ended: ${place.cause.message}`);
      if (!pending) return place;
    }
  }

  /** Says something to a worker, and gives what ends the call there. */
  talk(address, messages, signal) {
    return new Promise((resolve, reject) => {
      const stream = this.stub(ActorHost, address).Calls(this.metadata);
      const end = (settle, value) => {
        signal.removeEventListener('abort', giveUp);
        if (stream.writable) stream.end({ messages: [{ close: { open: ONLY.open, forget: true } }] });
        settle(value);
      };
      const giveUp = () => {
        stream.write({ messages: [{ cancel: ONLY }] });
        end(reject, signal.reason);
      };
      signal.addEventListener('abort', giveUp);
      stream.on('data', ({ messages: heard }) => {
        const last = heard.find(({ kind }) => ['reply', 'redirect', 'open_refused'].includes(kind));
        if (last) end(resolve, last);
      });
      const lost = (error) => new Error(`CALL_CODE_UNKNOWN: the actor's worker was lost: ${error?.message ?? 'it hung up'}`);
      stream.on('error', (error) => end(reject, lost(error)));
      stream.on('end', () => end(reject, lost()));
      stream.write({ hello: { protocol_min: 1, protocol_max: 1, product: 'executor-node' }, messages });
    });
  }

  stub(Service, { host, port }) {
    const key = `${Service.serviceName} ${host}:${port}`;
    if (!this.stubs.has(key)) this.stubs.set(key, new Service(`${host}:${port}`, grpc.credentials.createInsecure()));
    return this.stubs.get(key);
  }
}

/** An argument as a message has it. */
function argument(data, what) {
  const { bytes, ...value } = values.write(data, what);
  return { value: { ...value, size: bytes?.length ?? 0, buffers: bytes ? [{ inline: bytes }] : [] } };
}

function result({ outcome, value, user_error: raised, failure }, method) {
  if (outcome === 'value') return values.read(value, `the result of ${method}`);
  if (outcome === 'done') return null;
  if (outcome === 'stored') throw new Error(`the result of ${method} is a stored value, which this executor does not read`);
  throw new Error(raised?.message ?? `${failure.code}: ${failure.message}`);
}

module.exports = { Cluster };
