'use strict';
// Attempts of tasks: they run one after the other on the only thread; those that are given ahead wait their turn.

const { setImmediate: turn } = require('node:timers/promises');
const { running } = require('./actor');
const calls = require('./calls');
const values = require('./values');
const { Failure, describe } = require('./failure');

class Attempts {
  constructor(home) {
    this.home = home;
    this.waiting = []; // Bounded by the worker, which gives no more ahead than run soon.
    this.given = 0;
  }

  give(run) {
    this.given += 1;
    if (this.home.draining) {
      const why = new Failure('RESCHEDULE', 'SHUTTING_DOWN', 'the executor is about to leave');
      this.home.report({ failed: { attempt: run.attempt, error: describe(why) } });
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
    this.home.rest();
  }

  async run({ run, number, stop }) {
    const { attempt } = run;
    this.home.track.mark(number, true);
    // That it started goes without saying where it has ended by then.
    const started = setImmediate(() => this.home.report({ started: { attempt } }));
    const [began, cpu] = [process.hrtime.bigint(), process.cpuUsage()];
    const end = await this.perform(run, stop).then(
      (outputs) => ({ finished: { attempt, outputs } }),
      (error) => ({ failed: { attempt, error: describe(stop.signal.aborted ? stop.signal.reason : error) } }),
    );
    clearImmediate(started);
    const { user, system } = process.cpuUsage(cpu);
    const timing = { run_us: String((process.hrtime.bigint() - began) / 1000n), cpu_us: user + system };
    (end.finished ?? end.failed).timing = timing;
    this.home.track.end(attempt);
    if (this.waiting.length === 0) this.home.track.mark(number, false);
    this.home.report(end);
  }

  /** Calls the function of an attempt. It finds the attempt, and the signal that it is unwanted, in `this`. */
  async perform(run, stop) {
    const { pool, functions } = this.home;
    const { function: call, args } = calls.read(run, functions, pool.directory);
    const surroundings = enter(run);
    let result;
    try {
      const { key, attempt } = run;
      const by = { who: { attempt }, chain: [], signal: stop.signal };
      const ask = (...asked) => this.home.cluster.call(by, ...asked);
      result = await running.run({ ask }, () => call.apply({ key, attempt, signal: stop.signal }, args));
    } finally {
      surroundings.leave();
    }
    const [what, owner] = [`the result of ${run.key}`, { attempt: run.attempt }];
    if (run.outputs <= 1) return pool.place(owner, [values.write(result, what)]);
    if (!Array.isArray(result) || result.length !== run.outputs) {
      throw new Failure('SERIALIZE', 'CODEC_MISMATCH', `${what} is no list of ${run.outputs}, as many as the task has outputs`);
    }
    return pool.place(owner, result.map((item, n) => values.write(item, `output ${n} of ${run.key}`)));
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
      this.home.report({ failed: { attempt, error: describe(why) } });
    } else if (isIt(this.running) && !takenBack) {
      this.running.stop.abort(new Failure(kind, 'CANCELLED', 'the attempt was ended from outside'));
    }
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

module.exports = { Attempts };
