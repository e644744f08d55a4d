// The receiving half of the core: which chunks are wanted from whom, what may be added as it
// arrives, and when the step is complete. Knows nodes and chunk numbers, never values, and not
// how anything travels.

import { chunkCount, chunkRange, ownedChunks } from '../../shared/plan/chunks.js';
import type { Range } from '../../shared/plan/shards.js';
import type { Rank, Step } from '../../shared/words.js';
import type { NodeIndex } from './fold-plan.js';
import type { FrameHeader } from './frame.js';
import type { Progress } from './progress.js';
import type { CoreWorld, Phase, Pull } from './pulls.js';

/** What the edge has to do, in this order. */
export type ReceiveEffect =
  | { readonly kind: 'ask'; readonly to: Rank; readonly pull: Pull }
  /** The values of the frame just received are those of `node`. */
  | { readonly kind: 'hold'; readonly chunk: number; readonly node: NodeIndex }
  /** node = left + right; neither child is needed afterwards. */
  | {
      readonly kind: 'add';
      readonly chunk: number;
      readonly node: NodeIndex;
      readonly left: NodeIndex;
      readonly right: NodeIndex;
    }
  /** result = (left + right) / M, or left / M where one worker holds the whole tree. */
  | {
      readonly kind: 'finish';
      readonly chunk: number;
      readonly left: NodeIndex;
      readonly right: NodeIndex | undefined;
    }
  /** The values of the frame just received are the result of the chunk. */
  | { readonly kind: 'store'; readonly chunk: number }
  | { readonly kind: 'done'; readonly step: Step }
  | { readonly kind: 'refuse'; readonly from: Rank; readonly reason: string };

export interface Receiver {
  /** The step has begun (in `progress`): asks the peers for their part of it. */
  begin(): ReceiveEffect[];
  /** A REDUCE or GATHER frame came. Refused, with nothing changed, unless it was asked for. */
  onFrame(from: Rank, header: FrameHeader): ReceiveEffect[];
  /** Frames asked of `rank` that have not come. */
  awaited(rank: Rank): number;
  /** Whether the step under way still needs anything of `rank`, asked already or not. */
  needs(rank: Rank): boolean;
}

