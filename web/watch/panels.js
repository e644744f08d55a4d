// All that is shown of one run or several: its head, curves and world on one axis, faces, workers,
// goodput and news. What is shown comes from the source alone; nothing here asks a server.

import { render } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import { Chart, column, evaluated } from 'lockstep-watch/charts';
import { createChartView } from 'lockstep-watch/chart-parts';
import { Faces } from 'lockstep-watch/faces';
import { Goodput } from 'lockstep-watch/goodput';
import { Head } from 'lockstep-watch/head';
import { countText, html, momentText } from 'lockstep-watch/words';
import { Workers } from 'lockstep-watch/workers';
import { WorldLine } from 'lockstep-watch/world-line';

/**
 * @typedef {import('./words.js').WatchSource} WatchSource
 * @typedef {import('./words.js').WatchedRun} WatchedRun
 * @typedef {import('./chart-parts.js').ChartView} ChartView
 */

/**
 * Shows a source in an element, and what is new as it comes; gives what ends that.
 * @param {Element} element
 * @param {WatchSource} source
 * @returns {() => void}
 */
export function mount(element, source) {
  element.replaceChildren();
  render(html`<${Panels} source=${source} />`, element);
  return () => render(null, element);
}

const pixels = [
  { label: 'generator', colour: 1, values: column('loss/generator') },
  { label: 'pixel', colour: 3, values: column('loss/pixel') },
  { label: 'adversarial', colour: 4, values: column('loss/adversarial') },
];
const scores = [
  { label: 'D(real)', colour: 3, values: column('score/real') },
  { label: 'D(fake)', colour: 2, values: column('score/fake') },
  { label: 'loss', colour: 5, values: column('loss/discriminator') },
];
const psnr = [
  { label: 'generated', colour: 1, values: evaluated('psnr') },
  { label: 'bicubic', colour: 6, isDashed: true, values: evaluated('bicubic_psnr') },
];
const ssim = [
  { label: 'generated', colour: 1, values: evaluated('ssim') },
  { label: 'bicubic', colour: 6, isDashed: true, values: evaluated('bicubic_ssim') },
];
const rate = [{ label: 'images a second', colour: 1, values: column('images_per_s') }];

/** @param {{ readonly source: WatchSource }} given */
function Panels({ source: { kind, runs } }) {
  const [, setTurn] = useState(0);
  const view = useMemo(() => createChartView(runs), [runs]);
  /** @type {{ play?: () => void, move?: (by: number) => void }} */
  const keys = useMemo(() => ({}), []);
  useEffect(() => {
    const redraw = () => setTurn((turn) => turn + 1);
    const forget = [...runs.map((run) => run.subscribe(redraw)), view.subscribe(redraw)];
    return () => [...forget, view.close].forEach((end) => end());
  }, [view]);
  useEffect(() => listenToKeys(view, keys), [view]);
  const isAlone = runs.length === 1;
  /** @param {WatchedRun} run */
  const nameOf = (run) => (isAlone ? '' : run.name);
  return html`
    ${runs.map((run) => html`<${Head} run=${run} />`)}
    <div class="panels">
      <div class="side">
        ${runs.map(
          (run, i) => html`<${Faces} run=${run} name=${nameOf(run)} keys=${i === 0 ? keys : {}} />`,
        )}
      </div>
      <div class="curves">
        <${Toolbar} view=${view} />
        <${Chart} view=${view} title="Losses" lines=${pixels} rows="steps" isLog empty=${noStep} />
        <${Chart}
          ...${{ view, title: 'Discriminator', lines: scores, rows: 'steps' }}
          empty="The adversarial phase has not begun."
        />
        <${Chart}
          ...${{ view, title: 'PSNR', lines: psnr, rows: 'evaluations', unit: ' dB' }}
          empty="No evaluation yet."
        />
        <${Chart}
          ...${{ view, title: 'SSIM', lines: ssim, rows: 'evaluations' }}
          empty="No evaluation yet."
        />
        <${Chart} view=${view} title="Rate" lines=${rate} rows="steps" empty=${noStep} />
        ${view.runs.map((run) => html`<${WorldLine} view=${view} run=${run} />`)}
      </div>
      <div class="side">
        ${runs.map(
          (run) => html`
            <${Workers} picture=${run.picture()} name=${nameOf(run)} />
            <${Goodput} picture=${run.picture()} name=${nameOf(run)} />
            <${News} run=${run} name=${nameOf(run)} />
          `,
        )}
      </div>
    </div>
    <${Keys} isLive=${kind === 'live'} />
  `;
}

const noStep = 'No step has been taken yet.';

