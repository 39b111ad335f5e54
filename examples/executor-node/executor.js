#!/usr/bin/env node
'use strict';
// Runs JavaScript functions as tasks: `bireme-worker --runtime "node=node /path/executor.js functions.js"`.
//
// The worker starts this process and says by its environment where to come back to. One stream carries everything: orders
// come in, reports go out. Attempts run one after the other on the only thread; those that are given ahead wait their turn.
// `calls` reads what to call, `values` what with, `track` tells what would be lost if this process died.

const fs = require('node:fs');
const { setImmediate: turn } = require('node:timers/promises');
const grpc = require('@grpc/grpc-js');
const calls = require('./calls');
const track = require('./track');
const values = require('./values');
const { Executor } = require('./proto');
const { Failure, describe } = require('./failure');

const PROTOCOL = 1;
const MESSAGE_BYTES = 256 << 10;
/** Results that ride in one message, in bytes, whatever the worker would allow for each. */
const BATCH_BYTES = 128 << 10;

class Process {
  constructor(launch, functions) {
    this.launch = launch;
    this.functions = functions;
    this.track = track.open(launch.mark);
    this.waiting = []; // Bounded by the worker, which gives no more ahead than run soon.
    this.given = 0;
    this.asked = new Map(); // What waits for an answer of the worker, by request.
    this.requests = 0;
  }

  /** Comes back to the worker, and does what it says from then on. */
  attach() {
    const options = { 'grpc.max_receive_message_length': MESSAGE_BYTES };
    const client = new Executor(`unix:${this.launch.socket}`, grpc.credentials.createInsecure(), options);
    this.stream = client.Attach();
    this.stream.on('data', (down) => (this.welcome ? this.take(down.orders) : this.greet(down)));
    this.stream.on('error', (error) => leave(1, `the worker cannot be reached or refuses: ${error.message}`));
    // Nothing can make code that runs return, so the process ends with its worker.
    this.stream.on('end', () => leave(this.running ? 1 : 0));
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
    this.welcome = welcome;
    this.inline = Math.min(Number(welcome.inline_bytes), BATCH_BYTES);
    this.beats = setInterval(() => this.beat(), Math.max(Number(welcome.heartbeat_us) / 1000, 1));
    this.take(orders);
  }

  beat() {
    const { user, system } = process.cpuUsage();
    const running = this.running ? 1 : 0;
    this.report({ heartbeat: { resident_bytes: process.memoryUsage.rss(), cpu_us: user + system, running } });
  }

  take(orders) {
    for (const order of orders) {
      switch (order.order) {
        case 'run':
          this.give(order.run);
          break;
        case 'cancel':
          this.cancel(order.cancel);
          break;
        case 'answer':
          this.asked.get(order.answer.request)?.(order.answer);
          this.asked.delete(order.answer.request);
          break;
        case 'ping':
          this.report({ pong: order.ping });
          break;
        case 'drain':
          this.drain(order.drain.reason);
          break;
        case 'shutdown':
          leave(0);
          break;
        case 'release_objects': // Nothing is kept mapped.
          break;
        default:
          this.refuse(order.order ?? 'order');
      }
    }
  }

  give(run) {
    this.given += 1;
    if (this.draining) {
      const why = new Failure('RESCHEDULE', 'SHUTTING_DOWN', 'the executor is about to leave');
      this.report({ failed: { attempt: run.attempt, error: describe(why) } });
      return;
    }
    this.waiting.push({ run, number: this.given, stop: new AbortController() });
    if (!this.running) this.work();
  }

  async work() {
    while ((this.running = this.waiting.shift())) {
      await this.run(this.running);
      await turn(); // Reports go out and orders come in.
    }
    if (this.draining) this.end();
  }

  async run({ run, number, stop }) {
    const { attempt } = run;
    this.track.mark(number, true);
    // That it started goes without saying where it has ended by then.
    const started = setImmediate(() => this.report({ started: { attempt } }));
    const [began, cpu] = [process.hrtime.bigint(), process.cpuUsage()];
    const end = await this.perform(run, stop).then(
      (outputs) => ({ finished: { attempt, outputs } }),
      (error) => ({ failed: { attempt, error: describe(stop.signal.aborted ? stop.signal.reason : error) } }),
    );
    clearImmediate(started);
    const { user, system } = process.cpuUsage(cpu);
    const timing = { run_us: String((process.hrtime.bigint() - began) / 1000n), cpu_us: user + system };
    (end.finished ?? end.failed).timing = timing;
    this.track.end(attempt);
    if (this.waiting.length === 0) this.track.mark(number, false);
    this.report(end);
  }

