// JSON and YAML from files, peers and servers: of bounded depth before it is parsed, YAML of
// bounded breadth as well. A parser (or whoever walks the value afterwards) descends by recursion,
// and takes minutes or the whole stack for a text of nothing but brackets; one of YAML compares
// each key of a map with all others.

/** No document of ours is nested half as deep. */
const mostDepth = 64;

/** Lines and items of a YAML text; the longest preset has a twentieth. */
export const mostYamlItems = 4_000;

/** Thrown, beside SyntaxError, for a text that is not to be parsed. */
export class TooDeep extends Error {
  override readonly name = 'TooDeep';
}

/** As TooDeep, for a text that has too many keys or items. */
class TooWide extends Error {
  override readonly name = 'TooWide';
}

/** The value of a JSON text; throws a SyntaxError, or TooDeep. */
export function parseJson(text: string): unknown {
  requireDepth(jsonDepth(text));
  return JSON.parse(text) as unknown;
}

/**
 * Throws for a YAML text that may be nested too deep, or have too many keys and items. What is in a
 * text or a comment counts too.
 */
export function requireSmallYaml(text: string): void {
  requireDepth(yamlDepth(text));
  // Keys and items are parted by commas and by the ends of lines.
  const items = text.match(/[\n\r,]/g)?.length ?? 0;
  if (items > mostYamlItems)
    throw new TooWide(`it has ${items} lines and items, more than ${mostYamlItems}`);
  // A list in a list in a list: "- - - a", also with "? " and ": ".
  if (/(?:[-?:][ \t]+){64}/.test(text)) throw tooDeep();
}

function requireDepth(depth: number): void {
  if (depth > mostDepth) throw tooDeep();
}

function tooDeep(): TooDeep {
  return new TooDeep(`it is nested deeper than ${mostDepth} levels`);
}

const [quote, backslash] = [0x22, 0x5c];

/** Change of the depth at a character: "[" and "{" open, "]" and "}" close. */
function turnAt(code: number): number {
  if (code === 0x5b || code === 0x7b) return 1;
  return code === 0x5d || code === 0x7d ? -1 : 0;
}

/** How deep arrays and objects lie in each other; ends as soon as that is too deep. */
function jsonDepth(text: string): number {
  let [depth, deepest] = [0, 0];
  let isString = false;
  for (let i = 0; i < text.length && deepest <= mostDepth; i++) {
    const code = text.charCodeAt(i);
    if (isString && code === backslash) i += 1;
    else if (code === quote) isString = !isString;
    else if (!isString) deepest = Math.max(deepest, (depth += turnAt(code)));
  }
  return deepest;
}

function yamlDepth(text: string): number {
  let [depth, deepest] = [0, 0];
  for (let i = 0; i < text.length && deepest <= mostDepth; i++)
    // What a comment closes must not hide what is opened.
    deepest = Math.max(deepest, (depth = Math.max(0, depth + turnAt(text.charCodeAt(i)))));
  return deepest;
}
