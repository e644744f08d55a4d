// The page: takes a picture that is dropped, pasted or chosen, has it enlarged, and shows it beside
// a bicubic enlargement. Where the model runs is in settings.json: on the server that the page
// comes from, or in this browser.

import { enlargeBicubic } from './bicubic.js';
import { decodePicture, encodePng } from './picture.js';

/**
 * @typedef {{ kind: 'waiting', before: number } | { kind: 'loading' } |
 *   { kind: 'tile', done: number, total: number }} Progress
 * @typedef {{ readonly file: Blob, readonly pixels: import('./bicubic.js').Pixels,
 *   onProgress: (progress: Progress) => void, readonly signal: AbortSignal }} EnlargerJob
 * @typedef {(job: EnlargerJob) => Promise<Blob>} Enlarger Gives a PNG.
 * @typedef {{ readonly place: 'server' | 'browser', readonly model: string,
 *   readonly limits: import('./picture.js').Limits }} Settings
 */

/** @type {<T extends HTMLElement>(id: string) => T} */
const element = (id) => /** @type {any} */ (document.getElementById(id));
const sections = ['problem', 'work', 'result'].map((id) => element(id));
/** @type {HTMLInputElement} */
const file = element('file');
/** @type {HTMLProgressElement} */
const bar = element('progress');
/** @type {HTMLInputElement} */
const divider = element('divider');
/** @type {HTMLAnchorElement} */
const download = element('download');

/** @type {AbortController | undefined} */
let current;

const settings = await start();

/** @returns {Promise<Settings & { readonly enlargePicture: Enlarger }>} */
async function start() {
  /** @type {Settings} */
  const given = await (await fetch('settings.json')).json();
  const { enlargePicture } = await import(`./${given.place}-enlarger.js`);
  const { place, model, limits } = given;
  const where = place === 'server' ? 'on the machine that serves this page' : 'in this browser';
  element('about').textContent =
    `Enlarges a face with the model “${model}”, ${where}. The picture goes nowhere else.`;
  element('limits').textContent =
    `JPEG, PNG, WebP, AVIF or GIF; up to ${limits.pixels.toLocaleString('en')} pixels.`;
  element('choose').hidden = false;
  return { ...given, enlargePicture };
}

/**
 * Enlarges a picture and shows what came out; one that is under way is given up.
 * @param {File} picture
 */
async function enlarge(picture) {
  current?.abort();
  const work = (current = new AbortController());
  const { signal } = work;
  show('work');
  showPhase('Reading the picture…');
  try {
    const pixels = await decodePicture(picture, settings.limits);
    const startedMs = performance.now();
    /** @param {Progress} progress */
    const onProgress = (progress) => signal.aborted || showProgress(progress, startedMs);
    const png = await settings.enlargePicture({ file: picture, pixels, onProgress, signal });
    await showResult(picture.name, pixels, png, signal);
  } catch (error) {
    if (!signal.aborted) showProblem(error instanceof Error ? error.message : String(error));
  }
}

/** @param {string} [id] Of the one section that is shown; none when left out. */
function show(id) {
  for (const section of sections) section.hidden = section.id !== id;
}

/** @param {string} text */
function showPhase(text) {
  element('phase').textContent = text;
  element('left').textContent = '';
  bar.removeAttribute('value');
}

/** @param {string} text */
function showProblem(text) {
  show('problem');
  element('problem').textContent = text;
}

/**
 * @param {Progress} progress
 * @param {number} startedMs
 */
function showProgress(progress, startedMs) {
  if (progress.kind === 'loading') return showPhase('Loading the model…');
  if (progress.kind === 'waiting') return showPhase(`Waiting; ${progress.before} before this one…`);
  const { done, total } = progress;
  // A screen reader says it once, not at each tile.
  if (element('phase').textContent !== 'Enlarging…') showPhase('Enlarging…');
  bar.max = total;
  bar.value = done;
  const seconds = ((performance.now() - startedMs) / done / 1000) * (total - done);
  element('left').textContent = `${done} of ${total} parts, about ${Math.ceil(seconds)} s left`;
}

/**
 * @param {string} name
 * @param {import('./bicubic.js').Pixels} pixels
 * @param {Blob} png
 * @param {AbortSignal} signal
 */
async function showResult(name, pixels, png, signal) {
  await showPicture('generated', png);
  /** @type {HTMLImageElement} */
  const { naturalWidth: width, naturalHeight: height } = element('generated');
  const bicubic = await enlargeBicubic(pixels, Math.round(width / pixels.width));
  await showPicture('bicubic', await encodePng(bicubic));
  if (signal.aborted) return;
  download.href = /** @type {HTMLImageElement} */ (element('generated')).src;
  download.download = `${name.replace(/\.[^.]*$/, '') || 'picture'}-enlarged.png`;
  element('size').textContent = `${width} × ${height}`;
  moveDivider('50');
  show('result');
  element('result-heading').focus();
}

/**
 * Shows a picture and lets go of the one that was there.
 * @param {'generated' | 'bicubic'} id
 * @param {Blob} png
 */
async function showPicture(id, png) {
  /** @type {HTMLImageElement} */
  const image = element(id);
  URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(png);
  await image.decode();
}

/** @param {string} percent */
function moveDivider(percent) {
  divider.value = percent;
  divider.ariaValueText = `${percent} % bicubic`;
  element('compare').style.setProperty('--divider', `${percent}%`);
}

divider.addEventListener('input', () => moveDivider(divider.value));
element('cancel').addEventListener('click', () => {
  current?.abort();
  show();
  file.focus();
});
file.addEventListener('change', () => {
  const [picture] = file.files ?? [];
  // Chosen again, it is enlarged again.
  if (picture !== undefined) void enlarge(picture).finally(() => (file.value = ''));
});

/** @param {DataTransfer | null} data */
function take(data) {
  const [picture] = data?.files ?? [];
  if (picture !== undefined) void enlarge(picture);
}

addEventListener('paste', ({ clipboardData }) => take(clipboardData));
for (const [name, isDropping] of /** @type {const} */ ([
  ['dragover', true],
  ['dragleave', false],
  ['drop', false],
]))
  addEventListener(name, (event) => {
    event.preventDefault();
    document.body.classList.toggle('is-dropping', isDropping);
    if (name === 'drop') take(event.dataTransfer);
  });
