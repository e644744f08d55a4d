// Where a run's history comes from: the run's folder, or any other stream of its events.

import { readEvents } from '../../shared/events/event-log.js';
import type { ObjectStore } from '../../shared/store/store.js';
import { createRunHistory } from './history.js';
import type { RunHistory } from './picture.js';

/** The history in a run's folder; an empty one where nothing is written yet. */
export async function readFolderHistory(
  store: Pick<ObjectStore, 'get' | 'list'>,
): Promise<RunHistory> {
  const history = createRunHistory();
  await feedHistory(history, readEvents(store));
  return history;
}

/** Feeds a history with events until there are no more, and says when one of them was new. */
export async function feedHistory(
  history: Pick<RunHistory, 'add'>,
  events: AsyncIterable<unknown>,
  onChange: () => void = () => undefined,
): Promise<void> {
  for await (const event of events) if (history.add(event)) onChange();
}
