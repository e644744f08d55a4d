// What the exchange does in a step, as spans of the network thread: each chunk as it is asked for,
// received, added up and sent; and, beside it, which peers were waited for.

import { clockUs } from '../../shared/clock.js';
import type { StepSpan } from '../../shared/control/tracing.js';
import type { Rank, Step } from '../../shared/words.js';
import type { FrameHeader } from '../exchange/core/messages.js';
import type { ExchangeSpans } from '../exchange/exchange.js';
import type { WorldPlace } from '../exchange/core/messages.js';

/** Peers that a wait names; of more, how many. */
const mostNamed = 3;

/** Records a step of a world, whose number is one more once it is committed; `add` is bounded. */
export function recordExchange(
  { world: { generation, members } }: WorldPlace,
  step: Step,
  add: (span: StepSpan) => void,
): ExchangeSpans {
  const startUs = clockUs();
  const place = { generation, step: step + 1 };
  const nameOf = (rank: Rank): string => members[rank].worker;
  const askedUs = new Map<string, number>();
  let wait: { readonly name: string; readonly startUs: number } | undefined;

  const open = (thread: string, name: string, details: Partial<StepSpan> = {}): (() => void) => {
    const begunUs = clockUs();
    return () => {
      const durationUs = clockUs() - begunUs;
      add({ ...place, thread, name, startUs: begunUs, durationUs, ...details });
    };
  };
  const endWait = (): void => {
    if (wait === undefined) return;
    const durationUs = clockUs() - wait.startUs;
    add({ ...place, thread: 'exchange', ...wait, durationUs });
    wait = undefined;
  };
  return {
    asked: (to, { phase, firstChunk, endChunk }) => {
      const now = clockUs();
      for (let chunk = firstChunk; chunk < endChunk; chunk++)
        askedUs.set(`${phase} ${chunk} ${to}`, now);
      const what = `ask for chunks ${firstChunk} to ${endChunk - 1}`;
      const peer = nameOf(to);
      add({ ...place, thread: 'network', name: what, startUs: now, phase, peer });
    },
    received: (from, header) => {
      const asked = askedUs.get(`${header.kind} ${header.chunk} ${from}`);
      const details = { ...frameDetails(header), peer: nameOf(from) };
      return open(
        'network',
        'receive',
        asked === undefined ? details : { ...details, askedUs: asked },
      );
    },
    worked: ({ kind, chunk }) => open('network', kind === 'store' ? 'store' : 'sum', { chunk }),
    sending: (to, header) => open('network', 'send', { ...frameDetails(header), peer: nameOf(to) }),
    waiting: (ranks) => {
      const name = waitName(ranks.map(nameOf));
      if (name === wait?.name) return;
      endWait();
      if (ranks.length > 0) wait = { name, startUs: clockUs() };
    },
    over: () => {
      endWait();
      const durationUs = clockUs() - startUs;
      add({ ...place, thread: 'exchange', name: 'exchange', startUs, durationUs });
    },
  };
}

function frameDetails(header: FrameHeader): Partial<StepSpan> {
  const { kind, generation, step, chunk, start, end, bytes } = header;
  const leaves = { firstLeaf: start, endLeaf: end };
  return { generation, step: step + 1, phase: kind, chunk, bytes, ...leaves };
}

function waitName(workers: readonly string[]): string {
  return workers.length > mostNamed
    ? `wait for ${workers.length} workers`
    : `wait for ${workers.join(', ')}`;
}
