// The options that a program is compiled with, as the protobuf message that PJRT takes
// (`CompileOptionsProto` of openxla/xla, xla/pjrt/proto/compile_options.proto; field numbers in the
// comments). Flags of XLA go in here by name, so that nothing depends on XLA_FLAGS.

import protobuf from 'protobufjs/minimal.js';

/** Flags of XLA (`DebugOptions` of xla.proto) by their names. */
export type XlaFlags = Readonly<Record<string, boolean | number | string>>;

const wire = { varint: 0, double: 1, bytes: 2 } as const;
const tag = (field: number, type: number): number => (field << 3) | type;

/**
 * `CompileOptionsProto` of a program for one device, any of the client's: a portable executable,
 * whose device is named when it runs.
 */
export function encodeCompileOptions(flags: XlaFlags): Uint8Array {
  const writer = protobuf.Writer.create();
  // executable_build_options = 3 { device_ordinal = 1, num_replicas = 4, num_partitions = 5 }
  writer.uint32(tag(3, wire.bytes)).fork();
  writer.uint32(tag(1, wire.varint)).int64(-1);
  writer.uint32(tag(4, wire.varint)).int64(1);
  writer.uint32(tag(5, wire.varint)).int64(1);
  writer.ldelim();
  // compile_portable_executable = 4
  writer.uint32(tag(4, wire.varint)).bool(true);
  // map<string, OptionOverrideProto> env_option_overrides = 7 { key = 1, value = 2 }
  for (const [name, value] of Object.entries(flags).sort(([a], [b]) => (a < b ? -1 : 1))) {
    writer.uint32(tag(7, wire.bytes)).fork();
    writer.uint32(tag(1, wire.bytes)).string(name);
    writer.uint32(tag(2, wire.bytes)).fork();
    encodeValue(writer, value);
    writer.ldelim();
    writer.ldelim();
  }
  return writer.finish();
}

/** `OptionOverrideProto`: string_field = 1, bool_field = 2, int_field = 3, double_field = 4. */
function encodeValue(writer: protobuf.Writer, value: boolean | number | string): void {
  if (typeof value === 'string') writer.uint32(tag(1, wire.bytes)).string(value);
  else if (typeof value === 'boolean') writer.uint32(tag(2, wire.varint)).bool(value);
  else if (Number.isInteger(value)) writer.uint32(tag(3, wire.varint)).int64(value);
  else writer.uint32(tag(4, wire.double)).double(value);
}
