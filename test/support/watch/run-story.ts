// Events of runs that never were, for tests of what people see of a run: written down one by one,
// or as many as asked for.

import { toCloudEvent, type CloudEvent } from '../../../shared/events/bus.js';
import type { EventData, EventType } from '../../../shared/events/kinds.js';
import { generationOf } from '../../../shared/words.js';

const startMs = Date.parse('2026-01-02T03:04:05.000Z');

/** The story's time as an event has it. */
export function storyTime(second: number): string {
  return new Date(startMs + Math.round(1000 * second)).toISOString();
}

/** Writes events of one run down; `second` is the time since its start. */
export interface RunStory {
  readonly events: CloudEvent[];
  tell<T extends EventType>(second: number, type: T, data: EventData<T>): void;
  started(second: number, data?: Partial<EventData<'run.started'>>): void;
  /** Workers are "w-0#1", or "w-0" for its first incarnation. */
  world(second: number, generation: number, step: number, workers: readonly string[]): void;
  step(second: number, step: number, data?: Partial<EventData<'step.committed'>>): void;
  observed(second: number, step: number, workers: readonly string[]): void;
  sample(second: number, step: number, psnr: number): void;
  ended(
    second: number,
    kind: 'finished' | 'stopped' | 'failed',
    step: number,
    reason?: string,
  ): void;
}

/** Number of the `count`-th world of the first coordinator. */
export const firstTermWorld = (count: number): number => generationOf(1, count);

export function createStory(run = 'faces'): RunStory {
  const events: CloudEvent[] = [];
  const url = `file:///runs/${run}`;
  let generation = firstTermWorld(1);
  const tell: RunStory['tell'] = (second, type, data) => {
    const id = `${type.replace('.', '-')}-${events.length}`;
    events.push(toCloudEvent(run, { type, id, data }, storyTime(second)));
  };
  return {
    events,
    tell,
    started: (second, data = {}) =>
      tell(second, 'run.started', {
        ...{ run, url, term: 1, step: 0, last_step: 100, until: 100, images_per_step: 16 },
        phases: [
          { name: 'pixel', steps: 60 },
          { name: 'adversarial', steps: 40 },
        ],
        ...{ train_samples: 120, test_samples: 8, ...data },
      }),
    world: (second, given, step, workers) => {
      generation = given;
      const members = workers.map((name, rank) => {
        const [worker = '', incarnation = '1'] = name.split('#');
        return { rank, worker, incarnation: Number(incarnation), address: `10.0.0.${rank}:7000` };
      });
      const data = { generation, step, members, reason: 'test', fingerprint: 'node-cpu' };
      tell(second, 'world.formed', data);
    },
    step: (second, step, data = {}) =>
      tell(second, 'step.committed', {
        ...{ generation, step, phase: step > 60 ? 'adversarial' : 'pixel' },
        metrics: { 'loss/generator': 1 / step, mse: 0.5 },
        seconds: { data: 0.1, compute: 0.6, exchange: 0.2, update: 0.1 },
        ...{ images_per_s: 16, eta_s: Math.max(0, 100 - step), ...data },
      }),
    observed: (second, step, workers) =>
      tell(second, 'world.observed', {
        ...{ generation, step, straggler: null },
        workers: workers.map((worker, rank) => ({
          ...{ worker, rank, stage: 'training', step, host: `host-${rank}` },
          seconds: { data: 0.1, compute: 0.6, exchange: 0.2, update: 0.1, wait: 0.1 },
          ...{ waited_for: null, sent_bytes: 1000 * (rank + 1), received_bytes: 1500 },
        })),
      }),
    sample: (second, step, psnr) => {
      const key = `samples/step-${String(step).padStart(8, '0')}.png`;
      tell(second, 'sample.written', {
        ...{ generation, step, psnr, ssim: 0.8, bicubic_psnr: 24, bicubic_ssim: 0.7, faces: 8 },
        ...{ sample_key: key, url: `${url}/${key}` },
      });
    },
    ended: (second, kind, step, reason = '') =>
      tell(second, `run.${kind}`, {
        ...{ run, url, step, sha256: 'a'.repeat(64), world: 2, images_per_s: 15 },
        ...{ reason, exit_code: kind === 'finished' ? 0 : 1 },
      }),
  };
}

/** A run of so many steps, one a second, that nothing happens to. */
export function longStory(steps: number): CloudEvent[] {
  const story = createStory();
  story.started(0, { last_step: steps, until: steps });
  story.world(1, firstTermWorld(1), 0, ['w-0', 'w-1']);
  for (let step = 1; step <= steps; step++) {
    story.step(step + 1, step, {
      metrics: {
        'loss/generator': 1 + Math.sin(step / 50),
        'loss/discriminator': 1 + Math.cos(step / 70),
        ...{ 'score/real': 0.7, 'score/fake': 0.3, mse: 1 / step },
      },
    });
    if (step % 10 === 0) story.observed(step + 1, step, ['w-0', 'w-1']);
    if (step % 1000 === 0) story.sample(step + 1, step, 25 + step / steps);
  }
  return story.events;
}
