// `lockstep watch`: a run as it goes on, in a terminal. What is shown is the same from the run's
// coordinator, from its folder and from the event bus.

import type { CommandModule, InferredOptionTypes } from 'yargs';
import { AdminError } from '../../shared/control/admin.js';
import { readEnvironment } from '../../shared/environment.js';
import { chosenNats, type NatsAddress } from '../../shared/events/nats-url.js';
import { exitCodes } from '../../shared/exit-codes.js';
import { OperatorError, type Problem } from '../../shared/problems.js';
import { openWatching, type PagePlace } from '../../coordinator/watching.js';
import { createRunHistory } from '../../watch/history/history.js';
import type { RunPicture } from '../../watch/history/picture.js';
import { CommandFailed } from '../failure.js';
import { stopWhenInterrupted } from '../interruptions.js';
import { withClusterOptions, type ClusterArguments } from '../kubernetes/cluster-access.js';
import { isClusterRun } from '../kubernetes/names.js';
import { printNote } from '../output.js';
import { askingOptions, openOperator, type AskingArguments } from '../tls/tls-options.js';
import { httpOptions, pagePlace } from '../watch/http-options.js';
import { flagOption, withPositional, wordOption } from '../options.js';
import { runId, runUrl, withStore } from '../stores.js';
import {
  bestPictures,
  coordinatorGone,
  coordinatorPictures,
  folderPictures,
  natsPictures,
  pictureSources,
  type Watched,
} from '../watch/pictures.js';
import {
  createJsonView,
  createLineView,
  createScreenView,
  printPicture,
  type PictureShow,
} from '../watch/views.js';

const options = {
  from: {
    choices: pictureSources,
    default: 'auto',
    describe: 'Where to look: auto asks the coordinator, and where none answers reads the folder',
  },
  nats: wordOption('nats:// url of the event bus: its history is read instead'),
  coordinator: wordOption(
    'host:port of the coordinator, if not as it is written in the folder of the run',
  ),
  ...askingOptions,
  ...httpOptions,
  http: wordOption('Serve the page as well, at HOST:PORT, from the folder or the event bus'),
  once: flagOption('Show the run as it is now, and end'),
  json: flagOption('Print the picture as one JSON object a line, whenever it changes'),
} as const;

type WatchArguments = ClusterArguments &
  AskingArguments & { readonly run: string } & InferredOptionTypes<typeof options>;

export const watchCommand: CommandModule<object, WatchArguments> = {
  command: 'watch <run>',
  describe: 'Show a run as it goes on: progress, losses, faces, workers, and what happened last',
  builder: (y) =>
    withPositional(
      withClusterOptions(y),
      'run',
      'A file:// or s3:// folder, the id of a local run, or k8s://NAMESPACE/NAME',
    )
      .options(options)
      .example('$0 watch tiny-20261124-190000', 'a run that lockstep train runs here')
      .example('$0 watch s3://bucket/runs/faces --once --json', 'the picture of now, for scripts')
      .example('$0 watch faces --nats nats://localhost:4222', "from the event bus's history")
      .example('$0 watch faces --http 127.0.0.1:7480', 'the page of a run that has ended'),
  handler: async (args) => {
    const place = await pagePlace(args, undefined);
    requireSense(args);
    const signal = stopWhenInterrupted();
    const view = args.once ? undefined : viewOf(args);
    const onNotice = (text: string): void =>
      view === undefined ? printNote(text) : view.notice(text);
    try {
      const shown =
        place === undefined
          ? await watchRun(args, { signal, onNotice }, view)
          : await serveRun(args, place, { signal, onNotice }, view);
      if (shown === undefined && !signal.aborted)
        throw new CommandFailed('nothing is known of the run', exitCodes.failed);
      if (signal.aborted) process.exitCode = exitCodes.interrupted;
    } finally {
      view?.close();
    }
  },
};

function viewOf({ json }: WatchArguments): PictureShow {
  if (json) return createJsonView();
  const { stdout } = process;
  return stdout.isTTY && !readEnvironment().isPlain ? createScreenView(stdout) : createLineView();
}

/** Shows pictures until the run or the command ends; gives the last. */
async function watchRun(
  args: WatchArguments,
  hooks: Pick<Watched, 'signal' | 'onNotice'>,
  view: PictureShow | undefined,
): Promise<RunPicture | undefined> {
  if (isClusterRun(args.run)) {
    const { clusterPictures } = await import('../watch/cluster-pictures.js');
    return showAll(args, clusterPictures(args, { ...hooks, hasPage: !args.once }), view);
  }
  const nats = natsOf(args);
  const url = runUrl(args.run, { orElse: 'k8s://NAMESPACE/NAME' });
  const watched: Watched = { ...hooks, url, run: runId(url), certificates: openOperator(args) };
  if (nats !== undefined) return showAll(args, natsPictures(nats, watched), view);
  if (args.coordinator !== undefined) {
    const pictures = coordinatorPictures(args.coordinator, watched);
    return showAll(args, orGone(pictures, args.coordinator, watched), view);
  }
  return withStore(url, async (store) => {
    if (args.from === 'folder') return showAll(args, folderPictures(store, watched), view);
    const isOnly = args.from === 'coordinator';
    return showAll(args, bestPictures(store, watched, isOnly), view);
  });
}

