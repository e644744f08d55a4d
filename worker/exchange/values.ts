// The values behind the core's references: performs its effects on the vectors of a world, in the
// memory of the exchange. Sums received are copied into slots there, one for a node of a chunk that
// is not complete; two own nodes are never siblings (they would be one larger subtree), so one
// operand of every addition is a slot, which takes the sum.

import { chunkBytes, valueBytes, type Chunk } from '../../shared/plan/step-vector.js';
import type { Step } from '../../shared/words.js';
import type { ReceiveEffect } from './core/receive.js';
import type { Outgoing } from './core/send.js';
import type { BegunStep, FoldPlan, NodeIndex } from './core/world.js';
import type { ExchangeWorld } from './exchange.js';
import { ExchangeMemory, type Place } from './memory.js';

/** The effects that touch values. */
export type ValueEffect = Extract<
  ReceiveEffect,
  { readonly kind: 'hold' | 'add' | 'finish' | 'store' }
>;

export interface ChunkValues<Values = Uint8Array> {
  /** Sets the step whose effects follow. */
  begin(step: BegunStep): void;
  /** Performs one effect; `received` are the values of the frame it stems from. */
  perform(effect: ValueEffect, received: Values | undefined): void;
  /** The values of a frame to be sent, which may be views of what later steps overwrite. */
  valuesOf(frame: Outgoing): Values;
}

/**
 * Gives the values of one world after the other. Slots are taken from the memory as they are needed
 * and serve all worlds: there are never more than the sums that a world may hold.
 */
export function createMemoryValues(): (world: ExchangeWorld, plan: FoldPlan) => ChunkValues {
  let memoryId = 0;
  let slots: Place[] = [];
  return (world, plan) => {
    // The object that came with the world: an older one may not know how large the memory is now.
    const memory = new ExchangeMemory(world.memory);
    if (memory.id !== memoryId) [memoryId, slots] = [memory.id, []];
    return new MemoryValues(world, plan, memory, slots);
  };
}

class MemoryValues implements ChunkValues {
  readonly #memory: ExchangeMemory;
  /** All slots, and those that hold nothing. */
  readonly #slots: Place[];
  #free: Place[] = [];
  readonly #contributions: readonly Place[];
  readonly #results: readonly [Place, Place];
  /** Our contributions, by their nodes. */
  readonly #own: ReadonlyMap<NodeIndex, Place>;
  readonly #scale: number;
  /** The slots in use, by chunk and node. */
  readonly #held = new Map<number, Map<NodeIndex, Place>>();
  #chunks: readonly Chunk[] = [];
  #result: Place = 0;

  constructor(
    { contributions, results, rank, microShards }: ExchangeWorld,
    plan: FoldPlan,
    memory: ExchangeMemory,
    slots: Place[],
  ) {
    const nodes = plan.heldBy[rank];
    if (contributions.length !== nodes?.length)
      throw new Error(`${contributions.length} contributions of rank ${rank}`);
    this.#memory = memory;
    this.#slots = slots;
    this.#contributions = contributions;
    this.#results = results;
    this.#own = new Map(nodes.map((node, i) => [node, contributions[i]]));
    this.#scale = Math.fround(1 / microShards);
  }

  begin({ step, chunks: { all } }: BegunStep): void {
    this.#held.clear();
    this.#free = [...this.#slots];
    this.#chunks = all;
    this.#result = this.#resultOf(step);
  }

  perform(effect: ValueEffect, received: Uint8Array | undefined): void {
    const { kind, chunk } = effect;
    if (kind === 'hold') this.#hold(chunk, effect.node, received!);
    else if (kind === 'add') this.#add(chunk, effect.node, effect.left, effect.right);
    else if (kind === 'finish') this.#finish(chunk, effect.left, effect.right);
    else this.#write(this.#result + this.#chunks[chunk].start, received!);
  }

  valuesOf({ header: { step, bytes }, contribution, start }: Outgoing): Uint8Array {
    const vector =
      contribution === undefined ? this.#resultOf(step) : this.#contributions[contribution];
    return this.#memory.bytes(vector + start, bytes);
  }

  #resultOf(step: Step): Place {
    return this.#results[step % 2 === 0 ? 0 : 1];
  }

  #write(place: Place, values: Uint8Array): void {
    this.#memory.bytes(place, values.length).set(values);
  }

  #hold(chunk: number, node: NodeIndex, values: Uint8Array): void {
    const slot = this.#free.pop() ?? this.#newSlot();
    this.#heldOf(chunk).set(node, slot);
    this.#write(slot, values);
  }

  #newSlot(): Place {
    const slot = this.#memory.allocate(chunkBytes);
    this.#slots.push(slot);
    return slot;
  }

  #heldOf(chunk: number): Map<NodeIndex, Place> {
    const known = this.#held.get(chunk);
    if (known !== undefined) return known;
    const created = new Map<NodeIndex, Place>();
    this.#held.set(chunk, created);
    return created;
  }

  #placeOf(chunk: number, node: NodeIndex): Place {
    const own = this.#own.get(node);
    return own === undefined ? this.#heldOf(chunk).get(node)! : own + this.#chunks[chunk].start;
  }

  #add(chunk: number, node: NodeIndex, left: NodeIndex, right: NodeIndex): void {
    const { kernel } = this.#memory;
    const { precision } = this.#chunks[chunk];
    const held = this.#heldOf(chunk);
    const [target, spare] = [held.get(left), held.get(right)].filter((slot) => slot !== undefined);
    const sum = precision === 'float32' ? kernel.sum32 : kernel.sum16;
    const count = countOf(this.#chunks[chunk]);
    sum(target, this.#placeOf(chunk, left), this.#placeOf(chunk, right), count);
    if (spare !== undefined) this.#free.push(spare);
    held.delete(left);
    held.delete(right);
    held.set(node, target);
  }

  #finish(chunk: number, left: NodeIndex, right: NodeIndex | undefined): void {
    const { kernel } = this.#memory;
    const { start, precision } = this.#chunks[chunk];
    const isWide = precision === 'float32';
    const out = this.#result + start;
    const count = countOf(this.#chunks[chunk]);
    const first = this.#placeOf(chunk, left);
    if (right === undefined) {
      const scale = isWide ? kernel.scale32 : kernel.scale16;
      scale(out, first, count, this.#scale);
    } else {
      const mean = isWide ? kernel.mean32 : kernel.mean16;
      mean(out, first, this.#placeOf(chunk, right), count, this.#scale);
    }
    for (const slot of this.#held.get(chunk)?.values() ?? []) this.#free.push(slot);
    this.#held.delete(chunk);
  }
}

function countOf({ start, end, precision }: Chunk): number {
  return (end - start) / valueBytes[precision];
}
