// HTML as text in which nothing that comes from a run can become markup: whatever is put into the
// template is escaped, unless a template made it.

/** A piece of HTML that is safe as it is. */
export interface Markup {
  readonly html: string;
}

/** What a template takes; nothing for undefined. */
export type MarkupValue = string | number | undefined | Markup | readonly Markup[];

const escapes: Readonly<Record<string, string>> = {
  ...{ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' },
};

/** A template whose values are escaped, in text and in quoted attributes alike. */
export function markup(parts: TemplateStringsArray, ...values: readonly MarkupValue[]): Markup {
  const html = parts.reduce((text, part, i) => text + htmlOf(values[i - 1]) + part);
  return { html };
}

function htmlOf(value: MarkupValue): string {
  if (value === undefined) return '';
  if (typeof value === 'object')
    return 'html' in value ? value.html : value.map(({ html }) => html).join('');
  // eslint-disable-next-line no-control-regex
  return String(value).replace(/[&<>"']|[\0-\x08\x0b-\x1f\x7f]/g, (sign) => escapes[sign] ?? ' ');
}

/** A value as JSON within a script element, which no text in it can end. */
export function jsonMarkup(value: unknown): Markup {
  const html = JSON.stringify(value).replace(/[<>&\u2028\u2029]/g, (sign) => {
    return `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
  return { html };
}
