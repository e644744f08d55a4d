// The events as JSON Schemas, for those that read them without Lockstep: one of the data of each
// type, and one of the whole event, which refers to them. They lie in `schemas/events`.

import { z } from 'zod';
import { eventData } from './kinds.js';

/** The schema of a whole event. */
export const envelopeFile = 'event.json';

/** Text of each file below `schemas/events`, by its name. */
export function eventSchemas(): Map<string, string> {
  const types = Object.keys(eventData);
  const files: [string, object][] = Object.entries(eventData).map(([type, data]) => [
    fileOf(type),
    // As they are read: what is said later on is no mistake.
    { title: `Data of lockstep.${type}`, ...z.toJSONSchema(data, { io: 'input' }) },
  ]);
  files.push([envelopeFile, envelopeSchema(types)]);
  return new Map(files.map(([file, schema]) => [file, `${JSON.stringify(schema, null, 2)}\n`]));
}

function fileOf(type: string): string {
  return `${type}.json`;
}

function envelopeSchema(types: readonly string[]): object {
  const text = (maxLength: number) => ({ type: 'string', minLength: 1, maxLength });
  const known = types.map((type) => ({
    if: { properties: { type: { const: `lockstep.${type}` } } },
    then: {
      properties: { data: { anyOf: [{ $ref: fileOf(type) }, { $ref: '#/$defs/omitted' }] } },
    },
  }));
  return {
    title: 'An event of Lockstep: CloudEvents 1.0 in JSON',
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: {
      specversion: { const: '1.0' },
      id: { ...text(1024), description: '<run>/<id of the event within the run>' },
      source: { ...text(1024), description: 'lockstep/<run>' },
      type: { ...text(200), pattern: '^lockstep\\.[a-z]+\\.[A-Za-z]+$' },
      subject: { ...text(1024), description: 'id of the event within the run' },
      time: { type: 'string', format: 'date-time' },
      datacontenttype: { const: 'application/json' },
      data: { type: 'object' },
    },
    required: [
      ...['specversion', 'id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'data'],
    ],
    allOf: known,
    $defs: {
      omitted: {
        description: 'In place of data that were too large to be sent.',
        type: 'object',
        properties: { omitted: { type: 'string' } },
        required: ['omitted'],
      },
    },
  };
}
