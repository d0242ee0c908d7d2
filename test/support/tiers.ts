/** How long a test may take, in milliseconds; with the big numbers of the long tier an hour. */
export const patience = (ms: number): number => (process.env['POSTERN_LONG'] === undefined ? ms : 3_600_000);
