// Any value that a zod schema takes, for properties over all messages of a kind: drawn from the
// schema itself, with a taste for the ends of ranges.

import fc from 'fast-check';
import type { z } from 'zod';

/** The part of a schema's definition that is looked at. */
interface Definition {
  readonly type: string;
  readonly shape?: Readonly<Record<string, z.ZodType>>;
  readonly options?: readonly z.ZodType[];
  readonly innerType?: z.ZodType;
  readonly element?: z.ZodType;
  readonly in?: z.ZodType;
  readonly keyType?: z.ZodType;
  readonly valueType?: z.ZodType;
  readonly entries?: Readonly<Record<string, string>>;
  readonly values?: readonly unknown[];
}

/** Draws what `schema` accepts; what it would refuse all the same is drawn anew. */
export function anyValueOf<S extends z.ZodType>(schema: S): fc.Arbitrary<z.infer<S>> {
  return drawn(schema)
    .map((value) => schema.safeParse(value))
    .filter(({ success }) => success)
    .map(({ data }) => data as z.infer<S>);
}

const words = fc.oneof(
  fc.constantFrom(
    '',
    'a',
    'worker-0',
    'a.png',
    'g.safetensors',
    '127.0.0.1:7',
    'SIGTERM',
    'compute',
    'a\n\u0007b',
  ),
  fc.constantFrom('0123456789abcdef', 'ab'.repeat(16), 'ab'.repeat(32)),
  fc.string({ maxLength: 20 }),
);

const numbers = fc.oneof(
  fc.constantFrom(0, 1, -1, 0.5, 1e-30, 1e30, Number.MAX_SAFE_INTEGER, NaN),
  fc.nat(),
  fc.double(),
);

function drawn(schema: z.ZodType): fc.Arbitrary<unknown> {
  const definition = schema.def as unknown as Definition;
  const { type, shape = {}, options = [], innerType, element, entries = {} } = definition;
  switch (type) {
    case 'object':
      return fc.record(Object.fromEntries(Object.entries(shape).map(([k, s]) => [k, checked(s)])));
    case 'union':
      return fc.oneof(...options.map(checked));
    case 'array':
      return fc.array(checked(element as z.ZodType), { maxLength: 3 });
    case 'record':
      return fc.dictionary(
        checked(definition.keyType as z.ZodType) as fc.Arbitrary<string>,
        checked(definition.valueType as z.ZodType),
        { maxKeys: 3 },
      );
    case 'enum':
      return fc.constantFrom(...Object.values(entries));
    case 'literal':
      return fc.constantFrom(...(definition.values ?? []));
    case 'boolean':
      return fc.boolean();
    case 'nan':
      return fc.constant(NaN);
    case 'number':
      return numbers;
    case 'string':
      return words;
    case 'optional':
      return fc.oneof(fc.constant(undefined), checked(innerType as z.ZodType));
    case 'nullable':
      return fc.oneof(fc.constant(null), checked(innerType as z.ZodType));
    case 'default':
    case 'readonly':
      return checked(innerType as z.ZodType);
    case 'pipe':
      return checked(definition.in as z.ZodType);
    default:
      throw new Error(`nothing draws a ${type}`);
  }
}

/** What the schema itself accepts, so that a large object is not refused for one of its fields. */
function checked(schema: z.ZodType): fc.Arbitrary<unknown> {
  return drawn(schema).filter((value) => schema.safeParse(value).success);
}
