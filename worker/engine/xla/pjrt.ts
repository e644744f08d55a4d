// XLA's plugin interface (PJRT) for TypeScript: a plugin gives a client; the client has devices,
// compiles StableHLO text into executables, and holds buffers on the devices. What a client gave is
// its own: closing it destroys all that is left. What waits does so on another thread, so the event
// loop runs meanwhile. Main thread only, float32 only.

import { sizeOf } from '../../../shared/layout.js';
import { OperatorError } from '../../../shared/problems.js';
import { copyOf, createStruct, listOf, pointTo, words } from './abi.js';
import { float32Type, hostMemory, majorVersion, neededTableSize, versionOffsets } from './abi.js';
import { encodeNamedValues, openCalls, PjrtError, textOf } from './calls.js';
import type { NamedValues, PjrtCalls } from './calls.js';
import { encodeCompileOptions, type XlaFlags } from './compile-options.js';
import { functionAt, loadLibrary, readInt, readMemory, readWord, readWords } from './native.js';
import { createHandle, holding, type NativeHandle } from './native-handle.js';

/** A loaded plugin. It stays loaded until the process ends. */
export interface PjrtPlugin {
  /** Of the interface: "0.115". */
  readonly apiVersion: string;
  /**
   * Starts its runtime. `options` are the plugin's own: which there are depends on its platform.
   * `flags` are for all that the client compiles.
   */
  createClient(options?: NamedValues, flags?: XlaFlags): Promise<PjrtClient>;
}

/** A device of a client's. */
export interface PjrtDevice {
  /** Place among the client's devices. */
  readonly index: number;
  /** "cpu", "NVIDIA H100 80GB HBM3", ... */
  readonly kind: string;
  /** Bytes in use and bytes there are; undefined where the plugin does not say. */
  memory(): { readonly inUse: number; readonly limit: number | undefined } | undefined;
}

/** Float32 values on a device. */
export interface PjrtBuffer {
  readonly shape: readonly number[];
  /** Resolves when the values are there; rejects with the error of what computes them. */
  ready(): Promise<void>;
  /**
   * Copies all values into an array of that many floats, which may be a view of shared memory; of a
   * vector, with `from`, as many as the array has from there on.
   */
  download(into: Float32Array, from?: number): Promise<void>;
  /** Frees it, at once or when what uses it is done. Harmless for one that was donated. */
  close(): void;
}

/** A compiled program, ready for any of its client's devices. */
export interface PjrtExecutable {
  /**
   * Starts it on a device, where the inputs must be; gives its outputs, which may yet be computed.
   * Inputs that the program aliases to outputs (`tf.aliasing_output`) are donated: they hold
   * nothing afterwards. `kept` are the places of inputs that must not be donated for once.
   */
  execute(
    device: PjrtDevice,
    inputs: readonly PjrtBuffer[],
    options?: { readonly kept?: readonly number[] },
  ): Promise<PjrtBuffer[]>;
  /** Bytes that `load` of the same plugin takes; undefined where the plugin can't give any. */
  serialize(): Uint8Array<ArrayBuffer> | undefined;
  close(): void;
}

export interface PjrtClient {
  /** "cpu", "cuda", ... */
  readonly platform: string;
  /** In the plugin's words, of any form: "PJRT C API\ncuda 13000". */
  readonly platformVersion: string;
  readonly apiVersion: string;
  readonly devices: readonly PjrtDevice[];
  /** Buffers that are not closed. */
  readonly liveBuffers: number;
  /** Compiles the text of a StableHLO module for one device, any of them. */
  compile(stablehlo: string, flags?: XlaFlags): Promise<PjrtExecutable>;
  /** An executable out of what `serialize` gave; rejects with PjrtError when it can't be read. */
  load(serialized: Uint8Array): Promise<PjrtExecutable>;
  /** Copies values to a device. When it resolves, the array may be changed again. */
  upload(values: Float32Array, shape: readonly number[], device: PjrtDevice): Promise<PjrtBuffer>;
  /** Destroys all that it gave, then itself, when what is under way is done. */
  close(): void;
}

