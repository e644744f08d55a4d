// A simulated coordinator process: the real decisions between simulated sessions and a simulated
// store, put together as coordinator/coordinator.ts does it. It starts by taking the next term.

import {
  initialCoordinatorState,
  type CoordinatorEffect,
  type CoordinatorEvent,
  type CoordinatorState,
} from '../../coordinator/core/state.js';
import { defaultTiming } from '../../coordinator/core/state.js';
import { transition } from '../../coordinator/core/transition.js';
import type { CoordinatorMessage, WorkerMessage } from '../../shared/control/messages.js';
import { commitManifest, folderOf, newestWhole, stepOf } from './checkpoint-files.js';
import { repeated, type Told } from './worker-ports.js';
import type { Dice } from './dice.js';
import type { Side } from './network.js';
import type { SimProcess, Task } from './process.js';
import type { Surroundings } from './worker-node.js';

const tickMs = 100;
/** How often it looks whether a later coordinator has taken over. */
const successorMs = 2_000;
const leaveMs = 2_000;

export interface CoordinatorOptions {
  readonly around: Surroundings;
  readonly process: SimProcess;
  readonly dice: Dice;
  readonly worldSize: number;
  readonly onTarget: (workers: number) => void;
  readonly onExit: (code: number, reason: string) => void;
}

type Line = Side<Told, WorkerMessage>;

export class CoordinatorNode {
  readonly process: SimProcess;
  /** Undefined until it leads. */
  state: CoordinatorState | undefined;
  term = 0;
  readonly #options: CoordinatorOptions;
  readonly #lines = new Map<number, { readonly side: Line; worker: string | undefined }>();
  readonly #work: Task[] = [];
  #sessions = 0;
  #isWorking = false;
  #isLeaving = false;

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    this.process = options.process;
    this.process.spawn(this.#lead());
  }

  /** Lets the core decide, and does what it wants. */
  dispatch(event: CoordinatorEvent): void {
    const { state } = this;
    const { around } = this.#options;
    if (state === undefined || this.#isLeaving) return;
    for (const each of around.sabotage.coordinatorEvent(event)) {
      const before = state.stage.kind;
      const effects = transition(state, [each], this.process.nowMs());
      if (state.stage.kind !== before) {
        const move = `${before} -> ${state.stage.kind}`;
        const why = 'reason' in state.stage ? `: ${state.stage.reason}` : '';
        around.coverage.count(`coordinator ${move}`);
        around.trace.add(this.process.name, `${move} (${each.kind})${why}`);
      }
      for (const effect of effects)
        for (const wanted of around.sabotage.coordinatorEffect(effect)) this.#perform(wanted);
    }
  }

  *#lead(): Task {
    const { around, process, worldSize } = this.#options;
    const { disk, shape, sabotage } = around;
    for (;;) {
      const taken = (yield* disk.list(process, 'coordinators/')).map((key) =>
        Number(key.slice(-8)),
      );
      this.term = Math.max(0, ...taken) + 1;
      const key = `coordinators/term-${String(this.term).padStart(8, '0')}`;
      if (yield* disk.putIfAbsent(process, key, process.name)) break;
    }
    const { verifiesSums, discardsAtStart } = sabotage;
    const saved = yield* newestWhole(disk, process, verifiesSums, false);
    for (const key of discardsAtStart ? disk.keys('checkpoints/') : [])
      if (stepOf(key) > saved) yield* disk.delete(process, key);
    const { microShards, lastStep } = shape;
    const timing = defaultTiming;
    const config = { term: this.term, worldSize, microShards, until: lastStep, lastStep, timing };
    this.state = initialCoordinatorState(config, saved === 0 ? undefined : saved, process.nowMs());
    around.trace.add(process.name, `leads as term ${this.term}, newest checkpoint ${saved}`);
    around.network.listen(`${process.node}:6000`, process, (side) => this.#accept(side));
    process.every(tickMs, () => this.dispatch({ kind: 'tick' }));
    if (sabotage.looksForSuccessor) process.spawn(this.#watchTerms());
  }

  *#watchTerms(): Task {
    const { disk } = this.#options.around;
    for (;;) {
      yield* this.process.sleep(successorMs);
      const taken = yield* disk.list(this.process, 'coordinators/');
      const newest = Math.max(...taken.map((key) => Number(key.slice(-8))));
      if (newest > this.term) this.dispatch({ kind: 'superseded', term: newest });
    }
  }

  #accept(side: Line): void {
    const session = ++this.#sessions;
    const line: { readonly side: Line; worker: string | undefined } = { side, worker: undefined };
    this.#lines.set(session, line);
    side.events = {
      onMessage: (message) => {
        if (message.kind === 'hello') line.worker = message.worker;
        // What was reordered in front of the hello is as good as lost.
        if (line.worker !== undefined)
          this.dispatch({ kind: 'message', session, worker: line.worker, message });
      },
      onClosed: (reason) => {
        this.#lines.delete(session);
        if (line.worker !== undefined)
          this.dispatch({ kind: 'closed', session, worker: line.worker, reason });
      },
    };
  }