/** @param {{ readonly view: ChartView }} given */
function Toolbar({ view }) {
  /** @type {['time' | 'step', string][]} */
  const ways = [
    ['time', 'by time'],
    ['step', 'by step'],
  ];
  /** @type {[string, string, () => void, boolean][]} */
  const buttons = [
    ['+', 'Zoom in', () => view.zoomBy(0.5), false],
    ['−', 'Zoom out', () => view.zoomBy(2), !view.isZoomed],
    ['‹', 'Earlier', () => view.moveBy(-0.5), !view.isZoomed],
    ['›', 'Later', () => view.moveBy(0.5), !view.isZoomed],
    ['whole run', 'Show the whole run', () => view.zoomTo(undefined), !view.isZoomed],
  ];
  return html`<div class="toolbar" role="group" aria-label="What the curves show">
    ${ways.map(
      ([by, text]) =>
        html`<label>
          <input
            type="radio"
            name="x"
            checked=${view.by === by}
            onChange=${() => view.show(by)}
          />${text}
        </label>`,
    )}
    ${buttons.map(
      ([text, label, act, isOff]) =>
        html`<button
          type="button"
          class="outline secondary"
          aria-label=${label}
          title=${label}
          disabled=${isOff}
          onClick=${act}
        >
          ${text}
        </button>`,
    )}
  </div>`;
}

/** @param {{ readonly run: WatchedRun, readonly name: string }} given */
function News({ run, name }) {
  const { news, checkpoint } = run.picture();
  return html`<section class="news">
    <h3>What happened ${name === '' ? '' : html`<small>${name}</small>`}</h3>
    ${news.length === 0 ? html`<p class="empty">Nothing yet.</p>` : null}
    <ol tabindex="0" aria-label="What happened, the newest first">
      ${[...news].reverse().map(
        ({ time, step, text, kind }) =>
          html`<li class=${kind}>
            <time datetime=${time}>${momentText(time)}</time>
            <span>${text}</span> <small>step ${countText(step)}</small>
          </li>`,
      )}
    </ol>
    ${
      checkpoint === undefined
        ? null
        : html`<p class="checkpoint">
            Newest checkpoint: step ${countText(checkpoint.step)}, parameters
            <code title=${checkpoint.sha256}>${checkpoint.sha256.slice(0, 12)}</code>
          </p>`
    }
  </section>`;
}

/** @type {[string, string][]} */
const shortcuts = [
  ['Space', 'play or pause the faces'],
  ['← →', 'a picture back or on'],
  ['T', 'curves by time or by step'],
  ['+ −', 'zoom'],
  [', .', 'earlier, later'],
  ['0', 'the whole run'],
];

/** @param {{ readonly isLive: boolean }} given */
function Keys({ isLive }) {
  return html`<footer>
    <p class="keys">
      ${shortcuts.map(([key, text]) => html`<span><kbd>${key}</kbd> ${text}</span> `)}
      <span>Drag over a curve to zoom, double-click to see the whole run.</span>
    </p>
    <small>${isLive ? 'This page only shows the run; it changes nothing.' : ''}</small>
  </footer>`;
}

/**
 * @param {ChartView} view
 * @param {{ play?: () => void, move?: (by: number) => void }} keys
 * @returns {() => void}
 */
function listenToKeys(view, keys) {
  /** @type {Record<string, (target: Element) => void>} */
  const actions = {
    ' ': () => keys.play?.(),
    ArrowLeft: () => keys.move?.(-1),
    ArrowRight: () => keys.move?.(1),
    t: () => view.show(view.by === 'time' ? 'step' : 'time'),
    '+': () => view.zoomBy(0.5),
    '-': () => view.zoomBy(2),
    ',': () => view.moveBy(-0.5),
    '.': () => view.moveBy(0.5),
    0: () => view.zoomTo(undefined),
  };
  /** @param {KeyboardEvent} event */
  const onKey = (event) => {
    const { key, target, ctrlKey, metaKey, altKey } = event;
    if (ctrlKey || metaKey || altKey || !(target instanceof Element)) return;
    const act = actions[key.length === 1 ? key.toLowerCase() : key];
    // What has the focus comes first: a button is pressed, a radio button moved.
    const takes = { ' ': 'button, a, summary, [type=radio]' }[key] ?? '[type=radio], [type=range]';
    const isTheirs = key.startsWith('Arrow') || key === ' ' ? target.matches(takes) : false;
    if (act === undefined || isTheirs) return;
    event.preventDefault();
    act(target);
  };
  addEventListener('keydown', onKey);
  return () => removeEventListener('keydown', onKey);
}
