// What the page's parts share: the types of what they show, and how numbers, times and amounts are
// written for people.

import htm from 'htm';
import { h } from 'preact';

/** Markup, as preact takes it. */
export const html = htm.bind(h);

/**
 * @typedef {import('../../watch/history/picture.js').RunPicture} RunPicture
 * @typedef {import('../../watch/history/picture.js').SeriesData} SeriesData
 * @typedef {import('../../watch/history/picture.js').TimeLine} TimeLine
 * @typedef {import('../../watch/history/picture.js').Happening} Happening
 * @typedef {{ readonly points: number, readonly from?: number, readonly to?: number }} SeriesAsk
 *
 * A run to show. `subscribe` calls back when there is something new, and gives what ends that.
 * @typedef {{
 *   readonly name: string,
 *   picture(): RunPicture,
 *   series(request: SeriesAsk): Promise<SeriesData>,
 *   timeLine(): Promise<TimeLine>,
 *   frameUrl(step: number): string,
 *   frameSteps(): readonly number[],
 *   subscribe(onChange: () => void): () => void,
 *   away?(): string,
 * }} WatchedRun `away` says why nothing new comes; empty while it does.
 *
 * @typedef {{ readonly kind: 'live' | 'report', readonly runs: readonly WatchedRun[] }} WatchSource
 */

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/**
 * "3.2 MiB"
 * @param {number} count
 */
export function bytesText(count) {
  let [value, unit] = [count, 0];
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/**
 * "2 h 5 min", "3 min 20 s", "4.2 s"; from ten seconds on as the terminal has it.
 * @param {number} seconds
 */
export function durationText(seconds) {
  if (!Number.isFinite(seconds)) return '–';
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return twoUnits(whole, 60, 'min', 's');
  const minutes = Math.round(whole / 60);
  if (minutes < 24 * 60) return twoUnits(minutes, 60, 'h', 'min');
  return twoUnits(Math.round(minutes / 60), 24, 'd', 'h');
}

/**
 * @param {number} count
 * @param {number} size Of the large unit.
 * @param {string} large
 * @param {string} small
 */
function twoUnits(count, size, large, small) {
  const rest = count % size;
  return `${Math.floor(count / size)} ${large}${rest === 0 ? '' : ` ${rest} ${small}`}`;
}

/**
 * Four digits that count; "–" for what is not known.
 * @param {number | null | undefined} value
 */
export function figureText(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–';
  if (value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 1e7))
    return value.toExponential(2);
  return value.toLocaleString('en', { maximumSignificantDigits: 4 });
}

/** @param {number} count */
export function countText(count) {
  return count.toLocaleString('en');
}

/** @param {number} share */
export function percentText(share) {
  return `${(100 * share).toFixed(share > 0.995 || share === 0 ? 0 : 1)} %`;
}

/**
 * The time of day here, with the date where it is not today's.
 * @param {string | number} time
 */
export function momentText(time) {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return '–';
  const clock = date.toLocaleTimeString('en-GB');
  const isToday = date.toDateString() === new Date().toDateString();
  return isToday ? clock : `${date.toISOString().slice(0, 10)} ${clock}`;
}
