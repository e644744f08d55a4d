// Pictures of a run as they change, from where they are to be had: the run's coordinator, the run's
// folder, or JetStream's history. Each stream ends when it is told to; who shows it ends it with
// the run.

import { setTimeout as delay } from 'node:timers/promises';
import { newestTerm } from '../../coordinator/edge/terms.js';
import { AdminError, createAdminClient } from '../../shared/control/admin.js';
import type { ParsedEvent } from '../../shared/events/bus.js';
import { followEvents } from '../../shared/events/event-log.js';
import { readNatsEvents } from '../../shared/events/nats-history.js';
import type { NatsAddress } from '../../shared/events/nats-url.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { OperatorError } from '../../shared/problems.js';
import { recordKey } from '../../shared/spec/record.js';
import type { Certificates } from '../../shared/tls/certificates.js';
import type { ObjectStore } from '../../shared/store/store.js';
import { createRunHistory } from '../../watch/history/history.js';
import { parsePicture } from '../../watch/history/picture-json.js';
import type { RunHistory, RunPicture } from '../../watch/history/picture.js';
import { feedHistory } from '../../watch/history/sources.js';
import { CommandFailed } from '../failure.js';
import { handshakeHint } from '../tls/handshake-hint.js';

/** Where pictures can come from. */
export const pictureSources = ['auto', 'folder', 'coordinator', 'nats'] as const;
export type PictureSource = (typeof pictureSources)[number];

/** The run, and who hears what there is to say beside the pictures. */
export interface Watched {
  readonly url: string;
  readonly run: string;
  readonly signal: AbortSignal;
  readonly onNotice: (text: string) => void;
  /** By which a coordinator that speaks TLS is asked. */
  readonly certificates?: Certificates | undefined;
  /** The history that the pictures are taken from, where this process has it. */
  readonly history?: RunHistory;
}

/** Shortest time between two pictures. */
const everyMs = 1_000;

/** Longest wait for a coordinator's answer. */
const answerMs = 3_000;

/**
 * Pictures from the coordinator as long as it answers, else from the run's folder, unless only the
 * coordinator is asked for.
 */
export async function* bestPictures(
  store: ObjectStore,
  watched: Watched,
  isCoordinatorOnly: boolean,
): AsyncGenerator<RunPicture> {
  const leader = await newestTerm(store);
  if (leader === undefined && isCoordinatorOnly) throw unled(watched.url);
  if (leader !== undefined)
    try {
      yield* coordinatorPictures(leader.address, watched);
      return;
    } catch (error) {
      if (!(error instanceof AdminError)) throw error;
      if (isCoordinatorOnly) throw await coordinatorGone(error, leader.address, watched);
      const misled = error.isRefusal
        ? undefined
        : await handshakeHint(leader.address, watched.certificates);
      const why = error.isRefusal ? `: ${error.message}` : ' does not answer';
      const text = misled?.text ?? `the coordinator at ${leader.address}${why}`;
      const [help] = misled?.hint.split('\n') ?? [];
      const advice = help === undefined ? '' : ` (${help})`;
      watched.onNotice(`${text}; reading the run's folder${advice}`);
    }
  yield* folderPictures(store, watched);
}

/** Pictures from the run's folder, which its events reach within seconds. */
export async function* folderPictures(
  store: ObjectStore,
  watched: Watched,
): AsyncGenerator<RunPicture> {
  const { onNotice } = watched;
  const pictures = historyPictures(watched, (signal, onCaughtUp) =>
    followEvents(store, { signal, onCaughtUp, onNotice }),
  );
  for await (const picture of pictures) {
    if (picture.state === 'unknown') await requireRun(store, watched);
    yield picture;
  }
}

async function requireRun(store: ObjectStore, { url, onNotice }: Watched): Promise<void> {
  if ((await store.head(recordKey)) !== undefined)
    return onNotice("the run's folder has no events yet");
  throw new OperatorError('there is no such run', [
    {
      key: 'RUN',
      given: url,
      allowed: `a folder with a ${recordKey}`,
      hint: 'the id of a run below ./runs, its file:// or s3:// folder, or --nats for its events',
    },
  ]);
}

