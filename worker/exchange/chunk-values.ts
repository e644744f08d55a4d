// The values behind the core's references: performs its effects on the vectors of a world.
// Needs no scratch: two own nodes are never siblings (they would be one larger subtree), so one
// operand of every addition is a received frame, whose memory takes the sum.

import { chunkRange } from '../../shared/plan/reduction.js';
import type { ExchangeWorld } from './exchange.js';
import type { FoldPlan, NodeIndex } from './fold-plan.js';
import type { ReceiveEffect } from './receive.js';
import type { StepLength } from './progress.js';
import type { Outgoing } from './send.js';
import { addInto, addScaledInto, scaleInto } from './sums.js';

/** The effects that touch values. */
export type ValueEffect = Extract<
  ReceiveEffect,
  { readonly kind: 'hold' | 'add' | 'finish' | 'store' }
>;

export interface ChunkValues {
  /** Performs one effect; `received` are the values of the frame it stems from. */
  perform(effect: ValueEffect, received: Float32Array | undefined): void;
  /** A view of the values of a frame to be sent. */
  valuesOf(frame: Outgoing): Float32Array;
  /** Sets the step whose effects follow. */
  begin(step: StepLength): void;
}

/** Creates the values of a world. */
export function createChunkValues(world: ExchangeWorld, plan: FoldPlan): ChunkValues {
  const own = new Map(
    plan.heldBy[world.rank].map((node, i) => [node, world.contributions[i]] as const),
  );
  const scale = Math.fround(1 / world.microShards);
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
    addInto(target, valueOf(chunk, left), valueOf(chunk, right));
    values.delete(left);
    values.delete(right);
    values.set(node, target);
  }

  function finish(chunk: number, left: NodeIndex, right: NodeIndex | undefined): void {
    const out = resultOf(chunk);
    if (right === undefined) scaleInto(out, valueOf(chunk, left), scale);
    else addScaledInto(out, valueOf(chunk, left), valueOf(chunk, right), scale);
    held.delete(chunk);
  }

  function resultOf(chunk: number): Float32Array {
    return slice(world.results[step.step % 2 === 0 ? 0 : 1], chunk);
  }

  return {
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
      const result = world.results[header.step % 2 === 0 ? 0 : 1];
      const vector = contribution === undefined ? result : world.contributions[contribution];
      return vector.subarray(firstFloat, firstFloat + header.floats);
    },
  };
}
