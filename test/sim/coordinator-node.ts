// A simulated coordinator process: production's leading between simulated sessions and a simulated
// store. It starts by taking the next term.

import {
  type CoordinatorEvent,
  type CoordinatorState,
  type Ending,
} from '../../coordinator/core/state.js';
import { defaultTiming } from '../../coordinator/core/timing.js';
import { transition } from '../../coordinator/core/transition.js';
import type { StoreManifest } from '../../coordinator/edge/checkpoints.js';
import { lead, type Leading, type LeadingPorts } from '../../coordinator/leading.js';
import type { CoordinatorMessage, WorkerMessage } from '../../shared/control/messages.js';
import { commitManifest, folderOf, newestWhole, stepOf } from './checkpoint-files.js';
import type { Dice } from './machines/dice.js';
import type { Side } from './machines/network.js';
import type { SimProcess, Task } from './machines/process.js';
import { simRun } from './machines/stranger.js';
import type { Surroundings } from './worker-node.js';
import { repeated, type Heard } from './worker-ports.js';

/** Workers have so long to leave. */
const leaveMs = 2_000;

export interface CoordinatorOptions {
  readonly around: Surroundings;
  readonly process: SimProcess;
  readonly dice: Dice;
  readonly worldSize: number;
  readonly onTarget: (workers: number) => void;
  readonly onExit: (ending: Ending) => void;
}

interface Line {
  readonly side: Side<Heard, WorkerMessage>;
  worker: string | undefined;
}

/** The file of a term. */
export function termKey(term: number): string {
  return `coordinators/term-${String(term).padStart(8, '0')}`;
}

export class CoordinatorNode {
  readonly process: SimProcess;
  readonly #options: CoordinatorOptions;
  /** Undefined until it leads. */
  #leading: Leading | undefined;
  #term = 0;
  readonly #lines = new Map<number, Line>();
  #sessions = 0;

