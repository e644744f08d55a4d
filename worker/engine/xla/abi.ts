// The part of XLA's plugin interface (PJRT) that Lockstep calls, as its C header lays it out
// (openxla/xla, xla/pjrt/c/pjrt_c_api.h, version 0.81): which function stands where in the table of
// functions, and which field where in the struct that each one takes. The interface only grows, at
// the ends of its structs, so what stands here holds for every later version of major version 0.

import { addressOf } from './native.js';

/** The major version that these layouts are of. */
export const majorVersion = 0;

/** `PJRT_Api`, up to the last function that is called: its fields, 8 bytes each. */
const functionTable = `
  Error_Destroy Error_Message Error_GetCode Plugin_Initialize Plugin_Attributes
  Event_Destroy Event_IsReady Event_Error Event_Await Event_OnReady
  Client_Create Client_Destroy Client_PlatformName Client_ProcessIndex Client_PlatformVersion
  Client_Devices Client_AddressableDevices Client_LookupDevice Client_LookupAddressableDevice
  Client_AddressableMemories Client_Compile Client_DefaultDeviceAssignment
  Client_BufferFromHostBuffer
  DeviceDescription_Id DeviceDescription_ProcessIndex DeviceDescription_Attributes
  DeviceDescription_Kind DeviceDescription_DebugString DeviceDescription_ToString
  Device_GetDescription Device_IsAddressable Device_LocalHardwareId Device_AddressableMemories
  Device_DefaultMemory Device_MemoryStats
  Memory_Id Memory_Kind Memory_DebugString Memory_ToString Memory_AddressableByDevices
  Executable_Destroy Executable_Name Executable_NumReplicas Executable_NumPartitions
  Executable_NumOutputs Executable_SizeOfGeneratedCodeInBytes Executable_GetCostAnalysis
  Executable_OutputMemoryKinds Executable_OptimizedProgram Executable_Serialize
  LoadedExecutable_Destroy LoadedExecutable_GetExecutable LoadedExecutable_AddressableDevices
  LoadedExecutable_Delete LoadedExecutable_IsDeleted LoadedExecutable_Execute
  Executable_DeserializeAndLoad LoadedExecutable_Fingerprint
  Buffer_Destroy Buffer_ElementType Buffer_Dimensions Buffer_UnpaddedDimensions
  Buffer_DynamicDimensionIndices Buffer_GetMemoryLayout Buffer_OnDeviceSizeInBytes Buffer_Device
  Buffer_Memory Buffer_Delete Buffer_IsDeleted Buffer_CopyToDevice Buffer_ToHostBuffer
  Buffer_IsOnCpu Buffer_ReadyEvent Buffer_UnsafePointer Buffer_IncreaseExternalReferenceCount
  Buffer_DecreaseExternalReferenceCount Buffer_OpaqueDeviceMemoryDataPointer
  CopyToDeviceStream_Destroy CopyToDeviceStream_AddChunk CopyToDeviceStream_TotalBytes
  CopyToDeviceStream_GranuleSize CopyToDeviceStream_CurrentBytes
  TopologyDescription_Create TopologyDescription_Destroy TopologyDescription_PlatformName
  TopologyDescription_PlatformVersion TopologyDescription_GetDeviceDescriptions
  TopologyDescription_Serialize TopologyDescription_Attributes
  Compile Executable_OutputElementTypes Executable_OutputDimensions Buffer_CopyToMemory
  Client_CreateViewOfDeviceBuffer Executable_Fingerprint Client_TopologyDescription
  Executable_GetCompiledMemoryStats Memory_Kind_Id ExecuteContext_Create ExecuteContext_Destroy
  Buffer_CopyRawToHost
`
  .trim()
  .split(/\s+/);

/** Behind `struct_size`, `extension_start` and the version's own struct of 24 bytes. */
const firstFunction = 40;

/** Bytes of `PJRT_Api` that a plugin must have. */
export const neededTableSize = firstFunction + 8 * functionTable.length;

/** Where the version's two numbers stand in `PJRT_Api`. */
export const versionOffsets = { major: 32, minor: 36 } as const;

/** Where a function's pointer stands in `PJRT_Api`. */
export function functionOffset(name: PjrtFunction): number {
  return firstFunction + 8 * functionTable.indexOf(name);
}

