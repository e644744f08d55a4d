// The fixed faces over the run: generated, original, and as the network was given them. A slider
// goes through the steps that there is a picture of, and plays them as an animation.

import { useEffect, useRef, useState } from 'preact/hooks';
import { countText, html } from 'lockstep-watch/words';

/** @typedef {import('./words.js').WatchedRun} WatchedRun */

const frameMs = 250;
/** Where motion is unwelcome. */
const calmMs = 1_500;
const ahead = 3;

/**
 * `keys` takes what the page's keyboard shortcuts call.
 * @param {{ readonly run: WatchedRun, readonly name: string,
 *   readonly keys: { play?: () => void, move?: (by: number) => void } }} given
 */
export function Faces({ run, name, keys }) {
  const steps = run.frameSteps();
  /** The step that was chosen; undefined follows the newest. */
  const [chosen, setChosen] = useState(/** @type {number | undefined} */ (undefined));
  const [isPlaying, setPlaying] = useState(false);
  const newest = steps.length - 1;
  const index = chosen === undefined ? newest : nearest(steps, chosen);
  const wanted = index < 0 ? undefined : steps[index];
  const { shown, problem } = useFrame(run, wanted);
  const live = useRef({ steps, index });
  live.current = { steps, index };
  /** @param {number} next */
  const go = (next) => {
    const at = Math.min(Math.max(0, next), live.current.steps.length - 1);
    setChosen(at === live.current.steps.length - 1 ? undefined : live.current.steps[at]);
  };
  const play = () => {
    if (!isPlaying && index === newest) go(0);
    setPlaying(!isPlaying && newest > 0);
  };
  keys.play = play;
  keys.move = (by) => {
    setPlaying(false);
    go(live.current.index + by);
  };
  // The next one is due when this one is there, so that none is left out on a slow way.
  useEffect(() => {
    if (!isPlaying || (shown?.step !== wanted && problem === '')) return undefined;
    for (let i = 2; i <= ahead; i++) fetchAhead(run, steps[index + i]);
    const isCalm = matchMedia('(prefers-reduced-motion: reduce)').matches;
    const timer = setTimeout(
      () => {
        if (index >= newest - 1) setPlaying(false);
        go(index + 1);
      },
      isCalm ? calmMs : frameMs,
    );
    return () => clearTimeout(timer);
  }, [isPlaying, shown?.step, wanted, problem]);
  if (wanted === undefined)
    return html`<section class="faces">
      <h3>Faces ${name === '' ? '' : html`<small>${name}</small>`}</h3>
      <p class="empty">The faces come with the first evaluation.</p>
    </section>`;
  return html`<section class="faces">
    <h3>Faces ${name === '' ? '' : html`<small>${name}</small>`}</h3>
    <figure>
      ${
        shown === undefined
          ? null
          : html`<img
              src=${shown.url}
              alt=${`The fixed faces at step ${shown.step}: generated, original, low resolution`}
            />`
      }
      <figcaption>
        generated | original | low resolution, at step <b>${countText(shown?.step ?? wanted)}</b>
        ${problem === '' ? '' : ` · ${problem}`}
      </figcaption>
    </figure>
    <div class="player">
      <button type="button" class="outline" onClick=${play} aria-pressed=${isPlaying}>
        ${isPlaying ? 'Pause' : 'Play'}
      </button>
      <input
        type="range"
        min="0"
        max=${newest}
        value=${index}
        aria-label="Step of the faces"
        aria-valuetext=${`step ${wanted}`}
        onInput=${(/** @type {any} */ event) => {
          setPlaying(false);
          go(Number(event.target.value));
        }}
      />
      <span class="count">${index + 1} of ${steps.length}</span>
    </div>
  </section>`;
}

/**
 * The place of the last step that is not behind the one wanted.
 * @param {readonly number[]} steps
 * @param {number} wanted
 */
function nearest(steps, wanted) {
  const after = steps.findIndex((step) => step > wanted);
  return after < 0 ? steps.length - 1 : Math.max(0, after - 1);
}

/** @param {WatchedRun} run @param {number | undefined} step */
function fetchAhead(run, step) {
  if (step !== undefined) new Image().src = run.frameUrl(step);
}

/**
 * The picture of a step when it is there; until then the one before stays.
 * @param {WatchedRun} run
 * @param {number | undefined} step
 */
function useFrame(run, step) {
  const [shown, setShown] = useState(
    /** @type {{ readonly step: number, readonly url: string } | undefined} */ (undefined),
  );
  const [problem, setProblem] = useState('');
  const url = step === undefined ? undefined : run.frameUrl(step);
  useEffect(() => {
    if (url === undefined || step === undefined) return undefined;
    let isWanted = true;
    const image = new Image();
    image.src = url;
    image.decode().then(
      () => {
        if (!isWanted) return;
        setShown({ step, url });
        setProblem('');
      },
      () => isWanted && setProblem(`there is no picture of step ${countText(step)} now`),
    );
    return () => {
      isWanted = false;
    };
  }, [url]);
  return { shown, problem };
}
