// The events of a run that is led: to the bus, to the run's folder, and to all that shows the run.
// None of them holds the run up; what they could not take by its end is said.

import { type EventBus, createSilentBus } from '../shared/events/bus.js';
import { writeRefusals, writeSparingly } from '../shared/log.js';
import { createEventLog, readEvents, type EventLog } from '../shared/events/event-log.js';
import { createNatsBus } from '../shared/events/nats-bus.js';
import { processClock } from '../shared/clock.js';
import { messageOf } from '../shared/problems.js';
import type { RunningStores } from '../shared/store/notices.js';
import type { ObjectStore } from '../shared/store/store.js';
import { createRunHistory } from '../watch/history/history.js';
import type { RunHistory } from '../watch/history/picture.js';
import { createRecentPicture, type RecentPicture } from '../watch/history/recent-picture.js';
import { feedHistory } from '../watch/history/sources.js';
import { createTensorBoardFiles } from '../watch/tensorboard/event-files.js';
import type { CoordinatorMetrics } from './edge/metrics.js';
import { createRunEvents, type RunEvents } from './edge/run-events.js';
import type { RunPlan } from './edge/run-plan.js';
import type { CoordinatorMainOptions } from './main.js';
import { openWatching } from './watching.js';

/** Longest wait at the end for events that the bus or the folder has not taken yet. */
const flushMs = 5_000;

/** Whose events they are. */
export interface EventParts {
  readonly metrics: CoordinatorMetrics;
  readonly term: number;
  readonly plan: RunPlan;
}

/** Where they go. */
export interface EventPlaces {
  readonly stores: RunningStores;
  /** The run's folder. */
  readonly store: ObjectStore;
  readonly say: (text: string) => void;
}

export interface OpenEvents {
  readonly events: RunEvents;
  /** What happened before this coordinator led is in it as soon as it has been read. */
  readonly history: RunHistory;
  /** Its picture, for all who ask for it. */
  readonly recent: RecentPicture;
  closeEvents(): Promise<void>;
}

/** The run's events, which go to the bus, to the run's folder and to what shows the run. */
export function openEvents(
  { nats, run, tensorboard, page, onLine, log }: CoordinatorMainOptions,
  { metrics, term, plan: { record } }: EventParts,
  { stores, store, say: onNotice }: EventPlaces,
): OpenEvents {
  const bus =
    nats === undefined
      ? createSilentBus(onNotice)
      : createNatsBus({ ...nats, run, madeAt: record.createdAt, onNotice });
  const eventLog = createEventLog(store, { term, onNotice });
  const events = createRunEvents({ run, now: Date.now, onNotice });
  events.subscribe('the event bus', (event) => bus.publish(event));
  events.subscribe("the run's folder", (event) => eventLog.add(event));
  const history = createRunHistory();
  const recent = createRecentPicture(() => history.picture(), processClock.nowMs);
  events.subscribe('the history', (event, parsed) => {
    history.add(parsed);
    // That the run has ended, and how, is seen at once.
    if (event.type.startsWith('lockstep.run.')) recent.renew();
  });
  let isRead = false;
  void feedHistory(history, readEvents(store))
    .catch((error: unknown) =>
      onNotice(`the run's earlier events can't be read: ${messageOf(error)}`),
    )
    .finally(() => {
      isRead = true;
      recent.renew();
    });
  const boards = tensorboard
    ? createTensorBoardFiles({ store, record, term, clock: processClock, onNotice })
    : undefined;
  events.subscribe('TensorBoard', (_, parsed) => boards?.add(parsed));
  const picture = () => (isRead ? recent.picture() : undefined);
  metrics.lead({ events, picture, bus: () => bus.health(), store: stores.health });
  const watching = openWatching({
    ...{ place: page, history, recent, events, store, routes: metrics.routes, onNotice },
    onPage: (url) => onLine({ kind: 'page', url }),
    onRefused: writeRefusals(writeSparingly(log.warn)),
  });
  const closeEvents = async (): Promise<void> => {
    const shown = [boards?.close(flushMs), watching.close()];
    const kept = [closeLog(eventLog, onNotice), ...shown];
    await Promise.all([closeBus(bus, onNotice), ...kept]);
  };
  return { events, history, recent, closeEvents };
}

async function closeLog(eventLog: EventLog, onNotice: (text: string) => void): Promise<void> {
  const left = await eventLog.flush(flushMs);
  if (left > 0) onNotice(`${left} events could not be written to the run's folder`);
  await eventLog.close();
}

async function closeBus(bus: EventBus, onNotice: (text: string) => void): Promise<void> {
  const left = await bus.flush(flushMs);
  if (left > 0) onNotice(`${left} events could not be published`);
  await bus.close();
}