/** Creates the receiving half for one world. */
export function createReceiver(world: CoreWorld, progress: Progress): Receiver {
  const { nodes, heldBy } = world.plan;
  const peers = othersFrom(world.rank, world.worldSize);
  let owned: Range = { start: 0, end: 0 };
  let asked = 0;
  let open = new Map<number, Uint8Array>();
  const awaited = new Array<number>(world.worldSize).fill(0);

  function pullOf(phase: Phase, range: Range): Pull {
    const { step, floats } = progress.current!;
    const { generation } = world;
    return { generation, step, phase, firstChunk: range.start, endChunk: range.end, floats };
  }

  function begin(): ReceiveEffect[] {
    const { step, floats } = progress.current!;
    owned = ownedChunks(world.rank, world.worldSize, floats);
    asked = owned.start;
    open = new Map();
    if (peers.length === 0) return [...allAlone(floats), { kind: 'done', step }];
    const gathers = peers.flatMap((to): ReceiveEffect[] => {
      const range = ownedChunks(to, world.worldSize, floats);
      awaited[to] = range.end - range.start;
      return awaited[to] === 0 ? [] : [{ kind: 'ask', to, pull: pullOf('gather', range) }];
    });
    return [...gathers, ...askMore()];
  }

  function allAlone(floats: number): ReceiveEffect[] {
    return Array.from({ length: chunkCount(floats) }, (_, chunk) => {
      progress.setDone(chunk);
      return { kind: 'finish', chunk, left: 0, right: undefined };
    });
  }

  /** Asks every peer for as many chunks as the window has room for, in few large requests. */
  function askMore(): ReceiveEffect[] {
    const rest = owned.end - asked;
    const count = Math.min(world.windowChunks - open.size, rest);
    if (count === 0 || (count < rest && count < world.windowChunks / 4)) return [];
    const range = { start: asked, end: asked + count };
    for (let chunk = range.start; chunk < range.end; chunk++) open.set(chunk, ownNodes());
    asked = range.end;
    return peers.map((to) => {
      awaited[to]! += count * heldBy[to]!.length;
      return { kind: 'ask', to, pull: pullOf('reduce', range) };
    });
  }

  function ownNodes(): Uint8Array {
    const present = new Uint8Array(nodes.length);
    for (const node of heldBy[world.rank]!) present[node] = 1;
    return present;
  }

  function onFrame(from: Rank, header: FrameHeader): ReceiveEffect[] {
    const reason = refusal(from, header);
    if (reason !== undefined) return [{ kind: 'refuse', from, reason }];
    awaited[from]! -= 1;
    const effects = header.kind === 'reduce' ? onSum(header) : onResult(header);
    if (progress.isComplete) effects.push({ kind: 'done', step: header.step });
    return effects;
  }

  function onResult({ chunk }: FrameHeader): ReceiveEffect[] {
    progress.setDone(chunk);
    return [{ kind: 'store', chunk }];
  }

  function onSum({ chunk, start, end }: FrameHeader): ReceiveEffect[] {
    const present = open.get(chunk)!;
    let node = world.plan.find(start, end)!;
    const effects: ReceiveEffect[] = [{ kind: 'hold', chunk, node }];
    for (;;) {
      present[node] = 1;
      const parent = nodes[node]!.parent!;
      const left = nodes[parent]!.left!;
      const right = nodes[parent]!.right!;
      if (present[left] === 0 || present[right] === 0) return effects;
      if (parent === 0) return [...effects, ...onRoot(chunk, left, right)];
      effects.push({ kind: 'add', chunk, node: parent, left, right });
      node = parent;
    }
  }

  function onRoot(chunk: number, left: NodeIndex, right: NodeIndex): ReceiveEffect[] {
    open.delete(chunk);
    progress.setDone(chunk);
    return [{ kind: 'finish', chunk, left, right }, ...askMore()];
  }

  function refusal(from: Rank, header: FrameHeader): string | undefined {
    const { current } = progress;
    const { kind, generation, step, chunk, floats } = header;
    if (generation !== world.generation) {
      return `a frame of generation ${generation}; this is generation ${world.generation}`;
    }
    if (current === undefined || progress.isComplete || step !== current.step) {
      return `a frame of step ${step}, which is not under way here`;
    }
    if (chunk >= chunkCount(current.floats)) return `chunk ${chunk}, beyond the vector`;
    const { start, end } = chunkRange(chunk, current.floats);
    if (floats !== end - start) return `${floats} floats for chunk ${chunk} of ${end - start}`;
    return kind === 'reduce'
      ? sumRefusal(from, header)
      : resultRefusal(from, chunk, current.floats);
  }

  function sumRefusal(from: Rank, { chunk, start, end }: FrameHeader): string | undefined {
    const present = open.get(chunk);
    const node = world.plan.find(start, end);
    if (present === undefined) return `a sum for chunk ${chunk}, which was not asked for`;
    if (node === undefined || nodes[node]!.holder !== from) {
      return `a sum over the leaves [${start}, ${end}), which rank ${from} does not hold`;
    }
    return present[node] === 1 ? `chunk ${chunk} of leaves [${start}, ${end}) twice` : undefined;
  }

  function resultRefusal(from: Rank, chunk: number, floats: number): string | undefined {
    const theirs = ownedChunks(from, world.worldSize, floats);
    if (chunk < theirs.start || chunk >= theirs.end) {
      return `a result for chunk ${chunk}, which rank ${from} does not own`;
    }
    return progress.isDone(chunk) ? `the result of chunk ${chunk} twice` : undefined;
  }

  return {
    begin,
    onFrame,
    awaited: (rank) => awaited[rank]!,
    needs: (rank) => !progress.isComplete && (awaited[rank]! > 0 || asked < owned.end),
  };
}

/** The other ranks, starting behind our own, so that not all ask rank 0 first. */
function othersFrom(rank: Rank, worldSize: number): Rank[] {
  return Array.from({ length: worldSize - 1 }, (_, i) => (rank + 1 + i) % worldSize);
}
