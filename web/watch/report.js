// The panels of a report: what they show lies in the page itself, and nothing new comes.

import { mount } from 'lockstep-watch/panels';

/**
 * @typedef {import('./words.js').WatchedRun} WatchedRun
 * @typedef {import('./words.js').SeriesData} SeriesData
 * @typedef {import('./words.js').SeriesAsk} SeriesAsk
 *
 * @typedef {{
 *   readonly name: string,
 *   readonly picture: import('./words.js').RunPicture,
 *   readonly series: SeriesData,
 *   readonly timeLine: import('./words.js').TimeLine,
 *   readonly frames: readonly { readonly step: number, readonly url: string }[],
 * }} ReportedRun
 */

/**
 * The rows that lie in the stretch asked for; there are no finer ones.
 * @param {SeriesData} series
 * @param {SeriesAsk} asked
 * @returns {SeriesData}
 */
function stretch(series, { from = -Infinity, to = Infinity }) {
  /** @template T @param {readonly T[]} column @returns {T[]} */
  const within = (column) =>
    column.filter((_, i) => series.step[i] >= from && series.step[i] <= to);
  const columns = Object.entries(series.columns).map(([name, column]) => [name, within(column)]);
  return {
    ...{ step: within(series.step), time: within(series.time) },
    columns: Object.fromEntries(columns),
    evaluations: series.evaluations,
  };
}

/** @param {ReportedRun} run @returns {WatchedRun} */
function watched({ name, picture, series, timeLine, frames }) {
  const urls = new Map(frames.map(({ step, url }) => [step, url]));
  return {
    name,
    picture: () => picture,
    series: async (asked) => stretch(series, asked),
    timeLine: async () => timeLine,
    frameUrl: (step) => urls.get(step) ?? '',
    frameSteps: () => [...urls.keys()],
    // Nothing new comes, but what was there at once came before the panels listened.
    subscribe: (onChange) => {
      const timer = setTimeout(onChange);
      return () => clearTimeout(timer);
    },
  };
}

const [place, data] = ['watch', 'report-data'].map((id) => document.getElementById(id));
if (place === null || data === null) throw new Error('the report has lost its data');
/** @type {readonly ReportedRun[]} */
const runs = JSON.parse(data.textContent ?? '[]');
mount(place, { kind: 'report', runs: runs.map(watched) });
