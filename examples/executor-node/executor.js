#!/usr/bin/env node
'use strict';
// Runs JavaScript for a worker: `bireme-worker --runtime "node=node /path/executor.js functions.js"`.
//
// The worker starts this process and says by its environment where to come back to. One stream carries everything: orders
// come in, reports go out. `attempts` runs the functions of tasks, `actors` the methods of actors; `calls` reads what to call,
// `values` what with, `pool` brings results back, `cluster` calls actors elsewhere, and `track` tells what would be lost if this
// process died.

const fs = require('node:fs');
const grpc = require('@grpc/grpc-js');
const calls = require('./calls');
const track = require('./track');
const values = require('./values');
const { Actors } = require('./actors');
const { Attempts } = require('./attempts');
const { Cluster } = require('./cluster');
const { Executor } = require('./proto');
const { Pool } = require('./pool');

const PROTOCOL = 1;
const MESSAGE_BYTES = 256 << 10;

class Process {
  constructor(launch, functions) {
    this.launch = launch;
    this.functions = functions;
    this.track = track.open(launch.mark);
    this.attempts = new Attempts(this);
    this.actors = new Actors(this);
  }

  /** Comes back to the worker, and does what it says from then on. */
  attach() {
    const options = { 'grpc.max_receive_message_length': MESSAGE_BYTES };
    const client = new Executor(`unix:${this.launch.socket}`, grpc.credentials.createInsecure(), options);
    this.stream = client.Attach();
    this.stream.on('data', (down) => (this.pool ? this.take(down.orders) : this.greet(down)));
    this.stream.on('error', (error) => leave(1, `the worker cannot be reached or refuses: ${error.message}`));
    // Nothing can make code that runs return, so the process ends with its worker.
    this.stream.on('end', () => leave(this.isBusy() ? 1 : 0));
    const features = this.launch.mark ? ['runs_ahead'] : [];
    const limits = { message_bytes: MESSAGE_BYTES };
    const hello = { protocol_min: PROTOCOL, protocol_max: PROTOCOL, product: 'executor-node', features, limits };
    this.stream.write({
      hello: { ...hello, token: this.launch.token },
      attach: {
        pid: process.pid,
        runtime: 'node',
        version: process.versions.node,
        language: 'javascript',
        slots: 1,
        codecs: values.CODECS,
        actors: true,
        functions: [...this.functions.keys()],
        started_as: this.launch.number,
      },
    });
  }

  greet({ hello, welcome, orders }) {
    if (!hello || !welcome) leave(1, 'the first message of the worker has no hello or no welcome');
    if (hello.protocol_min > PROTOCOL || hello.protocol_max < PROTOCOL) {
      leave(1, `the worker speaks protocol ${hello.protocol_min} to ${hello.protocol_max}, this executor ${PROTOCOL}`);
    }
    const lacking = hello.required_features.find((feature) => feature !== 'runs_ahead');
    if (lacking) leave(1, `the worker requires the feature ${lacking}, which this executor lacks`);
    this.pool = new Pool(welcome, (report) => this.report(report));
    this.cluster = new Cluster(welcome);
    this.beats = setInterval(() => this.beat(), Math.max(Number(welcome.heartbeat_us) / 1000, 1));
    this.take(orders);
  }

  beat() {
    const { user, system } = process.cpuUsage();
    const running = (this.attempts.running ? 1 : 0) + this.actors.running();
    this.report({ heartbeat: { resident_bytes: process.memoryUsage.rss(), cpu_us: user + system, running } });
  }

  take(orders) {
    for (const order of orders) {
      const carryOut = ORDERS[order.order];
      if (carryOut) carryOut(this, order[order.order]);
      else this.refuse(order.order ?? 'order');
    }
  }

  isBusy() {
    return Boolean(this.attempts.running) || this.actors.all.size > 0;
  }

  drain(reason) {
    this.draining = true;
    this.report({ leaving: { reason } });
    this.rest();
  }

  /** There may be nothing left to do: if the process is to leave then, it says no more, and the worker hangs up. */
  rest() {
    if (!this.draining || this.isBusy()) return;
    clearInterval(this.beats);
    this.stream.end();
  }

  refuse(what) {
    const message = `this executor cannot carry out \`${what}\`; it only runs attempts and actors`;
    this.report({ refused: { refused: { reason: 'UNSUPPORTED', field: what, message } } });
  }

  report(report) {
    // What came behind the end of the stream goes to others.
    if (!this.stream.writableEnded) this.stream.write({ reports: [report] });
  }
}

/** What is done about each order. */
const ORDERS = {
  run: (home, run) => home.attempts.give(run),
  cancel: (home, cancel) => home.attempts.cancel(cancel),
  actor_create: (home, create) => home.actors.create(create),
  actor_restore: (home, { create, state }) => home.actors.create(create, state),
  actor_call: (home, call) => home.actors.find(call)?.give(call),
  actor_cancel: (home, cancel) => home.actors.find(cancel)?.cancel(cancel),
  actor_credit: (home, credit) => home.actors.find(credit)?.credit(credit),
  actor_checkpoint: (home, checkpoint) => home.actors.find(checkpoint)?.pause(checkpoint),
  actor_drop: (home, drop) => home.actors.find(drop)?.drop(drop),
  actor_kept: () => {}, // Calls that actors make are not numbered here: a replay makes them anew.
  answer: (home, answer) => home.pool.answer(answer),
  ping: (home, number) => home.report({ pong: number }),
  drain: (home, { reason }) => home.drain(reason),
  shutdown: () => leave(0),
  release_objects: () => {}, // Nothing is kept mapped.
};

function leave(code, complaint) {
  if (complaint) console.error(`executor-node: ${complaint}`);
  process.exit(code);
}

/** What the worker says in the environment. The files are gone once this process has come back. */
function launch(env) {
  const { BIREME_EXECUTOR_SOCKET: socket, BIREME_EXECUTOR_TOKEN_FILE: token, BIREME_EXECUTOR_PARENT: parent } = env;
  if (!socket) leave(2, 'this is for a worker to start: bireme-worker --runtime "node=node executor.js functions.js"');
  if (Number(parent) !== process.ppid) leave(1, `process ${parent} is not the parent, which is ${process.ppid}`);
  const { BIREME_EXECUTOR_NUMBER: number, BIREME_EXECUTOR_MARK: mark } = env;
  return { socket, token: fs.readFileSync(token, 'utf8').trim(), number, mark };
}

async function main(files) {
  if (files.length === 0) leave(2, 'name the modules whose exports are the functions and classes: executor.js functions.js');
  const told = launch(process.env);
  new Process(told, await calls.load(files)).attach();
}

main(process.argv.slice(2)).catch((error) => leave(1, error.stack));
