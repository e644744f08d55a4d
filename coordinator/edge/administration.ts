// The operator's requests to a coordinator that leads: status, scale, faults. Until it leads there
// is nothing to answer with.

import type { Server } from '@grpc/grpc-js';
import { OperatorError } from '../../shared/problems.js';
import { adminService, type AdminHandlers } from './admin.js';
import type { Leading } from './leading.js';
import type { Reporter } from './reporter.js';
import { describeRun } from './run-status.js';

/** What does not change of a run. */
export interface RunIdentity {
  readonly run: string;
  readonly runUrl: string;
}

export interface Administration {
  addServices(server: Server): void;
  /** The coordinator leads from now on; gives what it answers with. */
  lead(leading: Leading, reporter: Reporter): AdminHandlers;
}

/** Creates the answers of one coordinator. */
export function createAdministration({ run, runUrl }: RunIdentity): Administration {
  let handlers: AdminHandlers | undefined;
  const leading = (): AdminHandlers => {
    if (handlers !== undefined) return handlers;
    throw new OperatorError('this coordinator does not lead the run yet: try again', []);
  };
  return {
    addServices: adminService({
      status: () => leading().status(),
      scale: (workers) => leading().scale(workers),
      injectFault: (worker, fault) => leading().injectFault(worker, fault),
    }),
    lead: (given, reporter) => {
      handlers = createHandlers({ run, runUrl }, given, reporter);
      return handlers;
    },
  };
}

function createHandlers(
  { run, runUrl }: RunIdentity,
  { state, paces, dispatch, send }: Leading,
  reporter: Reporter,
): AdminHandlers {
  const { microShards } = state.config;
  return {
    status: () =>
      describeRun(state, {
        ...{ run, url: runUrl, pid: process.pid, nowMs: performance.now() },
        ...{ ...reporter.rate(), worldReason: reporter.worldReason() },
        paces: paces(),
      }),
    scale: (workers) => {
      if (workers < 1 || workers > microShards)
        throw new OperatorError(
          `--workers: given ${workers}; allowed: 1 to ${microShards}, the spec's ` +
            'batch.microShards: a worker computes whole micro-shards',
          [],
        );
      const before = state.target;
      dispatch({ kind: 'scaleAsked', workers });
      return { before, workers };
    },
    injectFault: (worker, fault) => {
      const view = state.workers.get(worker);
      if (view?.session === undefined) return `there is no worker ${worker} in this run`;
      if (!view.allowsFaults) return `${worker} was started without --allow-faults`;
      send(worker, fault);
      return undefined;
    },
  };
}
