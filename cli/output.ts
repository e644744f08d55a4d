// The one place where commands print: results to stdout, everything a person reads beside them to
// stderr, so that a pipe carries results only.

/** Prints one line (or a block of lines) of a command's result to stdout. */
export function printLine(text = ''): void {
  process.stdout.write(`${text}\n`);
}

/** Prints one JSON object as one line to stdout: the form of every result under `--json`. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** Prints a remark, warning or error to stderr; never part of a result. */
export function printNote(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** The cells of a table's line. */
export type Row = readonly (string | number)[];

/**
 * Prints rows as columns: the first row is the heading, numbers are aligned to the right.
 * Every row has as many cells as the first.
 */
export function printTable(rows: readonly Row[]): void {
  for (const line of formatTable(rows)) printLine(line);
}

/** Prints the figures of one object: as JSON, or as a table of their names and values. */
export function printFigures(figures: object, isJson: boolean): void {
  if (isJson) printJson(figures);
  else printTable([['figure', 'value'], ...Object.entries(figures).map(figureRow)]);
}

function figureRow([name, value]: [string, unknown]): Row {
  return [name, typeof value === 'number' ? value : String(value)];
}

/** The lines of `printTable`, without trailing blanks. */
export function formatTable(rows: readonly Row[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => String(row[column] ?? '').length)),
  );
  const cell = (value: string | number, column: number): string => {
    const width = widths[column] ?? 0;
    return typeof value === 'number' ? String(value).padStart(width) : value.padEnd(width);
  };
  return rows.map((row) => row.map(cell).join('  ').trimEnd());
}
