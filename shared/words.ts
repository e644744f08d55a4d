// The words both programs use, as types, and the arithmetic of world numbers and names.
// A word has one meaning in the whole project: see docs/architecture.md.

/** Number of an optimizer update, from 0. "Committed step s" means s updates were applied. */
export type Step = number;

/** Index of a worker in the world, from 0 to worldSize - 1. */
export type Rank = number;

/** Number of a world. Every message between workers carries it, and older ones are refused. */
export type Generation = number;

/** Index of a micro-shard (a leaf of the reduction tree) within a step, from 0 to M - 1. */
export type Leaf = number;

/** One worker of a world. `address` is "host:port" of its exchange server, the first lane. */
export interface Member {
  readonly rank: Rank;
  readonly worker: string;
  readonly incarnation: number;
  readonly address: string;
  /** "host:port" of each further lane. */
  readonly lanes?: readonly string[] | undefined;
  /** The name of the folder of its Unix sockets, where it has them. */
  readonly socket?: string | undefined;
}

/** The ordered workers of now. Members are sorted by rank. */
export interface World {
  readonly generation: Generation;
  readonly members: readonly Member[];
}

/** Worlds that one coordinator may form; beyond, its term is used up and it must start anew. */
const worldsOfTerm = 2 ** 20;

/** Highest term: generations stay whole numbers below 2^53. */
export const maxTerm = 2 ** 32 - 1;

/** The `count`-th world (from 1) of a coordinator with this term (from 1). */
export function generationOf(term: number, count: number): Generation {
  if (count >= worldsOfTerm) throw new Error(`a coordinator forms at most ${worldsOfTerm} worlds`);
  return term * worldsOfTerm + count;
}

/** The term of the coordinator that formed a world. */
export function termOf(generation: Generation): number {
  return Math.floor(generation / worldsOfTerm);
}

/** Which world of its coordinator a world was, from 1. */
export function countOf(generation: Generation): number {
  return generation % worldsOfTerm;
}

/** Orders worker ids by their text, numbers in them by value: worker-2 before worker-10. */
export function byName(a: string, b: string): number {
  const parts = (name: string): string[] => name.split(/(\d+)/);
  const [left, right] = [parts(a), parts(b)];
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    const [x, y] = [left[i] ?? '', right[i] ?? ''];
    if (x === y) continue;
    const numeric = i % 2 === 1 ? Number(x) - Number(y) : 0;
    return numeric !== 0 ? numeric : x < y ? -1 : 1;
  }
  return left.length - right.length;
}
