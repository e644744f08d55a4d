// What looks like a secret inside a text, and how it is masked before the text is shown: in logs,
// in messages to the operator, in events.

/** Texts that carry a secret: user and password of a url, AWS key ids, signatures of a query. */
const secretTexts: readonly (readonly [RegExp, string])[] = [
  [/:\/\/[^\s/@"]{1,512}@/g, '://***@'],
  [/\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g, '***'],
  [/(X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s"]+/g, '$1***'],
];

/** The text with everything that looks like a secret masked. */
export function maskSecrets(text: string): string {
  return secretTexts.reduce((masked, [pattern, by]) => masked.replace(pattern, by), text);
}
