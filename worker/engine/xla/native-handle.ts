// Who owns a native object, and when it is destroyed: when it was closed and nothing under way uses
// it any more. To use a closed one is a bug, and an error instead of a crash.

/** A native object by its address. */
export interface NativeHandle {
  /** Throws when it is closed. */
  address(): bigint;
  /** Keeps the object until `release`, also when it is closed meanwhile; throws if it is. */
  hold(): void;
  release(): void;
  /** Destroys it, or has the last `release` do so. */
  close(): void;
}

/** Takes over an object; `destroy` is called once. */
export function createHandle(
  what: string,
  address: bigint,
  destroy: (address: bigint) => void,
): NativeHandle {
  let users = 0;
  let isClosed = false;
  const addressOfOpen = (): bigint => {
    if (isClosed) throw new Error(`the ${what} is closed`);
    return address;
  };
  return {
    address: addressOfOpen,
    hold: () => {
      addressOfOpen();
      users += 1;
    },
    release: () => {
      users -= 1;
      if (users === 0 && isClosed) destroy(address);
    },
    close: () => {
      if (isClosed) return;
      isClosed = true;
      if (users === 0) destroy(address);
    },
  };
}

/** Does something that takes time with objects that must not be destroyed meanwhile. */
export async function holding<T>(
  handles: readonly NativeHandle[],
  use: (addresses: readonly bigint[]) => Promise<T>,
): Promise<T> {
  const addresses = handles.map((handle) => handle.address());
  handles.forEach((handle) => handle.hold());
  try {
    return await use(addresses);
  } finally {
    [...handles].reverse().forEach((handle) => handle.release());
  }
}
