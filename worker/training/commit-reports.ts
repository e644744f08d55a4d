// What is told of committed steps: seconds to this worker's own network thread, metrics by rank 0,
// and by all a digest of the state, so that workers that came apart are found out.

import { vectorsInOrder } from '../../shared/checkpoint/state.js';
import { createRollingDigest } from '../../shared/checkpoint/digests.js';
import type { StepReport } from '../../shared/control/messages.js';
import type { Generation, Rank } from '../../shared/words.js';
import type { OwnState } from './own-state.js';
import type { SendToNetwork } from './prepare-request.js';
import type { CommittedStep } from './trainer.js';

/** Steps between two digests that are told; every step goes into them. */
const digestEverySteps = 8;

export interface CommitReports {
  /** Tells what is due of a step that was just committed. */
  committed(committed: CommittedStep): void;
  /** Tells the last step's report again, lest rank 0 was lost before it could. */
  tellLast(): void;
}

/** Creates the reports of one world, which all of its workers enter with the same state. */
export function createCommitReports(
  own: OwnState,
  { generation, rank }: { readonly generation: Generation; readonly rank: Rank },
  send: SendToNetwork,
): CommitReports {
  const digest = createRollingDigest(vectorsInOrder(own.networks, own.state));
  let last: StepReport | undefined;
  return {
    committed: (committed) => {
      const { step } = committed;
      last = reportOf(committed);
      const { dataS, computeS, exchangeS, updateS } = last;
      send({ kind: 'paced', dataS, computeS, exchangeS, updateS });
      if (rank === 0) send({ kind: 'tell', message: last });
      const value = digest.advance(step);
      if (step % digestEverySteps === 0)
        send({
          kind: 'tell',
          message: { kind: 'digest', generation, step, value, isWhole: false },
        });
    },
    tellLast: () => {
      if (last !== undefined) send({ kind: 'tell', message: last });
    },
  };
}

function reportOf({ step, phase, metrics, seconds, isSkipped }: CommittedStep): StepReport {
  return {
    kind: 'stepReport',
    step,
    phase,
    // A loss may have become infinite, which a message can't say.
    metrics: Object.entries(metrics).map(([name, value]) => ({
      name,
      value: Number.isFinite(value) ? value : NaN,
    })),
    dataS: seconds.data,
    computeS: seconds.compute + seconds.compile,
    exchangeS: seconds.exchange,
    updateS: seconds.update,
    isSkipped,
  };
}