  constructor(options: CoordinatorOptions) {
    this.#options = options;
    this.process = options.process;
    this.process.spawn(this.#start());
  }

  get state(): CoordinatorState | undefined {
    return this.#leading?.state;
  }

  dispatch(event: CoordinatorEvent): void {
    this.#leading?.dispatch(event);
  }

  *#start(): Task {
    const { around, process, worldSize } = this.#options;
    const { disk, shape, sabotage } = around;
    do this.#term = (yield* this.#newestTerm()) + 1;
    while (!(yield* disk.putIfAbsent(process, termKey(this.#term), process.name)));
    const saved = yield* newestWhole(disk, process, sabotage.verifiesSums, false);
    for (const key of sabotage.discardsAtStart ? disk.keys('checkpoints/') : [])
      if (stepOf(key) > saved) yield* disk.delete(process, key);
    around.trace.add(process.name, `leads as term ${this.#term}, newest checkpoint ${saved}`);
    const { microShards, lastStep } = shape;
    const steps = { microShards, until: lastStep, lastStep };
    this.#leading = lead({
      ...{ clock: process, savedStep: saved === 0 ? undefined : saved },
      config: { ...simRun, term: this.#term, worldSize, ...steps, timing: defaultTiming },
      ...{ runUrl: 'sim://run', record: '{}' },
      sessions: this.#sessionPort(),
      reporter: this.#reporterPort(),
      checkpoints: {
        find: (done) => process.spawn(this.#findCheckpoint(done)),
        commit: (wanted, done) => process.spawn(this.#storeManifest(wanted, done)),
        noteBest: () => undefined,
      },
      newestTerm: (done) => process.spawn(this.#reportTerm(done)),
      holdTerm: (done) => process.spawn(this.#holdTerm(done)),
      decide: (state, events, nowMs) => this.#decide(state, events, nowMs),
      onOver: (ending) => this.#leave(ending),
    });
    around.network.listen(`${process.node}:6000`, process, (side) => this.#accept(side));
  }

  /** The core's decisions, with what is planted before and behind them. */
  readonly #decide: typeof transition = (state, events, nowMs) => {
    const { coverage, trace, sabotage } = this.#options.around;
    const before = state.stage.kind;
    const seen = events.flatMap((event) => sabotage.coordinatorEvent(event));
    const effects = transition(state, seen, nowMs);
    if (state.stage.kind !== before) {
      const move = `${before} -> ${state.stage.kind}`;
      const why = 'reason' in state.stage ? `: ${state.stage.reason}` : '';
      coverage.count(`coordinator ${move}`);
      trace.add(this.process.name, `${move} (${seen.map(({ kind }) => kind).join()})${why}`);
    }
    return effects.flatMap((effect) => sabotage.coordinatorEffect(effect));
  };

  #accept(side: Line['side']): void {
    const session = ++this.#sessions;
    const line: Line = { side, worker: undefined };
    this.#lines.set(session, line);
    side.events = {
      onMessage: (message) => {
        if (message.kind === 'hello') line.worker = message.worker;
        // What was reordered in front of the hello is as good as lost.
        if (line.worker !== undefined)
          this.#leading?.soon({ kind: 'message', session, worker: line.worker, message });
      },
      onClosed: (reason) => this.#closed(session, reason),
    };
  }

  #closed(session: number, reason: string): void {
    const worker = this.#lines.get(session)?.worker;
    this.#lines.delete(session);
    if (worker !== undefined) this.#leading?.soon({ kind: 'closed', session, worker, reason });
  }

  #sessionPort(): LeadingPorts['sessions'] {
    const { around, dice, process } = this.#options;
    const send = (session: number, message: CoordinatorMessage): void => {
      const side = this.#lines.get(session)?.side;
      around.observe({ kind: 'sent', from: process.name, session });
      around.coverage.count(`coordinator tells ${message.kind}`);
      if ('generation' in message || message.kind === 'end')
        around.trace.add(process.name, `tells ${side?.other.process.name} ${message.kind}`);
      const heard = { term: this.#term, message };
      if (around.network.isLossy && repeated.has(message.kind)) side?.sendLoosely(heard, dice);
      else side?.send(heard);
    };
    return {
      send,
      dismiss: (session, exitCode, reason) => {
        around.trace.add(process.name, `dismisses session ${session}: ${reason}`);
        send(session, { kind: 'end', exitCode, reason });
        this.#lines.get(session)?.side.close(reason);
        this.#closed(session, reason);
      },
      broadcast: (message) => {
        for (const session of this.#lines.keys()) send(session, message);
      },
    };
  }

  #reporterPort(): LeadingPorts['reporter'] {
    const { around, process, onTarget } = this.#options;
    const { trace, coverage, observe } = around;
    const term = this.#term;
    return {
      formed: ({ world, reason }) => {
        const names = world.members.map(({ worker, incarnation }) => `${worker}.${incarnation}`);
        const text = `forms ${world.generation} at step ${world.step}: ${names.join(' ')}`;
        trace.add(process.name, `${text} (${reason})`);
        coverage.count('coordinator forms');
        observe({ kind: 'formed', term, world });
      },
      lost: ({ generation, worker, reason }) => {
        trace.add(process.name, `lost ${worker}: ${reason}`);
        coverage.count('coordinator loses a worker');
        observe({ kind: 'lost', generation, worker, why: reason });
      },
      notice: (text) => {
        coverage.count(`notice ${text.replace(/[\d.]+|worker\S*|-/g, '').slice(0, 40)}`);
        trace.add(process.name, `notes: ${text}`);
      },
      target: onTarget,
      message: ({ step }) => observe({ kind: 'reported', step }),
      observed: () => undefined,
      superseded: () => undefined,
      ended: (_ending, _worldSize, done) => done(),
    };
  }

  #leave({ exitCode, reason }: Ending): void {
    this.#leading?.close();
    this.#options.around.observe({ kind: 'ended', term: this.#term, code: exitCode, why: reason });
    for (const { side } of this.#lines.values()) side.close('the coordinator is leaving');
    this.process.after(leaveMs, () => this.#options.onExit({ exitCode, reason }));
  }

  *#newestTerm(): Task<number> {
    const taken = yield* this.#options.around.disk.list(this.process, 'coordinators/');
    return Math.max(0, ...taken.map((key) => Number(key.slice(-8))));
  }

  *#reportTerm(done: (term: number) => void): Task {
    done(this.#options.around.sabotage.looksForSuccessor ? yield* this.#newestTerm() : 0);
  }

  *#holdTerm(done: (holder: string | undefined) => void): Task {
    const { around, process } = this.#options;
    const key = termKey(this.#term);
    if (!around.sabotage.holdsTerm) return done(undefined);
    for (;;) {
      const holder = yield* around.disk.get(process, key);
      if (holder !== undefined) return done(holder === process.name ? undefined : holder);
      if (yield* around.disk.putIfAbsent(process, key, process.name)) return done(undefined);
    }
  }

  *#findCheckpoint(done: (found: CoordinatorEvent) => void): Task {
    const { disk, sabotage } = this.#options.around;
    const step = yield* newestWhole(disk, this.process, sabotage.verifiesSums, true);
    done({ kind: 'checkpointFound', step, isStored: step > 0 });
  }

  *#storeManifest(
    { snapshot, parts }: StoreManifest,
    done: (outcome: CoordinatorEvent) => void,
  ): Task {
    const { disk, observe, trace } = this.#options.around;
    const { step } = snapshot;
    const isOurs = yield* commitManifest(disk, this.process, snapshot, parts);
    if (!isOurs) return done({ kind: 'manifestFailed', step, reason: 'another one is there' });
    trace.add(this.process.name, `has stored the manifest of step ${step}`);
    const keys = parts.map(({ file }) => folderOf(step) + file);
    const bodies = keys.map((key) => disk.peek(key));
    // A part that was damaged after it was reported is found by whoever reads the checkpoint.
    const isDamaged = keys.some((key) => disk.isFlipped(key));
    if (!isDamaged) observe({ kind: 'manifest', step, parts, bodies });
    done({ kind: 'manifestStored', step });
  }
}