/** Only flags that have something to do with each other. */
function requireSense(args: WatchArguments): void {
  const { run, from, nats, coordinator } = args;
  const problems = isClusterRun(run) ? clusterProblems({ from, nats, coordinator }) : [];
  problems.push(...pageProblems(args));
  if (problems.length > 0) throw new OperatorError('the flags are wrong', problems);
}

function clusterProblems({
  from,
  nats,
  coordinator,
}: Pick<WatchArguments, 'from' | 'nats' | 'coordinator'>): Problem[] {
  const given = {
    '--from': from === 'auto' ? undefined : from,
    ...{ '--nats': nats, '--coordinator': coordinator },
  };
  const allowed = 'not for k8s://NAMESPACE/NAME, whose leading pod is asked';
  return Object.entries(given).flatMap(([key, value]) =>
    value === undefined ? [] : [{ key, given: value, allowed }],
  );
}

/** The page is served from a history of this process; coordinators serve their own. */
function pageProblems({ http, run, once, from, coordinator }: WatchArguments): Problem[] {
  if (http === undefined || http === 'off') return [];
  const others = [
    ...(isClusterRun(run) ? ['k8s://, whose own page is forwarded'] : []),
    ...(once ? ['--once'] : []),
    ...(coordinator !== undefined ? ['--coordinator'] : []),
    ...(from === 'coordinator' ? ['--from coordinator'] : []),
  ];
  if (others.length === 0) return [];
  return [{ key: '--http', given: http, allowed: `without ${others.join(' and ')}` }];
}

/** Shows the run here and on a page, also when it is over, until the command ends. */
async function serveRun(
  args: WatchArguments,
  place: PagePlace,
  hooks: Pick<Watched, 'signal' | 'onNotice'>,
  view: PictureShow | undefined,
): Promise<RunPicture | undefined> {
  const nats = natsOf(args);
  const url = runUrl(args.run);
  const history = createRunHistory();
  const watched: Watched = { ...hooks, url, run: runId(url), history };
  return withStore(url, async (store) => {
    let onPicture = (): void => undefined;
    const watching = openWatching({
      ...{ place, history, store, routes: new Map(), onNotice: hooks.onNotice },
      events: { subscribe: (_, listener) => ((onPicture = listener), () => undefined) },
      onPage: (address) => hooks.onNotice(`watch it at ${address}`),
    });
    let last: RunPicture | undefined;
    try {
      const pictures =
        nats === undefined ? folderPictures(store, watched) : natsPictures(nats, watched);
      for await (const picture of pictures) {
        view?.show((last = picture));
        onPicture();
      }
    } finally {
      await watching.close();
    }
    return last;
  });
}

/** The event bus that is asked for. */
function natsOf({ from, nats }: WatchArguments): NatsAddress | undefined {
  if (from !== 'nats' && nats === undefined) return undefined;
  if (from !== 'nats' && from !== 'auto')
    throw new OperatorError('the flags are wrong', [
      { key: '--from', given: from, allowed: 'nats, with --nats', hint: 'leave one of them out' },
    ]);
  const address = chosenNats(nats, readEnvironment());
  if (address !== undefined) return address;
  throw new OperatorError('the flags are wrong', [
    { key: '--nats', given: undefined, allowed: 'nats://host:4222, or $LOCKSTEP_NATS_URL' },
  ]);
}

async function* orGone(
  pictures: AsyncIterable<RunPicture>,
  address: string,
  watched: Watched,
): AsyncGenerator<RunPicture> {
  try {
    yield* pictures;
  } catch (error) {
    throw error instanceof AdminError ? await coordinatorGone(error, address, watched) : error;
  }
}

async function showAll(
  { once, json }: WatchArguments,
  pictures: AsyncIterable<RunPicture>,
  view: PictureShow | undefined,
): Promise<RunPicture | undefined> {
  let last: RunPicture | undefined;
  for await (const picture of pictures) {
    last = picture;
    if (view !== undefined) view.show(picture);
    else if (json) createJsonView().show(picture);
    else printPicture(picture, process.stdout.columns ?? 100);
    if (once || isOver(picture)) break;
  }
  return last;
}

function isOver({ state }: RunPicture): boolean {
  return state === 'finished' || state === 'stopped' || state === 'failed';
}
