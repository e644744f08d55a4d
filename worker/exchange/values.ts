// The values behind the core's references: performs its effects on the float32 vectors of a world.
// Needs no scratch: two own nodes are never siblings (they would be one larger subtree), so one
// operand of every addition is a received frame, whose memory takes the sum.

import { chunkRange } from '../../shared/plan/reduction.js';
import type { ReceiveEffect } from './core/receive.js';
import type { Outgoing } from './core/send.js';
import type { FoldPlan, NodeIndex, StepLength } from './core/world.js';
import type { ExchangeWorld } from './exchange.js';

/** The effects that touch values. */
export type ValueEffect = Extract<
  ReceiveEffect,
  { readonly kind: 'hold' | 'add' | 'finish' | 'store' }
>;

export interface ChunkValues<Vector = Float32Array> {
  /** Length of the world's vectors. */
  readonly capacity: number;
  /** Sets the step whose effects follow. */
  begin(step: StepLength): void;
  /** Performs one effect; `received` are the values of the frame it stems from. */
  perform(effect: ValueEffect, received: Vector | undefined): void;
  /** A view of the values of a frame to be sent. */
  valuesOf(frame: Outgoing): Vector;
}

/** Creates the values of a world; throws when its vectors do not fit its plan. */
export function createChunkValues(world: ExchangeWorld, plan: FoldPlan): ChunkValues {
  const { contributions, results, rank, microShards } = world;
  const capacity = results[0].length;
  if (contributions.length !== plan.heldBy[rank]?.length)
    throw new Error(`${contributions.length} contributions of rank ${rank}`);
  if ([...contributions, ...results].some((vector) => vector.length !== capacity))
    throw new Error('vectors of different lengths');
  const own = new Map(plan.heldBy[rank].map((node, i) => [node, contributions[i]] as const));
  const scale = Math.fround(1 / microShards);
  const held = new Map<number, Map<NodeIndex, Float32Array>>();
  let step: StepLength = { step: 0, floats: 0 };

  function slice(vector: Float32Array, chunk: number): Float32Array {
    const { start, end } = chunkRange(chunk, step.floats);
    return vector.subarray(start, end);
  }

  function heldOf(chunk: number): Map<NodeIndex, Float32Array> {
    const known = held.get(chunk);
    if (known !== undefined) return known;
    const created = new Map<NodeIndex, Float32Array>();
    held.set(chunk, created);
    return created;
  }

  function valueOf(chunk: number, node: NodeIndex): Float32Array {
    const mine = own.get(node);
    return mine === undefined ? heldOf(chunk).get(node)! : slice(mine, chunk);
  }

  function add(chunk: number, node: NodeIndex, left: NodeIndex, right: NodeIndex): void {
    const values = heldOf(chunk);
    const target = values.get(left) ?? values.get(right)!;
    sumInto(target, valueOf(chunk, left), valueOf(chunk, right));
    values.delete(left);
    values.delete(right);
    values.set(node, target);
  }

  function finish(chunk: number, left: NodeIndex, right: NodeIndex | undefined): void {
    const out = resultOf(chunk);
    if (right === undefined) scaleInto(out, valueOf(chunk, left), scale);
    else scaledSumInto(out, valueOf(chunk, left), valueOf(chunk, right), scale);
    held.delete(chunk);
  }

  function resultOf(chunk: number): Float32Array {
    return slice(results[step.step % 2 === 0 ? 0 : 1], chunk);
  }

  return {
    capacity,
    begin(next) {
      step = next;
      held.clear();
    },
    perform(effect, received) {
      if (effect.kind === 'hold') heldOf(effect.chunk).set(effect.node, received!);
      else if (effect.kind === 'store') resultOf(effect.chunk).set(received!);
      else if (effect.kind === 'add') add(effect.chunk, effect.node, effect.left, effect.right);
      else finish(effect.chunk, effect.left, effect.right);
    },
    valuesOf({ header, contribution, firstFloat }) {
      const result = results[header.step % 2 === 0 ? 0 : 1];
      const vector = contribution === undefined ? result : contributions[contribution];
      return vector.subarray(firstFloat, firstFloat + header.floats);
    },
  };
}

// The additions of the canonical tree: float32, one value after the other, left + right. Unrolled
// by eight: V8 then runs them at the speed of memory (twice the plain loop).

const { fround } = Math;

/** out[i] = left[i] + right[i]; all of one length; `out` may be one of the two. */
export function sumInto(out: Float32Array, left: Float32Array, right: Float32Array): void {
  const whole = out.length & ~7;
  let i = 0;
  for (; i < whole; i += 8) {
    out[i] = left[i] + right[i];
    out[i + 1] = left[i + 1] + right[i + 1];
    out[i + 2] = left[i + 2] + right[i + 2];
    out[i + 3] = left[i + 3] + right[i + 3];
    out[i + 4] = left[i + 4] + right[i + 4];
    out[i + 5] = left[i + 5] + right[i + 5];
    out[i + 6] = left[i + 6] + right[i + 6];
    out[i + 7] = left[i + 7] + right[i + 7];
  }
  for (; i < out.length; i++) out[i] = left[i] + right[i];
}

/** out[i] = (left[i] + right[i]) * scale, rounded to float32 after each; `scale` is a float32. */
export function scaledSumInto(
  out: Float32Array,
  left: Float32Array,
  right: Float32Array,
  scale: number,
): void {
  const whole = out.length & ~7;
  let i = 0;
  for (; i < whole; i += 8) {
    out[i] = fround(left[i] + right[i]) * scale;
    out[i + 1] = fround(left[i + 1] + right[i + 1]) * scale;
    out[i + 2] = fround(left[i + 2] + right[i + 2]) * scale;
    out[i + 3] = fround(left[i + 3] + right[i + 3]) * scale;
    out[i + 4] = fround(left[i + 4] + right[i + 4]) * scale;
    out[i + 5] = fround(left[i + 5] + right[i + 5]) * scale;
    out[i + 6] = fround(left[i + 6] + right[i + 6]) * scale;
    out[i + 7] = fround(left[i + 7] + right[i + 7]) * scale;
  }
  for (; i < out.length; i++) out[i] = fround(left[i] + right[i]) * scale;
}

/** out[i] = values[i] * scale: the end of a tree that lies wholly in one worker. */
export function scaleInto(out: Float32Array, values: Float32Array, scale: number): void {
  const whole = out.length & ~7;
  let i = 0;
  for (; i < whole; i += 8) {
    out[i] = values[i] * scale;
    out[i + 1] = values[i + 1] * scale;
    out[i + 2] = values[i + 2] * scale;
    out[i + 3] = values[i + 3] * scale;
    out[i + 4] = values[i + 4] * scale;
    out[i + 5] = values[i + 5] * scale;
    out[i + 6] = values[i + 6] * scale;
    out[i + 7] = values[i + 7] * scale;
  }
  for (; i < out.length; i++) out[i] = values[i] * scale;
}