const plugins = new Map<string, PjrtPlugin>();

/**
 * Loads a plugin, once a process. Throws OperatorError when the file can't be loaded, is no plugin,
 * or speaks another version of the interface.
 */
export function openPlugin(path: string): PjrtPlugin {
  const known = plugins.get(path);
  if (known !== undefined) return known;
  const api = findInterface(path);
  const [major, minor] = [versionOffsets.major, versionOffsets.minor].map((offset) =>
    readInt(api + BigInt(offset)),
  );
  const apiVersion = `${major}.${minor}`;
  const size = Number(readWord(api));
  if (major !== majorVersion || size < neededTableSize)
    throw unfit(path, `speaks version ${apiVersion} with ${size} bytes of functions`);
  const calls = openCalls(api);
  calls.call('Plugin_Initialize');
  const plugin: PjrtPlugin = {
    apiVersion,
    createClient: (options = {}, flags = {}) => createClient(calls, apiVersion, options, flags),
  };
  plugins.set(path, plugin);
  return plugin;
}

function findInterface(path: string): bigint {
  try {
    const api = loadLibrary(path).callExported('GetPjrtApi');
    if (api !== 0n) return api;
  } catch (error) {
    if (error instanceof OperatorError) throw error;
    throw unfit(path, (error as Error).message);
  }
  throw unfit(path, 'gives no interface');
}

function unfit(path: string, what: string): OperatorError {
  const allowed =
    `a plugin of XLA's that can be loaded and speaks version ${majorVersion}.x of PJRT ` +
    `with ${neededTableSize} bytes of functions or more`;
  return new OperatorError('this is no plugin that Lockstep can use', [
    { key: path, given: what, allowed, hint: 'npm run setup:xla installs one' },
  ]);
}

/** What the objects of one client share. */
interface Shared {
  readonly calls: PjrtCalls;
  readonly client: NativeHandle;
  readonly deviceAddresses: readonly bigint[];
  /** Buffers and executables that are not destroyed. */
  readonly open: Set<NativeHandle>;
  readonly handles: WeakMap<PjrtBuffer, NativeHandle>;
  liveBuffers: number;
}

async function createClient(
  calls: PjrtCalls,
  apiVersion: string,
  options: NamedValues,
  common: XlaFlags,
): Promise<PjrtClient> {
  const made = await calls.callAside('Client_Create', {
    create_options: encodeNamedValues(options),
    num_options: Object.keys(options).length,
  });
  const client = made.get('client');
  const named = calls.call('Client_PlatformName', { client });
  const version = calls.call('Client_PlatformVersion', { client });
  const listed = calls.call('Client_AddressableDevices', { client });
  const count = Number(listed.get('num_addressable_devices'));
  const deviceAddresses = readWords(listed.get('addressable_devices'), count);
  const open = new Set<NativeHandle>();
  const handle = createHandle('client', client, () => {
    open.forEach((one) => one.close());
    calls.call('Client_Destroy', { client });
  });
  const shared: Shared = {
    ...{ calls, client: handle, deviceAddresses, open },
    ...{ handles: new WeakMap(), liveBuffers: 0 },
  };
  return {
    platform: textOf(named, 'platform_name'),
    platformVersion: textOf(version, 'platform_version'),
    apiVersion,
    devices: deviceAddresses.map((address, index) => createDevice(shared, address, index)),
    get liveBuffers() {
      return shared.liveBuffers;
    },
    compile: (stablehlo, flags) => compile(shared, stablehlo, { ...flags, ...common }),
    load: (serialized) => load(shared, serialized),
    upload: (values, shape, device) => upload(shared, values, shape, device),
    close: () => {
      open.forEach((one) => one.close());
      handle.close();
    },
  };
}

