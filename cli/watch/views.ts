// How pictures are shown: drawn again on a terminal, as lines where something happens, as JSON.

import { printable } from '../../shared/problems.js';
import type { Happening, RunPicture } from '../../watch/history/picture.js';
import { printJson, printLine, printNote } from '../output.js';
import { lineIntervalMs } from '../progress.js';
import { clockTime, pictureLines, pictureNote } from './picture-lines.js';
import { createScreen, type Terminal } from './screen.js';

/** Takes pictures as they change. */
export interface PictureShow {
  show(picture: RunPicture): void;
  /** A remark beside the pictures. */
  notice(text: string): void;
  close(): void;
}

/** One JSON object a line. */
export function createJsonView(): PictureShow {
  return { show: printJson, notice: printNote, close: () => undefined };
}

/** On a terminal, in place; ages go on between two pictures. */
export function createScreenView(terminal: Terminal): PictureShow {
  const screen = createScreen(terminal);
  let newest: RunPicture | undefined;
  let remark = '';
  const draw = (): void => {
    const picture = newest;
    if (picture === undefined) return;
    screen.show((width, height) => [
      ...pictureLines(picture, { width, height, nowMs: Date.now() }),
      ...(remark === '' ? [] : [{ text: remark.slice(0, width), tone: 'dim' } as const]),
    ]);
  };
  const timer = setInterval(draw, 1_000).unref();
  return {
    show: (picture) => {
      newest = picture;
      draw();
    },
    notice: (text) => {
      remark = printable(text);
      if (newest === undefined) printNote(remark);
      draw();
    },
    close: () => {
      clearInterval(timer);
      screen.close();
    },
  };
}

/** A line when something happens, and how far the run is every few seconds. */
export function createLineView(
  print: (line: string) => void = printLine,
  nowMs: () => number = () => performance.now(),
): PictureShow {
  let told: readonly Happening[] = [];
  let last = { atMs: -Infinity, step: -1 };
  const isTold = (one: Happening): boolean =>
    told.some(
      ({ time, kind, text }) => time === one.time && kind === one.kind && text === one.text,
    );
  return {
    show: (picture) => {
      for (const one of picture.news)
        if (!isTold(one)) print(`${clockTime(one.time)}  ${printable(one.text)}`);
      told = picture.news;
      const isDue = nowMs() - last.atMs >= lineIntervalMs || picture.step >= picture.until;
      if (!isDue || picture.step === last.step) return;
      last = { atMs: nowMs(), step: picture.step };
      print(pictureNote(picture));
    },
    notice: printNote,
    close: () => undefined,
  };
}

/** The picture of now, whole. */
export function printPicture(picture: RunPicture, width: number): void {
  const view = { width, height: 1_000, nowMs: Date.now() };
  for (const { text } of pictureLines(picture, view)) printLine(text);
}