/**
 * Fields of the structs, behind `struct_size` and `extension_start`, which all begin with. A
 * field is a pointer or a size of 8 bytes unless its type stands behind it.
 */
const structs = {
  Error_Destroy: 'error',
  Error_Message: 'error message message_size',
  Error_GetCode: 'error code:i32',
  Plugin_Initialize: '',
  Event_Destroy: 'event',
  Event_IsReady: 'event is_ready:bool',
  Event_Error: 'event',
  Event_Await: 'event',
  Client_Create: `create_options num_options kv_get_callback kv_get_user_arg kv_put_callback
    kv_put_user_arg client kv_try_get_callback kv_try_get_user_arg`,
  Client_Destroy: 'client',
  Client_PlatformName: 'client platform_name platform_name_size',
  Client_PlatformVersion: 'client platform_version platform_version_size',
  Client_AddressableDevices: 'client addressable_devices num_addressable_devices',
  Client_Compile: 'client program compile_options compile_options_size executable',
  Client_BufferFromHostBuffer: `client data type:i32 dims num_dims byte_strides num_byte_strides
    host_buffer_semantics:i32 device memory device_layout done_with_host_buffer buffer`,
  DeviceDescription_Kind: 'device_description device_kind device_kind_size',
  Device_GetDescription: 'device device_description',
  Device_MemoryStats: `device bytes_in_use peak_bytes_in_use peak_bytes_in_use_is_set:bool
    num_allocs num_allocs_is_set:bool largest_alloc_size largest_alloc_size_is_set:bool
    bytes_limit bytes_limit_is_set:bool bytes_reserved bytes_reserved_is_set:bool
    peak_bytes_reserved peak_bytes_reserved_is_set:bool
    bytes_reservable_limit bytes_reservable_limit_is_set:bool
    largest_free_block_bytes largest_free_block_bytes_is_set:bool
    pool_bytes pool_bytes_is_set:bool peak_pool_bytes peak_pool_bytes_is_set:bool`,
  Executable_Destroy: 'executable',
  Executable_NumOutputs: 'executable num_outputs',
  Executable_Serialize: `executable serialized_bytes serialized_bytes_size serialized_executable
    serialized_executable_deleter`,
  Executable_DeserializeAndLoad: `client serialized_executable serialized_executable_size
    loaded_executable overridden_serialized_compile_options
    overridden_serialized_compile_options_size`,
  LoadedExecutable_Destroy: 'executable',
  LoadedExecutable_GetExecutable: 'loaded_executable executable',
  LoadedExecutable_Execute: `executable options argument_lists num_devices num_args output_lists
    device_complete_events execute_device`,
  Buffer_Destroy: 'buffer',
  Buffer_ElementType: 'buffer type:i32',
  Buffer_Dimensions: 'buffer dims num_dims',
  Buffer_ToHostBuffer: 'src host_layout dst dst_size event',
  Buffer_ReadyEvent: 'buffer event',
  Buffer_CopyRawToHost: 'buffer dst offset transfer_size event',
} as const;

/** Structs that functions point to. */
const inner = {
  Program: 'code code_size format format_size',
  NamedValue: 'name name_size type:i32 value value_size',
  ExecuteOptions: `send_callbacks recv_callbacks num_send_ops num_recv_ops launch_id:i32
    non_donatable_input_indices num_non_donatable_input_indices context call_location num_tasks
    task_ids incarnation_ids`,
} as const;

/** A function of the interface, without its prefix `PJRT_`. */
export type PjrtFunction = keyof typeof structs;
type StructName = PjrtFunction | keyof typeof inner;

/** A field's place in its struct, and how it is read. */
interface Field {
  readonly offset: number;
  readonly type: 'pointer' | 'i32' | 'bool';
}

interface Layout {
  readonly size: number;
  readonly fields: ReadonlyMap<string, Field>;
}

const widths = { pointer: 8, i32: 4, bool: 1 } as const;
const header = 16;