  /** Calls the function of an attempt. It finds the attempt, and the signal that it is unwanted, in `this`. */
  async perform(run, stop) {
    const { function: call, args } = calls.read(run, this.functions, this.welcome.pool_directory);
    const surroundings = enter(run);
    let result;
    try {
      result = await call.apply({ key: run.key, attempt: run.attempt, signal: stop.signal }, args);
    } finally {
      surroundings.leave();
    }
    const what = `the result of ${run.key}`;
    if (run.outputs <= 1) return this.place(run, [values.write(result, what)]);
    if (!Array.isArray(result) || result.length !== run.outputs) {
      throw new Failure('SERIALIZE', 'CODEC_MISMATCH', `${what} is no list of ${run.outputs}, as many as the task has outputs`);
    }
    return this.place(run, result.map((item, n) => values.write(item, `output ${n} of ${run.key}`)));
  }

  /** Brings results into the message, or into files where they are large. */
  async place(run, results) {
    let room = this.inline;
    const outputs = [];
    for (const { bytes, ...value } of results) {
      const size = bytes?.length ?? 0;
      let buffer = { inline: bytes };
      if (size <= room) {
        room -= size;
      } else {
        const file = await this.allocate(run.attempt, size);
        values.fill(file, bytes, this.welcome.pool_directory);
        buffer = { pool_file: file };
      }
      outputs.push({ ...value, size, buffers: bytes ? [buffer] : [] });
    }
    return outputs;
  }

  async allocate(attempt, length) {
    const request = String(++this.requests);
    const answered = new Promise((resolve) => this.asked.set(request, resolve));
    this.report({ allocate_pool: { request, attempt, lengths: [length] } });
    const { answer, allocated, refused } = await answered;
    if (answer === 'allocated') return allocated.files[0];
    throw new Failure('STORE', refused?.reason ?? 'STORE_FULL', refused?.message ?? 'the worker gave no file');
  }

  /** One that waits never starts. One that runs is told, unless it is only wanted back; its code may go on for a while. */
  cancel({ attempt, reason }) {
    const isIt = (job) => job && JSON.stringify(job.run.attempt) === JSON.stringify(attempt);
    const takenBack = reason === 'ERROR_CLASS_RESCHEDULE';
    const kind = reason === 'ERROR_CLASS_UNSPECIFIED' ? 'CANCELLED' : reason.replace('ERROR_CLASS_', '');
    const at = this.waiting.findIndex(isIt);
    if (at >= 0) {
      this.waiting.splice(at, 1);
      const why = new Failure(kind, takenBack ? 'BUSY' : 'CANCELLED', 'the attempt had not started');
      this.report({ failed: { attempt, error: describe(why) } });
    } else if (isIt(this.running) && !takenBack) {
      this.running.stop.abort(new Failure(kind, 'CANCELLED', 'the attempt was ended from outside'));
    }
  }

  drain(reason) {
    this.draining = true;
    this.report({ leaving: { reason } });
    if (!this.running) this.end();
  }

  /** Says no more. The worker hangs up then. */
  end() {
    clearInterval(this.beats);
    this.stream.end();
  }

  refuse(what) {
    const message = `this executor cannot carry out \`${what}\`; it only runs attempts`;
    this.report({ refused: { refused: { reason: 'UNSUPPORTED', field: what, message } } });
  }

  report(report) {
    // What came behind the end of the stream goes to others.
    if (!this.stream.writableEnded) this.stream.write({ reports: [report] });
  }
}

/** The variables and the directory that an attempt sees. */
function enter({ environment, directory }) {
  const before = environment.map(({ name }) => [name, process.env[name]]);
  const origin = directory && process.cwd();
  environment.forEach(({ name, value }) => (process.env[name] = value));
  if (directory) process.chdir(directory);
  return {
    leave() {
      if (directory) process.chdir(origin);
      before.forEach(([name, value]) => (value === undefined ? delete process.env[name] : (process.env[name] = value)));
    },
  };
}

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
  if (files.length === 0) leave(2, 'name the modules whose exports are the functions: executor.js functions.js');
  const told = launch(process.env);
  new Process(told, await calls.load(files)).attach();
}

main(process.argv.slice(2)).catch((error) => leave(1, error.stack));
