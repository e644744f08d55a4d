// The page of a run that a coordinator serves: it follows the stream of pictures, asks for series
// and time line when the panels want them, and comes back by itself after the coordinator was away.

import { mount } from 'lockstep-watch/panels';
import { momentText } from 'lockstep-watch/words';

/**
 * @typedef {import('./words.js').RunPicture} RunPicture
 * @typedef {import('./words.js').WatchedRun} WatchedRun
 */

/** How long until a stream is opened again that the browser has given up. */
const againMs = 2_000;

/**
 * @param {string} path
 * @returns {Promise<any>}
 */
async function ask(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`${path} was answered with status ${response.status}`);
  return await response.json();
}

/**
 * The run that this page's server shows; the first picture is there already.
 * @param {RunPicture} first
 * @returns {WatchedRun}
 */
function followRun(first) {
  let picture = first;
  let awaySince = '';
  /** @type {Set<() => void>} */
  const listeners = new Set();
  /**
   * A step that is taken again has another picture, and a page shows what it has of an address
   * without asking: the address has the generation.
   * @type {Map<number, number>}
   */
  const generations = new Map();
  const changed = () => listeners.forEach((listener) => listener());

  const open = () => {
    const stream = new EventSource('api/stream');
    stream.addEventListener('picture', ({ data }) => {
      /** @type {RunPicture} */
      const next = JSON.parse(data);
      // Another run is served here now.
      if (next.run !== '' && picture.run !== '' && next.url !== picture.url) location.reload();
      picture = next;
      awaySince = '';
      changed();
    });
    stream.onerror = () => {
      if (awaySince === '') awaySince = momentText(Date.now());
      changed();
      if (stream.readyState === EventSource.CLOSED) setTimeout(open, againMs);
    };
  };
  open();
  return {
    name: first.run,
    picture: () => picture,
    series: async ({ points, from, to }) => {
      const query = new URLSearchParams({ points: String(points) });
      if (from !== undefined) query.set('from', String(from));
      if (to !== undefined) query.set('to', String(to));
      /** @type {import('./words.js').SeriesData} */
      const series = await ask(`api/series?${query}`);
      for (const { step, generation } of series.evaluations) generations.set(step, generation);
      return series;
    },
    timeLine: () => ask('api/timeline'),
    frameUrl: (step) => {
      const generation = generations.get(step);
      return `frames/${step}.png${generation === undefined ? '' : `?generation=${generation}`}`;
    },
    frameSteps: () => picture.sample_steps,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    away: () => {
      if (awaySince === '') return '';
      return ['finished', 'stopped', 'failed'].includes(picture.state)
        ? 'The run has ended and nobody serves it any more; this is how it ended.'
        : `The coordinator is away since ${awaySince}. This page goes on when it is back.`;
    },
  };
}

const element = /** @type {HTMLElement} */ (document.getElementById('watch'));
try {
  mount(element, { kind: 'live', runs: [followRun(await ask('api/picture'))] });
} catch (error) {
  element.textContent = `The run can't be shown: ${error instanceof Error ? error.message : error}`;
}
