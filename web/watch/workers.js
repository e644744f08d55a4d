// Where each worker's step goes, as bars of one scale, and which worker is the slowest.

import { durationText, figureText, html } from 'lockstep-watch/words';

/** @typedef {import('./words.js').RunPicture} RunPicture */

const parts = /** @type {const} */ (['data', 'compute', 'exchange', 'update', 'wait']);
const mostShown = 64;

/** @param {{ readonly picture: RunPicture, readonly name: string }} given */
export function Workers({ picture, name }) {
  const { workers, straggler } = picture;
  const rows = [...workers]
    .sort((a, b) => a.rank - b.rank || a.worker.localeCompare(b.worker))
    .slice(0, mostShown);
  const longest = Math.max(1e-9, ...rows.map(({ seconds }) => totalOf(seconds)));
  return html`<section class="workers">
    <h3>Where a step’s time goes ${name === '' ? '' : html`<small>${name}</small>`}</h3>
    ${
      workers.length === 0
        ? html`<p class="empty">No worker has been heard of yet.</p>`
        : html`<p>${slowestText(straggler)}</p>`
    }
    <ul class="legend parts">
      ${parts.map((part) => html`<li><i class=${part} /> ${part}</li>`)}
    </ul>
    <ul class="bars">
      ${rows.map(
        (one) =>
          html`<li class=${one.worker === straggler?.worker ? 'slowest' : ''}>
            <span class="who">
              ${one.worker}${' '}
              <small>${one.rank < 0 ? one.stage : `rank ${one.rank}, ${one.host}`}</small>
            </span>
            <${Bar} seconds=${one.seconds} longest=${longest} />
            <small>
              ${figureText(1000 * totalOf(one.seconds))} ms
              ${one.waited_for ? ` · waits for ${one.waited_for}` : ''}
              ${one.slow_link ? ` · ${linkText(one.slow_link)}` : ''}
            </small>
          </li>`,
      )}
    </ul>
    ${workers.length > mostShown ? html`<p>and ${workers.length - mostShown} more</p>` : null}
  </section>`;
}

/** @param {NonNullable<RunPicture['workers'][number]['slow_link']>} link */
function linkText({ peer, bytes_per_s: bytes }) {
  return `the link from ${peer} brings ${figureText(bytes / 2 ** 20)} MiB/s`;
}

/** @param {RunPicture['workers'][number]['seconds']} seconds */
function totalOf({ data, compute, exchange, update }) {
  return data + compute + exchange + update;
}

/**
 * @param {{ readonly seconds: RunPicture['workers'][number]['seconds'],
 *   readonly longest: number }} given
 */
function Bar({ seconds, longest }) {
  const wait = Math.min(seconds.wait ?? 0, seconds.exchange);
  const shares = { ...seconds, exchange: seconds.exchange - wait, wait };
  const text = parts.map((part) => `${part} ${figureText(1000 * shares[part])} ms`).join(', ');
  return html`<span class="bar" role="img" aria-label=${text} title=${text}>
    ${parts.map(
      (part) => html`<i class=${part} style=${{ width: `${(100 * shares[part]) / longest}%` }} />`,
    )}
  </span>`;
}

/** @param {RunPicture['straggler']} straggler */
function slowestText(straggler) {
  if (straggler === null) return 'No worker is slower than the others by much.';
  const { worker, phase, excess_s: excess } = straggler;
  return html`<b>${worker}</b> is the slowest: ${phase} takes ${durationText(excess)} a step longer
    than with the others.`;
}
