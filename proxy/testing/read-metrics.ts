import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import type { RunningProxy } from "./running-proxy.ts";

/** A line of the format: name, labels in braces if there are any, and the value. */
const SAMPLE = /^([a-z_:][a-z0-9_:]*(?:\{[^{}]*\})?) (-?[0-9.e+-]+|NaN|[+-]Inf)$/i;

/** Reads the text format of Prometheus. Throws if a line of it is anything else. */
export function parseMetrics(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  assert.ok(text.endsWith("\n"));
  for (const line of text.trimEnd().split("\n")) {
    if (line === "" || /^# (HELP|TYPE) [a-z_:][a-z0-9_:]* \S/i.test(line)) continue;
    const [, name, value] = SAMPLE.exec(line) ?? [];
    assert.ok(name !== undefined, line);
    assert.ok(!samples.has(name), `twice: ${name}`);
    samples.set(name, Number(value));
  }
  return samples;
}

export async function fetchMetrics({ metricsPort }: RunningProxy): Promise<Map<string, number>> {
  const response = await fetch(`http://127.0.0.1:${metricsPort}/metrics`);
  assert.equal(response.status, 200);
  return parseMetrics(await response.text());
}

/** Resolves once a gauge of the proxy has a value. */
export async function untilMetric(proxy: RunningProxy, name: string, value: number): Promise<void> {
  while ((await fetchMetrics(proxy)).get(`polaris_proxy_${name}`) !== value) await pause(5);
}
