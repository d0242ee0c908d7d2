import type { Log } from '../ports/log.ts';
import type { Recorder, RequestRecord } from '../ports/recorder.ts';

export interface RecorderSinks {
  readonly metrics: { record(record: RequestRecord): void };
  readonly requests: { record(record: RequestRecord): void };
  readonly usage: (record: RequestRecord) => void;
  readonly refusals: { record(record: RequestRecord): void };
}

/**
 * Hands each record to usage, metrics, log and whoever watches refusals. One that fails takes neither the others nor the request with it.
 * `log` should be a quiet one.
 */
export function createRecorder({ metrics, requests, usage, refusals }: RecorderSinks, log: Log): Recorder {
  return {
    record(record) {
      try {
        usage(record);
      } catch (error) {
        log.fault(error, 'a request could not be added to usage');
      }
      try {
        metrics.record(record);
      } catch (error) {
        log.fault(error, 'a request could not be counted');
      }
      try {
        requests.record(record);
      } catch (error) {
        log.fault(error, 'a request could not be logged');
      }
      try {
        refusals.record(record);
      } catch (error) {
        log.fault(error, 'a refusal could not be told');
      }
    },
  };
}
