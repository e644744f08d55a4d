// The head of the page: the run's state and progress, and its figures of now.

import { bytesText, countText, durationText, figureText, html } from 'lockstep-watch/words';
import { momentText, percentText } from 'lockstep-watch/words';

/**
 * @typedef {import('./words.js').RunPicture} RunPicture
 * @typedef {import('./words.js').WatchedRun} WatchedRun
 */

/** @param {{ readonly run: WatchedRun }} given */
export function Head({ run }) {
  const picture = run.picture();
  const { state, step, until, last_step: last, reason, health } = picture;
  const away = run.away?.() ?? '';
  const end = until || last;
  const isGoing = state === 'running' || state === 'starting';
  return html`<header class="head">
    <h1>${run.name || 'A run'} <span class=${`state ${state}`}>${state}</span></h1>
    <p role="status" class=${away === '' ? 'quiet' : 'away'}>${away}</p>
    <progress
      max=${Math.max(1, end)}
      value=${Math.min(step, Math.max(1, end))}
      aria-label=${`Steps of ${run.name}`}
    />
    <p class="place">
      <b>step ${countText(step)}</b> of ${countText(end)}
      ${picture.phase === '' ? '' : ` · ${picture.phase}`}
      ${isGoing && picture.eta_s > 0 ? ` · about ${durationText(picture.eta_s)} left` : ''}
      ${end < last ? ` · halts before the last step, ${countText(last)}` : ''}
    </p>
    ${reason === '' ? null : html`<p class="reason">${reason}</p>`}
    ${health === '' ? null : html`<p class="reason">${health}</p>`}
    <${Figures} picture=${picture} />
  </header>`;
}

/** @param {{ readonly picture: RunPicture }} given */
function Figures({ picture }) {
  const { evaluation, best, checkpoint, goodput, counts } = picture;
  const members = picture.workers.filter(({ rank }) => rank >= 0);
  /** @type {[string, string, string][]} */
  const facts = [
    ['Images a second', figureText(picture.images_per_s), ''],
    [
      'PSNR',
      evaluation === undefined ? '–' : `${figureText(evaluation.psnr)} dB`,
      evaluation === undefined ? '' : `bicubic ${figureText(evaluation.bicubic_psnr)} dB`,
    ],
    [
      'SSIM',
      evaluation === undefined ? '–' : figureText(evaluation.ssim),
      evaluation === undefined ? '' : `bicubic ${figureText(evaluation.bicubic_ssim)}`,
    ],
    [
      'Best PSNR',
      best === undefined ? '–' : `${figureText(best.psnr)} dB`,
      best === undefined ? '' : `at step ${countText(best.step)}`,
    ],
    ['Workers', String(members.length), picture.target > 0 ? `${picture.target} wanted` : ''],
    ['Bytes a step', bytesText(picture.bytes_per_step), 'sent by all workers'],
    ['Goodput', percentText(goodput.share), `of ${durationText(goodput.wall_s)}`],
    [
      'Last checkpoint',
      checkpoint === undefined ? '–' : `step ${countText(checkpoint.step)}`,
      checkpoint === undefined
        ? ''
        : `${momentText(checkpoint.time)}, ${counts.checkpoints} in all`,
    ],
  ];
  return html`<dl class="figures">
    ${facts.map(
      ([name, value, more]) =>
        html`<div>
          <dt>${name}</dt>
          <dd><b>${value}</b> <small>${more}</small></dd>
        </div>`,
    )}
  </dl>`;
}
