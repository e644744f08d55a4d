// How commands control a run that is going on: they ask its coordinator, whose address is in the
// run's folder. When nobody answers, they say what to do.

import type { Argv } from 'yargs';
import { newestTerm, settledTerm, type Term } from '../coordinator/edge/terms.js';
import {
  AdminError,
  createAdminClient,
  type AdminClient,
  type AdminClientOptions,
  type RunStatus,
} from '../shared/control/admin.js';
import { exitCodes } from '../shared/exit-codes.js';
import { OperatorError } from '../shared/problems.js';
import { recordKey } from '../shared/spec/record.js';
import { CommandFailed } from './failure.js';
import { withClusterOptions, type ClusterArguments } from './kubernetes/cluster-access.js';
import { flagOption, withPositional, wordOption } from './options.js';
import { runId, runUrl, withStore } from './stores.js';
import { handshakeHint } from './tls/handshake-hint.js';
import { askingOptions, openOperator, type AskingArguments } from './tls/tls-options.js';

/** The run, and where to ask for it. */
export interface ControlArguments extends ClusterArguments, AskingArguments {
  /** RUN as the operator gave it. */
  readonly run: string;
  /** "host:port" to ask instead of the address in the run's folder. */
  readonly coordinator?: string | undefined;
  readonly json: boolean;
}

/** Adds RUN, --coordinator, --tls-dir, --context and --json. */
export function withControlOptions<T>(y: Argv<T>): Argv<T & ControlArguments> {
  const forms = 'A file:// or s3:// folder, the id of a local run, or k8s://NAMESPACE/NAME';
  return withPositional(withClusterOptions(y), 'run', forms)
    .option(
      'coordinator',
      wordOption('host:port of the coordinator, if not as it is written in the folder of the run'),
    )
    .option('tls-dir', askingOptions['tls-dir'])
    .option('json', flagOption('Print one JSON object'));
}

/** Calls `use` with a client of the run's leading coordinator, and with the run's status. */
export async function withRunControl<T>(
  args: ControlArguments,
  use: (client: AdminClient, status: RunStatus) => Promise<T>,
): Promise<T> {
  const url = runUrl(args.run, { orElse: 'k8s://NAMESPACE/NAME' });
  const certificates = openOperator(args);
  let leader = args.coordinator === undefined ? await findLeader(url) : undefined;
  for (let tries = 1; ; tries++) {
    const address = args.coordinator ?? leader?.address ?? '';
    const client = createAdminClient(address, { certificates });
    try {
      const status = await client.getStatus();
      requireRun(status, url, address);
      return await use(client, status);
    } catch (error) {
      if (!(error instanceof AdminError)) throw error;
      if (error.isRefusal) throw new OperatorError(error.message, []);
      const next = args.coordinator === undefined ? await findLeader(url) : undefined;
      // Another one leads by now: ask that one, once.
      if (tries > 1 || next === undefined || next.term === leader?.term)
        throw await unanswered(url, address, leader, { certificates, reason: error.message });
      leader = next;
    } finally {
      client.close();
    }
  }
}

function findLeader(url: string): Promise<Term> {
  return withStore(url, async (store) => {
    const newest = await newestTerm(store);
    if (newest !== undefined) return newest;
    const isRun = (await store.head(recordKey)) !== undefined;
    const term = isRun ? await settledTerm(store) : undefined;
    if (term !== undefined) return term;
    throw new OperatorError(isRun ? 'the run has no coordinator' : 'there is no such run', [
      {
        key: 'RUN',
        given: url,
        allowed: isRun ? 'a run that was started' : `a folder with a ${recordKey}`,
        hint: isRun
          ? `start it: lockstep resume ${url}`
          : 'the id of a run below ./runs, or its file:// or s3:// folder',
      },
    ]);
  });
}

/** A port can have passed to the coordinator of another run. */
function requireRun(status: RunStatus, url: string, address: string): void {
  if (status.run === runId(url)) return;
  throw new CommandFailed(
    `the coordinator at ${address} leads another run, ${status.run}`,
    exitCodes.failed,
    `Go on with this one: lockstep resume ${url}`,
  );
}

async function unanswered(
  url: string,
  address: string,
  leader: Term | undefined,
  { certificates, reason }: Pick<AdminClientOptions, 'certificates'> & { reason: string },
): Promise<CommandFailed> {
  const misled = await handshakeHint(address, certificates);
  if (misled !== undefined)
    return new CommandFailed(`${misled.text}: ${reason}`, exitCodes.failed, misled.hint);
  const who =
    leader === undefined ? '' : ` (term ${leader.term}, pid ${leader.pid} on ${leader.host})`;
  return new CommandFailed(
    `no coordinator answers at ${address}${who}`,
    exitCodes.failed,
    [
      'The run has ended, its coordinator is starting again, or this machine can not reach it.',
      `See what it saved: lockstep checkpoints ls ${url}`,
      `Go on with it: lockstep resume ${url}`,
    ].join('\n'),
  );
}
