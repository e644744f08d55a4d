// A coordinator's core with a clock, which gets events in few words; it answers with what it asks
// for, in words as well, so that a protocol story reads from top to bottom.

import {
  initialCoordinatorState,
  type CoordinatorConfig,
  type CoordinatorEffect,
  type CoordinatorEvent,
} from '../../coordinator/core/state.js';
import { defaultTiming } from '../../coordinator/core/timing.js';
import { transition } from '../../coordinator/core/transition.js';
import { generationOf } from '../../shared/words.js';
import {
  noWorld,
  protocolVersion,
  type Hello,
  type WorkerMessage,
  type WorkerStage,
  type WorkerStatus,
  type WorldMessage,
} from '../../shared/control/messages.js';
import { noPace } from '../../worker/core/state.js';

/** What production has, for a run of ten steps and two workers. */
export const storyConfig: CoordinatorConfig = {
  run: 'story',
  recordSha256: 'a'.repeat(64),
  term: 1,
  worldSize: 2,
  microShards: 8,
  until: 10,
  lastStep: 10,
  timing: defaultTiming,
};

type Said = Partial<WorkerStatus>;

/** Creates a story; `savedStep` is the newest checkpoint's. */
export function createStory(change: Partial<CoordinatorConfig> = {}, savedStep?: number) {
  let nowMs = 0;
  let sessions = 0;
  const config = { ...storyConfig, ...change };
  const state = initialCoordinatorState(config, savedStep, nowMs);
  const statuses = new Map<string, WorkerStatus & { session: number; incarnation: number }>();
  const notices: string[] = [];
  const happen = (event: CoordinatorEvent): string[] => {
    const effects = transition(state, [event], nowMs);
    for (const effect of effects) if (effect.kind === 'notice') notices.push(effect.text);
    return effects.map(describe);
  };
  const says = (worker: string, message: WorkerMessage): string[] => {
    const session = statuses.get(worker)?.session ?? 0;
    return happen({ kind: 'message', session, worker, message });
  };
  const is = (worker: string, stage: WorkerStage, said: Said = {}): string[] => {
    const before = statuses.get(worker);
    if (before === undefined) throw new Error(`${worker} has not said hello`);
    const { session, incarnation, ...status } = before;
    const next = { ...status, ...said, stage, sequence: status.sequence + 1 };
    statuses.set(worker, { ...next, session, incarnation });
    return says(worker, { kind: 'status', ...next });
  };
  const hello = (worker: string, change: Partial<Hello> = {}): string[] => {
    sessions += 1;
    const sequence = (statuses.get(worker)?.sequence ?? 0) + 1;
    const status = { ...newStatus, ...change.status, sequence };
    const { run, recordSha256 } = config;
    const known = change.world === undefined ? {} : { run, recordSha256 };
    const message: Hello = { ...newHello, ...known, worker, ...change, status };
    statuses.set(worker, { ...status, session: sessions, incarnation: message.incarnation });
    return says(worker, message);
  };
  const wait = (ms: number, alive: readonly string[] = [...statuses.keys()]): string[] => {
    const told: string[] = [];
    for (let passed = 0; passed < ms; passed += 250) {
      nowMs += Math.min(250, ms - passed);
      for (const worker of alive) told.push(...is(worker, statuses.get(worker)?.stage ?? 'ready'));
      told.push(...happen({ kind: 'tick' }));
    }
    return told;
  };
  const closes = (worker: string): string[] => {
    const session = statuses.get(worker)?.session ?? 0;
    return happen({ kind: 'closed', session, worker, reason: 'cut' });
  };
  return { state, happen, says, is, hello, wait, closes, notices, now: () => nowMs };
}

export type Story = ReturnType<typeof createStory>;

/** What a worker says of itself when it has just started. */
export const newStatus: WorkerStatus = {
  sequence: 1,
  generation: 0,
  stage: 'joining',
  step: 0,
  hasState: false,
  activity: '',
  isLeaving: false,
  suspicions: [],
  trouble: '',
  obstacle: '',
  pace: noPace,
  fingerprint: 'onnx/1/cpu',
};

