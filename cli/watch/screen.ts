// A block of lines on a terminal that is drawn again where it is: no flicker, since each drawing is
// one write and only clears what is behind its lines, and the last one stays.

import type { PictureLine, Tone } from './picture-lines.js';

/** The terminal that is drawn on. */
export interface Terminal {
  readonly columns: number;
  readonly rows: number;
  write(text: string): unknown;
  on(event: 'resize', listener: () => void): unknown;
  off(event: 'resize', listener: () => void): unknown;
}

export interface Screen {
  /** Shows the lines that `draw` gives for this size; again when the size changes. */
  show(draw: (width: number, height: number) => readonly PictureLine[]): void;
  /** Gives the terminal back, below the last drawing. */
  close(): void;
}

const codes: Readonly<Record<Tone, string>> = {
  ...{ plain: '', title: '\x1b[1m', good: '\x1b[32m', bad: '\x1b[31m' },
  ...{ warning: '\x1b[33m', dim: '\x1b[2m' },
};

/** Draws from now on below what is there. */
export function createScreen(terminal: Terminal): Screen {
  let drawn = 0;
  let last: Parameters<Screen['show']>[0] | undefined;
  const lineOf = ({ text, tone }: PictureLine): string =>
    `${codes[tone]}${text}${tone === 'plain' ? '' : '\x1b[0m'}\x1b[K\n`;
  const redraw = (start: string): void => {
    if (last === undefined) return;
    // A full last column or row would have the terminal scroll.
    const height = Math.max(1, terminal.rows - 1);
    const lines = last(Math.max(1, terminal.columns - 1), height).slice(0, height);
    terminal.write(`${start}${lines.map(lineOf).join('')}\x1b[J`);
    drawn = lines.length;
  };
  // Lines that were longer than the terminal is now take several: where they begin is not known.
  const onResize = (): void => redraw('\x1b[2J\x1b[H');
  terminal.on('resize', onResize);
  return {
    show: (draw) => {
      const isFirst = last === undefined;
      last = draw;
      redraw(isFirst ? '\x1b[?25l' : drawn > 0 ? `\x1b[${drawn}F` : '');
    },
    close: () => {
      terminal.off('resize', onResize);
      if (last !== undefined) terminal.write('\x1b[?25h');
      last = undefined;
    },
  };
}
