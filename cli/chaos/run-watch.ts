// Looking at a run that goes on: asks whoever leads it, and finds the leader again when it is
// gone. It only looks; what the looks mean, others decide.

import { newestTerm, type Term } from '../../coordinator/edge/terms.js';
import { createAdminClient, type AdminClient, type RunStatus } from '../../shared/control/admin.js';
import type { ObjectStore } from '../../shared/store/store.js';

/** Longest wait for an answer: a coordinator that takes longer counts as away. */
const answerMs = 1_000;

export interface RunWatch {
  /** The status of the run; undefined when nobody who leads it answers. */
  look(): Promise<RunStatus | undefined>;
  /** Whom it asked last, and how. */
  readonly leader: Leader | undefined;
  close(): void;
}

/** A coordinator that leads the run, or did so lately. */
export interface Leader {
  readonly term: Term;
  readonly client: AdminClient;
}

/** Watches the run `run`, whose folder is `store`. */
export function watchRun(store: ObjectStore, run: string): RunWatch {
  let leader: Leader | undefined;
  const find = async (): Promise<void> => {
    const term = await newestTerm(store);
    if (term === undefined || term.term === leader?.term.term) return;
    leader?.client.close();
    leader = { term, client: createAdminClient(term.address, answerMs) };
  };
  const ask = async (): Promise<RunStatus | undefined> => {
    const status = await leader?.client.getStatus().catch(() => undefined);
    // Its port can have passed to the coordinator of another run.
    return status?.run === run ? status : undefined;
  };
  return {
    get leader() {
      return leader;
    },
    look: async () => {
      const status = await ask();
      if (status !== undefined) return status;
      await find().catch(() => undefined);
      return undefined;
    },
    close: () => leader?.client.close(),
  };
}