/** What a worker says first when it knows no run yet. */
export const newHello: Hello = {
  kind: 'hello',
  protocol: protocolVersion,
  worker: '',
  incarnation: 1,
  address: '127.0.0.1:1',
  pid: 1,
  host: 'here',
  term: 0,
  run: '',
  recordSha256: '',
  status: newStatus,
  world: noWorld,
  allowsFaults: false,
};

/** The world a worker is in, as it reports it to a coordinator that has just started. */
export function worldOf(
  generation: number,
  workers: readonly string[],
  step = 0,
): Omit<WorldMessage, 'kind'> {
  const members = workers.map((worker, rank) => {
    return { rank, worker, incarnation: 1, address: '127.0.0.1:1' };
  });
  return { generation, members, step, until: 10, source: 'own', donor: '' };
}

/** The status of a worker that trains in a world. */
export function statusIn(generation: number) {
  return {
    ...{ sequence: 1, generation, stage: 'training' as const, step: 0, hasState: true },
    ...{ activity: '', isLeaving: false, suspicions: [], trouble: '', obstacle: '' },
    pace: noPace,
    fingerprint: 'onnx/1/cpu',
  };
}

/** Brings a world of these workers to its training, from step 0 or the checkpoint's. */
export function trainTogether(story: Story, workers: readonly string[], step = 0): number {
  for (const worker of workers) story.hello(worker);
  for (const worker of workers) story.is(worker, 'ready');
  story.happen({ kind: 'checkpointFound', step, isStored: step > 0 });
  const generation = generationOf(story.state.config.term, story.state.formed);
  enterTogether(story, workers, generation, step);
  return generation;
}

/** A story of workers w-0, w-1 and so on that train, from step 0 or the checkpoint's. */
export function createTraining(
  count = 2,
  change: Partial<CoordinatorConfig> = {},
  savedStep?: number,
) {
  const story = createStory({ worldSize: count, ...change }, savedStep);
  const workers = Array.from({ length: count }, (_, i) => `w-${i}`);
  return { ...story, generation: trainTogether(story, workers, savedStep) };
}

/** What a worker's status says of peers that it can't reach. */
export const suspects = (...workers: readonly string[]) => ({
  suspicions: workers.map((worker) => ({ worker, reason: 'ended its stream' })),
});

/** Lets the members of a formed world enter, connect and train. */
export function enterTogether(
  story: Story,
  workers: readonly string[],
  generation: number,
  step: number,
): string[] {
  for (const worker of workers) story.is(worker, 'entering', { generation });
  const told = workers.flatMap((worker) => story.is(worker, 'entered', { step, hasState: true }));
  for (const worker of workers) story.is(worker, 'training');
  return told;
}

function describe(effect: CoordinatorEffect): string {
  switch (effect.kind) {
    case 'send':
      return `${describeMessage(effect.message)} -> ${effect.worker}`;
    case 'welcome':
      return `welcome -> ${effect.worker}`;
    case 'dismiss':
      return `dismiss ${effect.session} with ${effect.exitCode}: ${effect.reason}`;
    case 'formed': {
      const names = effect.world.members.map((member) => member.worker).join(' ');
      return `formed ${names} at step ${effect.world.step}`;
    }
    case 'lost':
      return `lost ${effect.worker}: ${effect.reason}`;
    case 'storeManifest':
      return (
        `manifest ${effect.snapshot.step}: ${effect.parts.map((part) => part.name).join(' ')}` +
        effect.stepsToKeep.map((step) => `, keep ${step}`).join('')
      );
    case 'notice':
      return `notice: ${effect.text}`;
    case 'noteBest':
      return `best ${effect.best.step}: ${effect.best.metric} ${effect.best.value}`;
    case 'report':
      return `${effect.message.kind} ${effect.message.step}`;
    case 'target':
      return `target ${effect.workers}`;
    case 'end':
      return `end ${effect.ending.exitCode}: ${effect.ending.reason}`;
    case 'findCheckpoint':
    case 'askForTerm':
    case 'stepDown':
      return effect.kind;
  }
}

function describeMessage(message: (CoordinatorEffect & { kind: 'send' })['message']): string {
  if (message.kind === 'world') return `world at ${message.step} from ${message.source}`;
  if (message.kind === 'finish') return `finish share ${message.share}/${message.shares}`;
  if (message.kind === 'end') return `end ${message.exitCode}`;
  return message.kind;
}
