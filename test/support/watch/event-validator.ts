// Holds events to the JSON Schemas of the package, as somebody does who has only these files.

import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { readdirSync, readFileSync } from 'node:fs';
import { packageFile } from '../../../shared/paths.js';

const folder = 'schemas/events';

/**
 * Gives a function that lists what is wrong with an event. With `isStrict`, so is a field that no
 * schema names, wherever the schema does not say that there may be any.
 */
export function createEventValidator({ isStrict = false } = {}): (event: unknown) => string[] {
  const ajv = new Ajv2020({ allErrors: true, formats: { 'date-time': isIsoTime } });
  for (const name of readdirSync(packageFile(folder))) {
    const schema = JSON.parse(readFileSync(packageFile(`${folder}/${name}`), 'utf8')) as object;
    ajv.addSchema(isStrict && name !== 'event.json' ? closed(schema) : schema, name);
  }
  const validate = ajv.getSchema('event.json') as ValidateFunction;
  return (event) => {
    if (validate(event) === true) return [];
    return (validate.errors ?? []).map((error) => {
      const more = JSON.stringify(error.params);
      return `${error.instancePath}: ${error.message ?? ''} ${more}`;
    });
  };
}

function isIsoTime(text: string): boolean {
  return /^\d{4}-\d\d-\d\dT/.test(text) && !Number.isNaN(Date.parse(text));
}

/** The schema, with every object in it closed to fields that it does not name. */
function closed(schema: object): object {
  return JSON.parse(JSON.stringify(schema), (_, value: unknown) => {
    const { type, properties, additionalProperties } = (value ?? {}) as Record<string, unknown>;
    const isOpen = type === 'object' && properties !== undefined;
    const isNamed = isOpen && additionalProperties === undefined;
    return isNamed ? { ...(value as object), additionalProperties: false } : value;
  }) as object;
}