function createDevice({ calls, client }: Shared, device: bigint, index: number): PjrtDevice {
  const described = calls.call('Device_GetDescription', { device });
  const kind = calls.call('DeviceDescription_Kind', {
    device_description: described.get('device_description'),
  });
  return {
    index,
    kind: textOf(kind, 'device_kind'),
    memory: () => {
      client.address();
      try {
        const stats = calls.call('Device_MemoryStats', { device });
        const hasLimit = stats.get('bytes_limit_is_set') === 1n;
        return {
          inUse: Number(stats.get('bytes_in_use')),
          limit: hasLimit ? Number(stats.get('bytes_limit')) : undefined,
        };
      } catch (error) {
        if (error instanceof PjrtError && error.code === 'UNIMPLEMENTED') return undefined;
        throw error;
      }
    },
  };
}

function compile(shared: Shared, text: string, flags: XlaFlags): Promise<PjrtExecutable> {
  const [code, format] = [copyOf(Buffer.from(text)), copyOf(Buffer.from('mlir'))];
  const program = createStruct('Program', {
    ...{ code, code_size: code.size, format, format_size: format.size },
  });
  const options = copyOf(encodeCompileOptions(flags));
  return holding([shared.client], async ([client = 0n]) => {
    const compiled = await shared.calls.callAside('Client_Compile', {
      ...{ client, program, compile_options: options, compile_options_size: options.size },
    });
    return createExecutable(shared, compiled.get('executable'));
  });
}

function load(shared: Shared, serialized: Uint8Array): Promise<PjrtExecutable> {
  const bytes = copyOf(serialized);
  return holding([shared.client], async ([client = 0n]) => {
    const loaded = await shared.calls.callAside('Executable_DeserializeAndLoad', {
      ...{ client, serialized_executable: bytes, serialized_executable_size: bytes.size },
    });
    return createExecutable(shared, loaded.get('loaded_executable'));
  });
}

function createExecutable(shared: Shared, loaded: bigint): PjrtExecutable {
  const { calls, open } = shared;
  const described = calls.call('LoadedExecutable_GetExecutable', { loaded_executable: loaded });
  const executable = described.get('executable');
  const counted = calls.call('Executable_NumOutputs', { executable });
  const outputs = Number(counted.get('num_outputs'));
  const handle = createHandle('executable', loaded, () => {
    open.delete(handle);
    calls.call('Executable_Destroy', { executable });
    calls.call('LoadedExecutable_Destroy', { executable: loaded });
  });
  open.add(handle);
  return {
    execute: (device, inputs, { kept = [] } = {}) =>
      execute(shared, { handle, outputs, device, inputs, kept }),
    serialize: () => {
      handle.address();
      return serialize(calls, executable);
    },
    close: handle.close,
  };
}

interface Execution {
  readonly handle: NativeHandle;
  /** How many there are. */
  readonly outputs: number;
  readonly device: PjrtDevice;
  readonly inputs: readonly PjrtBuffer[];
  readonly kept: readonly number[];
}

function execute(shared: Shared, execution: Execution): Promise<PjrtBuffer[]> {
  const { device, inputs, outputs, kept, handle } = execution;
  const results = words(new Array<bigint>(outputs).fill(0n));
  const options = createStruct('ExecuteOptions', {
    non_donatable_input_indices: words(kept.map(BigInt)),
    num_non_donatable_input_indices: kept.length,
  });
  const used = [shared.client, handle, ...inputs.map((buffer) => handleOf(shared, buffer))];
  return holding(used, async ([, executable = 0n, ...buffers]) => {
    await shared.calls.callAside('LoadedExecutable_Execute', {
      ...{ executable, options, num_devices: 1, num_args: inputs.length },
      ...{ argument_lists: listOf(words(buffers)), output_lists: listOf(results) },
      execute_device: addressOfDevice(shared, device),
    });
    return [...results.bytes.subarray(0, outputs)].map((buffer) => createBuffer(shared, buffer));
  });
}

/** The bytes are copied, since what holds them is freed at once. */
function serialize(calls: PjrtCalls, executable: bigint): Uint8Array<ArrayBuffer> | undefined {
  try {
    const made = calls.call('Executable_Serialize', { executable });
    const size = Number(made.get('serialized_bytes_size'));
    const bytes = readMemory(made.get('serialized_bytes'), size);
    functionAt(made.get('serialized_executable_deleter')).call(made.get('serialized_executable'));
    return bytes;
  } catch (error) {
    if (error instanceof PjrtError && error.code === 'UNIMPLEMENTED') return undefined;
    throw error;
  }
}

