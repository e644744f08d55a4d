// Which parts a checkpoint has, and who uploads which: pure arithmetic on sizes. Parts do not
// depend on the number of workers; only the shares of the upload do.

import { createLayout, type NetworkSpec, type TensorSpec } from '../layout.js';
import { encodeSafetensorsHead, type NamedTensor } from './safetensors.js';
import { floatsOf, type NetworkState, type NetworkVectors } from './state.js';

export type PartKind = 'parameters' | 'adam' | 'statistics' | 'average';

/** One file of a checkpoint, before it is written. */
export interface PartPlan {
  /** "generator", "generator-adam", "generator-average": the file without its ending. */
  readonly name: string;
  readonly network: string;
  readonly kind: PartKind;
  /** Bytes of its tensors, the header not counted. */
  readonly bytes: number;
}

/** A part ready to be stored. */
export interface EncodedPart {
  readonly name: string;
  readonly body: Uint8Array;
}

const nameSuffix = {
  parameters: '',
  adam: '-adam',
  statistics: '-statistics',
  average: '-average',
} as const;

/** The vectors of a part and what their tensors' names start with in the file. */
const vectorsOf = {
  parameters: [{ prefix: '', vector: 'parameters' }],
  adam: [
    { prefix: 'first-moment/', vector: 'firstMoment' },
    { prefix: 'second-moment/', vector: 'secondMoment' },
  ],
  statistics: [{ prefix: '', vector: 'statistics' }],
  average: [{ prefix: '', vector: 'average' }],
} as const;

/** The tensors a vector of this kind is made of. */
function tensorsOf(kind: PartKind, network: NetworkSpec): readonly TensorSpec[] {
  return kind === 'statistics' ? network.statistics : network.parameters;
}

/** The parts of a checkpoint, in the order of the networks. */
export function partsOf(networks: readonly NetworkSpec[]): PartPlan[] {
  return networks.flatMap((network) => {
    const kinds: PartKind[] = ['parameters', 'adam'];
    if (network.statistics.length > 0) kinds.push('statistics');
    if (network.isAveraged === true) kinds.push('average');
    return kinds.map((kind) => {
      const bytes = 4 * floatsOf(tensorsOf(kind, network)) * vectorsOf[kind].length;
      return { name: network.name + nameSuffix[kind], network: network.name, kind, bytes };
    });
  });
}

/**
 * The parts that share `share` of `shares` uploads: the largest first, each to whoever has the
 * least so far (the highest share on a tie: the first has parameters to sum up as well). Every part
 * belongs to exactly one share.
 */
export function partsOfShare(
  parts: readonly PartPlan[],
  share: number,
  shares: number,
): PartPlan[] {
  const load = new Array<number>(shares).fill(0);
  const bySize = [...parts].sort((a, b) => b.bytes - a.bytes || (a.name < b.name ? -1 : 1));
  return bySize.filter(({ bytes }) => {
    const least = load.lastIndexOf(Math.min(...load));
    load[least] = (load[least] ?? 0) + bytes;
    return least === share;
  });
}

/** The form of a part's file, which is the same bytes whenever the state is the same. */
export interface PartForm {
  readonly name: string;
  readonly network: string;
  /** What the file begins with. */
  readonly head: Buffer;
  /** The vectors that follow it, each at a byte of the file that is a multiple of 4. */
  readonly vectors: readonly { readonly vector: keyof NetworkVectors; readonly at: number }[];
  /** Of the whole file. */
  readonly bytes: number;
}

/** How the file of a part is made up. */
export function formOfPart(
  { name, network, kind }: PartPlan,
  networks: readonly NetworkSpec[],
): PartForm {
  const spec = networks.find((each) => each.name === network);
  if (spec === undefined) throw new Error(`no network ${network}`);
  const tensors = tensorsOf(kind, spec);
  const named = vectorsOf[kind].flatMap(({ prefix }) =>
    tensors.map(({ name, shape }) => ({ name: prefix + name, shape })),
  );
  const head = encodeSafetensorsHead(named, { format: 'lockstep-part/1', network, kind });
  const vectorBytes = 4 * floatsOf(tensors);
  const vectors = vectorsOf[kind].map(({ vector }, i) => {
    return { vector, at: head.length + i * vectorBytes };
  });
  return { name, network, head, vectors, bytes: head.length + vectors.length * vectorBytes };
}

/**
 * Fills the state's vectors of a part out of the tensors of its file; throws, naming it, when a
 * tensor is missing, has another shape, or is one too many.
 */
export function fillFromPart(
  part: PartPlan,
  network: NetworkSpec,
  tensors: ReadonlyMap<string, NamedTensor>,
  state: NetworkState,
): void {
  const layout = createLayout(tensorsOf(part.kind, network));
  const vectors = vectorsOf[part.kind];
  if (tensors.size !== layout.slices.length * vectors.length)
    throw new Error(
      `${part.name}: ${tensors.size} tensors, ${layout.slices.length * vectors.length} are due`,
    );
  for (const { prefix, vector } of vectors) {
    for (const { name, shape, offset } of layout.slices) {
      const found = tensors.get(prefix + name);
      if (found === undefined || found.shape.join() !== shape.join())
        throw new Error(
          `${part.name}: tensor ${prefix}${name} of shape [${shape.join()}] is due, not ` +
            (found === undefined ? 'missing' : `[${found.shape.join()}]`),
        );
      state[vector].set(found.data, offset);
    }
  }
}