  #send(session: number | undefined, message: CoordinatorMessage): void {
    const { around, dice } = this.#options;
    const side = session === undefined ? undefined : this.#lines.get(session)?.side;
    around.observe({ kind: 'sent', from: this.process.name, session: session ?? 0 });
    around.coverage.count(`coordinator tells ${message.kind}`);
    if ('generation' in message || message.kind === 'end')
      around.trace.add(this.process.name, `tells ${side?.other.process.name} ${message.kind}`);
    const told = { term: this.term, message };
    if (around.network.isLossy && repeated.has(message.kind)) side?.sendLoosely(told, dice);
    else side?.send(told);
  }

  #perform(effect: CoordinatorEffect): void {
    const { around, process } = this.#options;
    const { term } = this;
    const view = 'worker' in effect ? this.state?.workers.get(effect.worker) : undefined;
    switch (effect.kind) {
      case 'send':
        return this.#send(view?.session, effect.message);
      case 'welcome':
        return this.#send(view?.session, {
          kind: 'welcome',
          term,
          runUrl: 'sim://run',
          record: '{}',
        });
      case 'dismiss': {
        const { session, exitCode, reason } = effect;
        around.trace.add(process.name, `dismisses session ${session}: ${reason}`);
        this.#send(session, { kind: 'end', exitCode, reason });
        const line = this.#lines.get(session);
        line?.side.close(reason);
        this.#lines.delete(session);
        if (line?.worker !== undefined)
          process.after(0, () =>
            this.dispatch({ kind: 'closed', session, worker: line.worker!, reason }),
          );
        return;
      }
      case 'formed': {
        const { world } = effect;
        const names = world.members.map(({ worker, incarnation }) => `${worker}.${incarnation}`);
        const text = `forms ${world.generation} at step ${world.step}: ${names.join(' ')}`;
        around.trace.add(process.name, `${text} (${effect.reason})`);
        around.coverage.count('coordinator forms');
        return around.observe({ kind: 'formed', term, world });
      }
      case 'lost':
        around.trace.add(process.name, `lost ${effect.worker}: ${effect.reason}`);
        around.coverage.count('coordinator loses a worker');
        return around.observe({
          kind: 'lost',
          generation: effect.generation,
          worker: effect.worker,
          why: effect.reason,
        });
      case 'target':
        return this.#options.onTarget(effect.workers);
      case 'notice':
        around.coverage.count(
          `notice ${effect.text.replace(/[\d.]+|worker\S*|-/g, '').slice(0, 40)}`,
        );
        return around.trace.add(process.name, `notes: ${effect.text}`);
      case 'findCheckpoint':
        return this.#queue(this.#findCheckpoint());
      case 'storeManifest':
        return this.#queue(this.#storeManifest(effect));
      case 'end':
        for (const session of this.#lines.keys())
          this.#send(session, { kind: 'end', ...effect.ending });
        return this.#leave(effect.ending.exitCode, effect.ending.reason);
      case 'stepDown':
        return this.#leave(effect.exitCode, effect.reason);
    }
  }

  #leave(code: number, reason: string): void {
    this.#isLeaving = true;
    this.#options.around.observe({ kind: 'ended', term: this.term, code, why: reason });
    for (const { side } of this.#lines.values()) side.close('the coordinator is leaving');
    this.process.after(leaveMs, () => this.#options.onExit(code, reason));
  }

  /** One after the other, so that checkpoints are told in the order of their steps. */
  #queue(task: Task): void {
    this.#work.push(task);
    if (this.#isWorking) return;
    this.#isWorking = true;
    this.process.spawn(this.#workOff());
  }

  *#workOff(): Task {
    for (let task = this.#work.shift(); task !== undefined; task = this.#work.shift()) yield* task;
    this.#isWorking = false;
  }

  *#findCheckpoint(): Task {
    const { disk, sabotage } = this.#options.around;
    const step = yield* newestWhole(disk, this.process, sabotage.verifiesSums, true);
    this.dispatch({ kind: 'checkpointFound', step, isStored: step > 0 });
  }

  *#storeManifest(effect: CoordinatorEffect & { readonly kind: 'storeManifest' }): Task {
    const { disk, observe, trace } = this.#options.around;
    const { snapshot, parts } = effect;
    const { step } = snapshot;
    const isOurs = yield* commitManifest(disk, this.process, snapshot, parts);
    if (!isOurs)
      return this.dispatch({ kind: 'manifestFailed', step, reason: 'another one is there' });
    trace.add(this.process.name, `has stored the manifest of step ${step}`);
    const keys = parts.map(({ file }) => folderOf(step) + file);
    const bodies = keys.map((key) => disk.peek(key));
    // A part that was damaged after it was told is found by whoever reads the checkpoint.
    const isDamaged = keys.some((key) => disk.isFlipped(key));
    if (!isDamaged) observe({ kind: 'manifest', step, parts, bodies });
    this.dispatch({ kind: 'manifestStored', step });
  }
}