/** Pictures from JetStream's history and what follows it. */
export function natsPictures(address: NatsAddress, watched: Watched): AsyncGenerator<RunPicture> {
  const { run, onNotice } = watched;
  return historyPictures(watched, (signal, onCaughtUp) =>
    readNatsEvents({ ...address, run, follow: true, signal, onNotice, onCaughtUp }),
  );
}

/** Pictures that the coordinator at "host:port" has; throws an AdminError when it is gone. */
export async function* coordinatorPictures(
  address: string,
  { run, signal, certificates }: Pick<Watched, 'run' | 'signal' | 'certificates'>,
): AsyncGenerator<RunPicture> {
  const client = createAdminClient(address, { timeoutMs: answerMs, certificates });
  let last = '';
  try {
    while (!signal.aborted) {
      const bytes = await client.getPicture();
      const text = Buffer.from(bytes).toString();
      if (text !== last) yield pictureOfRun(bytes, run);
      last = text;
      await pause(signal);
    }
  } finally {
    client.close();
  }
}

/** A port can have passed to the coordinator of another run. */
function pictureOfRun(bytes: Uint8Array, run: string): RunPicture {
  const picture = parsePicture(bytes);
  if (picture === undefined) throw new AdminError('its answer is no picture of a run', true);
  if (picture.run === run || picture.run === '') return picture;
  throw new AdminError(`it leads another run, ${picture.run}`, true);
}

function unled(url: string): CommandFailed {
  return new CommandFailed(
    'no coordinator has led this run',
    exitCodes.failed,
    `Start it: lockstep resume ${url}`,
  );
}

/** For who asked for the coordinator and nothing else. */
export async function coordinatorGone(
  error: AdminError,
  address: string,
  { url, certificates }: Pick<Watched, 'url' | 'certificates'>,
): Promise<CommandFailed> {
  const misled = error.isRefusal ? undefined : await handshakeHint(address, certificates);
  const why = error.isRefusal ? error.message : (misled?.text ?? 'it does not answer');
  return new CommandFailed(
    `no picture of the run from the coordinator at ${address}: ${why}`,
    exitCodes.failed,
    (misled === undefined ? '' : `${misled.hint}\n`) +
      `Look into the run's folder: lockstep watch ${url} --from folder`,
  );
}

/**
 * Pictures of a history that is fed: the first when all that there was has been read. They end at
 * once when they are told to, whatever the reader waits for; it is told to end with them.
 */
async function* historyPictures(
  { signal, history = createRunHistory() }: Watched,
  open: (signal: AbortSignal, onCaughtUp: () => void) => AsyncIterable<ParsedEvent>,
): AsyncGenerator<RunPicture> {
  const reading = { isCaughtUp: false, isNew: true, isOver: false };
  let wake = (): void => undefined;
  const note = (what: Partial<typeof reading>): void => {
    Object.assign(reading, what);
    wake();
  };
  const stop = new AbortController();
  const onAbort = (): void => {
    stop.abort();
    wake();
  };
  signal.addEventListener('abort', onAbort);
  const events = open(stop.signal, () => note({ isCaughtUp: true }));
  const done = feedHistory(history, events, () => note({ isNew: true }));
  done.then(
    () => note({ isOver: true }),
    () => note({ isOver: true }),
  );
  try {
    while (!signal.aborted) {
      if (reading.isNew && (reading.isCaughtUp || reading.isOver)) {
        reading.isNew = false;
        if (reading.isOver) await done;
        yield history.picture();
        await pause(signal);
      } else if (reading.isOver) return await done;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    stop.abort();
  }
}

async function pause(signal: AbortSignal): Promise<void> {
  await delay(everyMs, undefined, { signal }).catch(() => undefined);
}
