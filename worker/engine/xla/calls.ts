// Calls of a plugin's functions by their names: each takes one struct and gives an error or none.
// An error becomes a PjrtError and is freed. Calls that wait run on another thread, with all that
// they point to kept alive until they are done.

import { copyOf, createStruct, errorCodes, functionOffset, namedValueTypes } from './abi.js';
import type { FieldValue, PjrtFunction, Pointed, Struct } from './abi.js';
import { addressOf, functionAt, readMemory, readWord, type NativeFunction } from './native.js';

/** What a plugin reports: its own message, and a code of `PJRT_Error_Code`. */
export class PjrtError extends Error {
  /** "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED", ... */
  readonly code: string;

  constructor(call: string, code: string, message: string) {
    super(`${call}: ${code}: ${message}`);
    this.name = 'PjrtError';
    this.code = code;
  }
}

type Fields = Readonly<Record<string, FieldValue>>;

/** The functions of one plugin. */
export interface PjrtCalls {
  /** Calls on this thread; gives the struct with what the plugin wrote. Throws PjrtError. */
  call(name: PjrtFunction, fields?: Fields): Struct;
  /** The same on another thread, for what takes long. */
  callAside(name: PjrtFunction, fields: Fields): Promise<Struct>;
  /** Waits until an event has happened, and frees it. Rejects with the error that it carries. */
  settle(event: bigint): Promise<void>;
}

/** The functions of the table at `api` (`PJRT_Api`). */
export function openCalls(api: bigint): PjrtCalls {
  const functions = new Map<PjrtFunction, NativeFunction>();
  const find = (name: PjrtFunction): NativeFunction => {
    const known = functions.get(name);
    if (known !== undefined) return known;
    const found = functionAt(readWord(api + BigInt(functionOffset(name))));
    functions.set(name, found);
    return found;
  };
  const raw = (name: PjrtFunction, fields: Fields): Struct => {
    const struct = createStruct(name, fields);
    find(name).call(addressOf(struct.bytes));
    return struct;
  };
  const check = (name: string, error: bigint): void => {
    if (error === 0n) return;
    const code = Number(raw('Error_GetCode', { error }).get('code'));
    const message = textOf(raw('Error_Message', { error }), 'message');
    raw('Error_Destroy', { error });
    throw new PjrtError(`PJRT_${name}`, errorCodes[code] ?? String(code), message);
  };
  const call = (name: PjrtFunction, fields: Fields = {}): Struct => {
    const struct = createStruct(name, fields);
    check(name, find(name).call(addressOf(struct.bytes)));
    return struct;
  };
  // What native code may read or write at this moment.
  const inUse = new Set<Struct>();
  const callAside = async (name: PjrtFunction, fields: Fields): Promise<Struct> => {
    const struct = createStruct(name, fields);
    inUse.add(struct);
    try {
      check(name, await find(name).callAside(addressOf(struct.bytes)));
      return struct;
    } finally {
      inUse.delete(struct);
    }
  };
  const settle = async (event: bigint): Promise<void> => {
    if (event === 0n) return;
    try {
      if (call('Event_IsReady', { event }).get('is_ready') === 1n) call('Event_Error', { event });
      else await callAside('Event_Await', { event });
    } finally {
      call('Event_Destroy', { event });
    }
  };
  return { call, callAside, settle };
}

/** The text that a struct's field points to; its length is in the field `..._size`. */
export function textOf(struct: Struct, field: string): string {
  const bytes = readMemory(struct.get(field), Number(struct.get(`${field}_size`)));
  return Buffer.from(bytes).toString('utf8');
}

/** Options by name: a bigint is PJRT's int64, a number its float. */
export type NamedValues = Readonly<Record<string, boolean | bigint | number | string>>;

/** An array of `PJRT_NamedValue`. */
export function encodeNamedValues(values: NamedValues): Pointed {
  const items = Object.entries(values).map(([key, given]) => {
    const name = copyOf(Buffer.from(key));
    const text = typeof given === 'string' ? copyOf(Buffer.from(given)) : undefined;
    return createStruct('NamedValue', {
      ...{ name, name_size: name.size, type: typeOf(given) },
      ...{ value: text ?? wordOf(given), value_size: text?.size ?? 1 },
    });
  });
  return { ...copyOf(Buffer.concat(items.map(({ bytes }) => bytes))), kept: items };
}

function typeOf(value: boolean | bigint | number | string): number {
  if (typeof value === 'boolean') return namedValueTypes.bool;
  if (typeof value === 'bigint') return namedValueTypes.int64;
  return typeof value === 'number' ? namedValueTypes.float : namedValueTypes.string;
}

/** The bits of a scalar in the first bytes of C's union. */
function wordOf(value: boolean | bigint | number | string): bigint {
  if (typeof value !== 'number') return BigInt(value);
  return BigInt(new Uint32Array(new Float32Array([value]).buffer)[0] ?? 0);
}
