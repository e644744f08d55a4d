// TensorBoard's file format, as far as Lockstep writes it: events as protobuf, each framed as a
// TFRecord. Field numbers: event.proto and summary.proto (compat/proto), and plugin.proto and
// api.proto of the plugin hparams. Frame: tensorflow/core/lib/io/record_writer.h.

import { crc32c } from '@aws-crypto/crc32c';
import protobuf from 'protobufjs';

/** A number or a picture under a tag, or what a plugin is told. */
export interface SummaryValue {
  readonly tag: string;
  readonly simpleValue?: number;
  readonly image?: {
    readonly width: number;
    readonly height: number;
    /** 3: RGB, 4: RGBA. */
    readonly colorspace: number;
    /** A PNG file. */
    readonly encodedImageString: Uint8Array;
  };
  readonly metadata?: {
    readonly pluginData: { readonly pluginName: string; readonly content: Uint8Array };
    readonly dataClass: number;
  };
  readonly tensor?: typeof emptyTensor;
}

/** An event of TensorBoard. */
export interface BoardEvent {
  /** Seconds since 1970. */
  readonly wallTime: number;
  readonly step?: number;
  readonly fileVersion?: string;
  readonly summary?: { readonly value: readonly SummaryValue[] };
  /** `status` 1: the run goes on from `step`, and what lies at or after it is void. */
  readonly sessionLog?: { readonly status: number };
}

/** A value of a spec, as google.protobuf.Value. */
export type HparamValue =
  | { readonly numberValue: number }
  | { readonly stringValue: string }
  | { readonly boolValue: boolean };

/** What the plugin hparams is told; one of the three. */
export interface HparamsData {
  readonly version: 0;
  readonly experiment?: {
    readonly hparamInfos: readonly { readonly name: string; readonly type: number }[];
    readonly metricInfos: readonly { readonly name: { readonly tag: string } }[];
  };
  readonly sessionStartInfo?: {
    readonly hparams: Readonly<Record<string, HparamValue>>;
    readonly groupName: string;
    readonly startTimeSecs: number;
  };
  /** `status` 1: it has succeeded. */
  readonly sessionEndInfo?: { readonly status: number; readonly endTimeSecs: number };
}

const schema = protobuf.parse(`syntax = "proto3";
  message Event {
    double wall_time = 1;
    int64 step = 2;
    oneof what { string file_version = 3; Summary summary = 5; SessionLog session_log = 7; }
  }
  message SessionLog { int32 status = 1; }
  message Summary { repeated Value value = 1; }
  message Value {
    string tag = 1;
    oneof value { float simple_value = 2; Image image = 4; Tensor tensor = 8; }
    Metadata metadata = 9;
  }
  message Image {
    int32 height = 1;
    int32 width = 2;
    int32 colorspace = 3;
    bytes encoded_image_string = 4;
  }
  message Tensor { int32 dtype = 1; Shape tensor_shape = 2; }
  message Shape { repeated Dim dim = 2; }
  message Dim { int64 size = 1; }
  message Metadata { PluginData plugin_data = 1; int32 data_class = 4; }
  message PluginData { string plugin_name = 1; bytes content = 2; }

  message HparamsData {
    int32 version = 1;
    oneof data {
      Experiment experiment = 2;
      SessionStart session_start_info = 3;
      SessionEnd session_end_info = 4;
    }
  }
  message Experiment { repeated HparamInfo hparam_infos = 4; repeated MetricInfo metric_infos = 5; }
  message HparamInfo { string name = 1; int32 type = 4; }
  message MetricInfo { MetricName name = 1; }
  message MetricName { string tag = 2; }
  message SessionStart {
    map<string, JsonValue> hparams = 1;
    string group_name = 4;
    double start_time_secs = 5;
  }
  message SessionEnd { int32 status = 1; double end_time_secs = 2; }
  message JsonValue {
    oneof kind { double number_value = 2; string string_value = 3; bool bool_value = 4; }
  }`).root;
const eventType = schema.lookupType('Event');
const hparamsType = schema.lookupType('HparamsData');

/** What stands in the place of a tensor where a plugin wants none: floats of shape [0]. */
export const emptyTensor = { dtype: 1, tensorShape: { dim: [{ size: 0 }] } } as const;

/** The bytes of what the plugin hparams is told. */
export function encodeHparams(data: HparamsData): Uint8Array {
  return hparamsType.encode(data).finish();
}

/** An event as a record of a file. */
export function encodeRecord(event: BoardEvent): Uint8Array {
  const body = eventType.encode(event).finish();
  const record = Buffer.alloc(body.length + 16);
  record.writeBigUInt64LE(BigInt(body.length), 0);
  record.writeUInt32LE(maskedSum(record.subarray(0, 8)), 8);
  record.set(body, 12);
  record.writeUInt32LE(maskedSum(body), body.length + 12);
  return record;
}

/** A CRC of data that hold CRCs themselves says little, so it is turned and shifted. */
function maskedSum(bytes: Uint8Array): number {
  const sum = crc32c(bytes);
  return (((sum >>> 15) | (sum << 17)) + 0xa282ead8) >>> 0;
}
