// How much of the run's time brought it forward, and what the rest was lost to.

import { durationText, html, percentText } from 'lockstep-watch/words';

/** @typedef {import('./words.js').RunPicture} RunPicture */

/** @type {Record<keyof RunPicture['goodput']['lost_s'], string>} */
const causes = {
  redone: 'steps taken again',
  skipped: 'steps skipped',
  lost: 'after a loss',
  membership: 'new worlds',
  starting: 'starting',
  other: 'other',
};

/** @param {{ readonly picture: RunPicture, readonly name: string }} given */
export function Goodput({ picture: { goodput }, name }) {
  const { share, useful_s: useful, wall_s: wall, lost_s: lost } = goodput;
  const keys = /** @type {(keyof typeof causes)[]} */ (Object.keys(causes));
  const parts = [
    { key: 'useful', text: 'steps that count', seconds: useful },
    ...keys.map((key) => ({ key: `cause-${key}`, text: causes[key], seconds: lost[key] })),
  ];
  const label = `Goodput ${percentText(share)} of ${durationText(wall)}`;
  return html`<section class="goodput">
    <h3>Goodput ${name === '' ? '' : html`<small>${name}</small>`}</h3>
    <p><b>${percentText(share)}</b> of ${durationText(wall)} went into steps that count.</p>
    <span class="bar" role="img" aria-label=${label}>
      ${parts.map(
        ({ key, seconds }) =>
          html`<i class=${key} style=${{ width: `${(100 * seconds) / Math.max(1e-9, wall)}%` }} />`,
      )}
    </span>
    <ul class="legend">
      ${parts.map(
        ({ key, text, seconds }) =>
          html`<li><i class=${`swatch ${key}`} /> ${text} <b>${durationText(seconds)}</b></li>`,
      )}
    </ul>
  </section>`;
}
