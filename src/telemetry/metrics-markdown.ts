import { type LabelValues, type MetricEntry, metricPrefix, metricsTable } from './metrics-table.ts';

/** Sets longer than this are described by the help text. */
const longestSetShown = 8;

/** The README's table of metrics. */
export function metricsMarkdown(): string {
  const rows = Object.entries(metricsTable as Readonly<Record<string, MetricEntry>>).map(
    ([name, { type, labels, help }]) =>
      `| \`${metricPrefix}${name}\` | ${type} | ${Object.entries(labels).map(labelText).join('; ')} | ${help} |`,
  );
  return ['| metric | type | labels | meaning |', '| --- | --- | --- | --- |', ...rows, ''].join('\n');
}

function labelText([name, values]: [string, LabelValues]): string {
  if (typeof values === 'string' || values.length > longestSetShown) return `\`${name}\``;
  return `\`${name}\`: ${values.join(', ')}`;
}
