import { Refusal } from '../errors.ts';

/** A condition of the caller's on what is changed: its version, null when it does not exist. */
export type Precondition = (version: number | null) => boolean;

export function demand(precondition: Precondition | null, version: number | null): void {
  if (precondition === null || precondition(version)) return;
  const now = version === null ? 'It does not exist.' : `It is at version ${version}.`;
  throw new Refusal('version_mismatch', `The version is not the one that was asked for. ${now}`);
}