/** As a C compiler lays it out: each field on a multiple of its width. */
function layOut(fields: string): Layout {
  const placed = new Map<string, Field>();
  let end = header;
  for (const field of fields.split(/\s+/).filter((text) => text !== '')) {
    const [name = '', given] = field.split(':');
    const type = given === 'i32' || given === 'bool' ? given : 'pointer';
    const offset = Math.ceil(end / widths[type]) * widths[type];
    placed.set(name, { offset, type });
    end = offset + widths[type];
  }
  return { size: end, fields: placed };
}

const layouts = new Map(
  Object.entries({ ...structs, ...inner }).map(([name, fields]) => [name, layOut(fields)]),
);

/** Memory that is pointed to, and what it points to itself: alive as long as it is. */
export interface Pointed {
  /** Lies outside of JavaScript's heap, whose small arrays the garbage collector moves. */
  readonly bytes: ArrayBufferView;
  readonly kept: readonly unknown[];
}

/** A number, a pointer, or what is pointed to. */
export type FieldValue = bigint | number | Pointed;

/** A struct in memory of its own. */
export interface Struct extends Pointed {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** A pointer or a number; 1 or 0 for a bool. Throws for a field that the struct lacks. */
  get(field: string): bigint;
}

/** The struct that a function takes, or one that it points to, with its size filled in. */
export function createStruct(
  name: StructName,
  values: Readonly<Record<string, FieldValue>> = {},
): Struct {
  const layout = layouts.get(name);
  if (layout === undefined) throw new Error(`no struct is called ${name}`);
  // A whole number of eights, as C pads it.
  const bytes = new Uint8Array(new ArrayBuffer(Math.ceil(layout.size / 8) * 8));
  const view = new DataView(bytes.buffer);
  const place = (field: string): Field => {
    const found = layout.fields.get(field);
    if (found === undefined) throw new Error(`${name} has no field ${field}`);
    return found;
  };
  const set = (field: string, value: FieldValue): void => {
    const { offset, type } = place(field);
    const word = typeof value === 'object' ? addressOf(value.bytes) : value;
    if (type === 'pointer') view.setBigUint64(offset, BigInt(word), true);
    else if (type === 'i32') view.setInt32(offset, Number(word), true);
    else view.setUint8(offset, Number(word));
  };
  view.setBigUint64(0, BigInt(layout.size), true);
  for (const [field, value] of Object.entries(values)) set(field, value);
  return {
    bytes,
    kept: Object.values(values),
    get: (field) => {
      const { offset, type } = place(field);
      if (type === 'pointer') return view.getBigUint64(offset, true);
      return BigInt(type === 'i32' ? view.getInt32(offset, true) : view.getUint8(offset));
    },
  };
}

/** An array as it is: it must be over an ArrayBuffer, not in JavaScript's heap. */
export function pointTo(bytes: ArrayBufferView): Pointed {
  return { bytes, kept: [] };
}

/** A copy of bytes, for arrays that may lie anywhere. */
export function copyOf(given: Uint8Array): Pointed & { readonly size: number } {
  const bytes = new Uint8Array(new ArrayBuffer(Math.max(1, given.length)));
  bytes.set(given);
  return { bytes, kept: [], size: given.length };
}

/** An array of pointers or sizes. */
export function words(values: readonly bigint[]): Pointed & { readonly bytes: BigUint64Array } {
  const bytes = new BigUint64Array(new ArrayBuffer(8 * Math.max(1, values.length)));
  bytes.set(values);
  return { bytes, kept: [] };
}

/** A list with one item, a pointer. */
export function listOf(item: Pointed): Pointed {
  return { ...words([addressOf(item.bytes)]), kept: [item] };
}

/** `PJRT_Buffer_Type_F32`, the only element type that is moved. */
export const float32Type = 11;

/** `PJRT_HostBufferSemantics`: how long the array that is uploaded must stay as it is. */
export const hostMemory = { duringCall: 0, untilTransferred: 1 } as const;

/** `PJRT_NamedValue_Type`. */
export const namedValueTypes = { string: 0, int64: 1, float: 3, bool: 4 } as const;

/** `PJRT_Error_Code`, which is Abseil's (https://abseil.io/docs/cpp/guides/status-codes). */
export const errorCodes = `
  OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS
  PERMISSION_DENIED RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED
  INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED
`
  .trim()
  .split(/\s+/);
