// Enlarges on the server that the page comes from: the file goes there as it is, and the answer is
// lines of JSON that say how far it is, the last of which announces the bytes of a PNG.

/** @typedef {import('./page.js').Enlarger} Enlarger */

/** @type {Enlarger} */
export async function enlargePicture({ file, onProgress, signal }) {
  const response = await fetch('enlarge', { method: 'POST', body: file, signal }).catch((error) => {
    if (signal.aborted) throw error;
    throw new Error('The server can’t be reached. Is “lockstep serve” still running?');
  });
  if (!response.ok || response.body === null) throw new Error(await refusalOf(response));
  const answer = createLineReader(response.body.getReader());
  for (;;) {
    const line = await answer.line();
    if (line.kind === 'problem') throw new Error(line.text);
    if (line.kind === 'picture')
      return new Blob(await answer.rest(line.bytes), { type: 'image/png' });
    onProgress(line);
  }
}

/** @param {Response} response */
async function refusalOf(response) {
  const text = await response.json().then(
    ({ text }) => text,
    () => undefined,
  );
  return text ?? `The server answered with ${response.status} ${response.statusText}.`;
}

const cutOff = 'The server ended the connection before the picture was done.';

/** @param {ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>} reader */
function createLineReader(reader) {
  const decoder = new TextDecoder();
  let kept = new Uint8Array();
  const read = async () => {
    const { value } = await reader.read();
    if (value === undefined) throw new Error(cutOff);
    return value;
  };
  return {
    async line() {
      for (;;) {
        const end = kept.indexOf(10);
        if (end >= 0) {
          const text = decoder.decode(kept.subarray(0, end));
          kept = kept.slice(end + 1);
          return JSON.parse(text);
        }
        const more = await read();
        const joined = new Uint8Array(kept.length + more.length);
        joined.set(kept);
        joined.set(more, kept.length);
        kept = joined;
      }
    },
    /**
     * The bytes behind the last line, which are so many.
     * @param {number} bytes
     */
    async rest(bytes) {
      const parts = [kept];
      for (let got = kept.length; got < bytes; got += parts[parts.length - 1].length)
        parts.push(await read());
      return parts;
    },
  };
}
