import type { Millis } from './token.ts';

/** Instants as they are written on every interface: RFC 3339, with a year of four digits. */
export const instantForm: RegExp =
  /^([0-9]{4})-([0-9]{2})-([0-9]{2})T([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])(?:\.([0-9]{1,9}))?(?:Z|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))$/;

/** The ends of the years 0000 and 9999: beyond them an instant has no RFC 3339 text in UTC. */
const first: Millis = -62_167_219_200_000;
export const lastInstant: Millis = 253_402_300_799_999;

/** Milliseconds since the epoch; null when the text is no instant. Digits below the millisecond are cut. */
export function readInstant(text: string): Millis | null {
  const match = instantForm.exec(text);
  if (match === null) return null;
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  if (month < 1 || month > 12 || day < 1 || day > daysIn(year, month)) return null;
  const fraction = Number((match[7] ?? '').padEnd(3, '0').slice(0, 3));
  const offset = (match[8] === '-' ? -1 : 1) * (Number(match[9] ?? 0) * 60 + Number(match[10] ?? 0));
  const minutes = (daysBefore(year, month) + day - 1) * 1440 + hour * 60 + minute - offset;
  const at = minutes * 60_000 + second * 1000 + fraction;
  return at < first || at > lastInstant ? null : at;
}

const isLeap = (year: number): boolean => (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0;

const monthLengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const;
const daysIn = (year: number, month: number): number => (month === 2 && isLeap(year) ? 29 : monthLengths[month - 1]!);

/** Days from 1970-01-01, which is day 719,527 of this count of leap years, to the first of a month. */
function daysBefore(year: number, month: number): number {
  const past = year - 1;
  let days = year * 365 + Math.floor(past / 4) - Math.floor(past / 100) + Math.floor(past / 400) - 719_527;
  for (let earlier = 1; earlier < month; earlier++) days += daysIn(year, earlier);
  return days;
}

/** An instant as text, in UTC. */
export const instantText = (at: Millis): string => new Date(at).toISOString();