/** Arrays up to so many bytes are copied during the call: nothing to wait for. */
const smallBytes = 64 * 1024;

async function upload(
  shared: Shared,
  values: Float32Array,
  shape: readonly number[],
  device: PjrtDevice,
): Promise<PjrtBuffer> {
  if (values.length !== sizeOf(shape))
    throw new Error(`${values.length} floats are no tensor of the shape [${shape.join(', ')}]`);
  const { duringCall, untilTransferred } = hostMemory;
  // An array of a few floats lies in JavaScript's heap.
  const isSmall = values.byteLength <= smallBytes;
  return holding([shared.client], async ([client = 0n]) => {
    const made = shared.calls.call('Client_BufferFromHostBuffer', {
      ...{ client, data: pointTo(values), type: float32Type },
      ...{ dims: words(shape.map(BigInt)), num_dims: shape.length },
      host_buffer_semantics: isSmall ? duringCall : untilTransferred,
      device: addressOfDevice(shared, device),
    });
    const buffer = createBuffer(shared, made.get('buffer'));
    await settleKeeping(shared.calls, made.get('done_with_host_buffer'), values);
    return buffer;
  });
}

function createBuffer(shared: Shared, buffer: bigint): PjrtBuffer {
  const { calls, client, open, handles } = shared;
  const described = calls.call('Buffer_Dimensions', { buffer });
  const rank = Number(described.get('num_dims'));
  const shape = readWords(described.get('dims'), rank).map(Number);
  const handle = createHandle('buffer', buffer, () => {
    open.delete(handle);
    shared.liveBuffers -= 1;
    calls.call('Buffer_Destroy', { buffer });
  });
  open.add(handle);
  shared.liveBuffers += 1;
  const created: PjrtBuffer = {
    shape,
    ready: () =>
      holding([client, handle], () =>
        calls.settle(calls.call('Buffer_ReadyEvent', { buffer }).get('event')),
      ),
    download: (into, from) =>
      holding([client, handle], () => download(calls, buffer, shape, into, from)),
    close: handle.close,
  };
  handles.set(created, handle);
  return created;
}

async function download(
  calls: PjrtCalls,
  src: bigint,
  shape: readonly number[],
  into: Float32Array,
  from?: number,
): Promise<void> {
  const size = sizeOf(shape);
  const fits = from === undefined ? into.length === size : from + into.length <= size;
  if (!fits)
    throw new Error(`[${shape.join(', ')}] does not go into an array of ${into.length} floats`);
  const type = Number(calls.call('Buffer_ElementType', { buffer: src }).get('type'));
  if (type !== float32Type) throw new Error(`the buffer's elements are of type ${type}, not F32`);
  const [dst, bytes] = [pointTo(into), into.byteLength];
  const part = { buffer: src, dst, offset: 4 * (from ?? 0), transfer_size: bytes };
  const started =
    from === undefined
      ? calls.call('Buffer_ToHostBuffer', { src, dst, dst_size: bytes })
      : calls.call('Buffer_CopyRawToHost', part);
  await settleKeeping(calls, started.get('event'), into);
}

const inTransfer = new Set<{ readonly values: Float32Array }>();

/** Waits for a transfer, and keeps the array from the garbage collector meanwhile. */
async function settleKeeping(calls: PjrtCalls, event: bigint, values: Float32Array): Promise<void> {
  const transfer = { values };
  inTransfer.add(transfer);
  try {
    await calls.settle(event);
  } finally {
    inTransfer.delete(transfer);
  }
}

function handleOf(shared: Shared, buffer: PjrtBuffer): NativeHandle {
  const handle = shared.handles.get(buffer);
  if (handle === undefined) throw new Error('the buffer is of another client');
  return handle;
}

function addressOfDevice(shared: Shared, device: PjrtDevice): bigint {
  const address = shared.deviceAddresses[device.index];
  if (address === undefined) throw new Error(`the client has no device ${device.index}`);
  return address;
}
